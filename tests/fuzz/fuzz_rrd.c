/* Statistics of hosts, in any dialect and in pieces. */
#include "stats/series.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(Rrd) rrd = rrd_new();
    size_t piece = size ? data[0] % 64 + 1 : 1;
    for (size_t at = 0; at < size; at += piece)
        if (!rrd_take(data + at, MIN(piece, size - at), rrd, NULL))
            return 0;
    if (!rrd_end(rrd, NULL))
        return 0;
    json_decref(series_json(rrd, SERIES_VM, "u", 0));
    json_decref(series_json(rrd, SERIES_HOST, "u", 0));
    return 0;
}
