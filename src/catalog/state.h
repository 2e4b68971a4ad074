/* XO's note of a merge under way: .<name of the ancestor>.merge.json. Private to the catalog. */
#pragma once

#include "catalog/layout.h"

typedef enum { STEP_BLOCKS, STEP_CLEANUP } MergeStep;

typedef struct {
    char *file;       /* the name of the note */
    char *ancestor;   /* P: what absorbs the others */
    GPtrArray *chain; /* names, P first, T last; empty in notes of old versions */
    bool has_uids;
    DiskUid child_uid, parent_uid; /* T's and P's, when the merge began */
    guint32 from_block;            /* every block below is in P */
    guint64 merged_bytes, disk_size_bytes;
    MergeStep step;
    bool torn;     /* no JSON: whoever wrote it died in the middle; only its name is known */
    GError *fault; /* it is there and cannot be believed: touch nothing in this folder */
} MergeState;

void merge_state_free(MergeState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(MergeState, merge_state_free)
char *merge_state_file(const char *ancestor);
/* The note with this name (as of merge_state_file); what makes no sense has a fault. */
MergeState *merge_state_parse(const char *file, const void *data, gsize n);
/* All notes among the names of a folder: an array of MergeState. Fails on an I/O error alone. */
GPtrArray *merge_states_read(Catalog *catalog, const char *folder, GPtrArray *names,
                             GError **error);
bool merge_state_write(Catalog *catalog, const char *folder, const MergeState *state,
                       GError **error);
/* The name that the ancestor takes in the end: the newest of the chain; NULL when not known. */
const char *merge_state_target(const MergeState *state);
