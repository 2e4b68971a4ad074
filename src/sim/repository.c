/* Storage repositories as the pool knows them, and their attachments to hosts (PBDs). What lies in
 * them is storage.h's, what they lie on arrays.h's. */
#include "sim/arrays.h"
#include "sim/inner.h"

#include <string.h>

static const char *const types[] = { "ext",       "file",    "lvm", "nfs",  "smb",
                                     "lvmoiscsi", "lvmohba", "iso", "udev", "zfs" };

static bool type_known(const char *type)
{
    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        if (strcmp(types[i], type) == 0)
            return true;
    return false;
}

static json_t *sr_get_supported_types(Call *call, GError **error)
{
    json_t *list = json_array();
    for (guint i = 0; i < G_N_ELEMENTS(types); i++)
        json_array_append_new(list, json_string(types[i]));
    return list;
}

static void allow(Obj *sr)
{
    static const char *const disks[] = {
        "vdi_create",
        "vdi_destroy",
        "vdi_resize",
        "vdi_clone",
        "vdi_snapshot",
        "vdi_enable_cbt",
        "scan",
        "plug",
        "unplug",
        "update",
        "vdi_disable_cbt",
        "destroy",
        "forget",
        "pbd_create",
        "pbd_destroy",
        "vdi_data_destroy",
        "vdi_list_changed_blocks",
    };
    obj_set_assign(sr, "allowed_operations", disks, G_N_ELEMENTS(disks));
}

static void pbd_new(Obj *sr, Obj *host, json_t *config)
{
    Obj *pbd = obj_new(obj_sim(sr), "PBD");
    obj_put_ref(pbd, "host", host);
    obj_put_ref(pbd, "SR", sr);
    obj_put_json(pbd, "device_config", config, NULL);
    obj_put_bool(pbd, "currently_attached", true);
}

static bool type_check(const char *type, GError **error)
{
    if (!type_known(type))
        sim_error(error, "SR_UNKNOWN_DRIVER", type, NULL);
    return type_known(type);
}

static Obj *sr_new(Call *call)
{
    Sim *sim = call_sim(call);
    gint64 size = call_int(call, 2);
    Obj *sr = obj_new(sim, "SR");
    obj_put_str(sr, "name_label", call_str(call, 3));
    obj_put_str(sr, "name_description", call_str(call, 4));
    obj_put_str(sr, "type", call_str(call, 5));
    obj_put_str(sr, "content_type", call_str(call, 6));
    obj_put_bool(sr, "shared", call_bool(call, 7));
    obj_put_int(sr, "physical_size", size > 0 ? size : sim_options(sim)->sr_bytes);
    if (call_param(call, 8) != NULL)
        obj_put_json(sr, "sm_config", call_param(call, 8), NULL);
    allow(sr);
    return sr;
}

static json_t *sr_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *host = call_obj(call, 0, "host", error);
    if (host == NULL || !type_check(call_str(call, 5), error) ||
        !arrays_check_new(sim, call_str(call, 5), call_param(call, 1), error))
        return NULL;
    Obj *sr = sr_new(call);
    arrays_put(sim, sr, call_param(call, 1));
    for (Obj *at = obj_first(sim, "host"); at != NULL; at = obj_next(at))
        if (at == host || call_bool(call, 7))
            pbd_new(sr, at, call_param(call, 1));
    return json_string(obj_ref(sr));
}

static json_t *sr_probe(Call *call, GError **error)
{
    if (call_obj(call, 0, "host", error) == NULL || !type_check(call_str(call, 2), error))
        return NULL;
    return arrays_probe(call_sim(call), call_str(call, 2), call_param(call, 1), error);
}

static json_t *sr_introduce(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const char *uuid = call_str(call, 0);
    if (obj_find_uuid(sim, "SR", uuid) != NULL) {
        sim_error(error, "SR_UUID_EXISTS", uuid, NULL);
        return NULL;
    }
    Obj *sr = *uuid == '\0' ? obj_new(sim, "SR") : obj_new_uuid(sim, "SR", uuid);
    obj_put_str(sr, "name_label", call_str(call, 1));
    obj_put_str(sr, "name_description", call_str(call, 2));
    obj_put_str(sr, "type", call_str(call, 3));
    obj_put_str(sr, "content_type", call_str(call, 4));
    obj_put_bool(sr, "shared", call_bool(call, 5));
    obj_put_int(sr, "physical_size", sim_options(sim)->sr_bytes);
    allow(sr);
    return json_string(obj_ref(sr));
}

/* Whether the SR may leave the pool. */
static Obj *sr_leaving(Call *call, GError **error)
{
    Obj *sr = call_obj(call, 0, "SR", error);
    const char *fixed = sr == NULL ? NULL : obj_map_get(sr, "other_config", "indestructible");
    if (sr == NULL)
        return NULL;
    if (g_strcmp0(fixed, "true") == 0) {
        sim_error(error, "SR_INDESTRUCTIBLE", obj_ref(sr), NULL);
        return NULL;
    }
    for (guint i = 0; i < obj_set_size(sr, "PBDs"); i++)
        if (obj_bool(obj_follow_nth(sr, "PBDs", i), "currently_attached")) {
            sim_error(error, "SR_HAS_PBD", obj_ref(sr), NULL);
            return NULL;
        }
    return sr;
}

static void sr_drop(Obj *sr)
{
    while (obj_set_size(sr, "VDIs") > 0)
        obj_drop(obj_follow_nth(sr, "VDIs", 0));
    while (obj_set_size(sr, "PBDs") > 0)
        obj_drop(obj_follow_nth(sr, "PBDs", 0));
    obj_drop(sr);
}

static json_t *sr_forget(Call *call, GError **error)
{
    Obj *sr = sr_leaving(call, error);
    if (sr == NULL)
        return NULL;
    sr_drop(sr);
    return call_void();
}

static json_t *sr_destroy(Call *call, GError **error)
{
    Obj *sr = call_obj(call, 0, "SR", error);
    if (sr == NULL)
        return NULL;
    if (obj_set_size(sr, "VDIs") > 0) {
        sim_error(error, "SR_NOT_EMPTY", NULL);
        return NULL;
    }
    sr = sr_leaving(call, error);
    if (sr == NULL)
        return NULL;
    arrays_wipe(call_sim(call), obj_uuid(sr));
    sr_drop(sr);
    return call_void();
}

static json_t *sr_update(Call *call, GError **error)
{
    return call_obj(call, 0, "SR", error) == NULL ? NULL : call_void();
}

/* --- PBD --- */

static json_t *pbd_create(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    json_t *record = call_param(call, 0);
    Obj *sr = obj_get(sim, "SR", json_string_value(json_object_get(record, "SR")), error);
    Obj *host = sr == NULL ? NULL
                           : obj_get(sim, "host",
                                     json_string_value(json_object_get(record, "host")), error);
    if (host == NULL)
        return NULL;
    for (guint i = 0; i < obj_set_size(sr, "PBDs"); i++) {
        const Obj *pbd = obj_follow_nth(sr, "PBDs", i);
        if (obj_follow(pbd, "host") == host) {
            sim_error(error, "PBD_EXISTS", obj_ref(sr), obj_ref(host), obj_ref(pbd), NULL);
            return NULL;
        }
    }
    Obj *pbd = record_create(sim, "PBD", record, error);
    return pbd == NULL ? NULL : json_string(obj_ref(pbd));
}

static json_t *pbd_plug(Call *call, GError **error)
{
    Obj *pbd = call_obj(call, 0, "PBD", error);
    const Obj *sr = pbd == NULL ? NULL : obj_follow(pbd, "SR");
    if (sr == NULL)
        return NULL;
    json_t *config = obj_field_json(pbd, "device_config");
    bool reached = obj_bool(pbd, "currently_attached") ||
                   arrays_check(obj_str(sr, "type"), config, error);
    if (reached)
        arrays_put(call_sim(call), sr, config);
    json_decref(config);
    if (!reached)
        return NULL;
    obj_put_bool(pbd, "currently_attached", true);
    return call_void();
}

/* Whether a VM of the host has a disk of the SR attached. */
static Obj *disk_in_use(const Obj *sr, const Obj *host)
{
    for (guint i = 0; i < obj_set_size(sr, "VDIs"); i++) {
        Obj *vdi = obj_follow_nth(sr, "VDIs", i);
        for (guint k = 0; k < obj_set_size(vdi, "VBDs"); k++) {
            const Obj *vbd = obj_follow_nth(vdi, "VBDs", k), *vm = obj_follow(vbd, "VM");
            if (obj_bool(vbd, "currently_attached") && vm != NULL &&
                obj_follow(vm, "resident_on") == host)
                return vdi;
        }
    }
    return NULL;
}

static json_t *pbd_unplug(Call *call, GError **error)
{
    Obj *pbd = call_obj(call, 0, "PBD", error);
    const Obj *sr = pbd == NULL ? NULL : obj_follow(pbd, "SR");
    const Obj *used = sr == NULL ? NULL : disk_in_use(sr, obj_follow(pbd, "host"));
    if (pbd == NULL)
        return NULL;
    if (used != NULL) {
        sim_error(error, "VDI_IN_USE", obj_ref(used), "detach", NULL);
        return NULL;
    }
    obj_put_bool(pbd, "currently_attached", false);
    return call_void();
}

static json_t *pbd_destroy(Call *call, GError **error)
{
    Obj *pbd = call_obj(call, 0, "PBD", error);
    if (pbd == NULL)
        return NULL;
    if (obj_bool(pbd, "currently_attached")) {
        sim_error(error, "OPERATION_NOT_ALLOWED", "PBD is attached", NULL);
        return NULL;
    }
    obj_drop(pbd);
    return call_void();
}

const Method repository_methods[] = {
    { "SR.get_supported_types", sr_get_supported_types },
    { "SR.create", sr_create },
    { "SR.probe", sr_probe },
    { "SR.introduce", sr_introduce },
    { "SR.forget", sr_forget },
    { "SR.destroy", sr_destroy },
    { "SR.update", sr_update },
    { "PBD.create", pbd_create },
    { "PBD.plug", pbd_plug },
    { "PBD.unplug", pbd_unplug },
    { "PBD.destroy", pbd_destroy },
    { NULL, NULL },
};
