/* What a VM is made of, and whose it is. */
#include "api/methods/vm_parts.h"
#include "base/log.h"

#include <string.h>

void vm_unmake(Xapi *xapi, const char *ref)
{
    g_autoptr(GError) error = NULL;
    if (!vm_erase(xapi, ref, true, &error))
        log_warning("api", "half-made VM %s stays: %s", ref, error->message);
}

bool vm_may_use_storage(ApiCall *call, const ApiObject *vm, GError **error)
{
    size_t i;
    json_t *id;
    bool ok = true;
    json_array_foreach (json_object_get(vm->view, "$VBDs"), i, id) {
        const char *vbd_id = json_string_value(id);
        json_t *vbd = vbd_id ? inventory_object(vm->inventory, vbd_id) : NULL;
        const char *vdi_id = json_string_value(json_object_get(vbd, "VDI"));
        bool disk = vdi_id && !json_is_true(json_object_get(vbd, "is_cd_drive"));
        json_t *vdi = disk ? inventory_object(vm->inventory, vdi_id) : NULL;
        const char *sr = json_string_value(json_object_get(vdi, "$SR"));
        ok = ok && (!sr || call_find(call, sr, "SR", "operate", error));
        json_decref(vdi);
        json_decref(vbd);
    }
    return ok;
}

bool vm_is_given_to_caller(ApiCall *call, const char *vm_id, GError **error)
{
    return account_is_admin(call_user(call)) ||
           account_add_acl(call_parts(call)->accounts, call_user_id(call), vm_id, "admin", error);
}

void vm_name_lease(SetLease *lease, Xapi *xapi, const char *ref)
{
    g_autofree char *uuid =
        lease ? xapi_call_string(xapi, "VM.get_uuid", json_pack("[s]", ref), NULL) : NULL;
    if (uuid)
        set_lease_name(lease, uuid);
}
