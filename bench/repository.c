/* Points a day apart, each continuing the one before, made without a pool. */
#include "repository.h"

#include "base/error.h"
#include "content.h"

#include <string.h>

#define FIRST_POINT_MS G_GINT64_CONSTANT(1767225600000) /* 2026-01-01 */
#define DAY_MS         (24 * 3600 * 1000)

static gint64 point_ms(unsigned point)
{
    return FIRST_POINT_MS + (gint64) point * DAY_MS;
}

static DiskUid point_uid(unsigned point)
{
    DiskUid uid;
    g_autofree char *text = g_strdup_printf("44444444-4444-4444-8444-%012x", point + 1);
    disk_uid_parse(text, &uid);
    return uid;
}

CatalogDisk *repository_begin(Catalog *catalog, unsigned point, guint64 size_bytes,
                              const char *parent, GError **error)
{
    DiskInfo info = { .size_bytes = size_bytes,
                      .uid = point_uid(point),
                      .timestamp_s = point_ms(point) / 1000 };
    return catalog_disk_begin(catalog, BENCH_VM, BENCH_JOB, BENCH_VDI, point_ms(point), &info,
                              parent, error);
}

bool repository_finish(Catalog *catalog, CatalogDisk *disk, unsigned point, json_t *metadata,
                       GError **error)
{
    guint64 size_bytes;
    if (!catalog_disk_finish(disk, &size_bytes, error))
        return false;
    json_t *whole = metadata ? json_deep_copy(metadata) : json_object();
    json_t *name = json_string("OpaqueRef:bench");
    json_object_update_new(
        whole,
        json_pack("{ss ss ss ss sI sI s{s:s} s{s:b}}", "mode", "delta", "version", "2.0.0", "jobId",
                  BENCH_JOB, "scheduleId", "bench", "timestamp", (json_int_t) point_ms(point),
                  "size", (json_int_t) size_bytes, "vhds", json_string_value(name), disk->path,
                  "isVhdDifferencing", json_string_value(name), point > 0));
    if (!json_object_get(whole, "vm"))
        json_object_set_new(whole, "vm", json_pack("{ss ss}", "uuid", BENCH_VM, "name_label", "x"));
    g_autofree char *path = catalog_commit(catalog, BENCH_VM, point_ms(point), whole, error);
    json_decref(name);
    json_decref(whole);
    return path != NULL;
}

/* Spread over the disk; each delta at other places. */
static guint32 place_of(const RepositoryPlan *plan, unsigned point, guint32 i, guint32 n)
{
    guint64 n_blocks = plan->size_bytes / DISK_BLOCK_BYTES, stride = n_blocks / n;
    return (guint32) ((i * n_blocks / n + point % MAX(stride, 1)) % n_blocks);
}

static bool put_blocks(const RepositoryPlan *plan, CatalogDisk *disk, unsigned point,
                       GError **error)
{
    g_autofree void *data = g_malloc(DISK_BLOCK_BYTES);
    guint32 n = point ? plan->n_delta : plan->n_full;
    for (guint32 i = 0; i < n; i++) {
        guint32 block = place_of(plan, point, i, n);
        content_fill(data, DISK_BLOCK_BYTES, point + 1, block);
        if (!disk_put_block(disk->writer, block, data, error))
            return false;
    }
    return true;
}

bool repository_make(Remote *remote, const RepositoryPlan *plan, GError **error)
{
    g_autoptr(Catalog) catalog = catalog_open(remote, error);
    g_autofree char *parent = NULL;
    for (unsigned point = 0; catalog && point < plan->n_points; point++) {
        g_autoptr(CatalogDisk)
            disk = repository_begin(catalog, point, plan->size_bytes, parent, error);
        if (!disk || !put_blocks(plan, disk, point, error) ||
            !repository_finish(catalog, disk, point, plan->metadata, error))
            return false;
        g_free(parent);
        parent = g_path_get_basename(disk->path);
    }
    return catalog != NULL;
}

char *repository_path(Catalog *catalog, gsize index, GError **error)
{
    json_t *points = catalog_points(catalog, BENCH_VM, NULL, error);
    json_t *point = json_array_get(points, index), *path;
    const char *ref, *found = NULL;
    json_object_foreach (json_object_get(point, "vhds"), ref, path)
        found = json_string_value(path);
    char *copy = g_strdup(found);
    if (points && !copy)
        err_set(error, ERR_NOT_FOUND, "the repository has no point %zu", index);
    json_decref(points);
    return copy;
}
