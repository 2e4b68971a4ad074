/* The box of the tests of work/. */
#include "box.h"

#include "sim/fault_rules.h"

#include <sys/stat.h>

static void open_target(Box *box, unsigned i, const char *options)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *url = g_strdup_printf("file://%s/remote%u%s", box->folder, i, options);
    box->remotes[i] = remote_open(url, &error);
    box->catalogs[i] = box->remotes[i] ? catalog_open(box->remotes[i], &error) : NULL;
    if (!box->catalogs[i])
        fail_msg("%s", error->message);
    box->targets[i] = (WorkTarget){ i ? "remote-1" : "remote-0", i ? "second" : "first",
                                    box->remotes[i], box->catalogs[i] };
}

static void start_pool(Box *box, unsigned n_disks)
{
    g_autoptr(GError) error = NULL;
    SimOptions options;
    sim_options_init(&options);
    options.listen = "127.0.0.1:0";
    options.control = "127.0.0.1:0";
    options.data_dir = box->folder;
    options.n_hosts = 1;
    options.n_vms = 2;
    options.n_disks = n_disks;
    options.n_running = 1;
    options.disk_bytes = 40 << 20;
    options.allocated = 0.5;
    options.seed = 7;
    options.username = "root";
    options.password = "secret";
    options.op_delay_ms = 0;
    box->sim = sim_new(&options, &error);
    if (!box->sim || !sim_start(box->sim, &error))
        fail_msg("%s", error->message);
    fault_set_coalesce_delay(box->sim, 0.01);
    g_autofree char *text = sim_addresses(box->sim);
    json_t *addresses = json_loads(text, 0, NULL);
    XapiConfig config = { .host = json_string_value(json_object_get(addresses, "url")),
                          .username = "root",
                          .password = "secret",
                          .trust = HTTP_TRUST_ANY };
    box->xapi = xapi_new(&config);
    json_decref(addresses);
    if (!xapi_login(box->xapi, &error))
        fail_msg("%s", error->message);
}

char *box_call(Box *box, const char *method, json_t *params)
{
    g_autoptr(GError) error = NULL;
    char *text = xapi_call_string(box->xapi, method, params, &error);
    if (!text)
        fail_msg("%s: %s", method, error->message);
    return text;
}

json_t *box_record(Box *box, const char *cls, const char *ref)
{
    g_autoptr(GError) error = NULL;
    json_t *record = get_record(box->xapi, cls, ref, &error);
    if (!record)
        fail_msg("%s %s: %s", cls, ref, error->message);
    return record;
}

static void see_vm(const char *cls, const char *ref, json_t *record, void *user)
{
    Box *box = user;
    if (!box->vm && json_is_false(json_object_get(record, "is_a_template")) &&
        json_is_false(json_object_get(record, "is_control_domain")) &&
        strcmp(json_text(record, "power_state"), "Running") == 0)
        box->vm = g_strdup(json_text(record, "uuid"));
    json_decref(record);
}

Box *box_new(unsigned n_disks, const char *options, unsigned n_targets)
{
    Box *box = g_new0(Box, 1);
    box->folder = g_dir_make_tmp("cadenza-work-XXXXXX", NULL);
    start_pool(box, n_disks);
    assert_true(xapi_all_records(box->xapi, "VM", see_vm, box, NULL));
    assert_non_null(box->vm);
    for (unsigned i = 0; i < n_targets; i++)
        open_target(box, i, options);
    box->pool = (WorkPool){ "pool", box->xapi };
    g_autofree char *journal = g_build_filename(box->folder, "journal", NULL);
    box->journal = journal_open(journal, NULL);
    box->job =
        json_pack("{ss ss ss s{}}", "id", JOB, "name", "nightly", "mode", "delta", "settings");
    box->settings = json_pack("{si sb}", "exportRetention", 2, "bypassVdiChainsCheck", 0);
    box->cancel = cancel_new();
    box->context = (WorkContext){
        .job = box->job,
        .schedule_id = SCHEDULE,
        .run_id = "1768615200123",
        .settings = box->settings,
        .targets = box->targets,
        .n_targets = n_targets,
        .journal = box->journal,
        .cancel = box->cancel,
    };
    return box;
}

void box_free(Box *box)
{
    char *argv[] = { "rm", "-rf", box->folder, NULL };
    tasklog_free(box->log);
    for (unsigned i = 0; i < 2; i++) {
        catalog_close(box->catalogs[i]);
        remote_close(box->remotes[i]);
    }
    xapi_free(box->xapi);
    sim_free(box->sim);
    journal_close(box->journal);
    json_decref(box->job);
    json_decref(box->settings);
    cancel_unref(box->cancel);
    g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL);
    g_free(box->folder);
    g_free(box->vm);
    g_free(box);
}

bool box_backup(Box *box, GError **error)
{
    GError *why = NULL;
    tasklog_free(box->log);
    box->log = tasklog_new("1768615200123", "backup", NULL, g_get_real_time() / 1000, NULL, NULL);
    Task *task = task_begin(tasklog_root(box->log), "backup VM",
                            json_pack("{ss ss}", "type", "VM", "id", box->vm));
    bool ok = work_backup_vm(&box->context, &box->pool, box->vm, task, NULL, &why);
    if (ok)
        task_end(task, NULL);
    else
        task_fail(task, why);
    assert_int_equal(ok, why == NULL);
    if (why)
        g_propagate_error(error, why);
    return ok;
}

json_t *box_log(Box *box)
{
    return tasklog_view(box->log, true);
}

static GPtrArray *disks_of(Box *box, const char *vm_uuid)
{
    GPtrArray *refs = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *ref = box_call(box, "VM.get_by_uuid", json_pack("[s]", vm_uuid));
    json_t *vm = box_record(box, "VM", ref), *vbd_ref;
    size_t i;
    json_array_foreach (json_object_get(vm, "VBDs"), i, vbd_ref) {
        json_t *vbd = box_record(box, "VBD", json_string_value(vbd_ref));
        if (strcmp(json_text(vbd, "type"), "Disk") == 0)
            g_ptr_array_add(refs, g_strdup(json_text(vbd, "VDI")));
        json_decref(vbd);
    }
    json_decref(vm);
    return refs;
}

void box_enable_cbt(Box *box)
{
    g_autoptr(GPtrArray) refs = disks_of(box, box->vm);
    for (guint i = 0; i < refs->len; i++)
        assert_true(xapi_do(box->xapi, "VDI.enable_cbt", json_pack("[s]", refs->pdata[i]), NULL));
}

void box_write(Box *box, guint32 seed)
{
    g_autoptr(GPtrArray) refs = disks_of(box, box->vm);
    guint32 blocks[] = { seed % 20, (seed * 7 + 3) % 20 };
    for (guint i = 0; i < refs->len; i++) {
        g_autoptr(GError) error = NULL;
        sim_lock(box->sim);
        bool ok = storage_guest_write(box->sim, refs->pdata[i], 0, blocks, 2, seed + i, &error) &&
                  storage_guest_write(box->sim, refs->pdata[i], 300000, NULL, 0, seed + i, &error);
        sim_unlock(box->sim);
        if (!ok)
            fail_msg("%s", error->message);
    }
}

json_t *box_digests(Box *box, const char *vm_uuid)
{
    json_t *digests = json_object();
    g_autoptr(GPtrArray) refs = disks_of(box, vm_uuid);
    for (guint i = 0; i < refs->len; i++) {
        json_t *vdi = box_record(box, "VDI", refs->pdata[i]);
        sim_lock(box->sim);
        g_autofree char *sum = storage_vdi_digest(box->sim, refs->pdata[i], NULL);
        sim_unlock(box->sim);
        assert_non_null(sum);
        json_object_set_new(digests, json_text(vdi, "uuid"), json_string(sum));
        json_decref(vdi);
    }
    return digests;
}

static char *disk_digest(Disk *disk)
{
    g_autoptr(Hash) hash = hash_new(HASH_SHA256);
    g_autofree guint8 *data = g_malloc(DISK_BLOCK_BYTES);
    for (guint64 at = 0; at < disk->info.size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - at);
        g_autoptr(GError) error = NULL;
        if (!disk_read(disk, at, data, n, &error))
            fail_msg("%s", error->message);
        hash_add(hash, data, n);
    }
    return hash_end_hex(hash);
}

json_t *box_point_digests(Box *box, unsigned target, json_t *point)
{
    json_t *digests = json_object(), *path;
    const char *ref;
    json_object_foreach (json_object_get(point, "vhds"), ref, path) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Disk) disk =
            catalog_disk_open(box->catalogs[target], box->vm, json_string_value(path), &error);
        if (!disk)
            fail_msg("%s: %s", json_string_value(path), error->message);
        json_t *vdi = json_object_get(json_object_get(point, "vdis"), ref);
        g_autofree char *sum = disk_digest(disk);
        json_object_set_new(digests, json_text(vdi, "$snapshot_of$uuid"), json_string(sum));
    }
    return digests;
}

json_t *box_points(Box *box, unsigned target)
{
    g_autoptr(GError) error = NULL;
    json_t *points = catalog_points(box->catalogs[target], box->vm, NULL, &error);
    if (!points)
        fail_msg("%s", error->message);
    return points;
}

typedef struct {
    unsigned n_snapshots;
} Left;

static void check_object(const char *cls, const char *ref, json_t *record, void *user)
{
    if (config_text(record, OWNER_MARK))
        fail_msg("%s %s still has the mark", cls, ref);
    if (strcmp(cls, "VM") == 0) {
        ((Left *) user)->n_snapshots += json_is_true(json_object_get(record, "is_a_snapshot"));
        assert_null(json_object_get(json_object_get(record, "blocked_operations"), "pool_migrate"));
        assert_null(json_object_get(json_object_get(record, "blocked_operations"), "migrate_send"));
    }
    json_decref(record);
}

void box_check_clean(Box *box, unsigned n_snapshots)
{
    Left vms = { 0 }, vdis = { 0 };
    assert_true(xapi_all_records(box->xapi, "VM", check_object, &vms, NULL));
    assert_true(xapi_all_records(box->xapi, "VDI", check_object, &vdis, NULL));
    assert_int_equal(vms.n_snapshots, n_snapshots);
    json_t *records = journal_records(box->journal, NULL);
    int n_open = 0;
    size_t i;
    json_t *record;
    json_array_foreach (records, i, record)
        n_open += !strcmp(json_text(record, "type"), "work.begin") ? 1
                  : !strcmp(json_text(record, "type"), "work.end") ? -1
                                                                   : 0;
    json_decref(records);
    assert_int_equal(n_open, 0);
}
