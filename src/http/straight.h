/* A long answer, read past libcurl's loop, which polls and copies for every TLS record: libcurl
 * makes the connection, the request and the answer go through it byte by byte (curl_easy_send,
 * curl_easy_recv). Private to the room. */
#pragma once

#include "http/client.h"

#include <curl/curl.h>

typedef struct {
    const HttpCall *call;       /* a GET: url, headers, room, cancel are looked at */
    const char *const *headers; /* NULL-terminated lines, all that are to be sent besides Host */
    unsigned stall_timeout_ms;
    curl_write_callback header, body; /* as libcurl calls them */
    void *user;
    bool stalled; /* why it ended */
    char cause[CURL_ERROR_SIZE];
} Straight;

/* A handle whose connection is made that way; before curl_easy_perform. The context function of the
 * handle is `next`, if any, with `user`. */
typedef struct {
    curl_ssl_ctx_callback next;
    void *user;
} StraightTls;
void straight_prepare(CURL *easy, StraightTls *tls);
/* The whole exchange on the connection that curl_easy_perform has made: PARTIAL_FILE when the
 * answer broke off, GOT_NOTHING, WEIRD_SERVER_REPLY, WRITE_ERROR when a callback did not take all,
 * ABORTED_BY_CALLBACK when it stalled or was cancelled, or what libcurl says. */
CURLcode straight_perform(Straight *straight, CURL *easy);
