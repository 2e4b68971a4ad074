/* `cadenza repo digest`: the SHA-256 of the whole content of disks. */
#include "cmd/repo_verb.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "codec/hash.h"

#include <glib.h>
#include <string.h>

static char *digest_disk(Repo *repo, json_t *point, const char *path, guint64 *size_bytes,
                         GError **error)
{
    g_autoptr(Disk) disk = catalog_point_disk_open(repo->catalog, point, path, error);
    g_autoptr(Hash) hash = hash_new(HASH_SHA256);
    g_autoptr(BlockBuffer) buffer = block_buffer_take(DISK_BLOCK_BYTES);
    if (!disk)
        return NULL;
    *size_bytes = disk->info.size_bytes;
    for (guint64 at = 0; at < *size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, *size_bytes - at);
        if (!disk_read(disk, at, buffer, n, error))
            return NULL;
        hash_add(hash, buffer, n);
    }
    return hash_end_hex(hash);
}

static json_t *digest_row(Repo *repo, json_t *point, const char *path, json_t *disk)
{
    g_autoptr(GError) error = NULL;
    guint64 size_bytes = 0;
    g_autofree char *sum = digest_disk(repo, point, path, &size_bytes, &error);
    repo->n_problems += !sum;
    if (!sum)
        return json_pack("{s:s,s:s}", "path", path, "error", error->message);
    return json_pack("{s:s,s:s,s:s,s:s,s:I}", "path", path, "sha256", sum, "vdi",
                     repo_text(disk, "vdi"), "name", repo_text(disk, "name"), "size",
                     (json_int_t) size_bytes);
}

static int digest(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    json_t *point = repo_point(repo, repo->words[1], &error), *rows = json_array();
    if (point && repo_is_full(point) && catalog_point_check(point, &error))
        repo_each_archived(repo, point, rows);
    else if (point && !error)
        repo_each_disk(repo, point, digest_row, rows, &error);
    json_decref(point);
    if (!error && json_array_size(rows) == 0)
        err_set(&error, ERR_NOT_FOUND, "%s has no such disk", repo->words[1]);
    if (!error)
        return repo_end_rows(repo, rows);
    json_decref(rows);
    return repo_fail(g_steal_pointer(&error));
}

const struct repo_verb repo_digest = {
    .name = "digest",
    .words = "DIR POINT [DISK]",
    .summary = "SHA-256 of the whole content of disks",
    .min_words = 2,
    .max_words = 3,
    .run = digest,
};
