/* What transfers of disks and machines share. */
#include "api/conduit.h"
#include "api/methods/content.h"
#include "base/error.h"
#include "base/log.h"
#include "http/client.h"

#include <stdlib.h>
#include <string.h>

Content *content_new(ApiCall *call, const ApiObject *object, const char *format)
{
    Content *content = g_new0(Content, 1);
    content->parts = call_parts(call);
    content->session = session_ref(call_session(call));
    content->link = link_ref(object->link);
    content->ref = g_strdup(object->ref);
    content->id = g_strdup(object->id);
    content->name = g_strdup(api_object_text(object, "name_label"));
    content->pool = g_strdup(api_object_text(object, "$pool"));
    content->format = g_strdup(format);
    content->size_bytes = (guint64) json_number_value(json_object_get(object->view, "size"));
    return content;
}

void content_free(void *data)
{
    Content *content = data;
    session_unref(content->session);
    link_unref(content->link);
    g_free(content->ref);
    g_free(content->id);
    g_free(content->name);
    g_free(content->format);
    g_free(content->new_name);
    g_free(content->description);
    g_free(content->pool);
    g_free(content->url);
    json_decref(content->data);
    g_free(content);
}

Xapi *content_xapi(const Content *content)
{
    return pool_xapi(link_pool(content->link));
}

static ssize_t read_body(void *data, size_t n, void *request, GError **error)
{
    return http_read(request, data, n, error);
}

bool content_body_begin(ContentBody *body, HttpRequest *request, GError **error)
{
    const char *type = http_header(request, "content-type");
    *body = (ContentBody){ NULL, read_body, request, http_body_bytes(request) };
    if (!multipart_is(type))
        return true;
    http_reply_close(request); /* what follows the part is not read */
    body->form = multipart_new(type, read_body, request, error);
    body->source = multipart_read;
    body->user = body->form;
    body->n_bytes = -1;
    return body->form && multipart_find(body->form, "file", error);
}

void content_body_clear(ContentBody *body)
{
    g_clear_pointer(&body->form, multipart_free);
}

void content_barrier(const Content *content)
{
    pool_barrier(link_pool(content->link), API_BARRIER_MS, NULL);
}

static void reply(HttpRequest *request, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    http_reply_text(request, status, "application/json; charset=utf-8", text ? text : "{}");
    free(text);
    json_decref(body);
}

void content_answer(const Content *content, HttpRequest *request, json_t *result,
                    const GError *error)
{
    if (!error) {
        reply(request, 200,
              json_pack("{s:i, s:s, s:o}", "id", 0, "jsonrpc", "2.0", "result", result));
        return;
    }
    json_decref(result);
    log_info("api", "what was sent for %s was not taken in: %s", content->name, error->message);
    http_reply_close(request); /* part of the body may be there still */
    reply(request, 500,
          json_pack("{s:i, s:s, s:o}", "id", 0, "jsonrpc", "2.0", "error",
                    call_error_json(content->parts, content->session, error)));
}

void content_end(const Content *content, Delivery *delivery, bool ok, const GError *error)
{
    if (!ok)
        log_info("api", "%s was not sent: %s", content->name, error->message);
    if (!delivery_end(delivery, ok))
        reply(
            delivery->request, 500,
            json_pack("{s:o}", "error", call_error_json(content->parts, content->session, error)));
}

static bool check_url(const char *url, GError **error)
{
    if (g_str_has_prefix(url, "http://") || g_str_has_prefix(url, "https://"))
        return true;
    api_error_invalid(error, "url: %s begins with neither http:// nor https://", url);
    return false;
}

static void see_length(const char *name, const char *value, void *user)
{
    if (g_str_equal(name, "content-length"))
        g_ascii_string_to_signed(value, 10, 0, G_MAXINT64, user, NULL);
}

static bool nothing(const void *data, size_t n, void *user, GError **error)
{
    return true;
}

gint64 content_url_bytes(const char *url)
{
    gint64 n_bytes = -1;
    HttpCall call = {
        .method = "HEAD", .url = url, .sink = nothing, .header_seen = see_length, .user = &n_bytes
    };
    return http_call(&call, NULL) == 200 ? n_bytes : -1;
}

typedef struct {
    HttpSink sink;
    void *user;
    int status;
} Fetch;

static void see_status(const char *name, const char *value, void *user)
{
    if (g_str_equal(name, ":status"))
        ((Fetch *) user)->status = atoi(value);
}

static bool pass_on(const void *data, size_t n, void *user, GError **error)
{
    Fetch *fetch = user;
    return fetch->status != 200 || fetch->sink(data, n, fetch->user, error);
}

static bool fetch(const char *url, HttpSink sink, void *user, GError **error)
{
    Fetch fetch = { sink, user, 0 };
    HttpCall call = { .url = url, .sink = pass_on, .header_seen = see_status, .user = &fetch };
    int status = http_call(&call, error);
    if (status && status != 200)
        err_set(error, ERR_PROTOCOL, "the server behind the url answered HTTP %d", status);
    return status == 200;
}

/* --- Taking in --- */

static void take_sent(HttpRequest *request, void *user)
{
    const Content *content = user;
    g_autoptr(GError) error = NULL;
    g_auto(ContentBody) body = { NULL };
    json_t *id = content_body_begin(&body, request, &error)
                     ? content->take(content, body.source, body.user, body.n_bytes, &error)
                     : NULL;
    content_answer(content, request, id, error);
}

static bool feed(Conduit *conduit, void *url, GError **error)
{
    return fetch(url, conduit_write, conduit, error);
}

static json_t *take_fetched(const Content *content, GError **error)
{
    if (!check_url(content->url, error))
        return NULL;
    g_autoptr(Conduit) conduit = conduit_new(feed, content->url, error);
    return conduit ? content->take(content, conduit_read, conduit, -1, error) : NULL;
}

json_t *content_take(ApiCall *call, Content *content, const char *url, ContentTake take,
                     GError **error)
{
    content->take = take;
    content->url = g_strdup(url);
    if (!url)
        return downloads_expect(call_parts(call)->downloads, take_sent, content, content_free,
                                error);
    json_t *taken = take_fetched(content, error);
    content_free(content);
    return taken;
}
