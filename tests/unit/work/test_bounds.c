/* What bounds a VM's backup: targets that are slow or stuck, streams side by side, rates, times. */
#include "box.h"

#include "remote/fault.h"
#include "remote/patience.h"
#include "sim/fault_rules.h"

static void fault(Box *box, const char *rule)
{
    json_t *spec = json_loads(rule, 0, NULL);
    assert_int_not_equal(fault_add(box->sim, spec, NULL), 0);
    json_decref(spec);
}

/* The second target from now on obeys the plan; patience_ms 0: without end. */
static void make_faulty(Box *box, RemoteFault *plan, unsigned patience_ms, int *n_stuck)
{
    catalog_close(box->catalogs[1]);
    box->remotes[1] = remote_new_faulty(box->remotes[1], plan);
    if (patience_ms)
        box->remotes[1] = remote_new_patient(box->remotes[1], patience_ms);
    box->catalogs[1] = catalog_open(box->remotes[1], NULL);
    box->targets[1].remote = box->remotes[1];
    box->targets[1].catalog = box->catalogs[1];
    box->targets[1].n_stuck = n_stuck;
}

static double seconds_of_backup(Box *box)
{
    g_autoptr(GError) error = NULL;
    gint64 start_us = g_get_monotonic_time();
    if (!box_backup(box, &error))
        fail_msg("%s", error->message);
    return (double) (g_get_monotonic_time() - start_us) / G_USEC_PER_SEC;
}

/* The export of a target in the last log. */
static const char *export_status(Box *box, const char *target_id, char **message)
{
    static const char *const known[] = { "success", "failure" };
    json_t *log = box_log(box), *task;
    json_t *vm = json_array_get(json_object_get(log, "tasks"), 0);
    const char *status = "none";
    size_t i;
    json_array_foreach (json_object_get(vm, "tasks"), i, task) {
        if (strcmp(json_text(json_object_get(task, "data"), "id"), target_id) != 0)
            continue;
        for (gsize j = 0; j < G_N_ELEMENTS(known); j++)
            if (strcmp(json_text(task, "status"), known[j]) == 0)
                status = known[j];
        if (message)
            *message = g_strdup(json_text(json_object_get(task, "result"), "message"));
    }
    json_decref(log);
    return status;
}

static size_t n_points(Box *box, unsigned target)
{
    json_t *points = box_points(box, target);
    size_t n = json_array_size(points);
    json_decref(points);
    return n;
}

static void check_last_point(Box *box, unsigned target)
{
    json_t *want = box_digests(box, box->vm), *points = box_points(box, target);
    json_t *have =
        box_point_digests(box, target, json_array_get(points, json_array_size(points) - 1));
    assert_true(json_equal(have, want));
    json_decref(have);
    json_decref(points);
    json_decref(want);
}

/* Late at every write: all the same a whole point at both. */
static void test_slow_target(void **state)
{
    RemoteFault plan = { .room_bytes = -1 };
    Box *box = box_new(1, "", 2);
    make_faulty(box, &plan, 0, NULL);
    json_object_set_new(box->settings, "spoolBlocks", json_integer(3));
    plan = (RemoteFault){ "bytes.write", .nth = 1, .for_good = true, .room_bytes = -1,
                          .delay_ms = 50 };
    seconds_of_backup(box);
    for (unsigned i = 0; i < 2; i++)
        check_last_point(box, i);
    box_free(box);
}

static void wait_until_free(const int *n_stuck)
{
    for (int i = 0; i < 1500 && g_atomic_int_get(n_stuck) > 0; i++)
        g_usleep(10000);
    assert_int_equal(g_atomic_int_get(n_stuck), 0);
}

/* A write that does not come back: that target fails, the other has its point; a run meanwhile does
 * not touch it; once it answers it is used again. */
static void test_stuck_target(void **state)
{
    RemoteFault plan = { .room_bytes = -1 };
    int n_stuck = 0;
    g_autofree char *message = NULL, *later = NULL;
    Box *box = box_new(2, "", 2);
    make_faulty(box, &plan, 0, &n_stuck);
    json_object_set_new(box->settings, "stallTimeout", json_integer(700));
    plan = (RemoteFault){ "bytes.write", .nth = 5, .room_bytes = -1, .delay_ms = 6000 };
    assert_true(seconds_of_backup(box) < 5);
    assert_true(g_atomic_int_get(&n_stuck) > 0);
    assert_string_equal(export_status(box, "remote-0", NULL), "success");
    assert_string_equal(export_status(box, "remote-1", &message), "failure");
    assert_non_null(strstr(message, "took no data for"));
    seconds_of_backup(box);
    assert_string_equal(export_status(box, "remote-1", &later), "failure");
    assert_non_null(strstr(later, "has not answered an earlier call"));
    wait_until_free(&n_stuck);
    seconds_of_backup(box);
    assert_string_equal(export_status(box, "remote-1", NULL), "success");
    assert_int_equal(n_points(box, 0), 2);
    assert_int_equal(n_points(box, 1), 1);
    for (unsigned i = 0; i < 2; i++)
        check_last_point(box, i);
    box_check_clean(box, 1);
    box_free(box);
}

/* The same of calls that are no data: what begins the backup, what makes it durable, what commits
 * it.
 */
static void test_stuck_call(void **state)
{
    static const char *const verbs[] = { "list", "bytes.sync", "put" };
    RemoteFault plan = { .room_bytes = -1 };
    Box *box = box_new(1, "", 2);
    make_faulty(box, &plan, 1000, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(verbs); i++) {
        g_autofree char *message = NULL;
        plan = (RemoteFault){ verbs[i], .nth = 1, .room_bytes = -1, .delay_ms = 4000 };
        assert_true(seconds_of_backup(box) < 3.5);
        assert_true(remote_is_stuck(box->remotes[1]));
        assert_string_equal(export_status(box, "remote-0", NULL), "success");
        assert_string_equal(export_status(box, "remote-1", &message), "failure");
        assert_non_null(strstr(message, "has not answered"));
        for (int j = 0; j < 1000 && remote_is_stuck(box->remotes[1]); j++)
            g_usleep(10000);
    }
    seconds_of_backup(box);
    for (unsigned i = 0; i < 2; i++)
        check_last_point(box, i);
    box_check_clean(box, 1);
    box_free(box);
}

typedef struct {
    int n_stuck, n_seen, stop; /* atomic */
} Observer;

static void *observe(void *data)
{
    Observer *observer = data;
    while (!g_atomic_int_get(&observer->stop))
        if (g_atomic_int_get(&observer->n_stuck) != 0)
            g_atomic_int_inc(&observer->n_seen);
    return NULL;
}

/* A target that works is never held for stuck, not even while something of it is freed: another VM
 * of the run would drop it. */
static void test_never_stuck(void **state)
{
    Observer observer = { 0 };
    pthread_t thread;
    Box *box = box_new(2, "", 1);
    box->targets[0].n_stuck = &observer.n_stuck;
    pthread_create(&thread, NULL, observe, &observer);
    for (int i = 0; i < 3; i++)
        seconds_of_backup(box);
    g_atomic_int_set(&observer.stop, 1);
    pthread_join(thread, NULL);
    assert_int_equal(observer.n_seen, 0);
    box_free(box);
}

/* Each stream is slow: the sum of the disks' times when they come one after the other, else that of
 * the longest. */
static void test_side_by_side(void **state)
{
    Box *box = box_new(3, "", 1);
    fault(box, "{\"kind\":\"throttle\",\"path\":\"/export_raw_vdi\",\"bytes_per_s\":10000000}");
    double together = seconds_of_backup(box);
    check_last_point(box, 0);
    json_object_set_new(box->settings, "fullInterval", json_integer(1));
    box->context.streams = work_streams_new(1);
    double alone = seconds_of_backup(box);
    work_streams_free(box->context.streams);
    box->context.streams = NULL;
    check_last_point(box, 0);
    if (alone < 1.7 * together)
        fail_msg("%.1f s side by side, %.1f s one after the other", together, alone);
    box_free(box);
}

static void test_rate(void **state)
{
    Box *box = box_new(2, "", 1);
    box->context.throttle = throttle_new(16 << 20);
    assert_true(seconds_of_backup(box) > 2.3); /* 40 MiB in two streams */
    check_last_point(box, 0);
    throttle_free(box->context.throttle);
    box->context.throttle = NULL;
    box_free(box);
}

/* The VM has its time; when it is over its streams stop and nothing is left. */
static void test_vm_timeout(void **state)
{
    Box *box = box_new(2, "", 1);
    g_autoptr(GError) error = NULL;
    json_object_set_new(box->settings, "vmTimeout", json_integer(1500));
    fault(box, "{\"kind\":\"throttle\",\"path\":\"/export_raw_vdi\",\"bytes_per_s\":1000000}");
    gint64 start_us = g_get_monotonic_time();
    assert_false(box_backup(box, &error));
    assert_true(g_get_monotonic_time() - start_us < 15 * G_USEC_PER_SEC);
    assert_true(err_is(error, ERR_TIMEOUT));
    assert_non_null(strstr(error->message, "vmTimeout"));
    fault_clear(box->sim);
    box_check_clean(box, 0);
    assert_int_equal(n_points(box, 0), 0);
    box_free(box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_target),  cmocka_unit_test(test_stuck_target),
        cmocka_unit_test(test_stuck_call),   cmocka_unit_test(test_never_stuck),
        cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_rate),
        cmocka_unit_test(test_vm_timeout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
