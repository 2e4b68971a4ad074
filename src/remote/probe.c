/* The test of a remote, as XO does it: 10 MiB of noise written, read back, compared. */
#include "remote/remote.h"

#include "base/error.h"

#include <sodium.h>
#include <string.h>

#define PROBE_BYTES (10u << 20)

static double rate(gint64 started_us)
{
    gint64 took_us = g_get_monotonic_time() - started_us;
    return PROBE_BYTES * 1e6 / (double) MAX(took_us, 1);
}

static bool read_back(Remote *remote, const char *path, const void *noise, double *read_rate,
                      GError **error)
{
    gint64 started_us = g_get_monotonic_time();
    g_autoptr(GBytes) back = remote_get(remote, path, PROBE_BYTES, error);
    if (!back)
        return false;
    *read_rate = rate(started_us);
    if (g_bytes_get_size(back) == PROBE_BYTES &&
        memcmp(g_bytes_get_data(back, NULL), noise, PROBE_BYTES) == 0)
        return true;
    err_set(error, ERR_CORRUPT, "%s: output and input differ: \"%s\" did not come back as written",
            remote_name(remote), path);
    return false;
}

bool remote_test(Remote *remote, double *read_rate, double *write_rate, const char **step,
                 GError **error)
{
    g_autofree void *noise = g_malloc(PROBE_BYTES);
    g_autofree char *path = g_strdup_printf("%" G_GINT64_FORMAT ".test", g_get_real_time() / 1000);
    randombytes_buf(noise, PROBE_BYTES);
    *step = "write";
    gint64 started_us = g_get_monotonic_time();
    bool ok = remote_put(remote, path, noise, PROBE_BYTES, true, error);
    if (ok) {
        *write_rate = rate(started_us);
        *step = "read";
        ok = read_back(remote, path, noise, read_rate, error);
    }
    remote_drop(remote, path, NULL);
    return ok;
}
