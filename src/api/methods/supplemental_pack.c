/* Supplemental packs: an ISO that a client sends, kept on a disk for as long as hosts install it.
 */
#include "api/methods/content.h"
#include "api/methods/passing_disks.h"
#include "api/methods/vm_devices.h"
#include "base/log.h"

#include <string.h>

#define DISK_NAME  "[XO] Supplemental pack ISO"
#define DISK_WORDS "small temporary VDI to store a supplemental pack ISO"

/* --- Where the ISO may lie --- */

typedef struct {
    const char *host; /* XO's id; NULL: a storage that all hosts reach */
    gint64 n_bytes;
    Inventory *inventory;
    char *sr; /* reference of the first that fits */
} Search;

static bool is_attached_to(const Search *search, json_t *sr)
{
    size_t i;
    json_t *id;
    json_array_foreach (json_object_get(sr, "$PBDs"), i, id) {
        json_t *pbd = inventory_object(search->inventory, json_string_value(id));
        const char *host = json_string_value(json_object_get(pbd, "host"));
        bool is = json_is_true(json_object_get(pbd, "attached")) &&
                  g_strcmp0(host, search->host) == 0;
        json_decref(pbd);
        if (is)
            return true;
    }
    return false;
}

static void look(const char *id, const char *type, GBytes *text, void *user)
{
    Search *search = user;
    json_t *sr = search->sr
                     ? NULL
                     : json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    const char *content = json_string_value(json_object_get(sr, "content_type"));
    double room = json_number_value(json_object_get(sr, "size")) -
                  json_number_value(json_object_get(sr, "physical_usage"));
    if (sr && g_strcmp0(content, "user") == 0 && room >= (double) search->n_bytes &&
        (search->host ? is_attached_to(search, sr) : json_is_true(json_object_get(sr, "shared"))))
        search->sr = g_strdup(json_string_value(json_object_get(sr, "_xapiRef")));
    json_decref(sr);
}

static char *find_sr(Inventory *inventory, const char *host, gint64 n_bytes)
{
    Search search = { host, n_bytes, inventory, NULL };
    inventory_each(inventory, "SR", look, &search);
    return search.sr;
}

/* --- Installing --- */

/* What is installed already is no failure. `host` is {ref, name}. */
static bool install_on(const Content *content, json_t *host, const char *vdi, GError **error)
{
    Xapi *xapi = content_xapi(content);
    const char *name = json_string_value(json_object_get(host, "name"));
    g_autoptr(GError) failure = NULL;
    g_autofree char *uuid = xapi_call_string(xapi, "VDI.get_uuid", json_pack("[s]", vdi), &failure);
    json_t *done = uuid ? xapi_call(xapi, "host.call_plugin",
                                    json_pack("[O, s, s, {s:s}]", json_object_get(host, "ref"),
                                              "install-supp-pack", "install", "vdi", uuid),
                                    &failure)
                        : NULL;
    bool ok = done != NULL;
    json_decref(done);
    if (!ok && strstr(failure->message, "UPDATE_ALREADY_APPLIED")) {
        log_info("api", "host %s has the supplemental pack already", name);
        return true;
    }
    if (!ok) {
        g_propagate_prefixed_error(error, g_steal_pointer(&failure), "host %s: ", name);
        return false;
    }
    return true;
}

static bool install_all(const Content *content, const char *vdi, GError **error)
{
    json_t *host;
    size_t i;
    json_array_foreach (content->data, i, host)
        if (!install_on(content, host, vdi, error))
            return false;
    return true;
}

/* A copy for each host that does not reach the storage of the first. */
static bool install_copies(const Content *content, Inventory *inventory, const char *vdi,
                           gint64 n_bytes, GError **error)
{
    Xapi *xapi = content_xapi(content);
    json_t *host;
    size_t i;
    json_array_foreach (content->data, i, host) {
        const char *name = json_string_value(json_object_get(host, "name"));
        g_autofree char *sr =
            find_sr(inventory, json_string_value(json_object_get(host, "id")), n_bytes);
        if (!sr) {
            err_set(error, ERR_STATE, "host %s has no storage with room for the ISO", name);
            return false;
        }
        g_autofree char *copy = i == 0
                                    ? g_strdup(vdi)
                                    : xapi_call_task(xapi, "VDI.copy", json_pack("[s, s]", vdi, sr),
                                                     NULL, NULL, NULL, error);
        bool ok = copy && install_on(content, host, copy, error);
        if (copy && i > 0)
            disk_drop(xapi, copy, NULL);
        if (!ok)
            return false;
    }
    return true;
}

static bool take_iso(const Content *content, HttpRequest *request, GError **error)
{
    Xapi *xapi = content_xapi(content);
    g_auto(ContentBody) body = { NULL };
    if (!content_body_begin(&body, request, error))
        return false;
    const DiskIn in = { "raw", body.source, body.user, body.n_bytes, NULL };
    if (in.n_bytes <= 0) {
        err_set(error, ERR_INVALID, "say how long the ISO is (Content-Length), and send it");
        return false;
    }
    g_autoptr(Inventory) inventory = pool_inventory(link_pool(content->link));
    const char *first = json_string_value(json_object_get(json_array_get(content->data, 0), "id"));
    g_autofree char *shared =
        json_array_size(content->data) > 1 ? find_sr(inventory, NULL, in.n_bytes) : NULL;
    g_autofree char *sr = shared ? g_strdup(shared) : find_sr(inventory, first, in.n_bytes);
    if (!sr) {
        err_set(error, ERR_STATE,
                "%s: no storage has room for the ISO (%" G_GINT64_FORMAT " bytes)", content->name,
                in.n_bytes);
        return false;
    }
    g_auto(PassingDisks) disks = { NULL };
    if (!passing_disks_begin(&disks, content->parts->duties, content->pool, DISK_NAME, error))
        return false;
    g_autofree char *vdi = disk_take(xapi, sr, disks.name, DISK_WORDS, &in, error);
    bool ok = vdi && (shared ? install_all(content, vdi, error)
                             : install_copies(content, inventory, vdi, in.n_bytes, error));
    passing_disks_end(&disks, xapi);
    return ok;
}

static void take(HttpRequest *request, void *user)
{
    const Content *content = user;
    g_autoptr(GError) error = NULL;
    bool ok = take_iso(content, request, &error);
    content_barrier(content);
    content_answer(content, request, ok ? json_true() : NULL, error);
}

/* --- The methods --- */

static void add_host(const char *id, const char *type, GBytes *text, void *user)
{
    json_t *host = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    json_array_append_new(user, json_pack("{s:s, s:O, s:O}", "id", id, "ref",
                                          json_object_get(host, "_xapiRef"), "name",
                                          json_object_get(host, "name_label")));
    json_decref(host);
}

static json_t *install_host(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    Content *content = content_new(call, host, "iso");
    content->data =
        json_pack("[{s:s, s:s, s:s}]", "id", host->id, "ref", host->ref, "name", content->name);
    return downloads_expect(call_parts(call)->downloads, take, content, content_free, error);
}

static json_t *install_pool(ApiCall *call, GError **error)
{
    const ApiObject *pool = call_object(call, "pool");
    Content *content = content_new(call, pool, "iso");
    content->data = json_array();
    inventory_each(pool->inventory, "host", add_host, content->data);
    return downloads_expect(call_parts(call)->downloads, take, content, content_free, error);
}

const Method methods_supplemental_pack[] = {
    { "host.installSupplementalPack", install_host, PARAMS(REQ(ID("host", "host", "administrate"))),
      .access = ACCESS_USER, .example = "host=$HOST @=pack.iso",
      .summary = "Install a supplemental pack on a host." },
    { "pool.installSupplementalPack", install_pool, PARAMS(REQ(ID("pool", "pool", "administrate"))),
      .access = ACCESS_USER, .example = "pool=$CALM_POOL @=pack.iso",
      .summary = "Install a supplemental pack on all hosts of a pool." },
    { NULL },
};
