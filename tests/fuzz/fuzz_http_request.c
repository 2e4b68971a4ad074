/* A request as a server meets it: head, accessors, body. The head is found alike byte by byte and
 * at once, and the body decodes alike in any pieces. */
#include "http/connection.h"

#include <stdint.h>
#include <string.h>

static void check_find(const char *data, size_t n, gssize length)
{
    size_t scanned = 0;
    gssize found = 0;
    for (size_t i = 1; i <= n && found == 0; i++)
        found = http_head_find(data, i, &scanned);
    g_assert(found == length);
}

/* The decoded body, "!" at its end when it is refused, "?" when it is not complete. */
static GString *decode(gint64 length, const char *data, size_t n, size_t step, size_t *taken)
{
    HttpBody body;
    http_body_init(&body, length);
    GString *out = g_string_new(NULL);
    size_t at = 0;
    while (at < n && !http_body_is_done(&body)) {
        char buffer[7];
        size_t used;
        gssize got = http_body_decode(&body, data + at, MIN(step, n - at), &used, buffer, 7);
        at += used;
        if (got < 0) {
            g_string_append_c(out, '!');
            break;
        }
        g_assert(used || got);
        g_string_append_len(out, buffer, got);
    }
    if (body.state != HTTP_BODY_BROKEN && !http_body_is_done(&body))
        g_string_append_c(out, '?');
    *taken = at;
    return out;
}

static void check_body(gint64 length, const char *data, size_t n)
{
    size_t one_taken, all_taken;
    g_autoptr(GString) one = decode(length, data, n, 1, &one_taken);
    g_autoptr(GString) all = decode(length, data, n, n, &all_taken);
    bool refused = all->len && all->str[all->len - 1] == '!';
    g_assert(one_taken == all_taken);
    g_assert(refused || g_string_equal(one, all));
}

static void check_accessors(HttpRequest *request)
{
    g_assert(http_path(request)[0] == '/' && g_utf8_validate(http_path(request), -1, NULL));
    for (unsigned i = 0; i < request->head.n_headers; i++)
        g_assert(http_header(request, request->head.headers[i].name));
    const char *value = http_query(request, "a");
    g_assert(!value || g_utf8_validate(value, -1, NULL));
    http_cookie(request, "a");
    ws_is_upgrade(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *data = (const char *) bytes;
    size_t scanned = 0;
    gssize length = http_head_find(data, size, &scanned);
    check_find(data, size, length);
    if (length <= 0)
        return 0;
    HttpRequest request = { .strings = g_ptr_array_new_with_free_func(g_free) };
    if (http_head_parse(&request.head, data, (size_t) length) == 0) {
        check_accessors(&request);
        check_body(request.head.length, data + length, size - (size_t) length);
    }
    http_head_clear(&request.head);
    g_ptr_array_unref(request.strings);
    return 0;
}
