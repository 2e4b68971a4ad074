/* The simulator's VHD importer on any bytes, fed in two pieces. */
#include "sim/import_vhd.h"

#include <stdint.h>

static bool take_size(guint64 size_bytes, void *user, GError **error)
{
    *(guint64 *) user = size_bytes;
    return true;
}

static bool take_data(guint64 offset, const void *data, gsize n, void *user, GError **error)
{
    g_assert(offset + n <= *(guint64 *) user);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    guint64 size_bytes = 0;
    const ImportVhdOps ops = { take_size, take_data };
    g_autoptr(ImportVhd) vhd = import_vhd_new(&ops, &size_bytes);
    if (import_vhd_feed(vhd, data, n / 2, NULL) &&
        import_vhd_feed(vhd, data + n / 2, n - n / 2, NULL))
        import_vhd_finish(vhd, NULL);
    return 0;
}
