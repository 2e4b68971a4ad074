/* An archive of a repository read from its first byte to its last. Its structure and its checksum
 * are looked at on the way, and the end is held back until both are known to be right. */
#include "catalog/archive.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/layout.h"
#include "catalog/metadata.h"
#include "codec/hash.h"

#include <string.h>

enum { BUFFER_BYTES = 1 << 20, SUM_MAX_BYTES = 256 };

struct CatalogArchiveReader {
    Catalog *catalog;
    char *path; /* from the root of the remote */
    Bytes *bytes;
    guint64 size_bytes, at;
    XvaStream *stream;
    Hash *hash; /* NULL: nothing to compare with */
    char *md5;
    bool checked;
};

/* "$1$$<MD5>"; without it, or of another kind, there is nothing to compare with. */
static bool read_sum(CatalogArchiveReader *reader, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *path = g_strconcat(reader->path, ".checksum", NULL);
    g_autoptr(GBytes) content = remote_get(reader->catalog->remote, path, SUM_MAX_BYTES, &why);
    if (!content && !err_is(why, ERR_NOT_FOUND) && !err_is(why, ERR_LIMIT)) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    gsize n = 0;
    const char *data = content ? g_bytes_get_data(content, &n) : NULL;
    g_autofree char *text = g_strndup(data ? data : "", n);
    g_strstrip(text);
    if (g_str_has_prefix(text, "$1$$") && strlen(text) == 4 + 32) {
        reader->md5 = g_strdup(text + 4);
        reader->hash = hash_new(HASH_MD5);
    }
    return true;
}

static bool check_size(const CatalogArchiveReader *reader, json_t *point, GError **error)
{
    json_t *said = json_object_get(point, "size");
    if (!json_is_number(said) || json_number_value(said) == (double) reader->size_bytes)
        return true;
    err_set(error, ERR_CORRUPT, "%s has %" G_GUINT64_FORMAT " bytes where %.0f were written",
            reader->path, reader->size_bytes, json_number_value(said));
    return false;
}

static bool open_bytes(CatalogArchiveReader *reader, json_t *point, GError **error)
{
    g_autofree char *xva = metadata_path(json_object_get(point, "xva"));
    const char *filename = json_string_value(json_object_get(point, "_filename"));
    if (!xva || !filename) {
        err_set(error, ERR_INVALID, "this backup has no archive");
        return false;
    }
    g_autofree char *folder = g_path_get_dirname(filename + (*filename == '/'));
    reader->path = g_strjoin("/", folder, xva, NULL);
    reader->bytes = remote_bytes(reader->catalog->remote, reader->path, REMOTE_READ, error);
    gint64 n = reader->bytes ? bytes_size(reader->bytes, error) : -1;
    reader->size_bytes = (guint64) MAX(n, 0);
    return n >= 0 && check_size(reader, point, error) && read_sum(reader, error);
}

CatalogArchiveReader *catalog_archive_open(Catalog *catalog, json_t *point, const XvaStreamOps *ops,
                                           GError **error)
{
    CatalogArchiveReader *reader = g_new0(CatalogArchiveReader, 1);
    reader->catalog = catalog;
    reader->stream = xva_stream_new(ops);
    if (open_bytes(reader, point, error))
        return reader;
    catalog_archive_close(reader);
    return NULL;
}

guint64 catalog_archive_size(const CatalogArchiveReader *reader)
{
    return reader->size_bytes;
}

/* Once all bytes have been seen. */
static bool check_end(CatalogArchiveReader *reader, GError **error)
{
    if (reader->checked)
        return true;
    if (!xva_stream_finish(reader->stream, error))
        return false;
    g_autofree char *found = reader->hash ? hash_end_hex(reader->hash) : NULL;
    if (found && strcmp(found, reader->md5) != 0 &&
        !MUTANT(archive_ignores_sum)) { /* mutant: system:test_full.Full.test_damaged_archives */
        err_set(error, ERR_CORRUPT, "it does not agree with %s.checksum", reader->path);
        return false;
    }
    reader->checked = true;
    return true;
}

static bool look_at(CatalogArchiveReader *reader, const void *data, gsize n, GError **error)
{
    if (reader->hash)
        hash_add(reader->hash, data, n);
    if (!xva_stream_feed(reader->stream, data, n, error))
        return false;
    reader->at += n;
    return reader->at < reader->size_bytes || check_end(reader, error);
}

gssize catalog_archive_read(CatalogArchiveReader *reader, void *buffer, gsize n, GError **error)
{
    GError *why = NULL;
    gsize want = (gsize) MIN(n, reader->size_bytes - reader->at);
    bool ok = want == 0 ? check_end(reader, &why)
                        : bytes_read(reader->bytes, reader->at, buffer, want, &why) &&
                              look_at(reader, buffer, want, &why);
    if (ok)
        return (gssize) want;
    g_propagate_prefixed_error(error, why, "%s: ", reader->path);
    return -1;
}

bool catalog_archive_read_all(CatalogArchiveReader *reader, GError **error)
{
    g_autofree void *buffer = g_malloc(BUFFER_BYTES);
    gssize n;
    while ((n = catalog_archive_read(reader, buffer, BUFFER_BYTES, error)) > 0)
        continue;
    return n == 0;
}

const XvaInfo *catalog_archive_info(const CatalogArchiveReader *reader)
{
    return xva_stream_info(reader->stream);
}

void catalog_archive_close(CatalogArchiveReader *reader)
{
    if (!reader)
        return;
    bytes_close(reader->bytes);
    xva_stream_free(reader->stream);
    hash_free(reader->hash);
    g_free(reader->md5);
    g_free(reader->path);
    g_free(reader);
}
