/* All disks of one vdis/<job>/<vdi> folder and how they hang together. Private to the catalog. */
#pragma once

#include "catalog/member.h"
#include "catalog/state.h"

typedef struct Member Member;
struct Member {
    char *name; /* in the folder */
    MemberPlace place;
    DiskInfo info;
    const char *codec;  /* "flat", or the block directory's */
    guint32 n_entries;  /* room in the header of a block directory, 0: it has no such limit */
    guint64 size_bytes; /* as XO counts */
    Member *parent;     /* NULL: a root, or the parent is not here */
    Member *child;      /* the first by name */
    unsigned n_children;
    GError *fault; /* why it, or its link to its parent, cannot be used; info may be empty */
    bool in_use;   /* a point names it */
    bool needed;   /* it, or a descendant, is in use */
};

typedef struct {
    char *folder;       /* from the root of the remote */
    char *relative;     /* from the VM's folder: "vdis/<job>/<vdi>" */
    GPtrArray *names;   /* all that is in the folder, sorted */
    GPtrArray *members; /* sorted by name: by time */
    GPtrArray *states;  /* MergeState */
} Lineage;

/* Opens every disk of the folder (heads only). What is damaged or missing becomes a fault of its
 * member; an I/O error fails the whole. */
Lineage *lineage_read(Catalog *catalog, const char *vm, const char *relative, GError **error);
void lineage_free(Lineage *lineage);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Lineage, lineage_free)
Member *lineage_find(Lineage *lineage, const char *name);
/* The first by name of those that stand on it and are needed, and how many they are. */
Member *lineage_needed_child(Lineage *lineage, const Member *parent, unsigned *n_children);
MergeState *lineage_state(Lineage *lineage, const char *ancestor);
/* The same for the chain under `tip`, a name in `folder`, before a disk of n_blocks stands on it.
 */
bool chain_make_room(Catalog *catalog, const char *folder, const char *tip, guint32 n_blocks,
                     GError **error);
/* All "vdis/<job>/<vdi>" of a VM that are there; empty when there are none. */
GPtrArray *lineage_list(Catalog *catalog, const char *vm, GError **error);
