/* Where things lie in a remote: XO's names, and ours. Private to the catalog.
 *
 *   xo-vm-backups/<vm>/<date>.json, cache.json.gz, <date>.xva
 *   xo-vm-backups/<vm>/vdis/<job>/<vdi>/<date>.vhd            flat
 *                                      /<date>.alias.vhd      names data/<date'>.vhd/, a block
 * directory
 *                                      /.<name>.merge.json    a merge into <name> is not finished
 *   .cadenza/manifests/<vm>/<date>.json, index/<vm>.json, deletions/<vm>.json,
 *   quarantine/<vm>/… */
#pragma once

#include "catalog/catalog.h"

#include <pthread.h>

#define LAYOUT_VMS         "xo-vm-backups"
#define LAYOUT_CACHE       "cache.json.gz"
#define LAYOUT_OURS        ".cadenza"
#define LAYOUT_ALIAS       ".alias.vhd"
#define LAYOUT_DISK        ".vhd"
#define LAYOUT_MERGE_STATE ".merge.json"

struct Catalog {
    Remote *remote;
    Cancel *cancel;       /* of cleaning, or NULL */
    Cancel *suspend;      /* half-written disks stay, or NULL */
    pthread_mutex_t lock; /* of finished */
    GHashTable *finished; /* "<vm>/<path of a disk>" to FinishedDisk, until its point exists */
};

/* A name that may stand between two slashes, and is no hidden or lock file: uuids in practice. */
bool layout_check_name(const char *what, const char *name, GError **error);
/* "xo-vm-backups/<vm>[/<rest>]"; rest may be NULL. */
char *layout_vm(const char *vm, const char *rest);
/* ".cadenza/<kind>/<vm>[/<rest>]". */
char *layout_ours(const char *kind, const char *vm, const char *rest);
/* `relative` seen from `folder`, with "." and ".." worked out; NULL when it leaves the remote. */
char *layout_resolve(const char *folder, const char *relative);
/* "20260117T020000Z" when the name begins with such a date, else NULL. */
char *layout_date_of(const char *name);
bool layout_is_alias(const char *name);
/* "20260117T020000Z.json": the metadata of a point. */
bool layout_is_metadata(const char *name);
/* Something that a put or a transfer of ours or XO's left unfinished: ".<epoch ms>.<name>". */
bool layout_is_temporary(const char *name);
