/* Hosts up and down: taken out of service, emptied, rebooted, switched off and on. A host that is
 * down answers nothing, neither itself nor through the master. */
#include "sim/guest.h"
#include "sim/hardware.h"
#include "sim/host_power.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"

#include <string.h>

enum { BEFORE_MS = 50, AGENT_MS = 300, REBOOT_MS = 800 };

static json_t *refuse(GError **error, const char *code, const Obj *obj)
{
    sim_error(error, code, obj == NULL ? NULL : obj_ref(obj), NULL);
    return NULL;
}

Obj *host_live(Call *call, guint i, GError **error)
{
    Obj *host = call_obj(call, i, "host", error);
    if (host == NULL || obj_bool(obj_follow(host, "metrics"), "live"))
        return host;
    sim_error(error, "HOST_OFFLINE", obj_ref(host), NULL);
    return NULL;
}

/* --- In and out of service --- */

/* Until it is enabled, or only until it starts again. */
#define STAYS_DISABLED "sim:stays-disabled"

static json_t *host_disable(Call *call, GError **error)
{
    Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    obj_put_bool(host, "enabled", false);
    if (call_param(call, 1) != NULL && !call_bool(call, 1))
        obj_map_put(host, "other_config", STAYS_DISABLED, "true");
    return call_void();
}

static json_t *host_enable(Call *call, GError **error)
{
    Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    if (obj_map_get(host, "other_config", "sim:refuses-to-enable") != NULL)
        return refuse(error, "HOST_DISABLED_UNTIL_REBOOT", host);
    obj_map_remove(host, "other_config", STAYS_DISABLED);
    obj_put_bool(host, "enabled", true);
    return call_void();
}

/* --- Down and back --- */

static void times_renew(Obj *host, bool booted)
{
    g_autofree char *now = g_strdup_printf("%.3f", (double) g_get_real_time() / G_USEC_PER_SEC);
    if (booted)
        obj_map_put(host, "other_config", "boot_time", now);
    obj_map_put(host, "other_config", "agent_start_time", now);
}

/* The sockets of a host, without the lock; the master's end takes all sessions with it. */
static void sockets(Sim *sim, const Obj *host, bool open)
{
    int number = listeners_number(sim_listeners(sim), obj_str(host, "address"));
    if (!open && host == sim_master(sim))
        sessions_drop_all(sim);
    if (number < 0)
        return;
    sim_unlock(sim);
    if (open)
        listeners_resume(sim_listeners(sim), (guint) number, NULL);
    else
        listeners_pause(sim_listeners(sim), (guint) number);
    sim_lock(sim);
}

static void host_back(Sim *sim, const char *ref)
{
    Obj *host = obj_find(sim, "host", ref);
    if (host == NULL)
        return;
    sockets(sim, host, true);
    host = obj_find(sim, "host", ref);
    if (host == NULL)
        return;
    bool booted = !obj_bool(obj_follow(host, "metrics"), "live");
    times_renew(host, booted);
    if (booted)
        hardware_booted(host);
    obj_put_bool(obj_follow(host, "metrics"), "live", true);
    if (obj_map_get(host, "other_config", STAYS_DISABLED) == NULL)
        obj_put_bool(host, "enabled", true);
}

/* Up already, by a power-on in the midst of a reboot: it does not start twice. */
static void host_booted(Sim *sim, const char *ref)
{
    const Obj *host = obj_find(sim, "host", ref);
    if (host != NULL && !obj_bool(obj_follow(host, "metrics"), "live"))
        host_back(sim, ref);
}

static void host_down(Sim *sim, const char *ref)
{
    const Obj *host = obj_find(sim, "host", ref);
    if (host != NULL)
        sockets(sim, host, false);
}

static json_t *host_restart_agent(Call *call, GError **error)
{
    Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    obj_put_bool(host, "enabled", false);
    clock_after(sim_clock(call_sim(call)), AGENT_MS, host_back, obj_ref(host));
    return call_void();
}

/* A host with guests does not go down; nor one that still takes new ones. */
static Obj *host_idle(Call *call, GError **error)
{
    Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    if (obj_bool(host, "enabled")) {
        refuse(error, "HOST_NOT_DISABLED", NULL);
        return NULL;
    }
    for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++) {
        const Obj *vm = obj_follow_nth(host, "resident_VMs", i);
        if (!obj_bool(vm, "is_control_domain")) {
            sim_error(error, "HOST_IN_USE", obj_ref(host), "VM", obj_ref(vm), NULL);
            return NULL;
        }
    }
    return host;
}

/* How long it is away, ms; -1: for ever. */
static int away_ms(const Obj *host)
{
    const char *text = obj_map_get(host, "other_config", "sim:reboot-ms");
    return text == NULL ? REBOOT_MS : atoi(text);
}

static json_t *host_reboot(Call *call, GError **error)
{
    Obj *host = host_idle(call, error);
    Clock *clock = sim_clock(call_sim(call));
    if (host == NULL)
        return NULL;
    obj_put_bool(obj_follow(host, "metrics"), "live", false);
    clock_after(clock, BEFORE_MS, host_down, obj_ref(host));
    if (away_ms(host) >= 0)
        clock_after(clock, BEFORE_MS + (guint) away_ms(host), host_booted, obj_ref(host));
    return call_void();
}

static json_t *host_shutdown(Call *call, GError **error)
{
    Obj *host = host_idle(call, error);
    if (host == NULL)
        return NULL;
    obj_put_bool(obj_follow(host, "metrics"), "live", false);
    clock_after(sim_clock(call_sim(call)), BEFORE_MS, host_down, obj_ref(host));
    return call_void();
}

static json_t *host_power_on(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    if (*obj_str(host, "power_on_mode") == '\0')
        return refuse(error, "HOST_POWER_ON_MODE_DISABLED", NULL);
    if (!obj_bool(obj_follow(host, "metrics"), "live"))
        clock_after(sim_clock(call_sim(call)), REBOOT_MS, host_booted, obj_ref(host));
    return call_void();
}

/* --- Out of the pool --- */

/* What exists on this host alone goes with it. */
static void local_drop(Obj *host)
{
    while (obj_set_size(host, "PBDs") > 0) {
        Obj *pbd = obj_follow_nth(host, "PBDs", 0), *sr = obj_follow(pbd, "SR");
        obj_drop(pbd);
        if (sr == NULL || obj_bool(sr, "shared") || obj_set_size(sr, "PBDs") > 0)
            continue;
        while (obj_set_size(sr, "VDIs") > 0)
            obj_drop(obj_follow_nth(sr, "VDIs", 0));
        obj_drop(sr);
    }
    while (obj_set_size(host, "PIFs") > 0)
        obj_drop(obj_follow_nth(host, "PIFs", 0));
}

static void host_leave(Obj *host)
{
    Obj *metrics = obj_follow(host, "metrics"), *dom0 = obj_follow(host, "control_domain");
    local_drop(host);
    hardware_drop(host);
    while (obj_set_size(host, "host_CPUs") > 0)
        obj_drop(obj_follow_nth(host, "host_CPUs", 0));
    while (obj_set_size(host, "certificates") > 0)
        obj_drop(obj_follow_nth(host, "certificates", 0));
    if (dom0 != NULL)
        obj_drop(dom0);
    obj_drop(host);
    if (metrics != NULL)
        obj_drop(metrics);
}

static json_t *host_destroy(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL)
        return NULL;
    if (host == sim_master(call_sim(call)))
        return refuse(error, "HOST_CANNOT_DESTROY_SELF", host);
    if (obj_bool(obj_follow(host, "metrics"), "live"))
        return refuse(error, "HOST_IS_LIVE", host);
    host_leave(host);
    return call_void();
}

/* It becomes a pool of its own, which is not simulated: nobody answers there any more. */
static json_t *pool_eject(Call *call, GError **error)
{
    Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    if (host == sim_master(call_sim(call)))
        return refuse(error, "HOST_CANNOT_DESTROY_SELF", host);
    if (obj_bool(sim_pool(call_sim(call)), "ha_enabled"))
        return refuse(error, "HA_IS_ENABLED", NULL);
    for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++) {
        const Obj *vm = obj_follow_nth(host, "resident_VMs", i);
        if (!obj_bool(vm, "is_control_domain"))
            return refuse(error, "HOST_HAS_RESIDENT_VMS", host);
    }
    host_leave(host);
    return call_void();
}

/* --- Evacuation --- */

/* The guests of a host, refs. */
static GPtrArray *guests_of(const Obj *host)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++) {
        const Obj *vm = obj_follow_nth(host, "resident_VMs", i);
        if (!obj_bool(vm, "is_control_domain"))
            g_ptr_array_add(list, g_strdup(obj_ref(vm)));
    }
    return list;
}

/* Says more than that no host is in service. */
static bool is_telling(const GError *reason)
{
    static const char *const dull[] = { "HOST_DISABLED", "HOST_OFFLINE", NULL };
    return reason != NULL && !g_strv_contains(dull, err_xapi_code(reason));
}

static Obj *refuge(Obj *vm, const Obj *from, GError **error)
{
    g_autoptr(GError) why = NULL;
    for (Obj *host = obj_first(obj_sim(vm), "host"); host != NULL; host = obj_next(host)) {
        g_autoptr(GError) reason = NULL;
        if (host == from)
            continue;
        if (guest_place(vm, host, &reason) != NULL)
            return host;
        if (why == NULL && is_telling(reason))
            why = g_steal_pointer(&reason);
    }
    if (why != NULL)
        g_propagate_error(error, g_steal_pointer(&why));
    else
        sim_error(error, "NO_HOSTS_AVAILABLE", NULL);
    return NULL;
}

static json_t *host_evacuate(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    g_autoptr(GPtrArray) guests = guests_of(host);
    for (guint i = 0; i < guests->len; i++) {
        Obj *vm = obj_find(sim, "VM", guests->pdata[i]);
        host = obj_find(sim, "host", call_str(call, 0));
        Obj *to = vm == NULL ? NULL : refuge(vm, host, error);
        json_t *moved = to == NULL ? NULL
                                   : call_run(call, "VM.pool_migrate",
                                              json_pack("[ss{}]", obj_ref(vm), obj_ref(to)), error);
        if (moved == NULL)
            return NULL;
        json_decref(moved);
    }
    return call_void();
}

static json_t *host_get_vms_which_prevent_evacuation(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const Obj *host = host_live(call, 0, error);
    if (host == NULL)
        return NULL;
    json_t *all = json_object();
    g_autoptr(GPtrArray) guests = guests_of(host);
    for (guint i = 0; i < guests->len; i++) {
        g_autoptr(GError) reason = NULL;
        Obj *vm = obj_find(sim, "VM", guests->pdata[i]);
        if (refuge(vm, host, &reason) == NULL)
            json_object_set_new(all, guests->pdata[i], call_failure(reason));
    }
    return all;
}

static json_t *host_assert_can_evacuate(Call *call, GError **error)
{
    json_t *all = host_get_vms_which_prevent_evacuation(call, error);
    bool ok = all != NULL && json_object_size(all) == 0;
    if (all != NULL && !ok)
        sim_error(error, "CANNOT_EVACUATE_HOST", "NO_HOSTS_AVAILABLE", NULL);
    json_decref(all);
    return ok ? call_void() : NULL;
}

const Method host_power_methods[] = {
    { "host.disable", host_disable },
    { "host.enable", host_enable },
    { "host.restart_agent", host_restart_agent },
    { "host.reboot", host_reboot },
    { "host.shutdown", host_shutdown },
    { "host.power_on", host_power_on },
    { "host.destroy", host_destroy },
    { "pool.eject", pool_eject },
    { "host.evacuate", host_evacuate },
    { "host.get_vms_which_prevent_evacuation", host_get_vms_which_prevent_evacuation },
    { "host.assert_can_evacuate", host_assert_can_evacuate },
    { NULL, NULL },
};
