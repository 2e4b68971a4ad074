/* vm.create: from a template, by a fast clone or a full copy. What was made is destroyed again when
 * a later step fails; when the call answers, the VM is among the objects. */
#include "api/method.h"
#include "api/methods/vm_birth.h"
#include "api/methods/vm_cloud.h"
#include "api/methods/vm_devices.h"
#include "api/methods/vm_disks.h"
#include "api/methods/vm_interfaces.h"
#include "api/methods/vm_settings.h"
#include "api/methods/vm_start.h"
#include "api/resource_sets.h"
#include "api/size.h"
#include "base/date.h"
#include "base/log.h"

#include <string.h>

extern const Method methods_vm_create[];

/* --- Its parameters --- */

/* Refused by name, never ignored: whoever asks for one must not believe that it is there. */
static bool check_supported(json_t *params, GError **error)
{
    static const char *const missing[] = { "vgpuType", "gpuGroup" };
    for (unsigned i = 0; i < G_N_ELEMENTS(missing); i++) {
        json_t *value = vm_param(params, missing[i]);
        if (!value || json_is_null(value) || json_is_false(value))
            continue;
        api_error_set(error, API_NOT_IMPLEMENTED, json_pack("{s:s}", "parameter", missing[i]),
                      "not implemented: the parameter %s of vm.create", missing[i]);
        return false;
    }
    return true;
}

/* What came under a row's other name; NULL when it came under its own, or not at all. */
static json_t *under_other_name(json_t *params, const Param *row)
{
    json_t *own = json_incref(json_object_get(params, row->name));
    if (own && !row->fallback) {
        json_decref(own);
        return NULL;
    }
    json_object_del(params, row->name);
    json_t *value = vm_param(params, row->name);
    if (own)
        json_object_set_new(params, row->name, own);
    return value;
}

/* XO knows each by two names: what came as cloud_config is checked and used as cloudConfig. */
static bool settle_names(json_t *params, GError **error)
{
    const Param *rows = methods_vm_create[0].params;
    bool any = false;
    for (const Param *row = rows; row->name; row++) {
        json_t *value = under_other_name(params, row);
        if (value)
            json_object_set(params, row->name, value);
        any |= value != NULL;
    }
    json_t *checked = any ? params_check(rows, "vm.create", params, error) : NULL;
    json_decref(checked);
    return !any || checked;
}

/* --- Who may --- */

static void add_ids(GPtrArray *ids, json_t *list, const char *key)
{
    size_t i;
    json_t *each;
    json_array_foreach (list, i, each) {
        const char *id = json_string_value(json_object_get(each, key));
        if (id)
            g_ptr_array_add(ids, (void *) id);
    }
}

/* A VM of a resource set uses what the set lends, within its limits: *lease is to end; any other
 * needs the pool. */
static bool check_allowed(ApiCall *call, const ApiObject *template, SetLease **lease,
                          GError **error)
{
    const char *set = call_string(call, "resourceSet");
    if (!set)
        return call_find(call, api_object_text(template, "$pool"), "pool", "administrate", error) !=
               NULL;
    SetDemand demand = { 0 };
    if (!vm_disks_demand(call, template, &demand, error) ||
        !vm_resources_demand(template, call_params(call), &demand, error))
        return false;
    g_autoptr(GPtrArray) ids = g_ptr_array_new();
    g_ptr_array_add(ids, (void *) template->id);
    vm_disks_storages(call, ids);
    add_ids(ids, call_get(call, "VIFs"), "network");
    g_ptr_array_add(ids, NULL);
    *lease = resource_set_take(call, set, NULL, (const char *const *) ids->pdata, &demand, error);
    return *lease != NULL;
}

/* --- The machine --- */

static char *copy_template(ApiCall *call, const ApiObject *template, const char *name,
                           GError **error)
{
    bool fast = !json_is_false(call_get(call, "clone"));
    json_t *params = fast ? json_pack("[s, s]", template->ref, name)
                          : json_pack("[s, s, s]", template->ref, name, "OpaqueRef:NULL");
    return api_object_task(template, fast ? "VM.clone" : "VM.copy", params, error);
}

/* Disks come from the parameters: what the template would have the pool make is left out. */
static bool provision(const ApiObject *template, const char *ref, GError **error)
{
    Xapi *xapi = api_object_xapi(template);
    return xapi_do(xapi, "VM.remove_from_other_config", json_pack("[s, s]", ref, "disks"), error) &&
           xapi_do(xapi, "VM.provision", json_pack("[s]", ref), error);
}

/* --- Installation --- */

/* `letter` first: "d" the drive, "n" the network. */
static bool boot_first(VmChange *vm, char letter, GError **error)
{
    const char *now =
        json_string_value(json_object_get(json_object_get(vm->record, "HVM_boot_params"), "order"));
    g_autoptr(GString) order = g_string_new(NULL);
    g_string_append_c(order, letter);
    for (const char *at = now ? now : "cd"; *at; at++)
        if (*at != letter)
            g_string_append_c(order, *at);
    return vm_change_map(vm, "HVM_boot_params", "order", order->str, error);
}

static bool install(VmChange *vm, GError **error)
{
    json_t *installation = call_get(vm->call, "installation");
    const char *repository = json_string_value(json_object_get(installation, "repository"));
    if (!installation)
        return true;
    const InsertCd how = { .bootable = true };
    const ApiObject *image = repository ? call_find(vm->call, repository, "VDI", NULL, NULL) : NULL;
    return image ? vm_insert_cd(vm->xapi, vm->ref, image->ref, &how, error) &&
                       boot_first(vm, 'd', error)
                 : boot_first(vm, 'n', error);
}

/* --- Records of our own --- */

static bool note_creation(VmChange *vm, const ApiObject *template, GError **error)
{
    g_autofree char *now = date_format_iso(g_get_real_time() / 1000);
    g_autofree char *key = g_strdup_printf("xo:%.8s", vm_change_text(vm, "uuid"));
    json_t *data = json_pack("{s:{s:s, s:s, s:s*}}", "creation", "date", now, "template",
                             api_object_text(template, "uuid"), "user", call_user_id(vm->call));
    g_autofree char *text = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    return vm_change_map(vm, "other_config", key, text, error);
}

static bool add_tags(VmChange *vm, GError **error)
{
    const char *set = call_string(vm->call, "resourceSet");
    json_t *tags = json_array(), *more = set ? resource_set_tags(vm->call, set) : NULL, *tag;
    size_t i;
    bool ok = true;
    json_array_extend(tags, call_get(vm->call, "tags"));
    if (more)
        json_array_extend(tags, more);
    json_decref(more);
    json_array_foreach (tags, i, tag)
        ok = ok && vm_change_do(vm, "add_tags", json_pack("[O]", tag), error);
    json_decref(tags);
    return ok;
}

static bool add_rules(VmChange *vm, GError **error)
{
    Accounts *accounts = call_parts(vm->call)->accounts;
    const char *set = call_string(vm->call, "resourceSet"), *id = vm_change_text(vm, "uuid");
    size_t i;
    json_t *rule;
    if (set && !resource_set_take_vm(vm->call, set, vm->xapi, vm->ref, id,
                                     call_bool(vm->call, "share"), error))
        return false;
    json_array_foreach (call_get(vm->call, "acls"), i, rule) {
        const char *subject = json_string_value(json_object_get(rule, "subject"));
        const char *action = json_string_value(json_object_get(rule, "action"));
        if (!subject || !action) {
            api_error_invalid(error, "acls/%zu: expected a subject and an action", i);
            return false;
        }
        if (!account_add_acl(accounts, subject, id, action, error))
            return false;
    }
    return true;
}

/* --- Firmware --- */

static bool complete_platform(VmChange *vm, const ApiObject *template, GError **error)
{
    if (call_bool(vm->call, "createVtpm") &&
        !xapi_do(vm->xapi, "VTPM.create", json_pack("[s, b]", vm->ref, 0), error))
        return false;
    if (!call_bool(vm->call, "copyHostBiosStrings"))
        return true;
    const char *wanted = call_string(vm->call, "affinityHost");
    const ApiObject *pool =
        call_find(vm->call, api_object_text(template, "$pool"), "pool", NULL, error);
    const ApiObject *host = pool ? call_find(vm->call,
                                             wanted ? wanted : api_object_text(pool, "master"),
                                             "host", NULL, error)
                                 : NULL;
    return host && vm_change_do(vm, "copy_bios_strings", json_pack("[s]", host->ref), error);
}

/* --- The whole --- */

/* All but its name, which it gets last, and its tags, to which its set adds. */
static bool set_all(VmChange *vm, GError **error)
{
    json_t *params = json_copy(call_params(vm->call));
    json_object_del(params, "name_label");
    json_object_del(params, "tags");
    bool ok = vm_resources_apply(vm, params, error) && vm_settings_apply(vm, params, error);
    json_decref(params);
    return ok;
}

static bool make_drive(VmChange *vm, const char *birth_id, GError **error)
{
    g_autofree char *vdi = NULL;
    bool lose = call_bool(vm->call, "destroyCloudConfigVdiAfterBoot") &&
                call_bool(vm->call, "bootAfterCreate");
    return vm_cloud_drive_make(vm, birth_id, &vdi, error) &&
           (!vdi || !lose || vm_cloud_drive_lose(vm, vdi, error));
}

/* What the creation takes of its resource set until the objects show it. */
typedef struct {
    SetLease *set;
    AddressLease *addresses;
} Taken;

static void taken_end(Taken *taken)
{
    set_lease_end(taken->set);
    address_lease_end(taken->addresses);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Taken, taken_end)

static bool complete(ApiCall *call, const ApiObject *template, const char *ref,
                     const VmBirth *birth, Taken *taken, GError **error)
{
    g_auto(VmChange) vm = { NULL };
    if (!vm_change_begin(&vm, call, template, ref, error))
        return false;
    set_lease_name(taken->set, vm_change_text(&vm, "uuid"));
    return vm_interfaces_lease(&vm, &taken->addresses, error) && provision(template, ref, error) &&
           set_all(&vm, error) && vm_interfaces_make(&vm, error) &&
           vm_disks_make(&vm, birth->id, error) && make_drive(&vm, birth->id, error) &&
           install(&vm, error) && complete_platform(&vm, template, error) &&
           note_creation(&vm, template, error) && add_tags(&vm, error) && add_rules(&vm, error) &&
           vm_change_do(&vm, "set_name_label", json_pack("[s]", call_string(call, "name_label")),
                        error);
}

/* Nobody has heard of it yet: what was made goes, and so do rights on it. */
static void undo(ApiCall *call, const ApiObject *template, VmBirth *birth, const char *ref)
{
    Xapi *xapi = api_object_xapi(template);
    g_autofree char *uuid = ref ? xapi_call_string(xapi, "VM.get_uuid", json_pack("[s]", ref), NULL)
                                : NULL;
    vm_birth_undo(birth, xapi, ref);
    api_object_barrier(template);
    if (uuid)
        account_forget_object(call_parts(call)->accounts, uuid, NULL);
}

static json_t *make(ApiCall *call, const ApiObject *template, Taken *taken, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_auto(VmBirth) birth = { NULL };
    if (!vm_birth_begin(&birth, call_parts(call)->duties, api_object_text(template, "$pool"),
                        call_string(call, "name_label"), error))
        return NULL;
    g_autofree char *ref = copy_template(call, template, birth.name, &failure);
    json_t *id = NULL;
    if (ref && complete(call, template, ref, &birth, taken, &failure))
        id = api_object_made(template, "VM", ref, &failure);
    if (id || (!ref && err_is(failure, ERR_XAPI))) /* the pool has told that there is nothing */
        vm_birth_done(&birth);
    else
        undo(call, template, &birth, ref);
    if (id && vm_start_new(call, template, ref, id, error))
        return id;
    json_decref(id);
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static json_t *create(ApiCall *call, GError **error)
{
    const ApiObject *template = call_object(call, "template");
    g_auto(Taken) taken = { NULL };
    if (!settle_names(call_params(call), error) || !check_supported(call_params(call), error) ||
        !check_allowed(call, template, &taken.set, error))
        return NULL;
    return make(call, template, &taken, error);
}

const Method methods_vm_create[] = {
    { "vm.create", create,
      PARAMS(OPT(ARR("acls", P_OBJECT)), OPT(STR("affinityHost"), .nullable = true),
             OPT(BOOL("bootAfterCreate")), OPT(STR("cloudConfig")),
             DEF("false", BOOL("createVtpm")), OPT(STR("networkConfig")), OPT(BOOL("coreOs")),
             OPT(BOOL("clone"), .words = "false: a full copy of the template"),
             OPT(TYPED("coresPerSocket", P_STRING | P_NUMBER)),
             OPT(STR("resourceSet"), .nullable = true), OPT(BOOL("destroyCloudConfigVdiAfterBoot")),
             OPT(OBJ("installation")), OPT(STR("vgpuType")), OPT(STR("gpuGroup")),
             REQ(STR("name_label")), OPT(STR0("name_description")), OPT(STR("pv_args")),
             OPT(BOOL("share")), REQ(ID("template", "VM-template", NULL)),
             OPT(ARR("VIFs", P_OBJECT)), OPT(ARR("VDIs", P_OBJECT)), OPT(OBJ("existingDisks")),
             OPT(STR("hvmBootFirmware")), OPT(BOOL("copyHostBiosStrings")), ANY_OTHER),
      .access = ACCESS_USER, .long_running = true,
      .example =
          "template=$TEMPLATE name_label=web VIFs=json:\"[{\\\"network\\\":\\\"$NETWORK\\\"}]\"",
      .summary = "Create a virtual machine from a template." },
    { NULL },
};
