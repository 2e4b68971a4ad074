/* One disk file of a chain: a flat VHD, or a block directory behind an alias. Private to the
 * catalog. */
#pragma once

#include "catalog/layout.h"

typedef struct {
    char *data;        /* where the content is, from the root of the remote */
    bool is_directory; /* of blocks */
} MemberPlace;

void member_place_clear(MemberPlace *place);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(MemberPlace, member_place_clear)
/* Follows an alias. NOT_FOUND when the file or the alias's target is missing, CORRUPT, UNSUPPORTED.
 */
bool member_locate(Catalog *catalog, const char *path, MemberPlace *place, GError **error);
/* For messages: the path, and behind an alias where the content is. */
char *member_words(Catalog *catalog, const char *path);
/* `merging`: others are being merged into it, its last footer is not looked at. */
Disk *member_open(Catalog *catalog, const MemberPlace *place, bool merging, GError **error);
/* Drops what puts that were cut left in a block directory: hidden files; with `deep` among its
 * blocks too. */
bool member_sweep(Catalog *catalog, const char *data, bool deep, GError **error);
/* The length XO counts for it: of a flat VHD with the same blocks. */
guint64 member_size_bytes(Disk *disk);
