/* The marked blocks of a VDI over NBD, in ascending order, by as many connections as asked for;
 * each reader thread owns one. */
#include "pipe/private.h"

#include "base/error.h"
#include "nbd/nbd.h"

#include <pthread.h>
#include <string.h>

enum { MAX_CANDIDATES = 64, READ_TRIES = 5, RETRY_MS = 1000 };

typedef struct {
    char *address, *export_name, *cert, *subject;
    guint16 port;
} Candidate;

typedef struct {
    Source base;
    Candidate *candidates;
    unsigned n_candidates;
    NbdDisk *connections[PIPE_MAX_READERS];
    guint8 *map;
    guint32 next;         /* the first block not yet given to a reader */
    pthread_mutex_t lock; /* of next */
} NbdSource;

static char *text(json_t *info, const char *name)
{
    const char *value = json_string_value(json_object_get(info, name));
    return value && *value ? g_strdup(value) : NULL;
}

static guint16 port_of(json_t *info)
{
    json_t *port = json_object_get(info, "port");
    gint64 n = json_is_string(port) ? g_ascii_strtoll(json_string_value(port), NULL, 10)
                                    : json_integer_value(port);
    return n > 0 && n <= G_MAXUINT16 ? (guint16) n : 0;
}

static void take_candidates(NbdSource *source, json_t *infos)
{
    unsigned n = MIN(json_array_size(infos), MAX_CANDIDATES);
    unsigned first = n ? g_random_int_range(0, n) : 0; /* spreads the load over the hosts */
    source->candidates = g_new0(Candidate, MAX(n, 1));
    for (unsigned i = 0; i < n; i++) {
        json_t *info = json_array_get(infos, (first + i) % n);
        Candidate *candidate = &source->candidates[source->n_candidates];
        candidate->address = text(info, "address");
        candidate->export_name = text(info, "exportname");
        candidate->cert = text(info, "cert");
        candidate->subject = text(info, "subject");
        candidate->port = port_of(info);
        source->n_candidates++;
    }
}

static NbdDisk *connect_to(NbdSource *source, const Candidate *candidate, GError **error)
{
    NbdTarget target = {
        .address = candidate->address,
        .port = candidate->port,
        .export_name = candidate->export_name,
        .tls = candidate->cert ? NBD_TLS_ALLOW : NBD_TLS_NEVER,
        .cert = candidate->cert,
        .subject = candidate->subject,
        .cancel = source->base.stop,
    };
    if (!target.address || !target.export_name) {
        err_set(error, ERR_PROTOCOL, "the pool named an NBD server without an address");
        return NULL;
    }
    NbdDisk *disk = nbd_open(&target, error);
    if (disk && nbd_size(disk) < source->base.info.size_bytes) {
        err_set(error, ERR_PROTOCOL, "the NBD export is shorter than the VDI");
        g_clear_pointer(&disk, nbd_free);
    }
    return disk;
}

/* The first candidate that answers, from the one that is this connection's turn. */
static NbdDisk *connect_any(NbdSource *source, unsigned index, GError **error)
{
    GError *why = NULL;
    for (unsigned i = 0; i < source->n_candidates; i++) {
        g_clear_error(&why);
        NbdDisk *disk =
            connect_to(source, &source->candidates[(index + i) % source->n_candidates], &why);
        if (disk || cancel_is_set(source->base.stop)) {
            if (!disk)
                g_propagate_error(error, why);
            return disk;
        }
    }
    if (why)
        g_propagate_error(error, why);
    else
        err_set(error, ERR_NOT_FOUND, "no network of the pool allows NBD");
    return NULL;
}

static bool claim(NbdSource *source, guint32 *block)
{
    pthread_mutex_lock(&source->lock);
    while (source->next < source->base.info.n_blocks && !source->map[source->next])
        source->next++;
    *block = source->next;
    bool more = source->next < source->base.info.n_blocks;
    source->next += more;
    pthread_mutex_unlock(&source->lock);
    return more;
}

/* Connects anew when the connection breaks: hosts restart, sessions of NBD servers end. */
static bool read_range(NbdSource *source, unsigned reader, guint64 offset, void *buffer, gsize n,
                       GError **error)
{
    NbdDisk **disk = &source->connections[reader];
    for (unsigned tried = 1;; tried++) {
        GError *why = NULL;
        if (!*disk)
            *disk = connect_any(source, reader, &why);
        if (*disk && nbd_read(*disk, offset, buffer, n, &why))
            return true;
        g_clear_pointer(disk, nbd_free);
        if (tried == READ_TRIES || cancel_is_set(source->base.stop)) {
            g_propagate_error(error, why);
            return false;
        }
        g_clear_error(&why);
        g_usleep(RETRY_MS * 1000);
    }
}

static bool nbd_next(Source *base, unsigned reader, guint32 *block, void *buffer, bool *more,
                     GError **error)
{
    NbdSource *source = (NbdSource *) base;
    *more = claim(source, block);
    if (!*more)
        return true;
    guint64 offset = *block * (guint64) DISK_BLOCK_BYTES;
    gsize n = MIN(DISK_BLOCK_BYTES, base->info.size_bytes - offset);
    memset((char *) buffer + n, 0, DISK_BLOCK_BYTES - n);
    return read_range(source, reader, offset, buffer, n, error);
}

static void nbd_close(Source *base)
{
    NbdSource *source = (NbdSource *) base;
    for (unsigned i = 0; i < PIPE_MAX_READERS; i++)
        nbd_free(source->connections[i]);
    for (unsigned i = 0; i < source->n_candidates; i++) {
        Candidate *candidate = &source->candidates[i];
        g_free(candidate->address);
        g_free(candidate->export_name);
        g_free(candidate->cert);
        g_free(candidate->subject);
    }
    g_free(source->candidates);
    g_free(source->map);
    cancel_unref(base->stop);
    pthread_mutex_destroy(&source->lock);
    g_free(source);
}

static const struct source_ops nbd_ops = { nbd_next, nbd_close };

/* One connection must work; the others are a help. */
static bool connect_all(NbdSource *source, unsigned n, GError **error)
{
    source->connections[0] = connect_any(source, 0, error);
    if (!source->connections[0])
        return false;
    source->base.n_readers = 1;
    for (unsigned i = 1; i < MIN(n, PIPE_MAX_READERS); i++) {
        source->connections[i] = connect_any(source, i, NULL);
        if (!source->connections[i])
            break;
        source->base.n_readers++;
    }
    return true;
}

Source *source_nbd(const SourceRequest *request, json_t *infos, guint8 *map, const char *method,
                   GError **error)
{
    NbdSource *source = g_new0(NbdSource, 1);
    guint32 n_blocks = (guint32) ((request->size_bytes + DISK_BLOCK_BYTES - 1) / DISK_BLOCK_BYTES);
    source->base.ops = &nbd_ops;
    source->base.method = method;
    source->base.stop = cancel_new_under(request->cancel, NULL);
    source->base.info = (DiskInfo){ .size_bytes = request->size_bytes, .n_blocks = n_blocks };
    pthread_mutex_init(&source->lock, NULL);
    take_candidates(source, infos);
    if (!connect_all(source, request->n_connections, error)) {
        source_close(&source->base);
        return NULL;
    }
    source->map = map;
    for (guint32 block = 0; block < n_blocks; block++) {
        map[block] = map[block] && !(request->have && request->have[block]);
        source->base.n_present += map[block];
    }
    return &source->base;
}
