/* Messages over a stream socket, and errors as JSON. */
#include "run/protocol.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct Channel {
    int fd;
    pthread_mutex_t lock; /* of sending */
};

Channel *channel_new(int fd)
{
    Channel *channel = g_new0(Channel, 1);
    channel->fd = fd;
    pthread_mutex_init(&channel->lock, NULL);
    return channel;
}

void channel_free(Channel *channel)
{
    if (!channel)
        return;
    close(channel->fd);
    pthread_mutex_destroy(&channel->lock);
    g_free(channel);
}

void channel_shut(Channel *channel)
{
    shutdown(channel->fd, SHUT_RDWR);
}

static gint64 now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

/* Waits for the descriptor; deadline 0: for ever. */
static bool wait_ready(int fd, short events, gint64 deadline_ms, GError **error)
{
    for (;;) {
        gint64 left = deadline_ms ? deadline_ms - now_ms() : G_MAXINT;
        struct pollfd poll_fd = { .fd = fd, .events = events };
        int n = left > 0 ? poll(&poll_fd, 1, deadline_ms ? (int) MIN(left, G_MAXINT) : -1) : 0;
        if (n > 0)
            return true;
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            err_set(error, ERR_TIMEOUT, "the process at the other end does not answer");
        else
            err_set_errno(error, errno, "waiting for the process at the other end");
        return false;
    }
}

static bool closed(GError **error)
{
    err_set(error, ERR_TRUNCATED, "the process at the other end has ended");
    return false;
}

static bool send_all(int fd, const guint8 *data, gsize n, gint64 deadline_ms, GError **error)
{
    while (n > 0) {
        ssize_t done = send(fd, data, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (done < 0 && errno == EAGAIN) {
            if (!wait_ready(fd, POLLOUT, deadline_ms, error))
                return false;
            continue;
        }
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return closed(error);
        data += done;
        n -= (gsize) done;
    }
    return true;
}

static bool receive_all(int fd, guint8 *data, gsize n, gint64 deadline_ms, GError **error)
{
    while (n > 0) {
        if (!wait_ready(fd, POLLIN, deadline_ms, error))
            return false;
        ssize_t done = recv(fd, data, n, 0);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return closed(error);
        data += done;
        n -= (gsize) done;
    }
    return true;
}

bool channel_send(Channel *channel, json_t *message, GError **error)
{
    char *text = json_dumps(message, JSON_COMPACT);
    gsize n = text ? strlen(text) : 0;
    json_decref(message);
    if (n == 0 || n > PROTOCOL_MAX_BYTES) {
        free(text);
        err_set(error, ERR_LIMIT, "a message of %zu bytes, at most %d are allowed", n,
                PROTOCOL_MAX_BYTES);
        return false;
    }
    guint32 length = GUINT32_TO_LE((guint32) n);
    gint64 deadline_ms = now_ms() + PROTOCOL_SEND_MS;
    pthread_mutex_lock(&channel->lock);
    bool ok = send_all(channel->fd, (const guint8 *) &length, sizeof length, deadline_ms, error) &&
              send_all(channel->fd, (const guint8 *) text, n, deadline_ms, error);
    pthread_mutex_unlock(&channel->lock);
    free(text);
    return ok;
}

/* The rest of a message that has begun; one that stops in its middle cannot be gone on with. */
static json_t *receive_message(int fd, GError **error)
{
    guint32 length;
    bool impatient = MUTANT(protocol_impatient); /* mutant: run_protocol */
    gint64 deadline_ms = now_ms() + (impatient ? 1 : PROTOCOL_SEND_MS);
    if (!receive_all(fd, (guint8 *) &length, sizeof length, deadline_ms, error))
        return NULL;
    gsize n = GUINT32_FROM_LE(length);
    g_autofree guint8 *data = n > 0 && n <= PROTOCOL_MAX_BYTES ? g_try_malloc(n) : NULL;
    if (!data) {
        err_set(error, ERR_PROTOCOL, "a message of %zu bytes from the process at the other end", n);
        return NULL;
    }
    if (!receive_all(fd, data, n, deadline_ms, error))
        return NULL;
    json_t *message = json_loadb((const char *) data, n, 0, NULL);
    if (json_is_object(message))
        return message;
    json_decref(message);
    err_set(error, ERR_PROTOCOL,
            "a message that is no JSON object from the process at the other end");
    return NULL;
}

/* Only the wait for a message to begin ends with TIMEOUT: half of one must not be lost. */
json_t *channel_receive(Channel *channel, int timeout_ms, GError **error)
{
    g_autoptr(GError) problem = NULL;
    gint64 deadline_ms = timeout_ms < 0 ? 0 : now_ms() + timeout_ms;
    if (!wait_ready(channel->fd, POLLIN, deadline_ms, error))
        return NULL;
    json_t *message = receive_message(channel->fd, &problem);
    if (err_is(problem, ERR_TIMEOUT))
        err_set(error, ERR_PROTOCOL,
                "the process at the other end stopped in the middle of a message");
    else if (problem)
        g_propagate_error(error, g_steal_pointer(&problem));
    return message;
}

/* --- Errors --- */

static const char *const codes[] = {
#define E(code, words, remedy, retry) #code,
#include "base/errors.def"
#undef E
};

json_t *protocol_error(const GError *error)
{
    json_t *detail = json_array();
    const char *const *texts = err_detail(error);
    for (unsigned i = 0; texts && texts[i]; i++)
        json_array_append_new(detail, json_string(texts[i]));
    g_autofree char *message = g_utf8_make_valid(error ? error->message : "unknown error", -1);
    return json_pack("{s:s, s:s, s:o}", "code", err_name(error), "message", message, "detail",
                     detail);
}

void protocol_raise(json_t *json, GError **error)
{
    const char *name = json_string_value(json_object_get(json, "code"));
    const char *message = json_string_value(json_object_get(json, "message"));
    g_autoptr(GPtrArray) detail = g_ptr_array_new();
    ErrCode code = ERR_INTERNAL;
    gsize i;
    json_t *text;
    for (i = 0; name && i < G_N_ELEMENTS(codes); i++)
        if (strcmp(name, codes[i]) == 0)
            code = (ErrCode) i;
    json_array_foreach (json_object_get(json, "detail"), i, text)
        if (json_is_string(text))
            g_ptr_array_add(detail, (char *) json_string_value(text));
    g_ptr_array_add(detail, NULL);
    err_set_detail(error, code, detail->len > 1 ? (const char *const *) detail->pdata : NULL, "%s",
                   message ? message : "unknown error");
}
