/* Every operation first asks the plan whether it is its turn to fail, then goes on to the inner
 * place. The bytes and chunks that the place makes are wrapped as well. */
#include "remote/fault.h"

#include "remote/place.h"

#include "base/error.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

typedef struct {
    Place base;
    Remote *inner;
    RemoteFault *plan;
    pthread_mutex_t lock; /* of the plan, while operations run */
} FaultPlace;

typedef struct {
    Bytes base;
    Bytes *inner;
    FaultPlace *place;
} FaultBytes;

typedef struct {
    Chunks base;
    Chunks *inner;
    FaultPlace *place;
} FaultChunks;

static bool is_turn(RemoteFault *plan, const char *verb)
{
    if (plan->verb && strcmp(plan->verb, verb) != 0)
        return false;
    plan->n_seen++;
    return plan->nth && (plan->n_seen == plan->nth || (plan->for_good && plan->n_seen > plan->nth));
}

static bool fails(FaultPlace *place, const char *verb, const char *path, GError **error)
{
    pthread_mutex_lock(&place->lock);
    bool now = !place->plan->flips && is_turn(place->plan, verb);
    int errnum = place->plan->errnum ? place->plan->errnum : EIO;
    unsigned delay_ms = place->plan->delay_ms;
    pthread_mutex_unlock(&place->lock);
    if (now && delay_ms > 0)
        g_usleep(delay_ms * 1000ul);
    else if (now)
        err_set_errno(error, errnum, "%s of \"%s\" (ordered)", verb, path);
    return now && delay_ms == 0;
}

/* What is to be stored instead of the data: a copy with a wrong bit, or NULL. */
static void *flipped(FaultPlace *place, const char *verb, const void *data, gsize n)
{
    pthread_mutex_lock(&place->lock);
    bool now = n && place->plan->flips && is_turn(place->plan, verb);
    guint64 bit = n ? place->plan->flip_bit % (n * 8) : 0;
    pthread_mutex_unlock(&place->lock);
    guint8 *copy = now ? g_memdup2(data, n) : NULL;
    if (copy)
        copy[bit / 8] ^= (guint8) (0x80 >> bit % 8);
    return copy;
}

static bool no_room(FaultPlace *place, gsize n, const char *path, GError **error)
{
    RemoteFault *plan = place->plan;
    pthread_mutex_lock(&place->lock);
    bool full = plan->room_bytes >= 0 && (guint64) plan->room_bytes < n;
    if (plan->room_bytes >= 0)
        plan->room_bytes = full ? 0 : plan->room_bytes - (gint64) n;
    pthread_mutex_unlock(&place->lock);
    if (full)
        err_set_errno(error, ENOSPC, "writing \"%s\"", path);
    return full;
}

#define INNER(place)      (remote_place(((FaultPlace *) (place))->inner))
#define FAILS(verb, path) fails((FaultPlace *) place, verb, path, error)

static GBytes *fault_get(Place *place, const char *path, gsize max, GError **error)
{
    return FAILS("get", path) ? NULL : INNER(place)->ops->get(INNER(place), path, max, error);
}

static bool fault_put(Place *place, const char *path, const void *data, gsize n, RemotePut how,
                      GError **error)
{
    if (FAILS("put", path) || no_room((FaultPlace *) place, n, path, error))
        return false; /* whole or not at all: a torn put would break the contract */
    g_autofree void *wrong = flipped((FaultPlace *) place, "put", data, n);
    return INNER(place)->ops->put(INNER(place), path, wrong ? wrong : data, n, how, error);
}

static GPtrArray *fault_list(Place *place, const char *path, GError **error)
{
    return FAILS("list", path) ? NULL : INNER(place)->ops->list(INNER(place), path, error);
}

static bool fault_stat(Place *place, const char *path, RemoteStat *stat, GError **error)
{
    return !FAILS("stat", path) && INNER(place)->ops->stat(INNER(place), path, stat, error);
}

static bool fault_rename(Place *place, const char *from, const char *to, GError **error)
{
    return !FAILS("rename", from) && INNER(place)->ops->rename(INNER(place), from, to, error);
}

static bool fault_drop(Place *place, const char *path, GError **error)
{
    return !FAILS("drop", path) && INNER(place)->ops->drop(INNER(place), path, error);
}

static bool fault_drop_tree(Place *place, const char *path, GError **error)
{
    return !FAILS("drop_tree", path) && INNER(place)->ops->drop_tree(INNER(place), path, error);
}

static bool fault_make_folder(Place *place, const char *path, unsigned mode, GError **error)
{
    return !FAILS("make_folder", path) &&
           INNER(place)->ops->make_folder(INNER(place), path, mode, error);
}

static bool fault_sync_folder(Place *place, const char *path, GError **error)
{
    return !FAILS("sync_folder", path) && INNER(place)->ops->sync_folder(INNER(place), path, error);
}

static bool fault_space(Place *place, RemoteSpace *space, GError **error)
{
    return !FAILS("space", "") && INNER(place)->ops->space(INNER(place), space, error);
}

/* --- bytes --- */

static gssize fault_bytes_read(Bytes *base, guint64 offset, void *buffer, gsize n, GError **error)
{
    FaultBytes *bytes = (FaultBytes *) base;
    return fails(bytes->place, "bytes.read", "", error)
               ? -1
               : bytes->inner->ops->read(bytes->inner, offset, buffer, n, error);
}

static bool fault_bytes_write(Bytes *base, guint64 offset, const void *data, gsize n,
                              GError **error)
{
    FaultBytes *bytes = (FaultBytes *) base;
    if (!fails(bytes->place, "bytes.write", "", error) && !no_room(bytes->place, n, "", error)) {
        g_autofree void *wrong = flipped(bytes->place, "bytes.write", data, n);
        return bytes->inner->ops->write(bytes->inner, offset, wrong ? wrong : data, n, error);
    }
    if (bytes->place->plan->torn)
        bytes->inner->ops->write(bytes->inner, offset, data, n / 2, NULL);
    return false;
}

static bool fault_bytes_resize(Bytes *base, guint64 size, GError **error)
{
    FaultBytes *bytes = (FaultBytes *) base;
    return !fails(bytes->place, "bytes.resize", "", error) &&
           bytes->inner->ops->resize(bytes->inner, size, error);
}

static gint64 fault_bytes_size(Bytes *base, GError **error)
{
    FaultBytes *bytes = (FaultBytes *) base;
    return bytes->inner->ops->size(bytes->inner, error);
}

static bool fault_bytes_sync(Bytes *base, GError **error)
{
    FaultBytes *bytes = (FaultBytes *) base;
    return !fails(bytes->place, "bytes.sync", "", error) &&
           bytes->inner->ops->sync(bytes->inner, error);
}

static void fault_bytes_close(Bytes *base)
{
    FaultBytes *bytes = (FaultBytes *) base;
    bytes->inner->ops->close(bytes->inner);
    g_free(bytes);
}

static const struct bytes_ops fault_bytes_ops = {
    fault_bytes_read, fault_bytes_write, fault_bytes_resize,
    fault_bytes_size, fault_bytes_sync,  fault_bytes_close,
};

static Bytes *fault_bytes(Place *place, const char *path, RemoteMode mode, GError **error)
{
    Bytes *inner = FAILS("bytes", path) ? NULL
                                        : INNER(place)->ops->bytes(INNER(place), path, mode, error);
    if (!inner)
        return NULL;
    FaultBytes *bytes = g_new0(FaultBytes, 1);
    *bytes = (FaultBytes){ { &fault_bytes_ops }, inner, (FaultPlace *) place };
    return &bytes->base;
}

/* --- chunks --- */

#define CHUNKS(base)       ((FaultChunks *) (base))
#define CFAILS(verb, name) fails(CHUNKS(base)->place, verb, name, error)

static GBytes *fault_chunks_get(Chunks *base, const char *name, GError **error)
{
    Chunks *inner = CHUNKS(base)->inner;
    return CFAILS("chunks.get", name) ? NULL : inner->ops->get(inner, name, error);
}

static bool fault_chunks_put(Chunks *base, const char *name, const void *data, gsize n,
                             GError **error)
{
    Chunks *inner = CHUNKS(base)->inner;
    if (CFAILS("chunks.put", name) || no_room(CHUNKS(base)->place, n, name, error))
        return false;
    g_autofree void *wrong = flipped(CHUNKS(base)->place, "chunks.put", data, n);
    return inner->ops->put(inner, name, wrong ? wrong : data, n, error);
}

static bool fault_chunks_move(Chunks *base, const char *to_name, Chunks *from, const char *name,
                              GError **error)
{
    Chunks *inner = CHUNKS(base)->inner;
    return !CFAILS("chunks.move", name) &&
           inner->ops->move(inner, to_name, CHUNKS(from)->inner, name, error);
}

static bool fault_chunks_drop(Chunks *base, const char *name, GError **error)
{
    Chunks *inner = CHUNKS(base)->inner;
    return !CFAILS("chunks.drop", name) && inner->ops->drop(inner, name, error);
}

static bool fault_chunks_sync(Chunks *base, GError **error)
{
    Chunks *inner = CHUNKS(base)->inner;
    return !CFAILS("chunks.sync", "") && inner->ops->sync(inner, error);
}

static void fault_chunks_close(Chunks *base)
{
    CHUNKS(base)->inner->ops->close(CHUNKS(base)->inner);
    g_free(base);
}

static const struct chunks_ops fault_chunks_ops = {
    fault_chunks_get,  fault_chunks_put,  fault_chunks_move,
    fault_chunks_drop, fault_chunks_sync, fault_chunks_close,
};

static Chunks *fault_chunks(Place *place, const char *path, GError **error)
{
    Chunks *inner = FAILS("chunks", path) ? NULL
                                          : INNER(place)->ops->chunks(INNER(place), path, error);
    if (!inner)
        return NULL;
    FaultChunks *chunks = g_new0(FaultChunks, 1);
    *chunks = (FaultChunks){ { &fault_chunks_ops }, inner, (FaultPlace *) place };
    return &chunks->base;
}

static void fault_forget(Place *place, const char *path)
{
    if (!fails((FaultPlace *) place, "forget", path, NULL) && INNER(place)->ops->forget)
        INNER(place)->ops->forget(INNER(place), path);
}

static void fault_close(Place *place)
{
    remote_close(((FaultPlace *) place)->inner);
    pthread_mutex_destroy(&((FaultPlace *) place)->lock);
    g_free(place);
}

/* No locks: tests of locks need no faults. */
static const struct remote_ops fault_ops = {
    .type = "fault",
    .close = fault_close,
    .get = fault_get,
    .put = fault_put,
    .list = fault_list,
    .stat = fault_stat,
    .rename = fault_rename,
    .drop = fault_drop,
    .drop_tree = fault_drop_tree,
    .make_folder = fault_make_folder,
    .sync_folder = fault_sync_folder,
    .space = fault_space,
    .bytes = fault_bytes,
    .chunks = fault_chunks,
    .forget = fault_forget,
};

Remote *remote_new_faulty(Remote *inner, RemoteFault *plan)
{
    FaultPlace *place = g_new0(FaultPlace, 1);
    place->base.ops = &fault_ops;
    place->inner = inner;
    place->plan = plan;
    pthread_mutex_init(&place->lock, NULL);
    g_autofree char *name = g_strconcat("faulty ", remote_name(inner), NULL);
    json_t *vhd_directory = remote_option(inner, "useVhdDirectory");
    json_t *options = json_object();
    if (vhd_directory)
        json_object_set_new(options, "useVhdDirectory", vhd_directory);
    Remote *remote = remote_new(&place->base, name, options);
    json_decref(options);
    return remote;
}
