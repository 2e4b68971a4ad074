/* Answers the plug-in: one thread per connection reads questions and writes bytes. */
#include "sim/nbd_parts.h"

#include "base/log.h"
#include "sim/fault.h"
#include "sim/inner.h"
#include "sim/nbd_wire.h"
#include "sim/storage_io.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct NbdSocket {
    Sim *sim;
    int fd, wake_fd;
    GThread *acceptor;
    GMutex mutex;
    GCond changed;
    GHashTable *connections; /* fds, which their threads close */
    guint n_open;            /* exports in use */
};

typedef struct {
    NbdSocket *socket;
    int fd;
    char *vdi, *uuid, *vbd;
    guint64 size_bytes;
} Connection;

/* A disk stays attached for a moment after its last reader has gone. */
enum { DETACH_MS = 300 };

static bool send_all(int fd, const void *data, size_t n)
{
    for (const char *at = data; n;) {
        ssize_t done = send(fd, at, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t) done;
    }
    return true;
}

static bool receive_all(int fd, void *data, size_t n)
{
    for (char *at = data; n;) {
        ssize_t done = recv(fd, at, n, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t) done;
    }
    return true;
}

/* The export name, without its newline; NULL at the end of the connection. */
static char *receive_name(int fd)
{
    g_autoptr(GString) name = g_string_new(NULL);
    for (char c; name->len < NBD_MAX_NAME_BYTES && receive_all(fd, &c, 1);) {
        if (c == '\n')
            return g_string_free(g_steal_pointer(&name), FALSE);
        g_string_append_c(name, c);
    }
    return NULL;
}

/* "/<uuid>?session_id=<ref>" */
static bool parse_name(const char *name, char **uuid, char **session)
{
    static const char key[] = "session_id=";
    const char *question = strchr(name, '?');
    const char *value = question ? strstr(question, key) : NULL;
    if (!value)
        return false;
    name += *name == '/';
    value += sizeof key - 1;
    g_autofree char *text = g_strndup(value, strcspn(value, "&"));
    *session = g_uri_unescape_string(text, NULL);
    *uuid = g_strndup(name, (gsize) (question - name));
    return *session != NULL;
}

/* With the lock; an errno, 0 when it may be read. */
static int find_disk(Connection *connection, const char *uuid, const char *session)
{
    Sim *sim = connection->socket->sim;
    if (!sim_session_check(sim, session, NULL))
        return EACCES;
    const Obj *vdi = obj_find_uuid(sim, "VDI", uuid);
    if (!vdi)
        return ENOENT;
    connection->vdi = g_strdup(obj_ref(vdi));
    connection->uuid = g_strdup(uuid);
    connection->size_bytes = (guint64) obj_int(vdi, "virtual_size");
    return 0;
}

static bool take_place(NbdSocket *socket)
{
    sim_lock(socket->sim);
    guint max = NBD_MAX_CONNECTIONS * obj_count(socket->sim, "host");
    sim_unlock(socket->sim);
    g_mutex_lock(&socket->mutex);
    bool free_place = socket->n_open < max;
    socket->n_open += free_place;
    g_mutex_unlock(&socket->mutex);
    return free_place;
}

static void leave_place(NbdSocket *socket)
{
    g_mutex_lock(&socket->mutex);
    socket->n_open--;
    g_mutex_unlock(&socket->mutex);
}

static int open_export(Connection *connection, const char *name)
{
    g_autofree char *uuid = NULL, *session = NULL;
    g_autoptr(GError) error = NULL;
    Sim *sim = connection->socket->sim;
    if (!parse_name(name, &uuid, &session))
        return ENOENT;
    sim_lock(sim);
    int refused = find_disk(connection, uuid, session);
    sim_unlock(sim);
    if (refused)
        return refused;
    connection->vbd = storage_attach(sim, connection->vdi, false, &error);
    if (!connection->vbd)
        log_info("sim", "nbd export of disk %s: %s", uuid, error->message);
    return connection->vbd ? 0 : EBUSY;
}

static bool answer_read(Connection *connection, FaultStream *fault, const NbdRead *read)
{
    g_autoptr(GError) error = NULL;
    uint32_t status = 0;
    bool fits = read->n <= NBD_MAX_READ_BYTES && read->offset <= connection->size_bytes &&
                read->n <= connection->size_bytes - read->offset;
    g_autofree guint8 *bytes = fits ? g_malloc(read->n) : NULL;
    if (!fits)
        status = EINVAL;
    else if (!storage_read(connection->socket->sim, connection->vdi, read->offset, bytes, read->n,
                           &error))
        status = EIO;
    if (status)
        return send_all(connection->fd, &status, sizeof status);
    if (fault_stream_pass(fault, read->n) < read->n)
        return false;
    return send_all(connection->fd, &status, sizeof status) &&
           send_all(connection->fd, bytes, read->n);
}

static void serve_export(Connection *connection)
{
    g_autoptr(FaultStream)
        fault = fault_stream_open(connection->socket->sim, "nbd", connection->uuid);
    const NbdOpened opened = { .size_bytes = connection->size_bytes };
    if (!send_all(connection->fd, &opened, sizeof opened))
        return;
    NbdRead read;
    while (receive_all(connection->fd, &read, sizeof read) && answer_read(connection, fault, &read))
        ;
}

static void serve(Connection *connection)
{
    g_autofree char *name = receive_name(connection->fd);
    if (!name)
        return;
    NbdOpened refused = { .status = EBUSY };
    if (!take_place(connection->socket)) {
        send_all(connection->fd, &refused, sizeof refused);
        return;
    }
    refused.status = (uint32_t) open_export(connection, name);
    if (refused.status)
        send_all(connection->fd, &refused, sizeof refused);
    else
        serve_export(connection);
    leave_place(connection->socket);
    shutdown(connection->fd, SHUT_RDWR);
    if (connection->vbd)
        storage_detach(connection->socket->sim, connection->vbd, DETACH_MS);
}

static gpointer connection_run(gpointer data)
{
    Connection *connection = data;
    NbdSocket *nbd = connection->socket;
    serve(connection);
    g_mutex_lock(&nbd->mutex);
    g_hash_table_remove(nbd->connections, GINT_TO_POINTER(connection->fd));
    close(connection->fd);
    g_cond_signal(&nbd->changed);
    g_mutex_unlock(&nbd->mutex);
    g_free(connection->vdi);
    g_free(connection->uuid);
    g_free(connection->vbd);
    g_free(connection);
    return NULL;
}

static void take_connection(NbdSocket *socket, int fd)
{
    Connection *connection = g_new0(Connection, 1);
    connection->socket = socket;
    connection->fd = fd;
    g_mutex_lock(&socket->mutex);
    g_hash_table_add(socket->connections, GINT_TO_POINTER(fd));
    g_mutex_unlock(&socket->mutex);
    g_thread_unref(g_thread_new("nbd", connection_run, connection));
}

static gpointer accept_run(gpointer data)
{
    NbdSocket *socket = data;
    struct pollfd polled[] = { { socket->fd, POLLIN, 0 }, { socket->wake_fd, POLLIN, 0 } };
    for (;;) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (polled[1].revents)
            return NULL;
        if (!polled[0].revents)
            continue;
        int fd = accept4(socket->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            take_connection(socket, fd);
    }
}

NbdSocket *nbd_socket_new(Sim *sim, const char *path, GError **error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    g_strlcpy(address.sun_path, path, sizeof address.sun_path);
    if (fd < 0 || strlen(path) >= sizeof address.sun_path ||
        bind(fd, (struct sockaddr *) &address, sizeof address) < 0 || listen(fd, 64) < 0) {
        err_set_errno(error, errno, "listening on %s for nbdkit", path);
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    NbdSocket *nbd = g_new0(NbdSocket, 1);
    nbd->sim = sim;
    nbd->fd = fd;
    nbd->wake_fd = eventfd(0, EFD_CLOEXEC);
    nbd->connections = g_hash_table_new(NULL, NULL);
    g_mutex_init(&nbd->mutex);
    g_cond_init(&nbd->changed);
    nbd->acceptor = g_thread_new("nbd-accept", accept_run, nbd);
    return nbd;
}

void nbd_socket_free(NbdSocket *nbd)
{
    if (!nbd)
        return;
    eventfd_write(nbd->wake_fd, 1);
    g_thread_join(nbd->acceptor);
    g_mutex_lock(&nbd->mutex);
    GHashTableIter iter;
    gpointer fd;
    g_hash_table_iter_init(&iter, nbd->connections);
    while (g_hash_table_iter_next(&iter, &fd, NULL))
        shutdown(GPOINTER_TO_INT(fd), SHUT_RDWR);
    while (g_hash_table_size(nbd->connections))
        g_cond_wait(&nbd->changed, &nbd->mutex);
    g_mutex_unlock(&nbd->mutex);
    close(nbd->fd);
    close(nbd->wake_fd);
    g_hash_table_unref(nbd->connections);
    g_mutex_clear(&nbd->mutex);
    g_cond_clear(&nbd->changed);
    g_free(nbd);
}
