/* GET and PUT /vdis/<id>.raw and .vhd, POST /srs/<id>/vdis, GET /vms/<id>.xva and .ova, POST
 * /pools/<id>/vms. A stream that breaks off ends without its end, so that its client knows; a disk
 * that was made for an import that fails is deleted again. */
#include "api/error.h"
#include "api/machine_out.h"
#include "api/rest_transfer.h"
#include "api/rest_collection.h"
#include "api/vhd_arrival.h"
#include "base/error.h"

#include <string.h>

enum { BARRIER_MS = 30000 };

/* An object of a pool that the caller may do something to. */
typedef struct {
    Link *link;
    json_t *view;
    const char *ref;
} Target;

static void target_clear(Target *target)
{
    g_clear_pointer(&target->link, link_unref);
    g_clear_pointer(&target->view, json_decref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Target, target_clear)

static bool is_of_path(RestRequest *request, const char *id)
{
    return g_strcmp0(rest_arg(request, "id"), id) == 0;
}

static bool may(RestRequest *request, const char *id, const char *permission, GError **error)
{
    if (is_of_path(request, id) && rest_is_granted(request))
        return true;
    g_autoptr(AccountRights) rights = session_rights(request->session);
    if (rights && rights_may(rights, id, permission, servers_text, request->parts->servers))
        return true;
    api_error_unauthorized(error, permission, id);
    return false;
}

/* `id` must be of `type`; permission NULL: what is done needs none on it. */
static bool find(RestRequest *request, const char *id, const char *type, const char *permission,
                 Target *target, GError **error)
{
    Inventory *inventory = NULL;
    target->link = servers_find(request->parts->servers, id, &inventory);
    target->view = inventory ? inventory_object(inventory, id) : NULL;
    g_clear_pointer(&inventory, inventory_unref);
    target->ref = json_string_value(json_object_get(target->view, "_xapiRef"));
    const char *found = json_string_value(json_object_get(target->view, "type"));
    if (g_strcmp0(found, type) != 0) {
        api_error_no_such(error, id, type);
        return false;
    }
    if (permission && !may(request, id, permission, error))
        return false;
    if (g_strcmp0(permission, "view") != 0 && link_is_read_only(target->link)) {
        err_set(error, ERR_DENIED, "%s: the server of this pool is set to read only", id);
        return false;
    }
    return true;
}

static Xapi *xapi_of(const Target *target)
{
    return pool_xapi(link_pool(target->link));
}

/* "vdis/{id}.raw" → "raw" */
static const char *format_of(const RestRequest *request)
{
    return strrchr(request->route->path, '.') + 1;
}

static const char *type_of(const RestRequest *request)
{
    g_autofree char *name = g_strndup(request->route->path, strcspn(request->route->path, "/"));
    return rest_collection_find(name)->type;
}

/* --- Out --- */

typedef struct {
    RestRequest *request;
    const char *name;
    gint64 n_bytes; /* HTTP_LENGTH_CHUNKED: unknown */
    bool begun;
} Out;

/* The answer begins with the first bytes: what fails before is told as an error. */
static bool begin(Out *out, GError **error)
{
    g_autofree char *name = g_strdup(out->name);
    g_strcanon(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", '_');
    g_autofree char *disposition =
        g_strdup_printf("attachment; filename=\"%s.%s\"", name, format_of(out->request));
    http_reply_header(out->request->http, "Content-Disposition", disposition);
    out->begun = true;
    return http_reply_begin(out->request->http, 200, "application/octet-stream", out->n_bytes,
                            error);
}

static bool send_on(const void *data, size_t n, void *user, GError **error)
{
    Out *out = user;
    return (out->begun || begin(out, error)) &&
           http_reply_write(out->request->http, data, n, error);
}

/* Who asks for the head alone gets it, and nothing is read. */
static bool is_head(const RestRequest *request)
{
    return g_str_equal(http_method(request->http), "HEAD");
}

static void end(Out *out, bool ok, const GError *error)
{
    if (!out->begun && ok)
        begin(out, NULL);
    if (!ok && !out->begun)
        rest_fail(out->request, error);
    else if (is_head(out->request))
        http_reply_close(out->request->http);
    else if (!ok || !http_reply_end(out->request->http, NULL))
        http_abort(out->request->http);
    rest_note_failure(out->request, error);
}

static void get_disk(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_auto(Target) vdi = { NULL };
    if (!find(request, rest_arg(request, "id"), type_of(request), "view", &vdi, &error)) {
        rest_fail(request, error);
        return;
    }
    bool raw = g_str_equal(format_of(request), "raw");
    json_t *size = json_object_get(vdi.view, "size");
    Out out = { request, json_string_value(json_object_get(vdi.view, "name_label")),
                raw ? (gint64) json_number_value(size) : HTTP_LENGTH_CHUNKED, false };
    bool ok = is_head(request) || xapi_export_vdi(xapi_of(&vdi), vdi.ref, NULL, format_of(request),
                                                  send_on, &out, NULL, &error);
    end(&out, ok, error);
}

static const char *compression_of(RestRequest *request)
{
    const char *asked = http_query(request->http, "compress");
    if (!asked || !*asked || g_str_equal(asked, "false"))
        return "false";
    return g_str_equal(asked, "zstd") ? "zstd" : "true";
}

static void set_length(gint64 n_bytes, void *user)
{
    ((Out *) user)->n_bytes = n_bytes < 0 ? HTTP_LENGTH_CHUNKED : n_bytes;
}

/* One that runs is read by a snapshot. */
static bool send_machine(const RestRequest *request, const Target *vm, Out *out, GError **error)
{
    g_autofree char *name = g_strdup_printf("[Export] %s", out->name);
    char *readable = machine_readable(xapi_of(vm), vm->ref, name, error);
    MachineOut how = { .xapi = xapi_of(vm),
                       .vm = readable,
                       .compression = compression_of(out->request),
                       .length = set_length,
                       .sink = send_on,
                       .user = out };
    bool ova = g_str_equal(format_of(request), "ova");
    bool ok = readable && (ova ? machine_give_ova(&how, error) : machine_give_xva(&how, error));
    machine_release(xapi_of(vm), vm->ref, readable);
    return ok;
}

static void get_machine(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_auto(Target) vm = { NULL };
    if (!find(request, rest_arg(request, "id"), type_of(request), "administrate", &vm, &error)) {
        rest_fail(request, error);
        return;
    }
    Out out = { request, json_string_value(json_object_get(vm.view, "name_label")),
                HTTP_LENGTH_CHUNKED, false };
    bool ok = is_head(request) || send_machine(request, &vm, &out, &error);
    end(&out, ok, error);
}

/* --- In --- */

static ssize_t receive(void *data, size_t n, void *request, GError **error)
{
    return http_read(request, data, n, error);
}

/* The size of a disk, from the length of a raw one or from the VHD itself. */
static gint64 disk_bytes(RestRequest *request, bool raw, VhdArrival *body, GError **error)
{
    gint64 n_bytes = http_body_bytes(request->http);
    if (!raw)
        return vhd_arrival_bytes(body, error);
    if (n_bytes > 0)
        return n_bytes;
    err_set(error, ERR_INVALID, "the header Content-Length must say how large the disk is");
    return -1;
}

/* `permission` as of find. */
static bool fill(RestRequest *request, const char *id, const char *permission, const char *format,
                 VhdArrival *body, GError **error)
{
    g_auto(Target) vdi = { NULL };
    return find(request, id, "VDI", permission, &vdi, error) &&
           xapi_import_vdi(xapi_of(&vdi), vdi.ref, format, vhd_arrival_read,
                           http_body_bytes(request->http), body, NULL, error) &&
           pool_barrier(link_pool(vdi.link), BARRIER_MS, error);
}

static void put_disk(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    VhdArrival body = { .source = receive, .user = request->http };
    if (fill(request, rest_arg(request, "id"), "operate", format_of(request), &body, &error))
        rest_reply_nothing(request);
    else
        rest_fail(request, error);
}

/* What the request may do to an object: as far as a role of the caller goes that let it come here,
 * and to what it made itself. */
static CallTerms terms_on(RestRequest *request, const char *id)
{
    return (CallTerms){ .granted = rest_is_granted(request) ? id : NULL };
}

/* A disk of that size, made by the method that makes disks; its id. */
static char *make_disk(RestRequest *request, gint64 size_bytes, GError **error)
{
    const char *name = http_query(request->http, "name_label");
    json_t *params = json_pack("{s:s, s:I, s:s}", "name", name && *name ? name : "imported", "size",
                               (json_int_t) size_bytes, "sr", rest_arg(request, "id"));
    CallTerms terms = terms_on(request, rest_arg(request, "id"));
    json_t *made = rest_call_on(request, "disk.create", params, &terms, error);
    char *id = g_strdup(json_string_value(made));
    json_decref(params);
    json_decref(made);
    return id;
}

static bool describe(RestRequest *request, const char *id, GError **error)
{
    const char *text = http_query(request->http, "name_description");
    json_t *params = text ? json_pack("{s:s, s:s}", "id", id, "name_description", text) : NULL;
    CallTerms terms = terms_on(request, id);
    json_t *told = params ? rest_call_on(request, "vdi.set", params, &terms, error) : NULL;
    bool ok = !params || told;
    json_decref(params);
    json_decref(told);
    return ok;
}

static void drop_disk(RestRequest *request, const char *id)
{
    json_t *params = json_pack("{s:s}", "id", id);
    CallTerms terms = terms_on(request, id);
    json_decref(rest_call_on(request, "vdi.delete", params, &terms, NULL));
    json_decref(params);
}

static void made(RestRequest *request, const char *collection, const char *id)
{
    g_autofree char *path = g_strdup_printf(REST_BASE "/%s/%s", collection, id);
    http_reply_header(request->http, "Location", path);
    rest_reply(request, 201, json_pack("{s:s}", "id", id));
}

static void import_disk(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_auto(Target) sr = { NULL };
    VhdArrival body = { .source = receive, .user = request->http };
    bool raw = rest_flag(request, "raw");
    bool ok = find(request, rest_arg(request, "id"), "SR", "operate", &sr, &error);
    gint64 size_bytes = ok ? disk_bytes(request, raw, &body, &error) : -1;
    g_autofree char *id = size_bytes > 0 ? make_disk(request, size_bytes, &error) : NULL;
    if (id && describe(request, id, &error) &&
        fill(request, id, NULL, raw ? "raw" : "vhd", &body, &error)) {
        made(request, "vdis", id);
        return;
    }
    if (id)
        drop_disk(request, id);
    rest_fail(request, error);
}

/* --- Whole machines --- */

typedef struct {
    HttpRequest *http;
    Xapi *xapi;
    char *uuid;
} Arrival;

static ssize_t receive_machine(void *data, size_t n, void *user, GError **error)
{
    return http_read(((Arrival *) user)->http, data, n, error);
}

static bool machine_made(const char *const *vms, void *user, GError **error)
{
    Arrival *arrival = user;
    if (vms[0])
        arrival->uuid =
            xapi_call_string(arrival->xapi, "VM.get_uuid", json_pack("[s]", vms[0]), error);
    return !vms[0] || arrival->uuid;
}

/* Where it goes: ?sr=, else the pool's default. */
static char *storage_of(RestRequest *request, const Target *pool, GError **error)
{
    const char *sr = http_query(request->http, "sr");
    if (!sr)
        sr = json_string_value(json_object_get(pool->view, "default_SR"));
    if (!sr)
        err_set(error, ERR_INVALID, "sr: the pool has no default storage, say where");
    return g_strdup(sr);
}

static void import_machine(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_auto(Target) pool = { NULL }, sr = { NULL };
    const char *id = rest_arg(request, "id");
    bool ok = find(request, id, "pool", NULL, &pool, &error);
    g_autoptr(GError) nowhere = NULL;
    g_autofree char *storage = ok ? storage_of(request, &pool, &nowhere) : NULL;
    bool granted = storage && rest_grants(request, storage, "SR", "import:vm");
    ok = ok && (granted || may(request, id, "administrate", &error));
    if (ok && !storage)
        g_propagate_error(&error, g_steal_pointer(&nowhere));
    ok = ok && storage &&
         find(request, storage, "SR", granted ? NULL : "administrate", &sr, &error);
    if (ok && g_strcmp0(json_string_value(json_object_get(sr.view, "$pool")), id) != 0) {
        err_set(&error, ERR_INVALID, "sr: %s is not in pool %s", storage, id);
        ok = false;
    }
    Arrival arrival = { .http = request->http, .xapi = ok ? xapi_of(&sr) : NULL };
    XapiImport import = { .source = receive_machine,
                          .n_bytes = http_body_bytes(request->http),
                          .made = machine_made,
                          .user = &arrival };
    ok = ok && xapi_import_vm(arrival.xapi, sr.ref, &import, NULL, &error) &&
         pool_barrier(link_pool(sr.link), BARRIER_MS, &error);
    if (ok && arrival.uuid)
        made(request, "vms", arrival.uuid);
    else if (ok)
        rest_refuse(request, 500, "the pool made no machine of this archive", NULL);
    else
        rest_fail(request, error);
    g_free(arrival.uuid);
}

#define DISK(of, format, one, does)                                                                \
    {                                                                                              \
        "GET", of "/{id}." format, get_disk, .summary = "The content of a disk, as " format ".",   \
                                             .example = one " --output disk." format,              \
                                             .needs = "view", .action = does                       \
    }

const RestRoute rest_transfer_routes[] = {
    DISK("vdis", "raw", "$DISK", "export-content"),
    DISK("vdis", "vhd", "$DISK", "export-content"),
    DISK("vdi-snapshots", "raw", "$DISK_SNAPSHOT", "export"),
    DISK("vdi-snapshots", "vhd", "$DISK_SNAPSHOT", "export"),
    { "PUT", "vdis/{id}.raw", put_disk, .summary = "Replace the content of a disk, from raw.",
      .example = "$DISK --input disk.raw", .needs = "operate", .action = "import-content" },
    { "PUT", "vdis/{id}.vhd", put_disk, .summary = "Replace the content of a disk, from VHD.",
      .example = "$DISK --input disk.vhd", .needs = "operate", .action = "import-content" },
    { "POST", "srs/{id}/vdis", import_disk,
      .summary = "Make a disk of the body: VHD, or raw with raw=true; name_label, "
                 "name_description.",
      .example = "$SR --input disk.raw raw=true name_label=data", .needs = "operate",
      .action = "import:vdi" },
    { "GET", "vms/{id}.xva", get_machine, .summary = "A whole machine as an archive (XVA).",
      .example = "$VM --output machine.xva", .needs = "administrate", .action = "export" },
    { "GET", "vm-snapshots/{id}.xva", get_machine,
      .summary = "A whole snapshot as an archive (XVA).",
      .example = "$SNAPSHOT --output machine.xva", .needs = "administrate", .action = "export" },
    { "GET", "vm-templates/{id}.xva", get_machine,
      .summary = "A whole template as an archive (XVA).",
      .example = "$TEMPLATE --output machine.xva", .needs = "administrate", .action = "export" },
    { "GET", "vms/{id}.ova", get_machine,
      .summary = "A whole machine as an archive for other products (OVA).",
      .example = "$VM --output machine.ova", .needs = "administrate", .action = "export" },
    { "GET", "vm-snapshots/{id}.ova", get_machine,
      .summary = "A whole snapshot as an archive for other products (OVA).",
      .example = "$SNAPSHOT --output machine.ova", .needs = "administrate", .action = "export" },
    { "GET", "vm-templates/{id}.ova", get_machine,
      .summary = "A whole template as an archive for other products (OVA).",
      .example = "$TEMPLATE --output machine.ova", .needs = "administrate", .action = "export" },
    { "POST", "pools/{id}/vms", import_machine,
      .summary = "Make a machine of an archive (XVA), on the storage that sr names.",
      .example = "$POOL --input machine.xva sr=$SR", .needs = "administrate" },
    { NULL },
};
