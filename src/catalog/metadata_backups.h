/* Backups of configurations and of pools' databases, in XO's layout: xo-config-backups/<schedule>/
 * <date>/ and xo-pool-metadata-backups/<schedule>/<pool>/<date>/, each with a metadata.json. */
#pragma once

#include "remote/remote.h"

/* {"xo": [backup, …], "pool": {pool uuid: [backup, …]}}, oldest first, as metadataBackup.list shows
 * them: metadata.json with id "<remote id>/xo-…/<date>", backupRepository and type. Those whose
 * metadata cannot be read are left out and named in *problems (array of texts; may be NULL). */
json_t *metadata_backups_list(Remote *remote, const char *remote_id, json_t **problems,
                              GError **error);
