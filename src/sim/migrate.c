/* VM.migrate_send and what goes with it: storage motion inside the pool; to another pool, a
 * simulator of its own, the VM is sent by migrate_away.c. */
#include "sim/guest.h"
#include "sim/inner.h"
#include "sim/lifecycle.h"
#include "sim/migrate.h"

#include <string.h>

enum { MAX_STORAGE_MIGRATIONS = 3 };

/* --- Receiving --- */

static Obj *pif_on(const Obj *host, const Obj *network)
{
    for (guint i = 0; i < obj_set_size(host, "PIFs"); i++) {
        Obj *pif = obj_follow_nth(host, "PIFs", i);
        if (obj_follow(pif, "network") == network)
            return pif;
    }
    return NULL;
}

static guint number_of(Sim *sim, const Obj *host)
{
    guint number = 0;
    for (Obj *at = obj_first(sim, "host"); at && at != host; at = obj_next(at))
        number++;
    return number;
}

static json_t *ticket(Call *call, const Obj *host)
{
    Sim *sim = call_sim(call);
    const char *session = sim_session_open(sim, "root", "migration");
    g_autofree char *here = listeners_url(sim_listeners(sim), number_of(sim, host), false);
    g_autofree char *master = listeners_url(sim_listeners(sim), 0, false);
    g_autofree char *sm = g_strdup_printf("%s/services/SM?session_id=%s", here, session);
    g_autofree char *xenops = g_strdup_printf("%s/services/xenops?session_id=%s", here, session);
    g_autofree char *slashed = g_strconcat(master, "/", NULL);
    return json_pack("{s:s, s:s, s:s, s:s, s:s}", "SM", sm, "xenops", xenops, "master", slashed,
                     "host", obj_ref(host), "session_id", session);
}

static json_t *host_migrate_receive(Call *call, GError **error)
{
    const Obj *host = call_obj(call, 0, "host", error);
    const Obj *network = host ? call_obj(call, 1, "network", error) : NULL;
    const Obj *pif = network ? pif_on(host, network) : NULL;
    if (!network)
        return NULL;
    if (!pif)
        sim_error(error, "HOST_CANNOT_ATTACH_NETWORK", obj_ref(host), obj_ref(network), NULL);
    else if (!*obj_str(pif, "IP"))
        sim_error(error, "INTERFACE_HAS_NO_IP", obj_str(pif, "device"), NULL);
    else
        return ticket(call, host);
    return NULL;
}

/* --- Checks --- */

static bool read_ticket(Migration *migration, GError **error)
{
    json_t *dest = call_param(migration->call, 1);
    const char *master = json_string_value(json_object_get(dest, "master"));
    migration->url = master;
    migration->session = json_string_value(json_object_get(dest, "session_id"));
    migration->host = json_string_value(json_object_get(dest, "host"));
    if (!master || !migration->session || !migration->host) {
        sim_error(error, "MISSING_CONNECTION_DETAILS", NULL);
        return false;
    }
    migration->leaves = !obj_find(migration->sim, "host", migration->host);
    return true;
}

static const char *mapped(json_t *map, const char *ref)
{
    return json_string_value(json_object_get(map, ref));
}

static bool sr_reaches(const Obj *sr, const char *host)
{
    for (guint i = 0; i < obj_set_size(sr, "PBDs"); i++) {
        const Obj *pbd = obj_follow_nth(sr, "PBDs", i);
        if (strcmp(obj_str(pbd, "host"), host) == 0 && obj_bool(pbd, "currently_attached"))
            return true;
    }
    return false;
}

/* A disk that goes to another SR: its change log would lie. */
static bool check_disk(const Migration *migration, const Obj *vdi, GError **error)
{
    const char *to = mapped(migration->vdi_map, obj_ref(vdi));
    bool moves = to && strcmp(to, obj_str(vdi, "SR")) != 0;
    const Obj *sr = migration->leaves ? NULL
                    : to              ? obj_get(migration->sim, "SR", to, error)
                                      : obj_follow(vdi, "SR");
    if (migration->leaves && !to)
        sim_error(error, "VDI_NOT_IN_MAP", obj_ref(vdi), NULL);
    else if (moves && obj_bool(vdi, "cbt_enabled"))
        sim_error(error, "VDI_CBT_ENABLED", obj_ref(vdi), NULL);
    else if (migration->leaves)
        return true;
    else if (sr && !sr_reaches(sr, migration->host))
        sim_error(error, "VM_REQUIRES_SR", migration->vm, obj_ref(sr), NULL);
    else
        return sr != NULL;
    return false;
}

static bool check_disks(const Migration *migration, const Obj *vm, GError **error)
{
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        const Obj *vbd = obj_follow_nth(vm, "VBDs", i), *vdi = obj_follow(vbd, "VDI");
        if (vdi && strcmp(obj_str(vbd, "type"), "Disk") == 0 && !check_disk(migration, vdi, error))
            return false;
    }
    return true;
}

/* What only matters to a VM that leaves the pool. */
static bool check_leaving(const Migration *migration, const Obj *vm, GError **error)
{
    for (guint i = 0; i < obj_set_size(vm, "VIFs"); i++) {
        const Obj *vif = obj_follow_nth(vm, "VIFs", i);
        if (mapped(migration->vif_map, obj_ref(vif)))
            continue;
        sim_error(error, "VIF_NOT_IN_MAP", obj_ref(vif), NULL);
        return false;
    }
    for (guint i = 0; i < obj_set_size(vm, "snapshots"); i++)
        if (strcmp(obj_str(obj_follow_nth(vm, "snapshots", i), "power_state"), "Suspended") == 0) {
            sim_error(error, "VM_HAS_CHECKPOINT", obj_ref(vm), NULL);
            return false;
        }
    if (obj_set_size(vm, "snapshots") > 1)
        sim_error(error, "VM_HAS_TOO_MANY_SNAPSHOTS", obj_ref(vm), NULL);
    else if (strcmp(obj_str(vm, "power_state"), "Suspended") == 0)
        sim_error(error, "NOT_IMPLEMENTED", "VM.migrate_send of a suspended VM to another pool",
                  NULL);
    else
        return true;
    return false;
}

static bool check_crowd(const Migration *migration, GError **error)
{
    const char *task, *op;
    guint n = 0;
    for (const Obj *vm = obj_first(migration->sim, "VM"); vm; vm = obj_next((Obj *) vm))
        for (guint i = 0; i < obj_map_size(vm, "current_operations"); i++) {
            obj_map_nth(vm, "current_operations", i, &task, &op);
            n += strcmp(op, "migrate_send") == 0 && strcmp(obj_ref(vm), migration->vm) != 0;
        }
    if (n < MAX_STORAGE_MIGRATIONS)
        return true;
    sim_error(error, "TOO_MANY_STORAGE_MIGRATES", G_STRINGIFY(3), NULL);
    return false;
}

static bool check(const Migration *migration, GError **error)
{
    const Obj *vm = obj_get(migration->sim, "VM", migration->vm, error);
    if (!vm || !check_crowd(migration, error) || !check_disks(migration, vm, error))
        return false;
    return !migration->leaves ||
           (check_leaving(migration, vm, error) && migrate_away_check(migration, error));
}

/* --- Inside the pool --- */

static GPtrArray *moving_disks(const Migration *migration, const Obj *vm)
{
    GPtrArray *refs = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < obj_set_size(vm, "VBDs"); i++) {
        const Obj *vdi = obj_follow(obj_follow_nth(vm, "VBDs", i), "VDI");
        const char *to = vdi ? mapped(migration->vdi_map, obj_ref(vdi)) : NULL;
        if (to && strcmp(to, obj_str(vdi, "SR")) != 0)
            g_ptr_array_add(refs, g_strdup(obj_ref(vdi)));
    }
    return refs;
}

static bool settle(const Migration *migration, GError **error)
{
    Obj *vm = obj_get(migration->sim, "VM", migration->vm, error);
    Obj *host = vm ? obj_get(migration->sim, "host", migration->host, error) : NULL;
    if (!host)
        return false;
    if (strcmp(obj_str(vm, "power_state"), "Running") != 0)
        return true;
    if (obj_follow(vm, "resident_on") != host && !guest_place(vm, host, error))
        return false;
    guest_move(vm, host);
    return true;
}

static char *migrate_inside(const Migration *migration, GError **error)
{
    const Obj *vm = obj_get(migration->sim, "VM", migration->vm, error);
    if (!vm)
        return NULL;
    g_autoptr(GPtrArray) disks = moving_disks(migration, vm);
    for (guint i = 0; i < disks->len; i++) {
        g_autofree char *sr = g_strdup(mapped(migration->vdi_map, disks->pdata[i]));
        g_autofree char *moved = storage_vdi_move(migration->call, disks->pdata[i], sr, error);
        if (!moved)
            return NULL;
    }
    return settle(migration, error) ? g_strdup(migration->vm) : NULL;
}

/* --- The calls --- */

static bool begin(Call *call, Migration *migration, GError **error)
{
    *migration = (Migration){ .call = call,
                              .sim = call_sim(call),
                              .vm = call_str(call, 0),
                              .vdi_map = call_param(call, 3),
                              .vif_map = call_param(call, 4) };
    return read_ticket(migration, error);
}

static json_t *vm_assert_can_migrate(Call *call, GError **error)
{
    Migration migration;
    Obj *vm = call_obj(call, 0, "VM", error);
    return vm && begin(call, &migration, error) && vm_may(vm, "migrate_send", error) &&
                   check(&migration, error)
               ? call_void()
               : NULL;
}

static json_t *vm_migrate_send(Call *call, GError **error)
{
    Migration migration;
    if (!call_obj(call, 0, "VM", error) || !begin(call, &migration, error) ||
        !vm_op_begin(call, "migrate_send", error))
        return NULL;
    g_autofree char *ref = !check(&migration, error) ? NULL
                           : migration.leaves        ? migrate_away(&migration, error)
                                                     : migrate_inside(&migration, error);
    vm_op_end(call, migration.vm);
    Obj *vm = ref ? obj_find(migration.sim, "VM", migration.vm) : NULL;
    if (vm)
        message_about(vm, "VM_MIGRATED", 5, obj_str(vm, "name_label"));
    return ref ? json_string(ref) : NULL;
}

const Method migrate_methods[] = {
    { "host.migrate_receive", host_migrate_receive },
    { "VM.assert_can_migrate", vm_assert_can_migrate },
    { "VM.migrate_send", vm_migrate_send },
    { NULL, NULL },
};
