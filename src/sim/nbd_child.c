/* The nbdkit processes: one per address, started with a socket that already listens, so that nobody
 * has to wait for them.
 *
 * They are started by one thread that lives as long as the simulator, because the kernel ties
 * --exit-with-parent to the thread that made the child. */
#include "sim/nbd_parts.h"

#include "base/log.h"
#include "http/certificate.h"
#include "sim/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLUGIN "cadenza_sim_nbd.so"

typedef struct {
    char *address;
    bool tls;
    guint16 port;
    GSubprocess *process;
} Child;

/* What a caller wants of the thread. */
typedef struct {
    const char *address;
    bool tls, done;
    guint16 port;
    GError **error;
} Order;

struct NbdChildren {
    Sim *sim;
    char *folder, *socket, *cert_file;
    GPtrArray *children; /* of the thread alone */
    GThread *thread;
    GMutex mutex;
    GCond changed;
    Order *order; /* to be done */
    bool stopped;
};

static void child_free(gpointer data)
{
    Child *child = data;
    if (child->process) {
        g_subprocess_force_exit(child->process);
        g_subprocess_wait(child->process, NULL, NULL);
        g_object_unref(child->process);
    }
    g_free(child->address);
    g_free(child);
}

/* --- Starting --- */

/* Beside the program, where it is installed, or in a folder of the build. */
static char *plugin_path(void)
{
    static const char *const places[] = { ".", "../sim", "../../src/sim", "../lib/cadenza",
                                          "../src/sim" };
    g_autofree char *program = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = program ? g_path_get_dirname(program) : g_strdup(".");
    const char *given = g_getenv("CADENZA_NBD_PLUGIN");
    if (given)
        return g_strdup(given);
    for (guint i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_build_filename(folder, places[i], PLUGIN, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_REGULAR))
            return g_steal_pointer(&path);
    }
    return NULL;
}

static int listen_at(const char *address, guint16 *port, GError **error)
{
    struct sockaddr_in name = { .sin_family = AF_INET };
    socklen_t n = sizeof name;
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    name.sin_port = htons(*port);
    if (fd >= 0 && inet_pton(AF_INET, address, &name.sin_addr) == 1 &&
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (struct sockaddr *) &name, sizeof name) == 0 && listen(fd, 64) == 0 &&
        getsockname(fd, (struct sockaddr *) &name, &n) == 0) {
        *port = ntohs(name.sin_port);
        return fd;
    }
    err_set_errno(error, errno, "listening on %s:%u for NBD", address, *port);
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool copy_file(const char *from, const char *folder, const char *name, GError **error)
{
    g_autofree char *text = NULL, *path = g_build_filename(folder, name, NULL);
    gsize n;
    return g_file_get_contents(from, &text, &n, error) &&
           g_file_set_contents_full(path, text, (gssize) n, G_FILE_SET_CONTENTS_NONE, 0600, error);
}

/* The names under which nbdkit looks for certificates. */
static bool make_certificates(NbdChildren *children, GError **error)
{
    const SimOptions *options = sim_options(children->sim);
    g_autofree char *key = g_build_filename(children->folder, "server-key.pem", NULL);
    if (g_file_test(children->cert_file, G_FILE_TEST_EXISTS))
        return true;
    bool ok = options->cert_file
                  ? copy_file(options->key_file, children->folder, "server-key.pem", error) &&
                        copy_file(options->cert_file, children->folder, "server-cert.pem", error)
                  : http_make_certificate(children->cert_file, key, "cadenza-sim", error);
    return ok && copy_file(children->cert_file, children->folder, "ca-cert.pem", error);
}

/* The shell says which process the socket is for, as systemd does: only it knows the number. */
static GSubprocess *spawn(NbdChildren *children, int fd, bool tls, GError **error)
{
    g_autofree char *plugin = plugin_path();
    g_autofree char *nbdkit = g_find_program_in_path("nbdkit");
    if (!plugin || !nbdkit) {
        err_set(error, ERR_NOT_FOUND, "NBD: %s was not found", nbdkit ? PLUGIN : "nbdkit");
        return NULL;
    }
    g_autofree char *socket = g_strdup_printf("socket=%s", children->socket);
    g_autofree char *certificates = g_strdup_printf("--tls-certificates=%s", children->folder);
    g_autoptr(GPtrArray) argv = g_ptr_array_new();
    const char *head[] = { "sh",
                           "-c",
                           "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"",
                           "sh",
                           nbdkit,
                           "-f",
                           "--exit-with-parent",
                           "--log=null" };
    for (guint i = 0; i < G_N_ELEMENTS(head); i++)
        g_ptr_array_add(argv, (char *) head[i]);
    if (tls) {
        g_ptr_array_add(argv, "--tls=require");
        g_ptr_array_add(argv, certificates);
    }
    g_ptr_array_add(argv, plugin);
    g_ptr_array_add(argv, socket);
    g_ptr_array_add(argv, NULL);
    g_autoptr(GSubprocessLauncher)
        launcher = g_subprocess_launcher_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE);
    g_subprocess_launcher_take_fd(launcher, fd, 3);
    return g_subprocess_launcher_spawnv(launcher, (const char *const *) argv->pdata, error);
}

static Child *start(NbdChildren *children, const char *address, bool tls, GError **error)
{
    guint16 port = sim_options(children->sim)->nbd_port;
    if (tls && !make_certificates(children, error))
        return NULL;
    int fd = listen_at(address, &port, error);
    GSubprocess *process = fd >= 0 ? spawn(children, fd, tls, error) : NULL;
    if (!process)
        return NULL;
    Child *child = g_new0(Child, 1);
    child->address = g_strdup(address);
    child->tls = tls;
    child->port = port;
    child->process = process;
    return child;
}

/* --- The thread --- */

static bool is_running(const Child *child)
{
    return g_subprocess_get_identifier(child->process) != NULL;
}

static guint16 serve(NbdChildren *children, const char *address, bool tls, GError **error)
{
    for (guint i = 0; i < children->children->len; i++) {
        Child *child = children->children->pdata[i];
        if (strcmp(child->address, address) != 0)
            continue;
        if (child->tls == tls && is_running(child))
            return child->port;
        g_ptr_array_remove_index_fast(children->children, i);
        break;
    }
    Child *child = start(children, address, tls, error);
    if (!child)
        return 0;
    g_ptr_array_add(children->children, child);
    log_info("sim", "nbd: %s:%u, %s TLS", address, child->port, tls ? "with" : "without");
    return child->port;
}

static gpointer run(gpointer data)
{
    NbdChildren *children = data;
    g_mutex_lock(&children->mutex);
    while (!children->stopped) {
        Order *order = children->order;
        if (!order || order->done) {
            g_cond_wait(&children->changed, &children->mutex);
            continue;
        }
        g_mutex_unlock(&children->mutex);
        order->port = serve(children, order->address, order->tls, order->error);
        g_mutex_lock(&children->mutex);
        order->done = true;
        g_cond_broadcast(&children->changed);
    }
    g_mutex_unlock(&children->mutex);
    g_ptr_array_set_size(children->children, 0);
    return NULL;
}

guint16 nbd_children_serve(NbdChildren *children, const char *address, bool tls, GError **error)
{
    Order order = { .address = address, .tls = tls, .error = error };
    g_mutex_lock(&children->mutex);
    while (children->order)
        g_cond_wait(&children->changed, &children->mutex);
    children->order = &order;
    g_cond_broadcast(&children->changed);
    while (!order.done)
        g_cond_wait(&children->changed, &children->mutex);
    children->order = NULL;
    g_cond_broadcast(&children->changed);
    g_mutex_unlock(&children->mutex);
    return order.port;
}

const char *nbd_children_cert_file(const NbdChildren *children)
{
    return children->cert_file;
}

NbdChildren *nbd_children_new(Sim *sim, const char *folder, const char *socket)
{
    NbdChildren *children = g_new0(NbdChildren, 1);
    children->sim = sim;
    children->folder = g_strdup(folder);
    children->socket = g_strdup(socket);
    children->cert_file = g_build_filename(folder, "server-cert.pem", NULL);
    children->children = g_ptr_array_new_with_free_func(child_free);
    g_mutex_init(&children->mutex);
    g_cond_init(&children->changed);
    children->thread = g_thread_new("nbd-children", run, children);
    return children;
}

void nbd_children_free(NbdChildren *children)
{
    if (!children)
        return;
    g_mutex_lock(&children->mutex);
    children->stopped = true;
    g_cond_broadcast(&children->changed);
    g_mutex_unlock(&children->mutex);
    g_thread_join(children->thread);
    g_ptr_array_unref(children->children);
    g_mutex_clear(&children->mutex);
    g_cond_clear(&children->changed);
    g_free(children->folder);
    g_free(children->socket);
    g_free(children->cert_file);
    g_free(children);
}
