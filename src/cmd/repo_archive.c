/* Full backups for `cadenza repo digest`: the archive is read once, from its first byte to its
 * last, and gives a row for each disk in it. */
#include "cmd/repo_verb.h"

#include "base/error.h"
#include "catalog/archive.h"
#include "codec/hash.h"

#include <glib.h>
#include <string.h>

enum { ZERO_BYTES = 1 << 16 };

typedef struct {
    Hash *hash;
    guint64 at;
} DiskSum;

typedef struct {
    GArray *sums; /* DiskSum, by disk */
    const XvaInfo *info;
} Sums;

static void clear_sum(gpointer data)
{
    hash_free(((DiskSum *) data)->hash);
}

static bool see_head(const XvaInfo *info, void *user, GError **error)
{
    Sums *sums = user;
    sums->info = info;
    for (guint i = 0; i < info->disks->len; i++) {
        DiskSum sum = { hash_new(HASH_SHA256), 0 };
        g_array_append_val(sums->sums, sum);
    }
    return true;
}

static void add_zeros(DiskSum *sum, guint64 until)
{
    static const guint8 zeros[ZERO_BYTES];
    for (gsize n; sum->at < until; sum->at += n) {
        n = (gsize) MIN(until - sum->at, ZERO_BYTES);
        hash_add(sum->hash, zeros, n);
    }
}

static bool see_data(guint disk, guint64 offset, const void *data, gsize n, void *user,
                     GError **error)
{
    DiskSum *sum = &g_array_index(((Sums *) user)->sums, DiskSum, disk);
    add_zeros(sum, offset);
    hash_add(sum->hash, data, n);
    sum->at = offset + n;
    return true;
}

static json_t *row_of(const Sums *sums, guint i, const char *path)
{
    const XvaDisk *disk = xva_info_disk(sums->info, i);
    DiskSum *sum = &g_array_index(sums->sums, DiskSum, i);
    add_zeros(sum, disk->size_bytes);
    g_autofree char *hex = hash_end_hex(sum->hash);
    return json_pack("{s:o,s:s,s:s,s:s,s:I}", "path", json_sprintf("%s/%s", path, disk->id),
                     "sha256", hex, "vdi", disk->uuid, "name", disk->name, "size",
                     (json_int_t) disk->size_bytes);
}

static bool read_archive(Repo *repo, json_t *point, Sums *sums, json_t *rows, const char *path,
                         GError **error)
{
    XvaStreamOps ops = { see_head, see_data, sums };
    g_autoptr(CatalogArchiveReader)
        reader = catalog_archive_open(repo->catalog, point, &ops, error);
    if (!reader || !catalog_archive_read_all(reader, error))
        return false;
    for (guint i = 0; i < sums->info->disks->len; i++) {
        json_t *row = row_of(sums, i, path);
        bool wanted = repo->n_words < 3 || strcmp(repo->words[2], repo_text(row, "path")) == 0;
        if (wanted)
            repo_add_row(repo, json_incref(row), rows);
        json_decref(row);
    }
    return true;
}

void repo_each_archived(Repo *repo, json_t *point, json_t *rows)
{
    g_autoptr(GError) error = NULL;
    const char *path = repo_text(point, "xva");
    Sums sums = { g_array_new(FALSE, TRUE, sizeof(DiskSum)), NULL };
    g_array_set_clear_func(sums.sums, clear_sum);
    if (!read_archive(repo, point, &sums, rows, path, &error)) {
        repo->n_problems++;
        repo_add_row(repo, json_pack("{s:s,s:s}", "path", path, "error", error->message), rows);
    }
    g_array_unref(sums.sums);
}

bool repo_is_full(json_t *point)
{
    return strcmp(repo_text(point, "mode"), "full") == 0;
}
