/* An archive on its way into a repository: hidden until it is whole, durable and read back. */
#include "catalog/archive.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/layout.h"
#include "catalog/readback.h"
#include "codec/hash.h"

#include <string.h>

enum { SAMPLES = 8, BUFFER_BYTES = 1 << 20 };

typedef struct {
    guint64 offset;
    gsize n;
    guint8 hash[HASH_MAX_BYTES];
} Sample;

struct CatalogArchive {
    Catalog *catalog;
    char *temporary, *final; /* from the root of the remote */
    char *path;              /* "./<date>.xva" */
    Bytes *bytes;
    Sample first, last, samples[SAMPLES];
    guint64 n_pieces;
    GRand *random;
    bool finished;
};

static bool refuse_existing(CatalogArchive *archive, GError **error)
{
    g_autoptr(GError) absent = NULL;
    RemoteStat st;
    if (!remote_stat(archive->catalog->remote, archive->final, &st, &absent) &&
        err_is(absent, ERR_NOT_FOUND))
        return true;
    if (absent)
        g_propagate_error(error, g_steal_pointer(&absent));
    else
        err_set(error, ERR_EXISTS, "%s exists: two backups of the same second", archive->final);
    return false;
}

CatalogArchive *catalog_archive_begin(Catalog *catalog, const char *vm, gint64 time_ms,
                                      GError **error)
{
    g_autofree char *date = catalog_date(time_ms), *name = g_strconcat(date, ".xva", NULL);
    g_autofree char *folder = layout_vm(vm, NULL);
    if (!layout_check_name("VM uuid", vm, error) ||
        !remote_make_folder(catalog->remote, folder, error))
        return NULL;
    CatalogArchive *archive = g_new0(CatalogArchive, 1);
    archive->catalog = catalog;
    archive->random = g_rand_new();
    archive->path = g_strconcat("./", name, NULL);
    archive->final = layout_vm(vm, name);
    archive->temporary =
        g_strdup_printf("%s/.%" G_GINT64_FORMAT ".%s", folder, g_get_real_time() / 1000, name);
    if (refuse_existing(archive, error))
        archive->bytes = remote_bytes(catalog->remote, archive->temporary, REMOTE_CREATE, error);
    if (archive->bytes)
        return archive;
    catalog_archive_free(archive);
    return NULL;
}

const char *catalog_archive_path(const CatalogArchive *archive)
{
    return archive->path;
}

static void hash_piece(const void *data, gsize n, guint8 *digest)
{
    g_autoptr(Hash) hash = hash_new(HASH_XXH3);
    hash_add(hash, data, n);
    hash_end(hash, digest);
}

/* The first, the last and some between, each as likely as any other. */
static void remember(CatalogArchive *archive, guint64 offset, const void *data, gsize n)
{
    Sample sample = { .offset = offset, .n = n };
    hash_piece(data, n, sample.hash);
    archive->last = sample;
    if (archive->n_pieces == 0)
        archive->first = sample;
    guint64 at = archive->n_pieces < SAMPLES
                     ? archive->n_pieces
                     : (guint64) (g_rand_double(archive->random) * (double) archive->n_pieces);
    if (at < SAMPLES)
        archive->samples[at] = sample;
    archive->n_pieces++;
}

bool catalog_archive_write(CatalogArchive *archive, guint64 offset, const void *data, gsize n,
                           GError **error)
{
    remember(archive, offset, data, n);
    return bytes_write(archive->bytes, offset, data, n, error);
}

/* --- finish --- */

static bool differs(const CatalogArchive *archive, guint64 offset, GError **error)
{
    err_set(error, ERR_CORRUPT, "%s did not come back as written at offset %" G_GUINT64_FORMAT,
            archive->temporary, offset);
    return false;
}

static bool check_sample(const CatalogArchive *archive, Bytes *stored, const Sample *sample,
                         GError **error)
{
    g_autofree void *buffer = g_malloc(MAX(sample->n, 1));
    guint8 found[HASH_MAX_BYTES] = { 0 };
    if (sample->n == 0)
        return true;
    if (!bytes_read(stored, sample->offset, buffer, sample->n, error))
        return false;
    hash_piece(buffer, sample->n, found);
    return memcmp(found, sample->hash, 16) == 0 || differs(archive, sample->offset, error);
}

static bool check_samples(const CatalogArchive *archive, Bytes *stored, GError **error)
{
    for (guint i = 0; i < SAMPLES; i++)
        if (!check_sample(archive, stored, &archive->samples[i], error))
            return false;
    return check_sample(archive, stored, &archive->first, error) &&
           check_sample(archive, stored, &archive->last, error);
}

static bool check_all(const CatalogArchive *archive, Bytes *stored, guint64 size_bytes,
                      const char *md5, GError **error)
{
    g_autofree void *buffer = g_malloc(BUFFER_BYTES);
    g_autoptr(Hash) hash = hash_new(HASH_MD5);
    for (guint64 at = 0, n; at < size_bytes; at += n) {
        n = MIN(size_bytes - at, BUFFER_BYTES);
        if (!bytes_read(stored, at, buffer, n, error))
            return false;
        hash_add(hash, buffer, n);
    }
    g_autofree char *found = hash_end_hex(hash);
    return strcmp(found, md5) == 0 || differs(archive, 0, error);
}

static bool check_stored(CatalogArchive *archive, guint64 size_bytes, const char *md5,
                         CatalogReadBack how, GError **error)
{
    remote_forget(archive->catalog->remote, archive->temporary);
    g_autoptr(Bytes)
        stored = remote_bytes(archive->catalog->remote, archive->temporary, REMOTE_READ, error);
    gint64 found = stored ? bytes_size(stored, error) : -1;
    if (found < 0)
        return false;
    if ((guint64) found != size_bytes)
        return differs(archive, MIN((guint64) found, size_bytes), error);
    if (how == CATALOG_READ_NONE || MUTANT(archive_not_read_back)) /* mutant: catalog_archive */
        return true;
    return how == CATALOG_READ_ALL ? check_all(archive, stored, size_bytes, md5, error)
                                   : check_samples(archive, stored, error);
}

bool catalog_archive_finish(CatalogArchive *archive, guint64 size_bytes, const char *md5,
                            CatalogReadBack how, GError **error)
{
    Remote *remote = archive->catalog->remote;
    if (!bytes_resize(archive->bytes, size_bytes, error) || !bytes_sync(archive->bytes, error))
        return false;
    g_clear_pointer(&archive->bytes, bytes_close);
    CRASH_POINT(catalog_archive_written);
    if (!check_stored(archive, size_bytes, md5, how, error) || !refuse_existing(archive, error) ||
        !remote_rename(remote, archive->temporary, archive->final, error))
        return false;
    archive->finished = true;
    CRASH_POINT(catalog_archive_named);
    g_autofree char *path = g_strconcat(archive->final, ".checksum", NULL);
    g_autofree char *sum = g_strdup_printf("$1$$%s", md5);
    return remote_put(remote, path, sum, strlen(sum), REMOTE_PUT_OVER, error);
}

void catalog_archive_free(CatalogArchive *archive)
{
    if (!archive)
        return;
    bytes_close(archive->bytes);
    if (archive->temporary && !archive->finished)
        remote_drop(archive->catalog->remote, archive->temporary, NULL);
    g_rand_free(archive->random);
    g_free(archive->temporary);
    g_free(archive->final);
    g_free(archive->path);
    g_free(archive);
}
