/* The ways of source_open. For the files of pipe/ only. */
#pragma once

#include "pipe/source.h"

#include <jansson.h>

/* The VHD export, read as it comes. */
Source *source_vhd(const SourceRequest *request, GError **error);
/* One byte a block: present in the VHD export; only its head is read. */
guint8 *source_vhd_map(const SourceRequest *request, guint32 n_blocks, GError **error);
/* One byte a block: changed since the base, by the pool's log. */
guint8 *source_cbt_map(const SourceRequest *request, guint32 n_blocks, GError **error);
/* The marked blocks over NBD; `map` is taken over on success. `infos` as VDI.get_nbd_info gives. */
Source *source_nbd(const SourceRequest *request, json_t *infos, guint8 *map, const char *method,
                   GError **error);
