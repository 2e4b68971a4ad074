/* Offers by their token; each is given once, and forgotten after an hour. */
#include "api/downloads.h"
#include "base/error.h"

#include <string.h>
#include <sys/random.h>

enum { TOKEN_BYTES = 32 };

typedef struct {
    char *type, *name;
    GBytes *data;
    DownloadsTake take; /* instead of data: something is expected */
    void *user;
    GDestroyNotify user_free;
    gint64 until_us;
} Offer;

struct Downloads {
    GMutex mutex;
    GHashTable *offers; /* token → Offer */
};

static void offer_free(void *data)
{
    Offer *offer = data;
    g_free(offer->type);
    g_free(offer->name);
    g_clear_pointer(&offer->data, g_bytes_unref);
    if (offer->user_free)
        offer->user_free(offer->user);
    g_free(offer);
}

Downloads *downloads_new(void)
{
    Downloads *downloads = g_new0(Downloads, 1);
    g_mutex_init(&downloads->mutex);
    downloads->offers = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, offer_free);
    return downloads;
}

void downloads_free(Downloads *downloads)
{
    g_hash_table_unref(downloads->offers);
    g_mutex_clear(&downloads->mutex);
    g_free(downloads);
}

/* 32 random bytes as base64url. */
static char *make_token(void)
{
    guchar bytes[TOKEN_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        g_error("no random numbers");
    char *token = g_base64_encode(bytes, sizeof bytes);
    g_strdelimit(token, "+", '-');
    g_strdelimit(token, "/", '_');
    token[strcspn(token, "=")] = 0;
    return token;
}

static gboolean is_old(void *token, void *data, void *user)
{
    return ((Offer *) data)->until_us < g_get_monotonic_time();
}

/* Keeps the offer, which is taken, and tells where it is: {key: path}. */
static json_t *keep(Downloads *downloads, Offer *offer, const char *key, GError **error)
{
    offer->until_us = g_get_monotonic_time() + (gint64) DOWNLOADS_KEPT_S * G_USEC_PER_SEC;
    g_autofree char *token = make_token();
    g_autofree char *path = g_strdup_printf("/api/%s%s%s", token, offer->name ? "/" : "",
                                            offer->name ? offer->name : "");
    g_mutex_lock(&downloads->mutex);
    g_hash_table_foreach_remove(downloads->offers, is_old, NULL);
    bool full = g_hash_table_size(downloads->offers) >= DOWNLOADS_MAX;
    if (!full)
        g_hash_table_insert(downloads->offers, g_steal_pointer(&token), offer);
    g_mutex_unlock(&downloads->mutex);
    if (!full)
        return json_pack("{s:s}", key, path);
    offer_free(offer);
    err_set(error, ERR_LIMIT, "%d downloads are waiting to be fetched", DOWNLOADS_MAX);
    return NULL;
}

json_t *downloads_offer(Downloads *downloads, const char *type, GBytes *data, GError **error)
{
    Offer *offer = g_new0(Offer, 1);
    offer->type = g_strdup(type);
    offer->data = data;
    return keep(downloads, offer, "$getFrom", error);
}

json_t *downloads_offer_file(Downloads *downloads, const char *name, GBytes *data, GError **error)
{
    Offer *offer = g_new0(Offer, 1);
    offer->type = g_strdup("application/octet-stream");
    offer->name = g_strdup(name);
    offer->data = data;
    return keep(downloads, offer, "$getFrom", error);
}

json_t *downloads_serve(Downloads *downloads, const char *name,
                        void (*give)(HttpRequest *request, void *user), void *user, GError **error)
{
    Offer *offer = g_new0(Offer, 1);
    offer->name = g_strdup(name);
    offer->take = give;
    offer->user = user;
    return keep(downloads, offer, "$getFrom", error);
}

json_t *downloads_stream(Downloads *downloads, const char *name, DownloadsGive give, void *user,
                         GDestroyNotify user_free, GError **error)
{
    Offer *offer = g_new0(Offer, 1);
    offer->name = g_uri_escape_string(name, NULL, FALSE);
    offer->take = give;
    offer->user = user;
    offer->user_free = user_free;
    return keep(downloads, offer, "$getFrom", error);
}

json_t *downloads_expect(Downloads *downloads, DownloadsTake take, void *user,
                         GDestroyNotify user_free, GError **error)
{
    Offer *offer = g_new0(Offer, 1);
    offer->take = take;
    offer->user = user;
    offer->user_free = user_free;
    return keep(downloads, offer, "$sendTo", error);
}

static Offer *take(Downloads *downloads, const char *token)
{
    void *key = NULL, *offer = NULL;
    g_mutex_lock(&downloads->mutex);
    g_hash_table_foreach_remove(downloads->offers, is_old, NULL);
    g_hash_table_steal_extended(downloads->offers, token, &key, &offer);
    g_mutex_unlock(&downloads->mutex);
    g_free(key);
    return offer;
}

static void give(HttpRequest *request, Offer *offer)
{
    if (offer->name)
        http_reply_header(request, "Content-Disposition", "attachment");
    http_reply(request, 200, offer->type, g_bytes_get_data(offer->data, NULL),
               g_bytes_get_size(offer->data));
}

/* "/api/<token>" or "/api/<token>/<any name>" */
bool downloads_handle(Downloads *downloads, HttpRequest *request)
{
    const char *path = http_path(request);
    if (!g_str_has_prefix(path, "/api/") || !path[5])
        return false;
    g_autofree char *token = g_strndup(path + 5, strcspn(path + 5, "/"));
    Offer *offer = take(downloads, token);
    if (!offer)
        return false;
    if (offer->take)
        offer->take(request, offer->user);
    else
        give(request, offer);
    offer_free(offer);
    return true;
}
