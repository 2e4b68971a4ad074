/* The frame of plug-ins, with plug-ins of the test: configured, loaded, tested, remembered. */
#include "base/error.h"
#include "plugin/plugins.h"
#include "plugin/record.h"
#include "remote/url.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

/* --- Two plug-ins: one counts, one is hardly there --- */

static int n_loaded; /* how many states there are */
static char *last;   /* what the last load or test was given */

static void note(json_t *value)
{
    free(last);
    last = value ? json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
}

static void *counting_load(json_t *configuration, GError **error)
{
    note(configuration);
    if (json_is_true(json_object_get(configuration, "broken"))) {
        err_set(error, ERR_NETWORK, "it is broken");
        return NULL;
    }
    n_loaded++;
    return json_incref(configuration);
}

static void counting_unload(void *state)
{
    n_loaded--;
    json_decref(state);
}

static bool counting_test(void *state, json_t *data, Cancel *cancel, GError **error)
{
    note(data);
    return true;
}

static const Plugin counting = {
    .id = "counting",
    .description = "counts",
    .configuration_schema =
        "{\"type\": \"object\", \"required\": [\"name\"], \"properties\": {\"name\": {\"type\": "
        "\"string\"},"
        " \"level\": {\"type\": \"integer\", \"default\": 3}}}",
    .test_schema = "{\"type\": \"object\", \"required\": [\"to\"]}",
    .load = counting_load,
    .unload = counting_unload,
    .test = counting_test,
};
static const Plugin bare = {
    .id = "bare", .description = "", .load = counting_load, .unload = counting_unload
};
static const Plugin *const table[] = { &counting, &bare, NULL };

/* --- A place --- */

static char *folder;
static Store *store;
static Plugins *plugins;

static int begin(void **state)
{
    folder = scratch_new();
    store = store_open(folder, NULL);
    plugins = plugins_new(store, table);
    return 0;
}

static int end(void **state)
{
    plugins_free(plugins);
    store_close(store);
    assert_int_equal(n_loaded, 0);
    scratch_drop(folder);
    g_clear_pointer(&last, free);
    return 0;
}

/* The server is started again. */
static void restart(void)
{
    plugins_free(plugins);
    assert_int_equal(n_loaded, 0);
    plugins = plugins_new(store, table);
    plugins_start(plugins);
}

static json_t *shown(unsigned i)
{
    json_t *list = plugins_list(plugins, NULL);
    assert_int_equal(json_array_size(list), 2);
    json_t *one = json_incref(json_array_get(list, i));
    json_decref(list);
    return one;
}

static bool is(unsigned i, const char *key)
{
    json_t *one = shown(i);
    bool is_true = json_is_true(json_object_get(one, key));
    json_decref(one);
    return is_true;
}

static bool configure(const char *text, json_t **violations, GError **error)
{
    json_t *configuration = json_loads(text, JSON_DECODE_ANY, NULL);
    bool ok = plugins_configure(plugins, "counting", configuration, violations, error);
    json_decref(configuration);
    return ok;
}

static void refused(bool ok, GError *error, const char *words)
{
    assert_false(ok);
    assert_true(err_is(error, ERR_INVALID));
    assert_string_equal(error->message, words);
    g_error_free(error);
}

#define REFUSED(words, call, ...)                                                                  \
    do {                                                                                           \
        GError *why = NULL;                                                                        \
        bool was_ok = call(plugins, __VA_ARGS__, &why);                                            \
        refused(was_ok, why, words);                                                               \
    } while (0)

/* --- Tests --- */

static void life(void **state)
{
    REFUSED("plugin not configured: counting", plugins_load, "counting");
    REFUSED("plugin already unloaded: counting", plugins_unload, "counting");
    assert_true(configure("{\"name\": \"a\"}", NULL, NULL));
    assert_int_equal(n_loaded, 0);
    assert_true(plugins_load(plugins, "counting", NULL));
    assert_string_equal(last, "{\"level\":3,\"name\":\"a\"}");
    assert_true(is(0, "loaded") && is(0, "unloadable") && is(0, "testable") && !is(1, "testable"));
    REFUSED("plugin already loaded: counting", plugins_load, "counting");
    assert_true(configure("{\"name\": \"b\"}", NULL, NULL));
    assert_string_equal(last, "{\"level\":3,\"name\":\"b\"}");
    assert_int_equal(n_loaded, 1);
    assert_true(plugins_unload(plugins, "counting", NULL));
    assert_int_equal(n_loaded, 0);
    assert_true(plugins_load(plugins, "counting", NULL));
    assert_true(plugins_purge(plugins, "counting", NULL));
    assert_int_equal(n_loaded, 0);
    json_t *one = shown(0);
    assert_null(json_object_get(one, "configuration"));
    json_decref(one);
    REFUSED("plugin not configured: counting", plugins_load, "counting");
    assert_true(plugins_load(plugins, "bare", NULL));
}

static void unknown(void **state)
{
    g_autoptr(GError) error = NULL;
    assert_false(plugins_has(plugins, "nothing"));
    assert_false(plugins_purge(plugins, "nothing", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    assert_true(plugins_know("transport-email") && !plugins_know("nothing"));
}

/* One that cannot be used is not kept, and the one before goes on. */
static void wrong(void **state)
{
    json_t *violations = NULL;
    GError *error = NULL;
    assert_true(configure("{\"name\": \"a\"}", NULL, NULL));
    assert_true(plugins_load(plugins, "counting", NULL));
    bool ok = configure("{\"name\": 5}", &violations, &error);
    refused(ok, error, "the configuration of plugin counting: /name must be string");
    assert_int_equal(json_array_size(violations), 1);
    json_decref(violations);
    error = NULL;
    assert_false(configure("{\"name\": \"b\", \"broken\": true}", NULL, &error));
    assert_true(err_is(error, ERR_NETWORK));
    g_error_free(error);
    assert_int_equal(n_loaded, 1);
    assert_true(plugins_set_autoload(plugins, "bare", false, NULL));
    restart();
    assert_int_equal(n_loaded, 1);
    assert_string_equal(last, "{\"level\":3,\"name\":\"a\"}");
}

static void secrets(void **state)
{
    GError *error = NULL;
    assert_true(configure(
        "{\"name\": \"a\", \"in\": [{\"smtpPassword\": \"s3cret\", \"token\": 5}]}", NULL, NULL));
    json_t *one = shown(0);
    g_autofree char *text =
        json_dumps(json_object_get(one, "configuration"), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"in\":[{\"smtpPassword\":\"" REMOTE_OBFUSCATED
                              "\",\"token\":5}],\"level\":3,\"name\":\"a\"}");
    assert_true(configure(text, NULL, NULL));
    assert_true(plugins_load(plugins, "counting", NULL));
    assert_string_equal(
        last, "{\"in\":[{\"smtpPassword\":\"s3cret\",\"token\":5}],\"level\":3,\"name\":\"a\"}");
    bool ok = configure("{\"name\": \"a\", \"token\": \"" REMOTE_OBFUSCATED "\"}", NULL, &error);
    refused(ok, error,
            "the configuration of plugin counting: /token is hidden, and none is kept: give it in "
            "clear");
    json_decref(one);
    json_t *stored = store_get(store, PLUGINS, "counting", NULL);
    g_autofree char *kept = json_dumps(stored, 0);
    assert_null(strstr(kept, "s3cret"));
    assert_null(strstr(kept, "name"));
    json_decref(stored);
}

static void at_start(void **state)
{
    restart();
    assert_int_equal(n_loaded, 1); /* the one that needs no configuration */
    assert_true(is(1, "loaded") && is(0, "autoload"));
    assert_true(configure("{\"name\": \"a\"}", NULL, NULL));
    restart();
    assert_int_equal(n_loaded, 2);
    assert_true(plugins_set_autoload(plugins, "counting", false, NULL));
    assert_true(plugins_set_autoload(plugins, "bare", false, NULL));
    restart();
    assert_int_equal(n_loaded, 0);
    assert_false(is(0, "autoload"));
    assert_true(plugins_set_autoload(plugins, "counting", true, NULL));
    restart();
    assert_int_equal(n_loaded, 1);
    assert_string_equal(last, "{\"level\":3,\"name\":\"a\"}");
}

/* The record was taken in from elsewhere. */
static void looked_at_again(void **state)
{
    json_t *record = json_pack("{s:s, s:b, s:s}", "id", "counting", "autoload", 1, "configuration",
                               "{\"name\": \"theirs\"}");
    assert_true(store_put(store, PLUGINS, "counting", record, NULL));
    plugins_look_again(plugins);
    assert_string_equal(last, "{}");
    assert_true(is(0, "loaded"));
    json_object_del(record, "configuration");
    assert_true(store_put(store, PLUGINS, "counting", record, NULL));
    plugins_look_again(plugins);
    assert_false(is(0, "loaded"));
    json_object_set_new(record, "configuration", json_string("no JSON"));
    assert_true(store_put(store, PLUGINS, "counting", record, NULL));
    plugins_look_again(plugins);
    assert_false(is(0, "loaded"));
    json_t *one = shown(0);
    assert_null(json_object_get(one, "configuration"));
    json_decref(one);
    assert_false(plugins_load(plugins, "counting", NULL));
    assert_true(plugins_purge(plugins, "counting", NULL));
    assert_true(configure("{\"name\": \"a\"}", NULL, NULL));
    json_decref(record);
}

static void tested(void **state)
{
    json_t *data = json_pack("{s:s}", "to", "x"), *violations = NULL;
    REFUSED("plugin not testable: bare", plugins_test, "bare", NULL, NULL, NULL);
    REFUSED("plugin not loaded: counting", plugins_test, "counting", data, NULL, NULL);
    assert_true(configure("{\"name\": \"a\"}", NULL, NULL));
    assert_true(plugins_load(plugins, "counting", NULL));
    REFUSED("the test of plugin counting: must have required property 'to'", plugins_test,
            "counting", NULL, NULL, &violations);
    assert_int_equal(json_array_size(violations), 1);
    json_decref(violations);
    assert_true(plugins_test(plugins, "counting", data, NULL, NULL, NULL));
    assert_string_equal(last, "{\"to\":\"x\"}");
    json_decref(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(life, begin, end),
        cmocka_unit_test_setup_teardown(unknown, begin, end),
        cmocka_unit_test_setup_teardown(wrong, begin, end),
        cmocka_unit_test_setup_teardown(secrets, begin, end),
        cmocka_unit_test_setup_teardown(at_start, begin, end),
        cmocka_unit_test_setup_teardown(looked_at_again, begin, end),
        cmocka_unit_test_setup_teardown(tested, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
