/* X-Forwarded-For, Origin and Host, a NUL between them: what is told as the client is an address,
 * and a foreign origin is never ours. */
#include "http/trust.h"

#include <arpa/inet.h>
#include <stdint.h>
#include <string.h>

static bool is_address(const char *text)
{
    char binary[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *const proxies[] = { "10.0.0.0/8", "::1", NULL };
    g_autofree char *text = g_strndup((const char *) data, size);
    size_t at = strlen(text) + 1;
    g_autofree char *all = g_malloc0(size + 3); /* three strings, whatever comes */
    memcpy(all, data, size);
    const char *forwarded = all, *origin = all + MIN(at, size);
    const char *host = origin + MIN(strlen(origin) + 1, (size_t) (all + size + 1 - origin));
    g_autoptr(GPtrArray) networks = trust_new(proxies, NULL);
    g_autofree char *client = trust_client(networks, "10.0.0.1", forwarded);
    g_autofree char *direct = trust_client(networks, "203.0.113.1", forwarded);
    g_assert(is_address(client));
    g_assert_cmpstr(direct, ==, "203.0.113.1");
    if (trust_origin(origin, host, NULL))
        g_assert(g_str_has_prefix(origin, "http") || g_ascii_strncasecmp(origin, "http", 4) == 0);
    return 0;
}
