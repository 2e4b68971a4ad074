/* vm.stats, host.stats and sr.stats: what the host recorded, over the last minutes, hours, days or
 * year; and which figures of a machine it records. */
#include "api/method.h"
#include "api/objects.h"
#include "base/json_text.h"
#include "stats/series.h"

/* The clock that decides is the host's. */
static bool host_time_s(const ApiObject *host, gint64 *now_s, GError **error)
{
    g_autofree char *text = xapi_call_string(api_object_xapi(host), "host.get_servertime",
                                             json_pack("[s]", host->ref), error);
    *now_s = text ? xapi_parse_date(text) : 0;
    if (text && !*now_s)
        err_set(error, ERR_PROTOCOL, "host %s: \"%s\" is no time", host->id, text);
    return *now_s != 0;
}

/* Of one machine, or (NULL) of the host itself. */
static json_t *fetch(const ApiObject *host, const char *vm_uuid, const Granularity *granularity,
                     GError **error)
{
    gint64 now_s;
    g_autoptr(Rrd) rrd = rrd_new();
    if (!host_time_s(host, &now_s, error))
        return NULL;
    g_autofree char *path =
        g_strdup_printf("/rrd_updates?cf=AVERAGE&json=true&start=%" G_GINT64_FORMAT
                        "&interval=%" G_GINT64_FORMAT "&host=%s&vm_uuid=%s",
                        granularity_start_s(granularity, now_s), granularity->step_s,
                        vm_uuid ? "false" : "true", vm_uuid ? vm_uuid : "none");
    if (!xapi_host_get(api_object_xapi(host), api_object_text(host, "address"), path, rrd_take, rrd,
                       NULL, error) ||
        !rrd_end(rrd, error))
        return NULL;
    if (rrd_n_rows(rrd) && rrd_step_s(rrd) != granularity->step_s) {
        err_set(error, ERR_STATE,
                "host %s gave statistics in steps of %" G_GINT64_FORMAT
                " s instead of %" G_GINT64_FORMAT " s: are the clocks of the pool right?",
                host->id, rrd_step_s(rrd), granularity->step_s);
        return NULL;
    }
    return series_json(rrd, vm_uuid ? SERIES_VM : SERIES_HOST, vm_uuid ? vm_uuid : host->id, now_s);
}

static const Granularity *granularity_of(ApiCall *call, GError **error)
{
    const char *name = call_string(call, "granularity");
    const Granularity *granularity = granularity_find(name);
    if (!granularity)
        api_error_invalid(error, "granularity: expected seconds, minutes, hours or days");
    return granularity;
}

/* The host that the machine runs on; INCORRECT_STATE, with the whole record as XO gives it. */
static const ApiObject *home(ApiCall *call, const ApiObject *vm, GError **error)
{
    json_t *record = api_object_record(vm);
    const char *ref = json_text(record, "resident_on");
    const ApiObject *host = g_str_has_prefix(ref, "OpaqueRef:") &&
                                    !g_str_equal(ref, "OpaqueRef:NULL")
                                ? call_find(call, ref, "host", NULL, NULL)
                                : NULL;
    if (!host)
        api_error_plain(error, API_INCORRECT_STATE,
                        json_pack("{s:s, s:O*, s:s}", "expected", "<host-uuid>", "object", record,
                                  "property", "resident_on"));
    json_decref(record);
    return host;
}

static json_t *vm_stats(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    const Granularity *granularity = granularity_of(call, error);
    const ApiObject *host = granularity ? home(call, vm, error) : NULL;
    return host ? fetch(host, api_object_text(vm, "uuid"), granularity, error) : NULL;
}

static json_t *host_stats(ApiCall *call, GError **error)
{
    const Granularity *granularity = granularity_of(call, error);
    return granularity ? fetch(call_object(call, "host"), NULL, granularity, error) : NULL;
}

/* --- sr.stats: what its hosts say of it, together --- */

enum { SHORT_UUID = 8 };

/* "iops.r" in the statistics of one host, of the storage; borrowed, NULL when there is none. */
static json_t *part_of(json_t *host, const char *path, const char *sr)
{
    g_auto(GStrv) keys = g_strsplit(path, ".", -1);
    json_t *at = json_object_get(host, "stats");
    for (guint i = 0; keys[i]; i++)
        at = json_object_get(at, keys[i]);
    return json_object_get(at, sr);
}

/* The values of all hosts at one time: their sum or mean; null when nobody has one. */
static json_t *together(json_t *columns, size_t row, bool mean)
{
    double sum = 0;
    int n = 0;
    size_t i;
    json_t *column;
    json_array_foreach (columns, i, column)
        if (json_is_number(json_array_get(column, row))) {
            sum += json_number_value(json_array_get(column, row));
            n++;
        }
    return n == 0 ? json_null() : json_real(mean ? sum / n : sum);
}

static json_t *combine(json_t *hosts, const char *path, const char *sr, bool mean)
{
    json_t *columns = json_array(), *host, *list = json_array();
    const char *name;
    size_t n_rows = 0;
    json_object_foreach (hosts, name, host) {
        json_t *column = part_of(host, path, sr);
        if (column)
            json_array_append(columns, column);
        n_rows = MAX(n_rows, json_array_size(column));
    }
    for (size_t row = 0; row < n_rows; row++)
        json_array_append_new(list, together(columns, row, mean));
    json_decref(columns);
    return list;
}

static json_t *wait_of(json_t *hosts, const char *sr)
{
    json_t *all = json_object(), *host;
    const char *name;
    json_object_foreach (hosts, name, host)
        if (part_of(host, "iowait", sr))
            json_object_set(all, name, part_of(host, "iowait", sr));
    return all;
}

/* {name: statistics} of the hosts that have it attached. */
static json_t *hosts_stats(ApiCall *call, const ApiObject *sr, const Granularity *granularity,
                           GError **error)
{
    json_t *all = json_object(), *id;
    size_t i;
    json_array_foreach (json_object_get(sr->view, "$PBDs"), i, id) {
        const ApiObject *pbd = call_find(call, json_string_value(id), "PBD", NULL, NULL);
        const ApiObject *host =
            pbd && json_is_true(json_object_get(pbd->view, "attached"))
                ? call_find(call, api_object_text(pbd, "host"), "host", NULL, NULL)
                : NULL;
        json_t *stats = host ? fetch(host, NULL, granularity, error) : NULL;
        if (host && !stats) {
            json_decref(all);
            return NULL;
        }
        if (stats)
            json_object_set_new(all, api_object_text(host, "name_label"), stats);
    }
    return all;
}

static gint64 newest(json_t *hosts)
{
    gint64 end_s = 0;
    const char *name;
    json_t *host;
    json_object_foreach (hosts, name, host)
        end_s = MAX(end_s, json_integer_value(json_object_get(host, "endTimestamp")));
    return end_s;
}

static json_t *sr_stats(ApiCall *call, GError **error)
{
    const ApiObject *sr = call_object(call, "id");
    const Granularity *granularity = granularity_of(call, error);
    json_t *hosts = granularity ? hosts_stats(call, sr, granularity, error) : NULL;
    if (!hosts)
        return NULL;
    g_autofree char *key = g_strndup(api_object_text(sr, "uuid"), SHORT_UUID);
    json_t *stats = NULL;
    if (json_object_size(hosts) == 0)
        err_set(error, ERR_STATE,
                "SR %s is attached to no host, so nobody measures it: connect it first",
                api_object_text(sr, "name_label"));
    else
        stats = json_pack("{s:I, s:I, s:{s:{s:o, s:o}, s:{s:o, s:o}, s:{s:o, s:o}, s:o}}",
                          "endTimestamp", (json_int_t) newest(hosts), "interval",
                          (json_int_t) granularity->step_s, "stats", "iops", "r",
                          combine(hosts, "iops.r", key, false), "w",
                          combine(hosts, "iops.w", key, false), "ioThroughput", "r",
                          combine(hosts, "ioThroughput.r", key, false), "w",
                          combine(hosts, "ioThroughput.w", key, false), "latency", "r",
                          combine(hosts, "latency.r", key, true), "w",
                          combine(hosts, "latency.w", key, true), "iowait", wait_of(hosts, key));
    json_decref(hosts);
    return stats;
}

/* --- What is recorded --- */

static json_t *record(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (api_object_do(vm, method, json_pack("[s]", call_string(call, "dataSource")), error))
        api_object_barrier(vm);
    return NULL;
}

static json_t *add_source(ApiCall *call, GError **error)
{
    return record(call, "VM.record_data_source", error);
}

static json_t *remove_source(ApiCall *call, GError **error)
{
    return record(call, "VM.forget_data_source_archives", error);
}

#define SOURCE PARAMS(REQ(ID("id", "VM,VM-controller", "operate")), REQ(STR("dataSource")))

const Method methods_stats[] = {
    { "vm.addDataSource", add_source, SOURCE, .access = ACCESS_USER,
      .example = "id=$RUNNING_VM dataSource=runstate_fullrun",
      .summary = "Record one more figure of a virtual machine." },
    { "vm.removeDataSource", remove_source, SOURCE, .access = ACCESS_USER,
      .example = "id=$RUNNING_VM dataSource=runstate_fullrun",
      .summary = "Record a figure of a virtual machine no more, and forget it." },
    { "vm.stats", vm_stats,
      PARAMS(REQ(ID("id", "VM,VM-snapshot", "view")), OPT(STR("granularity"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$RUNNING_VM granularity=minutes",
      .summary = "What a virtual machine used: seconds, minutes, hours or days." },
    { "host.stats", host_stats, PARAMS(REQ(ID("host", "host", "view")), OPT(STR("granularity"))),
      .access = ACCESS_USER, .long_running = true, .example = "host=$HOST granularity=hours",
      .summary = "What a host used: seconds, minutes, hours or days." },
    { "sr.stats", sr_stats, PARAMS(REQ(ID("id", "SR", "view")), OPT(STR("granularity"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SR granularity=minutes",
      .summary = "How much a storage read and wrote: seconds, minutes, hours or days." },
    { NULL },
};
