/* Statistics: what /rrd_updates of a host says of itself and of the machines on it. Nothing is
 * recorded: each value follows from the pool's seed, the source's name and the time, with a rhythm
 * of a day and some noise; a machine that was not yet running has none. */
#include "sim/call.h"
#include "sim/handler.h"
#include "sim/inner.h"

#include <math.h>
#include <string.h>

enum { DAY_S = 86400 };

/* The archives of xcp-rrdd. */
static const struct {
    gint64 step_s, n_rows;
} archives[] = { { 5, 120 }, { 60, 120 }, { 3600, 168 }, { 86400, 366 } };

typedef struct {
    char *legend; /* "AVERAGE:vm:<uuid>:cpu0" */
    double low, high;
    gint64 since_s; /* nothing before */
} Source;

static void source_free(void *data)
{
    g_free(((Source *) data)->legend);
    g_free(data);
}

/* --- What there is to tell --- */

typedef struct {
    GPtrArray *list;
    const char *kind, *uuid;
    gint64 since_s;
} Sources;

static void add(Sources *sources, double low, double high, const char *format, ...)
    G_GNUC_PRINTF(4, 5);

static void add(Sources *sources, double low, double high, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *name = g_strdup_vprintf(format, args);
    va_end(args);
    Source *source = g_new(Source, 1);
    *source = (Source){ g_strdup_printf("AVERAGE:%s:%s:%s", sources->kind, sources->uuid, name),
                        low, high, sources->since_s };
    g_ptr_array_add(sources->list, source);
}

typedef struct {
    const char *name;
    double low, high;
} Range;

static const Range disk_ranges[] = {
    { "read", 0, 4e6 },
    { "write", 0, 2e6 },
    { "iops_read", 0, 200 },
    { "iops_write", 0, 100 },
    { "iops_total", 0, 300 },
    { "io_throughput_read", 0, 4 },
    { "io_throughput_write", 0, 2 },
    { "read_latency", 200, 3000 },
    { "write_latency", 300, 5000 },
};

static void add_disk(Sources *sources, const char *device)
{
    for (gsize i = 0; i < G_N_ELEMENTS(disk_ranges); i++)
        add(sources, disk_ranges[i].low, disk_ranges[i].high, "vbd_%s_%s", device,
            disk_ranges[i].name);
}

/* Sources that nobody records unless asked: the pool remembers in other_config who was. */
static const char *const optional_sources[] = {
    "runstate_fullrun",
    "runstate_full_contention",
    "runstate_partial_run",
    "runstate_blocked",
    "runstate_partial_contention",
    "runstate_concurrency_hazard",
    NULL,
};

static char *recorded_key(const char *source)
{
    return g_strconcat("sim-recorded:", source, NULL);
}

static void add_optional(Sources *sources, const Obj *vm)
{
    for (guint i = 0; optional_sources[i]; i++) {
        g_autofree char *key = recorded_key(optional_sources[i]);
        if (obj_map_get(vm, "other_config", key))
            add(sources, 0, 1, "%s", optional_sources[i]);
    }
}

static void add_vm(GPtrArray *list, const Obj *vm)
{
    const Obj *metrics = obj_follow(vm, "metrics");
    double memory = (double) obj_int(vm, "memory_target");
    Sources sources = { list, "vm", obj_uuid(vm), metrics ? obj_int(metrics, "start_time") : 0 };
    for (gint64 i = 0; i < obj_int(vm, "VCPUs_at_startup"); i++)
        add(&sources, 0.01, 0.6, "cpu%d", (int) i);
    add(&sources, 0.01, 0.6, "cpu_usage");
    add_optional(&sources, vm);
    add(&sources, memory, memory, "memory");
    add(&sources, memory, memory, "memory_target");
    if (obj_follow(vm, "guest_metrics") != NULL)
        add(&sources, memory / 4096, memory / 1536, "memory_internal_free");
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++) {
        const char *device = obj_str(obj_follow_nth(vm, "VIFs", i), "device");
        add(&sources, 0, 1e6, "vif_%s_rx", device);
        add(&sources, 0, 5e5, "vif_%s_tx", device);
    }
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        const Obj *vbd = obj_follow_nth(vm, "VBDs", i);
        if (obj_bool(vbd, "currently_attached") && *obj_str(vbd, "device"))
            add_disk(&sources, obj_str(vbd, "device"));
    }
}

static const Range sr_ranges[] = {
    { "iops_read", 0, 300 },
    { "iops_write", 0, 200 },
    { "iops_total", 0, 500 },
    { "io_throughput_read", 0, 8 },
    { "io_throughput_write", 0, 4 },
    { "io_throughput_total", 0, 12 },
    { "read_latency", 200, 3000 },
    { "write_latency", 300, 5000 },
    { "iowait", 0, 1 },
};

/* Named by the first 8 digits of its uuid. */
static void add_sr(Sources *sources, const Obj *sr)
{
    for (gsize i = 0; i < G_N_ELEMENTS(sr_ranges); i++)
        add(sources, sr_ranges[i].low, sr_ranges[i].high, "%s_%.8s", sr_ranges[i].name,
            obj_uuid(sr));
}

static void add_host(GPtrArray *list, const Obj *host)
{
    const Obj *metrics = obj_follow(host, "metrics");
    double total = metrics ? (double) obj_int(metrics, "memory_total") / 1024 : 0;
    Sources sources = { list, "host", obj_uuid(host), 0 };
    for (guint i = 0; i < obj_set_size(host, "host_CPUs"); i++)
        add(&sources, 0.02, 0.7, "cpu%u", i);
    add(&sources, 0.02, 0.7, "cpu_avg");
    add(&sources, 0.1, 2, "loadavg");
    add(&sources, total, total, "memory_total_kib");
    add(&sources, total / 4, total / 2, "memory_free_kib");
    for (guint i = 0; i < obj_set_size(host, "PIFs"); i++) {
        const Obj *pif = obj_follow_nth(host, "PIFs", i);
        if (!obj_bool(pif, "physical"))
            continue;
        add(&sources, 0, 1e7, "pif_%s_rx", obj_str(pif, "device"));
        add(&sources, 0, 1e7, "pif_%s_tx", obj_str(pif, "device"));
    }
    add(&sources, 0, 2e7, "pif_aggr_rx");
    add(&sources, 0, 2e7, "pif_aggr_tx");
    for (guint i = 0; i < obj_set_size(host, "PBDs"); i++) {
        const Obj *pbd = obj_follow_nth(host, "PBDs", i);
        if (obj_bool(pbd, "currently_attached") && obj_follow(pbd, "SR") != NULL)
            add_sr(&sources, obj_follow(pbd, "SR"));
    }
}

static bool is_on(const Obj *vm, const Obj *host, const char *wanted)
{
    const char *state = obj_str(vm, "power_state");
    return (strcmp(state, "Running") == 0 || strcmp(state, "Paused") == 0) &&
           obj_follow(vm, "resident_on") == host && (!wanted || strcmp(wanted, obj_uuid(vm)) == 0);
}

/* Of the host that was asked, and of the machines that run there. */
static GPtrArray *sources_of(Sim *sim, guint number, HttpRequest *request)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(source_free);
    Obj *host = sim_host(sim, number);
    const char *wanted = http_query(request, "vm_uuid");
    if (host == NULL) /* it has left the pool */
        return list;
    for (Obj *vm = obj_first(sim, "VM"); vm != NULL; vm = obj_next(vm))
        if (is_on(vm, host, wanted))
            add_vm(list, vm);
    if (g_strcmp0(http_query(request, "host"), "true") == 0)
        add_host(list, host);
    return list;
}

/* --- Values --- */

static guint64 mix(guint64 x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static double value_at(const Source *source, guint64 seed, gint64 time_s)
{
    if (time_s < source->since_s)
        return NAN;
    guint64 bits = mix(seed ^ mix(g_str_hash(source->legend) ^ (guint64) time_s));
    double noise = (double) (bits >> 11) / 9007199254740992.0;
    double day = 0.5 - 0.5 * cos(2 * G_PI * (double) (time_s % DAY_S) / DAY_S);
    return source->low + (source->high - source->low) * (0.6 * day + 0.4 * noise);
}

/* --- The answer --- */

typedef struct {
    gint64 step_s, start_s, end_s;
    guint n_rows;
} Span;

/* The finest archive that is coarse enough and still holds the start, else the coarsest. */
static Span span_of(gint64 now_s, gint64 start_s, gint64 interval_s)
{
    guint i = 0;
    while (i + 1 < G_N_ELEMENTS(archives) &&
           (archives[i].step_s < interval_s ||
            now_s - archives[i].step_s * archives[i].n_rows > start_s))
        i++;
    gint64 step_s = archives[i].step_s, end_s = now_s / step_s * step_s;
    gint64 rows = start_s > end_s ? 0 : (end_s - start_s / step_s * step_s) / step_s + 1;
    rows = MIN(rows, archives[i].n_rows);
    return (Span){ step_s, end_s - (rows - 1) * step_s, end_s, (guint) rows };
}

static void put_value(GString *out, double value)
{
    char text[G_ASCII_DTOSTR_BUF_SIZE];
    if (isnan(value))
        g_string_append(out, "NaN");
    else
        g_string_append(out, g_ascii_formatd(text, sizeof text, "%.4f", value));
}

static GString *as_json(const Span *span, GPtrArray *sources, guint64 seed)
{
    GString *out = g_string_new(NULL);
    g_string_printf(out,
                    "{\"meta\":{\"start\":%" G_GINT64_FORMAT ",\"step\":%" G_GINT64_FORMAT
                    ",\"end\":%" G_GINT64_FORMAT ",\"rows\":%u,\"columns\":%u,\"legend\":[",
                    span->start_s, span->step_s, span->end_s, span->n_rows, sources->len);
    for (guint i = 0; i < sources->len; i++)
        g_string_append_printf(out, "%s\"%s\"", i ? "," : "",
                               ((Source *) sources->pdata[i])->legend);
    g_string_append(out, "]},\"data\":[");
    for (guint row = 0; row < span->n_rows; row++) {
        gint64 time_s = span->end_s - row * span->step_s;
        g_string_append_printf(out, "%s{\"t\":%" G_GINT64_FORMAT ",\"values\":[", row ? "," : "",
                               time_s);
        for (guint i = 0; i < sources->len; i++) {
            g_string_append(out, i ? ",\"" : "\"");
            put_value(out, value_at(sources->pdata[i], seed, time_s));
            g_string_append_c(out, '"');
        }
        g_string_append(out, "]}");
    }
    return g_string_append(out, "]}");
}

static GString *as_xml(const Span *span, GPtrArray *sources, guint64 seed)
{
    GString *out = g_string_new(NULL);
    g_string_printf(out,
                    "<xport><meta><start>%" G_GINT64_FORMAT "</start><step>%" G_GINT64_FORMAT
                    "</step><end>%" G_GINT64_FORMAT "</end><rows>%u</rows><columns>%u</columns>"
                    "<legend>",
                    span->start_s, span->step_s, span->end_s, span->n_rows, sources->len);
    for (guint i = 0; i < sources->len; i++)
        g_string_append_printf(out, "<entry>%s</entry>", ((Source *) sources->pdata[i])->legend);
    g_string_append(out, "</legend></meta><data>");
    for (guint row = 0; row < span->n_rows; row++) {
        gint64 time_s = span->end_s - row * span->step_s;
        g_string_append_printf(out, "<row><t>%" G_GINT64_FORMAT "</t>", time_s);
        for (guint i = 0; i < sources->len; i++) {
            g_string_append(out, "<v>");
            put_value(out, value_at(sources->pdata[i], seed, time_s));
            g_string_append(out, "</v>");
        }
        g_string_append(out, "</row>");
    }
    return g_string_append(out, "</data></xport>");
}

/* An Accept header decides, else whether there is a parameter `json`. */
static bool wants_json(HttpRequest *request)
{
    const char *accept = http_header(request, "accept");
    if (accept != NULL)
        return strstr(accept, "*/*") != NULL || strstr(accept, "json") != NULL;
    return http_query(request, "json") != NULL;
}

static gint64 number_in(HttpRequest *request, const char *name)
{
    const char *text = http_query(request, name);
    return text == NULL ? 0 : g_ascii_strtoll(text, NULL, 10);
}

static void updates(HttpRequest *request, Sim *sim, guint number)
{
    g_autofree char *session = handler_login(request, sim);
    const char *cf = http_query(request, "cf");
    if (session == NULL)
        return;
    if (http_query(request, "start") == NULL) {
        http_reply_text(request, 400, "text/plain", "start is missing");
        return;
    }
    sim_lock(sim);
    gint64 now_s = sim_now(sim), start_s = number_in(request, "start");
    guint64 seed = sim_seed(sim);
    g_autoptr(GPtrArray) sources = sources_of(sim, number, request);
    sim_unlock(sim);
    if (cf != NULL && strcmp(cf, "AVERAGE") != 0)
        g_ptr_array_set_size(sources, 0); /* other archives are not kept */
    Span span =
        span_of(now_s, start_s < 0 ? now_s + start_s : start_s, number_in(request, "interval"));
    bool json = wants_json(request);
    g_autoptr(GString) text = json ? as_json(&span, sources, seed) : as_xml(&span, sources, seed);
    http_reply_header(request, "Access-Control-Allow-Origin", "*");
    http_reply(request, 200, json ? "application/json" : "text/xml", text->str, text->len);
}

const Handler rrd_handlers[] = {
    { "GET", "/rrd_updates", .serve_at = updates },
    { NULL, NULL, NULL },
};

/* --- Which are recorded --- */

static json_t *record_source(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    if (!g_strv_contains(optional_sources, call_str(call, 1))) {
        g_autofree char *text = g_strdup_printf("no such data source: %s", call_str(call, 1));
        sim_error(error, "INTERNAL_ERROR", text, NULL);
        return NULL;
    }
    g_autofree char *key = recorded_key(call_str(call, 1));
    obj_map_put(vm, "other_config", key, "true");
    return call_void();
}

static json_t *forget_source(Call *call, GError **error)
{
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL)
        return NULL;
    g_autofree char *key = recorded_key(call_str(call, 1));
    obj_map_remove(vm, "other_config", key);
    return call_void();
}

const Method rrd_methods[] = {
    { "VM.record_data_source", record_source },
    { "VM.forget_data_source_archives", forget_source },
    { NULL, NULL },
};
