/* The description inside an archive: JSON, or a word on what is wrong. */
#include "disk/ova.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    const char *cls = NULL;
    json_t *ova = ova_parse((const char *) data, size, &error);
    g_assert_true(ova ? !error : error != NULL);
    json_t *record = ova ? ova_find(ova, "Ref:0", &cls) : NULL;
    if (record) {
        ova_text(record, "uuid");
        ova_number(record, "virtual_size");
    }
    json_decref(ova);
    return 0;
}
