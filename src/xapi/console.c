/* Consoles of machines, on the hosts that run them. */
#include "xapi/private.h"

#include "base/error.h"

HttpTunnel *xapi_console_open(Xapi *xapi, const char *location, GError **error)
{
    g_autofree char *master = NULL, *session = NULL;
    unsigned generation;
    g_autoptr(GUri) uri = g_uri_parse(location, G_URI_FLAGS_ENCODED, NULL);
    if (!uri || !g_uri_get_host(uri) || !*g_uri_get_path(uri)) {
        err_set(error, ERR_PROTOCOL, "the pool names no address of the console");
        return NULL;
    }
    if (!xapi_snapshot(xapi, &master, &session, &generation, NULL, error))
        return NULL;
    g_autofree char *base = xapi_address_url(&xapi->address, g_uri_get_host(uri));
    g_autofree char *escaped = g_uri_escape_string(session, NULL, FALSE);
    const char *query = g_uri_get_query(uri);
    g_autofree char *url = g_strdup_printf("%s%s?%s%ssession_id=%s", base, g_uri_get_path(uri),
                                           query ? query : "", query ? "&" : "", escaped);
    HttpTunnelConfig config = { .url = url,
                                .trust = xapi->trust,
                                .fingerprint = xapi->fingerprint };
    return http_tunnel_open(&config, error);
}
