/* The opening handshake of a WebSocket (RFC 6455 §4.2). */
#include "http/connection.h"

#include "base/error.h"
#include "http/deflate.h"

#include <string.h>

bool ws_is_upgrade(const HttpRequest *request)
{
    return strcmp(http_method(request), "GET") == 0 && !request->head.version_10 &&
           http_list_has(http_header(request, "upgrade"), "websocket") &&
           http_list_has(http_header(request, "connection"), "upgrade");
}

/* base64(SHA-1(key + GUID)), RFC 6455 §4.2.2. */
static char *accept_key(const char *key)
{
    g_autoptr(GChecksum) checksum = g_checksum_new(G_CHECKSUM_SHA1);
    g_checksum_update(checksum, (const guchar *) key, -1);
    g_checksum_update(checksum, (const guchar *) "258EAFA5-E914-47DA-95CA-C5AB0DC85B11", -1);
    guint8 digest[20];
    gsize n = sizeof digest;
    g_checksum_get_digest(checksum, digest, &n);
    return g_base64_encode(digest, n);
}

static bool is_key(const char *key)
{
    if (!key || strlen(key) != 24)
        return false;
    gsize n;
    g_autofree guchar *raw = g_base64_decode(key, &n);
    return raw && n == 16;
}

static bool check_handshake(HttpRequest *request, GError **error)
{
    const char *version = http_header(request, "sec-websocket-version");
    if (ws_is_upgrade(request) && is_key(http_header(request, "sec-websocket-key")) &&
        http_body_bytes(request) == 0 && g_strcmp0(version, "13") == 0)
        return true;
    bool other = version && strcmp(version, "13") != 0;
    if (other)
        http_reply_header(request, "Sec-WebSocket-Version", "13");
    http_reply_text(request, other ? 426 : 400, "text/plain", "Not a WebSocket handshake.\n");
    err_set(error, ERR_INVALID, "the WebSocket handshake of %s is not acceptable",
            http_peer(request));
    return false;
}

WebSocket *ws_accept(HttpRequest *request, const WebSocketOps *ops, const WebSocketLimits *limits,
                     void *user, GError **error)
{
    if (!check_handshake(request, error))
        return NULL;
    g_autofree char *key = accept_key(http_header(request, "sec-websocket-key"));
    GString *head = g_string_new("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Connection: Upgrade\r\n");
    g_string_append_printf(head, "Sec-WebSocket-Accept: %s\r\n", key);
    if (limits && limits->protocol &&
        http_list_has(http_header(request, "sec-websocket-protocol"), limits->protocol))
        g_string_append_printf(head, "Sec-WebSocket-Protocol: %s\r\n", limits->protocol);
    g_autoptr(GString) agreed = g_string_new(NULL);
    int bits = request->connection->server->config.websocket_deflate
                   ? deflate_agree(http_header(request, "sec-websocket-extensions"), agreed)
                   : 0;
    if (bits)
        g_string_append_printf(head, "Sec-WebSocket-Extensions: %s\r\n", agreed->str);
    g_string_append_printf(head, "%s\r\n", request->headers->str);
    bool sent = http_raw_write(request, head->str, head->len, error);
    g_string_free(head, TRUE);
    if (!sent)
        return NULL;
    return request->connection->socket = ws_new(request, ops, limits, bits, user);
}
