/* A connection to a server, plain or TLS, whose bytes are our own from the start: libcurl connects
 * (CONNECT_ONLY), knows whom to trust, and is asked for bytes without blocking. Private to the
 * room. */
#pragma once

#include "http/client.h"
#include "http/pin.h"

#include <curl/curl.h>

typedef struct {
    CURL *easy;
    HttpPin pin;
    int fd; /* for poll */
} RawConnection;

enum { RAW_CONNECT_MS = 20000 };

typedef struct {
    HttpTrust trust;
    const char *fingerprint;
    unsigned connect_timeout_ms; /* 0: RAW_CONNECT_MS */
} RawConfig;

/* Blocks. The schemes "wss" and "https" mean TLS. NETWORK, TLS (detail[0] is the fingerprint that
 * was presented). The structure must be all zero, and must not move afterwards. */
bool raw_connect(RawConnection *raw, GUri *uri, const RawConfig *config, GError **error);
/* Of one that was never opened: nothing. */
void raw_close(RawConnection *raw);
