/* vm.migrate: to another host, with its disks to other storage, or to another pool.
 *
 * Without a word of storage, networks or another pool, the pool moves the memory alone; what that
 * cannot do, and everything else, is storage motion, which needs to know where each disk goes. As
 * XO has it. */
#include "api/method.h"
#include "api/objects.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

/* Three of them may run at a time in a pool: the others wait. */
enum { RETRY_S = 10, MAX_RETRIES = 360 };

typedef struct {
    ApiCall *call;
    const ApiObject *vm, *host;
    const ApiObject *network; /* of the migration */
    const ApiObject *sr;      /* for disks that are not mapped; may be NULL */
    json_t *vdis, *vifs;      /* references there, by references here */
    bool leaves;              /* for another pool */
} Migration;

static void migration_clear(Migration *migration)
{
    json_decref(migration->vdis);
    json_decref(migration->vifs);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Migration, migration_clear)

/* --- What is asked for --- */

static bool same_pool(const ApiObject *a, const ApiObject *b)
{
    return g_str_equal(api_object_text(a, "$pool"), api_object_text(b, "$pool"));
}

/* Each object of a map, whether the caller may fill it, and that it is over there. */
static bool check_map(const Migration *migration, const char *name, const char *from,
                      const char *to, GError **error)
{
    const char *id;
    json_t *value;
    json_object_foreach (call_get(migration->call, name), id, value) {
        const char *there = json_string_value(value);
        const ApiObject *target = there && call_find(migration->call, id, from, NULL, error)
                                      ? call_find(migration->call, there, to, "administrate", error)
                                      : NULL;
        if (!there)
            api_error_invalid(error, "%s: %s must be mapped to the id of a %s", name, id, to);
        else if (target && !same_pool(target, migration->host))
            api_error_invalid(error, "%s: %s %s is not in the pool of host %s", name, to,
                              api_object_text(target, "name_label"),
                              api_object_text(migration->host, "name_label"));
        else if (target)
            continue;
        return false;
    }
    return true;
}

static bool check_request(Migration *migration, GError **error)
{
    const char *sr = call_string(migration->call, "sr");
    if (sr && !(migration->sr = call_find(migration->call, sr, "SR", "administrate", error)))
        return false;
    if (migration->sr && !same_pool(migration->sr, migration->host)) {
        api_error_invalid(error, "sr: %s is not in the pool of host %s",
                          api_object_text(migration->sr, "name_label"),
                          api_object_text(migration->host, "name_label"));
        return false;
    }
    if (migration->network && !same_pool(migration->network, migration->host)) {
        api_error_invalid(error, "migrationNetwork: %s is not in the pool of host %s",
                          api_object_text(migration->network, "name_label"),
                          api_object_text(migration->host, "name_label"));
        return false;
    }
    return check_map(migration, "mapVdisSrs", "VDI,VDI-snapshot", "SR", error) &&
           check_map(migration, "mapVifsNetworks", "VIF", "network", error);
}

/* --- Where everything goes --- */

static json_t *part_of(const ApiObject *object, json_t *id)
{
    const char *text = json_string_value(id);
    return text ? inventory_object(object->inventory, text) : NULL;
}

/* Whether the storage is attached to the host. */
static bool is_reached(const ApiObject *host, const char *sr)
{
    json_t *view = inventory_object(host->inventory, sr), *id;
    bool found = false;
    size_t i;
    json_array_foreach (json_object_get(view, "$PBDs"), i, id) {
        json_t *pbd = part_of(host, id);
        found = found || (g_str_equal(json_text(pbd, "host"), host->id) &&
                          json_is_true(json_object_get(pbd, "attached")));
        json_decref(pbd);
    }
    json_decref(view);
    return found;
}

/* Where a disk goes that nobody mapped: the storage that was named, else where it is, when the host
 * reaches that, else the pool's default. */
static const ApiObject *target_of(const Migration *migration, json_t *vdi, GError **error)
{
    ApiCall *call = migration->call;
    const char *mapped =
        json_string_value(json_object_get(call_get(call, "mapVdisSrs"), json_text(vdi, "id")));
    if (mapped &&
        !MUTANT(vm_migrate_forgets_map)) /* mutant:
                                            system:test_machine_moves.Moves.test_inside_the_pool */
        return call_find(call, mapped, "SR", NULL, error);
    if (migration->sr)
        return migration->sr;
    const char *now = json_text(vdi, "$SR");
    if (!migration->leaves && is_reached(migration->host, now))
        return call_find(call, now, "SR", NULL, error);
    const ApiObject *pool =
        call_find(call, api_object_text(migration->host, "$pool"), "pool", NULL, error);
    const char *preferred = pool ? api_object_text(pool, "default_SR") : "";
    if (*preferred)
        return call_find(call, preferred, "SR", NULL, error);
    if (pool)
        api_error_invalid(error,
                          "sr: say where disk %s shall go: host %s does not reach its storage, and "
                          "the pool has no default one",
                          json_text(vdi, "name_label"),
                          api_object_text(migration->host, "name_label"));
    return NULL;
}

/* Changed blocks cannot be tracked across storages: XO switches it off, too. */
static bool map_disk(const Migration *migration, json_t *vdi, GError **error)
{
    const ApiObject *sr = target_of(migration, vdi, error);
    const char *ref = json_text(vdi, "_xapiRef");
    if (!sr)
        return false;
    json_object_set_new(migration->vdis, ref, json_string(sr->ref));
    if (g_str_equal(sr->id, json_text(vdi, "$SR")) ||
        !json_is_true(json_object_get(vdi, "cbt_enabled")))
        return true;
    log_info("api", "vm.migrate: changed block tracking of disk %s is switched off, it moves",
             json_text(vdi, "id"));
    return xapi_do(api_object_xapi(migration->vm), "VDI.disable_cbt", json_pack("[s]", ref), error);
}

/* Snapshots follow their disk, but for those whose disk is gone. */
static bool map_disks_of(const Migration *migration, json_t *machine, GError **error)
{
    size_t i;
    json_t *id;
    bool ok = true;
    json_array_foreach (json_object_get(machine, "$VBDs"), i, id) {
        json_t *vbd = part_of(migration->vm, id);
        json_t *vdi = part_of(migration->vm, json_object_get(vbd, "VDI"));
        bool disk = vdi && !json_is_true(json_object_get(vbd, "is_cd_drive"));
        bool follows = *json_text(vdi, "$snapshot_of") != 0;
        ok = ok && (!disk || follows || map_disk(migration, vdi, error));
        json_decref(vdi);
        json_decref(vbd);
    }
    return ok;
}

/* Those of the machine, and of its snapshots for devices that it has no more. */
static void map_vifs_of(const Migration *migration, json_t *machine, const ApiObject *fallback,
                        GHashTable *devices)
{
    json_t *map = call_get(migration->call, "mapVifsNetworks"), *id;
    size_t i;
    json_array_foreach (json_object_get(machine, "VIFs"), i, id) {
        json_t *vif = part_of(migration->vm, id);
        const char *mapped = json_string_value(json_object_get(map, json_text(vif, "id")));
        const ApiObject *network =
            mapped ? call_find(migration->call, mapped, "network", NULL, NULL) : fallback;
        bool first = g_hash_table_add(devices, g_strdup(json_text(vif, "device")));
        if (network && (first || machine == migration->vm->view))
            json_object_set_new(migration->vifs, json_text(vif, "_xapiRef"),
                                json_string(network->ref));
        json_decref(vif);
    }
}

/* The network of the host's management interface. */
static const ApiObject *management_network(const Migration *migration, GError **error)
{
    const ApiObject *host = migration->host;
    json_t *ids = json_object_get(host->view, "PIFs"), *id;
    g_autofree char *network = NULL;
    size_t i;
    json_array_foreach (ids ? ids : json_object_get(host->view, "$PIFs"), i, id) {
        json_t *pif = part_of(host, id);
        if (!network && json_is_true(json_object_get(pif, "management")))
            network = g_strdup(json_text(pif, "$network"));
        json_decref(pif);
    }
    if (network)
        return call_find(migration->call, network, "network", NULL, error);
    api_error_invalid(error, "migrationNetwork: host %s has no management interface, name one",
                      api_object_text(host, "name_label"));
    return NULL;
}

static bool map_everything(Migration *migration, GError **error)
{
    const ApiObject *management = management_network(migration, error);
    g_autoptr(GHashTable) devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    json_t *id;
    size_t i;
    if (!management)
        return false;
    if (!migration->network)
        migration->network = management;
    bool ok = map_disks_of(migration, migration->vm->view, error);
    if (migration->leaves)
        map_vifs_of(migration, migration->vm->view, management, devices);
    json_array_foreach (json_object_get(migration->vm->view, "snapshots"), i, id) {
        json_t *snapshot = part_of(migration->vm, id);
        ok = ok && map_disks_of(migration, snapshot, error);
        if (migration->leaves)
            map_vifs_of(migration, snapshot, management, devices);
        json_decref(snapshot);
    }
    return ok;
}

/* --- Going --- */

static bool run(const ApiObject *vm, const char *verb, json_t *params, GError **error)
{
    g_autofree char *done = api_object_task(vm, verb, params, error);
    return done != NULL;
}

static bool send(const Migration *migration, json_t *params, GError **error)
{
    for (unsigned i = 0;; i++) {
        g_autoptr(GError) failure = NULL;
        if (run(migration->vm, "VM.migrate_send", json_incref(params), &failure))
            return true;
        bool crowded = g_str_equal(err_xapi_code(failure), "TOO_MANY_STORAGE_MIGRATES");
        if (!crowded || i == MAX_RETRIES) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_usleep((gulong) RETRY_S * G_USEC_PER_SEC);
    }
}

static bool move_storage(Migration *migration, GError **error)
{
    ApiCall *call = migration->call;
    migration->vdis = json_object();
    migration->vifs = json_object();
    if (!map_everything(migration, error))
        return false;
    json_t *ticket =
        xapi_call(api_object_xapi(migration->host), "host.migrate_receive",
                  json_pack("[s, s, {}]", migration->host->ref, migration->network->ref), error);
    if (!ticket)
        return false;
    json_t *params = json_pack("[s, o, b, O, O, {s:s}]", migration->vm->ref, ticket, 1,
                               migration->vdis, migration->vifs, "force",
                               call_bool(call, "force") ? "true" : "false");
    bool ok = call_bool(call, "bypassAssert") ||
              run(migration->vm, "VM.assert_can_migrate", json_incref(params), error);
    ok = ok && send(migration, params, error);
    json_decref(params);
    return ok;
}

static bool wants_storage(const Migration *migration)
{
    static const char *const names[] = { "mapVdisSrs", "mapVifsNetworks" };
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++)
        if (json_object_size(call_get(migration->call, names[i])))
            return true;
    return migration->leaves || migration->sr || migration->network;
}

/* A halted machine has no memory to move, and one whose disks the host does not reach takes them
 * along. */
static bool move(Migration *migration, GError **error)
{
    if (wants_storage(migration))
        return move_storage(migration, error);
    g_autoptr(GError) failure = NULL;
    if (run(migration->vm, "VM.pool_migrate",
            json_pack("[s, s, {s:s}]", migration->vm->ref, migration->host->ref, "force", "true"),
            &failure))
        return true;
    if (g_str_equal(err_xapi_code(failure), "VM_REQUIRES_SR"))
        return move_storage(migration, error);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* --- The answer --- */

/* What the refusal is about, beside the machine: "disk root", or nothing. */
static char *culprit(const Migration *migration, const GError *failure)
{
    const char *const *detail = err_detail(failure);
    for (unsigned i = 1; detail && detail[0] && detail[i]; i++) {
        json_t *view = servers_object(call_parts(migration->call)->servers, detail[i]);
        const char *id = json_string_value(json_object_get(view, "id"));
        char *name = id && !g_str_equal(id, migration->vm->id)
                         ? g_strdup_printf(
                               ": %s %s", json_text(view, "type"),
                               *json_text(view, "name_label") ? json_text(view, "name_label") : id)
                         : NULL;
        json_decref(view);
        if (name)
            return name;
    }
    return g_strdup("");
}

/* XO tells every refusal of the pool so. */
static void refuse(const Migration *migration, const GError *failure, GError **error)
{
    g_autofree char *about = culprit(migration, failure);
    const char *words = strstr(failure->message, ": ");
    json_t *data =
        json_pack("{s:s, s:s}", "objectId", migration->vm->id, "code", err_xapi_code(failure));
    api_error_set(error, API_OPERATION_FAILED, data,
                  "operation failed: VM %s does not move to host %s: %s%s",
                  api_object_text(migration->vm, "name_label"),
                  api_object_text(migration->host, "name_label"),
                  words ? words + 2 : failure->message, about);
}

static json_t *migrate(ApiCall *call, GError **error)
{
    g_auto(Migration) migration = { .call = call,
                                    .vm = call_object(call, "vm"),
                                    .host = call_object(call, "targetHost"),
                                    .network = call_object(call, "migrationNetwork") };
    migration.leaves = !same_pool(migration.vm, migration.host);
    g_autoptr(GError) failure = NULL;
    if (!check_request(&migration, error))
        return NULL;
    if (!move(&migration, &failure)) {
        if (err_is(failure, ERR_XAPI))
            refuse(&migration, failure, error);
        else
            g_propagate_error(error, g_steal_pointer(&failure));
    }
    api_object_barrier(migration.vm);
    api_object_barrier(migration.host);
    return NULL;
}

const Method methods_vm_migrate[] = {
    { "vm.migrate", migrate,
      PARAMS(REQ(ID("vm", "VM", "administrate")), REQ(ID("targetHost", "host", "administrate")),
             OPT(STR("sr"), .words = "for the disks that mapVdisSrs does not name"),
             OPT(OBJ("mapVdisSrs"), .words = "disk to storage, by their ids"),
             OPT(OBJ("mapVifsNetworks"), .words = "interface to network, by their ids"),
             OPT(ID("migrationNetwork", "network", "administrate"),
                 .words = "of the target's pool, which carries the data"),
             OPT(BOOL("force")), OPT(BOOL("bypassAssert"))),
      .access = ACCESS_USER, .long_running = true, .rest = "POST /vms/{id}/actions/migrate",
      .example = "vm=$RUNNING_VM targetHost=$OTHER_HOST",
      .summary = "Move a virtual machine to another host, other storage, or another pool." },
    { NULL },
};
