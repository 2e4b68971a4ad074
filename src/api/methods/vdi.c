/* vdi.*: virtual disks as objects of their own. */
#include "api/method.h"
#include "api/objects.h"
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
    { NULL },
};
