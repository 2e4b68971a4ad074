/* Addresses that work once: a method answers {"$getFrom": "/api/<token>"}, and the client fetches
 * the data from there without credentials, because the address is the secret; or {"$sendTo": …},
 * and it sends some there. Thread-safe. */
#pragma once

#include "http/server.h"

#include <jansson.h>

typedef struct Downloads Downloads;

enum { DOWNLOADS_MAX = 10000, DOWNLOADS_KEPT_S = 3600 };

Downloads *downloads_new(void);
void downloads_free(Downloads *downloads);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Downloads, downloads_free)

/* Offers data, whose reference is taken: {"$getFrom": path}, or NULL with LIMIT. */
json_t *downloads_offer(Downloads *downloads, const char *type, GBytes *data, GError **error);
/* The same for a file: the address ends with its name, a browser keeps it. */
json_t *downloads_offer_file(Downloads *downloads, const char *name, GBytes *data, GError **error);

/* Answers a request for the data itself, in pieces, without a limit: {"$getFrom": path}. `user`
 * must outlive the server's doors. */
json_t *downloads_serve(Downloads *downloads, const char *name,
                        void (*give)(HttpRequest *request, void *user), void *user, GError **error);

/* The same for one answer of its own: `user` is freed after it, or when nobody has fetched it. */
typedef void (*DownloadsGive)(HttpRequest *request, void *user);
json_t *downloads_stream(Downloads *downloads, const char *name, DownloadsGive give, void *user,
                         GDestroyNotify user_free, GError **error);

/* Reads the body and answers. */
typedef void (*DownloadsTake)(HttpRequest *request, void *user);
/* Waits for data: {"$sendTo": path}, or NULL with LIMIT. `take` is called at most once; `user` is
 * freed after it, or when nothing has come for DOWNLOADS_KEPT_S. */
json_t *downloads_expect(Downloads *downloads, DownloadsTake take, void *user,
                         GDestroyNotify user_free, GError **error);
/* Answers the request when its path is an offer, which is then spent; false: not one. */
bool downloads_handle(Downloads *downloads, HttpRequest *request);
