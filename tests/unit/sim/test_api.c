/* Calls through the dispatcher, without a socket: fields, events, tasks, the life of a VM. */
#include "sim/inner.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    Sim *sim;
    char *folder, *session, *running, *halted;
} Pool;

static int set_up(void **state)
{
    Pool *pool = g_new0(Pool, 1);
    SimOptions options;
    sim_options_init(&options);
    pool->folder = g_dir_make_tmp("sim-api-XXXXXX", NULL);
    options.data_dir = pool->folder;
    options.n_vms = 2;
    options.n_running = 1;
    options.disk_bytes = 4 << 20;
    options.boot_delay_ms = 100;
    pool->sim = sim_new(&options, NULL);
    assert_non_null(pool->sim);
    sim_lock(pool->sim);
    pool->session = g_strdup(sim_session_open(pool->sim, "root", "test"));
    for (Obj *vm = obj_first(pool->sim, "VM"); vm != NULL; vm = obj_next(vm)) {
        if (obj_bool(vm, "is_a_template") || obj_bool(vm, "is_control_domain"))
            continue;
        bool runs = strcmp(obj_str(vm, "power_state"), "Running") == 0;
        *(runs ? &pool->running : &pool->halted) = g_strdup(obj_ref(vm));
    }
    sim_unlock(pool->sim);
    *state = pool;
    return 0;
}

static int tear_down(void **state)
{
    Pool *pool = *state;
    sim_free(pool->sim);
    g_rmdir(pool->folder);
    g_free(pool->folder);
    g_free(pool->session);
    g_free(pool->running);
    g_free(pool->halted);
    g_free(pool);
    return 0;
}

/* The result; an array with the code and its parameters when the call fails. */
static json_t *call(Pool *pool, const char *method, json_t *params)
{
    g_autoptr(GError) error = NULL;
    Wire *out = wire_new(false);
    json_array_insert_new(params, 0, json_string(pool->session));
    bool ok = call_dispatch(pool->sim, 0, NULL, method, params, out, &error);
    g_autoptr(GString) text = wire_finish(out);
    json_decref(params);
    return ok ? json_loads(text->str, JSON_DECODE_ANY, NULL) : call_failure(error);
}

static void expect(Pool *pool, const char *method, json_t *params, const char *expected)
{
    json_t *result = call(pool, method, params);
    g_autofree char *text = json_dumps(result, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(result);
    assert_string_equal(text, expected);
}

static char *text_of(json_t *value)
{
    char *text = g_strdup(json_string_value(value));
    json_decref(value);
    return text;
}

static void expect_field(Pool *pool, const char *vm, const char *field, const char *expected)
{
    sim_lock(pool->sim);
    g_autofree char *value = g_strdup(obj_str(obj_find(pool->sim, "VM", vm), field));
    sim_unlock(pool->sim);
    assert_string_equal(value, expected);
}

static void test_fields(void **state)
{
    Pool *pool = *state;
    const char *vm = pool->halted;
    g_autofree char *twice = g_strdup_printf("[\"MAP_DUPLICATE_KEY\",\"VM\",\"other_config\","
                                             "\"%s\",\"k\"]",
                                             vm);
    expect(pool, "VM.set_name_label", json_pack("[ss]", vm, "new"), "\"\"");
    expect(pool, "VM.get_name_label", json_pack("[s]", vm), "\"new\"");
    expect(pool, "VM.add_to_other_config", json_pack("[sss]", vm, "k", "v"), "\"\"");
    expect(pool, "VM.add_to_other_config", json_pack("[sss]", vm, "k", "w"), twice);
    expect(pool, "VM.remove_from_other_config", json_pack("[ss]", vm, "k"), "\"\"");
    expect(pool, "VM.get_uuid", json_pack("[s]", "x"), "[\"HANDLE_INVALID\",\"VM\",\"x\"]");
    expect(pool, "VM.start", json_pack("[s]", vm),
           "[\"MESSAGE_PARAMETER_COUNT_MISMATCH\",\"VM.start\",\"4\",\"2\"]");
}

/* The classes, operations of the events since the token, "vm mod, secret add". */
static char *events(Pool *pool, const char *classes, char **token)
{
    json_t *answer = call(pool, "event.from", json_pack("[[s]sf]", classes, *token, 0.2));
    GString *told = g_string_new(NULL);
    size_t i;
    json_t *event;
    json_array_foreach (json_object_get(answer, "events"), i, event)
        g_string_append_printf(told, "%s%s %s", i == 0 ? "" : ", ",
                               json_string_value(json_object_get(event, "class")),
                               json_string_value(json_object_get(event, "operation")));
    g_free(*token);
    *token = g_strdup(json_string_value(json_object_get(answer, "token")));
    json_decref(answer);
    return g_string_free(told, FALSE);
}

static void expect_events(Pool *pool, const char *classes, char **token, const char *expected)
{
    g_autofree char *told = events(pool, classes, token);
    assert_string_equal(told, expected);
}

static void test_events(void **state)
{
    Pool *pool = *state;
    sim_lock(pool->sim);
    g_autofree char *pool_ref = g_strdup(obj_ref(sim_pool(pool->sim)));
    sim_unlock(pool->sim);
    g_autofree char *token =
        text_of(call(pool, "event.inject", json_pack("[ss]", "pool", pool_ref)));
    expect_events(pool, "pool", &token, "pool mod");
    expect_events(pool, "pool", &token, "");
    expect(pool, "VM.set_name_label", json_pack("[ss]", pool->halted, "x"), "\"\"");
    g_autofree char *secret =
        text_of(call(pool, "secret.create", json_pack("[{sss{}}]", "value", "v", "other_config")));
    g_autofree char *all = g_strdup(token);
    expect_events(pool, "*", &all, "secret add, vm mod");
    expect_events(pool, "VM", &token, "vm mod");
    expect(pool, "secret.destroy", json_pack("[s]", secret), "\"\"");
    expect_events(pool, "secret", &all, "secret del");
    g_autofree char *brief =
        text_of(call(pool, "secret.create", json_pack("[{sss{}}]", "value", "v", "other_config")));
    expect(pool, "secret.destroy", json_pack("[s]", brief), "\"\"");
    expect_events(pool, "secret", &all, "");
}

static void test_life(void **state)
{
    Pool *pool = *state;
    g_autofree char *twice = g_strdup_printf("[\"VM_BAD_POWER_STATE\",\"%s\",\"halted\","
                                             "\"running\"]",
                                             pool->halted);
    expect(pool, "VM.start", json_pack("[sbb]", pool->halted, 0, 0), "\"\"");
    expect_field(pool, pool->halted, "power_state", "Running");
    sim_lock(pool->sim);
    bool linked = obj_follow(obj_find(pool->sim, "VM", pool->halted), "guest_metrics") != NULL;
    sim_unlock(pool->sim);
    assert_true(linked);
    expect(pool, "VM.start", json_pack("[sbb]", pool->halted, 0, 0), twice);
    expect(pool, "VM.hard_shutdown", json_pack("[s]", pool->halted), "\"\"");
    expect_field(pool, pool->halted, "power_state", "Halted");
}

static void test_blocked(void **state)
{
    Pool *pool = *state;
    g_autofree char *blocked =
        g_strdup_printf("[\"OPERATION_BLOCKED\",\"%s\",\"why\"]", pool->halted);
    expect(pool, "VM.add_to_blocked_operations", json_pack("[sss]", pool->halted, "start", "why"),
           "\"\"");
    expect(pool, "VM.start", json_pack("[sbb]", pool->halted, 0, 0), blocked);
    expect_field(pool, pool->halted, "power_state", "Halted");
}

/* Waits for the task of a call; its result or error as text. */
static char *task_result(Pool *pool, const char *method, json_t *params)
{
    g_autofree char *task = text_of(call(pool, method, params));
    for (int i = 0; i < 200; i++) {
        sim_lock(pool->sim);
        Obj *obj = obj_find(pool->sim, "task", task);
        char *text = obj_int(obj, "finished") == 0 ? NULL : g_strdup(obj_str(obj, "result"));
        if (text != NULL && obj_set_size(obj, "error_info") > 0) {
            g_free(text);
            text = g_strdup(obj_set_nth(obj, "error_info", 0));
        }
        sim_unlock(pool->sim);
        if (text != NULL)
            return text;
        g_usleep(10000);
    }
    fail_msg("%s never ended", method);
    return NULL;
}

static void test_tasks(void **state)
{
    Pool *pool = *state;
    g_autofree char *snapshot =
        task_result(pool, "Async.VM.snapshot", json_pack("[ss]", pool->running, "s"));
    assert_true(g_str_has_prefix(snapshot, "<value>OpaqueRef:"));
    g_autofree char *nothing = task_result(pool, "Async.VM.pause", json_pack("[s]", pool->running));
    assert_string_equal(nothing, "<value></value>");
    g_autofree char *failure =
        task_result(pool, "Async.VM.clone", json_pack("[ss]", pool->running, "c"));
    assert_string_equal(failure, "VM_BAD_POWER_STATE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_events, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_life, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tasks, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
