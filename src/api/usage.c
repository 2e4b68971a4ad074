/* One look at the host's records of the last half minute: the newest value of each that counts. */
#include "api/usage.h"
#include "base/error.h"
#include "stats/rrd.h"

#include <math.h>
#include <string.h>

enum { RECENT_S = 30 };

static double newest(const Rrd *rrd, guint column)
{
    for (guint row = rrd_n_rows(rrd); row-- > 0;)
        if (!isnan(rrd_value(rrd, row, column)))
            return rrd_value(rrd, row, column);
    return NAN;
}

typedef struct {
    double cpu_sum;
    guint n_cpus;
} Cpus;

/* "cpu7", of each processor. */
static bool is_cpu(const char *source)
{
    const char *digits = source + 3;
    return strncmp(source, "cpu", 3) == 0 && *digits &&
           strspn(digits, "0123456789") == strlen(digits);
}

static void add_bytes(json_t *all, const char *uuid, const char *key, double value)
{
    json_t *one = json_object_get(all, uuid);
    if (!one)
        json_object_set_new(all, uuid, one = json_object());
    json_object_set_new(one, key, json_integer((json_int_t) value));
}

static void add_column(const Rrd *rrd, guint column, json_t *all, GHashTable *cpus)
{
    const char *uuid, *source;
    double value = newest(rrd, column);
    if (isnan(value) || !rrd_column(rrd, column, &uuid, &source))
        return;
    if (is_cpu(source)) {
        Cpus *sum = g_hash_table_lookup(cpus, uuid);
        if (!sum)
            g_hash_table_insert(cpus, g_strdup(uuid), sum = g_new0(Cpus, 1));
        sum->cpu_sum += value;
        sum->n_cpus++;
    } else if (strcmp(source, "memory") == 0) {
        add_bytes(all, uuid, "memory", value);
    } else if (strcmp(source, "memory_internal_free") == 0) {
        add_bytes(all, uuid, "memoryFree", value * 1024);
    }
}

static void add_cpus(gpointer uuid, gpointer cpus, gpointer user)
{
    const Cpus *sum = cpus;
    json_t *all = user, *one = json_object_get(all, uuid);
    if (!one)
        json_object_set_new(all, uuid, one = json_object());
    json_object_set_new(one, "cpu", json_real(100 * sum->cpu_sum / sum->n_cpus));
}

static json_t *usage_of(const Rrd *rrd)
{
    json_t *all = json_object();
    g_autoptr(GHashTable) cpus = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    for (guint i = 0; i < rrd_n_columns(rrd); i++)
        add_column(rrd, i, all, cpus);
    g_hash_table_foreach(cpus, add_cpus, all);
    return all;
}

json_t *usage_of_host(Xapi *xapi, const char *address, const char *ref, GError **error)
{
    g_autofree char *text =
        xapi_call_string(xapi, "host.get_servertime", json_pack("[s]", ref), error);
    gint64 now_s = text ? xapi_parse_date(text) : 0;
    if (text && !now_s)
        err_set(error, ERR_PROTOCOL, "host %s: \"%s\" is no time", address, text);
    if (!now_s)
        return NULL;
    g_autoptr(Rrd) rrd = rrd_new();
    g_autofree char *path = g_strdup_printf(
        "/rrd_updates?cf=AVERAGE&json=true&host=true&interval=5&start=%" G_GINT64_FORMAT,
        now_s - RECENT_S);
    bool ok = xapi_host_get(xapi, address, path, rrd_take, rrd, NULL, error) && rrd_end(rrd, error);
    return ok ? usage_of(rrd) : NULL;
}
