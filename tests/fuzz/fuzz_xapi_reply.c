/* What a pool answers to a call: whole, as records, as events; in pieces of any size. */
#include "xapi/private.h"

#include <stdint.h>

static void see_record(const char *cls, const char *ref, json_t *record, void *user)
{
    g_assert_true(cls && ref && record);
    json_decref(record);
}

static void see_event(const char *cls, const char *operation, const char *ref, json_t *record,
                      void *user)
{
    json_decref(record);
}

/* Takes what jansson would read. */
static size_t take_record(const char *cls, const char *ref, const char *text, size_t n, void *user)
{
    json_error_t error;
    json_t *record = json_loadb(text, n, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &error);
    json_decref(record);
    return record ? (size_t) error.position : 0;
}

static bool feed(Reply *reply, const uint8_t *data, size_t size, size_t piece, GError **error)
{
    for (size_t at = 0; at < size; at += piece)
        if (!reply_sink(data + at, MIN(piece, size - at), reply, error))
            return false;
    return reply_end(reply, "pool", "VM.get_all_records", error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    XapiEventOps events = { .event = see_event };
    Reply reply = { .mode = data[0] % 3,
                    .taken = data[0] & 4 ? take_record : NULL,
                    .cls = "VM",
                    .seen = see_record,
                    .events = &events };
    g_autoptr(GError) error = NULL;
    reply_begin(&reply);
    bool ok = feed(&reply, data + 2, size - 2, 1 + data[1], &error);
    g_assert_true(ok == !error);
    reply_clear(&reply);
    return 0;
}
