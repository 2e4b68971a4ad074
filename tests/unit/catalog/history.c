/* The content of a block is a function of its number and of a generation, so that any point can be
 * computed again. */
#include "history.h"

#include "base/error.h"
#include "codec/hash.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define FIRST_TIME_MS G_GINT64_CONSTANT(1795313819673)

static void fill(guint8 *buffer, guint32 block, guint8 generation)
{
    memset(buffer, 0, DISK_BLOCK_BYTES);
    for (gsize at = 0; generation && at < DISK_BLOCK_BYTES; at += 4096) {
        g_snprintf((char *) buffer + at, 64, "block %u generation %u at %zu", block, generation,
                   at);
        buffer[at + 4095] = generation;
    }
}

static guint64 size_of(const History *history)
{
    return (guint64) history->n_blocks * DISK_BLOCK_BYTES - DISK_BLOCK_BYTES / 2;
}

/* The last block is half: what lies past the end is not there. */
static void content(const History *history, guint32 block, guint8 *buffer)
{
    fill(buffer, block, history->now[block]);
    if (block == history->n_blocks - 1)
        memset(buffer + DISK_BLOCK_BYTES / 2, 0, DISK_BLOCK_BYTES / 2);
}

static char *sum_of(const History *history)
{
    g_autoptr(Hash) sum = hash_new(HASH_XXH3);
    g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
    for (guint32 block = 0; block < history->n_blocks; block++) {
        content(history, block, buffer);
        hash_add(sum, buffer,
                 block == history->n_blocks - 1 ? DISK_BLOCK_BYTES / 2 : DISK_BLOCK_BYTES);
    }
    return hash_end_hex(sum);
}

History *history_new(const char *options, guint32 n_blocks)
{
    History *history = g_new0(History, 1);
    history->repo = repo_new(options);
    history->n_blocks = n_blocks;
    return history;
}

void history_free(History *history)
{
    repo_free(history->repo);
    for (unsigned i = 0; i < history->n_points; i++) {
        g_free(history->paths[i]);
        g_free(history->disks[i]);
        g_free(history->sums[i]);
    }
    g_free(history->last_name);
    g_free(history);
}

static DiskUid uid_of(unsigned point)
{
    DiskUid uid = { { 0xaa, 0xbb, [6] = 0x40, [8] = 0x80, [15] = (guint8) (point + 1) } };
    return uid;
}

static json_t *metadata(const History *history, gint64 time_ms, const char *disk, bool differencing,
                        guint64 size)
{
    return json_pack(
        "{s:{s:b},s:s,s:s,s:s,s:I,s:s,s:{},s:{s:{s:s,s:s}},s:{s:s},s:{s:s,s:s},s:{s:s},s:[],s:I}",
        "isVhdDifferencing", "OpaqueRef:1", differencing, "jobId", HISTORY_JOB, "scheduleId", "s",
        "mode", "delta", "timestamp", (json_int_t) time_ms, "version", "2.0.0", "vbds", "vdis",
        "OpaqueRef:1", "uuid", "u", "name_label", "disk", "vhds", "OpaqueRef:1", disk, "vm", "uuid",
        HISTORY_VM, "name_label", "vm", "vmSnapshot", "suspend_VDI", "OpaqueRef:NULL", "tags",
        "size", (json_int_t) size);
}

static bool writes(const History *history, guint32 block, const char *changed, bool full)
{
    return strchr(changed, (int) ('0' + block)) || (full && history->now[block]);
}

void history_add(History *history, const char *changed, bool full, guint32 n_blocks)
{
    GError *error = NULL;
    unsigned at = history->n_points;
    gint64 time_ms = FIRST_TIME_MS + at * 60000;
    g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
    history->n_blocks = MAX(n_blocks, history->n_blocks);
    for (guint32 block = 0; block < history->n_blocks; block++)
        if (strchr(changed, (int) ('0' + block)))
            history->now[block] = (guint8) (at + 1);
    DiskInfo info = { .size_bytes = size_of(history),
                      .n_blocks = history->n_blocks,
                      .uid = uid_of(at),
                      .timestamp_s = time_ms / 1000 };
    g_autoptr(CatalogDisk)
        disk = catalog_disk_begin(history->repo->catalog, HISTORY_VM, HISTORY_JOB, HISTORY_VDI,
                                  time_ms, &info, full ? NULL : history->last_name, &error);
    if (!disk)
        fail_msg("%s", error->message);
    for (guint32 block = 0; block < history->n_blocks; block++)
        if (writes(history, block, changed, full)) {
            content(history, block, buffer);
            assert_true(disk_put_block(disk->writer, block, buffer, NULL));
        }
    guint64 size;
    if (!catalog_disk_finish(disk, &size, &error))
        fail_msg("%s", error->message);
    json_t *document = metadata(history, time_ms, disk->path, !full, size);
    history->paths[at] =
        catalog_commit(history->repo->catalog, HISTORY_VM, time_ms, document, &error);
    if (!history->paths[at])
        fail_msg("%s", error->message);
    history->disks[at] = g_strdup(disk->path);
    history->sums[at] = sum_of(history);
    g_free(history->last_name);
    history->last_name = g_path_get_basename(disk->path);
    history->n_points++;
    json_decref(document);
}

char *disk_sum(Disk *disk)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Hash) sum = hash_new(HASH_XXH3);
    g_autofree void *buffer = g_malloc(DISK_BLOCK_BYTES);
    for (guint64 at = 0; at < disk->info.size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - at);
        if (!disk_read(disk, at, buffer, n, &error))
            fail_msg("%s", error->message);
        hash_add(sum, buffer, n);
    }
    return hash_end_hex(sum);
}

static void check_point(History *history, unsigned point)
{
    GError *error = NULL;
    CatalogVerified verified;
    Catalog *catalog = history->repo->catalog;
    g_autoptr(Disk) disk = catalog_disk_open(catalog, HISTORY_VM, history->disks[point], &error);
    if (!disk)
        fail_msg("point %u: %s", point, error->message);
    g_autofree char *sum = disk_sum(disk);
    assert_string_equal(sum, history->sums[point]);
    if (!catalog_verify(catalog, HISTORY_VM, history->disks[point], &verified, &error))
        fail_msg("point %u: %s", point, error->message);
    assert_true(verified.n_verified >= verified.n_blocks && verified.n_blocks > 0);
}

void history_check(History *history, unsigned first, unsigned n)
{
    json_t *problems, *points = catalog_points(history->repo->catalog, HISTORY_VM, &problems, NULL),
                      *point;
    assert_non_null(points);
    assert_int_equal(json_array_size(problems), 0);
    unsigned n_found = 0;
    gsize i;
    for (unsigned at = first; at < history->n_points; at++)
        json_array_foreach (points, i, point) {
            if (strcmp(json_string_value(json_object_get(point, "_filename")),
                       history->paths[at]) != 0)
                continue;
            check_point(history, at);
            n_found++;
        }
    assert_int_equal(n_found, n);
    json_decref(points);
    json_decref(problems);
}

void history_delete(History *history, unsigned point)
{
    const char *paths[] = { history->paths[point], NULL };
    g_autoptr(GError) error = NULL;
    if (!catalog_delete(history->repo->catalog, HISTORY_VM, paths, true, &error))
        fail_msg("%s", error->message);
}

char *history_listing(History *history, const char *folder)
{
    g_autofree char *path =
        g_strjoin("/", "xo-vm-backups", HISTORY_VM, HISTORY_LINEAGE, *folder ? folder : NULL, NULL);
    g_autoptr(GPtrArray) names = remote_list(history->repo->remote, path, NULL);
    if (!names)
        return g_strdup("");
    g_ptr_array_add(names, NULL);
    return g_strjoinv(" ", (char **) names->pdata);
}

void history_metadata(History *history, unsigned point, gint64 *size_bytes, bool *differencing)
{
    json_t *document = catalog_point(history->repo->catalog, history->paths[point], NULL);
    assert_non_null(document);
    *size_bytes = json_integer_value(json_object_get(document, "size"));
    *differencing = json_is_true(
        json_object_get(json_object_get(document, "isVhdDifferencing"), "OpaqueRef:1"));
    json_decref(document);
}

void history_clean(History *history, CatalogCleaned *cleaned)
{
    CatalogCleaned own;
    g_autoptr(GError) error = NULL;
    if (!catalog_clean(history->repo->catalog, HISTORY_VM, true, true, cleaned ? cleaned : &own,
                       &error))
        fail_msg("%s", error->message);
    if (!cleaned)
        json_decref(own.warnings);
}

static int fail_at_hidden(const char *path, const struct stat *info, int type, struct FTW *at)
{
    const char *name = path + at->base;
    if (name[0] == '.' && g_str_has_suffix(name, ".tmp"))
        fail_msg("%s was left", path);
    return 0;
}

void history_no_temporaries(History *history)
{
    if (!catalog_sweep(history->repo->catalog, HISTORY_VM, NULL))
        fail_msg("what all VMs share could not be swept");
    assert_int_equal(nftw(history->repo->folder, fail_at_hidden, 16, FTW_PHYS), 0);
}

void history_check_names(History *history)
{
    for (unsigned i = 0; i < history->n_points; i++) {
        RemoteStat st;
        g_autofree char *disk =
            g_strjoin("/", "xo-vm-backups", HISTORY_VM, history->disks[i], NULL);
        if (remote_stat(history->repo->remote, history->paths[i] + 1, &st, NULL))
            assert_true(remote_stat(history->repo->remote, disk, &st, NULL));
    }
}
