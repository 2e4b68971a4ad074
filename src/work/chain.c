/* The pool's own disk chains: a backup adds a snapshot to them, so one that the pool has not
 * coalesced yet is left alone. Source: how XO judges them; a hidden node whose only child is hidden
 * should have been merged. */
#include "work/private.h"

#include "base/error.h"

#include <string.h>

enum { MAX_UNCOALESCED = 1, MAX_CHAIN = 256, CHECK_TRIES = 20, CHECK_WAIT_MS = 500 };

static const char *parent_uuid(json_t *vdi)
{
    return json_string_value(json_object_get(json_object_get(vdi, "sm_config"), "vhd-parent"));
}

typedef struct {
    GHashTable *n_children; /* uuid → count */
} Census;

static void count_child(const char *cls, const char *ref, json_t *record, void *user)
{
    const char *parent = parent_uuid(record);
    if (parent) {
        GHashTable *counts = ((Census *) user)->n_children;
        guint n = GPOINTER_TO_UINT(g_hash_table_lookup(counts, parent));
        g_hash_table_insert(counts, g_strdup(parent), GUINT_TO_POINTER(n + 1));
    }
    json_decref(record);
}

static json_t *vdi_by_uuid(Xapi *xapi, const char *uuid)
{
    g_autofree char *ref = xapi_call_string(xapi, "VDI.get_by_uuid", json_pack("[s]", uuid), NULL);
    return ref ? get_record(xapi, "VDI", ref, NULL) : NULL;
}

/* Uuids of the hidden nodes above a disk that have a hidden child, nearest first. */
static GPtrArray *suspects(VmRun *run, const VmDisk *disk)
{
    GPtrArray *found = g_ptr_array_new_with_free_func(g_free);
    json_t *child = get_record(run->xapi, "VDI", disk->ref, NULL);
    for (unsigned depth = 0; depth < MAX_CHAIN && parent_uuid(child); depth++) {
        json_t *parent = vdi_by_uuid(run->xapi, parent_uuid(child));
        if (!parent)
            break; /* the pool is about to change it */
        if (json_is_false(json_object_get(parent, "managed")) &&
            json_is_false(json_object_get(child, "managed")))
            g_ptr_array_add(found, g_strdup(json_text(parent, "uuid")));
        json_decref(child);
        child = parent;
    }
    json_decref(child);
    return found;
}

/* Only when there may be too many does it pay to ask for all disks. */
static bool check_chain(VmRun *run, const VmDisk *disk, Census *census, GError **error)
{
    g_autoptr(GPtrArray) found = suspects(run, disk);
    if (found->len <= MAX_UNCOALESCED)
        return true;
    if (!census->n_children) {
        census->n_children = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        if (!xapi_all_records(run->xapi, "VDI", count_child, census, error))
            return false;
    }
    unsigned n = 0;
    for (guint i = 0; i < found->len; i++)
        n += GPOINTER_TO_UINT(g_hash_table_lookup(census->n_children, found->pdata[i])) == 1;
    if (n <= MAX_UNCOALESCED)
        return true;
    err_set(error, ERR_UNHEALTHY_CHAIN,
            "disk %s (%s) has %u nodes that the pool should coalesce first",
            json_text(disk->record, "name_label"), disk->uuid, n);
    return false;
}

static bool check_all(VmRun *run, GError **error)
{
    Census census = { NULL };
    bool ok = true;
    for (guint i = 0; ok && i < run->disks->len; i++)
        ok = check_chain(run, run->disks->pdata[i], &census, error);
    g_clear_pointer(&census.n_children, g_hash_table_unref);
    return ok;
}

/* The pool may be about to coalesce what an earlier run left: a short wait spares a skipped VM. */
bool vm_check_chains(VmRun *run, GError **error)
{
    if (setting_bool(run->settings, "bypassVdiChainsCheck"))
        return true;
    for (unsigned tried = 1;; tried++) {
        GError *why = NULL;
        if (check_all(run, &why))
            return true;
        if (tried == CHECK_TRIES || !err_is(why, ERR_UNHEALTHY_CHAIN) ||
            cancel_is_set(run->cancel)) {
            g_propagate_error(error, why);
            return false;
        }
        g_clear_error(&why);
        g_usleep(CHECK_WAIT_MS * 1000);
    }
}

guint64 chain_bytes(Xapi *xapi, json_t *vdi)
{
    guint64 limit = json_integer_value(json_object_get(vdi, "virtual_size"));
    guint64 sum = json_integer_value(json_object_get(vdi, "physical_utilisation"));
    json_t *node = json_incref(vdi);
    for (unsigned depth = 0; depth < MAX_CHAIN && parent_uuid(node) && sum < limit; depth++) {
        json_t *parent = vdi_by_uuid(xapi, parent_uuid(node));
        if (!parent)
            break;
        sum += json_integer_value(json_object_get(parent, "physical_utilisation"));
        json_decref(node);
        node = parent;
    }
    json_decref(node);
    return MIN(sum, limit);
}
