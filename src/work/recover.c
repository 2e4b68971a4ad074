/* What a dead worker left: every intent of its journal that was begun and not ended. An object is
 * ours only when it carries the mark that such an intent names. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

/* The open intents, id → record (borrowed from `records`). */
static GHashTable *open_intents(json_t *records)
{
    GHashTable *open = g_hash_table_new(g_str_hash, g_str_equal);
    size_t i;
    json_t *record;
    json_array_foreach (records, i, record) {
        const char *type = json_text(record, "type"), *id = json_text(record, "intent");
        if (strcmp(type, "work.begin") == 0)
            g_hash_table_insert(open, (char *) id, record);
        else if (strcmp(type, "work.end") == 0)
            g_hash_table_remove(open, id);
    }
    return open;
}

static bool is_gone(const GError *error)
{
    const char *code = err_xapi_code(error);
    return strcmp(code, "UUID_INVALID") == 0 || strcmp(code, "HANDLE_INVALID") == 0;
}

static bool recover_vm(Xapi *xapi, json_t *intent, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autofree char *ref =
        xapi_call_string(xapi, "VM.get_by_uuid", json_pack("[s]", json_text(intent, "vm")), &why);
    if (!ref && is_gone(why))
        return true; /* deleted meanwhile, its snapshots by whoever did that */
    if (!ref) {
        g_propagate_error(error, g_steal_pointer(&why));
        return false;
    }
    return snapshot_sweep(xapi, ref, json_text(intent, "mark"), error) &&
           vm_restore_blocked(xapi, ref, json_object_get(intent, "blocked"), error);
}

typedef struct {
    const char *mark;
    GPtrArray *refs;
} Marked;

static void see_marked(const char *cls, const char *ref, json_t *record, void *user)
{
    Marked *marked = user;
    bool ours = g_strcmp0(config_text(record, OWNER_MARK), marked->mark) == 0 ||
                (MUTANT(recover_any_mark) && config_text(record, OWNER_MARK)); /* mutant: work */
    if (ours && !json_is_true(json_object_get(record, "is_a_snapshot")))
        g_ptr_array_add(marked->refs, g_strdup(ref));
    json_decref(record);
}

static bool destroy_marked(Xapi *xapi, const char *cls, const char *mark, GError **error)
{
    Marked marked = { mark, g_ptr_array_new_with_free_func(g_free) };
    bool ok = xapi_all_records(xapi, cls, see_marked, &marked, error);
    for (guint i = 0; ok && i < marked.refs->len; i++) {
        const char *ref = marked.refs->pdata[i];
        ok = strcmp(cls, "VM") == 0 ? xapi_do(xapi, "VM.destroy", json_pack("[s]", ref), error)
                                    : vdi_destroy(xapi, ref, error);
    }
    g_ptr_array_unref(marked.refs);
    return ok;
}

/* A restore that died: its VM and disks were never handed over. */
static bool recover_restore(Xapi *xapi, json_t *intent, GError **error)
{
    const char *mark = json_text(intent, "mark");
    return destroy_marked(xapi, "VM", mark, error) && destroy_marked(xapi, "VDI", mark, error);
}

static const struct {
    const char *kind;
    bool (*recover)(Xapi *xapi, json_t *intent, GError **error);
} kinds[] = {
    { "vm", recover_vm },
    { "restore", recover_restore },
};

static Xapi *pool_of(json_t *intent, const WorkPool *pools, unsigned n_pools)
{
    for (unsigned i = 0; i < n_pools; i++)
        if (strcmp(pools[i].id, json_text(intent, "pool")) == 0)
            return pools[i].xapi;
    return NULL;
}

static bool recover_one(Xapi *xapi, json_t *intent, GError **error)
{
    const char *mark = json_text(intent, "mark");
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].kind, json_text(intent, "kind")) == 0 && *mark)
            return kinds[i].recover(xapi, intent, error);
    err_set(error, ERR_TOO_NEW, "the journal has an intent of the kind \"%s\"",
            json_text(intent, "kind"));
    return false;
}

bool work_recover(Journal *journal, const WorkPool *pools, unsigned n_pools, unsigned *n_left,
                  GError **error)
{
    json_t *records = journal_records(journal, error);
    GError *first = NULL;
    *n_left = 1;
    if (!records)
        return false;
    g_autoptr(GHashTable) open = open_intents(records);
    GHashTableIter iter;
    gpointer id, intent;
    *n_left = 0;
    g_hash_table_iter_init(&iter, open);
    while (g_hash_table_iter_next(&iter, &id, &intent)) {
        GError *why = NULL;
        Xapi *xapi = pool_of(intent, pools, n_pools);
        if (xapi && recover_one(xapi, intent, &why) && intent_end(journal, id, &why))
            continue;
        ++*n_left;
        if (first)
            g_clear_error(&why);
        else
            first = why;
    }
    json_decref(records);
    if (first)
        g_propagate_error(error, first);
    return !first;
}
