/* host.*: up and down. What goes down is emptied first, or its machines are suspended; a backup
 * that runs on the pool is not cut short unless that is asked for. */
#include "api/methods/host_power.h"

#include "api/method.h"
#include "api/methods/backup_guard.h"
#include "api/methods/host_clear.h"
#include "api/methods/host_return.h"
#include "api/objects.h"

#include <string.h>

/* Seen by everybody, also when the master was away for a while. */
static json_t *seen(const ApiObject *host)
{
    host_settle(host);
    return NULL;
}

/* When it was the master that went nobody sees anything any more: that is not waited for. */
static json_t *gone(const ApiObject *host)
{
    api_object_barrier(host);
    return NULL;
}

/* --- Restarting --- */

/* The master comes first: a member that is newer than its master cannot join it. */
static bool check_version(ApiCall *call, const ApiObject *host, GError **error)
{
    json_t *pool = servers_object(call_parts(call)->servers, api_object_text(host, "$pool"));
    const char *id = json_string_value(json_object_get(pool, "master"));
    json_t *master = id ? servers_object(call_parts(call)->servers, id) : NULL;
    bool ok = call_bool(call, "bypassVersionCheck") || !id || g_str_equal(id, host->id) ||
              !json_is_true(json_object_get(master, "rebootRequired"));
    if (!ok)
        api_error_set(error, API_INCORRECT_STATE,
                      json_pack("{s:b, s:b, s:s, s:s}", "actual", 1, "expected", 0, "object", id,
                                "property", "rebootRequired"),
                      "the master of the pool, host %s, waits for a restart: restart it first",
                      json_string_value(json_object_get(master, "name_label")));
    json_decref(master);
    json_decref(pool);
    return ok;
}

/* Emptied, or with `force` as it is; out of service either way, or as before with an error. */
static bool empty(const ApiObject *host, bool force, GError **error)
{
    g_autoptr(GError) failure = NULL;
    if (host_clear(host, NULL, &failure))
        return true;
    if (force)
        return api_object_do(host, "host.disable", NULL, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

static bool down(const ApiObject *host, const char *method, GError **error)
{
    if (host_go_down(host, method, error))
        return true;
    if (api_object_do(host, "host.enable", NULL, NULL))
        api_object_barrier(host);
    return false;
}

bool host_restart(const ApiObject *host, bool force, GError **error)
{
    bool ok = empty(host, force, error) && down(host, "host.reboot", error);
    if (ok)
        host_settle(host);
    return ok;
}

/* --- Restarting with the machines asleep --- */

typedef struct {
    json_t *refs;    /* {reference: uuid} of machines that run here */
    json_t *blocked; /* uuids of those that may not be suspended */
} Residents;

static void residents_clear(Residents *residents)
{
    json_decref(residents->refs);
    json_decref(residents->blocked);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Residents, residents_clear)

static bool residents_of(const ApiObject *host, Residents *residents, GError **error)
{
    Xapi *xapi = api_object_xapi(host);
    json_t *refs = xapi_call(xapi, "host.get_resident_VMs", json_pack("[s]", host->ref), error),
           *ref;
    size_t i;
    *residents = (Residents){ json_object(), json_array() };
    json_array_foreach (refs, i, ref) {
        json_t *vm = xapi_call(xapi, "VM.get_record", json_pack("[O]", ref), NULL);
        if (vm && !json_is_true(json_object_get(vm, "is_control_domain"))) {
            json_object_set(residents->refs, json_string_value(ref), json_object_get(vm, "uuid"));
            if (json_object_get(json_object_get(vm, "blocked_operations"), "suspend"))
                json_array_append(residents->blocked, json_object_get(vm, "uuid"));
        }
        json_decref(vm);
    }
    bool ok = refs != NULL;
    json_decref(refs);
    return ok;
}

static bool check_blocked(ApiCall *call, const Residents *residents, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    json_t *bypass = call_get(call, "bypassBlockedSuspend");
    if (json_array_size(residents->blocked) == 0 ||
        (bypass ? json_is_true(bypass) : call_bool(call, "force")))
        return true;
    api_error_set(error, API_INCORRECT_STATE,
                  json_pack("{s:O, s:[], s:s, s:s}", "actual", residents->blocked, "expected",
                            "object", host->id, "property", "vmsWithSuspendBlocked"),
                  "%zu machines on host %s may not be suspended: shut them down, or give "
                  "bypassBlockedSuspend",
                  json_array_size(residents->blocked), api_object_text(host, "name_label"));
    return false;
}

static bool suspend_one(Xapi *xapi, const char *vm, GError **error)
{
    json_t *blocked = xapi_call(xapi, "VM.get_blocked_operations", json_pack("[s]", vm), NULL);
    json_t *reason = json_object_get(blocked, "suspend");
    if (reason)
        xapi_do(xapi, "VM.remove_from_blocked_operations", json_pack("[s, s]", vm, "suspend"),
                NULL);
    g_autofree char *done =
        xapi_call_task(xapi, "VM.suspend", json_pack("[s]", vm), NULL, NULL, NULL, error);
    if (reason)
        xapi_do(xapi, "VM.add_to_blocked_operations", json_pack("[s, s, O]", vm, "suspend", reason),
                NULL);
    json_decref(blocked);
    return done != NULL;
}

static bool suspend_and_reboot(ApiCall *call, const ApiObject *host, const Residents *residents,
                               GError **error)
{
    Xapi *xapi = api_object_xapi(host);
    const char *vm;
    json_t *uuid;
    double since = host_agent_start(xapi, host->ref, error);
    if (since < 0 || !api_object_do(host, "host.disable", NULL, error))
        return false;
    json_object_foreach (residents->refs, vm, uuid)
        if (!suspend_one(xapi, vm, error))
            return false;
    return host_go_down(host, "host.reboot", error) &&
           host_wait_back(xapi, host, since, true, host_patience_ms(call, HOST_BACK_MS), error);
}

/* Whatever happens on the way, the host comes back into service and its machines wake up. */
static bool smart_reboot(ApiCall *call, const ApiObject *host, GError **error)
{
    g_auto(Residents) residents = { NULL };
    if (!residents_of(host, &residents, error) || !check_blocked(call, &residents, error))
        return false;
    g_autofree char *words =
        g_strdup_printf("The restart of host %s", api_object_text(host, "name_label"));
    json_t *debt = host_debt_new(api_object_text(host, "$pool"), words), *uuid;
    const char *vm;
    if (json_is_true(json_object_get(host->view, "enabled")))
        json_array_append_new(json_object_get(debt, "hosts"), json_string(host->id));
    json_object_foreach (residents.refs, vm, uuid)
        json_array_append(json_object_get(debt, "resume"), uuid);
    json_t *kept = json_deep_copy(debt);
    g_autofree char *id = host_debt_begin(call, debt, error);
    g_autoptr(GError) failure = NULL, unpaid = NULL;
    bool ok = id && suspend_and_reboot(call, host, &residents, &failure);
    bool paid = id && host_debt_pay(call, id, kept, &unpaid);
    json_decref(kept);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    else if (unpaid)
        g_propagate_error(error, g_steal_pointer(&unpaid));
    return ok && paid;
}

static json_t *restart(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    bool force = call_bool(call, "force");
    if (!backup_guard(call, host, error) || !check_version(call, host, error))
        return NULL;
    if (call_bool(call, "suspendResidentVms"))
        smart_reboot(call, host, error);
    else
        host_restart(host, force, error);
    return seen(host);
}

/* --- Off and on --- */

static json_t *stop(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (!backup_guard(call, host, error))
        return NULL;
    bool ready = call_bool(call, "bypassEvacuate")
                     ? api_object_do(host, "host.disable", NULL, error)
                     : empty(host, false, error);
    if (ready)
        down(host, "host.shutdown", error);
    return gone(host);
}

static json_t *start(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (api_object_do(host, "host.power_on", NULL, error))
        api_object_barrier(host);
    return NULL;
}

static json_t *emergency_shutdown(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    Xapi *xapi = api_object_xapi(host);
    g_auto(Residents) residents = { NULL };
    const char *vm;
    json_t *uuid;
    if (!api_object_do(host, "host.disable", NULL, error) || !residents_of(host, &residents, error))
        return NULL;
    json_object_foreach (residents.refs, vm, uuid) {
        g_autofree char *done =
            xapi_call_task(xapi, "VM.suspend", json_pack("[s]", vm), NULL, NULL, NULL, NULL);
    }
    host_go_down(host, "host.shutdown", error);
    return gone(host);
}

static json_t *restart_agent(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    Xapi *xapi = api_object_xapi(host);
    bool was_enabled = json_is_true(json_object_get(host->view, "enabled"));
    if (!backup_guard(call, host, error))
        return NULL;
    double since = host_agent_start(xapi, host->ref, error);
    if (since >= 0 && api_object_do(host, "host.restart_agent", NULL, error))
        host_wait_back(xapi, host, since, was_enabled, host_patience_ms(call, HOST_AGENT_MS),
                       error);
    return seen(host);
}

/* --- host.setMaintenanceMode --- */

static json_t *set_maintenance(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (call_bool(call, "maintenance"))
        host_clear(host, call_get(call, "vmsToForceMigrate"), error);
    else
        api_object_do(host, "host.enable", NULL, error);
    return seen(host);
}

#define BYPASS_BACKUP                                                                              \
    OPT(BOOL("bypassBackupCheck"), .words = "also while a backup runs on the pool")

const Method methods_host_power[] = {
    { "host.restart", restart,
      PARAMS(REQ(ID("id", "host", "operate")), OPT(BOOL("force")),
             DEF("false", BOOL("suspendResidentVms"), .words = "instead of moving them away"),
             BYPASS_BACKUP, OPT(BOOL("bypassBlockedSuspend")), OPT(BOOL("bypassCurrentVmCheck")),
             OPT(BOOL("bypassVersionCheck"), .words = "also before the master")),
      .access = ACCESS_USER, .long_running = true, .example = "id=$MEMBER",
      .summary = "Restart a host." },
    { "host.stop", stop,
      PARAMS(REQ(ID("id", "host", "operate")), BYPASS_BACKUP, OPT(BOOL("bypassEvacuate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$MEMBER",
      .summary = "Move the machines of a host away and shut it down." },
    { "host.start", start, PARAMS(REQ(ID("id", "host", "operate"))), .access = ACCESS_USER,
      .example = "id=$HALTED_HOST", .summary = "Power a host on." },
    { "host.restartAgent", restart_agent,
      PARAMS(REQ(ID("id", "host", "administrate")), BYPASS_BACKUP), .access = ACCESS_USER,
      .long_running = true, .example = "id=$MEMBER",
      .summary = "Restart the toolstack of a host." },
    { "host.restart_agent", restart_agent,
      PARAMS(REQ(ID("id", "host", "administrate")), BYPASS_BACKUP), .access = ACCESS_USER,
      .long_running = true, .example = "id=$MEMBER",
      .summary = "The former name of host.restartAgent." },
    { "host.emergencyShutdownHost", emergency_shutdown,
      PARAMS(REQ(ID("host", "host", "administrate"))), .access = ACCESS_USER, .long_running = true,
      .example = "host=$MEMBER",
      .summary = "Suspend what runs on a host and shut it down at once." },
    { "host.setMaintenanceMode", set_maintenance,
      PARAMS(
          REQ(ID("id", "host", "administrate")), REQ(BOOL("maintenance")),
          OPT(ARR("vmsToForceMigrate", P_STRING), .words = "also when their migration is blocked")),
      .access = ACCESS_USER, .long_running = true, .example = "id=$MEMBER maintenance=true",
      .summary = "Empty a host and let no machine start on it, or bring it back into service." },
    { NULL },
};
