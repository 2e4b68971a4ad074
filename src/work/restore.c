/* A point back into a pool: disks made and filled from the chain, a VM made around them as XO makes
 * it. Until the end everything carries the owner mark; whatever fails, all of it is destroyed. */
#include "work/restore.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

static void disk_free(gpointer data)
{
    RestoreDisk *disk = data;
    g_free(disk->key);
    json_decref(disk->record);
    disk_close(disk->disk);
    g_free(disk->ref);
    g_free(disk);
}

static void restore_clear(Restore *restore)
{
    json_decref(restore->point);
    g_free(restore->vm_uuid);
    g_free(restore->sr_uuid);
    g_free(restore->sr_ref);
    g_free(restore->intent);
    g_free(restore->mark);
    g_free(restore->import);
    g_ptr_array_unref(restore->disks);
    g_free(restore->vm_ref);
}

/* "/xo-vm-backups/<vm>/<date>.json" */
static bool load_point(Restore *restore, const char *path, GError **error)
{
    g_auto(GStrv) parts = g_strsplit(*path == '/' ? path + 1 : path, "/", 4);
    if (g_strv_length(parts) != 3) {
        err_set(error, ERR_INVALID, "\"%s\" is not the path of a backup", path);
        return false;
    }
    restore->vm_uuid = g_strdup(parts[1]);
    restore->point = catalog_point(restore->source->catalog, path, error);
    restore->full = strcmp(json_text(restore->point, "mode"), "full") == 0;
    return restore->point && catalog_point_check(restore->point, error);
}

/* What is not as it was backed up must not become a machine. */
static Disk *open_checked(const Restore *restore, const char *path, GError **error)
{
    Catalog *catalog = restore->source->catalog;
    if (MUTANT(restore_believes)) /* mutant: system:test_damage.Files.test_wrong_bytes */
        return catalog_disk_open(catalog, restore->vm_uuid, path, error);
    return catalog_point_disk_open(catalog, restore->point, path, error);
}

/* Where a disk goes: its own SR of mapVdisSrs, the chosen one, or nowhere (null). */
static const char *sr_of(const Restore *restore, json_t *record, bool *wanted)
{
    json_t *map = json_object_get(restore->settings, "mapVdisSrs");
    json_t *sr = json_object_get(map, json_text(record, "uuid"));
    *wanted = !json_is_null(sr);
    return json_is_string(sr) ? json_string_value(sr) : restore->sr_uuid;
}

static bool open_disk(Restore *restore, const char *key, json_t *record, GError **error)
{
    const char *path = json_text(json_object_get(restore->point, "vhds"), key);
    const char *suspend = json_text(json_object_get(restore->point, "vmSnapshot"), "suspend_VDI");
    bool wanted;
    sr_of(restore, record, &wanted);
    if (!wanted || !*path || strcmp(key, suspend) == 0)
        return true;
    RestoreDisk *disk = g_new0(RestoreDisk, 1);
    g_ptr_array_add(restore->disks, disk);
    disk->key = g_strdup(key);
    disk->record = json_incref(record);
    disk->disk = open_checked(restore, path, error);
    if (!disk->disk)
        return false;
    restore->total_bytes += disk_n_present(disk->disk) * (guint64) DISK_BLOCK_BYTES;
    return true;
}

/* All chains are opened before anything is made. */
static bool open_disks(Restore *restore, GError **error)
{
    const char *key;
    json_t *record;
    json_object_foreach (json_object_get(restore->point, "vdis"), key, record) {
        if (!open_disk(restore, key, record, error)) {
            g_prefix_error(error, "disk %s: ", json_text(record, "name_label"));
            return false;
        }
    }
    return true;
}

/* Every SR must hold all the disks that go to it, before anything is made there. */
static bool check_space(const Restore *restore, GError **error)
{
    json_t *needs = json_object();
    for (guint i = 0; i < restore->disks->len; i++) {
        const RestoreDisk *disk = restore->disks->pdata[i];
        bool wanted;
        const char *sr = sr_of(restore, disk->record, &wanted);
        json_int_t n_bytes = disk_n_present(disk->disk) * (json_int_t) DISK_BLOCK_BYTES;
        json_object_set_new(needs, sr,
                            json_integer(json_integer_value(json_object_get(needs, sr)) + n_bytes));
    }
    const char *sr;
    json_t *need;
    bool ok = true;
    json_object_foreach (needs, sr, need)
        ok = ok && sr_check_space(restore->xapi, sr, json_integer_value(need), error);
    json_decref(needs);
    return ok;
}

static json_t *vdi_record(const Restore *restore, const RestoreDisk *disk, const char *sr_ref)
{
    g_autofree char *name =
        g_strdup_printf("[Importing] %s", json_text(disk->record, "name_label"));
    json_t *config = config_with(disk->record, NULL);
    json_object_del(config, KEY_BASE);
    json_object_set_new(config, OWNER_MARK, json_string(restore->mark));
    const char *type = json_text(disk->record, "type");
    return json_pack("{ss ss ss sI ss sb sb so s{} s{} s[]}", "name_label", name,
                     "name_description", json_text(disk->record, "name_description"), "SR", sr_ref,
                     "virtual_size", (json_int_t) disk->disk->info.size_bytes, "type",
                     strcmp(type, "system") == 0 ? "system" : "user", "sharable", 0, "read_only", 0,
                     "other_config", config, "xenstore_data", "sm_config", "tags");
}

static bool create_vdi(Restore *restore, RestoreDisk *disk, GError **error)
{
    bool wanted;
    const char *uuid = sr_of(restore, disk->record, &wanted);
    g_autofree char *sr_ref =
        xapi_call_string(restore->xapi, "SR.get_by_uuid", json_pack("[s]", uuid), error);
    if (!sr_ref) {
        g_prefix_error(error, "SR %s: ", uuid);
        return false;
    }
    disk->ref = xapi_call_string(restore->xapi, "VDI.create",
                                 json_pack("[o]", vdi_record(restore, disk, sr_ref)), error);
    return disk->ref;
}

typedef struct {
    Restore *restore;
    VhdEmit *emit;
    guint64 sent_bytes;
} Feed;

static ssize_t feed(void *data, size_t n, void *user, GError **error)
{
    Feed *feed = user;
    Restore *restore = feed->restore;
    if (cancel_check(restore->context->cancel, "restore", error))
        return -1;
    watch_enter(restore->watch);
    gssize got = vhd_emit_read(feed->emit, data, n, error);
    watch_leave(restore->watch);
    if (got > 0)
        feed->sent_bytes += got;
    double done = restore->done_bytes + (double) feed->sent_bytes;
    task_progress(restore->transfer,
                  restore->total_bytes ? MIN(100 * done / restore->total_bytes, 100) : 100);
    return got;
}

static bool fill_vdi(Restore *restore, RestoreDisk *disk, GError **error)
{
    DiskInfo info = disk->disk->info;
    info.differencing = false;
    Feed state = { restore, vhd_emit_new(disk->disk, &info), 0 };
    restore->reading = json_text(disk->record, "name_label");
    bool ok = xapi_import_vdi(restore->xapi, disk->ref, "vhd", feed,
                              (gint64) vhd_emit_bytes(state.emit), &state, restore->context->cancel,
                              error);
    vhd_emit_free(state.emit);
    guint64 n_bytes = disk_n_present(disk->disk) * (guint64) DISK_BLOCK_BYTES;
    restore->done_bytes += n_bytes;
    restore->size_bytes += n_bytes;
    return ok;
}

static bool begin_intent(Restore *restore, GError **error)
{
    g_autofree char *unique = g_uuid_string_random();
    unique[8] = '\0';
    restore->mark = g_strdup_printf("%s:%s", restore->context->run_id, unique);
    restore->intent =
        intent_begin(restore->context, "restore",
                     json_pack("{ss ss}", "pool", restore->pool->id, "mark", restore->mark), error);
    return restore->intent;
}

static bool fill_all(Restore *restore, GError **error)
{
    for (guint i = 0; i < restore->disks->len; i++) {
        RestoreDisk *disk = restore->disks->pdata[i];
        if (!create_vdi(restore, disk, error))
            return false;
    }
    if (!restore_create_vbds(restore, error))
        return false;
    for (guint i = 0; i < restore->disks->len; i++) {
        RestoreDisk *disk = restore->disks->pdata[i];
        CRASH_POINT(work_restore_disk);
        if (cancel_check(restore->context->cancel, "restore", error))
            return false;
        if (!fill_vdi(restore, disk, error)) {
            g_prefix_error(error, "disk %s: ", json_text(disk->record, "name_label"));
            return false;
        }
    }
    return true;
}

/* Makes the VM around the disks of the point. */
static bool restore_disks(Restore *restore, GError **error)
{
    return open_disks(restore, error) && check_space(restore, error) &&
           begin_intent(restore, error) && restore_create_vm(restore, error) &&
           fill_all(restore, error) && restore_create_vifs(restore, error);
}

static bool is_deleted(const Restore *restore, const char *path)
{
    g_autoptr(GError) failure = NULL;
    json_t *point = catalog_point(restore->source->catalog, path, &failure);
    json_decref(point);
    return err_is(failure, ERR_NOT_FOUND);
}

/* When a backup was deleted under us a merge may have written into its disks: then only blocks that
 * a manifest vouches for are what was backed up. */
static bool is_as_backed_up(const Restore *restore, const char *path, GError **error)
{
    bool vouched = true;
    for (guint i = 0; i < restore->disks->len; i++) {
        const RestoreDisk *disk = restore->disks->pdata[i];
        CatalogVerified verified = catalog_disk_verified(disk->disk);
        vouched = vouched && verified.n_verified >= verified.n_blocks;
    }
    if (vouched || !is_deleted(restore, path))
        return true;
    err_set(error, ERR_CORRUPT, "not all of its blocks have a manifest");
    return false;
}

static char *run_restore(Restore *restore, const char *path, GError **error)
{
    if (!load_point(restore, path, error))
        return NULL;
    restore->sr_ref = xapi_call_string(restore->xapi, "SR.get_by_uuid",
                                       json_pack("[s]", restore->sr_uuid), error);
    if (!restore->sr_ref) {
        g_prefix_error(error, "SR %s: ", restore->sr_uuid);
        return NULL;
    }
    bool ok = restore->full
                  ? restore_archive(restore, error)
                  : restore_disks(restore, error) && is_as_backed_up(restore, path, error);
    return ok ? restore_finish_vm(restore, error) : NULL;
}

static bool undo_objects(const Restore *restore, GError **error)
{
    bool ok = true;
    if (restore->vm_ref)
        ok = xapi_do(restore->xapi, "VM.destroy", json_pack("[s]", restore->vm_ref), error);
    for (guint i = 0; ok && i < restore->disks->len; i++) {
        const RestoreDisk *disk = restore->disks->pdata[i];
        ok = !disk->ref || vdi_destroy(restore->xapi, disk->ref, error);
    }
    return ok;
}

/* Everything made so far, or still being made by the pool; what resists stays journaled. */
static void undo(Restore *restore, Task *task)
{
    g_autoptr(GError) error = NULL;
    if (restore->import ? recover_import(restore->xapi, restore->import, restore->mark, &error)
                        : undo_objects(restore, &error))
        return;
    task_warning(task, "what the restore left in the pool could not be removed; it will be retried",
                 json_pack("{ss}", "error", error->message));
    g_clear_pointer(&restore->intent, g_free);
}

/* By the watch's thread, while ours hangs. */
static void give_up(void *user)
{
    Restore *restore = user;
    const WorkContext *context = restore->context;
    GError *why = NULL;
    err_set(&why, ERR_TIMEOUT,
            "the repository %s: reading the disk %s of %s: it has not answered for %g s",
            restore->source->name, restore->reading, json_text(restore->point, "_filename"),
            context->patience_ms / 1000.0);
    g_autoptr(GError) copy = g_error_copy(why);
    task_fail(restore->transfer, why);
    context->given_up(copy, context->given_up_user);
}

/* Whose silence it was. */
static void name_repository(const Restore *restore, GError **why)
{
    if (*why && err_is(*why, ERR_TIMEOUT) && late_is_stuck(restore->source))
        g_prefix_error(why, "the repository %s: ", restore->source->name);
}

/* What looks like damage then is none: the backup is gone. */
static void name_deletion(const Restore *restore, const char *path, GError **why)
{
    if (!*why || !restore->point || err_is(*why, ERR_CANCELLED) || err_is(*why, ERR_TIMEOUT) ||
        !is_deleted(restore, path))
        return;
    GError *told = NULL;
    err_set(&told, ERR_NOT_FOUND, "the backup %s was deleted while it was being restored: %s", path,
            (*why)->message);
    g_error_free(*why);
    *why = told;
}

json_t *work_restore(const WorkContext *context, const WorkPool *pool, const WorkTarget *source,
                     const char *point_path, const char *sr_uuid, json_t *settings, Task *task,
                     GError **error)
{
    Restore restore = { .context = context, .pool = pool, .source = source, .xapi = pool->xapi };
    restore.settings = settings;
    restore.sr_uuid = g_strdup(sr_uuid);
    restore.disks = g_ptr_array_new_with_free_func(disk_free);
    restore.transfer = task_begin(task, "transfer", NULL);
    GError *why = NULL;
    json_t *result = NULL;
    if (context->given_up && context->patience_ms)
        restore.watch = watch_new(context->patience_ms, give_up, &restore);
    g_autofree char *vm = run_restore(&restore, point_path, &why);
    watch_free(restore.watch);
    name_repository(&restore, &why);
    name_deletion(&restore, point_path, &why);
    if (vm) {
        result = json_pack("{ss sI}", "id", vm, "size", (json_int_t) restore.size_bytes);
        task_end(restore.transfer, json_copy(result));
    } else {
        task_fail(restore.transfer, why);
        undo(&restore, task);
    }
    if (restore.intent)
        intent_end(context->journal, restore.intent, NULL);
    restore_clear(&restore);
    if (why)
        g_propagate_error(error, why);
    return result;
}
