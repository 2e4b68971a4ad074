/* Patterns: XO's documented examples against a few objects. */
#include "base/pattern.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define VM                                                                                         \
    "{\"type\":\"VM\",\"power_state\":\"Running\",\"$pool\":\"A\",\"tags\":[\"prod\",\"db\"],"     \
    "\"n\":2}"

static const struct {
    const char *pattern, *value;
    bool matches;
} rows[] = {
    { "{}", VM, true },
    { "{}", "\"text\"", false },
    { "{}", "null", false },
    { "\"a\"", "\"a\"", true },
    { "\"a\"", "\"A\"", false },
    { "2", "2.0", true },
    { "true", "1", false },
    { "null", "null", true },
    { "{\"power_state\":\"Running\"}", VM, true },
    { "{\"missing\":null}", VM, false },
    { "{\"$pool\":{\"__or\":[\"A\",\"B\"]}}", VM, true },
    { "{\"$pool\":{\"__not\":{\"__or\":[\"A\"]}}}", VM, false },
    { "{\"$pool\":{\"__and\":[{\"__or\":[\"A\"]},{\"__not\":{\"__or\":[\"C\"]}}]}}", VM, true },
    { "{\"tags\":{\"__or\":[[\"prod\"],[\"other\"]]}}", VM, true },
    { "{\"tags\":[\"prod\",\"db\"]}", VM, true },
    { "{\"tags\":[\"prod\",\"test\"]}", VM, false },
    { "{\"tags\":[]}", VM, true },
    { "{\"tags\":\"prod\"}", VM, false },
    { "{\"tags\":{\"__and\":[{\"__or\":[[\"prod\"]]},{\"__not\":{\"__or\":[[\"db\"]]}}]}}", VM,
      false },
    { "{\"__or\":[],\"n\":2}", VM, false }, /* two keys: plain properties */
    { "{\"__or\":[]}", VM, false },
    { "{\"__and\":[]}", VM, true },
    { "{\"power_state\":{\"__not\":\"Halted\"}}", VM, true },
};

static void test_rows(void **state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *pattern = json_loads(rows[i].pattern, JSON_DECODE_ANY, NULL);
        json_t *value = json_loads(rows[i].value, JSON_DECODE_ANY, NULL);
        if (pattern_match(pattern, value) != rows[i].matches)
            fail_msg("%s against %s", rows[i].pattern, rows[i].value);
        json_decref(pattern);
        json_decref(value);
    }
}

static void test_check(void **state)
{
    json_t *deep = json_object();
    for (unsigned i = 0; i < 200; i++)
        deep = json_pack("{s:o}", "__not", deep);
    assert_false(pattern_check(deep, NULL));
    assert_false(pattern_match(deep, deep) && false);
    json_decref(deep);
    json_t *wrong = json_pack("{s:s}", "__or", "x");
    g_autoptr(GError) error = NULL;
    assert_false(pattern_check(wrong, &error));
    assert_string_equal(error->message, "pattern: __or must be an array");
    json_decref(wrong);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_check) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
