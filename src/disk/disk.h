/* A virtual disk to read: blocks of 2 MiB, each present or not. */
#pragma once

#include "disk/bytes.h"
#include "disk/chunks.h"

#define DISK_BLOCK_BYTES (2u << 20)

typedef struct {
    guint8 bytes[16]; /* raw, in textual order */
} DiskUid;

bool disk_uid_parse(const char *uuid, DiskUid *uid);
char *disk_uid_format(const DiskUid *uid);

typedef struct {
    guint64 size_bytes; /* virtual size */
    guint32 n_blocks;   /* ceil(size / block) */
    DiskUid uid;        /* footer's unique id: the uuid of the snapshot VDI */
    bool differencing;  /* has a parent */
    DiskUid parent_uid;
    char parent_name[256]; /* UTF-8, relative path to the parent ("20260117T020000Z.vhd"), "" if
                              none */
    gint64 timestamp_s;    /* footer's, Unix seconds */
} DiskInfo;

typedef struct Disk Disk;

struct disk_ops {
    /* Whether this member itself holds the block. Never blocks. */
    bool (*has)(Disk *disk, guint32 block);
    /* Reads one whole block (DISK_BLOCK_BYTES; the last one is zero padded). Only for blocks it
     * has. */
    bool (*read_block)(Disk *disk, guint32 block, void *buffer, GError **error);
    void (*close)(Disk *disk);
    /* Part of a block, where that is cheaper than the whole; may be absent. */
    bool (*read_part)(Disk *disk, guint32 block, gsize offset, void *buffer, gsize n,
                      GError **error);
    /* The bytes from *from to `to` of a block, to the same places of a buffer for all of it, where
     * they cannot be had without some that lie before: *from becomes where those begin. Absent: the
     * whole block is read. */
    bool (*read_span)(Disk *disk, guint32 block, void *buffer, gsize *from, gsize to,
                      GError **error);
    /* A block behind DISK_HEAD_BYTES that the disk may use as it likes, which spares it a copy; may
     * be absent. */
    bool (*read_stored)(Disk *disk, guint32 block, void *stored, GError **error);
};
enum { DISK_HEAD_BYTES = 512 };

typedef struct DiskCache DiskCache;
struct Disk {
    const struct disk_ops *ops;
    DiskInfo info;
    DiskCache *cache; /* of disk_read; closing the disk frees it */
};

bool disk_has(Disk *disk, guint32 block);
bool disk_read_block(Disk *disk, guint32 block, void *buffer, GError **error);
/* The same behind DISK_HEAD_BYTES, which are then of any content: cheaper for some disks. */
bool disk_read_stored(Disk *disk, guint32 block, void *stored, GError **error);
/* Any range; blocks it does not have read as zeros. Small reads keep some blocks in memory, at most
 * DISK_CACHE_BLOCKS. */
enum { DISK_CACHE_BLOCKS = 32 };
bool disk_read(Disk *disk, guint64 offset, void *buffer, gsize n, GError **error);
guint32 disk_n_present(Disk *disk);
void disk_close(Disk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Disk, disk_close)

/* A flat VHD in `bytes`, which is taken over (also on failure). CORRUPT, TRUNCATED, UNSUPPORTED. */
Disk *vhd_open(Bytes *bytes, GError **error);
/* The same of a file whose merge was interrupted: the footer at its end is not looked at. */
Disk *vhd_open_merging(Bytes *bytes, GError **error);
/* Of a flat VHD that vhd_open refuses: true when one copy of its footer is damaged or cut off, the
 * other is sound, and so is all between them. *bad: "start" or "end". */
bool vhd_footers_check(Bytes *bytes, const char **bad, GError **error);
/* Then: writes the bad copy anew, durably. */
bool vhd_footers_restore(Bytes *bytes, GError **error);
/* The name of a block of a block directory: "blocks/0/12". */
enum { VHD_NAME_BYTES = 32 };
void vhd_block_name(guint32 block, char name[VHD_NAME_BYTES]);
/* A block directory, taken over (also on failure). */
Disk *vhd_directory_open(Chunks *chunks, GError **error);
/* Its codec ("none", "gzip", "brotli"); NULL for any other disk. */
const char *vhd_directory_codec(Disk *disk);
/* How many blocks its header has room for, which a merge by XO may leave too few; 0 for any other
 * disk. */
guint32 vhd_directory_entries(Disk *disk);
/* Makes that room, durably; content and size stay. */
bool vhd_directory_enlarge(Chunks *chunks, guint32 n_entries, GError **error);
/* Several members as one disk, oldest (root) first; all taken over. The newest that has a block
 * wins, so that the open cost is one flat map and not one call per member. Checks each parent_uid.
 */
Disk *chain_open(Disk **members, unsigned n_members, GError **error);
/* The same while the first n_merging members are being merged (directories only): a block that was
 * already moved from its member is read from the first. */
Disk *chain_open_merging(Disk **members, unsigned n_members, unsigned n_merging, GError **error);

/* --- Writing --- */

typedef struct DiskWriter DiskWriter;

struct disk_writer_ops {
    /* One block, each at most once, in any order. Thread-safe where the maker says so. */
    bool (*put_block)(DiskWriter *writer, guint32 block, const void *data, GError **error);
    /* Index, header, footer, all durable. *stored_bytes as XO counts them (a dynamic VHD's length).
     */
    bool (*finish)(DiskWriter *writer, guint64 *stored_bytes, GError **error);
    /* Frees; an unfinished disk is left to the caller to delete. */
    void (*close)(DiskWriter *writer);
    /* What was put so far is durable when it returns. NULL, as the next: it cannot be continued. */
    bool (*sync)(DiskWriter *writer, GError **error);
    /* Reads a block that was put. */
    bool (*get_block)(DiskWriter *writer, guint32 block, void *buffer, GError **error);
};

struct DiskWriter {
    const struct disk_writer_ops *ops;
    DiskInfo info;
    bool parallel; /* put_block may be called from several threads at once, and gains by it */
};

bool disk_put_block(DiskWriter *writer, guint32 block, const void *data, GError **error);
bool disk_finish(DiskWriter *writer, guint64 *stored_bytes, GError **error);
void disk_writer_close(DiskWriter *writer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DiskWriter, disk_writer_close)

/* A flat VHD into empty `bytes` (taken over); blocks are laid out in the order they come. */
DiskWriter *vhd_create(Bytes *bytes, const DiskInfo *info, GError **error);
/* The same over a file that another process began so, and that holds n of its blocks, in the order
 * in which they were put; what comes after them in the file is forgotten. TRUNCATED when it is
 * shorter. */
DiskWriter *vhd_continue(Bytes *bytes, const DiskInfo *info, const guint32 *blocks, guint32 n,
                         GError **error);
/* A block directory; codec "none", "gzip" or "brotli" (chunk-filters.json). put_block is
 * thread-safe. Taken over. */
DiskWriter *vhd_directory_create(Chunks *chunks, const DiskInfo *info, const char *codec,
                                 GError **error);
/* The same over chunks that another process began, with these blocks in it. */
DiskWriter *vhd_directory_continue(Chunks *chunks, const DiskInfo *info, const char *codec,
                                   const guint32 *blocks, guint32 n, GError **error);

/* --- VHD as a stream (XAPI export and import) --- */

/* Feed it what arrives; it calls block() for every block, in file order. finish() fails unless the
 * footer came after every block of the BAT. */
typedef struct VhdStream VhdStream;
typedef struct {
    /* See also vhd_stream_blocks. */
    bool (*head)(const DiskInfo *info, guint32 n_present, void *user, GError **error);
    bool (*block)(guint32 block, const void *data, void *user, GError **error);
    void *user;
    /* Where the content of the next block shall be put, DISK_BLOCK_BYTES; block() then gets the
     * same place. NULL with an error ends the stream. May be absent: the stream has a place of its
     * own. */
    void *(*room)(guint32 block, void *user, GError **error);
} VhdStreamOps;
VhdStream *vhd_stream_new(const VhdStreamOps *ops);
/* The blocks that will come, in file order, once head() was called; owned by the stream. */
const guint32 *vhd_stream_blocks(const VhdStream *stream, guint32 *n);
/* Where the next bytes will be wanted, and how many of them: fed from there they are not copied.
 * NULL: anywhere. */
void *vhd_stream_room(VhdStream *stream, gsize *n);
bool vhd_stream_feed(VhdStream *stream, const void *data, gsize n, GError **error);
bool vhd_stream_finish(VhdStream *stream, GError **error);
void vhd_stream_free(VhdStream *stream);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VhdStream, vhd_stream_free)

/* A VHD that arrives as a disk: its blocks can be read once each, in ascending order, through
 * read_block alone. `source` gives up to n bytes, 0 at the end, -1 with an error. */
typedef gssize (*DiskSource)(void *data, gsize n, void *user, GError **error);
Disk *vhd_pull_open(DiskSource source, void *user, GError **error);
/* Reads what is left: false unless it was whole. */
bool vhd_pull_finish(Disk *disk, GError **error);

/* The other way: a disk (usually a chain) as a VHD byte stream of a length known beforehand. A
 * differencing type is written when info says so. */
typedef struct VhdEmit VhdEmit;
VhdEmit *vhd_emit_new(Disk *disk, const DiskInfo *info); /* disk not taken over */
guint64 vhd_emit_bytes(const VhdEmit *emit);
/* Up to n bytes; 0 at the end; -1 with an error. */
gssize vhd_emit_read(VhdEmit *emit, void *buffer, gsize n, GError **error);
/* Before the first byte is read: who the footer says made it, at most four letters ("xo  " unless
 * set). Readers differ in which creators' sizes they believe. */
void vhd_emit_set_creator(VhdEmit *emit, const char *creator);
void vhd_emit_free(VhdEmit *emit);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VhdEmit, vhd_emit_free)
