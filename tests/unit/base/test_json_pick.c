/* Members of an object found in its text, as a whole parser finds them. */
#include "base/json_pick.h"

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void pick_one(const char *text, JsonPick *pick)
{
    json_pick(text, strlen(text), pick, 1);
}

static void assert_value(const char *text, const char *name, const char *expected)
{
    JsonPick pick = { name };
    pick_one(text, &pick);
    assert_non_null(pick.value);
    assert_int_equal(pick.n, strlen(expected));
    assert_memory_equal(pick.value, expected, pick.n);
}

static void test_values(void **state)
{
    static const char text[] =
        " { \"a\" : \"x\", \"b\\\"\":1 , \"c\":[1,{\"d\":\"]\"}], \"d\":-1.5e3,"
        "\"e\":true,\"f\":{\"a\":\"}\\\\\"},\"g\":null, \"a\":\"second\" }";
    assert_value(text, "a", "\"x\"");
    assert_value(text, "c", "[1,{\"d\":\"]\"}]");
    assert_value(text, "d", "-1.5e3");
    assert_value(text, "e", "true");
    assert_value(text, "f", "{\"a\":\"}\\\\\"}");
    assert_value(text, "g", "null");
}

/* What a guest writes into its own record cannot pass for a member of the record. */
static void test_nested(void **state)
{
    JsonPick pick = { "$container" };
    pick_one("{\"other\":{\"$container\":\"evil\"},\"x\":\"\\\"$container\\\":1\"}", &pick);
    assert_null(pick.value);
    assert_value("{\"other\":{\"$container\":\"evil\"},\"$container\":\"good\"}", "$container",
                 "\"good\"");
}

static void test_damaged(void **state)
{
    static const char *const texts[] = { "",          "[]",          "{",        "{\"a\"",
                                         "{\"a\":",   "{a:1}",       "{\"b\":1", "{\"b\":[1}",
                                         "{\"b\":1;", "{\"b\":\"x}", "1",        "{\"b\"1}" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        JsonPick pick = { "z" };
        pick_one(texts[i], &pick);
        assert_null(pick.value);
    }
    JsonPick pick = { "z" };
    pick_one("{}", &pick);
}

static void assert_texts(const char *value, const char *expected)
{
    JsonPick pick = { "a", value, strlen(value) };
    const char *text;
    size_t at = 0, n;
    char all[100] = "";
    while (json_pick_text(&pick, &at, &text, &n)) {
        strncat(all, text, n);
        strcat(all, " ");
    }
    assert_string_equal(all, expected);
}

static void test_texts(void **state)
{
    assert_texts("\"one\"", "one ");
    assert_texts("[\"one\" , \"two\",null,3]", "one two ");
    assert_texts("[\"e\\\"s\",[\"inner\"],{\"k\":\"v\"},\"last\"]", "last ");
    assert_texts("{\"k\":\"v\"}", "");
    assert_texts("null", "");
    assert_texts("[]", "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_values),
                                        cmocka_unit_test(test_nested),
                                        cmocka_unit_test(test_damaged),
                                        cmocka_unit_test(test_texts) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
