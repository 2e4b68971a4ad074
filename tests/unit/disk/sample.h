/* Disks in memory for the tests of this room. Content of a block: its number and a seed, over and
 * over, so that a block in the wrong place or of the wrong member is seen. */
#pragma once

#include "base/error.h"
#include "disk/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define MIB (1ull << 20)

#define assert_ok(expression)                                                                      \
    do {                                                                                           \
        g_autoptr(GError) why_ = NULL;                                                             \
        GError **e_ = &why_;                                                                       \
        bool ok_ = (expression);                                                                   \
        if (!ok_ || why_)                                                                          \
            fail_msg("%s: %s", #expression, why_ ? why_->message : "false");                       \
    } while (0)

static inline void sample_fill(guint32 *data, guint32 block, guint32 seed)
{
    for (gsize i = 0; i < DISK_BLOCK_BYTES / 4; i++)
        data[i] = (guint32) (i >> 4) ^ block << 20 ^ seed * 2654435761u;
}

static inline DiskUid sample_uid(guint32 seed)
{
    DiskUid uid = { { 0xd1 } };
    memcpy(uid.bytes + 8, &seed, sizeof seed);
    return uid;
}

/* seed 1 is a root, n continues n - 1. */
static inline DiskInfo sample_info(guint64 size_bytes, guint32 seed)
{
    DiskInfo info = { .size_bytes = size_bytes,
                      .uid = sample_uid(seed),
                      .timestamp_s = 1000 + seed };
    if (seed > 1) {
        info.differencing = true;
        info.parent_uid = sample_uid(seed - 1);
        g_snprintf(info.parent_name, sizeof info.parent_name, "%08u.vhd", seed - 1);
    }
    return info;
}

/* Writes the blocks of `list` (ended by -1) and finishes; the writer is closed. */
static inline guint64 sample_write(DiskWriter *writer, guint32 seed, const int *list)
{
    g_autofree guint32 *data = g_malloc(DISK_BLOCK_BYTES);
    guint64 stored = 0;
    for (; *list >= 0; list++) {
        sample_fill(data, *list, seed);
        assert_ok(disk_put_block(writer, *list, data, e_));
    }
    assert_ok(disk_finish(writer, &stored, e_));
    disk_writer_close(writer);
    return stored;
}

/* Block `block` of the disk is that of `seed`; 0: zeros, not there. */
static inline void sample_check(Disk *disk, guint32 block, guint32 seed)
{
    g_autofree guint32 *want = g_malloc0(DISK_BLOCK_BYTES), *have = g_malloc(DISK_BLOCK_BYTES);
    if (seed)
        sample_fill(want, block, seed);
    guint64 start = block * (guint64) DISK_BLOCK_BYTES;
    gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - start);
    assert_int_equal(disk_has(disk, block), seed != 0);
    assert_ok(disk_read(disk, start, have, n, e_));
    if (memcmp(want, have, n))
        fail_msg("block %u is not that of %u: %08x instead of %08x", block, seed, have[0], want[0]);
}

/* Bytes and chunks that outlive the disk using them. */
typedef struct {
    Bytes base;
    Bytes *inner;
} SharedBytes;

static inline gssize shared_read(Bytes *b, guint64 offset, void *buffer, gsize n, GError **error)
{
    return ((SharedBytes *) b)
        ->inner->ops->read(((SharedBytes *) b)->inner, offset, buffer, n, error);
}
static inline bool shared_write(Bytes *b, guint64 offset, const void *data, gsize n, GError **error)
{
    return bytes_write(((SharedBytes *) b)->inner, offset, data, n, error);
}
static inline bool shared_resize(Bytes *b, guint64 size, GError **error)
{
    return bytes_resize(((SharedBytes *) b)->inner, size, error);
}
static inline gint64 shared_size(Bytes *b, GError **error)
{
    return bytes_size(((SharedBytes *) b)->inner, error);
}
static inline bool shared_sync(Bytes *b, GError **error)
{
    return bytes_sync(((SharedBytes *) b)->inner, error);
}
static inline void shared_close(Bytes *b)
{
    g_free(b);
}
static inline Bytes *shared_bytes(Bytes *inner)
{
    static const struct bytes_ops ops = { shared_read, shared_write, shared_resize,
                                          shared_size, shared_sync,  shared_close };
    SharedBytes *shared = g_new0(SharedBytes, 1);
    shared->base.ops = &ops;
    shared->inner = inner;
    return &shared->base;
}

typedef struct {
    Chunks base;
    Chunks *inner;
} SharedChunks;

static inline Chunks *inner_chunks(Chunks *c)
{
    return ((SharedChunks *) c)->inner;
}
static inline GBytes *shared_get(Chunks *c, const char *name, GError **error)
{
    return chunks_get(inner_chunks(c), name, error);
}
static inline bool shared_put(Chunks *c, const char *name, const void *data, gsize n,
                              GError **error)
{
    return chunks_put(inner_chunks(c), name, data, n, error);
}
static inline bool shared_move(Chunks *to, const char *to_name, Chunks *from, const char *name,
                               GError **error)
{
    return chunks_move(inner_chunks(to), to_name, inner_chunks(from), name, error);
}
static inline bool shared_drop(Chunks *c, const char *name, GError **error)
{
    return chunks_drop(inner_chunks(c), name, error);
}
static inline bool shared_chunks_sync(Chunks *c, GError **error)
{
    return chunks_sync(inner_chunks(c), error);
}
static inline void shared_chunks_close(Chunks *c)
{
    g_free(c);
}
static inline Chunks *shared_chunks(Chunks *inner)
{
    static const struct chunks_ops ops = { shared_get,  shared_put,         shared_move,
                                           shared_drop, shared_chunks_sync, shared_chunks_close };
    SharedChunks *shared = g_new0(SharedChunks, 1);
    shared->base.ops = &ops;
    shared->inner = inner;
    return &shared->base;
}
