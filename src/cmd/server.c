/* cadenzad: opens the rooms from left to right, serves until a signal, closes them in reverse. */
#include "cmd/server.h"
#include "api/api.h"
#include "base/block_buffer.h"
#include "base/error.h"
#include "cmd/describe.h"
#include "cmd/worker.h"

#include <curl/curl.h>
#include <locale.h>
#include <malloc.h>
#include <stddef.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
    DRAIN_MS = 30000, /* of requests and transfers */
    LEAVE_MS = 2000,  /* of calls that wait for a pool or a repository */
    CONNECT_WAIT_MS = 60000,
};

typedef struct {
    ApiParts parts;
    Bus *bus;
    Gate *gate;
    Schedules *schedules;
    Api *api;
    HttpServer *http;
    GThread *resumer;
    gint stopping;
    GString *urls; /* JSON array of where it listens */
} Server;

/* --- What runs ask of the server --- */

static json_t *connection_of(const char *object_id, void *user, GError **error)
{
    return servers_connection_of(((Server *) user)->parts.servers, object_id, error);
}

static json_t *object(const char *id, void *user)
{
    return servers_object(((Server *) user)->parts.servers, id);
}

static void add_vm(const char *id, const char *type, GBytes *text, void *user)
{
    json_t *vm = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    if (vm)
        json_array_append_new(user, vm);
}

static json_t *vms(void *user)
{
    json_t *list = json_array();
    servers_each(((Server *) user)->parts.servers, "VM", add_vm, list);
    return list;
}

static json_t *remote(const char *id, void *user, GError **error)
{
    return remotes_get(((Server *) user)->parts.remotes, id, error);
}

/* --- Opening --- */

static bool open_state(Server *server, const ServerOptions *options, GError **error)
{
    server->parts.store = store_open(options->data, error);
    if (!server->parts.store)
        return false;
    server->parts.accounts = account_new(server->parts.store);
    account_show_all(server->parts.accounts, options->show_all);
    return true;
}

static bool open_rooms(Server *server, const ServerOptions *options, GError **error)
{
    ApiParts *parts = &server->parts;
    server->bus = bus_new();
    server->gate = gate_new();
    parts->hub = hub_new();
    parts->servers = servers_new(parts->store, parts->hub);
    parts->remotes = remotes_new(parts->store);
    parts->jobs = jobs_new(parts->store, server->bus);
    parts->repositories = repositories_new(NULL);
    parts->downloads = downloads_new();
    parts->pace = pace_new(&options->pace);
    parts->errands = errands_new();
    parts->set_leases = set_leases_new();
    parts->address_leases = address_leases_new();
    parts->duties = duties_new(parts);
    parts->plugins = plugins_new(parts->store, NULL);
    plugins_start(parts->plugins);
    parts->tasks = tasks_new(parts->store);
    parts->host_wait_ms = options->host_wait_ms;
    parts->cloud_drive_ms = (gint64) options->cloud_drive_s * 1000;
    RunsConfig config = { .store = parts->store,
                          .jobs = parts->jobs,
                          .bus = server->bus,
                          .gate = server->gate,
                          .folder = options->data,
                          .ops = { connection_of, object, vms, remote, server } };
    parts->runs = runs_new(&config, error);
    return parts->runs != NULL;
}

/* "http://127.0.0.1:8080" of a listener. */
static void add_url(Server *server, const char *address, guint16 port, bool tls)
{
    const char *colon = strrchr(address, ':');
    g_string_append_printf(
        server->urls, "%s\"%s://%.*s:%u\"", server->urls->len ? "," : "", tls ? "https" : "http",
        (int) (colon ? colon - address : (gssize) strlen(address)), address, port);
}

static bool listen_all(Server *server, const ServerOptions *options, GError **error)
{
    bool tls = !options->insecure_http;
    for (unsigned i = 0; options->listen[i]; i++) {
        guint16 port = http_server_listen(server->http, options->listen[i], tls, error);
        if (!port)
            return false;
        add_url(server, options->listen[i], port, tls);
    }
    for (unsigned i = 0; i < options->n_fds; i++)
        if (!http_server_listen_fd(server->http, options->first_fd + (int) i, tls, error))
            return false;
    return true;
}

static bool open_door(Server *server, const ServerOptions *options, GError **error)
{
    server->api = api_new(&server->parts);
    HttpServerConfig config = options->http;
    config.handler = api_handle;
    config.user = server->api;
    config.cert_file = options->insecure_http ? NULL : options->cert_file;
    config.key_file = options->insecure_http ? NULL : options->key_file;
    config.trusted_proxies = (const char *const *) options->proxies;
    config.allowed_origins = (const char *const *) options->origins;
    server->http = http_server_new(&config, error);
    server->urls = g_string_new(NULL);
    return server->http && listen_all(server, options, error) &&
           http_server_start(server->http, error);
}

/* Runs go on once the pools they need are there, or have failed once. */
static void *resume(void *user)
{
    Server *server = user;
    servers_wait(server->parts.servers, CONNECT_WAIT_MS);
    if (!g_atomic_int_get(&server->stopping))
        runs_resume(server->parts.runs);
    return NULL;
}

static void notify(const char *state)
{
    const char *path = g_getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = path ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0)
        return;
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (address.sun_path[0] == '@')
        address.sun_path[0] = 0;
    socklen_t n = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(path));
    sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *) &address, n);
    close(fd);
}

/* The first line of output is for programs: where to find the server. */
static void say_ready(Server *server, const ServerOptions *options)
{
    g_auto(GStrv) urls = g_strsplit(server->urls->str, ",", 2);
    json_t *data = json_string(options->data);
    g_autofree char *folder = json_dumps(data, JSON_ENCODE_ANY);
    json_decref(data);
    printf("{\"url\":%s,\"urls\":[%s],\"data\":%s,\"pid\":%d}\n", urls[0] ? urls[0] : "null",
           server->urls->str, folder, getpid());
    fflush(stdout);
    log_info("server", "cadenzad %s serves %s", CADENZA_VERSION, server->urls->str);
    notify("READY=1");
}

static bool start(Server *server, const ServerOptions *options, GError **error)
{
    if (!server_first_admin(options, server->parts.accounts, error) ||
        !open_rooms(server, options, error) || !open_door(server, options, error) ||
        !servers_start(server->parts.servers, error) || !duties_start(server->parts.duties, error))
        return false;
    server->resumer = g_thread_new("resume", resume, server);
    server->schedules = schedules_new(server->parts.jobs, server->parts.runs, server->bus);
    say_ready(server, options);
    return true;
}

/* --- Closing, in reverse; parts may be NULL --- */

/* What keeps the end waiting is let go: at first who waits for a pool or a repository, which go on
 * by themselves; as late as requests, transfers. */
typedef struct {
    const Server *server;
    GMutex mutex;
    GCond changed;
    bool ended;
    GThread *thread;
} Leaving;

/* False when the end has come before. */
static bool leaving_pause(Leaving *leaving, gint64 until_us)
{
    g_mutex_lock(&leaving->mutex);
    while (!leaving->ended && g_cond_wait_until(&leaving->changed, &leaving->mutex, until_us))
        ;
    bool ended = leaving->ended;
    g_mutex_unlock(&leaving->mutex);
    return !ended;
}

static void *leave(void *user)
{
    Leaving *leaving = user;
    const ApiParts *parts = &leaving->server->parts;
    gint64 now_us = g_get_monotonic_time();
    if (!leaving_pause(leaving, now_us + LEAVE_MS * 1000))
        return NULL;
    servers_leave(parts->servers, false);
    repositories_leave(parts->repositories);
    if (leaving_pause(leaving, now_us + DRAIN_MS * 1000))
        servers_leave(parts->servers, true);
    return NULL;
}

static void leaving_begin(Leaving *leaving, const Server *server)
{
    leaving->server = server;
    g_mutex_init(&leaving->mutex);
    g_cond_init(&leaving->changed);
    if (server->api)
        leaving->thread = g_thread_new("leave", leave, leaving);
}

static void leaving_end(Leaving *leaving)
{
    g_mutex_lock(&leaving->mutex);
    leaving->ended = true;
    g_cond_signal(&leaving->changed);
    g_mutex_unlock(&leaving->mutex);
    if (leaving->thread)
        g_thread_join(leaving->thread);
    g_mutex_clear(&leaving->mutex);
    g_cond_clear(&leaving->changed);
}

/* Ends everything that calls: schedules, requests, runs, what goes on after an answer. */
static void stop_calls(Server *server)
{
    g_clear_pointer(&server->schedules, schedules_free);
    if (server->resumer)
        g_thread_join(server->resumer);
    if (server->http)
        http_server_stop(server->http, DRAIN_MS);
    if (server->parts.runs)
        runs_stop(server->parts.runs);
    g_clear_pointer(&server->api, api_free);
    g_clear_pointer(&server->parts.errands, errands_free);
    g_clear_pointer(&server->parts.duties, duties_free);
    g_clear_pointer(&server->parts.set_leases, set_leases_free);
    g_clear_pointer(&server->parts.address_leases, address_leases_free);
    g_clear_pointer(&server->parts.plugins, plugins_free);
}

static void stop(Server *server)
{
    Leaving leaving = { 0 };
    notify("STOPPING=1");
    g_atomic_int_set(&server->stopping, 1);
    if (server->parts.servers)
        servers_interrupt(server->parts.servers);
    leaving_begin(&leaving, server);
    stop_calls(server);
    leaving_end(&leaving);
    g_clear_pointer(&server->http, http_server_free);
    g_clear_pointer(&server->parts.downloads, downloads_free); /* they hold connections */
    g_clear_pointer(&server->parts.runs, runs_free);
    g_clear_pointer(&server->parts.repositories, repositories_free);
    g_clear_pointer(&server->parts.jobs, jobs_free);
    g_clear_pointer(&server->parts.servers, servers_free);
    g_clear_pointer(&server->parts.hub, hub_free);
    g_clear_pointer(&server->parts.remotes, remotes_free);
    g_clear_pointer(&server->parts.pace, pace_free);
    g_clear_pointer(&server->gate, gate_free);
    g_clear_pointer(&server->bus, bus_free);
    g_clear_pointer(&server->parts.accounts, account_free);
    g_clear_pointer(&server->parts.tasks, tasks_free);
    g_clear_pointer(&server->parts.store, store_close);
    if (server->urls)
        g_string_free(server->urls, TRUE);
}

/* --- main --- */

static int fail(const GError *error)
{
    log_error("server", "%s", error->message);
    log_error("server", "%s", err_remedy(error));
    return 1;
}

/* Every thread inherits the mask: only wait_for_end takes these signals. */
static void block_signals(sigset_t *signals)
{
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    sigaddset(signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

enum { LOOK_INTERVAL_S = 2, FIRST_LOOK_MS = 300 };

/* When the certificate and its key were written; what changes with either of them. */
static gint64 files_stamp(const ServerOptions *options)
{
    const char *const files[] = { options->cert_file, options->key_file };
    gint64 stamp = 0;
    struct stat info;
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++)
        if (files[i] && stat(files[i], &info) == 0)
            stamp = stamp * 31 + info.st_mtim.tv_sec * G_USEC_PER_SEC +
                    info.st_mtim.tv_nsec / 1000 + (gint64) info.st_ino;
    return stamp;
}

static void read_certificate(Server *server)
{
    g_autoptr(GError) error = NULL;
    if (http_server_reload_certificate(server->http, &error))
        log_info("server", "the certificate was read again");
    else
        log_error("server", "%s; the old certificate stays", error->message);
}

/* SIGHUP, or other files: the certificate was renewed. */
static void wait_for_end(Server *server, const ServerOptions *options, const sigset_t *signals)
{
    struct timespec pause = { .tv_nsec = FIRST_LOOK_MS * 1000000l };
    gint64 stamp = files_stamp(options), now;
    int signal_number = 0;
    while (signal_number <= 0 || signal_number == SIGHUP) {
        signal_number = sigtimedwait(signals, NULL, &pause);
        pause = (struct timespec){ .tv_sec = LOOK_INTERVAL_S };
        account_end_first_admin(server->parts.accounts); /* it was not needed before */
        if (signal_number <= 0)                          /* what is free goes back */
            malloc_trim(0), block_buffers_drop();
        now = files_stamp(options);
        if (!options->insecure_http &&
            (signal_number == SIGHUP || (signal_number <= 0 && now != stamp)))
            read_certificate(server);
        stamp = now;
    }
    log_info("server", "stopping (signal %d)", signal_number);
}

static void raise_limits(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int serve(ServerOptions *options)
{
    g_autoptr(GError) error = NULL;
    sigset_t signals;
    Server server = { 0 };
    block_signals(&signals);
    int status = 0;
    if (!open_state(&server, options, &error))
        return fail(error);
    if (options->reset_admin) {
        status = server_reset_admin(options, server.parts.accounts, &error) ? 0 : fail(error);
    } else if ((options->insecure_http || server_certificate(options, &error)) &&
               start(&server, options, &error)) {
        wait_for_end(&server, options, &signals);
    } else {
        status = fail(error);
    }
    stop(&server);
    return status;
}

/* Memory goes back to the system: few arenas, for glibc otherwise keeps what each of many threads
 * once needed; and texts and blocks mapped on their own, for a record that outlives them would come
 * to lie where they were and hold the page. From 256 KiB on alone, the heap of a busy server grew
 * by 7 % within minutes. */
static void bound_heap(void)
{
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_MMAP_THRESHOLD, 32 << 10);
    mallopt(M_TRIM_THRESHOLD, 1 << 20);
}

/* A worker takes and gives blocks of some MiB all the time: mapping each anew costs more than some
 * codecs do. It ends with its run. */
static void keep_blocks(void)
{
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
}

int main(int argc, char **argv)
{
    bound_heap();
    /* GLib sets error domains up under locks that the thread sanitizer cannot follow: before
     * threads. */
    err_quark();
    setlocale(LC_ALL, "C.UTF-8");
    curl_global_init(CURL_GLOBAL_DEFAULT);
    if (argc > 1 && g_str_equal(argv[1], "worker")) {
        keep_blocks();
        return cmd_worker(argc - 1, argv + 1);
    }
    if (argc > 1 && g_str_equal(argv[1], "repository-worker"))
        return cmd_repository_worker(argc - 1, argv + 1);
    if (argc == 2 && g_str_equal(argv[1], "describe"))
        return cmd_describe();
    g_auto(ServerOptions) options = { 0 };
    int status = server_options_parse(argc, argv, &options);
    if (status >= 0)
        return status;
    umask(0077);
    log_set_level(options.log_level);
    raise_limits();
    return serve(&options);
}
