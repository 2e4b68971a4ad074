/* vm.copy: a full copy on other storage, in the pool by the pool itself, else as an archive that is
 * exported here and imported there, through one pipe. A running machine is copied as of now. */
#include "api/conduit.h"
#include "api/machine_out.h"
#include "api/method.h"
#include "api/methods/vm_parts.h"
#include "base/log.h"

#include <string.h>

typedef struct {
    ApiCall *call;
    const ApiObject *vm, *sr;
    char *source; /* ref: the machine, or a snapshot that was made for it */
} Copy;

/* "true" is gzip for a pool. */
static const char *compression(ApiCall *call)
{
    json_t *wanted = call_get(call, "compress");
    const char *name = json_string_value(wanted);
    if (name && g_str_equal(name, "zstd"))
        return "zstd";
    return json_is_true(wanted) || (name && g_str_equal(name, "gzip")) ? "true" : "false";
}

/* --- Through a pipe --- */

static bool feed(Conduit *conduit, void *user, GError **error)
{
    Copy *copy = user;
    return xapi_export_vm(api_object_xapi(copy->vm), copy->source, compression(copy->call),
                          conduit_write, conduit, NULL, error);
}

typedef struct {
    Conduit *conduit;
    char *ref;
} Arrival;

static ssize_t receive(void *data, size_t n, void *user, GError **error)
{
    return conduit_read(data, n, ((Arrival *) user)->conduit, error);
}

static bool made(const char *const *vms, void *user, GError **error)
{
    ((Arrival *) user)->ref = g_strdup(vms[0]);
    return true;
}

static char *copy_across(Copy *copy, GError **error)
{
    g_autoptr(Conduit) conduit = conduit_new(feed, copy, error);
    Arrival arrival = { .conduit = conduit };
    XapiImport import = { .source = receive, .n_bytes = -1, .made = made, .user = &arrival };
    if (!conduit)
        return NULL;
    if (xapi_import_vm(api_object_xapi(copy->sr), copy->sr->ref, &import, NULL, error) &&
        arrival.ref)
        return arrival.ref;
    if (arrival.ref)
        vm_unmake(api_object_xapi(copy->sr), arrival.ref);
    else if (error && !*error)
        err_set(error, ERR_PROTOCOL,
                "the pool of storage %s made no machine of the archive of VM %s",
                api_object_text(copy->sr, "name_label"), api_object_text(copy->vm, "name_label"));
    g_free(arrival.ref);
    return NULL;
}

/* --- The whole --- */

static const char *wanted_name(const Copy *copy)
{
    const char *name = call_string(copy->call, "name");
    return name ? name : api_object_text(copy->vm, "name_label");
}

static char *copy_inside(const Copy *copy, GError **error)
{
    return api_object_task(copy->vm, "VM.copy",
                           json_pack("[s, s, s]", copy->source, wanted_name(copy), copy->sr->ref),
                           error);
}

/* A copy is a machine, under its name, and the caller's. */
static json_t *complete(const Copy *copy, const char *ref, GError **error)
{
    Xapi *xapi = api_object_xapi(copy->sr);
    json_t *id = NULL;
    if (xapi_do(xapi, "VM.set_is_a_template", json_pack("[s, b]", ref, 0), error) &&
        xapi_do(xapi, "VM.set_name_label", json_pack("[s, s]", ref, wanted_name(copy)), error))
        id = api_object_made(copy->sr, "VM", ref, error);
    if (id && vm_is_given_to_caller(copy->call, json_string_value(id), error))
        return id;
    json_decref(id);
    vm_unmake(xapi, ref);
    return NULL;
}

static json_t *copy_vm(ApiCall *call, GError **error)
{
    Copy copy = { .call = call, .vm = call_object(call, "vm"), .sr = call_object(call, "sr") };
    g_autoptr(SetLease) lease = NULL;
    if (!resource_set_take_copy(call, copy.vm, &lease, error))
        return NULL;
    g_autofree char *name = g_strdup_printf("[Copy] %s", wanted_name(&copy));
    copy.source = machine_readable(api_object_xapi(copy.vm), copy.vm->ref, name, error);
    if (!copy.source)
        return NULL;
    bool inside = copy.vm->link == copy.sr->link;
    g_autofree char *ref = inside ? copy_inside(&copy, error) : copy_across(&copy, error);
    if (ref)
        vm_name_lease(lease, api_object_xapi(copy.sr), ref);
    json_t *id = ref ? complete(&copy, ref, error) : NULL;
    machine_release(api_object_xapi(copy.vm), copy.vm->ref, copy.source);
    api_object_barrier(copy.vm);
    api_object_barrier(copy.sr);
    return id;
}

const Method methods_vm_copy[] = {
    { "vm.copy", copy_vm,
      PARAMS(OPT(TYPED("compress", P_BOOLEAN | P_STRING),
                 .words = "on the way to another pool: gzip, zstd, or true"),
             OPT(STR("name")), REQ(ID("sr", "SR", "operate")), REQ(ID("vm", "VM", "administrate"))),
      .access = ACCESS_USER, .long_running = true, .example = "vm=$VM sr=$SR name='a copy'",
      .summary = "Copy a virtual machine to a storage, in its pool or another." },
    { NULL },
};
