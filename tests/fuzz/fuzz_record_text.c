/* A record read from its text is the same to the byte as one that was built from what jansson reads
 * there; what jansson does not read is not taken. */
#include "pool/packer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    json_error_t error;
    json_t *json = json_loadb(text, size, JSON_ALLOW_NUL | JSON_DISABLE_EOF_CHECK, &error);
    json_t *other = json_pack("{s:i, s:i}", "a", 1, "b", 2);
    g_autoptr(Cells) cells = cells_new();
    g_autoptr(Packer) packer = packer_new(cells);
    Shape *shape = NULL;
    Record *built =
        record_pack(packer, "VM", "OpaqueRef:1", json_is_object(json) ? json : other, &shape);
    size_t n = size;
    Record *taken = record_take(packer, "OpaqueRef:1", text, &n, shape);
    if (taken &&
        (!json_is_object(json) || n != (size_t) error.position || !record_equal(taken, built)))
        abort();
    record_unref(taken);
    record_unref(built);
    shape_unref(shape);
    json_decref(json);
    json_decref(other);
    return 0;
}
