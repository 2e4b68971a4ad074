/* Any bytes as a manifest, and as the rows of a block map. */
#include "catalog/manifest.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(Manifest) manifest = manifest_parse("vm", "20260117T020000Z", data, size, NULL);
    G_GNUC_UNUSED g_autoptr(BlockMap) inside = manifest ? manifest_get(manifest, "a", NULL) : NULL;
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(BlockMap) map = block_map_parse(text, NULL);
    G_GNUC_UNUSED g_autofree char *again = map ? block_map_format(map) : NULL;
    return 0;
}
