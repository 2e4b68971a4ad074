/* Contents that come and go by addresses that work once: what of the call they need until then. */
#pragma once

#include "api/delivery.h"
#include "api/disk_flow.h"
#include "api/method.h"
#include "api/objects.h"
#include "http/multipart.h"

typedef struct Content Content;
/* Takes in what `source` gives, n_bytes of it (-1: unknown); the answer, or NULL with an error. */
typedef json_t *(*ContentTake)(const Content *content, HttpSource source, void *user,
                               gint64 n_bytes, GError **error);

/* Counted by nobody: it belongs to the offer. */
struct Content {
    const ApiParts *parts;
    Session *session;
    Link *link;
    char *ref;       /* of the object */
    char *id, *name; /* of the object */
    char *format;
    char *new_name, *description;
    char *pool;         /* XO's id */
    guint64 size_bytes; /* of a disk */
    json_t *data;       /* what else was said */
    char *url;          /* where it comes from; NULL: whoever asked sends it */
    ContentTake take;
};

/* `format` is copied. */
Content *content_new(ApiCall *call, const ApiObject *object, const char *format);
void content_free(void *content);
Xapi *content_xapi(const Content *content);
/* The end of a method that takes something in: with `url` all is done now, without it the answer is
 * an address to send it to. The content is taken over. */
json_t *content_take(ApiCall *call, Content *content, const char *url, ContentTake take,
                     GError **error);
/* What a request carries. XO takes forms, too, as browsers send them: the part "file" is it. */
typedef struct {
    Multipart *form; /* NULL: none */
    HttpSource source;
    void *user;
    gint64 n_bytes; /* -1: unknown */
} ContentBody;
bool content_body_begin(ContentBody *body, HttpRequest *request, GError **error);
void content_body_clear(ContentBody *body);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ContentBody, content_body_clear)

/* XO's answer to what was sent: {"id": 0, "jsonrpc": "2.0", "result"}; the reference is taken. With
 * an error: status 500 and that error. */
void content_answer(const Content *content, HttpRequest *request, json_t *result,
                    const GError *error);
/* Everybody sees what was done. */
void content_barrier(const Content *content);
/* The end of a file that was sent. */
void content_end(const Content *content, Delivery *delivery, bool ok, const GError *error);
/* How long that is, as its server says; -1: it does not. */
gint64 content_url_bytes(const char *url);
