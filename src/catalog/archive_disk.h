/* Disks inside the archive (XVA) of a full backup. Private to the catalog. */
#pragma once

#include "catalog/catalog.h"

/* The disks that its ova.xml names, as catalog_point_disks gives them; a path is that of the
 * archive with the disk's folder in it: "20260117T020000Z.xva/Ref:3". Reads the start of it. */
json_t *archive_disks(Catalog *catalog, json_t *point, GError **error);
/* Reads all of the archive, whose every chunk has a checksum, and whose length and MD5 are known
 * when XO or we wrote them down; only then is there a disk. Its blocks are read best in ascending
 * order: any other reads the archive again from its start. */
Disk *archive_disk_open(Catalog *catalog, json_t *point, const char *path, GError **error);
/* Blocks read so far, all of them by checksums; false when the disk is not from an archive. */
bool archive_disk_verified(Disk *disk, CatalogVerified *verified);
