/* Two directions: what the client sends is written by the threads of its socket, which read no more
 * until it is with the host; what the host sends is read by a thread of the console's own, which
 * waits while the client has not read enough. */
#include "api/consoles.h"
#include "api/audit.h"
#include "api/objects.h"
#include "base/log.h"
#include "base/mutant.h"
#include "http/websocket.h"

#include <string.h>

#define PREFIX "/api/consoles/"

enum { READ_BYTES = 64 * 1024, PAUSE_US = 5000 };

struct Consoles {
    const ApiParts *parts;
    GMutex mutex;
    GCond ended;
    unsigned n_open;
};

typedef struct {
    gint n_refs; /* the socket, and the reader */
    Consoles *consoles;
    WebSocket *socket;
    HttpTunnel *tunnel;
    gint is_closed;
    char *vm_id;
    json_t *user;
    char *peer;
    gint64 since_us;
} Console;

Consoles *consoles_new(const ApiParts *parts)
{
    Consoles *consoles = g_new0(Consoles, 1);
    consoles->parts = parts;
    g_mutex_init(&consoles->mutex);
    g_cond_init(&consoles->ended);
    return consoles;
}

void consoles_free(Consoles *consoles)
{
    g_mutex_lock(&consoles->mutex);
    while (consoles->n_open > 0)
        g_cond_wait(&consoles->ended, &consoles->mutex);
    g_mutex_unlock(&consoles->mutex);
    g_mutex_clear(&consoles->mutex);
    g_cond_clear(&consoles->ended);
    g_free(consoles);
}

static bool take_place(Consoles *consoles)
{
    g_mutex_lock(&consoles->mutex);
    bool free = consoles->n_open < CONSOLES_MAX;
    consoles->n_open += free;
    g_mutex_unlock(&consoles->mutex);
    return free;
}

static void leave_place(Consoles *consoles)
{
    g_mutex_lock(&consoles->mutex);
    consoles->n_open--;
    g_cond_signal(&consoles->ended);
    g_mutex_unlock(&consoles->mutex);
}

/* Who looks at which machine, and how long it was. */
static void tell_opened(Console *console)
{
    audit_event(console->consoles->parts, "consoleOpened", console->user, console->peer,
                json_pack("{s:s}", "objectId", console->vm_id));
}

static void tell_closed(Console *console)
{
    gint64 took_ms = (g_get_monotonic_time() - console->since_us) / 1000;
    if (!MUTANT(console_end_untold)) /* mutant: system:test_consoles.Consoles.test_told */
        audit_event(
            console->consoles->parts, "consoleClosed", console->user, console->peer,
            json_pack("{s:s, s:I}", "objectId", console->vm_id, "duration", (json_int_t) took_ms));
}

static void console_unref(Console *console)
{
    if (!g_atomic_int_dec_and_test(&console->n_refs))
        return;
    Consoles *consoles = console->consoles;
    http_tunnel_close(console->tunnel);
    if (console->socket)
        tell_closed(console);
    ws_unref(console->socket);
    json_decref(console->user);
    g_free(console->peer);
    g_free(console->vm_id);
    g_free(console);
    leave_place(consoles);
}

/* --- From the client --- */

static void on_binary(WebSocket *socket, const void *data, size_t n, void *user)
{
    Console *console = user;
    g_autoptr(GError) error = NULL;
    if (http_tunnel_write(console->tunnel, data, n, CONSOLE_SEND_MS, &error))
        return;
    log_debug("api", "console of VM %s: %s", console->vm_id, error->message);
    http_tunnel_cut(console->tunnel);
    ws_close(socket, 1011, "the console takes no more");
}

static void on_text(WebSocket *socket, const char *text, size_t n, void *user)
{
    ws_close(socket, 1003, "a console takes binary messages");
}

static void on_closed(WebSocket *socket, void *user)
{
    Console *console = user;
    g_atomic_int_set(&console->is_closed, 1);
    http_tunnel_cut(console->tunnel);
    console_unref(console);
}

/* --- From the host --- */

static bool is_closed(Console *console)
{
    return g_atomic_int_get(&console->is_closed) != 0;
}

static void wait_for_client(Console *console)
{
    while (!is_closed(console) && ws_queued_bytes(console->socket) > CONSOLE_QUEUED_BYTES)
        g_usleep(PAUSE_US);
}

static void *read_host(void *user)
{
    Console *console = user;
    g_autofree char *buffer = g_malloc(READ_BYTES);
    g_autoptr(GError) error = NULL;
    ssize_t n;
    while ((n = http_tunnel_read(console->tunnel, buffer, READ_BYTES, &error)) > 0) {
        g_autoptr(GBytes) bytes = g_bytes_new(buffer, (gsize) n);
        if (!ws_send_binary(console->socket, bytes))
            break;
        wait_for_client(console);
    }
    if (error)
        log_debug("api", "console of VM %s: %s", console->vm_id, error->message);
    ws_close(console->socket, 1000, "the console has ended");
    console_unref(console);
    return NULL;
}

/* --- Who, and where --- */

/* The user whose browser or program it is; NULL after an answer. */
static json_t *user_of(Consoles *consoles, HttpRequest *request)
{
    const char *token = http_cookie(request, "token");
    g_autoptr(Session) session = session_new(consoles->parts->accounts, http_peer(request));
    g_autoptr(GError) error = NULL;
    if (!token)
        token = http_cookie(request, "authenticationToken");
    json_t *user = token ? session_sign_in_token(session, token, &error) : NULL;
    if (!user)
        http_reply_text(request, 401, "text/plain", "The cookie token says who you are.\n");
    return user;
}

static bool is_machine(json_t *vm)
{
    const char *type = json_string_value(json_object_get(vm, "type"));
    return g_strcmp0(type, "VM") == 0 || g_strcmp0(type, "VM-controller") == 0;
}

/* Where its picture is: a copy, or NULL. */
static char *location_of(Xapi *xapi, const char *vm_ref)
{
    json_t *refs = xapi_call(xapi, "VM.get_consoles", json_pack("[s]", vm_ref), NULL), *ref;
    char *location = NULL;
    size_t i;
    json_array_foreach (refs, i, ref) {
        json_t *record =
            location ? NULL : xapi_call(xapi, "console.get_record", json_pack("[O]", ref), NULL);
        const char *protocol = json_string_value(json_object_get(record, "protocol"));
        if (g_strcmp0(protocol, "rfb") == 0)
            location = g_strdup(json_string_value(json_object_get(record, "location")));
        json_decref(record);
    }
    json_decref(refs);
    return location;
}

/* A way to the machine's screen, or NULL after an answer. */
static HttpTunnel *reach(Consoles *consoles, HttpRequest *request, const char *id)
{
    g_autoptr(Inventory) inventory = NULL;
    g_autoptr(Link) link = servers_find(consoles->parts->servers, id, &inventory);
    json_t *vm = link ? inventory_object(inventory, id) : NULL;
    const char *ref = json_string_value(json_object_get(vm, "_xapiRef"));
    g_autoptr(GError) error = NULL;
    HttpTunnel *tunnel = NULL;
    Xapi *xapi = link ? pool_xapi(link_pool(link)) : NULL;
    g_autofree char *location = is_machine(vm) ? location_of(xapi, ref) : NULL;
    if (!is_machine(vm))
        http_reply_text(request, 404, "text/plain", "There is no such machine.\n");
    else if (!location)
        http_reply_text(request, 404, "text/plain", "The machine has no console: is it running?\n");
    else if (!(tunnel = xapi_console_open(xapi, location, &error)))
        http_reply_text(request, 502, "text/plain", "The machine's host does not answer.\n");
    if (error)
        log_warning("api", "console of VM %s: %s", id, error->message);
    json_decref(vm);
    return tunnel;
}

static bool may_operate(Consoles *consoles, json_t *user, const char *id)
{
    const ApiParts *parts = consoles->parts;
    return account_may(parts->accounts, user, id, "operate", servers_text, parts->servers) ||
           MUTANT(console_for_all); /* mutant: system:test_consoles.Consoles.test_who */
}

/* --- Opening --- */

/* Takes the tunnel, and the place that was taken. */
static void join(Consoles *consoles, HttpRequest *request, json_t *user, const char *id,
                 HttpTunnel *tunnel)
{
    static const WebSocketOps ops = { on_text, on_binary, on_closed };
    static const WebSocketLimits limits = { .max_message_bytes = CONSOLE_MESSAGE_BYTES,
                                            .max_queued_bytes = 4 * CONSOLE_QUEUED_BYTES,
                                            .protocol = "binary" };
    g_autoptr(GError) error = NULL;
    Console *console = g_new0(Console, 1);
    *console = (Console){ .n_refs = 2, .consoles = consoles, .tunnel = tunnel };
    console->vm_id = g_strdup(id);
    console->user = json_incref(user);
    console->peer = g_strdup(http_peer(request));
    console->since_us = g_get_monotonic_time();
    WebSocket *socket = ws_accept(request, &ops, &limits, console, &error);
    if (!socket) {
        console_unref(console);
        console_unref(console);
        return;
    }
    console->socket = ws_ref(socket);
    tell_opened(console);
    g_thread_unref(g_thread_new("console", read_host, console));
}

static void open(Consoles *consoles, HttpRequest *request, const char *id)
{
    json_t *user = user_of(consoles, request);
    if (!user)
        return;
    bool may = may_operate(consoles, user, id);
    HttpTunnel *tunnel = NULL;
    if (!may)
        audit_event(consoles->parts, "consoleOpened", user, http_peer(request),
                    json_pack("{s:s, s:{s:i, s:s}}", "objectId", id, "error", "code",
                              API_UNAUTHORIZED, "message", "not enough permissions"));
    if (!may)
        http_reply_text(request, 403, "text/plain", "You may not operate this machine.\n");
    else if (!take_place(consoles))
        http_reply_text(request, 503, "text/plain", "Too many consoles are open.\n");
    else if (!(tunnel = reach(consoles, request, id)))
        leave_place(consoles);
    if (tunnel) {
        log_info("api", "%s opens the console of VM %s",
                 json_string_value(json_object_get(user, "email")), id);
        join(consoles, request, user, id, tunnel);
    }
    json_decref(user);
}

bool consoles_handle(Consoles *consoles, HttpRequest *request)
{
    const char *path = http_path(request);
    if (!g_str_has_prefix(path, PREFIX))
        return false;
    if (!http_origin_is_ours(request)) {
        http_reply_text(request, 403, "text/plain", "Pages of other origins may not do this.\n");
    } else if (ws_is_upgrade(request)) {
        open(consoles, request, path + strlen(PREFIX));
    } else {
        http_reply_header(request, "Upgrade", "websocket");
        http_reply_text(request, 426, "text/plain", "This is the address of a console.\n");
    }
    return true;
}
