/* JSON-RPC over one WebSocket, from the caller's side. */
#include "cmd/cli.h"
#include "base/error.h"
#include "http/ws_client.h"

#include <string.h>

struct CliClient {
    WsClient *socket;
    gint64 last_id;
    json_t *answers; /* id → answer that came before it was asked for */
};

/* https://host:port/anything → the same with the path of the API. */
static char *api_url(const char *url)
{
    g_autofree char *base = g_strdup(url);
    while (g_str_has_suffix(base, "/"))
        base[strlen(base) - 1] = 0;
    if (!strstr(base, "://"))
        return g_strdup_printf("wss://%s/api/", base);
    return g_strdup_printf("%s/api/", base);
}

static bool sign_in(CliClient *client, const CliOptions *options, GError **error)
{
    json_t *params = NULL;
    if (options->token)
        params = json_pack("{s:s}", "token", options->token);
    else if (options->user && options->password)
        params = json_pack("{s:s, s:s, s:s*}", "email", options->user, "password",
                           options->password, "otp", options->otp);
    else
        return true;
    json_t *refusal = NULL;
    json_t *user = cli_call(client, "session.signIn", params, &refusal, error);
    if (refusal)
        err_set(error, ERR_BAD_LOGIN, "%s: %s%s", options->url,
                json_string_value(json_object_get(refusal, "message")),
                options->token ? "; sign in again with `cadenza login`" : "");
    json_decref(refusal);
    json_decref(user);
    return user != NULL;
}

CliClient *cli_open(const CliOptions *options, GError **error)
{
    g_autofree char *url = api_url(options->url);
    WsClientConfig config = { .url = url,
                              .trust = options->trust,
                              .fingerprint = options->fingerprint };
    WsClient *socket = ws_client_open(&config, error);
    if (!socket)
        return NULL;
    g_autoptr(CliClient) client = g_new0(CliClient, 1);
    client->socket = socket;
    client->answers = json_object();
    return sign_in(client, options, error) ? g_steal_pointer(&client) : NULL;
}

void cli_close(CliClient *client)
{
    if (!client)
        return;
    ws_client_close(client->socket);
    json_decref(client->answers);
    g_free(client);
}

gint64 cli_send(CliClient *client, const char *method, json_t *params, GError **error)
{
    gint64 id = ++client->last_id;
    json_t *request = json_pack("{s:s, s:I, s:s, s:o}", "jsonrpc", "2.0", "id", (json_int_t) id,
                                "method", method, "params", params ? params : json_object());
    g_autofree char *text = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    return ws_client_send(client->socket, text, strlen(text), error) ? id : 0;
}

/* The next message, NULL when it is no JSON object. */
static bool next_message(CliClient *client, unsigned timeout_ms, json_t **message, GError **error)
{
    g_autoptr(GBytes) text = ws_client_receive(client->socket, timeout_ms, error);
    if (text)
        *message = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    return text != NULL;
}

/* Takes what an answer says. */
static json_t *open_answer(json_t *answer, json_t **refusal)
{
    json_t *failure = json_object_get(answer, "error");
    json_t *result = failure ? NULL : json_incref(json_object_get(answer, "result"));
    if (failure)
        *refusal = json_incref(failure);
    json_decref(answer);
    return failure || result ? result : json_null();
}

json_t *cli_receive(CliClient *client, gint64 id, unsigned timeout_ms, json_t **refusal,
                    GError **error)
{
    g_autofree char *key = g_strdup_printf("%" G_GINT64_FORMAT, id);
    gint64 until_us = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    *refusal = NULL;
    for (;;) {
        json_t *kept = json_object_get(client->answers, key);
        if (kept) {
            json_incref(kept);
            json_object_del(client->answers, key);
            return open_answer(kept, refusal);
        }
        json_t *message = NULL;
        gint64 left_ms = (until_us - g_get_monotonic_time()) / 1000;
        if (!next_message(client, timeout_ms ? (unsigned) MAX(left_ms, 1) : 0, &message, error))
            return NULL;
        json_t *its_id = json_object_get(message, "id");
        if (json_is_integer(its_id)) {
            g_autofree char *its_key =
                g_strdup_printf("%" JSON_INTEGER_FORMAT, json_integer_value(its_id));
            json_object_set(client->answers, its_key, message);
        }
        json_decref(message);
    }
}

json_t *cli_call(CliClient *client, const char *method, json_t *params, json_t **refusal,
                 GError **error)
{
    gint64 id = cli_send(client, method, params, error);
    *refusal = NULL;
    return id ? cli_receive(client, id, 0, refusal, error) : NULL;
}

void cli_watch(CliClient *client, void (*seen)(json_t *message, void *user), void *user,
               GError **error)
{
    json_t *message = NULL;
    while (next_message(client, 0, &message, error)) {
        if (json_object_get(message, "method"))
            seen(message, user);
        json_decref(message);
        message = NULL;
    }
}
