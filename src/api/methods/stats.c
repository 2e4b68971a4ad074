/* vm.stats and host.stats: what the host recorded, over the last minutes, hours, days or year; and
 * which figures of a machine it records. */
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
    { NULL },
};
