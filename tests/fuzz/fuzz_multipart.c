/* How much comes at a time, the Content-Type up to a NUL, then the body: whatever is read of the
 * part "file" lies in the body as it stands. */
#include "http/multipart.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct {
    const uint8_t *at;
    size_t n, step;
} Body;

static ssize_t give(void *data, size_t n, void *user, GError **error)
{
    Body *body = user;
    size_t given = MIN(MIN(n, body->step), body->n);
    memcpy(data, body->at, given);
    body->at += given;
    body->n -= given;
    return (ssize_t) given;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size > 1 ? memchr(data + 1, 0, size - 1) : NULL;
    if (!end || !multipart_is((const char *) data + 1))
        return 0;
    size_t n_body = size - (size_t) (end + 1 - data);
    Body body = { end + 1, n_body, 1 + data[0] };
    g_autoptr(Multipart) multipart = multipart_new((const char *) data + 1, give, &body, NULL);
    if (!multipart || !multipart_find(multipart, "file", NULL))
        return 0;
    g_autoptr(GByteArray) part = g_byte_array_new();
    uint8_t piece[100];
    ssize_t n;
    while ((n = multipart_read(piece, sizeof piece, multipart, NULL)) > 0)
        g_byte_array_append(part, piece, (guint) n);
    if (part->len && !memmem(end + 1, n_body, part->data, part->len))
        abort();
    return 0;
}
