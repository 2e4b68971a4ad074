/* Which backups can be restored, now that the state of every disk is known; and which disks only
 * those need that cannot. */
#include "catalog/checking.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/archive.h"
#include "catalog/cache.h"
#include "catalog/chain.h"
#include "catalog/manifest.h"
#include "catalog/metadata.h"

#include <string.h>

static const char *path_of(json_t *point)
{
    return json_string_value(json_object_get(point, "_filename")) + 1;
}

/* --- chains --- */

/* A damaged block counts when no newer disk of the chain has it. */
static bool is_hidden(Checking *checking, const Member *tip, const Member *owner, guint32 block)
{
    for (const Member *at = tip; at != owner; at = at->parent) {
        g_autoptr(Disk) disk = member_open(checking->catalog, &at->place, false, NULL);
        if (disk && block < disk->info.n_blocks && disk_has(disk, block))
            return true;
    }
    return false;
}

static char *blocks_fault(Checking *checking, const Member *tip, const Member *at)
{
    const GArray *blocks = g_hash_table_lookup(checking->damaged, (gpointer) at);
    for (guint i = 0; blocks && i < blocks->len; i++) {
        guint32 block = g_array_index(blocks, guint32, i);
        if (!is_hidden(checking, tip, at, block))
            return g_strdup_printf("block %u of %s is damaged", block, at->name);
    }
    return NULL;
}

/* Why the disk cannot be restored; NULL: it can. */
static char *chain_fault(Checking *checking, const Lineage *lineage, const Member *tip)
{
    unsigned n_steps = 0;
    for (const Member *at = tip; at; at = at->parent) {
        if (at->fault)
            return g_strdup(at->fault->message);
        if (n_steps++ > lineage->members->len)
            return g_strdup_printf("the chain of %s comes back to itself", tip->name);
        if (at->parent && at->parent->codec &&
            memcmp(&at->info.parent_uid, &at->parent->info.uid, sizeof at->info.uid) != 0)
            return g_strdup_printf("%s does not continue %s", at->name, at->parent->name);
        char *fault = blocks_fault(checking, tip, at);
        if (fault)
            return fault;
    }
    return NULL;
}

/* While a merge goes on the links are no guide: the reader knows how. */
static char *reader_fault(Checking *checking, const char *path)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(Disk) disk = chain_read(checking->catalog, checking->vm, path, NULL, &failure);
    if (disk || checking_is_io(failure))
        return NULL;
    return g_strdup(failure->message);
}

static char *missing(Checking *checking, const char *path)
{
    g_autofree char *whole = layout_vm(checking->vm, path);
    checking_found(checking, FINDING_DISK_MISSING, FIX_NONE, whole, -1, NULL,
                   "a backup names it, and it is not there");
    return g_strdup_printf("its disk %s is missing", path);
}

static char *disk_fault(Checking *checking, const char *path, bool *mended)
{
    Lineage *lineage = check_lineage_of(checking, path);
    if (!lineage)
        return checking->unreadable ? NULL : missing(checking, path);
    *mended = *mended || g_hash_table_contains(checking->mended, lineage);
    Member *member = lineage_find(lineage, path + strlen(lineage->relative) + 1);
    if (lineage->states->len)
        return reader_fault(checking, path);
    if (!member)
        return missing(checking, path);
    return chain_fault(checking, lineage, member);
}

/* --- archives --- */

static bool read_archive(Checking *checking, json_t *point, GError **error)
{
    static const XvaStreamOps nothing;
    g_autoptr(CatalogArchiveReader)
        reader = catalog_archive_open(checking->catalog, point, &nothing, error);
    return reader && catalog_archive_read_all(reader, error);
}

static char *archive_fault(Checking *checking, json_t *point)
{
    RemoteStat st;
    g_autoptr(GError) failure = NULL;
    g_autofree char *xva = metadata_path(json_object_get(point, "xva")),
                    *path = layout_vm(checking->vm, xva);
    guint64 expected = (guint64) json_integer_value(json_object_get(point, "size"));
    bool there = remote_stat(checking->catalog->remote, path, &st, &failure);
    if (there && expected && st.size_bytes != expected)
        err_set(&failure, ERR_TRUNCATED,
                "it has %" G_GUINT64_FORMAT " bytes, and should have %" G_GUINT64_FORMAT,
                st.size_bytes, expected);
    else if (there && checking->deep)
        read_archive(checking, point, &failure);
    if (!failure)
        return NULL;
    if (checking_is_io(failure)) {
        checking_unreadable(checking, path, failure);
        return NULL;
    }
    checking_found(checking, there ? FINDING_ARCHIVE_DAMAGED : FINDING_ARCHIVE_MISSING, FIX_NONE,
                   path, -1, NULL, "%s", failure->message);
    return g_strdup_printf("its archive %s: %s", xva, failure->message);
}

/* --- points --- */

static void check_point(Checking *checking, json_t *point)
{
    const char *ref;
    json_t *stored;
    bool mended = false;
    g_autofree char *fault = metadata_is_full(point) ? archive_fault(checking, point) : NULL;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        g_autofree char *path = metadata_path(stored);
        char *why = path ? disk_fault(checking, path, &mended) : NULL;
        if (why && !fault)
            fault = why;
        else
            g_free(why);
    }
    if (!fault || MUTANT(check_all_points_sound)) /* mutant: catalog_check */
        return;
    g_hash_table_add(checking->broken, point);
    checking_found(checking, FINDING_POINT_BROKEN, mended ? FIX_NONE : FIX_QUARANTINE,
                   path_of(point), -1, NULL, "cannot be restored: %s", fault);
}

static void check_size(Checking *checking, json_t *point)
{
    guint64 size_bytes = 0;
    bool differs = false;
    const char *ref;
    json_t *stored, *kinds = json_object_get(point, "isVhdDifferencing");
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        g_autofree char *path = metadata_path(stored);
        Lineage *lineage = path ? check_lineage_of(checking, path) : NULL;
        Member *member = lineage ? lineage_find(lineage, path + strlen(lineage->relative) + 1)
                                 : NULL;
        if (!member || member->fault || lineage->states->len)
            return;
        size_bytes += member->size_bytes;
        differs = differs || json_is_true(json_object_get(kinds, ref)) != member->info.differencing;
    }
    if (metadata_is_full(point) || g_hash_table_contains(checking->broken, point) ||
        (!differs && size_bytes == (guint64) json_integer_value(json_object_get(point, "size"))))
        return;
    checking_found(checking, FINDING_METADATA_STALE, FIX_SIZES, path_of(point), -1, NULL,
                   "its size or the kind of its disks is not what the files say");
}

static void check_manifest(Checking *checking, json_t *point)
{
    RemoteStat st;
    g_autofree char *name = g_path_get_basename(path_of(point)),
                    *path = layout_ours("manifests", checking->vm, name);
    if (!metadata_is_full(point) && !remote_stat(checking->catalog->remote, path, &st, NULL))
        checking->n_unnamed_points++;
}

/* --- metadata that cannot be read --- */

static bool cache_has(Checking *checking, const char *path)
{
    gint64 mtime_ns;
    g_autofree char *key = g_strconcat("/", path, NULL);
    json_t *cache = cache_read(checking->catalog, checking->vm, &mtime_ns);
    json_t *entry = json_object_get(cache, key);
    bool sound = entry && metadata_check(entry, key, NULL);
    json_decref(cache);
    return sound;
}

static void check_unreadable(Checking *checking)
{
    GHashTableIter iter;
    gpointer name, reason;
    g_hash_table_iter_init(&iter, checking->points->unreadable);
    while (g_hash_table_iter_next(&iter, &name, &reason)) {
        g_autofree char *path = layout_vm(checking->vm, name);
        bool cached = cache_has(checking, path);
        for (guint i = 0; cached && i < checking->lineages->len; i++)
            g_hash_table_add(checking->mended, checking->lineages->pdata[i]);
        checking_found(checking, FINDING_METADATA_DAMAGED, cached ? FIX_METADATA : FIX_QUARANTINE,
                       path, -1, NULL, "%s", (char *) reason);
    }
}

/* --- what only broken ones need --- */

static void mark(Checking *checking, json_t *point)
{
    const char *ref;
    json_t *stored;
    bool broken = g_hash_table_contains(checking->broken, point);
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        g_autofree char *path = metadata_path(stored);
        Lineage *lineage = path ? check_lineage_of(checking, path) : NULL;
        unsigned n_steps = 0;
        Member *at = lineage ? lineage_find(lineage, path + strlen(lineage->relative) + 1) : NULL;
        for (; at && n_steps <= lineage->members->len; at = at->parent, n_steps++) {
            at->in_use = at->in_use || broken;
            at->needed = at->needed || !broken;
        }
    }
}

static bool is_of_unreadable(Checking *checking, const Member *member)
{
    g_autofree char *date = layout_date_of(member->name),
                    *name = date ? g_strconcat(date, ".json", NULL) : NULL;
    return name && g_hash_table_contains(checking->points->unreadable, name);
}

/* In a folder with something broken nothing is an orphan by itself: it may be the broken one's. */
static void check_unusable(Checking *checking, Lineage *lineage)
{
    bool broken = false;
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        broken = broken || (!member->needed && (member->in_use || member->fault ||
                                                is_of_unreadable(checking, member)));
    }
    for (guint i = lineage->members->len; broken && i-- > 0;) {
        Member *member = lineage->members->pdata[i];
        g_autofree char *path = g_strjoin("/", lineage->folder, member->name, NULL);
        if (!member->needed && !g_hash_table_contains(checking->mended, lineage) &&
            !lineage->states->len)
            checking_found(checking, FINDING_DISK_UNUSABLE, FIX_QUARANTINE, path, -1, NULL,
                           "no backup that can be restored needs it");
    }
}

void check_points(Checking *checking)
{
    gsize i;
    json_t *point;
    json_array_foreach (checking->points->points, i, point) {
        check_point(checking, point);
        check_size(checking, point);
        check_manifest(checking, point);
    }
    check_unreadable(checking);
    json_array_foreach (checking->points->points, i, point)
        mark(checking, point);
    for (guint l = 0; l < checking->lineages->len; l++)
        check_unusable(checking, checking->lineages->pdata[l]);
    g_autofree char *folder = layout_vm(checking->vm, NULL);
    if (checking->n_unnamed_points)
        checking_found(checking, FINDING_MANIFEST_ABSENT, FIX_NONE, folder, -1, NULL,
                       "%u backups of it have no manifest: they are read, not verified",
                       checking->n_unnamed_points);
}
