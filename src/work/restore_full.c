/* A full backup back into a pool: the archive goes to the pool's import, which makes the VM. It is
 * checked on the way, and its end is held back until it is known to be sound, so that a damaged one
 * leaves nothing behind. */
#include "work/restore.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/archive.h"

#include <string.h>

typedef struct {
    Restore *restore;
    CatalogArchiveReader *reader;
} Upload;

static ssize_t feed(void *data, size_t n, void *user, GError **error)
{
    Upload *upload = user;
    Restore *restore = upload->restore;
    if (cancel_check(restore->context->cancel, "restore", error))
        return -1;
    gssize given = catalog_archive_read(upload->reader, data, n, error);
    restore->done_bytes += (guint64) MAX(given, 0);
    task_progress(restore->transfer,
                  100 * (double) restore->done_bytes / (double) MAX(restore->total_bytes, 1));
    return given;
}

/* The pool's task is journaled before the first byte: it knows what it makes, should we die. */
static bool on_begun(const char *task, void *user, GError **error)
{
    Restore *restore = ((Upload *) user)->restore;
    g_autofree char *unique = g_uuid_string_random();
    unique[8] = '\0';
    restore->mark = g_strdup_printf("%s:%s", restore->context->run_id, unique);
    restore->intent = intent_begin(
        restore->context, "import",
        json_pack("{ss ss ss}", "pool", restore->pool->id, "mark", restore->mark, "task", task),
        error);
    if (restore->intent)
        restore->import = g_strdup(task);
    return restore->intent;
}

/* The archive brings the keys of the backup along. */
static bool take_object(Restore *restore, const char *cls, const char *ref, json_t *record,
                        GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.add_to_other_config", cls);
    return remove_keys(restore->xapi, cls, ref, record, true, error) &&
           xapi_do(restore->xapi, method, json_pack("[sss]", ref, OWNER_MARK, restore->mark),
                   error);
}

static bool take_disk(Restore *restore, const char *vbd_ref, GError **error)
{
    json_t *vbd = get_record(restore->xapi, "VBD", vbd_ref, error);
    const char *ref = json_text(vbd, "VDI");
    bool is_disk = strcmp(json_text(vbd, "type"), "Disk") == 0 && is_ref(ref);
    json_t *vdi = is_disk ? get_record(restore->xapi, "VDI", ref, error) : NULL;
    bool ok = vbd && (!is_disk || vdi);
    if (vdi) {
        RestoreDisk *disk = g_new0(RestoreDisk, 1);
        disk->ref = g_strdup(ref);
        disk->record = json_incref(vdi);
        g_ptr_array_add(restore->disks, disk);
        ok = take_object(restore, "VDI", ref, vdi, error);
    }
    json_decref(vdi);
    json_decref(vbd);
    return ok;
}

/* While the task is still there: from here on the mark says whose it is. */
static bool on_made(const char *const *vms, void *user, GError **error)
{
    Restore *restore = ((Upload *) user)->restore;
    if (!vms[0] || vms[1]) {
        err_set(error, ERR_PROTOCOL, "the import made %u VMs", g_strv_length((char **) vms));
        return false;
    }
    restore->vm_ref = g_strdup(vms[0]);
    CRASH_POINT(work_imported);
    json_t *vm = get_record(restore->xapi, "VM", restore->vm_ref, error);
    bool ok = vm && take_object(restore, "VM", restore->vm_ref, vm, error);
    size_t i;
    json_t *vbd;
    json_array_foreach (json_object_get(vm, "VBDs"), i, vbd)
        ok = ok && take_disk(restore, json_string_value(vbd), error);
    json_decref(vm);
    return ok;
}

bool restore_archive(Restore *restore, GError **error)
{
    XvaStreamOps ops = { 0 };
    g_autoptr(CatalogArchiveReader)
        reader = catalog_archive_open(restore->source->catalog, restore->point, &ops, error);
    if (!reader)
        return false;
    Upload upload = { restore, reader };
    restore->total_bytes = catalog_archive_size(reader);
    if (!sr_check_space(restore->xapi, restore->sr_uuid, restore->total_bytes, error))
        return false;
    XapiImport import = { .source = feed,
                          .n_bytes = (gint64) restore->total_bytes,
                          .begun = on_begun,
                          .made = on_made,
                          .user = &upload };
    restore->size_bytes = restore->total_bytes;
    if (!xapi_import_vm(restore->xapi, restore->sr_ref, &import, restore->context->cancel, error))
        return false;
    g_clear_pointer(&restore->import, g_free);
    return true;
}
