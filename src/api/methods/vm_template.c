/* Machines and snapshots made into templates, and what templates and machines are given for
 * cloud-init. */
#include "api/method.h"
#include "api/methods/vm_cloud.h"
#include "api/methods/vm_parts.h"

#include <string.h>

/* --- Templates --- */

static json_t *convert(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "id");
    if (call_find(call, api_object_text(vm, "$pool"), "pool", "administrate", error) &&
        api_object_do(vm, "VM.set_is_a_template", json_pack("[b]", 1), error))
        api_object_barrier(vm);
    return NULL;
}

/* A quick copy of the snapshot, which stays. */
static json_t *copy_to_template(ApiCall *call, GError **error)
{
    const ApiObject *snapshot = call_object(call, "id");
    Xapi *xapi = api_object_xapi(snapshot);
    if (!vm_may_use_storage(call, snapshot, error))
        return NULL;
    g_autofree char *ref =
        xapi_call_task(xapi, "VM.clone",
                       json_pack("[s, s]", snapshot->ref, api_object_text(snapshot, "name_label")),
                       NULL, NULL, NULL, error);
    if (ref && !xapi_do(xapi, "VM.set_is_a_template", json_pack("[s, b]", ref, 1), error))
        vm_unmake(xapi, ref);
    else if (ref)
        api_object_barrier(snapshot);
    return NULL;
}

/* --- cloud-init --- */

/* The plug-in puts the word True before the text. */
enum { CONFIG_PREFIX_CHARS = 4 };

static json_t *get_config(ApiCall *call, GError **error)
{
    const ApiObject *template = call_object(call, "template");
    const ApiObject *pool =
        call_find(call, api_object_text(template, "$pool"), "pool", NULL, error);
    const ApiObject *host =
        pool ? call_find(call, api_object_text(pool, "master"), "host", NULL, error) : NULL;
    if (!host)
        return NULL;
    g_autofree char *text = api_object_task(template, "host.call_plugin",
                                            json_pack("[s, s, s, {s:s}]", host->ref, "xscontainer",
                                                      "get_config_drive_default", "templateuuid",
                                                      api_object_text(template, "uuid")),
                                            error);
    if (!text)
        return NULL;
    return json_string(g_str_has_prefix(text, "True") ? text + CONFIG_PREFIX_CHARS : text);
}

static json_t *create_drive(ApiCall *call, GError **error)
{
    const ApiObject *vm = call_object(call, "vm"), *sr = call_object(call, "sr");
    CloudDrive drive = { .vm = vm->ref,
                         .sr = sr->ref,
                         .uuid = api_object_text(vm, "uuid"),
                         .user = call_string(call, "config"),
                         .network = call_string(call, "networkConfig"),
                         .plug = g_str_equal(api_object_text(vm, "power_state"), "Running") };
    if (vm->link == sr->link)
        cloud_drive_add(api_object_xapi(vm), &drive, NULL, error);
    else
        api_error_invalid(error, "sr: %s is not in the pool of VM %s", sr->id, vm->id);
    api_object_barrier(vm);
    return NULL;
}

const Method methods_vm_template[] = {
    { "vm.convertToTemplate", convert, PARAMS(REQ(ID("id", "VM,VM-snapshot", "administrate"))),
      .access = ACCESS_USER, .example = "id=$SPARE_VM",
      .summary = "Make a virtual machine a template." },
    { "vm.convert", convert, PARAMS(REQ(ID("id", "VM,VM-snapshot", "administrate"))),
      .access = ACCESS_USER, .example = "id=$SPARE_VM",
      .summary = "The former name of vm.convertToTemplate." },
    { "vm.copyToTemplate", copy_to_template, PARAMS(REQ(ID("id", "VM-snapshot", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "id=$SNAPSHOT",
      .summary = "Make a template of a snapshot." },
    { "vm.getCloudInitConfig", get_config,
      PARAMS(REQ(ID("template", "VM-template", "administrate"))), .access = ACCESS_USER,
      .example = "template=$TEMPLATE",
      .summary = "The configuration that the pool proposes for machines of a template." },
    { "vm.createCloudInitConfigDrive", create_drive,
      PARAMS(REQ(SECRET("config")), OPT(STR("networkConfig")), REQ(ID("sr", "SR", "operate")),
             REQ(ID("vm", "VM", "administrate"))),
      .access = ACCESS_USER, .long_running = true,
      .example = "vm=$VM sr=$SR config='#cloud-config'",
      .summary = "Give a virtual machine a drive with a configuration for cloud-init." },
    { NULL },
};
