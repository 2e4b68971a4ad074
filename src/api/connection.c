/* Reads messages in the socket's own order, hands each call to a pool of threads, and sends its
 * answer when it ends; the answers of a batch go together. */
#include "api/connection.h"
#include "api/api.h"
#include "api/jsonrpc.h"
#include "api/method.h"
#include "base/log.h"
#include "base/mutant.h"

typedef struct {
    gint n_refs; /* the socket, and each call */
    const Dispatch *dispatch;
    Session *session;
    gint n_calls;
    Bucket bucket; /* of whoever delivers: one thread at a time */
} Connection;

/* The calls of one message. */
typedef struct {
    Connection *connection;
    WebSocket *socket;
    RpcMessage *message;
    Rope **texts; /* the answer of each request */
    gint n_open;
} Exchange;

typedef struct {
    Exchange *exchange;
    unsigned index;
} Work;

static void connection_unref(Connection *connection)
{
    if (!g_atomic_int_dec_and_test(&connection->n_refs))
        return;
    session_unref(connection->session);
    g_free(connection);
}

/* --- Answering --- */

static void send_answers(Exchange *exchange)
{
    g_autoptr(GPtrArray) texts = g_ptr_array_new_with_free_func((GDestroyNotify) rope_unref);
    for (unsigned i = 0; i < exchange->message->requests->len; i++)
        if (exchange->texts[i])
            g_ptr_array_add(texts, exchange->texts[i]);
    if (texts->len == 0)
        return;
    g_autoptr(Rope) all = exchange->message->is_batch ? rpc_batch_text(texts)
                                                      : rope_ref(texts->pdata[0]);
    if (!ws_send_rope(exchange->socket, all))
        log_debug("api", "%s: gone before its answer", session_peer(exchange->connection->session));
}

static void exchange_close(Exchange *exchange)
{
    send_answers(exchange);
    rpc_message_free(exchange->message);
    ws_unref(exchange->socket);
    connection_unref(exchange->connection);
    g_free(exchange->texts);
    g_free(exchange);
}

static Rope *failure_text(Connection *connection, json_t *id, const GError *error)
{
    json_t *json = call_error_json(connection->dispatch->parts, connection->session, error);
    Rope *text = rpc_error_text(id, json);
    json_decref(json);
    return text;
}

static Rope *answer(Exchange *exchange, RpcRequest *request)
{
    Connection *connection = exchange->connection;
    g_auto(ApiResult) result = { NULL, NULL };
    g_autoptr(GError) error = NULL;
    bool ok = call_run(connection->dispatch->parts, connection->session, request->method,
                       request->params, &result, &error);
    if (session_is_signed_in(connection->session))
        ws_set_max_message(exchange->socket, API_MESSAGE_BYTES);
    if (!request->id)
        return NULL;
    return ok ? rpc_result_text(request->id, result.value, result.text)
              : failure_text(connection, request->id, error);
}

void connection_work(void *data, void *user)
{
    Work *work = data;
    Exchange *exchange = work->exchange;
    exchange->texts[work->index] =
        answer(exchange, exchange->message->requests->pdata[work->index]);
    g_free(work);
    g_atomic_int_add(&exchange->connection->n_calls, -1);
    if (g_atomic_int_dec_and_test(&exchange->n_open))
        exchange_close(exchange);
}

/* --- Receiving --- */

static gint max_calls(Connection *connection)
{
    return session_is_signed_in(connection->session) ? API_MAX_CALLS : API_MAX_CALLS_BEFORE_SIGN_IN;
}

/* The answer of a call that is one too many. */
static void refuse(Exchange *exchange, unsigned index, const GError *error)
{
    RpcRequest *request = exchange->message->requests->pdata[index];
    if (request->id)
        exchange->texts[index] = failure_text(exchange->connection, request->id, error);
    if (g_atomic_int_dec_and_test(&exchange->n_open))
        exchange_close(exchange);
}

static GThreadPool *pool_for(Connection *connection, const char *name)
{
    const Dispatch *dispatch = connection->dispatch;
    const Method *method = method_find(name);
    if (!session_is_signed_in(connection->session))
        return dispatch->door;
    bool slow = method && method->long_running;
    if (MUTANT(connection_one_pool)) /* mutant: system:test_api.Wire.test_completion_order */
        slow = false;
    return slow ? dispatch->slow : dispatch->quick;
}

/* Neither too many at once nor too many a second. */
static bool may_begin(Connection *connection, GError **error)
{
    Pace *pace = connection->dispatch->parts->pace;
    g_autofree char *user = session_user_id(connection->session);
    if (pace && !pace_take(pace, user, session_peer(connection->session), &connection->bucket,
                           g_get_monotonic_time(), error))
        return false;
    if (g_atomic_int_add(&connection->n_calls, 1) < max_calls(connection))
        return true;
    g_atomic_int_add(&connection->n_calls, -1);
    api_error_set(error, API_INTERNAL, NULL, "too many calls in flight on this connection (%d)",
                  max_calls(connection));
    return false;
}

static void dispatch(Exchange *exchange, unsigned index)
{
    Connection *connection = exchange->connection;
    RpcRequest *request = exchange->message->requests->pdata[index];
    g_autoptr(GError) error = NULL;
    if (!may_begin(connection, &error)) {
        refuse(exchange, index, error);
        return;
    }
    Work *work = g_new0(Work, 1);
    work->exchange = exchange;
    work->index = index;
    g_thread_pool_push(pool_for(connection, request->method), work, NULL);
}

static void socket_text(WebSocket *socket, const char *text, size_t n, void *user)
{
    Connection *connection = user;
    if (session_has_expired(connection->session)) {
        session_sign_out(connection->session);
        ws_close(socket, 1000, "the authentication token has expired or was deleted");
        return;
    }
    RpcMessage *message = rpc_parse(text, n);
    if (!message)
        return;
    unsigned n_requests = message->requests->len;
    Exchange *exchange = g_new0(Exchange, 1);
    g_atomic_int_inc(&connection->n_refs);
    exchange->connection = connection;
    exchange->socket = ws_ref(socket);
    exchange->message = message;
    exchange->texts = g_new0(Rope *, n_requests);
    exchange->n_open = (gint) n_requests;
    for (unsigned i = 0; i < n_requests; i++)
        dispatch(exchange, i);
}

static void socket_closed(WebSocket *socket, void *user)
{
    Connection *connection = user;
    hub_drop(connection->dispatch->parts->hub, socket);
    connection_unref(connection);
}

void connection_accept(HttpRequest *request, const Dispatch *dispatch)
{
    static const WebSocketOps ops = { .text = socket_text, .closed = socket_closed };
    static const WebSocketLimits limits = { .max_message_bytes = API_MESSAGE_BYTES_BEFORE_SIGN_IN,
                                            .max_queued_bytes = API_QUEUED_BYTES };
    Connection *connection = g_new0(Connection, 1);
    connection->n_refs = 1;
    connection->dispatch = dispatch;
    connection->session = session_new(dispatch->parts->accounts, http_peer(request));
    g_autoptr(GError) error = NULL;
    g_autoptr(Session) session = session_ref(connection->session);
    WebSocket *socket = ws_accept(request, &ops, &limits, connection, &error);
    if (socket)
        hub_add(dispatch->parts->hub, socket, session);
    else
        connection_unref(connection);
}
