/* JSON-RPC 2.0 at /jsonrpc, as XAPI frames it. */
#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void count(Fake *fake, const char *method)
{
    pthread_mutex_lock(&fake->lock);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(fake->calls, method)) + 1;
    g_hash_table_insert(fake->calls, g_strdup(method), GUINT_TO_POINTER(n));
    pthread_mutex_unlock(&fake->lock);
}

unsigned fake_calls(Fake *fake, const char *method)
{
    pthread_mutex_lock(&fake->lock);
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(fake->calls, method));
    pthread_mutex_unlock(&fake->lock);
    return n;
}

static json_t *frame(json_t *result, json_t *error)
{
    json_t *reply = json_pack("{s:s, s:i}", "jsonrpc", "2.0", "id", 0);
    if (result) {
        json_object_set_new(reply, "result", result);
        return reply;
    }
    json_t *data = json_array(), *code = json_array_get(error, 0);
    for (size_t i = 1; i < json_array_size(error); i++)
        json_array_append(data, json_array_get(error, i));
    json_object_set_new(reply, "error",
                        json_pack("{s:i, s:O, s:o}", "code", 1, "message", code, "data", data));
    json_decref(error);
    return reply;
}

static void serve_rpc(Fake *fake, HttpRequest *request)
{
    g_autoptr(GBytes) body = http_read_all(request, 1 << 20, NULL);
    json_t *message = body ? json_loads(g_bytes_get_data(body, NULL), 0, NULL) : NULL;
    const char *method = json_string_value(json_object_get(message, "method"));
    json_t *error = NULL;
    count(fake, method);
    json_t *result =
        fake->ops->call(fake, method, json_object_get(message, "params"), &error, fake->user);
    if (!result && !error) {
        http_abort(request);
    } else {
        json_t *reply = frame(result, error);
        char *text = json_dumps(reply, JSON_COMPACT);
        http_reply_text(request, 200, "application/json", text);
        free(text);
        json_decref(reply);
    }
    json_decref(message);
}

static void serve(HttpRequest *request, void *user)
{
    Fake *fake = user;
    if (strcmp(http_path(request), "/jsonrpc") == 0)
        serve_rpc(fake, request);
    else if (fake->ops->http)
        fake->ops->http(fake, request, fake->user);
    else
        http_reply_text(request, 404, "text/html", "<html>not here</html>");
}

Fake *fake_new(const FakeOps *ops, void *user, const char *host, guint16 port)
{
    g_autoptr(GError) error = NULL;
    Fake *fake = g_new0(Fake, 1);
    HttpServerConfig config = { .handler = serve, .user = fake };
    g_autofree char *address = g_strdup_printf("%s:%u", host, port);
    fake->ops = ops;
    fake->user = user;
    fake->calls = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    pthread_mutex_init(&fake->lock, NULL);
    fake->server = http_server_new(&config, &error);
    fake->port = fake->server ? http_server_listen(fake->server, address, false, &error) : 0;
    if (!fake->port || !http_server_start(fake->server, &error))
        fail_msg("%s", error->message);
    fake->address = g_strdup_printf("http://%s:%u", host, fake->port);
    return fake;
}

void fake_free(Fake *fake)
{
    if (!fake)
        return;
    http_server_stop(fake->server, 0);
    http_server_free(fake->server);
    g_hash_table_unref(fake->calls);
    pthread_mutex_destroy(&fake->lock);
    g_free(fake->address);
    g_free(fake);
}
