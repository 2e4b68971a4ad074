/* Tasks: their shape, what a new start makes of those that were pending, and how many are kept. */
#include "api/tasks.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct {
    char *folder;
    Store *store;
} Fixture;

static int set_up(void **state)
{
    Fixture *fixture = g_new0(Fixture, 1);
    fixture->folder = g_dir_make_tmp("cadenza-tasks-XXXXXX", NULL);
    fixture->store = store_open(fixture->folder, NULL);
    *state = fixture;
    return fixture->store ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    store_close(fixture->store);
    g_autoptr(GDir) folder = g_dir_open(fixture->folder, 0, NULL);
    const char *name;
    while (folder && (name = g_dir_read_name(folder))) {
        g_autofree char *path = g_build_filename(fixture->folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(fixture->folder);
    g_free(fixture->folder);
    g_free(fixture);
    return 0;
}

static void assert_status(Tasks *tasks, const char *id, const char *status)
{
    json_t *task = tasks_get(tasks, id);
    assert_non_null(task);
    assert_string_equal(json_string_value(json_object_get(task, "status")), status);
    assert_string_equal(json_string_value(json_object_get(task, "id")), id);
    assert_true(json_is_integer(json_object_get(task, "start")));
    assert_true(json_is_integer(json_object_get(task, "updatedAt")));
    json_decref(task);
}

static void test_life(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(Tasks) tasks = tasks_new(fixture->store);
    g_autofree char *id = tasks_begin(tasks, json_pack("{s:s}", "name", "one"));
    guint64 seen = tasks_changes(tasks, 0, 0);
    assert_status(tasks, id, "pending");
    assert_false(tasks_drop(tasks, id));
    assert_true(tasks_ask_to_abort(tasks, id));
    assert_true(tasks_changes(tasks, seen, 1000) > seen);
    tasks_end(tasks, id, true, json_pack("{s:s}", "id", "made"));
    assert_status(tasks, id, "success");
    assert_false(tasks_ask_to_abort(tasks, id));
    json_t *task = tasks_get(tasks, id);
    assert_string_equal(json_string_value(json_object_get(json_object_get(task, "result"), "id")),
                        "made");
    assert_true(json_is_integer(json_object_get(task, "end")));
    json_decref(task);
    assert_true(tasks_drop(tasks, id));
    assert_null(tasks_get(tasks, id));
}

static void test_restart(void **state)
{
    Fixture *fixture = *state;
    Tasks *tasks = tasks_new(fixture->store);
    g_autofree char *pending = tasks_begin(tasks, json_pack("{s:s}", "name", "pending"));
    g_autofree char *failed = tasks_begin(tasks, json_pack("{s:s}", "name", "failed"));
    tasks_end(tasks, failed, false, NULL);
    tasks_free(tasks);
    tasks = tasks_new(fixture->store);
    assert_status(tasks, pending, "interrupted");
    assert_status(tasks, failed, "failure");
    tasks_free(tasks);
}

static void test_bound(void **state)
{
    Fixture *fixture = *state;
    g_autoptr(Tasks) tasks = tasks_new(fixture->store);
    g_autofree char *pending = tasks_begin(tasks, json_object());
    for (unsigned i = 0; i < TASKS_KEPT * 5 / 4; i++) {
        g_autofree char *id = tasks_begin(tasks, json_object());
        tasks_end(tasks, id, true, NULL);
    }
    json_t *list = tasks_list(tasks);
    assert_in_range(json_array_size(list), TASKS_KEPT, TASKS_KEPT * 11 / 10 + 1);
    assert_status(tasks, pending, "pending");
    json_decref(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_restart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
