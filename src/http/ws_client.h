/* A WebSocket client for programs that ask and wait: blocking, one thread. The connection and its
 * TLS are libcurl's, the frames libwslay's. Source: RFC 6455. */
#pragma once

#include "http/client.h"

typedef struct WsClient WsClient;

typedef struct {
    const char *url; /* "wss://host:port/path"; https, ws, http too */
    HttpTrust trust;
    const char *fingerprint;
    size_t max_message_bytes;    /* 0: 512 MiB */
    unsigned connect_timeout_ms; /* 0: 20 s */
} WsClientConfig;

/* NETWORK, TLS (detail[0] is the fingerprint that was presented), PROTOCOL. */
WsClient *ws_client_open(const WsClientConfig *config, GError **error);
/* Says goodbye without waiting, closes, frees. */
void ws_client_close(WsClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(WsClient, ws_client_close)

/* Sends a text message, all of it. */
bool ws_client_send(WsClient *client, const char *text, size_t n, GError **error);
/* The next text message, NUL after it; waits timeout_ms (0: for ever): TIMEOUT. NETWORK when the
 * server has closed, with its reason. Answers pings meanwhile. */
GBytes *ws_client_receive(WsClient *client, unsigned timeout_ms, GError **error);
