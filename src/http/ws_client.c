/* The upgrade is written by hand on a raw connection, then wslay takes over the bytes. Nothing
 * blocks but poll. */
#include "http/ws_client.h"

#include "base/error.h"
#include "base/openssl.h"
#include "http/raw.h"

#include <poll.h>
#include <string.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#define ACCEPT_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

enum {
    KEY_BYTES = 16,
    MAX_ANSWER_BYTES = 16384, /* of the upgrade */
    SEND_MS = 60000,
    MAX_MESSAGE_BYTES = 512 * 1024 * 1024,
};

struct WsClient {
    RawConnection raw;
    wslay_event_context_ptr wslay;
    GByteArray *early; /* bytes that came with the answer of the upgrade */
    GQueue messages;   /* GBytes, received and not yet taken */
    bool at_end;
};

/* --- Raw bytes; -1 would block --- */

static ssize_t raw_read(WsClient *client, void *buffer, size_t n)
{
    if (client->early->len > 0) {
        size_t take = MIN(n, client->early->len);
        memcpy(buffer, client->early->data, take);
        g_byte_array_remove_range(client->early, 0, (guint) take);
        return (ssize_t) take;
    }
    size_t got = 0;
    CURLcode code = curl_easy_recv(client->raw.easy, buffer, n, &got);
    if (code == CURLE_AGAIN)
        return -1;
    client->at_end = client->at_end || code != CURLE_OK || got == 0;
    return (ssize_t) got;
}

/* False: the time is over. */
static bool wait_for(WsClient *client, short events, gint64 until_us)
{
    struct pollfd fd = { .fd = client->raw.fd, .events = events };
    gint64 left_ms = until_us ? MAX((until_us - g_get_monotonic_time()) / 1000, 0) : -1;
    return poll(&fd, 1, (int) MIN(left_ms, G_MAXINT)) != 0;
}

static gint64 deadline(unsigned timeout_ms)
{
    return timeout_ms ? g_get_monotonic_time() + (gint64) timeout_ms * 1000 : 0;
}

/* --- wslay's callbacks --- */

static ssize_t on_read(wslay_event_context_ptr wslay, uint8_t *buffer, size_t n, int flags,
                       void *user)
{
    WsClient *client = user;
    ssize_t got = client->at_end ? 0 : raw_read(client, buffer, n);
    if (got > 0)
        return got;
    wslay_event_set_error(wslay, got < 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_write(wslay_event_context_ptr wslay, const uint8_t *data, size_t n, int flags,
                        void *user)
{
    WsClient *client = user;
    size_t put = 0;
    CURLcode code = curl_easy_send(client->raw.easy, data, n, &put);
    if (code == CURLE_OK)
        return (ssize_t) put;
    wslay_event_set_error(wslay,
                          code == CURLE_AGAIN ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static int on_mask(wslay_event_context_ptr wslay, uint8_t *buffer, size_t n, void *user)
{
    return getrandom(buffer, n, 0) == (ssize_t) n ? 0 : -1;
}

static void on_message(wslay_event_context_ptr wslay,
                       const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    WsClient *client = user;
    if (message->opcode != WSLAY_TEXT_FRAME)
        return;
    char *text = g_malloc(message->msg_length + 1);
    memcpy(text, message->msg, message->msg_length);
    text[message->msg_length] = 0;
    g_queue_push_tail(&client->messages, g_bytes_new_take(text, message->msg_length));
}

/* --- Opening --- */

/* "wss" and "https" mean TLS. NULL with INVALID. */
static GUri *parse_url(const char *text, GError **error)
{
    g_autoptr(GError) cause = NULL;
    g_autoptr(GUri) uri = g_uri_parse(text, G_URI_FLAGS_NONE, &cause);
    const char *const schemes[] = { "ws", "wss", "http", "https", NULL };
    if (uri && g_uri_get_host(uri) && *g_uri_get_host(uri) &&
        g_strv_contains(schemes, g_uri_get_scheme(uri)))
        return g_steal_pointer(&uri);
    err_set(error, ERR_INVALID, "%s is not an address such as https://server:443%s%s", text,
            cause ? ": " : "", cause ? cause->message : "");
    return NULL;
}

/* --- The upgrade --- */

static bool write_all(WsClient *client, const char *data, size_t n, gint64 until_us, GError **error)
{
    while (n > 0) {
        size_t put = 0;
        CURLcode code = curl_easy_send(client->raw.easy, data, n, &put);
        if (code == CURLE_AGAIN && wait_for(client, POLLOUT, until_us))
            continue;
        if (code != CURLE_OK) {
            err_set(error, ERR_NETWORK, "sending: %s", curl_easy_strerror(code));
            return false;
        }
        data += put;
        n -= put;
    }
    return true;
}

/* The head of the answer, without what follows it, which goes to `early`. */
static char *read_head(WsClient *client, gint64 until_us, GError **error)
{
    g_autoptr(GString) head = g_string_new(NULL);
    char buffer[2048];
    for (;;) {
        const char *end = strstr(head->str, "\r\n\r\n");
        if (end) {
            size_t n = (size_t) (end - head->str) + 4;
            g_byte_array_append(client->early, (guint8 *) head->str + n, (guint) (head->len - n));
            return g_strndup(head->str, n);
        }
        ssize_t got = raw_read(client, buffer, sizeof buffer);
        if (got < 0 && wait_for(client, POLLIN, until_us))
            continue;
        if (got <= 0 || head->len > MAX_ANSWER_BYTES) {
            err_set(error, got == 0 ? ERR_NETWORK : ERR_TIMEOUT, "no answer to the upgrade");
            return NULL;
        }
        g_string_append_len(head, buffer, got);
    }
}

static char *accept_of(const char *key)
{
    g_autoptr(GChecksum) sha1 = g_checksum_new(G_CHECKSUM_SHA1);
    guint8 digest[20];
    gsize n = sizeof digest;
    g_checksum_update(sha1, (const guchar *) key, (gssize) strlen(key));
    g_checksum_update(sha1, (const guchar *) ACCEPT_GUID, (gssize) strlen(ACCEPT_GUID));
    g_checksum_get_digest(sha1, digest, &n);
    return g_base64_encode(digest, n);
}

static bool check_head(const char *head, const char *key, GUri *uri, GError **error)
{
    g_autofree char *accept = accept_of(key);
    g_auto(GStrv) lines = g_strsplit(head, "\r\n", -1);
    bool found = false;
    for (unsigned i = 1; lines[i]; i++) {
        char *colon = strchr(lines[i], ':');
        if (colon && g_ascii_strncasecmp(lines[i], "sec-websocket-accept:", 21) == 0)
            found = g_str_equal(g_strstrip(colon + 1), accept);
    }
    if (g_str_has_prefix(lines[0], "HTTP/1.1 101") && found)
        return true;
    err_set(error, ERR_PROTOCOL, "%s%s is no WebSocket API: it answered \"%s\"",
            g_uri_get_host(uri), g_uri_get_path(uri), lines[0]);
    return false;
}

static bool upgrade(WsClient *client, GUri *uri, unsigned timeout_ms, GError **error)
{
    guint8 nonce[KEY_BYTES];
    if (getrandom(nonce, sizeof nonce, 0) != sizeof nonce)
        g_error("no random numbers");
    g_autofree char *key = g_base64_encode(nonce, sizeof nonce);
    g_autofree char *port = g_uri_get_port(uri) > 0 ? g_strdup_printf(":%d", g_uri_get_port(uri))
                                                    : g_strdup("");
    const char *path = *g_uri_get_path(uri) ? g_uri_get_path(uri) : "/";
    g_autofree char *request = g_strdup_printf(
        "GET %s HTTP/1.1\r\nHost: %s%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n",
        path, g_uri_get_host(uri), port, key);
    gint64 until_us = deadline(timeout_ms);
    if (!write_all(client, request, strlen(request), until_us, error))
        return false;
    g_autofree char *head = read_head(client, until_us, error);
    return head && check_head(head, key, uri, error);
}

WsClient *ws_client_open(const WsClientConfig *config, GError **error)
{
    static const struct wslay_event_callbacks callbacks = { .recv_callback = on_read,
                                                            .send_callback = on_write,
                                                            .genmask_callback = on_mask,
                                                            .on_msg_recv_callback = on_message };
    g_autoptr(GUri) uri = parse_url(config->url, error);
    if (!uri)
        return NULL;
    g_autoptr(WsClient) client = g_new0(WsClient, 1);
    client->early = g_byte_array_new();
    g_queue_init(&client->messages);
    RawConfig how = { config->trust, config->fingerprint, config->connect_timeout_ms };
    if (!raw_connect(&client->raw, uri, &how, error) ||
        !upgrade(client, uri,
                 config->connect_timeout_ms ? config->connect_timeout_ms : RAW_CONNECT_MS, error))
        return NULL;
    wslay_event_context_client_init(&client->wslay, &callbacks, client);
    size_t max = config->max_message_bytes ? config->max_message_bytes : MAX_MESSAGE_BYTES;
    wslay_event_config_set_max_recv_msg_length(client->wslay, max);
    return g_steal_pointer(&client);
}

void ws_client_close(WsClient *client)
{
    if (!client)
        return;
    if (client->wslay) {
        wslay_event_queue_close(client->wslay, WSLAY_CODE_NORMAL_CLOSURE, NULL, 0);
        wslay_event_send(client->wslay);
        wslay_event_context_free(client->wslay);
    }
    raw_close(&client->raw);
    g_byte_array_unref(client->early);
    g_queue_clear_full(&client->messages, (GDestroyNotify) g_bytes_unref);
    g_free(client);
}

/* --- Messages --- */

bool ws_client_send(WsClient *client, const char *text, size_t n, GError **error)
{
    struct wslay_event_msg message = { WSLAY_TEXT_FRAME, (const uint8_t *) text, n };
    gint64 until_us = deadline(SEND_MS);
    int code = wslay_event_queue_msg(client->wslay, &message);
    while (code == 0 && (code = wslay_event_send(client->wslay)) == 0 &&
           wslay_event_want_write(client->wslay))
        if (!wait_for(client, POLLOUT, until_us)) {
            err_set(error, ERR_TIMEOUT, "the server does not take the message");
            return false;
        }
    if (code != 0)
        err_set(error, ERR_NETWORK, "the connection to the server is lost");
    return code == 0;
}

static GBytes *ended(WsClient *client, GError **error)
{
    unsigned status = wslay_event_get_close_received(client->wslay)
                          ? wslay_event_get_status_code_received(client->wslay)
                          : 0;
    if (status)
        err_set(error, ERR_NETWORK, "the server closed the connection (WebSocket status %u)",
                status);
    else
        err_set(error, ERR_NETWORK, "the connection to the server is lost");
    return NULL;
}

GBytes *ws_client_receive(WsClient *client, unsigned timeout_ms, GError **error)
{
    gint64 until_us = deadline(timeout_ms);
    for (;;) {
        int code = wslay_event_recv(client->wslay);
        wslay_event_send(client->wslay);
        GBytes *message = g_queue_pop_head(&client->messages);
        if (message)
            return message;
        if (code != 0 || !wslay_event_want_read(client->wslay))
            return ended(client, error);
        if (!wait_for(client, POLLIN, until_us)) {
            err_set(error, ERR_TIMEOUT, "no message within %u ms", timeout_ms);
            return NULL;
        }
    }
}
