/* pool.rollingReboot and pool.rollingUpdate: one host at a time, the master first, each emptied
 * before and waited for after; in the end machines go back to where they ran. What is owed
 * meanwhile (hosts in service, machines awake, at home) is a debt in the store: host_return.h. */
#include "api/method.h"
#include "api/methods/backup_guard.h"
#include "api/methods/host_clear.h"
#include "api/methods/host_return.h"
#include "api/methods/pool_patches.h"
#include "base/log.h"

#include <string.h>

typedef struct {
    ApiCall *call;
    const ApiObject *pool;
    GPtrArray *hosts; /* ApiObject, the master first */
    json_t *debt;
    bool update;
} Rolling;

/* --- Before anything is done --- */

static bool check_hosts(const Rolling *rolling, GError **error)
{
    for (unsigned i = 0; i < rolling->hosts->len; i++) {
        const ApiObject *host = rolling->hosts->pdata[i];
        const char *name = api_object_text(host, "name_label");
        if (!g_str_equal(api_object_text(host, "power_state"), "Running"))
            err_set(error, ERR_STATE, "host %s is down: all hosts must run", name);
        else if (!json_is_true(json_object_get(host->view, "enabled")))
            err_set(error, ERR_STATE, "host %s is out of service: bring it back first", name);
        else
            continue;
        return false;
    }
    if (rolling->hosts->len > 1)
        return true;
    err_set(error, ERR_STATE, "the pool has one host: there is nowhere for its machines to go");
    return false;
}

static bool check_ha(const Rolling *rolling, GError **error)
{
    if (!json_is_true(json_object_get(rolling->pool->view, "HA_enabled")))
        return true;
    err_set(error, ERR_STATE,
            "high availability is on, it would fight the restarts: switch it off first");
    return false;
}

/* One machine that cannot leave its host: named, or noted to be shut down meanwhile. */
static bool check_pinned_vm(const Rolling *rolling, const char *ref, json_t *reason, GError **error)
{
    Xapi *xapi = api_object_xapi(rolling->pool);
    json_t *vm = xapi_call(xapi, "VM.get_record", json_pack("[s]", ref), error);
    bool shut = vm && call_bool(rolling->call, "shutdownPinnedVms");
    if (shut)
        json_array_append(json_object_get(rolling->debt, "start"), json_object_get(vm, "uuid"));
    else if (vm)
        err_set(error, ERR_STATE,
                "VM %s cannot leave its host (%s): shut it down, or give shutdownPinnedVms",
                json_string_value(json_object_get(vm, "name_label")),
                json_string_value(json_array_get(reason, 0)));
    json_decref(vm);
    return shut;
}

static bool check_pinned(const Rolling *rolling, GError **error)
{
    for (unsigned i = 0; i < rolling->hosts->len; i++) {
        const ApiObject *host = rolling->hosts->pdata[i];
        json_t *all = xapi_call(api_object_xapi(host), "host.get_vms_which_prevent_evacuation",
                                json_pack("[s]", host->ref), error);
        const char *ref;
        json_t *reason;
        bool ok = all != NULL;
        json_object_foreach (all, ref, reason)
            ok = ok && check_pinned_vm(rolling, ref, reason, error);
        json_decref(all);
        if (!ok)
            return false;
    }
    return true;
}

static bool check(const Rolling *rolling, GError **error)
{
    return backup_guard(rolling->call, rolling->pool, error) && check_hosts(rolling, error) &&
           check_ha(rolling, error) && check_pinned(rolling, error);
}

/* --- The debt --- */

static void note_home(const char *id, const char *type, GBytes *text, void *user)
{
    const Rolling *rolling = user;
    json_t *vm = json_loads(g_bytes_get_data(text, NULL), 0, NULL);
    if (g_strcmp0(json_string_value(json_object_get(vm, "power_state")), "Running") == 0)
        json_object_set(json_object_get(rolling->debt, "homes"), id,
                        json_object_get(vm, "$container"));
    json_decref(vm);
}

static void note_debt(const Rolling *rolling)
{
    for (unsigned i = 0; i < rolling->hosts->len; i++)
        json_array_append_new(json_object_get(rolling->debt, "hosts"),
                              json_string(((ApiObject *) rolling->hosts->pdata[i])->id));
    inventory_each(rolling->pool->inventory, "VM", note_home, (void *) rolling);
    if (json_is_true(json_object_get(rolling->pool->view, "auto_poweron")))
        json_object_set_new(rolling->debt, "autoPoweron", json_true());
}

/* --- One host --- */

static bool wants_restart(const Rolling *rolling, const ApiObject *host, bool *wants,
                          GError **error)
{
    *wants = true;
    if (!rolling->update)
        return true;
    json_t *missing = patches_missing(host, error);
    *wants = json_array_size(missing) > 0 ||
             json_is_true(json_object_get(host->view, "rebootRequired"));
    json_decref(missing);
    return missing != NULL;
}

static bool shut_pinned(const Rolling *rolling, const ApiObject *host, GError **error)
{
    Xapi *xapi = api_object_xapi(host);
    json_t *uuid;
    size_t i;
    json_array_foreach (json_object_get(rolling->debt, "start"), i, uuid) {
        g_autofree char *vm =
            xapi_call_string(xapi, "VM.get_by_uuid", json_pack("[O]", uuid), NULL);
        g_autofree char *on =
            vm ? xapi_call_string(xapi, "VM.get_resident_on", json_pack("[s]", vm), NULL) : NULL;
        if (g_strcmp0(on, host->ref) != 0)
            continue;
        g_autofree char *clean =
            xapi_call_task(xapi, "VM.clean_shutdown", json_pack("[s]", vm), NULL, NULL, NULL, NULL);
        if (!clean && !xapi_do(xapi, "VM.hard_shutdown", json_pack("[s]", vm), error))
            return false;
    }
    return true;
}

static bool roll_host(const Rolling *rolling, const ApiObject *host, GError **error)
{
    Xapi *xapi = api_object_xapi(host);
    bool wants;
    if (!wants_restart(rolling, host, &wants, error))
        return false;
    if (!wants)
        return true;
    log_info("api", "%s: host %s", call_name(rolling->call), api_object_text(host, "name_label"));
    double since = host_agent_start(xapi, host->ref, error);
    return since >= 0 && shut_pinned(rolling, host, error) && host_clear(host, NULL, error) &&
           (!rolling->update || patches_install(host, error)) &&
           host_go_down(host, "host.reboot", error) &&
           host_wait_back(xapi, host, since, true, host_patience_ms(rolling->call, HOST_BACK_MS),
                          error);
}

/* Between two hosts it can be stopped without harm. */
static bool may_go_on(const Rolling *rolling, GError **error)
{
    return !cancel_check(call_cancel(rolling->call), call_name(rolling->call), error);
}

/* The pool would start machines of its own accord after the master's restart. */
static bool roll_all(const Rolling *rolling, GError **error)
{
    if (json_object_get(rolling->debt, "autoPoweron") &&
        !api_object_do(rolling->pool, "pool.remove_from_other_config",
                       json_pack("[s]", "auto_poweron"), error))
        return false;
    for (unsigned i = 0; i < rolling->hosts->len; i++) {
        g_autoptr(GError) failure = NULL;
        const ApiObject *host = rolling->hosts->pdata[i];
        g_autofree char *step =
            call_begin_step(rolling->call, api_object_text(host, "name_label"), host);
        bool done = may_go_on(rolling, &failure) && roll_host(rolling, host, &failure);
        call_end_step(rolling->call, step, done);
        if (done)
            continue;
        err_set(error, ERR_STATE, "it ended at host %s, %u of %u were done: %s",
                api_object_text(host, "name_label"), i, rolling->hosts->len, failure->message);
        return false;
    }
    return true;
}

static json_t *roll(ApiCall *call, bool update, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    g_autoptr(GPtrArray) hosts = pool_hosts(call, pool, error);
    g_autoptr(GError) failure = NULL, unpaid = NULL;
    if (!hosts)
        return NULL;
    g_autofree char *words = g_strdup_printf("The rolling %s of the pool %s",
                                             update ? "update" : "reboot",
                                             api_object_text(pool, "name_label"));
    Rolling rolling = { call, pool, hosts, host_debt_new(pool->id, words), update };
    if (check(&rolling, error)) {
        note_debt(&rolling);
        g_autofree char *id = host_debt_begin(call, json_deep_copy(rolling.debt), error);
        if (id && !roll_all(&rolling, &failure))
            g_propagate_error(error, g_steal_pointer(&failure));
        if (id && !host_debt_pay(call, id, rolling.debt, &unpaid))
            log_warning("api", "%s: %s", call_name(call), unpaid->message);
        if (unpaid && error && !*error)
            g_propagate_error(error, g_steal_pointer(&unpaid));
    }
    json_decref(rolling.debt);
    host_settle(pool);
    return NULL;
}

static json_t *rolling_reboot(ApiCall *call, GError **error)
{
    return roll(call, false, error);
}

static json_t *rolling_update(ApiCall *call, GError **error)
{
    return roll(call, true, error);
}

/* --- pool.emergencyShutdown --- */

static bool shut_host(const ApiObject *host, GError **error)
{
    Xapi *xapi = api_object_xapi(host);
    json_t *vms = xapi_call(xapi, "host.get_resident_VMs", json_pack("[s]", host->ref), error), *vm;
    size_t i;
    if (!vms || !api_object_do(host, "host.disable", NULL, error)) {
        json_decref(vms);
        return false;
    }
    json_array_foreach (vms, i, vm) { /* the control domain refuses, which is well */
        g_autofree char *done =
            xapi_call_task(xapi, "VM.suspend", json_pack("[O]", vm), NULL, NULL, NULL, NULL);
    }
    json_decref(vms);
    return host_go_down(host, "host.shutdown", error);
}

/* The master goes last: without it nobody listens. */
static json_t *emergency_shutdown(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    g_autoptr(GPtrArray) hosts = pool_hosts(call, pool, error);
    g_autoptr(GError) first = NULL;
    for (unsigned i = hosts ? hosts->len : 0; i-- > 0;) {
        const ApiObject *host = hosts->pdata[i];
        if (g_str_equal(api_object_text(host, "power_state"), "Running"))
            shut_host(host, first ? NULL : &first);
    }
    if (first)
        g_propagate_error(error, g_steal_pointer(&first));
    return NULL;
}

#define POOL REQ(ID("pool", "pool", "administrate"))
#define PINNED                                                                                     \
    DEF("false", BOOL("shutdownPinnedVms"),                                                        \
        .words = "those that cannot move: until their host is back")

const Method methods_pool_rolling[] = {
    { "pool.rollingReboot", rolling_reboot,
      PARAMS(POOL, DEF("false", BOOL("bypassBackupCheck")), PINNED), .access = ACCESS_USER,
      .long_running = true, .example = "pool=$CALM_POOL shutdownPinnedVms=true",
      .summary = "Restart the hosts of a pool one after the other, their machines go on." },
    { "pool.rollingUpdate", rolling_update,
      PARAMS(POOL, OPT(BOOL("rebootVm")), OPT(BOOL("bypassBackupCheck")), PINNED),
      .access = ACCESS_USER, .long_running = true,
      .example = "pool=$CALM_POOL shutdownPinnedVms=true",
      .summary =
          "Update and restart the hosts of a pool one after the other, their machines go on." },
    { "pool.emergencyShutdown", emergency_shutdown, PARAMS(POOL), .access = ACCESS_USER,
      .long_running = true, .example = "pool=$NOBODYS_POOL",
      .summary = "Suspend what runs in a pool and shut all its hosts down at once." },
    { NULL },
};
