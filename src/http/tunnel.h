/* A connection that begins with an HTTP CONNECT and then carries bytes both ways, as the consoles
 * of XAPI's hosts do. Blocking; one thread may read while another writes. */
#pragma once

#include "http/client.h"

typedef struct HttpTunnel HttpTunnel;

typedef struct {
    const char *url; /* "https://host:port/path?query": the path is what CONNECT names */
    HttpTrust trust;
    const char *fingerprint;
    unsigned timeout_ms; /* to connect, and for the answer; 0: 20 s */
} HttpTunnelConfig;

/* INVALID, NETWORK, TLS, TIMEOUT; PROTOCOL when the answer is not 200. Messages name the host,
 * never the path or the query. */
HttpTunnel *http_tunnel_open(const HttpTunnelConfig *config, GError **error);
/* Nobody may be reading or writing. */
void http_tunnel_close(HttpTunnel *tunnel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HttpTunnel, http_tunnel_close)

/* Some bytes, waited for as long as it takes; 0 at the end and after a cut; -1 with an error. */
ssize_t http_tunnel_read(HttpTunnel *tunnel, void *buffer, size_t n, GError **error);
/* All of them; TIMEOUT when the other side takes none for timeout_ms. */
bool http_tunnel_write(HttpTunnel *tunnel, const void *data, size_t n, unsigned timeout_ms,
                       GError **error);
/* From any thread: readers and writers end within a moment. */
void http_tunnel_cut(HttpTunnel *tunnel);
