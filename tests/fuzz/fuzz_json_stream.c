/* The tokenizer beside jansson: on strict JSON both accept the same texts and give the same values;
 * the slicing, taken from the first byte, changes nothing; the lenient mode never crashes. */
#include "base/error.h"
#include "base/json_build.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 200 };

typedef struct {
    JsonBuild *build;
    json_t *value;
} Reading;

static bool seen(const JsonToken *token, void *user, GError **error)
{
    Reading *reading = user;
    json_t *done;
    if (!json_build_add(reading->build, token, &done, error))
        return false;
    if (done) {
        json_decref(reading->value);
        reading->value = done;
    }
    return true;
}

static json_t *read_json(const uint8_t *data, size_t size, size_t slice, bool lenient,
                         GError **error)
{
    g_autoptr(JsonBuild) build = json_build_new();
    Reading reading = { .build = build };
    JsonStreamConfig config = { .max_depth = MAX_DEPTH, .lenient = lenient };
    g_autoptr(JsonStream) stream = json_stream_new(&config, seen, &reading);
    bool ok = true;
    for (size_t i = 0; ok && i < size; i += slice)
        ok = json_stream_feed(stream, data + i, MIN(slice, size - i), error);
    if (ok && json_stream_end(stream, error))
        return reading.value;
    json_decref(reading.value);
    return NULL;
}

static void check(bool ok)
{
    if (!ok)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t slice = data[0] % 16 + 1;
    g_autoptr(GError) error = NULL;
    json_t *ours = read_json(data + 1, size - 1, slice, false, &error);
    json_error_t problem;
    json_t *theirs =
        json_loadb((const char *) data + 1, size - 1, JSON_DECODE_ANY | JSON_ALLOW_NUL, &problem);
    bool known = (!theirs && json_error_code(&problem) == json_error_numeric_overflow) ||
                 (!ours && err_is(error, ERR_LIMIT)) ||
                 memchr(data + 1, 0, size - 1); /* jansson swallows a NUL after a number */
    if (!known) {
        check(!ours == !theirs);
        check(!ours || json_equal(ours, theirs));
    }
    json_decref(ours);
    json_decref(theirs);
    json_decref(read_json(data + 1, size - 1, slice, true, NULL));
    return 0;
}
