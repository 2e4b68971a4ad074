/* catalog_clean: merges and deletes what no point uses.
 *
 * It reads everything before it changes anything: a listing or a file that cannot be read ends it.
 * What is damaged freezes its folder: it is told of, and nothing there is merged or deleted, so
 * that it can still be salvaged. Order: what was interrupted is ended, then unused tips are deleted
 * (newest first, so that a cut leaves whole chains), then unused ancestors are merged into what
 * stands on them, then leftovers go, then the metadata, the cache and the manifests are made true.
 */
#include "catalog/cleaning.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"
#include "catalog/cache.h"
#include "catalog/deletion.h"
#include "catalog/index.h"
#include "catalog/metadata.h"

#include <stdarg.h>
#include <string.h>

void cleaning_warn(Cleaning *cleaning, const char *path, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    log_warning("catalog", "%s: %s: %s", remote_name(cleaning->catalog->remote), path, text);
    json_array_append_new(cleaning->out->warnings,
                          json_pack("{s:o,s:{s:o}}", "message", json_text_of_bytes(text), "data",
                                    "path", json_text_of_bytes(path)));
}

/* --- who is needed --- */

static bool date_is_unreadable(const Cleaning *cleaning, const char *name)
{
    g_autofree char *date = layout_date_of(name);
    g_autofree char *metadata = date ? g_strconcat(date, ".json", NULL) : NULL;
    return metadata && g_hash_table_contains(cleaning->points->unreadable, metadata);
}

/* Marks the disks that points name; a named disk that is not there freezes the lineage. */
static void mark_used(Cleaning *cleaning, Lineage *lineage, bool *frozen)
{
    g_autofree char *prefix = g_strconcat(lineage->relative, "/", NULL);
    gsize i;
    json_t *point, *stored;
    const char *ref;
    json_array_foreach (cleaning->points->points, i, point)
        json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
            g_autofree char *path = metadata_path(stored);
            if (!path || !g_str_has_prefix(path, prefix))
                continue;
            Member *member = lineage_find(lineage, path + strlen(prefix));
            if (member) {
                member->in_use = true;
                continue;
            }
            cleaning_warn(cleaning, json_string_value(json_object_get(point, "_filename")),
                          "its disk %s is missing; the backup is kept for salvage", path);
            *frozen = true;
        }
    for (guint j = 0; j < lineage->members->len; j++) {
        Member *member = lineage->members->pdata[j];
        member->in_use = member->in_use || date_is_unreadable(cleaning, member->name);
    }
}

static void mark_needed(Cleaning *cleaning, Lineage *lineage, bool *frozen)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (!member->in_use)
            continue;
        unsigned n_steps = 0; /* a loop of parents ends at what is marked already */
        for (Member *at = member; at && !(at->needed && n_steps); at = at->parent, n_steps++)
            at->needed = true;
    }
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (!member->needed || !member->fault)
            continue;
        cleaning_warn(cleaning, member->name, "%s; its chain is kept for salvage",
                      member->fault->message);
        *frozen = true;
    }
}

/* --- deleting --- */

bool cleaning_may_drop(Cleaning *cleaning, const char *name)
{
    g_autoptr(GError) refused = NULL;
    if (deletion_allows_orphan(cleaning->catalog, cleaning->vm, cleaning->points, name, &refused))
        return true;
    cleaning_warn(cleaning, name, "%s", refused->message);
    return false;
}

/* And what it stands on. */
static void keep(Member *member)
{
    member->in_use = true;
    for (Member *at = member; at && !at->needed; at = at->parent)
        at->needed = true;
}

/* XO dies between giving the data its new alias and taking the old one. */
static bool shares_data(Lineage *lineage, const Member *member)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        const Member *other = lineage->members->pdata[i];
        if (other != member && g_strcmp0(other->place.data, member->place.data) == 0)
            return member->place.data != NULL;
    }
    return false;
}

static bool drop_member(Cleaning *cleaning, Lineage *lineage, Member *member, GError **error)
{
    MemberPlace nowhere = { 0 };
    log_info("catalog", "deleting the unused disk %s/%s", lineage->folder, member->name);
    cleaning->changed = true;
    cleaning->out->n_dropped++;
    bool shared = shares_data(lineage, member);
    bool ok = member_drop(cleaning->catalog, lineage->folder, member->name,
                          shared ? &nowhere : &member->place, error);
    if (shared)
        member_place_clear(&member->place);
    CRASH_POINT(clean_dropped);
    return ok;
}

static bool drop_unneeded(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    for (guint i = lineage->members->len; i-- > 0;) {
        Member *member = lineage->members->pdata[i];
        if (member->needed && !MUTANT(clean_drops_needed)) /* mutant: catalog_clean */
            continue;
        if (err_is(member->fault, ERR_UNSUPPORTED)) { /* a folder where a file should be */
            cleaning_warn(cleaning, member->name, "%s: it is kept", member->fault->message);
            continue;
        }
        if (!cleaning_may_drop(cleaning, member->name)) {
            keep(member);
            continue;
        }
        if (!drop_member(cleaning, lineage, member, error))
            return false;
    }
    return true;
}

/* --- merging --- */

/* Why these two cannot be merged; NULL: they can. */
static const char *merge_fault(const Member *older, const Member *newer)
{
    if (memcmp(&newer->info.parent_uid, &older->info.uid, sizeof older->info.uid) != 0)
        return "its unique id is not the one its child continues";
    if (older->place.is_directory != newer->place.is_directory)
        return "its child is stored in another way";
    return strcmp(older->name, newer->name) < 0 ? NULL : "its child has an older name";
}

/* From an unused ancestor to the first used descendant; NULL when that cannot be merged. */
static GPtrArray *merge_list(Cleaning *cleaning, Lineage *lineage, Member *first)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(names, g_strdup(first->name));
    for (Member *at = first; !at->in_use;) {
        unsigned n_children;
        Member *child = lineage_needed_child(lineage, at, &n_children);
        const char *fault = n_children != 1 ? "two disks stand on it" : merge_fault(at, child);
        if (fault || names->len > lineage->members->len) {
            cleaning_warn(cleaning, at->name, "cannot be merged: %s",
                          fault ? fault : "its chain is a loop");
            return NULL;
        }
        g_ptr_array_add(names, g_strdup(child->name));
        at = child;
    }
    return g_steal_pointer(&names);
}

static bool merge_unused(Cleaning *cleaning, Lineage *lineage, GError **error)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        Member *member = lineage->members->pdata[i];
        if (member->in_use || !member->needed || (member->parent && !member->parent->in_use))
            continue;
        g_autoptr(GPtrArray) names = merge_list(cleaning, lineage, member);
        g_autoptr(GError) failure = NULL;
        if (!names || merge_run(cleaning, lineage->relative, names, NULL, &failure))
            continue;
        if (!err_is(failure, ERR_DENIED)) { /* an immutable file: later */
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        cleaning_warn(cleaning, member->name, "cannot be merged now: %s", failure->message);
    }
    return true;
}

/* --- one lineage --- */

static void note_dates(Lineage *lineage, GHashTable *dates)
{
    for (guint i = 0; i < lineage->members->len; i++) {
        char *date = layout_date_of(((Member *) lineage->members->pdata[i])->name);
        if (date)
            g_hash_table_add(dates, date);
    }
}

/* What is under merge is not what it will be. */
static void note_heads(Cleaning *cleaning, Lineage *lineage)
{
    for (guint i = 0; i < lineage->members->len && lineage->states->len == 0; i++) {
        const Member *member = lineage->members->pdata[i];
        DiskHead head = { member->info.differencing, member->size_bytes };
        if (!member->fault)
            g_hash_table_insert(cleaning->heads,
                                g_strjoin("/", lineage->relative, member->name, NULL),
                                g_memdup2(&head, sizeof head));
    }
}

static Lineage *read_marked(Cleaning *cleaning, const char *relative, bool *frozen, GError **error)
{
    Lineage *lineage = lineage_read(cleaning->catalog, cleaning->vm, relative, error);
    if (!lineage)
        return NULL;
    mark_used(cleaning, lineage, frozen);
    mark_needed(cleaning, lineage, frozen);
    return lineage;
}

/* Each time anew: what was moved has another parent. */
static bool straighten_all(Cleaning *cleaning, const char *relative, Lineage **lineage,
                           bool *frozen, GError **error)
{
    bool moved = cleaning->merge;
    for (guint n = 0; moved && !*frozen && n < (*lineage)->members->len; n++) {
        if (!forks_straighten(cleaning, *lineage, &moved, error))
            return false;
        Lineage *after = moved ? read_marked(cleaning, relative, frozen, error) : NULL;
        if (moved && !after)
            return false;
        if (after)
            lineage_free(g_steal_pointer(lineage));
        *lineage = after ? after : *lineage;
    }
    return true;
}

static bool clean_lineage(Cleaning *cleaning, const char *relative, GHashTable *dates,
                          GError **error)
{
    bool frozen;
    if (!merges_resume(cleaning, relative, &frozen, error))
        return false;
    g_autoptr(Lineage) lineage = read_marked(cleaning, relative, &frozen, error);
    if (!lineage)
        return false;
    if (!frozen && cleaning->merge && !lineage_make_room(cleaning, lineage, error))
        return false;
    if (!straighten_all(cleaning, relative, &lineage, &frozen, error))
        return false;
    if (!frozen && cleaning->remove && !drop_unneeded(cleaning, lineage, error))
        return false;
    if (!frozen && cleaning->merge && !merge_unused(cleaning, lineage, error))
        return false;
    g_autoptr(Lineage) after = lineage_read(cleaning->catalog, cleaning->vm, relative, error);
    if (!after)
        return false;
    note_dates(after, dates);
    note_heads(cleaning, after);
    return frozen || !cleaning->remove || leftovers_of_lineage(cleaning, after, error);
}

static bool clean_lineages(Cleaning *cleaning, GHashTable *dates, GError **error)
{
    g_autoptr(GPtrArray) lineages = lineage_list(cleaning->catalog, cleaning->vm, error);
    for (guint i = 0; lineages && i < lineages->len; i++)
        if (cancel_check(cleaning->catalog->cancel, "cleaning", error) ||
            !clean_lineage(cleaning, lineages->pdata[i], dates, error))
            return false;
    return lineages != NULL;
}

/* --- the whole --- */

/* What is suspicious about a full backup's archive is told; the backup is kept. */
static void check_archive(Cleaning *cleaning, json_t *point, const char *xva)
{
    const char *filename = json_string_value(json_object_get(point, "_filename"));
    json_t *size = json_object_get(point, "size");
    g_autofree char *path = layout_vm(cleaning->vm, xva);
    RemoteStat st;
    if (!g_ptr_array_find_with_equal_func(cleaning->points->names, xva, g_str_equal, NULL))
        cleaning_warn(cleaning, filename, "its archive %s is missing; the backup is kept", xva);
    else if (json_is_number(size) && remote_stat(cleaning->catalog->remote, path, &st, NULL) &&
             (double) st.size_bytes != json_number_value(size))
        cleaning_warn(cleaning, filename,
                      "its archive %s has %" G_GUINT64_FORMAT " bytes where %.0f were written", xva,
                      st.size_bytes, json_number_value(size));
}

static void check_archives(Cleaning *cleaning)
{
    gsize i;
    json_t *point;
    json_array_foreach (cleaning->points->points, i, point) {
        g_autofree char *xva = metadata_path(json_object_get(point, "xva"));
        if (xva)
            check_archive(cleaning, point, xva);
    }
}

/* XO's cache: rewritten when anything changed, or when it disagrees with the files. */
static bool settle_cache(Cleaning *cleaning, GError **error)
{
    gint64 mtime_ns;
    json_t *cache = cache_read(cleaning->catalog, cleaning->vm, &mtime_ns);
    bool differs = !cache || json_object_size(cache) != json_array_size(cleaning->points->points);
    json_decref(cache);
    if (!cleaning->changed && !differs)
        return true;
    if (json_array_size(cleaning->points->points) == 0 && !cleaning->points->names->len)
        return true; /* a VM without a folder */
    return points_refresh_cache(cleaning->catalog, cleaning->vm, error);
}

static bool revive(Cleaning *cleaning, GError **error)
{
    bool revived;
    if (!metadata_revive(cleaning, &revived, error))
        return false;
    if (!revived)
        return true;
    points_free(cleaning->points);
    cleaning->points = points_read(cleaning->catalog, cleaning->vm, false, error);
    return cleaning->points != NULL;
}

static bool clean(Cleaning *cleaning, GError **error)
{
    g_autoptr(GHashTable) dates = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    if (!quarantine(cleaning, error) || !revive(cleaning, error))
        return false;
    check_archives(cleaning);
    if (!clean_lineages(cleaning, dates, error) || !metadata_refresh(cleaning, error) ||
        (cleaning->remove && !leftovers_of_vm(cleaning, error)) || !settle_cache(cleaning, error))
        return false;
    CRASH_POINT(clean_settled);
    return !cleaning->remove || manifests_clean(cleaning, dates, error);
}

typedef bool CleaningPart(Cleaning *cleaning, GError **error);

/* The listing, then a part of the work on it. */
static bool with_points(Cleaning *cleaning, CleaningPart *part, GError **error)
{
    g_autoptr(GHashTable) heads = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    cleaning->heads = heads;
    cleaning->points = points_read(cleaning->catalog, cleaning->vm, false, error);
    bool ok = cleaning->points && part(cleaning, error);
    g_clear_pointer(&cleaning->points, points_free); /* a part may have read them again */
    return ok;
}

bool catalog_clean(Catalog *catalog, const char *vm, bool merge, bool remove,
                   CatalogCleaned *cleaned, GError **error)
{
    *cleaned = (CatalogCleaned){ .warnings = json_array() };
    Cleaning cleaning = {
        .catalog = catalog, .vm = vm, .merge = merge, .remove = remove, .out = cleaned
    };
    if (!layout_check_name("VM uuid", vm, error))
        return false;
    if (remove && !deletion_resume(catalog, vm, &cleaning.changed, error))
        return false;
    if (index_is_clean(catalog, vm, merge, remove))
        return true;
    if (!with_points(&cleaning, clean, error))
        return false;
    if (json_array_size(cleaned->warnings) == 0)
        index_write(catalog, vm, merge, remove);
    return true;
}

/* --- for repair --- */

static bool mend_lineage(Cleaning *cleaning, const char *relative, GError **error)
{
    bool frozen = false;
    if (cleaning->merge && !merges_resume(cleaning, relative, &frozen, error))
        return false;
    g_autoptr(Lineage) lineage = read_marked(cleaning, relative, &frozen, error);
    if (!lineage || !straighten_all(cleaning, relative, &lineage, &frozen, error))
        return false;
    note_heads(cleaning, lineage);
    return true;
}

static bool mend(Cleaning *cleaning, GError **error)
{
    g_autoptr(GPtrArray) lineages = lineage_list(cleaning->catalog, cleaning->vm, error);
    for (guint i = 0; lineages && i < lineages->len; i++)
        if (!mend_lineage(cleaning, lineages->pdata[i], error))
            return false;
    return lineages && metadata_refresh(cleaning, error);
}

bool cleaning_mend(Catalog *catalog, const char *vm, bool merges, GError **error)
{
    CatalogCleaned cleaned = { .warnings = json_array() };
    Cleaning cleaning = {
        .catalog = catalog, .vm = vm, .merge = merges, .remove = merges, .out = &cleaned
    };
    bool ok = with_points(&cleaning, mend, error);
    json_decref(cleaned.warnings);
    return ok;
}
