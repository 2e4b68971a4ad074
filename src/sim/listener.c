/* The sockets of the pool: one HTTP server per host, each on its own loopback address but on the
 * same port, since a pool tells its members' addresses without ports; and one for the control API.
 */
#include "sim/handler.h"
#include "sim/inner.h"

#include <pthread.h>
#include <string.h>

typedef struct {
    Sim *sim;
    guint number;
    HttpServer *server; /* NULL while the host is lost */
    char *address;
} Host;

struct Listeners {
    Sim *sim;
    pthread_mutex_t mutex; /* of hosts[].server: taken with no other lock held */
    Host *hosts;
    guint n_hosts;
    guint16 port, tls_port, control_port;
    char *control_address;
    HttpServer *control;
};

#define METHODS(table)
#define HANDLERS(table) extern const Handler table[];
#include "sim/tables.def"
#undef HANDLERS
static const Handler *const tables[] = {
#define HANDLERS(table) table,
#include "sim/tables.def"
    NULL
};
#undef HANDLERS
#undef METHODS

/* The handler whose path is the longest prefix. */
static const Handler *handler_find(const char *method, const char *path)
{
    const Handler *best = NULL;
    for (guint i = 0; tables[i] != NULL; i++)
        for (const Handler *at = tables[i]; at->path != NULL; at++)
            if (strcmp(at->method, method) == 0 && g_str_has_prefix(path, at->path) &&
                (best == NULL || strlen(at->path) > strlen(best->path)))
                best = at;
    return best;
}

static void answer_unknown(HttpRequest *request, const char *method)
{
    bool put = strcmp(method, "PUT") == 0, get = strcmp(method, "GET") == 0;
    http_reply_close(request);
    if (get && strcmp(http_path(request), "/") == 0)
        http_reply_text(request, 200, "text/html",
                        "<html><body><h1>cadenza-sim</h1><p>A simulated pool.</p></body></html>");
    else
        http_reply_text(request,
                        get   ? 404
                        : put ? 403
                              : 501,
                        "text/html",
                        get ? "<html><body><h1>404 Not found</h1></body></html>"
                            : "<html><body><h1>Not supported here</h1></body></html>");
}

static void answer_preflight(HttpRequest *request)
{
    const char *asked = http_header(request, "access-control-request-headers");
    g_autofree char *allowed = g_strconcat(asked == NULL ? "" : asked, asked == NULL ? "" : ", ",
                                           "X-Requested-With", NULL);
    http_reply_header(request, "Access-Control-Allow-Origin", "*");
    http_reply_header(request, "Access-Control-Allow-Headers", allowed);
    http_reply_header(request, "Access-Control-Allow-Methods", "PUT");
    http_reply(request, 200, NULL, "", 0);
}

static void host_serve(HttpRequest *request, void *user)
{
    Host *host = user;
    const char *method = http_method(request);
    const Handler *handler = handler_find(method, http_path(request));
    if (handler != NULL && handler->serve_at != NULL)
        handler->serve_at(request, host->sim, host->number);
    else if (handler != NULL)
        handler->serve(request, host->sim);
    else if (strcmp(method, "POST") == 0)
        rpc_serve(host->sim, host->number, request);
    else if (strcmp(method, "OPTIONS") == 0)
        answer_preflight(request);
    else
        answer_unknown(request, method);
}

static void control_entry(HttpRequest *request, void *user)
{
    control_serve(request, user);
}

Listeners *listeners_new(Sim *sim)
{
    const SimOptions *options = sim_options(sim);
    Listeners *listeners = g_new0(Listeners, 1);
    listeners->sim = sim;
    pthread_mutex_init(&listeners->mutex, NULL);
    listeners->n_hosts = options->n_hosts;
    listeners->hosts = g_new0(Host, options->n_hosts);
    listeners->tls_port = options->tls_port;
    listeners->port = (guint16) atoi(strrchr(options->listen, ':') + 1);
    unsigned a = 127, b = 0, c = 0, d = 1;
    sscanf(options->listen, "%u.%u.%u.%u", &a, &b, &c, &d);
    for (guint i = 0; i < options->n_hosts; i++, d++) {
        listeners->hosts[i].sim = sim;
        listeners->hosts[i].number = i;
        listeners->hosts[i].address = g_strdup_printf("%u.%u.%u.%u", a, b, c + d / 256, d % 256);
    }
    listeners->control_address = g_strndup(options->control, strcspn(options->control, ":"));
    listeners->control_port = (guint16) atoi(strchr(options->control, ':') + 1);
    return listeners;
}

void listeners_free(Listeners *listeners)
{
    if (listeners->control != NULL)
        http_server_free(listeners->control);
    for (guint i = 0; i < listeners->n_hosts; i++) {
        listeners_pause(listeners, i);
        g_free(listeners->hosts[i].address);
    }
    pthread_mutex_destroy(&listeners->mutex);
    g_free(listeners->hosts);
    g_free(listeners->control_address);
    g_free(listeners);
}

const char *listeners_address(Listeners *listeners, guint host)
{
    return listeners->hosts[host].address;
}

int listeners_number(Listeners *listeners, const char *address)
{
    for (guint i = 0; i < listeners->n_hosts; i++)
        if (strcmp(listeners->hosts[i].address, address) == 0)
            return (int) i;
    return -1;
}

static guint16 listen_at(HttpServer *server, const char *address, guint16 port, bool tls,
                         GError **error)
{
    g_autofree char *text = g_strdup_printf("%s:%u", address, port);
    return http_server_listen(server, text, tls, error);
}

/* The first host to listen chooses the ports; the others, and all later starts, take the same. */
static bool host_listen(Listeners *listeners, HttpServer *server, const char *address,
                        GError **error)
{
    bool tls = sim_options(listeners->sim)->cert_file != NULL;
    guint16 port = listen_at(server, address, listeners->port, false, error);
    guint16 tls_port =
        port == 0 || !tls ? port : listen_at(server, address, listeners->tls_port, true, error);
    if (tls_port == 0)
        return false;
    if (listeners->port == 0)
        listeners->port = port;
    if (tls && listeners->tls_port == 0)
        listeners->tls_port = tls_port;
    return http_server_start(server, error);
}

static bool host_start(Listeners *listeners, Host *host, GError **error)
{
    const SimOptions *options = sim_options(listeners->sim);
    HttpServerConfig config = { .handler = host_serve,
                                .user = host,
                                .cert_file = options->cert_file,
                                .key_file = options->key_file,
                                .max_threads = 1024 };
    if (host->server != NULL)
        return true;
    g_autoptr(HttpServer) server = http_server_new(&config, error);
    if (server == NULL || !host_listen(listeners, server, host->address, error))
        return false;
    host->server = g_steal_pointer(&server);
    return true;
}

bool listeners_resume(Listeners *listeners, guint number, GError **error)
{
    pthread_mutex_lock(&listeners->mutex);
    bool ok = host_start(listeners, &listeners->hosts[number], error);
    pthread_mutex_unlock(&listeners->mutex);
    return ok;
}

void listeners_pause(Listeners *listeners, guint number)
{
    pthread_mutex_lock(&listeners->mutex);
    HttpServer *server = g_steal_pointer(&listeners->hosts[number].server);
    if (server != NULL) {
        http_server_stop(server, 0);
        http_server_free(server);
    }
    pthread_mutex_unlock(&listeners->mutex);
}

static bool control_start(Listeners *listeners, GError **error)
{
    HttpServerConfig config = { .handler = control_entry, .user = listeners->sim };
    listeners->control = http_server_new(&config, error);
    if (listeners->control == NULL)
        return false;
    listeners->control_port = listen_at(listeners->control, listeners->control_address,
                                        listeners->control_port, false, error);
    return listeners->control_port != 0 && http_server_start(listeners->control, error);
}

bool listeners_start(Listeners *listeners, GError **error)
{
    for (guint i = 0; i < listeners->n_hosts; i++)
        if (!listeners_resume(listeners, i, error))
            return false;
    return control_start(listeners, error);
}

char *listeners_url(Listeners *listeners, guint host, bool tls)
{
    return g_strdup_printf("http%s://%s:%u", tls ? "s" : "", listeners->hosts[host].address,
                           tls ? listeners->tls_port : listeners->port);
}

char *listeners_url_at(Listeners *listeners, const char *address)
{
    return strchr(address, ':') ? g_strdup_printf("http://%s/", address)
                                : g_strdup_printf("http://%s:%u/", address, listeners->port);
}

char *listeners_control_url(Listeners *listeners)
{
    return g_strdup_printf("http://%s:%u", listeners->control_address, listeners->control_port);
}
