/* cadenza-bench OPERATION NAME=VALUE…: one operation of the data path, measured. Each calls what a
 * worker or a repository worker calls for the same thing. */
#include "content.h"
#include "measure.h"
#include "repository.h"

#include "base/error.h"
#include "base/log.h"
#include "codec/hash.h"
#include "pipe/source.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define MIB (1u << 20)

typedef struct {
    char **words;
    Remote *remote;
    Catalog *catalog;
} Call;

static const char *word(const Call *call, const char *name)
{
    gsize n = strlen(name);
    for (char **at = call->words; *at; at++)
        if (strncmp(*at, name, n) == 0 && (*at)[n] == '=')
            return *at + n + 1;
    return NULL;
}

static guint64 number(const Call *call, const char *name, guint64 otherwise)
{
    const char *text = word(call, name);
    return text ? g_ascii_strtoull(text, NULL, 10) : otherwise;
}

/* --- making what the others read --- */

/* out, mib, format: vhd (a full export) or raw. */
static bool op_disk(Call *call, GError **error)
{
    guint64 size = number(call, "mib", 512) * MIB;
    bool raw = g_strcmp0(word(call, "format"), "raw") == 0;
    g_autofree void *data = g_malloc(DISK_BLOCK_BYTES);
    DiskInfo info = { .size_bytes = size };
    int fd = open(word(call, "out"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        err_set_errno(error, errno, "creating the disk");
        return false;
    }
    Bytes *bytes = bytes_new_fd(fd, "the disk");
    disk_uid_parse("44444444-4444-4444-8444-000000000001", &info.uid);
    g_autoptr(DiskWriter) writer = raw ? NULL : vhd_create(bytes, &info, error);
    bool ok = raw || writer;
    for (guint32 block = 0; ok && block < size / DISK_BLOCK_BYTES; block++) {
        content_fill(data, DISK_BLOCK_BYTES, 1, block);
        ok = raw ? bytes_write(bytes, (guint64) block * DISK_BLOCK_BYTES, data, DISK_BLOCK_BYTES,
                               error)
                 : disk_put_block(writer, block, data, error);
    }
    guint64 stored_bytes;
    ok = ok && (raw || disk_finish(writer, &stored_bytes, error));
    if (raw)
        bytes_close(bytes);
    return ok;
}

/* remote, points, mib, full, delta (MiB of blocks), metadata (a file). */
static bool op_repository(Call *call, GError **error)
{
    RepositoryPlan plan = {
        .size_bytes = number(call, "mib", 512) * MIB,
        .n_points = (unsigned) number(call, "points", 1),
    };
    plan.n_full =
        (guint32) (number(call, "full", number(call, "mib", 512)) * MIB / DISK_BLOCK_BYTES);
    plan.n_delta = (guint32) (number(call, "delta", 32) * MIB / DISK_BLOCK_BYTES);
    if (word(call, "metadata"))
        plan.metadata = json_load_file(word(call, "metadata"), 0, NULL);
    bool ok = repository_make(call->remote, &plan, error);
    json_decref(plan.metadata);
    return ok;
}

/* --- what is measured --- */

/* remote, pool, mib, nbd (connections, 0: the VHD export): one disk from a pool to a point. */
static bool op_backup(Call *call, GError **error)
{
    XapiConfig config = {
        .host = word(call, "pool"), .username = "root", .password = "bench", .trust = HTTP_TRUST_ANY
    };
    g_autoptr(Xapi) xapi = xapi_new(&config);
    g_autoptr(GPtrArray) notes = g_ptr_array_new_with_free_func(g_free);
    guint64 size = number(call, "mib", 512) * MIB, n_bytes;
    SourceRequest request = { .xapi = xapi,
                              .vdi = "OpaqueRef:disk",
                              .size_bytes = size,
                              .prefer_nbd = number(call, "nbd", 0) > 0,
                              .n_connections = (unsigned) number(call, "nbd", 0) };
    if (!xapi_login(xapi, error))
        return false;
    Measure measure;
    measure_begin(&measure);
    g_autoptr(Source) source = source_open(&request, notes, error);
    for (guint i = 0; i < notes->len; i++)
        fprintf(stderr, "%s\n", (char *) notes->pdata[i]);
    g_autoptr(CatalogDisk) disk = source ? repository_begin(call->catalog, 0, size, NULL, error)
                                         : NULL;
    PipeEnd end = { .writer = disk ? disk->writer : NULL };
    PipeOptions options = { 0 };
    bool ok = disk && pipe_run(source, &end, 1, &options, &n_bytes, error) &&
              repository_finish(call->catalog, disk, 0, NULL, error);
    g_clear_error(&end.error);
    if (ok)
        measure_end(&measure, n_bytes, 1);
    return ok;
}

/* remote: what retention does after points were deleted; with nothing to do, a check. */
static bool op_clean(Call *call, GError **error)
{
    bool merge = number(call, "merge", 0);
    guint64 n_merges = 0;
    Measure measure;
    measure_begin(&measure);
    g_autoptr(GPtrArray) vms = catalog_vms(call->catalog, error);
    for (guint i = 0; vms && i < vms->len; i++) {
        CatalogCleaned cleaned;
        bool ok = catalog_clean(call->catalog, vms->pdata[i], merge, true, &cleaned, error);
        gsize n_warnings = json_array_size(cleaned.warnings);
        json_decref(cleaned.warnings);
        if (ok && n_warnings)
            err_set(error, ERR_STATE, "%zu warnings", n_warnings);
        if (!ok || n_warnings)
            return false;
        n_merges += cleaned.n_merges;
    }
    if (vms)
        measure_end(&measure, number(call, "mib", 0) * MIB, merge ? n_merges : vms->len);
    return vms != NULL;
}

/* remote, point: as the VHD stream that a restore sends. */
static bool op_read(Call *call, GError **error)
{
    enum { SEND_BYTES = 256 << 10 };
    g_autofree void *buffer = g_malloc(SEND_BYTES);
    g_autofree char *path = repository_path(call->catalog, number(call, "point", 0), error);
    if (!path)
        return false;
    Measure measure;
    measure_begin(&measure);
    g_autoptr(Disk) disk = catalog_disk_open(call->catalog, BENCH_VM, path, error);
    if (!disk)
        return false;
    g_autoptr(VhdEmit) emit = vhd_emit_new(disk, NULL);
    gssize n;
    while ((n = vhd_emit_read(emit, buffer, SEND_BYTES, error)) > 0)
        ;
    if (n == 0)
        measure_end(&measure, (guint64) disk_n_present(disk) * DISK_BLOCK_BYTES, 1);
    return n == 0;
}

/* remote, point, reads: 4 KiB each at random places. */
static bool op_random(Call *call, GError **error)
{
    guint64 n_reads = number(call, "reads", 500);
    guint32 dice = 12345;
    char page[4096];
    g_autofree char *path = repository_path(call->catalog, number(call, "point", 0), error);
    g_autoptr(Disk) disk = path ? catalog_disk_open(call->catalog, BENCH_VM, path, error) : NULL;
    if (!disk)
        return false;
    Measure measure;
    measure_begin(&measure);
    for (guint64 i = 0; i < n_reads; i++) {
        dice = (dice * 1103515245u + 12345u) & 0x7fffffffu;
        guint64 at = dice % (disk->info.size_bytes / sizeof page) * sizeof page;
        if (!disk_read(disk, at, page, sizeof page, error))
            return false;
    }
    measure_end(&measure, 0, n_reads);
    return true;
}

/* remote, views: all points of all VMs, or what the API shows of them, by our index. */
static bool op_list(Call *call, GError **error)
{
    guint64 n_points = 0;
    Measure measure;
    measure_begin(&measure);
    g_autoptr(GPtrArray) vms = catalog_vms(call->catalog, error);
    for (guint i = 0; vms && i < vms->len; i++) {
        json_t *problems = NULL;
        json_t *points =
            number(call, "views", 0)
                ? catalog_views(call->catalog, vms->pdata[i], "bench", &problems, error)
                : catalog_points(call->catalog, vms->pdata[i], NULL, error);
        json_decref(problems);
        if (!points)
            return false;
        n_points += json_array_size(points);
        json_decref(points);
    }
    if (vms)
        measure_end(&measure, 0, n_points);
    return vms != NULL;
}

/* What arrives in pieces of a TLS record, into the buffers of a pipe; with `hash`, each block is
 * hashed as a writer does it. */
static void arrive(guint32 n_blocks, bool hash)
{
    enum { N_BUFFERS = 4, PIECE_BYTES = 16 << 10 };
    g_autofree guint8 *buffers = g_malloc0((gsize) N_BUFFERS * DISK_BLOCK_BYTES);
    g_autofree guint8 *piece = g_malloc(PIECE_BYTES);
    g_autoptr(Hash) state = hash_new(HASH_XXH3);
    memset(piece, 0x5a, PIECE_BYTES);
    for (guint32 block = 0; block < n_blocks; block++) {
        guint8 *buffer = buffers + (gsize) (block % N_BUFFERS) * DISK_BLOCK_BYTES;
        guint8 digest[HASH_MAX_BYTES];
        for (gsize at = 0; at < DISK_BLOCK_BYTES; at += PIECE_BYTES)
            memcpy(buffer + at, piece, PIECE_BYTES);
        if (hash)
            hash_add(state, buffer, DISK_BLOCK_BYTES);
        if (hash)
            hash_end(state, digest);
    }
}

/* mib, hash (0: the same without it). */
static bool op_hash(Call *call, GError **error)
{
    guint64 n_bytes = number(call, "mib", 512) * MIB;
    Measure measure;
    measure_begin(&measure);
    arrive((guint32) (n_bytes / DISK_BLOCK_BYTES), number(call, "hash", 1));
    measure_end(&measure, n_bytes, 1);
    return true;
}

static const struct {
    const char *name;
    bool (*run)(Call *call, GError **error);
} operations[] = {
    { "disk", op_disk },     { "repository", op_repository },
    { "backup", op_backup }, { "clean", op_clean },
    { "read", op_read },     { "random", op_random },
    { "list", op_list },     { "hash", op_hash },
};

static bool run(Call *call, const char *name, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(operations); i++) {
        if (strcmp(operations[i].name, name) != 0)
            continue;
        if (word(call, "remote")) {
            call->remote = remote_open(word(call, "remote"), error);
            call->catalog = call->remote ? catalog_open(call->remote, error) : NULL;
            if (!call->catalog)
                return false;
        }
        return operations[i].run(call, error);
    }
    err_set(error, ERR_INVALID, "no operation %s", name);
    return false;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    if (argc < 2) {
        fprintf(stderr, "usage: cadenza-bench OPERATION NAME=VALUE…\n");
        return 2;
    }
    mallopt(M_ARENA_MAX, 2); /* as cmd/server.c does for a worker */
    mallopt(M_MMAP_THRESHOLD, 8 << 20);
    mallopt(M_TRIM_THRESHOLD, 8 << 20);
    Call call = { .words = argv + 2 };
    bool ok = run(&call, argv[1], &error);
    catalog_close(call.catalog);
    remote_close(call.remote);
    if (!ok)
        fprintf(stderr, "%s: %s\n", argv[1], error->message);
    return !ok;
}
