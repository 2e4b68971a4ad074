/* Parameter vectors, as XO evaluates them. */
#include "base/error.h"
#include "job/vector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static json_t *objects(json_t *pattern, void *user)
{
    return json_loads("[{\"id\": \"a\", \"name\": \"A\"}, {\"id\": \"b\"}]", 0, NULL);
}

/* What a vector gives, or the error's text. */
static char *resolved(const char *text)
{
    g_autoptr(GError) error = NULL;
    json_t *vector = json_loads(text, 0, NULL);
    json_t *list = vector_resolve(vector, objects, NULL, &error);
    char *shown = list ? json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS) : g_strdup(error->message);
    json_decref(list);
    json_decref(vector);
    return shown;
}

static void test_vectors(void **state)
{
    static const struct {
        const char *vector, *gives;
    } rows[] = {
        { "{\"type\":\"set\",\"values\":[{\"a\":1},{\"a\":2}]}", "[{\"a\":1},{\"a\":2}]" },
        { "{\"type\":\"crossProduct\",\"items\":[{\"type\":\"set\",\"values\":[{\"a\":1},{\"a\":2}]"
          "},"
          "{\"type\":\"set\",\"values\":[{\"b\":1},{\"b\":2}]}]}",
          "[{\"a\":1,\"b\":1},{\"a\":2,\"b\":1},{\"a\":1,\"b\":2},{\"a\":2,\"b\":2}]" },
        { "{\"type\":\"crossProduct\",\"items\":[]}", "[{}]" },
        { "{\"type\":\"map\",\"collection\":{\"type\":\"fetchObjects\",\"pattern\":{}},"
          "\"iteratee\":"
          "{\"type\":\"extractProperties\",\"mapping\":{\"vm\":\"id\",\"label\":\"name\"}}}",
          "[{\"label\":\"A\",\"vm\":\"a\"},{\"vm\":\"b\"}]" },
        { "{\"type\":\"dance\"}", "Unsupported function 'dance'." },
        { "{\"type\":\"set\",\"values\":[1]}", "paramsVector: expected a list of objects" },
        { "{\"type\":\"set\"}", "paramsVector: set: expected a list of values" },
        { "{\"type\":\"extractProperties\",\"mapping\":{}}", "paramsVector: expected a list" },
        { "{\"type\":\"map\",\"collection\":{\"type\":\"set\",\"values\":[{}]}}",
          "Unsupported function ''." },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *got = resolved(rows[i].vector);
        assert_string_equal(got, rows[i].gives);
    }
}

static json_t *nested(unsigned depth)
{
    json_t *vector = json_pack("{s:s, s:[{}]}", "type", "set", "values");
    while (depth-- > 0)
        vector = json_pack("{s:s, s:[o]}", "type", "crossProduct", "items", vector);
    return vector;
}

static void test_bounds(void **state)
{
    json_t *deep = nested(VECTOR_MAX_DEPTH), *fine = nested(VECTOR_MAX_DEPTH - 1);
    assert_false(vector_check(deep, NULL));
    assert_true(vector_check(fine, NULL));
    json_decref(deep);
    json_decref(fine);
    json_t *values = json_array();
    for (unsigned i = 0; i < 200; i++)
        json_array_append_new(values, json_pack("{s:i}", "n", i));
    json_t *item = json_pack("{s:s, s:o}", "type", "set", "values", values);
    json_t *wide = json_pack("{s:s, s:[O, O]}", "type", "crossProduct", "items", item, item);
    assert_false(vector_check(wide, NULL));
    json_decref(wide);
    json_decref(item);
    json_t *one = vector_resolve(NULL, NULL, NULL, NULL);
    assert_int_equal(json_array_size(one), 1);
    json_decref(one);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_vectors),
                                        cmocka_unit_test(test_bounds) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
