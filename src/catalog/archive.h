/* Full backups: one archive (XVA) of a whole VM in the VM's folder, "<date>.xva", and its MD5 in
 * "<date>.xva.checksum" ("$1$$<hex>"), both as XO has them. */
#pragma once

#include "catalog/catalog.h"
#include "disk/xva.h"

/* --- Writing; the caller holds the VM's lock --- */

typedef struct CatalogArchive CatalogArchive;

/* Under a name that no point uses. EXISTS: there is one of the same second. */
CatalogArchive *catalog_archive_begin(Catalog *catalog, const char *vm, gint64 time_ms,
                                      GError **error);
/* "./<date>.xva": what goes into "xva". */
const char *catalog_archive_path(const CatalogArchive *archive);
/* One piece, in ascending order. */
bool catalog_archive_write(CatalogArchive *archive, guint64 offset, const void *data, gsize n,
                           GError **error);
/* Makes it durable, reads back from the storage itself what `how` says, gives it its name and
 * writes the checksum: not yet a point. */
bool catalog_archive_finish(CatalogArchive *archive, guint64 size_bytes, const char *md5,
                            CatalogReadBack how, GError **error);
/* Frees; an unfinished one is deleted. */
void catalog_archive_free(CatalogArchive *archive);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CatalogArchive, catalog_archive_free)

/* --- Reading --- */

typedef struct CatalogArchiveReader CatalogArchiveReader;

/* Of a full backup, as catalog_point gives it. CORRUPT when its length is not what the metadata
 * says. Damage further inside shows before the last byte is given. */
CatalogArchiveReader *catalog_archive_open(Catalog *catalog, json_t *point, const XvaStreamOps *ops,
                                           GError **error);
guint64 catalog_archive_size(const CatalogArchiveReader *reader);
/* Up to n bytes; 0 at the end. What is returned has gone through `ops`; the last bytes come only
 * when the archive was found whole and of the stored checksum: CORRUPT, TRUNCATED. */
gssize catalog_archive_read(CatalogArchiveReader *reader, void *buffer, gsize n, GError **error);
/* Reads what is left. */
bool catalog_archive_read_all(CatalogArchiveReader *reader, GError **error);
/* What ova.xml said, NULL before it was read. */
const XvaInfo *catalog_archive_info(const CatalogArchiveReader *reader);
void catalog_archive_close(CatalogArchiveReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CatalogArchiveReader, catalog_archive_close)
