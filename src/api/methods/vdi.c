/* vdi.*: virtual disks as objects of their own. */
#include "api/method.h"
#include "api/objects.h"
#include "api/resource_sets.h"
#include "api/size.h"

/* --- vdi.delete --- */

static json_t *delete (ApiCall *call, GError **error)
{
    const ApiObject *vdi = call_object(call, "id");
    if (api_object_do(vdi, "VDI.destroy", NULL, error))
        api_object_barrier(vdi);
    return NULL;
}

/* --- vdi.set --- */

static bool may_resize(ApiCall *call, const ApiObject *vdi, gint64 size, GError **error)
{
    gint64 now = (gint64) json_number_value(json_object_get(vdi->view, "size"));
    if (size < now) {
        api_error_invalid(error,
                          "cannot set new size (%" G_GINT64_FORMAT
                          ") below the current size (%" G_GINT64_FORMAT ")",
                          size, now);
        return false;
    }
    return call_find(call, api_object_text(vdi, "$SR"), "SR", "operate", error) != NULL;
}

static bool resize(ApiCall *call, const ApiObject *vdi, GError **error)
{
    gint64 size;
    if (!call_get(call, "size"))
        return true;
    return size_parse(call_get(call, "size"), "size", &size, error) &&
           may_resize(call, vdi, size, error) &&
           api_object_do(vdi, "VDI.resize", json_pack("[I]", (json_int_t) size), error);
}

static bool set_text(ApiCall *call, const ApiObject *vdi, const char *field, GError **error)
{
    const char *text = call_string(call, field);
    g_autofree char *method = g_strdup_printf("VDI.set_%s", field);
    return !text || g_str_equal(text, api_object_text(vdi, field)) ||
           api_object_do(vdi, method, json_pack("[s]", text), error);
}

static bool set_cbt(ApiCall *call, const ApiObject *vdi, GError **error)
{
    json_t *wanted = call_get(call, "cbt"), *now = json_object_get(vdi->view, "cbt_enabled");
    return !wanted || json_is_true(wanted) == json_is_true(now) ||
           api_object_do(vdi, json_is_true(wanted) ? "VDI.enable_cbt" : "VDI.disable_cbt", NULL,
                         error);
}

static json_t *set(ApiCall *call, GError **error)
{
    const ApiObject *vdi = call_object(call, "id");
    if (resize(call, vdi, error) && set_text(call, vdi, "name_label", error) &&
        set_text(call, vdi, "name_description", error))
        set_cbt(call, vdi, error);
    api_object_barrier(vdi); /* also after a failure: what was done is there to be seen */
    return NULL;
}

/* --- vdi.migrate --- */

/* A resource set lends storage, too. */
static const ApiObject *find_storage(ApiCall *call, const ApiObject *vdi, GError **error)
{
    const char *set = call_string(call, "resourceSet"), *id = call_string(call, "sr_id");
    const char *const objects[] = { id, NULL };
    if (set && !resource_set_lends(call, set, objects, error))
        return NULL;
    const ApiObject *sr = call_find(call, id, "SR", set ? NULL : "administrate", error);
    if (!sr || sr->link == vdi->link)
        return sr;
    api_error_invalid(error, "sr_id: storage %s is not in the pool of disk %s",
                      api_object_text(sr, "name_label"), api_object_text(vdi, "name_label"));
    return NULL;
}

/* Every device that has the disk gets the copy instead; the disk goes when all of them have it. */
static bool give_over(Xapi *xapi, const char *from, const char *to, GError **error)
{
    json_t *vbds = xapi_call(xapi, "VDI.get_VBDs", json_pack("[s]", from), error), *vbd;
    bool ok = vbds != NULL;
    size_t i;
    json_array_foreach (vbds, i, vbd) {
        json_t *record = ok ? xapi_call(xapi, "VBD.get_record", json_pack("[O]", vbd), error)
                            : NULL;
        ok = record && xapi_do(xapi, "VBD.destroy", json_pack("[O]", vbd), error);
        if (ok) {
            json_object_set_new(record, "VDI", json_string(to));
            ok = xapi_do(xapi, "VBD.create", json_pack("[O]", record), error);
            json_object_set_new(record, "VDI", json_string(from));
            if (!ok) /* what it had it shall have */
                xapi_do(xapi, "VBD.create", json_pack("[O]", record), NULL);
        }
        json_decref(record);
    }
    json_decref(vbds);
    return ok && xapi_do(xapi, "VDI.destroy", json_pack("[s]", from), error);
}

/* Nobody runs with it: copied, and what had it has the copy. */
static char *copy_over(const ApiObject *vdi, const ApiObject *sr, GError **error)
{
    Xapi *xapi = api_object_xapi(vdi);
    char *ref = api_object_task(vdi, "VDI.copy", json_pack("[s, s]", vdi->ref, sr->ref), error);
    if (!ref || give_over(xapi, vdi->ref, ref, error))
        return ref;
    json_t *users = xapi_call(xapi, "VDI.get_VBDs", json_pack("[s]", ref), NULL);
    if (users && json_array_size(users) == 0)
        xapi_do(xapi, "VDI.destroy", json_pack("[s]", ref), NULL);
    json_decref(users);
    g_free(ref);
    return NULL;
}

/* What only works on the disk of a running machine. */
static bool must_copy(const GError *failure)
{
    static const char *const codes[] = { "VDI_NEEDS_VM_FOR_MIGRATE", "NO_HOSTS_AVAILABLE",
                                         "LICENCE_RESTRICTION", "LICENSE_RESTRICTION", NULL };
    return g_strv_contains(codes, err_xapi_code(failure));
}

static json_t *migrate(ApiCall *call, GError **error)
{
    const ApiObject *vdi = call_object(call, "id"), *sr = find_storage(call, vdi, error);
    if (!sr || g_str_equal(api_object_text(vdi, "$SR"), sr->id))
        return sr ? json_string(vdi->id) : NULL;
    g_autoptr(GError) failure = NULL;
    g_autofree char *ref = api_object_task(vdi, "VDI.pool_migrate",
                                           json_pack("[s, s, {}]", vdi->ref, sr->ref), &failure);
    if (!ref && must_copy(failure))
        ref = copy_over(vdi, sr, error);
    else if (!ref)
        g_propagate_error(error, g_steal_pointer(&failure));
    if (ref)
        return api_object_made(vdi, "VDI", ref, error);
    api_object_barrier(vdi);
    return NULL;
}

const Method methods_vdi[] = {
    { "vdi.delete", delete, PARAMS(REQ(ID("id", "VDI,VDI-snapshot", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .rest = "DELETE /vdis/{id}",
      .example = "id=$SPARE_DISK", .summary = "Delete a virtual disk." },
    { "vdi.set", set,
      PARAMS(REQ(ID("id", "VDI,VDI-snapshot", "administrate")), OPT(STR("name_label")),
             OPT(STR0("name_description")),
             OPT(TYPED("size", P_INTEGER | P_STRING), .words = "bytes, or text such as \"10 GiB\""),
             OPT(BOOL("cbt"), .words = "whether changed blocks are tracked")),
      .access = ACCESS_USER, .long_running = true,
      .example = "id=$DISK name_label='the data' name_description='of the web server'",
      .summary = "Rename, describe or enlarge a virtual disk." },
    { "vdi.migrate", migrate,
      PARAMS(REQ(ID("id", "VDI", "administrate")),
             OPT(STR("resourceSet"), .words = "that lends the storage"), REQ(STR("sr_id"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SPARE_DISK sr_id=$SPARE_SR",
      .summary = "Move a disk to another storage; its id is another afterwards." },
    { NULL },
};
