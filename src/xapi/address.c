/* "10.1.1.1", "host:port", "[::1]:443", "https://…", "http://…" taken apart and put together. */
#include "xapi/private.h"

#include "base/error.h"

#include <string.h>

static bool parse_port(const char *text, guint *port, const char *whole, GError **error)
{
    guint64 value;
    if (g_ascii_string_to_unsigned(text, 10, 1, 65535, &value, NULL)) {
        *port = (guint) value;
        return true;
    }
    err_set(error, ERR_INVALID, "the host address \"%s\" has a wrong port", whole);
    return false;
}

static bool parse_bracketed(const char *text, XapiAddress *address, const char *whole,
                            GError **error)
{
    const char *end = strchr(text, ']');
    if (!end || (end[1] && end[1] != ':')) {
        err_set(error, ERR_INVALID, "the host address \"%s\" is not understood", whole);
        return false;
    }
    address->host = g_strndup(text + 1, (gsize) (end - text - 1));
    return !end[1] || parse_port(end + 2, &address->port, whole, error);
}

static bool parse_plain(const char *text, XapiAddress *address, const char *whole, GError **error)
{
    const char *colon = strchr(text, ':');
    if (!colon || strchr(colon + 1, ':')) { /* several colons: a bare IPv6 address */
        address->host = g_strdup(text);
        return true;
    }
    address->host = g_strndup(text, (gsize) (colon - text));
    return parse_port(colon + 1, &address->port, whole, error);
}

bool xapi_address_parse(const char *text, XapiAddress *address, GError **error)
{
    *address = (XapiAddress){ .tls = true };
    const char *rest = text;
    if (g_ascii_strncasecmp(rest, "https://", 8) == 0) {
        rest += 8;
    } else if (g_ascii_strncasecmp(rest, "http://", 7) == 0) {
        rest += 7;
        address->tls = false;
    }
    g_autofree char *authority = g_strndup(rest, strcspn(rest, "/?#"));
    g_strstrip(authority);
    bool ok = *authority == '[' ? parse_bracketed(authority, address, text, error)
                                : parse_plain(authority, address, text, error);
    if (ok && (!*address->host || strpbrk(address->host, " @\"\\%"))) {
        err_set(error, ERR_INVALID, "the host address \"%s\" is not understood", text);
        ok = false;
    }
    if (!ok)
        g_clear_pointer(&address->host, g_free);
    return ok;
}

char *xapi_address_url(const XapiAddress *address, const char *host)
{
    const char *scheme = address->tls ? "https" : "http";
    bool v6 = strchr(host, ':') != NULL;
    g_autofree char *port = address->port ? g_strdup_printf(":%u", address->port) : g_strdup("");
    return g_strdup_printf("%s://%s%s%s%s", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port);
}

char *xapi_address_host_port(const XapiAddress *address, const char *host)
{
    guint port = address->port ? address->port : address->tls ? 443 : 80;
    return g_strdup_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, port);
}

char *xapi_address_beside(const char *known, const char *host)
{
    XapiAddress address;
    if (!xapi_address_parse(known, &address, NULL))
        return g_strdup(host);
    char *beside = strstr(known, "://") ? xapi_address_url(&address, host)
                   : address.port       ? xapi_address_host_port(&address, host)
                                        : g_strdup(host);
    g_free(address.host);
    return beside;
}
