/* Files of a host: the audit log of its API, and its logs as an archive. */
#include "api/delivery.h"
#include "api/error.h"
#include "api/rest_collection.h"
#include "api/rest_host.h"
#include "base/json_text.h"

#include <string.h>

/* "hosts/{id}/<suffix>" → where the host has it. */
static const struct {
    const char *suffix, *path, *type;
} files[] = {
    { "audit.txt", "/audit_log", "text/plain; charset=utf-8" },
    { "logs.tgz", "/host_logs_download", "application/gzip" },
};

static bool may(RestRequest *request, const char *id, GError **error)
{
    g_autoptr(AccountRights) rights = session_rights(request->session);
    if (rest_is_granted(request) ||
        (rights && rights_may(rights, id, "administrate", servers_text, request->parts->servers)))
        return true;
    api_error_unauthorized(error, "administrate", id);
    return false;
}

static bool send_file(RestRequest *request, Delivery *delivery, Link *link, const char *address,
                      const char *path, GError **error)
{
    return xapi_host_download(pool_xapi(link_pool(link)), address, path, delivery_write, delivery,
                              NULL, error);
}

static void get_file(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    const char *id = rest_arg(request, "id"), *suffix = strrchr(request->route->path, '/') + 1;
    unsigned i = g_str_equal(suffix, files[0].suffix) ? 0 : 1;
    Inventory *inventory = NULL;
    g_autoptr(Link) link = servers_find(request->parts->servers, id, &inventory);
    json_t *host = inventory ? inventory_object(inventory, id) : NULL;
    g_clear_pointer(&inventory, inventory_unref);
    Delivery delivery = { request->http, json_text(host, "name_label"), suffix, -1, false,
                          files[i].type };
    bool head = g_str_equal(http_method(request->http), "HEAD"), ok = false;
    if (!host || !g_str_equal(json_text(host, "type"), "host"))
        api_error_no_such(&error, id, "host");
    else if (may(request, id, &error))
        ok = head ||
             send_file(request, &delivery, link, json_text(host, "address"), files[i].path, &error);
    if (!delivery_end(&delivery, ok))
        rest_fail(request, error);
    else
        rest_note_failure(request, error);
    json_decref(host);
}

const RestRoute rest_host_routes[] = {
    { "GET", "hosts/{id}/audit.txt", get_file, .summary = "The audit log of a host's own API.",
      .example = "$HOST --output audit.txt", .needs = "administrate", .action = "export:logs" },
    { "GET", "hosts/{id}/logs.tgz", get_file, .summary = "The logs of a host, as an archive.",
      .example = "$HOST --output logs.tgz", .needs = "administrate", .action = "export:logs" },
    { NULL },
};
