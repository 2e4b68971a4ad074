/* A guest as the pool sees it: its domain, its devices, and the agent inside that reports after a
 * while, each change in the order in which a real host makes it. */
#include "sim/guest.h"

#include "base/mutant.h"

#include "sim/inner.h"
#include "sim/lifecycle.h"

#include <string.h>

/* --- Devices --- */

void guest_refresh_device(Obj *device)
{
    static const char *const disk[] = { "attach", "unpause", "pause",
                                        "plug",   "unplug",  "unplug_force" };
    static const char *const idle[] = { "attach", "unpause", "pause" };
    static const char *const cd_full[] = { "attach", "eject" }, *const cd_empty[] = { "attach",
                                                                                      "insert" };
    static const char *const vif[] = { "attach", "plug", "unplug" };
    Obj *vm = obj_follow(device, "VM");
    bool running = vm != NULL && strcmp(obj_str(vm, "power_state"), "Running") == 0;
    if (strcmp(obj_class(device), "VIF") == 0)
        obj_set_assign(device, "allowed_operations", vif, running ? 3 : 1);
    else if (strcmp(obj_str(device, "type"), "CD") == 0)
        obj_set_assign(device, "allowed_operations", obj_bool(device, "empty") ? cd_empty : cd_full,
                       2);
    else
        obj_set_assign(device, "allowed_operations", running ? disk : idle, running ? 6 : 3);
}

static void refresh_disk(Obj *vbd)
{
    Obj *vdi = obj_follow(vbd, "VDI");
    if (vdi != NULL)
        storage_vdi_refresh(vdi);
}

void guest_attach(Obj *device)
{
    if (strcmp(obj_class(device), "VBD") == 0) {
        gint64 number = g_ascii_strtoll(obj_str(device, "userdevice"), NULL, 10);
        g_autofree char *name = number < 26 ? g_strdup_printf("xvd%c", (char) ('a' + number))
                                            : g_strdup_printf("xvda%c", (char) ('a' + number % 26));
        obj_put_str(device, "device", name);
        obj_put_bool(device, "currently_attached", true);
        refresh_disk(device);
    } else {
        obj_put_bool(device, "currently_attached", true);
    }
    guest_refresh_device(device);
}

void guest_detach(Obj *device)
{
    obj_put_bool(device, "currently_attached", false);
    if (strcmp(obj_class(device), "VBD") == 0) {
        obj_put_str(device, "device", "");
        refresh_disk(device);
    }
    guest_refresh_device(device);
}

static void each_device(Obj *vm, void (*act)(Obj *device))
{
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++)
        act(obj_follow_nth(vm, "VBDs", i));
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++)
        act(obj_follow_nth(vm, "VIFs", i));
}

/* --- The agent in the guest --- */

static const char *tools_of(Obj *vm)
{
    const char *tools = obj_map_get(vm, "other_config", "sim:tools");
    return tools == NULL ? "yes" : tools;
}

/* The health check that a backup product leaves in xenstore, answered as its script would. */
static void answer_health_check(Obj *vm)
{
    static const char key[] = "vm-data/xo-backup-health-check";
    const char *asked = obj_map_get(vm, "xenstore_data", key);
    if (asked == NULL || strcmp(asked, "planned") != 0)
        return;
    bool fails = obj_map_get(vm, "other_config", "sim:health-check-fails") != NULL;
    obj_map_put(vm, "xenstore_data", key, fails ? "failure" : "success");
    if (fails)
        obj_map_put(vm, "xenstore_data", "vm-data/xo-backup-health-check-error",
                    obj_map_get(vm, "other_config", "sim:health-check-fails"));
}

static void put_pairs(Obj *obj, const char *field, const char *const *pairs)
{
    for (; *pairs != NULL; pairs += 2)
        obj_map_put(obj, field, pairs[0], pairs[1]);
}

static void report_network(Obj *vm, Obj *guest)
{
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++) {
        const Obj *vif = obj_follow_nth(vm, "VIFs", i);
        guint hash = g_str_hash(obj_str(vif, "MAC"));
        const char *device = obj_str(vif, "device");
        g_autofree char *ip = g_strdup_printf("10.%u.%u.%u", hash >> 16 & 0xff, hash >> 8 & 0xff,
                                              1 + (hash & 0xff) % 254);
        g_autofree char *old = g_strdup_printf("%s/ip", device);
        g_autofree char *v4 = g_strdup_printf("%s/ipv4/0", device);
        obj_map_put(guest, "networks", old, ip);
        obj_map_put(guest, "networks", v4, ip);
    }
}

static void agent_reports(Obj *vm)
{
    static const char *const versions[] = { "major", "8",     "minor", "4", "micro",
                                            "0",     "build", "1",     NULL };
    static const char *const system[] = { "name",   "Debian GNU/Linux 12 (bookworm)",
                                          "distro", "debian",
                                          "major",  "12",
                                          "minor",  "0",
                                          "uname",  "6.1.0",
                                          NULL };
    static const char *const features[] = { "feature-shutdown",
                                            "1",
                                            "feature-suspend",
                                            "1",
                                            "feature-reboot",
                                            "1",
                                            "feature-vcpu-hotplug",
                                            "1",
                                            "feature-balloon",
                                            "1",
                                            NULL };
    Obj *guest = obj_follow(vm, "guest_metrics");
    if (guest == NULL)
        return;
    put_pairs(guest, "PV_drivers_version", versions);
    put_pairs(guest, "os_version", system);
    put_pairs(guest, "other", features);
    report_network(vm, guest);
    obj_put_str(guest, "can_use_hotplug_vbd", "yes");
    obj_put_str(guest, "can_use_hotplug_vif", "yes");
    obj_put_bool(guest, "PV_drivers_up_to_date", true);
    obj_put_bool(guest, "PV_drivers_detected", true);
    obj_put_int(guest, "last_updated", sim_now(obj_sim(vm)));
    answer_health_check(vm);
    vm_refresh(vm);
}

enum { AGENT_RETRY_MS = 200 };

/* The boot delay is over. `ref` is that of the guest metrics: another boot has another one. */
static void agent_awakes(Sim *sim, const char *ref)
{
    Obj *vm = obj_first(sim, "VM");
    while (vm != NULL && strcmp(obj_str(vm, "guest_metrics"), ref) != 0)
        vm = obj_next(vm);
    const char *state = vm == NULL ? "" : obj_str(vm, "power_state");
    if (strcmp(state, "Running") == 0)
        agent_reports(vm);
    else if (strcmp(state, "Paused") == 0) /* it boots on when it is unpaused */
        clock_after(sim_clock(sim), AGENT_RETRY_MS, agent_awakes, ref);
}

/* A fresh record, linked before anyone can see the VM running. */
static Obj *guest_metrics_renew(Obj *vm)
{
    Obj *old = obj_follow(vm, "guest_metrics");
    obj_put_ref(vm, "guest_metrics", NULL);
    if (old != NULL)
        obj_drop(old);
    Obj *guest = obj_new(obj_sim(vm), "VM_guest_metrics");
    obj_put_bool(guest, "live", true);
    obj_put_int(guest, "last_updated", sim_now(obj_sim(vm)));
    obj_put_ref(vm, "guest_metrics", guest);
    return guest;
}

static void agent_schedule(Obj *vm, Obj *guest)
{
    Sim *sim = obj_sim(vm);
    guint ms = sim_options(sim)->boot_delay_ms;
    const char *tools = tools_of(vm);
    if (strcmp(tools, "none") == 0)
        return;
    if (strcmp(tools, "slow") == 0)
        ms = ms * 10 + 1000;
    clock_after(sim_clock(sim), ms, agent_awakes, obj_ref(guest));
}

/* --- Domains --- */

static void console_open(Obj *vm)
{
    Sim *sim = obj_sim(vm);
    Obj *host = obj_follow(vm, "resident_on"), *console = obj_new(sim, "console");
    g_autofree char *location =
        g_strdup_printf("https://%s/console?uuid=%s", obj_str(host, "address"), obj_uuid(console));
    obj_put_str(console, "protocol", "rfb");
    obj_put_str(console, "location", location);
    obj_put_ref(console, "VM", vm);
}

static gint64 next_domid(Obj *vm)
{
    Sim *sim = obj_sim(vm);
    gint64 last = 0;
    for (Obj *other = obj_first(sim, "VM"); other != NULL; other = obj_next(other))
        last = MAX(last, obj_int(other, "domid"));
    return last + 1;
}

static void metrics_begin(Obj *vm)
{
    Obj *metrics = obj_follow(vm, "metrics");
    const char *type = obj_str(vm, "domain_type");
    obj_put_int(metrics, "VCPUs_number", obj_int(vm, "VCPUs_at_startup"));
    obj_put_int(metrics, "memory_actual", obj_int(vm, "memory_dynamic_max"));
    obj_put_int(metrics, "start_time", sim_now(obj_sim(vm)));
    obj_put_int(metrics, "last_updated", sim_now(obj_sim(vm)));
    obj_put_bool(metrics, "hvm", strcmp(type, "hvm") == 0);
    obj_put_str(metrics, "current_domain_type", strcmp(type, "unspecified") == 0 ? "hvm" : type);
}

static void memory_refresh(Obj *host)
{
    Obj *metrics = obj_follow(host, "metrics");
    gint64 used = obj_int(host, "memory_overhead");
    for (guint i = 0; i < obj_set_size(host, "resident_VMs"); i++)
        used += obj_int(obj_follow_nth(host, "resident_VMs", i), "memory_dynamic_max");
    obj_put_int(metrics, "memory_free", MAX(obj_int(metrics, "memory_total") - used, 0));
}

static void usb_attach(Obj *vm, bool attached)
{
    for (guint i = 0; i < obj_set_size(vm, "VUSBs"); i++)
        obj_put_bool(obj_follow_nth(vm, "VUSBs", i), "currently_attached", attached);
}

static void domain_build(Obj *vm, Obj *host, gint64 domid)
{
    each_device(vm, guest_attach);
    usb_attach(vm, true);
    obj_put_ref(vm, "resident_on", host);
    obj_put_int(vm, "domid", domid);
    obj_put_str(vm, "domarch", "x86_64");
    obj_put_int(vm, "memory_target", obj_int(vm, "memory_dynamic_max"));
    obj_map_put(vm, "last_boot_CPU_flags", "vendor", "AuthenticAMD");
    obj_map_put(vm, "last_boot_CPU_flags", "features", "");
    metrics_begin(vm);
}

void guest_boot(Obj *vm, Obj *host, bool paused)
{
    Obj *guest = guest_metrics_renew(vm);
    if (MUTANT(sim_metrics_unlinked)) /* mutant: sim_api */
        obj_put_ref(vm, "guest_metrics", NULL);
    domain_build(vm, host, next_domid(vm));
    obj_put_str(vm, "power_state", paused ? "Paused" : "Running");
    console_open(vm);
    memory_refresh(host);
    each_device(vm, guest_refresh_device);
    vm_refresh(vm);
    agent_schedule(vm, guest);
}

void guest_was_booted(Obj *vm, Obj *host)
{
    guest_metrics_renew(vm);
    domain_build(vm, host, (gint64) obj_set_size(host, "resident_VMs"));
    obj_put_str(vm, "power_state", "Running");
    console_open(vm);
    each_device(vm, guest_refresh_device);
    agent_reports(vm);
    vm_refresh(vm);
}

static void consoles_close(Obj *vm)
{
    while (obj_set_size(vm, "consoles") > 0)
        obj_drop(obj_follow_nth(vm, "consoles", 0));
}

void guest_stop(Obj *vm, const char *state)
{
    Obj *host = obj_follow(vm, "resident_on"), *metrics = obj_follow(vm, "metrics");
    consoles_close(vm);
    each_device(vm, guest_detach);
    usb_attach(vm, false);
    obj_put_ref(vm, "resident_on", NULL);
    obj_put_int(vm, "domid", -1);
    obj_put_str(vm, "domarch", "");
    obj_put_int(metrics, "VCPUs_number", 0);
    obj_put_int(metrics, "memory_actual", 0);
    obj_put_str(metrics, "current_domain_type", "unspecified");
    obj_put_str(vm, "power_state", state);
    if (host != NULL)
        memory_refresh(host);
    each_device(vm, guest_refresh_device);
    vm_refresh(vm);
}

void guest_move(Obj *vm, Obj *host)
{
    Obj *from = obj_follow(vm, "resident_on");
    Obj *console = obj_set_size(vm, "consoles") ? obj_follow_nth(vm, "consoles", 0) : NULL;
    obj_put_ref(vm, "resident_on", host);
    if (from != NULL)
        memory_refresh(from);
    memory_refresh(host);
    if (console == NULL)
        return;
    g_autofree char *location =
        g_strdup_printf("https://%s/console?uuid=%s", obj_str(host, "address"), obj_uuid(console));
    obj_put_str(console, "location", location);
}

void guest_reboot(Obj *vm)
{
    Obj *guest = guest_metrics_renew(vm);
    obj_put_int(vm, "domid", next_domid(vm));
    obj_put_str(vm, "power_state", "Running");
    metrics_begin(vm);
    vm_refresh(vm);
    agent_schedule(vm, guest);
}

/* --- Placement --- */

static bool disks_reachable(Obj *vm, Obj *host, const char **missing)
{
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        Obj *vdi = obj_follow(obj_follow_nth(vm, "VBDs", i), "VDI");
        Obj *sr = vdi == NULL ? NULL : obj_follow(vdi, "SR");
        bool found = sr == NULL;
        for (guint k = 0; !found && k < obj_set_size(sr, "PBDs"); k++) {
            Obj *pbd = obj_follow_nth(sr, "PBDs", k);
            found = obj_follow(pbd, "host") == host && obj_bool(pbd, "currently_attached");
        }
        if (!found) {
            *missing = obj_ref(sr);
            return false;
        }
    }
    return true;
}

/* Whether the host can run the VM; with the reason it cannot. */
static bool host_suits(Obj *vm, Obj *host, GError **error)
{
    const char *sr = NULL;
    Obj *metrics = obj_follow(host, "metrics");
    gint64 needed = obj_int(vm, "memory_dynamic_max"), free = obj_int(metrics, "memory_free");
    if (!obj_bool(metrics, "live")) {
        sim_error(error, "HOST_OFFLINE", obj_ref(host), NULL);
    } else if (!obj_bool(host, "enabled")) {
        sim_error(error, "HOST_DISABLED", obj_ref(host), NULL);
    } else if (!disks_reachable(vm, host, &sr)) {
        sim_error(error, "VM_REQUIRES_SR", obj_ref(vm), sr, NULL);
    } else if (needed > free) {
        g_autofree char *a = g_strdup_printf("%" G_GINT64_FORMAT, needed);
        g_autofree char *b = g_strdup_printf("%" G_GINT64_FORMAT, free);
        sim_error(error, "HOST_NOT_ENOUGH_FREE_MEMORY", a, b, NULL);
    } else {
        return true;
    }
    return false;
}

Obj *guest_place(Obj *vm, Obj *only, GError **error)
{
    Obj *best = NULL, *affinity = obj_follow(vm, "affinity");
    g_autoptr(GError) reason = NULL;
    if (only != NULL)
        return host_suits(vm, only, error) ? only : NULL;
    if (affinity != NULL && host_suits(vm, affinity, NULL))
        return affinity;
    for (Obj *host = obj_first(obj_sim(vm), "host"); host != NULL; host = obj_next(host)) {
        g_clear_error(&reason);
        if (host_suits(vm, host, &reason) &&
            (best == NULL || obj_int(obj_follow(host, "metrics"), "memory_free") >
                                 obj_int(obj_follow(best, "metrics"), "memory_free")))
            best = host;
    }
    if (best == NULL && reason != NULL && strcmp(err_xapi_code(reason), "HOST_DISABLED") != 0 &&
        strcmp(err_xapi_code(reason), "HOST_OFFLINE") != 0)
        g_propagate_error(error, g_steal_pointer(&reason));
    else if (best == NULL)
        sim_error(error, "NO_HOSTS_AVAILABLE", NULL);
    return best;
}

enum { MAX_MESSAGES = 10000 };

void message_about(Obj *vm, const char *name, gint64 priority, const char *body)
{
    Sim *sim = obj_sim(vm);
    const char *cls = obj_class(vm);
    if (obj_count(sim, "message") >= MAX_MESSAGES)
        obj_drop(obj_first(sim, "message"));
    Obj *message = obj_new(sim, "message");
    obj_put_str(message, "name", name);
    obj_put_int(message, "priority", priority);
    obj_put_str(message, "cls",
                strcmp(cls, "host") == 0   ? "Host"
                : strcmp(cls, "pool") == 0 ? "Pool"
                                           : cls);
    obj_put_str(message, "obj_uuid", obj_uuid(vm));
    obj_put_int(message, "timestamp", sim_now(sim));
    obj_put_str(message, "body", body);
}
