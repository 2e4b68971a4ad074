/* Where the blocks of a VDI come from: its pool, in one of three ways, best first:
 *   nbd+cbt  the changed block log says which blocks, NBD gives their content
 *   nbd+bat  the head of the VHD export says which blocks, NBD gives their content
 *   vhd      the VHD export gives both */
#pragma once

#include "pipe/pipe.h"
#include "xapi/xapi.h"

typedef struct {
    Xapi *xapi;
    const char *vdi;    /* reference of the snapshot to read */
    const char *base;   /* reference of an older one: only what changed since; NULL: everything */
    guint64 size_bytes; /* the VDI's virtual size */
    bool prefer_nbd;    /* else the VHD export at once */
    unsigned n_connections; /* over NBD; 0: one */
    const guint8 *have; /* one byte a block: not wanted again, where the way can leave it out; may
                           be NULL; not used after source_open */
    Cancel *cancel;     /* may be NULL */
} SourceRequest;

/* Opens the best way that works. `notes` gets a sentence for every way that did not, and why. With
 * a base, failure means that no way to a delta works: ask again without. */
Source *source_open(const SourceRequest *request, GPtrArray *notes, GError **error);
