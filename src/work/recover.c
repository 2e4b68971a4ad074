/* What a dead worker left: every intent of its journal that was begun and not ended. An object is
 * ours only when it carries the mark that such an intent names. */
#include "work/private.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

enum { LOCK_WAIT_MS = 15000 }; /* longer than a lock is believed without being refreshed */

typedef struct {
    const char *mark;
    bool snapshots; /* only those that no machine has; else none */
    GPtrArray *refs;
} Marked;

static void see_marked(const char *cls, const char *ref, json_t *record, void *user)
{
    Marked *marked = user;
    bool ours = g_strcmp0(config_text(record, OWNER_MARK), marked->mark) == 0 ||
                (MUTANT(recover_any_mark) &&
                 config_text(record, OWNER_MARK)); /* mutant: work:test_recover */
    bool is_snapshot = json_is_true(json_object_get(record, "is_a_snapshot"));
    bool wanted = marked->snapshots
                      ? is_snapshot && json_array_size(json_object_get(record, "VBDs")) == 0
                      : !is_snapshot;
    if (ours && wanted)
        g_ptr_array_add(marked->refs, g_strdup(ref));
    json_decref(record);
}

static bool destroy_marked(Xapi *xapi, const char *cls, const char *mark, bool snapshots,
                           GError **error)
{
    Marked marked = { mark, snapshots, g_ptr_array_new_with_free_func(g_free) };
    bool ok = xapi_all_records(xapi, cls, see_marked, &marked, error);
    for (guint i = 0; ok && i < marked.refs->len; i++) {
        const char *ref = marked.refs->pdata[i];
        ok = strcmp(cls, "VM") == 0 ? xapi_do(xapi, "VM.destroy", json_pack("[s]", ref), error)
                                    : vdi_destroy(xapi, ref, error);
    }
    g_ptr_array_unref(marked.refs);
    return ok;
}

static bool clean_pool(Xapi *xapi, json_t *intent, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *ref =
        xapi_call_string(xapi, "VM.get_by_uuid", json_pack("[s]", json_text(intent, "vm")), &why);
    if (!ref && xapi_is_gone(why))
        return true; /* deleted meanwhile, its snapshots by whoever did that */
    if (!ref) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    /* A snapshot goes before its disks do: who died in between left them without a machine. */
    return snapshot_sweep(xapi, ref, json_text(intent, "mark"), error) &&
           destroy_marked(xapi, "VDI", json_text(intent, "mark"), true, error) &&
           vm_restore_blocked(xapi, ref, json_object_get(intent, "blocked"), error);
}

bool recover_vm(Xapi *xapi, Journal *journal, json_t *intent, GError **error)
{
    if (!clean_pool(xapi, intent, error))
        return false;
    progress_drop(journal, json_text(intent, "intent"));
    return intent_end(journal, json_text(intent, "intent"), error);
}

/* A restore that died: its VM and disks were never handed over. */
static bool recover_restore(Xapi *xapi, const char *mark, GError **error)
{
    return destroy_marked(xapi, "VM", mark, false, error) &&
           destroy_marked(xapi, "VDI", mark, false, error);
}

bool recover_import(Xapi *xapi, const char *task, const char *mark, GError **error)
{
    g_auto(GStrv) vms = xapi_import_abandon(xapi, task, error);
    for (unsigned i = 0; vms && vms[i]; i++)
        if (!vm_destroy(xapi, vms[i], error))
            return false;
    return vms && recover_restore(xapi, mark, error);
}

/* --- Repositories --- */

void recover_traces(const WorkTarget *target, json_t *intent)
{
    size_t i;
    json_t *note;
    g_autoptr(GError) error = NULL;
    if (!catalog_sweep(target->catalog, json_text(intent, "vm"), &error))
        log_warning("work", "%s: %s", target->name, error->message);
    g_clear_error(&error);
    json_array_foreach (json_object_get(intent, "notes"), i, note) {
        json_t *lock = json_object_get(note, "lock");
        RemoteLockId id = { (guint64) json_integer_value(json_object_get(lock, "inode")),
                            json_integer_value(json_object_get(lock, "birth")) };
        if (lock && !catalog_unlock_dead(target->catalog, json_text(intent, "vm"), &id, &error))
            log_warning("work", "%s: %s", target->name, error->message);
        g_clear_error(&error);
    }
}

/* What was half written goes; what was half merged is brought to its end. */
static bool recover_folder(const WorkTarget *target, json_t *intent, GError **error)
{
    const char *vm = json_text(intent, "vm");
    CatalogCleaned cleaned = { 0 };
    if (!target->catalog)
        return true;
    recover_traces(target, intent);
    g_autoptr(RemoteLock) lock = catalog_lock(target->catalog, vm, LOCK_WAIT_MS, error);
    bool ok = lock && catalog_clean(target->catalog, vm, true, true, &cleaned, error);
    json_decref(cleaned.warnings);
    return ok;
}

/* --- All --- */

/* What there is to work with. */
typedef struct {
    Journal *journal;
    const WorkPool *pools;
    unsigned n_pools;
    const WorkTarget *targets;
    unsigned n_targets;
} Means;

static const WorkPool *pool_of(const Means *means, json_t *intent)
{
    for (unsigned i = 0; i < means->n_pools; i++)
        if (strcmp(means->pools[i].id, json_text(intent, "pool")) == 0)
            return &means->pools[i];
    return NULL;
}

static const WorkTarget *target_of(const Means *means, json_t *intent)
{
    for (unsigned i = 0; i < means->n_targets; i++)
        if (strcmp(means->targets[i].id, json_text(intent, "remote")) == 0)
            return &means->targets[i];
    return NULL;
}

/* True: *done says whether it could be tried at all. */
static bool recover_one(const Means *means, json_t *intent, bool *done, GError **error)
{
    const char *kind = json_text(intent, "kind");
    const WorkPool *pool = pool_of(means, intent);
    const WorkTarget *target = target_of(means, intent);
    bool is_import = strcmp(kind, "import") == 0;
    bool in_pool = is_import || strcmp(kind, "vm") == 0 || strcmp(kind, "restore") == 0;
    *done = in_pool ? pool != NULL : target != NULL;
    if (in_pool && !*json_text(intent, "mark")) {
        err_set(error, ERR_CORRUPT, "the journal has an intent without a mark");
        return false;
    }
    if (!in_pool && strcmp(kind, "repository") != 0) {
        err_set(error, ERR_TOO_NEW, "the journal has an intent of the kind \"%s\"", kind);
        return false;
    }
    if (!*done)
        return true;
    if (strcmp(kind, "vm") == 0)
        return recover_vm(pool->xapi, means->journal, intent, error);
    const char *mark = json_text(intent, "mark");
    bool ok = is_import ? recover_import(pool->xapi, json_text(intent, "task"), mark, error)
              : in_pool ? recover_restore(pool->xapi, mark, error)
                        : recover_folder(target, intent, error);
    return ok && intent_end(means->journal, json_text(intent, "intent"), error);
}

bool work_recover(Journal *journal, const WorkPool *pools, unsigned n_pools,
                  const WorkTarget *targets, unsigned n_targets, unsigned *n_left, GError **error)
{
    const Means means = { journal, pools, n_pools, targets, n_targets };
    g_autoptr(WorkPast) past = work_past_read(journal, error);
    GError *first = NULL;
    *n_left = past == NULL;
    if (!past)
        return false;
    for (json_t *intent; (intent = past_take(past, NULL, NULL, NULL)); json_decref(intent)) {
        GError *why = NULL;
        bool done = false, ok = recover_one(&means, intent, &done, &why);
        *n_left += !(ok && done);
        if (!why)
            continue;
        if (first)
            g_clear_error(&why);
        else
            first = why;
    }
    if (first)
        g_propagate_error(error, first);
    return !first;
}
