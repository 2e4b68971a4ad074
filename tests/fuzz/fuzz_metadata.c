/* Any bytes as the metadata of a point, and a point as the API shows it. */
#include "catalog/catalog.h"
#include "catalog/metadata.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *point = metadata_parse(data, size, "fuzzed", NULL);
    if (!point)
        return 0;
    json_object_set_new(point, "_filename", json_string("/xo-vm-backups/vm/20260117T020000Z.json"));
    json_decref(catalog_view(point, "remote"));
    json_t *points = json_pack("[O]", point);
    g_strfreev(catalog_retention(points, "schedule", 1));
    json_decref(points);
    json_decref(point);
    return 0;
}
