/* The plug-in that nbdkit loads to serve the simulator's disks: it asks the simulator over a unix
 * socket, and ends nbdkit when the simulator has gone. Knows nothing but nbd_wire.h. */
#include "sim/nbd_wire.h"

#include <errno.h>
#include <glib.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#define THREAD_MODEL NBDKIT_THREAD_MODEL_SERIALIZE_REQUESTS

/* nbdkit gives a plug-in no other place for its configuration. */
static char *socket_path;

typedef struct {
    int fd;
    uint64_t size_bytes;
} Connection;

static int sim_config(const char *key, const char *value)
{
    if (strcmp(key, "socket") != 0) {
        nbdkit_error("unknown parameter %s", key);
        return -1;
    }
    g_free(socket_path);
    socket_path = g_strdup(value);
    return 0;
}

static int sim_config_complete(void)
{
    if (socket_path)
        return 0;
    nbdkit_error("the parameter socket=PATH is needed");
    return -1;
}

static void sim_unload(void)
{
    g_free(socket_path);
}

static int dial(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(socket_path) >= sizeof address.sun_path) {
        nbdkit_error("the path of the socket is too long");
        return -1;
    }
    g_strlcpy(address.sun_path, socket_path, sizeof address.sun_path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &address, sizeof address) < 0) {
        nbdkit_error("connecting to the simulator: %s", strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int send_all(int fd, const void *data, size_t n)
{
    for (const char *at = data; n;) {
        ssize_t done = send(fd, at, n, MSG_NOSIGNAL);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        at += done;
        n -= (size_t) done;
    }
    return 0;
}

static int receive_all(int fd, void *data, size_t n)
{
    for (char *at = data; n;) {
        ssize_t done = recv(fd, at, n, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return -1;
        at += done;
        n -= (size_t) done;
    }
    return 0;
}

/* Holds a connection without a name, which ends only with the simulator. */
static void *watch(void *data)
{
    int fd = (int) (intptr_t) data;
    char byte;
    receive_all(fd, &byte, 1);
    kill(getpid(), SIGTERM);
    return NULL;
}

static int sim_after_fork(void)
{
    pthread_t thread;
    int fd = dial();
    if (fd < 0)
        return -1;
    if (pthread_create(&thread, NULL, watch, (void *) (intptr_t) fd) != 0)
        return -1;
    pthread_detach(thread);
    return 0;
}

static int sim_list_exports(int readonly, int is_tls, struct nbdkit_exports *exports)
{
    nbdkit_error("exports are not listed");
    return -1;
}

static int ask_open(Connection *connection, const char *name)
{
    NbdOpened opened;
    if (send_all(connection->fd, name, strlen(name)) < 0 || send_all(connection->fd, "\n", 1) < 0 ||
        receive_all(connection->fd, &opened, sizeof opened) < 0) {
        nbdkit_error("the simulator does not answer");
        return -1;
    }
    if (opened.status) {
        nbdkit_set_error((int) opened.status);
        nbdkit_error("the simulator refuses the export");
        return -1;
    }
    connection->size_bytes = opened.size_bytes;
    return 0;
}

static void *sim_open(int readonly)
{
    const char *name = nbdkit_export_name();
    if (!name || strchr(name, '\n')) {
        nbdkit_error("no such export");
        return NULL;
    }
    Connection *connection = g_new0(Connection, 1);
    connection->fd = dial();
    if (connection->fd >= 0 && ask_open(connection, name) == 0)
        return connection;
    if (connection->fd >= 0)
        close(connection->fd);
    g_free(connection);
    return NULL;
}

static void sim_close(void *handle)
{
    Connection *connection = handle;
    close(connection->fd);
    g_free(connection);
}

static int64_t sim_get_size(void *handle)
{
    return (int64_t) ((Connection *) handle)->size_bytes;
}

static int sim_can_multi_conn(void *handle)
{
    return 1;
}

static int sim_pread(void *handle, void *buffer, uint32_t n, uint64_t offset, uint32_t flags)
{
    Connection *connection = handle;
    const NbdRead read = { .offset = offset, .n = n };
    uint32_t status = EIO;
    if (send_all(connection->fd, &read, sizeof read) == 0 &&
        receive_all(connection->fd, &status, sizeof status) == 0 && !status &&
        receive_all(connection->fd, buffer, n) == 0)
        return 0;
    nbdkit_set_error(status ? (int) status : EIO);
    nbdkit_error("the simulator does not give %u bytes at %llu", n, (unsigned long long) offset);
    return -1;
}

static struct nbdkit_plugin plugin = {
    .name = "cadenza-sim",
    .longname = "disks of cadenza-sim",
    .config = sim_config,
    .config_complete = sim_config_complete,
    .unload = sim_unload,
    .after_fork = sim_after_fork,
    .list_exports = sim_list_exports,
    .open = sim_open,
    .close = sim_close,
    .get_size = sim_get_size,
    .can_multi_conn = sim_can_multi_conn,
    .pread = sim_pread,
};
struct nbdkit_plugin *plugin_init(void); /* what the macro defines, and clang wants declared */
NBDKIT_REGISTER_PLUGIN(plugin)
