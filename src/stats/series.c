/* From the names and units of hosts to XO's: a table for machines, a table for hosts. */
#include "stats/series.h"

#include "base/mutant.h"

#include <math.h>
#include <string.h>

#define KIB 1024.0
#define MIB (1024.0 * 1024.0)

/* `source` is a regular expression for the whole name; what its group matches is the last part of
 * the path. */
typedef struct {
    const char *source, *path;
    double factor;
} Row;

static const Row vm_rows[] = {
    { "memory", "memory", 1 },
    { "memory_internal_free", "memoryFree", KIB },
    { "memory_target", "memoryTarget", 1 },
    { "cpu(\\d+)", "cpus", 100 },
    { "cpu_usage", "cpuUsage", 100 },
    { "runstate_fullrun", "runstateFullrun", 100 },
    { "runstate_full_contention", "runstateFullContention", 100 },
    { "runstate_partial_run", "runstatePartialRun", 100 },
    { "runstate_partial_contention", "runstatePartialContention", 100 },
    { "runstate_concurrency_hazard", "runstateConcurrencyHazard", 100 },
    { "runstate_blocked", "runstateBlocked", 100 },
    { "vif_(\\d+)_rx", "vifs.rx", 1 },
    { "vif_(\\d+)_tx", "vifs.tx", 1 },
    { "vif_(\\d+)_rx_errors", "vifErrors.rx", 1 },
    { "vif_(\\d+)_tx_errors", "vifErrors.tx", 1 },
    { "vbd_xvd([a-z]+)_read", "xvds.r", 1 },
    { "vbd_xvd([a-z]+)_write", "xvds.w", 1 },
    { "vbd_xvd([a-z]+)_iops_read", "iops.r", 1 },
    { "vbd_xvd([a-z]+)_iops_write", "iops.w", 1 },
    { "vbd_xvd([a-z]+)_iops_total", "iops.total", 1 },
    { "vbd_xvd([a-z]+)_io_throughput_read", "ioThroughput.r", MIB },
    { "vbd_xvd([a-z]+)_io_throughput_write", "ioThroughput.w", MIB },
    { "vbd_xvd([a-z]+)_io_throughput_total", "ioThroughput.total", MIB },
    { "vbd_xvd([a-z]+)_read_latency", "vbdLatency.r", 0.001 },
    { "vbd_xvd([a-z]+)_write_latency", "vbdLatency.w", 0.001 },
    { "vbd_xvd([a-z]+)_latency", "vbdAvgLatency", 0.001 },
    { "vbd_xvd([a-z]+)_iowait", "vbdIowait", 100 },
    { "vbd_xvd([a-z]+)_inflight", "vbdInflight", 1 },
    { "vbd_xvd([a-z]+)_avgqu_sz", "vbdAvgquSz", 1 },
    { NULL },
};

static const Row host_rows[] = {
    { "loadavg", "load", 1 },
    { "memory_total_kib", "memory", KIB },
    { "memory_free_kib", "memoryFree", KIB },
    { "memory_reclaimed", "memoryReclaimed", 1 }, /* bytes already */
    { "memory_reclaimed_max", "memoryReclaimedMax", 1 },
    { "cpu(\\d+)", "cpus", 100 },
    { "pif_eth(\\d+)_rx", "pifs.rx", 1 },
    { "pif_eth(\\d+)_tx", "pifs.tx", 1 },
    { "pif_aggr_rx", "pifsAggr.rx", 1 },
    { "pif_aggr_tx", "pifsAggr.tx", 1 },
    { "iops_read_(\\w+)", "iops.r", 1 },
    { "iops_write_(\\w+)", "iops.w", 1 },
    { "iops_total_(\\w+)", "iops.total", 1 },
    { "io_throughput_read_(\\w+)", "ioThroughput.r", MIB },
    { "io_throughput_write_(\\w+)", "ioThroughput.w", MIB },
    { "io_throughput_total_(\\w+)", "ioThroughput.total", MIB },
    { "read_latency_(\\w+)", "latency.r", 0.001 },
    { "write_latency_(\\w+)", "latency.w", 0.001 },
    { "latency_(\\w+)", "latency.total", 0.001 },
    { "iowait_(\\w+)", "iowait", 1 },
    { "hostload", "hostload", 1 },
    { "running_vcpus", "runningVcpus", 1 },
    { NULL },
};

/* --- Granularities --- */

static const Granularity granularities[] = {
    { "seconds", 5, 120 },
    { "minutes", 60, 120 },
    { "hours", 3600, 168 },
    { "days", 86400, 366 },
};

const Granularity *granularity_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(granularities); i++)
        if (!name || strcmp(granularities[i].name, name) == 0)
            return &granularities[i];
    return NULL;
}

/* One step less than is kept: at the very end hosts answer from the next coarser archive. */
gint64 granularity_start_s(const Granularity *granularity, gint64 now_s)
{
    return now_s - granularity->step_s * (granularity->n_rows - 1);
}

/* --- Columns --- */

static json_t *number(double value)
{
    if (!isfinite(value))
        return json_null();
    if (floor(value) == value && fabs(value) < 9e15)
        return json_integer((json_int_t) value);
    return json_real(value);
}

static json_t *values_of(const Rrd *rrd, guint column, double factor)
{
    json_t *list = json_array();
    for (guint row = 0; row < rrd_n_rows(rrd); row++)
        json_array_append_new(list, number(rrd_value(rrd, row, column) * factor));
    return list;
}

/* The object under `key`, made when it is not there; borrowed. */
static json_t *member(json_t *object, const char *key)
{
    if (!json_is_object(json_object_get(object, key)))
        json_object_set_new(object, key, json_object());
    return json_object_get(object, key);
}

/* "iops.r" and "a": stats.iops.r.a */
static void put(json_t *stats, const char *path, const char *last, json_t *values)
{
    g_autofree char *whole = last ? g_strdup_printf("%s.%s", path, last) : g_strdup(path);
    g_auto(GStrv) keys = g_strsplit(whole, ".", -1);
    json_t *at = stats;
    guint i = 0;
    for (; keys[i + 1]; i++)
        at = member(at, keys[i]);
    json_object_set_new(at, keys[i], values);
}

/* Whether the name is the row's; *last is its group, or NULL. */
static bool fits(const Row *row, const char *source, char **last)
{
    g_autofree char *whole = g_strdup_printf("^%s$", row->source);
    g_autoptr(GRegex) regex = g_regex_new(whole, G_REGEX_OPTIMIZE, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    *last = NULL;
    if (!g_regex_match(regex, source, 0, &match))
        return false;
    if (strchr(row->source, '('))
        *last = g_match_info_fetch(match, 1);
    return true;
}

static void put_column(json_t *stats, const Rrd *rrd, guint column, const Row *rows,
                       const char *source)
{
    for (const Row *row = rows; row->source; row++) {
        g_autofree char *last = NULL;
        if (!fits(row, source, &last))
            continue;
        double factor = MUTANT(series_raw_units) ? 1 : row->factor; /* mutant: stats_rrd */
        put(stats, row->path, last, values_of(rrd, column, factor));
        return;
    }
}

json_t *series_json(const Rrd *rrd, SeriesKind kind, const char *uuid, gint64 now_s)
{
    json_t *stats = json_object();
    const Row *rows = kind == SERIES_VM ? vm_rows : host_rows;
    const char *of, *source;
    for (guint i = 0; i < rrd_n_columns(rrd); i++)
        if (rrd_column(rrd, i, &of, &source) && strcmp(of, uuid) == 0)
            put_column(stats, rrd, i, rows, source);
    gint64 end_s = rrd_end_s(rrd);
    return json_pack("{s:I, s:I, s:o}", "endTimestamp", (json_int_t) (end_s ? end_s : now_s),
                     "interval", (json_int_t) rrd_step_s(rrd), "stats", stats);
}
