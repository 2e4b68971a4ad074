/* vdi.create and vbd.create: a disk, or a device, from its whole record, as REST and its clients
 * make them. Xen Orchestra has no such methods: there, REST does more than JSON-RPC. */
#include "api/method.h"
#include "api/objects.h"
#include "api/size.h"

/* `record` with what the caller gave of these fields; the reference of what the pool makes of it.
 */
static char *make(ApiCall *call, const ApiObject *base, const char *method,
                  const char *const *fields, json_t *record, GError **error)
{
    for (; *fields; fields++) {
        json_t *value = call_get(call, *fields);
        if (value && !json_is_null(value))
            json_object_set(record, *fields, value);
    }
    return api_object_task(base, method, json_pack("[o]", record), error);
}

/* --- Disks --- */

static json_t *create_disk(ApiCall *call, GError **error)
{
    static const char *const fields[] = { "name_label", "name_description", "type",
                                          "tags",       "other_config",     "read_only",
                                          "sharable",   "sm_config",        "xenstore_data",
                                          NULL };
    const ApiObject *sr = call_object(call, "sr");
    gint64 size_bytes;
    if (!size_parse(call_get(call, "virtual_size"), "virtual_size", &size_bytes, error))
        return NULL;
    json_t *record = json_pack("{s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:{}, s:{}, s:{}, s:[]}",
                               "name_label", "", "name_description", "", "SR", sr->ref,
                               "virtual_size", (json_int_t) size_bytes, "type", "user", "sharable",
                               0, "read_only", 0, "other_config", "xenstore_data", "sm_config",
                               "tags");
    g_autofree char *ref = make(call, sr, "VDI.create", fields, record, error);
    return ref ? api_object_made(sr, "VDI", ref, error) : NULL;
}

/* --- Devices --- */

/* "1" or 1; NULL: the first that is free. */
static json_t *position(ApiCall *call)
{
    json_t *wanted = call_get(call, "userdevice");
    return json_is_integer(wanted)
               ? json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(wanted))
           : wanted ? json_incref(wanted)
                    : json_string("autodetect");
}

static json_t *create_device(ApiCall *call, GError **error)
{
    static const char *const fields[] = { "bootable",
                                          "mode",
                                          "type",
                                          "unpluggable",
                                          "empty",
                                          "other_config",
                                          "qos_algorithm_type",
                                          "qos_algorithm_params",
                                          NULL };
    const ApiObject *vm = call_object(call, "VM"), *vdi = call_object(call, "VDI");
    bool empty = call_bool(call, "empty");
    if (!vdi && !empty) {
        api_error_invalid(error, "VDI: a device that is not empty needs a disk");
        return NULL;
    }
    if (vdi && vdi->link != vm->link) {
        api_error_invalid(error, "VDI: %s is not in the pool of VM %s", vdi->id, vm->id);
        return NULL;
    }
    bool cd = g_strcmp0(call_string(call, "type"), "CD") == 0;
    json_t *record = json_pack("{s:s, s:s, s:o, s:b, s:s, s:s, s:b, s:b, s:{}, s:s, s:{}}", "VM",
                               vm->ref, "VDI", vdi ? vdi->ref : "OpaqueRef:NULL", "userdevice",
                               position(call), "bootable", 0, "mode", cd ? "RO" : "RW", "type",
                               "Disk", "unpluggable", 1, "empty", empty, "other_config",
                               "qos_algorithm_type", "", "qos_algorithm_params");
    g_autofree char *ref = make(call, vm, "VBD.create", fields, record, error);
    return ref ? api_object_made(vm, "VBD", ref, error) : NULL;
}

const Method methods_rest_device[] = {
    { "vdi.create", create_disk,
      PARAMS(REQ(ID("sr", "SR", "operate")),
             REQ(TYPED("virtual_size", P_INTEGER | P_STRING),
                 .words = "bytes, or text such as \"10 GiB\""),
             OPT(STR0("name_label")), OPT(STR0("name_description")), OPT(STR("type")),
             OPT(ARR("tags", P_STRING)), OPT(OBJ("other_config")), OPT(BOOL("read_only")),
             OPT(BOOL("sharable")), OPT(OBJ("sm_config")), OPT(OBJ("xenstore_data"))),
      .access = ACCESS_USER, .long_running = true, .example = "sr=$SR virtual_size='1 GiB'",
      .summary = "Create an empty disk from its record." },
    { "vbd.create", create_device,
      PARAMS(REQ(ID("VM", "VM", "administrate")), OPT(ID("VDI", "VDI", "administrate")),
             OPT(STR("type"), .choices = "CD|Disk|Floppy"), OPT(STR("mode"), .choices = "RW|RO"),
             OPT(BOOL("bootable")), OPT(TYPED("userdevice", P_INTEGER | P_STRING)),
             OPT(BOOL("unpluggable")), OPT(BOOL("empty")), OPT(OBJ("other_config")),
             OPT(STR0("qos_algorithm_type")), OPT(OBJ("qos_algorithm_params"))),
      .access = ACCESS_USER, .long_running = true, .example = "VM=$VM VDI=$SPARE_DISK",
      .summary = "Connect a disk to a virtual machine; it is plugged by vbd.connect." },
    { NULL },
};
