/* resourceSet.*: what people may use without rights of their own. */
#include "api/method.h"
#include "api/resource_sets.h"

static Accounts *accounts(ApiCall *call)
{
    return call_parts(call)->accounts;
}

/* The failure is taken. */
static json_t *tell(ApiCall *call, GError *failure, GError **error)
{
    if (failure && err_is(failure, ERR_NOT_FOUND)) {
        api_error_no_such(error, call_string(call, "id"), "resourceSet");
        g_error_free(failure);
    } else if (failure) {
        g_propagate_error(error, failure);
    }
    return NULL;
}

/* What clients see of one; the reference is taken. */
static json_t *shown(ApiCall *call, json_t *set)
{
    json_t *sets = json_pack("[O]", set);
    resource_sets_measure(call_parts(call), sets);
    json_decref(sets);
    return set;
}

static bool may_see(ApiCall *call, json_t *set)
{
    json_t *user = call_user(call);
    return account_is_admin(user) || resource_set_has_subject(set, user);
}

static json_t *get_all(ApiCall *call, GError **error)
{
    json_t *all = resource_set_list(accounts(call), error), *set;
    json_t *list = all ? json_array() : NULL;
    size_t i;
    json_array_foreach (all, i, set)
        if (may_see(call, set))
            json_array_append(list, set);
    json_decref(all);
    resource_sets_measure(call_parts(call), list);
    return list;
}

static json_t *get(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    json_t *set = resource_set_get(accounts(call), call_string(call, "id"), &failure);
    if (set && may_see(call, set))
        return shown(call, set);
    if (set)
        api_error_unauthorized(error, NULL, call_string(call, "id"));
    json_decref(set);
    return tell(call, failure, error);
}

static json_t *create(ApiCall *call, GError **error)
{
    json_t *set = resource_set_create(accounts(call), call_params(call), error);
    return set ? shown(call, set) : NULL;
}

static json_t *set_fields(ApiCall *call, GError **error)
{
    GError *failure = NULL;
    resource_set_edit(accounts(call), call_string(call, "id"), call_params(call), &failure);
    return tell(call, failure, error);
}

/* --- Deletion: its VMs leave it, and keep the rules that people have on them --- */

static void collect_vm(const char *id, const char *type, GBytes *text, void *user)
{
    json_t *vm = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    if (json_object_get(vm, "resourceSet"))
        json_array_append(user, vm);
    json_decref(vm);
}

static void let_go(ApiCall *call, json_t *view)
{
    const ApiObject *vm =
        call_find(call, json_string_value(json_object_get(view, "id")), "VM", NULL, NULL);
    if (vm &&
        api_object_do(vm, "VM.remove_from_other_config", json_pack("[s]", "xo:resource_set"), NULL))
        api_object_barrier(vm);
}

static json_t *delete (ApiCall *call, GError **error)
{
    GError *failure = NULL;
    if (!resource_set_drop(accounts(call), call_string(call, "id"), &failure))
        return tell(call, failure, error);
    json_t *vms = json_array(), *vm;
    size_t i;
    servers_each(call_parts(call)->servers, "VM", collect_vm, vms);
    json_array_foreach (vms, i, vm)
        if (json_equal(json_object_get(vm, "resourceSet"), call_get(call, "id")))
            let_go(call, vm);
    json_decref(vms);
    return NULL;
}

/* --- One thing more, or less --- */

static json_t *put_in(ApiCall *call, const char *list, const char *param, bool is_in,
                      GError **error)
{
    GError *failure = NULL;
    resource_set_put_in(accounts(call), call_string(call, "id"), list, call_string(call, param),
                        is_in, &failure);
    return tell(call, failure, error);
}

static json_t *add_object(ApiCall *call, GError **error)
{
    return put_in(call, "objects", "object", true, error);
}

static json_t *remove_object(ApiCall *call, GError **error)
{
    return put_in(call, "objects", "object", false, error);
}

static json_t *add_subject(ApiCall *call, GError **error)
{
    return put_in(call, "subjects", "subject", true, error);
}

static json_t *remove_subject(ApiCall *call, GError **error)
{
    return put_in(call, "subjects", "subject", false, error);
}

static json_t *limit(ApiCall *call, gint64 total, GError **error)
{
    GError *failure = NULL;
    resource_set_limit(accounts(call), call_string(call, "id"), call_string(call, "limitId"), total,
                       &failure);
    return tell(call, failure, error);
}

static json_t *add_limit(ApiCall *call, GError **error)
{
    gint64 total = call_integer(call, "quantity");
    if (total >= 0)
        return limit(call, total, error);
    api_error_invalid(error, "quantity: expected a number from 0");
    return NULL;
}

static json_t *remove_limit(ApiCall *call, GError **error)
{
    return limit(call, -1, error);
}

/* Nothing to do: what is used is always counted anew. */
static json_t *recompute(ApiCall *call, GError **error)
{
    return NULL;
}

const Method methods_resource_set[] = {
    { "resourceSet.getAll", get_all, NULL, .access = ACCESS_USER, .example = "",
      .summary = "The resource sets that the caller may use; all of them for administrators." },
    { "resourceSet.get", get, PARAMS(REQ(STR("id"))), .access = ACCESS_USER,
      .example = "id=$RESOURCE_SET", .summary = "One resource set." },
    { "resourceSet.create", create,
      PARAMS(REQ(STR("name")), OPT(ARR("subjects", P_STRING)), OPT(ARR("objects", P_STRING)),
             OPT(OBJ("limits")), OPT(ARR("tags", P_STRING)), OPT(BOOL("shareByDefault"))),
      .example = "name=developers subjects=json:\"[\\\"$USER\\\"]\" "
                 "objects=json:\"[\\\"$TEMPLATE\\\",\\\"$SR\\\",\\\"$NETWORK\\\"]\" "
                 "limits=json:'{\"cpus\":16,\"memory\":68719476736}'",
      .summary = "Create a resource set." },
    { "resourceSet.set", set_fields,
      PARAMS(REQ(STR("id")), OPT(STR("name")), OPT(ARR("subjects", P_STRING)),
             OPT(ARR("objects", P_STRING)), OPT(ARR("ipPools", P_STRING)), OPT(OBJ("limits")),
             OPT(ARR("tags", P_STRING)), OPT(BOOL("shareByDefault"))),
      .example = "id=$RESOURCE_SET name='developers and testers'",
      .summary = "Change a resource set." },
    { "resourceSet.delete", delete, PARAMS(REQ(STR("id"))), .example = "id=$RESOURCE_SET",
      .summary = "Delete a resource set; its virtual machines leave it." },
    { "resourceSet.addObject", add_object, PARAMS(REQ(STR("id")), REQ(STR("object"))),
      .example = "id=$RESOURCE_SET object=$NETWORK",
      .summary = "Lend a template, a storage or a network to a resource set." },
    { "resourceSet.removeObject", remove_object, PARAMS(REQ(STR("id")), REQ(STR("object"))),
      .example = "id=$RESOURCE_SET object=$SR", .summary = "Take an object from a resource set." },
    { "resourceSet.addSubject", add_subject, PARAMS(REQ(STR("id")), REQ(STR("subject"))),
      .example = "id=$RESOURCE_SET subject=$GROUP",
      .summary = "Let a user or a group use a resource set." },
    { "resourceSet.removeSubject", remove_subject, PARAMS(REQ(STR("id")), REQ(STR("subject"))),
      .example = "id=$RESOURCE_SET subject=$USER",
      .summary = "Let a user or a group use a resource set no longer." },
    { "resourceSet.addLimit", add_limit,
      PARAMS(REQ(STR("id")),
             REQ(STR("limitId"), .words = "cpus, memory, disk, vms, disks or ipPool:<id>"),
             REQ(INT("quantity"))),
      .example = "id=$RESOURCE_SET limitId=cpus quantity=32",
      .summary = "Limit what a resource set may use." },
    { "resourceSet.removeLimit", remove_limit, PARAMS(REQ(STR("id")), REQ(STR("limitId"))),
      .example = "id=$RESOURCE_SET limitId=cpus",
      .summary = "Take a limit of a resource set away." },
    { "resourceSet.recomputeAllLimits", recompute, NULL, .example = "",
      .summary = "Count what all resource sets use; it is always counted." },
    { NULL },
};
