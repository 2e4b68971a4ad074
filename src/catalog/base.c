/* What the next delta of a disk can continue. */
#include "catalog/lineage.h"

#include "base/error.h"

#include <string.h>

/* NULL when the whole chain under `tip` is sound and of one kind; else why not. */
static char *chain_fault(const Lineage *lineage, Member *tip, bool want_directory)
{
    for (Member *at = tip; at; at = at->parent) {
        if (at->fault)
            return g_strdup(at->fault->message);
        if (lineage_state((Lineage *) lineage, at->name))
            return g_strdup_printf("a merge into %s is not finished", at->name);
        if (strcmp(at->codec, tip->codec) != 0)
            return g_strdup_printf("%s is stored as %s, %s as %s", at->name, at->codec, tip->name,
                                   tip->codec);
        if (at->parent &&
            memcmp(&at->info.parent_uid, &at->parent->info.uid, sizeof at->info.uid) != 0)
            return g_strdup_printf("%s does not continue %s: their unique ids differ", at->name,
                                   at->parent->name);
    }
    if (tip->place.is_directory == want_directory)
        return NULL;
    return g_strdup_printf("%s is %s, the remote is set to %s", tip->name,
                           tip->place.is_directory ? "a block directory" : "a flat file",
                           want_directory ? "block directories" : "flat files");
}

static char *find(Lineage *lineage, const DiskUid *base, bool want_directory, GString *why)
{
    for (guint i = lineage->members->len; i-- > 0;) {
        Member *member = lineage->members->pdata[i];
        if (memcmp(&member->info.uid, base, sizeof *base) != 0 || (member->fault && !member->codec))
            continue;
        if (member->n_children) {
            g_string_append_printf(why, "%s is already continued by %s; ", member->name,
                                   member->child->name);
            continue;
        }
        g_autofree char *fault = chain_fault(lineage, member, want_directory);
        if (!fault)
            return g_strdup(member->name);
        g_string_append_printf(why, "%s; ", fault);
    }
    return NULL;
}

char *catalog_base(Catalog *catalog, const char *vm, const char *job, const char *vdi,
                   const DiskUid *base, GError **error)
{
    if (!layout_check_name("VM uuid", vm, error) || !layout_check_name("job id", job, error) ||
        !layout_check_name("VDI uuid", vdi, error))
        return NULL;
    g_autofree char *relative = g_strjoin("/", "vdis", job, vdi, NULL), *id = disk_uid_format(base);
    g_autoptr(GError) failure = NULL;
    g_autoptr(Lineage) lineage = lineage_read(catalog, vm, relative, &failure);
    if (!lineage && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    json_t *option = remote_option(catalog->remote, "useVhdDirectory");
    g_autoptr(GString) why = g_string_new(NULL);
    char *name = lineage ? find(lineage, base, json_is_true(option), why) : NULL;
    json_decref(option);
    if (why->len)
        g_string_truncate(why, why->len - 2);
    if (!name)
        err_set(error, ERR_NO_BASE, "%s holds no disk of VDI %s that can be continued from %s: %s",
                remote_name(catalog->remote), vdi, id,
                why->len ? why->str : "none has this unique id");
    return name;
}
