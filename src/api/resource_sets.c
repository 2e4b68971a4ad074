/* Resource sets over the objects of the pools.
 *
 * What is used is counted from the VMs that carry the set's mark, so that it cannot drift from what
 * there is; the VMs of a pool that is not connected do not count. */
#include "api/resource_sets.h"

#include "api/ip_pools.h"
#include "base/mutant.h"

#include <string.h>

/* other_config key of a VM; its value is the id as JSON. */
#define MARK "xo:resource_set"

static const struct {
    const char *limit;
    size_t offset;
} kinds[] = {
    { "cpus", offsetof(SetDemand, n_cpus) },     { "memory", offsetof(SetDemand, memory_bytes) },
    { "disk", offsetof(SetDemand, disk_bytes) }, { "vms", offsetof(SetDemand, n_vms) },
    { "disks", offsetof(SetDemand, n_disks) },
};

static gint64 amount(const SetDemand *demand, unsigned kind)
{
    return *(const gint64 *) ((const char *) demand + kinds[kind].offset);
}

/* --- What is used --- */

typedef struct {
    const ApiParts *parts;
    GHashTable *used; /* set id → SetDemand */
} Measure;

static void add_disks(Servers *servers, json_t *vm, SetDemand *used)
{
    size_t i;
    json_t *id;
    json_array_foreach (json_object_get(vm, "$VBDs"), i, id) {
        const char *vbd_id = json_string_value(id);
        json_t *vbd = vbd_id ? servers_object(servers, vbd_id) : NULL;
        const char *vdi_id = json_string_value(json_object_get(vbd, "VDI"));
        bool disk = vdi_id && !json_is_true(json_object_get(vbd, "is_cd_drive"));
        json_t *vdi = disk ? servers_object(servers, vdi_id) : NULL;
        used->n_disks += vdi != NULL;
        used->disk_bytes += json_integer_value(json_object_get(vdi, "size"));
        json_decref(vdi);
        json_decref(vbd);
    }
}

/* What a VM takes. */
static SetDemand demand_of(Servers *servers, json_t *vm)
{
    json_t *memory = json_object_get(json_object_get(vm, "memory"), "dynamic");
    SetDemand takes = { .n_vms = 1 };
    takes.n_cpus = json_integer_value(json_object_get(json_object_get(vm, "CPUs"), "number"));
    takes.memory_bytes = json_integer_value(json_array_get(memory, 1));
    add_disks(servers, vm, &takes);
    return takes;
}

static bool is_in_a_set(GBytes *text)
{
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    static const char key[] = "\"resourceSet\"";
    return memmem(data, n, key, sizeof key - 1) != NULL;
}

static void add_vm(const char *id, const char *type, GBytes *text, void *user)
{
    Measure *measure = user;
    if (!is_in_a_set(text) || set_leases_have(measure->parts->set_leases, id))
        return;
    json_t *vm = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    const char *set = json_string_value(json_object_get(vm, "resourceSet"));
    SetDemand *used = set ? g_hash_table_lookup(measure->used, set) : NULL;
    if (used) {
        SetDemand takes = demand_of(measure->parts->servers, vm);
        set_demand_add(used, &takes);
    }
    json_decref(vm);
}

static const char *id_of(json_t *set)
{
    return json_string_value(json_object_get(set, "id"));
}

/* The leases are locked. */
static void measure_all(const ApiParts *parts, json_t *sets, Measure *measure)
{
    size_t i;
    json_t *set;
    *measure = (Measure){ parts, g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free) };
    json_array_foreach (sets, i, set) {
        SetDemand *used = g_new0(SetDemand, 1);
        if (!MUTANT(set_no_leases)) /* mutant: system:test_many.Many.test_limit_at_once */
            set_leases_sum(parts->set_leases, id_of(set), used);
        g_hash_table_insert(measure->used, (void *) id_of(set), used);
    }
    servers_each(parts->servers, "VM", add_vm, measure);
}

static void show_usage(json_t *set, const SetDemand *used)
{
    json_t *limits = json_object_get(set, "limits"), *limit;
    const char *name;
    json_object_foreach (limits, name, limit)
        json_object_set_new(limit, "usage", json_integer(0));
    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++)
        if ((limit = json_object_get(limits, kinds[kind].limit)))
            json_object_set_new(limit, "usage", json_integer(amount(used, kind)));
}

static void measure_locked(const ApiParts *parts, json_t *sets)
{
    Measure measure;
    size_t i;
    json_t *set;
    measure_all(parts, sets, &measure);
    json_array_foreach (sets, i, set) {
        show_usage(set, g_hash_table_lookup(measure.used, id_of(set)));
        ip_pools_measure(parts, set);
    }
    g_hash_table_unref(measure.used);
}

void resource_sets_measure(const ApiParts *parts, json_t *sets)
{
    set_leases_lock(parts->set_leases);
    measure_locked(parts, sets);
    set_leases_unlock(parts->set_leases);
}

/* --- What is allowed --- */

static json_t *find(ApiCall *call, const char *id, GError **error)
{
    g_autoptr(GError) problem = NULL;
    json_t *set = resource_set_get(call_parts(call)->accounts, id, &problem);
    if (!set && err_is(problem, ERR_NOT_FOUND))
        api_error_no_such(error, id, "resourceSet");
    else if (!set)
        g_propagate_error(error, g_steal_pointer(&problem));
    return set;
}

/* Objects may be named by their references too: the set holds ids. */
static bool lends(ApiCall *call, json_t *set, const char *id)
{
    json_t *view = servers_object(call_parts(call)->servers, id), *object;
    const char *own = json_string_value(json_object_get(view, "id"));
    bool found = false;
    size_t i;
    json_array_foreach (json_object_get(set, "objects"), i, object)
        found |= g_strcmp0(json_string_value(object), own ? own : id) == 0;
    json_decref(view);
    return found;
}

static bool check_limits(ApiCall *call, json_t *set, const SetDemand *demand, GError **error)
{
    json_t *sets = json_pack("[O]", set), *lacking = json_array();
    measure_locked(call_parts(call), sets);
    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        json_t *limit = json_object_get(json_object_get(set, "limits"), kinds[kind].limit);
        json_t *total = json_object_get(limit, "total");
        gint64 left = json_integer_value(total) -
                      json_integer_value(json_object_get(limit, "usage"));
        if (total && amount(demand, kind) > 0 && amount(demand, kind) > left)
            json_array_append_new(lacking, json_pack("{s:s, s:s, s:I, s:I}", "resourceSet",
                                                     id_of(set), "resourceType", kinds[kind].limit,
                                                     "available", (json_int_t) left, "requested",
                                                     (json_int_t) amount(demand, kind)));
    }
    json_decref(sets);
    bool enough = json_array_size(lacking) == 0;
    if (enough || MUTANT(set_no_limits)) { /* mutant: system:test_sets.Sets.test_limits */
        json_decref(lacking);
        return true;
    }
    api_error_plain(error, API_NOT_ENOUGH_RESOURCES, lacking);
    return false;
}

static bool may_use(ApiCall *call, json_t *set, const char *const *objects, GError **error)
{
    json_t *user = call_user(call);
    if (!account_is_admin(user) && !resource_set_has_subject(set, user)) {
        api_error_unauthorized(error, NULL, NULL);
        return false;
    }
    for (; *objects; objects++)
        if (!lends(call, set, *objects) &&
            !MUTANT(set_lends_all)) { /* mutant: system:test_sets.Sets.test_objects */
            api_error_unauthorized(error, NULL, *objects);
            return false;
        }
    return true;
}

bool resource_set_lends(ApiCall *call, const char *set_id, const char *const *objects,
                        GError **error)
{
    json_t *set = find(call, set_id, error);
    bool ok = set && may_use(call, set, objects, error);
    json_decref(set);
    return ok;
}

SetLease *resource_set_take(ApiCall *call, const char *set_id, const char *vm_id,
                            const char *const *objects, const SetDemand *demand, GError **error)
{
    const ApiParts *parts = call_parts(call);
    json_t *set = find(call, set_id, error);
    SetLease *lease = NULL;
    if (set && may_use(call, set, objects, error)) {
        set_leases_lock(parts->set_leases);
        if (account_is_admin(call_user(call)) || check_limits(call, set, demand, error)) {
            json_t *vm = vm_id ? servers_object(parts->servers, vm_id) : NULL;
            SetDemand now = demand_of(parts->servers, vm);
            lease = set_lease_take(parts->set_leases, set_id, vm_id, vm ? &now : NULL, demand);
            json_decref(vm);
        }
        set_leases_unlock(parts->set_leases);
    }
    json_decref(set);
    return lease;
}

bool resource_set_take_copy(ApiCall *call, const ApiObject *vm, SetLease **lease, GError **error)
{
    const ApiParts *parts = call_parts(call);
    const char *set_id = api_object_text(vm, "resourceSet");
    json_t *set = *set_id ? resource_set_get(parts->accounts, set_id, NULL) : NULL;
    if (!set ||                    /* a mark without a set counts nowhere */
        MUTANT(set_free_copies)) { /* mutant: system:test_sets.Sets.test_copies */
        json_decref(set);
        return true;
    }
    set_leases_lock(parts->set_leases);
    SetDemand demand = demand_of(parts->servers, vm->view);
    if (account_is_admin(call_user(call)) || check_limits(call, set, &demand, error))
        *lease = set_lease_take(parts->set_leases, set_id, NULL, NULL, &demand);
    set_leases_unlock(parts->set_leases);
    json_decref(set);
    return *lease != NULL;
}

json_t *resource_set_tags(ApiCall *call, const char *set_id)
{
    json_t *set = find(call, set_id, NULL);
    json_t *tags = set ? json_incref(json_object_get(set, "tags")) : NULL;
    json_decref(set);
    return tags;
}

/* --- Its VMs --- */

/* NULL: none. */
static bool mark(Xapi *xapi, const char *ref, const char *set_id, GError **error)
{
    g_autofree char *value = set_id ? g_strdup_printf("\"%s\"", set_id) : NULL;
    return xapi_do(xapi, "VM.remove_from_other_config", json_pack("[s, s]", ref, MARK), error) &&
           (!value || xapi_do(xapi, "VM.add_to_other_config",
                              json_pack("[s, s, s]", ref, MARK, value), error));
}

static bool give_subjects(ApiCall *call, json_t *set, const char *vm_id, GError **error)
{
    size_t i;
    json_t *subject;
    json_array_foreach (json_object_get(set, "subjects"), i, subject)
        if (!account_add_acl(call_parts(call)->accounts, json_string_value(subject), vm_id, "admin",
                             error))
            return false;
    return true;
}

bool resource_set_take_vm(ApiCall *call, const char *set_id, Xapi *xapi, const char *ref,
                          const char *vm_id, bool share, GError **error)
{
    json_t *set = find(call, set_id, error);
    bool shared = share || json_is_true(json_object_get(set, "shareByDefault"));
    bool ok = set && mark(xapi, ref, set_id, error) &&
              (shared ? give_subjects(call, set, vm_id, error)
                      : account_add_acl(call_parts(call)->accounts, call_user_id(call), vm_id,
                                        "admin", error));
    json_decref(set);
    return ok;
}

static bool drop_rules(ApiCall *call, const char *vm_id, GError **error)
{
    Accounts *accounts = call_parts(call)->accounts;
    json_t *rules = account_acls(accounts, error), *rule;
    bool ok = rules != NULL;
    size_t i;
    json_array_foreach (rules, i, rule)
        if (ok && g_strcmp0(json_string_value(json_object_get(rule, "object")), vm_id) == 0)
            ok = account_remove_acl(accounts, json_string_value(json_object_get(rule, "subject")),
                                    vm_id, json_string_value(json_object_get(rule, "action")),
                                    error);
    json_decref(rules);
    return ok;
}

bool resource_set_move_vm(ApiCall *call, const ApiObject *vm, const char *set_id, GError **error)
{
    json_t *set = set_id ? find(call, set_id, error) : NULL;
    bool ok = (!set_id || set) && drop_rules(call, vm->id, error) &&
              mark(api_object_xapi(vm), vm->ref, set_id, error) &&
              (!set || give_subjects(call, set, vm->id, error));
    json_decref(set);
    return ok;
}

bool resource_set_share_vm(ApiCall *call, const ApiObject *vm, GError **error)
{
    const char *set_id = api_object_text(vm, "resourceSet");
    if (!*set_id) {
        api_error_invalid(error, "VM %s is in no resource set: there is nobody to share it with",
                          vm->id);
        return false;
    }
    json_t *set = find(call, set_id, error);
    bool ok = set && give_subjects(call, set, vm->id, error);
    json_decref(set);
    return ok;
}
