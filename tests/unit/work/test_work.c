/* Backups and restores against the simulated pool: every point's bytes are compared with the
 * simulator's, and after every failure nothing may be left behind. */
#include "box.h"

#include "sim/fault_rules.h"

static void dump(json_t *value)
{
    g_autofree char *text = json_dumps(value, JSON_INDENT(1));
    print_message("%s\n", text);
}

static void backup_ok(Box *box)
{
    g_autoptr(GError) error = NULL;
    if (!box_backup(box, &error)) {
        dump(box_log(box));
        fail_msg("%s", error->message);
    }
    json_t *log = box_log(box);
    if (strcmp(json_text(log, "status"), "success") != 0 &&
        strcmp(json_text(json_array_get(json_object_get(log, "tasks"), 0), "status"), "success")) {
        dump(log);
        fail_msg("the log is not green");
    }
    json_decref(log);
}

static bool task_is_full(json_t *log)
{
    size_t i;
    json_t *vm = json_array_get(json_object_get(log, "tasks"), 0), *task;
    json_array_foreach (json_object_get(vm, "tasks"), i, task)
        if (strcmp(json_text(task, "message"), "export") == 0)
            return json_is_true(json_object_get(json_object_get(task, "data"), "isFull"));
    fail_msg("no export task");
    return false;
}

static bool last_was_full(Box *box)
{
    json_t *log = box_log(box);
    bool full = task_is_full(log);
    json_decref(log);
    return full;
}

static void restore_ok(Box *box, json_t *point, json_t *want)
{
    g_autoptr(GError) error = NULL;
    json_t *any = json_object_iter_value(json_object_iter(json_object_get(point, "vdis")));
    json_t *sr = json_object_get(any, "$SR$uuid");
    g_autoptr(TaskLog) log = tasklog_new("1", "restore", NULL, 1, NULL, NULL);
    json_t *result = work_restore(&box->context, &box->pool, &box->targets[0],
                                  json_text(point, "_filename"), json_string_value(sr), NULL,
                                  tasklog_root(log), &error);
    if (!result)
        fail_msg("%s", error->message);
    json_t *digests = box_digests(box, json_text(result, "id"));
    assert_int_equal(json_object_size(digests), json_object_size(want));
    const char *key;
    json_t *sum, *other;
    json_object_foreach (want, key, sum) {
        bool found = false;
        const char *restored;
        json_object_foreach (digests, restored, other)
            found = found || json_equal(sum, other);
        assert_true(found);
    }
    g_autofree char *ref =
        box_call(box, "VM.get_by_uuid", json_pack("[s]", json_text(result, "id")));
    json_t *vm = box_record(box, "VM", ref);
    json_t *stored = json_object_get(point, "vm");
    g_autofree char *date = catalog_date(json_integer_value(json_object_get(point, "timestamp")));
    g_autofree char *name = g_strdup_printf("%s (%s)", json_text(stored, "name_label"), date);
    assert_string_equal(json_text(vm, "name_label"), name);
    assert_true(g_str_has_prefix(json_text(vm, "name_description"), "Restored on "));
    assert_non_null(strstr(json_text(vm, "name_description"), " from first"));
    assert_int_equal(json_object_size(json_object_get(vm, "blocked_operations")), 0);
    assert_int_equal(json_array_size(json_object_get(vm, "VIFs")),
                     json_object_size(json_object_get(point, "vifs")));
    json_decref(vm);
    json_decref(result);
    json_decref(digests);
}

/* How the first disk was read, as the export's task says. */
static void check_method(Box *box, const char *method)
{
    json_t *log = box_log(box);
    json_t *vm = json_array_get(json_object_get(log, "tasks"), 0), *task;
    size_t i;
    bool found = false;
    json_array_foreach (json_object_get(vm, "tasks"), i, task) {
        json_t *info = json_array_get(json_object_get(task, "infos"), 0);
        if (strcmp(json_text(json_object_get(info, "data"), "method"), method) == 0)
            found = true;
    }
    if (!found) {
        dump(log);
        fail_msg("not read by %s", method);
    }
    json_decref(log);
}

/* Full, three deltas, merges, and what every point holds after each. `nbd`: NULL, "bat" or "cbt".
 */
static void chain_story(const char *options, const char *nbd)
{
    Box *box = box_new(2, options, 1);
    bool cbt = g_strcmp0(nbd, "cbt") == 0;
    json_object_set_new(box->settings, "preferNbd", json_boolean(nbd != NULL));
    json_object_set_new(box->settings, "nbdConcurrency", json_integer(2));
    if (cbt)
        box_enable_cbt(box);
    json_t *want[4];
    for (unsigned run = 0; run < 4; run++) {
        box_write(box, run + 1);
        want[run] = box_digests(box, box->vm);
        backup_ok(box);
        assert_int_equal(last_was_full(box), run == 0);
        check_method(box, !nbd ? "vhd" : cbt && run > 0 ? "nbd+cbt" : "nbd+bat");
        json_t *points = box_points(box, 0);
        size_t n = json_array_size(points);
        assert_int_equal(n, MIN(run + 1, 2));
        for (size_t i = 0; i < n; i++) {
            json_t *have = box_point_digests(box, 0, json_array_get(points, i));
            if (!json_equal(have, want[run + 1 - n + i])) {
                dump(have);
                dump(want[run + 1 - n + i]);
                fail_msg("run %u: point %zu differs", run, i);
            }
            json_decref(have);
        }
        json_decref(points);
        box_check_clean(box, 1);
    }
    json_t *points = box_points(box, 0);
    restore_ok(box, json_array_get(points, 0), want[2]);
    restore_ok(box, json_array_get(points, 1), want[3]);
    json_decref(points);
    box_check_clean(box, 1);
    for (unsigned run = 0; run < 4; run++)
        json_decref(want[run]);
    box_free(box);
}

static void test_flat_http(void **state)
{
    chain_story("", NULL);
}

static void test_directory_nbd(void **state)
{
    chain_story("?useVhdDirectory=true", "bat");
}

static void test_flat_cbt(void **state)
{
    chain_story("", "cbt");
}

/* Two targets: each point everywhere; a target whose chain is gone forces a full, with the reason.
 */
static void test_two_targets(void **state)
{
    Box *box = box_new(1, "?useVhdDirectory=true", 2);
    backup_ok(box);
    box_write(box, 5);
    backup_ok(box);
    assert_false(last_was_full(box));
    g_autofree char *path =
        g_build_filename(box->folder, "remote1", "xo-vm-backups", box->vm, NULL);
    char *argv[] = { "rm", "-rf", path, NULL };
    assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL, NULL));
    box_write(box, 6);
    json_t *want = box_digests(box, box->vm);
    backup_ok(box);
    assert_true(last_was_full(box));
    for (unsigned i = 0; i < 2; i++) {
        json_t *points = box_points(box, i);
        json_t *have =
            box_point_digests(box, i, json_array_get(points, json_array_size(points) - 1));
        assert_true(json_equal(have, want));
        json_decref(have);
        json_decref(points);
    }
    json_decref(want);
    box_free(box);
}

static void fault(Box *box, const char *text)
{
    json_t *spec = json_loads(text, 0, NULL);
    assert_non_null(spec);

    g_autoptr(GError) error = NULL;
    if (!fault_add(box->sim, spec, &error))
        fail_msg("%s", error->message);
    json_decref(spec);
}

static void clear_faults(Box *box)
{

    fault_clear(box->sim);
}

/* A stream cut, a snapshot refused, a record refused: an error, the earlier point whole, no litter.
 */
static void test_failures(void **state)
{
    static const char *const faults[] = {
        "{\"kind\":\"cut\",\"path\":\"/export_raw_vdi\",\"at\":3000000,\"count\":100}",
        "{\"kind\":\"error\",\"method\":\"VM.snapshot\",\"nth\":1,\"count\":1,"
        "\"error\":[\"SR_BACKEND_FAILURE_44\",\"\",\"There is insufficient space\",\"\"]}",
        "{\"kind\":\"error\",\"method\":\"VDI.set_other_config\",\"nth\":1,\"count\":1,"
        "\"error\":[\"INTERNAL_ERROR\",\"x\"]}",
    };
    Box *box = box_new(1, "", 1);
    json_t *want = box_digests(box, box->vm);
    backup_ok(box);
    box_write(box, 3);
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autoptr(GError) error = NULL;
        fault(box, faults[i]);
        assert_false(box_backup(box, &error));
        clear_faults(box);
        box_check_clean(box, 1);
        json_t *points = box_points(box, 0);
        assert_int_equal(json_array_size(points), 1);
        json_t *have = box_point_digests(box, 0, json_array_get(points, 0));
        assert_true(json_equal(have, want));
        json_decref(have);
        json_decref(points);
    }
    backup_ok(box);
    assert_false(last_was_full(box));
    json_decref(want);
    box_free(box);
}

/* The point is there, its snapshot half kept: of the pool's objects nothing stays behind, whichever
 * got its keys. */
static void test_keeping_fails(void **state)
{
    static const char *const faults[] = {
        "{\"kind\":\"error\",\"method\":\"VDI.set_other_config\",\"nth\":3,\"count\":1,"
        "\"error\":[\"INTERNAL_ERROR\",\"x\"]}",
        "{\"kind\":\"error\",\"method\":\"VM.set_other_config\",\"nth\":2,\"count\":1,"
        "\"error\":[\"INTERNAL_ERROR\",\"x\"]}",
    };
    Box *box = box_new(2, "", 1);
    backup_ok(box);
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++) {
        g_autoptr(GError) error = NULL;
        fault(box, faults[i]);
        assert_false(box_backup(box, &error));
        clear_faults(box);
        box_check_clean(box, 1);
    }
    backup_ok(box);
    box_check_clean(box, 1);
    box_free(box);
}

static gpointer cancel_soon(gpointer data)
{
    g_usleep(700000);
    cancel_set(data);
    return NULL;
}

/* When the stream stopped: the snapshot is removed after that, once the pool lets go of it. */
static gint64 transfer_end(Box *box)
{
    json_t *log = box_log(box);
    json_t *vm = json_array_get(json_object_get(log, "tasks"), 0), *task;
    gint64 end_ms = 0;
    size_t i;
    json_array_foreach (json_object_get(vm, "tasks"), i, task)
        if (strcmp(json_text(task, "message"), "export") == 0)
            end_ms = json_integer_value(json_object_get(task, "end"));
    json_decref(log);
    assert_int_not_equal(end_ms, 0);
    return end_ms;
}

static void test_cancel(void **state)
{
    Box *box = box_new(1, "", 1);
    g_autoptr(GError) error = NULL;
    fault(
        box,
        "{\"kind\":\"stall\",\"path\":\"/export_raw_vdi\",\"at\":9000000,\"ms\":4000,\"count\":1}");
    GThread *thread = g_thread_new("cancel", cancel_soon, box->cancel);
    gint64 start_ms = g_get_real_time() / 1000;
    assert_false(box_backup(box, &error));
    assert_true(err_is(error, ERR_CANCELLED));
    gint64 end_ms = transfer_end(box);
    if (end_ms - start_ms > 5000)
        fail_msg("streams stopped only after %d ms", (int) (end_ms - start_ms));
    g_thread_join(thread);
    clear_faults(box);
    box_check_clean(box, 0);
    box_free(box);
}

/* A worker that died after the snapshot and one that died in a restore; a stranger's mark stays. */
static void test_recover(void **state)
{
    Box *box = box_new(1, "", 1);
    backup_ok(box);
    g_autofree char *vm_ref = box_call(box, "VM.get_by_uuid", json_pack("[s]", box->vm));
    json_t *was = json_pack("{sn sn}", "pool_migrate", "migrate_send");
    g_autofree char *intent = intent_begin(
        &box->context, "vm",
        json_pack("{ss ss ss so}", "pool", "pool", "vm", box->vm, "mark", "1:a", "blocked", was),
        NULL);
    assert_true(xapi_do(box->xapi, "VM.add_to_blocked_operations",
                        json_pack("[sss]", vm_ref, "pool_migrate", BLOCKED_REASON), NULL));
    assert_true(xapi_do(box->xapi, "VM.add_to_other_config",
                        json_pack("[sss]", vm_ref, OWNER_MARK, "1:a"), NULL));
    g_autofree char *snapshot =
        box_call(box, "VM.snapshot", json_pack("[ss]", vm_ref, TEMPORARY_SNAPSHOT));
    g_autofree char *manual = box_call(box, "VM.snapshot", json_pack("[ss]", vm_ref, "by hand"));

    g_autofree char *restore = intent_begin(
        &box->context, "restore", json_pack("{ss ss}", "pool", "pool", "mark", "1:b"), NULL);
    g_autofree char *ours = box_call(box, "VM.clone", json_pack("[ss]", manual, "half"));
    g_autofree char *theirs = box_call(box, "VM.clone", json_pack("[ss]", manual, "other"));
    for (int i = 0; i < 2; i++)
        assert_true(xapi_do(box->xapi, "VM.set_other_config",
                            json_pack("[s{ss}]", i ? theirs : ours, OWNER_MARK, i ? "1:c" : "1:b"),
                            NULL));

    WorkPool stranger = { "elsewhere", box->xapi };
    unsigned n_left = 0;
    assert_true(work_recover(box->journal, &stranger, 1, NULL, 0, &n_left, NULL));
    assert_int_equal(n_left, 2);
    g_autoptr(GError) error = NULL;
    if (!work_recover(box->journal, &box->pool, 1, NULL, 0, &n_left, &error))
        fail_msg("%s", error->message);
    assert_int_equal(n_left, 0);
    assert_null(get_record(box->xapi, "VM", snapshot, NULL));
    assert_null(get_record(box->xapi, "VM", ours, NULL));
    json_t *record = box_record(box, "VM", theirs);
    assert_string_equal(config_text(record, OWNER_MARK), "1:c");
    json_decref(record);
    assert_true(xapi_do(box->xapi, "VM.destroy", json_pack("[s]", theirs), NULL));
    record = box_record(box, "VM", manual);
    json_decref(record);
    assert_true(snapshot_destroy(box->xapi, manual, NULL));
    box_check_clean(box, 1);
    box_free(box);
}

/* Dead between the end of a marked snapshot and that of its disks; a stranger's snapshot, taken
 * while the mark was on the machine, keeps its disks. */
static void test_recover_disks(void **state)
{
    Box *box = box_new(1, "", 1);
    g_autofree char *vm_ref = box_call(box, "VM.get_by_uuid", json_pack("[s]", box->vm));
    g_autofree char *taken =
        box_call(box, "VM.snapshot", json_pack("[ss]", vm_ref, TEMPORARY_SNAPSHOT));
    g_autofree char *manual = box_call(box, "VM.snapshot", json_pack("[ss]", vm_ref, "by hand"));
    const char *const snapshots[] = { taken, manual };
    char *disks[2] = { NULL, NULL };
    json_t *was = json_pack("{sn sn}", "pool_migrate", "migrate_send");
    g_autofree char *intent = intent_begin(
        &box->context, "vm",
        json_pack("{ss ss ss so}", "pool", "pool", "vm", box->vm, "mark", "1:d", "blocked", was),
        NULL);
    for (unsigned i = 0; i < 2; i++) {
        json_t *snapshot = box_record(box, "VM", snapshots[i]), *vbd;
        size_t j;
        json_array_foreach (json_object_get(snapshot, "VBDs"), j, vbd) {
            json_t *record = box_record(box, "VBD", json_string_value(vbd));
            if (strcmp(json_text(record, "type"), "Disk") == 0)
                disks[i] = g_strdup(json_text(record, "VDI"));
            json_decref(record);
        }
        json_decref(snapshot);
        assert_true(xapi_do(box->xapi, "VDI.set_other_config",
                            json_pack("[s{ss}]", disks[i], OWNER_MARK, "1:d"), NULL));
    }
    assert_true(xapi_do(box->xapi, "VM.destroy", json_pack("[s]", taken), NULL));
    unsigned n_left = 1;
    assert_true(work_recover(box->journal, &box->pool, 1, box->targets, 1, &n_left, NULL));
    assert_int_equal(n_left, 0);
    assert_null(get_record(box->xapi, "VDI", disks[0], NULL));
    json_t *kept = box_record(box, "VDI", disks[1]);
    json_decref(kept);
    g_free(disks[0]);
    g_free(disks[1]);
    box_free(box);
}

static unsigned count_disks(Box *box)
{
    g_autofree char *command = g_strdup_printf("find '%s' -name '*.vhd' | wc -l", box->folder);
    char *argv[] = { "sh", "-c", command, NULL };
    g_autofree char *out = NULL;
    assert_true(
        g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, NULL, NULL));
    return (unsigned) g_ascii_strtoull(out, NULL, 10);
}

/* A worker that died before the merge was done, whose run nobody goes on with. */
static void test_recover_merge(void **state)
{
    Box *box = box_new(1, "", 1);
    for (unsigned run = 0; run < 2; run++) {
        box_write(box, run + 1);
        backup_ok(box);
    }
    json_t *points = box_points(box, 0), *newest = json_array_get(points, 1);
    json_t *want = box_point_digests(box, 0, newest);
    const char *const oldest[] = { json_text(json_array_get(points, 0), "_filename"), NULL };
    assert_true(catalog_delete(box->catalogs[0], box->vm, oldest, true, NULL));
    g_autofree char *intent =
        intent_begin(&box->context, "repository",
                     json_pack("{ss ss}", "remote", box->targets[0].id, "vm", box->vm), NULL);
    assert_int_equal(count_disks(box), 2);
    unsigned n_left = 0;
    assert_true(work_recover(box->journal, &box->pool, 1, box->targets, 1, &n_left, NULL));
    assert_int_equal(n_left, 0);
    assert_int_equal(count_disks(box), 1);
    json_t *left = box_points(box, 0);
    assert_int_equal(json_array_size(left), 1);
    json_t *have = box_point_digests(box, 0, json_array_get(left, 0));
    assert_true(json_equal(have, want));
    json_decref(have);
    json_decref(left);
    json_decref(want);
    json_decref(points);
    box_free(box);
}

/* What a worker that died had begun of a full backup goes before another is begun, and be it in
 * vain: the next may never come. */
static void test_recover_archive(void **state)
{
    Box *box = box_new(1, "", 1);
    g_autoptr(GError) error = NULL;
    g_autofree char *half = g_strdup_printf(
        "%s/remote0/xo-vm-backups/%s/.1795354655581.20261122T133735Z.xva", box->folder, box->vm);
    json_object_set_new(box->job, "mode", json_string("full"));
    backup_ok(box);
    g_autofree char *intent =
        intent_begin(&box->context, "repository",
                     json_pack("{ss ss}", "remote", box->targets[0].id, "vm", box->vm), NULL);
    assert_true(g_file_set_contents(half, "half", 4, NULL));
    g_autoptr(WorkPast) past = box->context.past = work_past_read(box->journal, NULL);
    fault(box, "{\"kind\":\"cut\",\"path\":\"/export\",\"at\":100000,\"count\":100}");
    assert_false(box_backup(box, &error));
    box->context.past = NULL;
    clear_faults(box);
    assert_false(g_file_test(half, G_FILE_TEST_EXISTS));
    unsigned n_left = 1;
    assert_true(work_recover(box->journal, &box->pool, 1, box->targets, 1, &n_left, NULL));
    assert_int_equal(n_left, 0);
    box_check_clean(box, 0);
    box_free(box);
}

/* A newer snapshot of the job that was never exported is no base, and is removed by the rotation.
 */
static void test_unexported(void **state)
{
    Box *box = box_new(1, "", 1);
    backup_ok(box);
    g_autofree char *vm_ref = box_call(box, "VM.get_by_uuid", json_pack("[s]", box->vm));
    g_autofree char *snapshot = box_call(box, "VM.snapshot", json_pack("[ss]", vm_ref, "died"));
    json_t *keys = json_pack("{ss ss ss ss}", KEY_JOB, JOB, KEY_SCHEDULE, SCHEDULE, KEY_VM, box->vm,
                             KEY_DATETIME, "20990101T00:00:00Z");
    assert_true(set_config(box->xapi, "VM", snapshot, keys, NULL));
    json_t *record = box_record(box, "VM", snapshot), *ref;
    size_t i;
    json_array_foreach (json_object_get(record, "VBDs"), i, ref) {
        json_t *vbd = box_record(box, "VBD", json_string_value(ref));
        if (strcmp(json_text(vbd, "type"), "Disk") == 0)
            assert_true(set_config(box->xapi, "VDI", json_text(vbd, "VDI"), keys, NULL));
        json_decref(vbd);
    }
    json_decref(record);
    json_decref(keys);
    box_write(box, 3);
    backup_ok(box);
    assert_false(last_was_full(box));
    box_check_clean(box, 1);
    box_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat_http),       cmocka_unit_test(test_directory_nbd),
        cmocka_unit_test(test_flat_cbt),        cmocka_unit_test(test_two_targets),
        cmocka_unit_test(test_failures),        cmocka_unit_test(test_keeping_fails),
        cmocka_unit_test(test_cancel),          cmocka_unit_test(test_recover),
        cmocka_unit_test(test_recover_disks),   cmocka_unit_test(test_recover_merge),
        cmocka_unit_test(test_recover_archive), cmocka_unit_test(test_unexported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
