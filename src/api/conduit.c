/* The pipe is the kernel's: bounded, and told when either end has gone. */
#include "api/conduit.h"
#include "base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIPE_BYTES = 1 << 20, IN = 1, OUT = 0 };

struct Conduit {
    int ends[2];
    ConduitFeed feed;
    void *user;
    GThread *thread;
    GError *failure; /* of the feed; read after the thread has ended */
};

static void *run(void *data)
{
    Conduit *conduit = data;
    conduit->feed(conduit, conduit->user, &conduit->failure);
    close(conduit->ends[IN]);
    return NULL;
}

Conduit *conduit_new(ConduitFeed feed, void *user, GError **error)
{
    Conduit *conduit = g_new0(Conduit, 1);
    if (pipe2(conduit->ends, O_CLOEXEC) < 0) {
        err_set(error, ERR_LIMIT, "no pipe between two transfers: %s", g_strerror(errno));
        g_free(conduit);
        return NULL;
    }
    (void) fcntl(conduit->ends[OUT], F_SETPIPE_SZ, PIPE_BYTES); /* less is only slower */
    conduit->feed = feed;
    conduit->user = user;
    conduit->thread = g_thread_new("conduit", run, conduit);
    return conduit;
}

bool conduit_write(const void *data, size_t n, void *user, GError **error)
{
    Conduit *conduit = user;
    const char *at = data;
    while (n > 0) {
        ssize_t written = write(conduit->ends[IN], at, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0) {
            err_set(error, ERR_CANCELLED, "the other end of the transfer has gone");
            return false;
        }
        at += written;
        n -= (size_t) written;
    }
    return true;
}

static void join(Conduit *conduit)
{
    if (conduit->thread)
        g_thread_join(g_steal_pointer(&conduit->thread));
}

ssize_t conduit_read(void *data, size_t n, void *user, GError **error)
{
    Conduit *conduit = user;
    ssize_t got;
    do
        got = read(conduit->ends[OUT], data, n);
    while (got < 0 && errno == EINTR);
    if (got > 0)
        return got;
    join(conduit);
    if (!conduit->failure)
        return 0;
    g_propagate_error(error, g_error_copy(conduit->failure));
    return -1;
}

void conduit_end(Conduit *conduit)
{
    if (!conduit)
        return;
    close(conduit->ends[OUT]);
    join(conduit);
    g_clear_error(&conduit->failure);
    g_free(conduit);
}
