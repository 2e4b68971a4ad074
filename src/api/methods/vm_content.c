/* vm.export, vm.import: whole machines as archives, XVA or OVA. */
#include "api/machine_in.h"
#include "api/machine_out.h"
#include "api/methods/content.h"
#include "api/methods/vm_devices.h"
#include "api/methods/vm_parts.h"
#include "base/error.h"
#include "base/json_text.h"

#include <string.h>

/* --- Out --- */

static void set_length(gint64 n_bytes, void *user)
{
    ((Delivery *) user)->n_bytes = n_bytes;
}

static void give(HttpRequest *request, void *user)
{
    const Content *content = user;
    Xapi *xapi = content_xapi(content);
    g_autoptr(GError) error = NULL;
    Delivery delivery = { request, content->name, content->format, -1, false };
    g_autofree char *name = g_strdup_printf("[Export] %s", content->name);
    char *readable = machine_readable(xapi, content->ref, name, &error);
    MachineOut out = { .xapi = xapi,
                       .vm = readable,
                       .compression = json_string_value(content->data),
                       .length = set_length,
                       .sink = delivery_write,
                       .user = &delivery };
    bool ova = g_str_equal(content->format, "ova");
    bool ok = readable && (ova ? machine_give_ova(&out, &error) : machine_give_xva(&out, &error));
    machine_release(xapi, content->ref, readable);
    content_end(content, &delivery, ok, error);
}

static const char *compression(ApiCall *call)
{
    json_t *wanted = call_get(call, "compress");
    const char *name = json_string_value(wanted);
    if (name && g_str_equal(name, "zstd"))
        return "zstd";
    return json_is_true(wanted) || (name && g_str_equal(name, "gzip")) ? "true" : "false";
}

static json_t *export(ApiCall *call, GError **error)
{
    const char *format = call_string(call, "format");
    Content *content = content_new(call, call_object(call, "vm"), format);
    content->data = json_string(compression(call));
    g_autofree char *name = g_strdup_printf("%s.%s", content->name, content->format);
    return downloads_stream(call_parts(call)->downloads, name, give, content, content_free, error);
}

/* --- In: XVA --- */

typedef struct {
    HttpSource source;
    void *user;
    char *ref;
} Arrival;

static ssize_t receive(void *data, size_t n, void *user, GError **error)
{
    Arrival *arrival = user;
    return arrival->source(data, n, arrival->user, error);
}

static bool made(const char *const *vms, void *user, GError **error)
{
    ((Arrival *) user)->ref = g_strdup(vms[0]);
    return true;
}

/* The new machine's id, or NULL. */
static json_t *told(const Content *content, const char *ref, GError **error)
{
    g_autofree char *uuid =
        ref ? xapi_call_string(content_xapi(content), "VM.get_uuid", json_pack("[s]", ref), error)
            : NULL;
    content_barrier(content);
    return uuid ? json_string(uuid) : NULL;
}

static json_t *take_xva(const Content *content, HttpSource source, void *user, gint64 n_bytes,
                        GError **error)
{
    Arrival arrival = { source, user, NULL };
    XapiImport import = { .source = receive, .n_bytes = n_bytes, .made = made, .user = &arrival };
    json_t *id = NULL;
    if (xapi_import_vm(content_xapi(content), content->ref, &import, NULL, error)) {
        if (!arrival.ref)
            err_set(error, ERR_PROTOCOL, "the pool made no machine of this archive");
        id = told(content, arrival.ref, error);
    }
    content_barrier(content);
    g_free(arrival.ref);
    return id;
}

/* --- In: OVA --- */

static guint64 number_of(json_t *data, const char *key)
{
    double n = json_number_value(json_object_get(data, key));
    return n > 0 && n < 1e18 ? (guint64) n : 0;
}

/* XO's words: {nameLabel, descriptionLabel, memory, nCpus, disks, networks}; disks are a list, or
 * an object by any key. */
static Ovf *ovf_of(json_t *data)
{
    Ovf *ovf = ovf_new();
    json_t *disks = json_object_get(data, "disks"), *list = json_array(), *disk;
    const char *key;
    size_t i;
    g_free(ovf->name);
    g_free(ovf->description);
    ovf->name = g_strdup(json_text(data, "nameLabel"));
    ovf->description = g_strdup(json_text(data, "descriptionLabel"));
    ovf->n_cpus = (guint) number_of(data, "nCpus");
    ovf->memory_bytes = number_of(data, "memory");
    ovf->efi = g_str_equal(json_text(data, "firmware"), "uefi");
    json_object_foreach (disks, key, disk)
        json_array_append(list, disk);
    json_array_foreach (json_is_array(disks) ? disks : list, i, disk)
        ovf_add_disk(ovf, &(OvfDisk){ .path = g_strdup(json_text(disk, "path")),
                                      .name = g_strdup(json_text(disk, "nameLabel")),
                                      .capacity_bytes = number_of(disk, "capacity"),
                                      .position = (guint) number_of(disk, "position") });
    json_decref(list);
    return ovf;
}

static void take_ova(HttpRequest *request, void *user)
{
    const Content *content = user;
    json_t *data = json_object_get(content->data, "data"), *refs, *ref;
    refs = json_object_get(content->data, "networks");
    g_autoptr(GError) error = NULL;
    g_auto(ContentBody) body = { NULL };
    bool sent = content_body_begin(&body, request, &error);
    g_autoptr(Ovf) ovf = data ? ovf_of(data) : NULL;
    g_autoptr(GPtrArray) networks = refs ? g_ptr_array_new() : NULL;
    size_t i;
    json_array_foreach (refs, i, ref)
        g_ptr_array_add(networks, (void *) json_string_value(ref));
    MachineIn in = { .xapi = content_xapi(content),
                     .duties = content->parts->duties,
                     .pool = content->pool,
                     .sr = content->ref,
                     .network = json_text(content->data, "network"),
                     .networks = networks,
                     .ovf = ovf,
                     .source = body.source,
                     .user = body.user };
    g_autofree char *vm = sent ? machine_take_ova(&in, &error) : NULL;
    json_t *id = told(content, vm, error ? NULL : &error);
    content_answer(content, request, id, error);
}

/* The references of the networks that the client chose. */
static json_t *chosen_networks(ApiCall *call, const ApiObject *sr, GError **error)
{
    json_t *ids = json_object_get(call_get(call, "data"), "networks"), *id, *refs = json_array();
    size_t i;
    json_array_foreach (ids, i, id) {
        const char *text = json_string_value(id);
        const ApiObject *network = text ? call_find(call, text, "network", NULL, error) : NULL;
        if (!text || (network && network->link != sr->link))
            api_error_invalid(error, "data: networks: %zu: expected a network of the pool", i);
        if (!network || network->link != sr->link) {
            json_decref(refs);
            return NULL;
        }
        json_array_append_new(refs, json_string(network->ref));
    }
    return refs;
}

static json_t *import_ova(ApiCall *call, Content *content, GError **error)
{
    const ApiObject *sr = call_object(call, "sr");
    json_t *data = call_get(call, "data");
    g_autofree char *network = management_network(api_object_xapi(sr), error);
    json_t *networks = network ? chosen_networks(call, sr, error) : NULL;
    if (!networks) {
        content_free(content);
        return NULL;
    }
    content->data = json_pack("{s:O*, s:s}", "data", data, "network", network);
    if (data)
        json_object_set(content->data, "networks", networks);
    json_decref(networks);
    return downloads_expect(call_parts(call)->downloads, take_ova, content, content_free, error);
}

static json_t *import(ApiCall *call, GError **error)
{
    const char *url = call_string(call, "url");
    bool ova = g_str_equal(call_string(call, "type"), "ova");
    if (url && ova) {
        api_error_invalid(error, "url: URL import is only compatible with XVA");
        return NULL;
    }
    Content *content = content_new(call, call_object(call, "sr"), call_string(call, "type"));
    if (ova)
        return import_ova(call, content, error);
    return content_take(call, content, url, take_xva, error);
}

const Method methods_vm_content[] = {
    { "vm.export", export,
      PARAMS(REQ(ID("vm", "VM,VM-snapshot,VM-template", "administrate")),
             OPT(TYPED("compress", P_BOOLEAN | P_STRING), .words = "gzip, zstd, or true"),
             DEF("\"xva\"", STR("format"), .choices = "xva|ova")),
      .access = ACCESS_USER, .example = "vm=$VM compress=zstd @=machine.xva",
      .summary = "Give a whole virtual machine out as an archive." },
    { "vm.import", import,
      PARAMS(OPT(OBJ("data"), .words = "of an OVA: what its OVF would say"),
             REQ(ID("sr", "SR", "administrate")), DEF("\"xva\"", STR("type"), .choices = "xva|ova"),
             OPT(STR("url"), .words = "fetch it from there: XVA only")),
      .access = ACCESS_USER, .long_running = true, .example = "sr=$SR type=xva @=machine.xva",
      .summary = "Make a virtual machine of an archive." },
    { NULL },
};
