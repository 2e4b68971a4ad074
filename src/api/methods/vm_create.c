/* vm.create: from a template, by a fast clone or a full copy. What was made is destroyed again when
 * a later step fails; when the call answers, the VM is among the objects. */
#include "api/errands.h"
#include "api/method.h"
#include "api/methods/vm_cloud.h"
#include "api/methods/vm_devices.h"
#include "api/methods/vm_disks.h"
#include "api/methods/vm_parts.h"
#include "api/methods/vm_settings.h"
#include "api/resource_sets.h"
#include "api/size.h"
#include "base/date.h"
#include "base/log.h"

#include <string.h>

/* --- What is not there --- */

/* Refused by name, never ignored: whoever asks for one must not believe that it is there. */
static bool check_supported(json_t *params, GError **error)
{
    static const char *const missing[] = { "destroyCloudConfigVdiAfterBoot", "vgpuType",
                                           "gpuGroup" };
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

/* A VM of a resource set uses what the set lends, within its limits; any other needs the pool. */
static bool check_allowed(ApiCall *call, const ApiObject *template, GError **error)
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
    add_ids(ids, call_get(call, "VDIs"), "SR");
    add_ids(ids, call_get(call, "VIFs"), "network");
    g_ptr_array_add(ids, NULL);
    return resource_set_allows(call, set, (const char *const *) ids->pdata, &demand, error);
}

/* --- The machine --- */

static char *copy_template(ApiCall *call, const ApiObject *template, GError **error)
{
    bool fast = !json_is_false(call_get(call, "clone"));
    json_t *params = fast ? json_pack("[s, s]", template->ref, call_string(call, "name_label"))
                          : json_pack("[s, s, s]", template->ref, call_string(call, "name_label"),
                                      "OpaqueRef:NULL");
    return xapi_call_task(api_object_xapi(template), fast ? "VM.clone" : "VM.copy", params, NULL,
                          NULL, NULL, error);
}

/* Disks come from the parameters: what the template would have the pool make is left out. */
static bool provision(const ApiObject *template, const char *ref, GError **error)
{
    Xapi *xapi = api_object_xapi(template);
    return xapi_do(xapi, "VM.remove_from_other_config", json_pack("[s, s]", ref, "disks"), error) &&
           xapi_do(xapi, "VM.provision", json_pack("[s]", ref), error);
}

/* --- Network interfaces --- */

static bool drop_vifs(VmChange *vm, GError **error)
{
    size_t i;
    json_t *vif;
    json_array_foreach (json_object_get(vm->record, "VIFs"), i, vif)
        if (!xapi_do(vm->xapi, "VIF.destroy", json_pack("[O]", vif), error))
            return false;
    return true;
}

/* The interfaces of the template go; those wanted come in order. */
static bool make_vifs(VmChange *vm, GError **error)
{
    json_t *wanted = call_get(vm->call, "VIFs"), *each;
    if (!drop_vifs(vm, error))
        return false;
    json_t *devices =
        xapi_call(vm->xapi, "VM.get_allowed_VIF_devices", json_pack("[s]", vm->ref), error);
    bool ok = devices != NULL;
    size_t i;
    json_array_foreach (wanted, i, each) {
        const char *id = json_string_value(json_object_get(each, "network"));
        const char *device = json_string_value(json_array_get(devices, i));
        if (ok && (!id || !device)) {
            api_error_invalid(error,
                              id ? "VIFs: the VM can have no interface number %zu"
                                 : "VIFs/%zu: expected a network",
                              i);
            ok = false;
        }
        const ApiObject *network = ok ? call_find(vm->call, id, "network", NULL, error) : NULL;
        ok = network && vif_create(vm->xapi, vm->ref, network, device, each, NULL, error);
    }
    json_decref(devices);
    return ok;
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

/* --- Starting --- */

typedef struct {
    Link *link;
    char *ref, *id;
} Start;

static void start_free(void *data)
{
    Start *start = data;
    link_unref(start->link);
    g_free(start->ref);
    g_free(start->id);
    g_free(start);
}

static void start_vm(void *data, Cancel *cancel)
{
    Start *start = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *done = xapi_call_task(pool_xapi(link_pool(start->link)), "VM.start",
                                           json_pack("[s, b, b]", start->ref, 0, 0), cancel, NULL,
                                           NULL, &error);
    if (!done)
        log_warning("api", "VM %s was created but not started: %s", start->id, error->message);
}

/* Nobody waits for it, as with XO. */
static void start_later(ApiCall *call, const ApiObject *template, const char *ref, json_t *id)
{
    Start *start = g_new0(Start, 1);
    start->link = link_ref(template->link);
    start->ref = g_strdup(ref);
    start->id = g_strdup(json_string_value(id));
    errands_push(call_parts(call)->errands, start_vm, start, start_free);
}

/* --- The whole --- */

static bool complete(ApiCall *call, const ApiObject *template, const char *ref, GError **error)
{
    json_t *params = call_params(call);
    g_auto(VmChange) vm = { NULL };
    return provision(template, ref, error) && vm_change_begin(&vm, call, template, ref, error) &&
           vm_resources_apply(&vm, params, error) && vm_settings_apply(&vm, params, error) &&
           make_vifs(&vm, error) && vm_disks_make(&vm, error) && vm_cloud_drive_make(&vm, error) &&
           install(&vm, error) && complete_platform(&vm, template, error) &&
           note_creation(&vm, template, error) && add_tags(&vm, error) && add_rules(&vm, error);
}

static json_t *create(ApiCall *call, GError **error)
{
    const ApiObject *template = call_object(call, "template");
    if (!check_supported(call_params(call), error) || !check_allowed(call, template, error))
        return NULL;
    g_autofree char *ref = copy_template(call, template, error);
    if (!ref)
        return NULL;
    json_t *id = complete(call, template, ref, error) ? api_object_made(template, "VM", ref, error)
                                                      : NULL;
    if (!id) {
        vm_unmake(api_object_xapi(template), ref);
        api_object_barrier(template);
    } else if (call_bool(call, "bootAfterCreate")) {
        start_later(call, template, ref, id);
    }
    return id;
}

const Method methods_vm_create[] = {
    { "vm.create", create,
      PARAMS(OPT(ARR("acls", P_OBJECT)), OPT(STR("affinityHost")), OPT(BOOL("bootAfterCreate")),
             OPT(STR("cloudConfig")), DEF("false", BOOL("createVtpm")), OPT(STR("networkConfig")),
             OPT(BOOL("coreOs")), OPT(BOOL("clone"), .words = "false: a full copy of the template"),
             OPT(TYPED("coresPerSocket", P_STRING | P_NUMBER)), OPT(STR("resourceSet")),
             OPT(BOOL("destroyCloudConfigVdiAfterBoot")), OPT(OBJ("installation")),
             OPT(STR("vgpuType")), OPT(STR("gpuGroup")), REQ(STR("name_label")),
             OPT(STR0("name_description")), OPT(STR("pv_args")), OPT(BOOL("share")),
             REQ(ID("template", "VM-template", NULL)), OPT(ARR("VIFs", P_OBJECT)),
             OPT(ARR("VDIs", P_OBJECT)), OPT(OBJ("existingDisks")), OPT(STR("hvmBootFirmware")),
             OPT(BOOL("copyHostBiosStrings")), ANY_OTHER),
      .access = ACCESS_USER, .long_running = true,
      .summary = "Create a virtual machine from a template." },
    { NULL },
};
