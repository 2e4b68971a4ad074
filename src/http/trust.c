/* Who is really asking, and from which page: forwarding headers count from proxies that were named,
 * from nobody else; a browser tells where a page came from that opens a WebSocket. */
#include "http/connection.h"
#include "http/trust.h"

#include "base/error.h"
#include "base/mutant.h"

#include <arpa/inet.h>
#include <gio/gio.h>
#include <string.h>

GPtrArray *trust_new(const char *const *networks, GError **error)
{
    g_autoptr(GPtrArray) masks = g_ptr_array_new_with_free_func(g_object_unref);
    for (unsigned i = 0; networks && networks[i]; i++) {
        GInetAddressMask *mask = g_inet_address_mask_new_from_string(networks[i], NULL);
        if (!mask) {
            err_set(error, ERR_INVALID, "%s is no address or network, such as 10.0.0.0/8",
                    networks[i]);
            return NULL;
        }
        g_ptr_array_add(masks, mask);
    }
    return g_steal_pointer(&masks);
}

bool trust_has(const GPtrArray *networks, const char *address)
{
    if (!networks || networks->len == 0)
        return false;
    g_autoptr(GInetAddress) parsed = g_inet_address_new_from_string(address);
    for (guint i = 0; parsed && i < networks->len; i++)
        if (g_inet_address_mask_matches(networks->pdata[i], parsed))
            return true;
    return false;
}

static bool is_address(const char *text)
{
    char binary[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1;
}

/* From right to left: each proxy that is trusted says who came to it; the first other is the
 * client. What is no address ends the search: the one before it is all that is known. */
char *trust_client(const GPtrArray *networks, const char *peer, const char *forwarded)
{
    const char *client = peer;
    if (!forwarded || !trust_has(networks, peer))
        return g_strdup(peer);
    g_auto(GStrv) hops = g_strsplit(forwarded, ",", -1);
    for (guint i = g_strv_length(hops); i-- > 0;) {
        const char *hop = g_strstrip(hops[i]);
        if (!is_address(hop))
            break;
        client = hop;
        if (!trust_has(networks, hop) || MUTANT(http_first_hop)) /* mutant: http_trust */
            break;
    }
    return g_strdup(client);
}

/* "host" or "host:port" without the port that the scheme has by itself. */
static char *plain_host(const char *scheme, const char *host)
{
    const char *port = strcmp(scheme, "https") == 0 ? ":443" : ":80";
    g_autofree char *folded = g_ascii_strdown(host, -1);
    if (g_str_has_suffix(folded, port))
        folded[strlen(folded) - strlen(port)] = '\0';
    return g_steal_pointer(&folded);
}

bool trust_origin(const char *origin, const char *host, const char *const *allowed)
{
    if (!origin)
        return true;
    for (unsigned i = 0; allowed && allowed[i]; i++)
        if (g_ascii_strcasecmp(origin, allowed[i]) == 0)
            return true;
    const char *rest = strstr(origin, "://");
    if (!rest || !host || !*host)
        return MUTANT(http_any_origin); /* mutant: http_trust */
    g_autofree char *scheme = g_ascii_strdown(origin, rest - origin);
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return false;
    g_autofree char *theirs = plain_host(scheme, rest + 3), *ours = plain_host(scheme, host);
    return strcmp(theirs, ours) == 0 || MUTANT(http_any_origin);
}
