/* Tasks: their shape, what a new start makes of those that were pending, and how many are kept. */
#include "api/tasks.h"
#include "scratch.h"

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
    fixture->folder = scratch_new();
    fixture->store = store_open(fixture->folder, NULL);
    *state = fixture;
    return fixture->store ? 0 : -1;
}

static int tear_down(void **state)
{
    Fixture *fixture = *state;
    store_close(fixture->store);
    scratch_drop(fixture->folder);
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

static json_t *property(json_t *task, const char *name)
{
    return json_object_get(json_object_get(task, "properties"), name);
}

/* A call is forgotten when it ends well and kept when it does not; progress never goes back; an
 * abort sets the flag; steps that nobody ended end with the whole. */
static void test_calls(void **state)
{
    Fixture *fixture = *state;
    Tasks *tasks = tasks_new(fixture->store);
    g_autofree char *good = tasks_begin_call(tasks, json_pack("{s:s}", "name", "good"));
    g_autofree char *bad = tasks_begin_call(tasks, json_pack("{s:s}", "name", "bad"));
    tasks_progress(tasks, bad, 0.5);
    tasks_progress(tasks, bad, 0.25);
    tasks_progress(tasks, "no such task", 1);
    g_autoptr(Cancel) cancel = tasks_cancel(tasks, bad);
    assert_false(cancel_is_set(cancel));
    assert_true(tasks_ask_to_abort(tasks, bad));
    assert_true(cancel_is_set(cancel));
    g_autofree char *first = tasks_begin_step(tasks, bad, json_pack("{s:s}", "name", "first"));
    tasks_end_step(tasks, bad, first, true);
    g_autofree char *second = tasks_begin_step(tasks, bad, json_pack("{s:s}", "name", "second"));
    tasks_end(tasks, good, true, NULL);
    tasks_end(tasks, bad, false, json_pack("{s:s}", "message", "why"));
    assert_null(tasks_get(tasks, good));
    assert_null(tasks_cancel(tasks, bad));
    tasks_free(tasks);
    tasks = tasks_new(fixture->store);
    json_t *task = tasks_get(tasks, bad), *steps = json_object_get(task, "tasks");
    assert_status(tasks, bad, "failure");
    assert_int_equal(json_integer_value(property(task, "progress")), 50);
    assert_int_equal(json_array_size(steps), 2);
    assert_string_equal(json_string_value(property(json_array_get(steps, 1), "name")), "second");
    for (unsigned i = 0; i < 2; i++)
        assert_string_equal(json_string_value(json_object_get(json_array_get(steps, i), "status")),
                            i == 0 ? "success" : "failure");
    json_decref(task);
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
        cmocka_unit_test_setup_teardown(test_calls, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bound, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
