/* The tree of tasks: both sides hold the same, statuses follow XO's rules, interrupted runs close.
 */
#include "base/error.h"
#include "base/taskview.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char *text(json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static json_t *child(json_t *node, gsize i)
{
    return json_array_get(json_object_get(node, "tasks"), i);
}

static void forward(json_t *event, void *user)
{
    g_autofree char *wire = json_dumps(event, JSON_COMPACT);
    json_t *read = json_loads(wire, 0, NULL);
    assert_true(tasklog_apply(user, read));
    json_decref(read);
}

static void test_two_sides(void **state)
{
    g_autoptr(TaskLog) server = tasklog_new("1", "backup", NULL, 5, NULL, NULL);
    g_autoptr(TaskLog) worker = tasklog_new("1", "backup", NULL, 5, forward, server);
    Task *vm = task_begin(tasklog_root(worker), "backup VM", json_pack("{s:s}", "id", "vm1"));
    task_info(vm, "hello", json_pack("{s:i}", "n", 1));
    task_warning(tasklog_root(worker), "careful", NULL);
    Task *transfer = task_begin(vm, "transfer", NULL);
    task_progress(transfer, 10);
    task_progress(transfer, 10.5);
    task_progress(transfer, 50);
    task_end(transfer, json_pack("{s:i}", "size", 4096));
    json_t *a = tasklog_view(worker, true), *b = tasklog_view(server, true);
    assert_true(json_equal(a, b));
    assert_string_equal(text(child(a, 0), "status"), "pending");
    json_t *copied = child(child(a, 0), 0);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(copied, "data"), "progress")), 50);
    assert_string_equal(text(copied, "status"), "success");
    assert_int_equal(strlen(text(copied, "id")), 20);
    json_decref(a);
    json_decref(b);
    task_end(vm, NULL);
    task_end(tasklog_root(worker), NULL);
    a = tasklog_view(server, false);
    assert_string_equal(text(a, "status"), "success");
    json_decref(a);
}

static const char *status_after(ErrCode code, const char *message, bool retried)
{
    static char status[16];
    g_autoptr(TaskLog) log = tasklog_new("1", "backup", NULL, 5, NULL, NULL);
    Task *vm = task_begin(tasklog_root(log), "backup VM", json_pack("{s:s}", "id", "vm1"));
    g_autoptr(GError) error = NULL;
    err_set(&error, code, "%s", message);
    if (retried)
        task_warning(vm, TASKLOG_RETRY_WARNING, NULL);
    task_fail(vm, error);
    if (retried)
        task_end(task_begin(tasklog_root(log), "backup VM", json_pack("{s:s}", "id", "vm1")), NULL);
    task_end(tasklog_root(log), NULL);
    json_t *view = tasklog_view(log, false);
    g_strlcpy(status, text(view, "status"), sizeof status);
    json_decref(view);
    return status;
}

static void test_status(void **state)
{
    assert_string_equal(status_after(ERR_IO, "disk", false), "failure");
    assert_string_equal(status_after(ERR_IO, "disk", true), "success");
    assert_string_equal(status_after(ERR_UNHEALTHY_CHAIN, "VM web: too long", false), "skipped");
    assert_string_equal(status_after(ERR_STATE, "no disks found", false), "skipped");
}

static void test_order_and_interrupted(void **state)
{
    g_autoptr(TaskLog) log = tasklog_new("1", "backup", NULL, 5, NULL, NULL);
    json_t *empty = json_object();
    assert_false(tasklog_apply(log, empty));
    json_decref(empty);
    static const char *const events[] = {
        "{\"id\":\"a\",\"type\":\"start\",\"timestamp\":10,\"parentId\":\"1\",\"name\":\"open\"}",
        "{\"id\":\"a1\",\"type\":\"start\",\"timestamp\":11,\"parentId\":\"a\",\"name\":\"open\"}",
        "{\"id\":\"b\",\"type\":\"start\",\"timestamp\":11,\"parentId\":\"1\",\"name\":\"late\"}",
        "{\"id\":\"c\",\"type\":\"start\",\"timestamp\":12,\"parentId\":\"1\",\"name\":\"early\"}",
        "{\"id\":\"c\",\"type\":\"end\",\"timestamp\":13,\"status\":\"success\"}",
        "{\"id\":\"b\",\"type\":\"end\",\"timestamp\":14,\"status\":\"success\"}",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(events); i++) {
        json_t *event = json_loads(events[i], 0, NULL);
        assert_true(tasklog_apply(log, event));
        assert_true(i != 5 || !tasklog_apply(log, event)); /* ended twice */
        json_decref(event);
    }
    json_t *view = tasklog_view(log, true);
    assert_string_equal(text(child(view, 0), "message"), "early");
    assert_string_equal(text(child(view, 1), "message"), "late");
    assert_string_equal(text(child(view, 2), "message"), "open");
    assert_true(tasklog_close_interrupted(view, 99, "the server stopped"));
    assert_string_equal(text(view, "status"), "interrupted");
    assert_string_equal(text(child(child(view, 2), 0), "status"), "interrupted");
    assert_int_equal(json_integer_value(json_object_get(child(child(view, 2), 0), "end")), 99);
    assert_string_equal(text(child(view, 0), "status"), "success");
    assert_false(tasklog_close_interrupted(view, 100, "again"));
    json_decref(view);
}

static void test_error(void **state)
{
    g_autoptr(GError) error = NULL;
    const char *detail[] = { "VDI_IN_USE", "OpaqueRef:1", "destroy", NULL };
    err_set_detail(&error, ERR_XAPI, detail, "VDI 12");
    json_t *json = tasklog_error(error);
    assert_string_equal(text(json, "code"), "VDI_IN_USE");
    assert_string_equal(text(json, "name"), "XapiError");
    assert_int_equal(json_array_size(json_object_get(json, "params")), 2);
    assert_null(json_object_get(json, "stack"));
    json_decref(json);
}

/* The text is the view, with compacted children or without, spooled to a file or not. */
static void check_text(const char *folder)
{
    g_autoptr(TaskLog)
        log = tasklog_new("1", "backup", json_pack("{s:s}", "mode", "delta"), 5, NULL, NULL);
    tasklog_spool(log, folder);
    json_t *header = json_pack("{s:s}", "jobId", "j");
    Task *open[8];
    for (unsigned i = 0; i < 4; i++) {
        json_t *view = tasklog_view(log, true);
        json_object_update(view, header);
        g_autofree char *text_of_it = tasklog_text(log, true, header);
        json_t *parsed = json_loads(text_of_it, 0, NULL);
        assert_true(json_equal(parsed, view));
        assert_int_equal(json_array_size(json_object_get(view, "tasks")), 2 * i);
        json_decref(parsed);
        json_decref(view);
        Task *vm = task_begin(tasklog_root(log), "backup VM", json_pack("{s:i}", "id", i));
        open[2 * i] = task_begin(vm, "never ended", NULL);
        task_end(vm, NULL);
        open[2 * i + 1] = task_begin(tasklog_root(log), "goes on", NULL);
    }
    for (unsigned i = 0; i < 8; i++)
        task_end(open[i], NULL); /* those of an ended task are known no more */
    json_decref(header);
}

static void test_text(void **state)
{
    check_text(NULL);
    check_text(g_get_tmp_dir());
    check_text("/nonexistent");
}

/* Own statuses as the tasks had them: a failure that only comes from the children is taken away. */
static void forget_computed(json_t *node)
{
    gsize i;
    json_t *each;
    json_array_foreach (json_object_get(node, "tasks"), i, each)
        forget_computed(each);
    if (json_object_get(node, "end") && !json_object_get(node, "result"))
        json_object_set_new(node, "status", json_string("success"));
    else if (strcmp(text(node, "status"), "skipped") == 0)
        json_object_set_new(node, "status", json_string("failure"));
}

static void compare_log(const char *path)
{
    json_t *log = json_load_file(path, 0, NULL);
    json_t *ours = json_deep_copy(log);
    forget_computed(ours);
    task_arrange(ours, false);
    if (json_object_get(log, "end") && !json_equal(ours, log))
        fail_msg("%s", path);
    json_decref(ours);
    json_decref(log);
}

/* The logs that a real XO showed, order and statuses. */
static void test_recorded(void **state)
{
    const char *root = g_getenv("CADENZA_FIXTURES"), *name;
    g_autofree char *path = root ? g_build_filename(root, "logs", NULL) : NULL;
    g_autoptr(GDir) dir = path ? g_dir_open(path, 0, NULL) : NULL;
    unsigned n = 0;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);
        if (*name == '_' || !g_str_has_suffix(name, ".json"))
            continue;
        compare_log(file);
        n++;
    }
    print_message("%u recorded logs (CADENZA_FIXTURES)\n", n);
    assert_true(!dir || n >= 15);
}

static void *many(void *log)
{
    for (unsigned i = 0; i < 200; i++) {
        Task *task = task_begin(tasklog_root(log), "t", NULL);
        task_progress(task, i);
        task_end(task, NULL);
    }
    return NULL;
}

static void test_threads(void **state)
{
    g_autoptr(TaskLog) log = tasklog_new("1", "backup", NULL, 5, NULL, NULL);
    pthread_t threads[4];
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, many, log), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    json_t *view = tasklog_view(log, true);
    assert_int_equal(json_array_size(json_object_get(view, "tasks")), 800);
    json_decref(view);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_two_sides),
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_order_and_interrupted),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
