/* The filter language: answers compared with XO's own library. */
#include "base/error.h"
#include "base/filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char vm[] =
    "{\"type\":\"VM\",\"power_state\":\"Running\",\"$pool\":\"p-1\",\"auto_poweron\":true,"
    "\"tags\":[\"prod\",\"Db x\"],\"size\":1073741824,\"none\":null,\"zero\":0,"
    "\"name_label\":\"my VM 2\",\"snapshots\":[1,2,3],\"empty\":\"\","
    "\"boot\":{\"firmware\":\"uefi\"},\"accent\":\"\\u00c9t\\u00e9\"}";

static const struct {
    const char *filter;
    bool matches;
} rows[] = {
    { "", true },
    { "   ", true },
    { "running", true },
    { "RUNN", true },
    { "power_state:running", true },
    { "power_state:runn*", true },
    { "power_state:r*x", false },
    { "name_label:\"my vm\"", true },
    { "name_label:\"my\\ vm\"", true },
    { "!power_state:Running", false },
    { "! power_state:halted", true },
    { "power_state:|(Running suspended)", true },
    { "power_state:| ( halted suspended )", false },
    { "tags:/^prod$/", true },
    { "tags:/^PROD$/", false },
    { "tags:/^PROD$/i", true },
    { "snapshots:length:>2", true },
    { "snapshots:length:>3", false },
    { "snapshots:length:>=3", true },
    { "snapshots:1:2", true },
    { "name_label:length:7", true },
    { "auto_poweron?", true },
    { "zero?", false },
    { "empty?", false },
    { "tags?", true },
    { "missing?", false },
    { "$pool:p-1 type:VM", true },
    { "$pool:p-1 type:SR", false },
    { "boot:firmware:uefi", true },
    { "boot.firmware:uefi", false },
    { "size:>=1073741824", true },
    { "size:<1073741824", false },
    { "size:1073741824", true },
    { "size:107374182", false },
    { "size:/1073/", false },
    { "(type:VM tags:prod)", true },
    { "|(type:SR tags:prod)", true },
    { "\"type\":VM", true },
    { "type : VM", true },
    { "missing:!x", true }, /* undefined does not match x */
    { "none:!x", true },
    { "accent:\303\251T\303\211", true },
    { "2", true },
    { "zero:<1", true },
    { "none:<1", false },
    { "uefi", true },
};

static void test_rows(void **state)
{
    json_t *value = json_loads(vm, 0, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Filter) filter = filter_parse(rows[i].filter, &error);
        if (!filter)
            fail_msg("%s", error->message);
        if (filter_match(filter, value) != rows[i].matches)
            fail_msg("%s", rows[i].filter);
    }
    json_decref(value);
}

static void test_errors(void **state)
{
    static const char *const wrong[] = { "(",     ")",    "()",  "a:",  ":a",   "\"open", "/open",
                                         "/(/",   "!",    "|",   "|a",  "|(a",  ">",      ">abc",
                                         "a b )", "a:(b", "[a]", "a::", "\xff", "a??" };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Filter) filter = filter_parse(wrong[i], &error);
        if (filter)
            fail_msg("%s is accepted", wrong[i]);
        assert_true(err_is(error, ERR_INVALID));
        assert_true(g_str_has_prefix(error->message, "filter"));
    }
    g_autofree char *deep = g_strnfill(1000, '(');
    assert_null(filter_parse(deep, NULL));
    g_autoptr(GError) error = NULL;
    assert_null(filter_parse("name:x )", &error));
    assert_string_equal(error->message, "filter \"name:x )\": unexpected text at position 7");
}

static void test_slow_regex(void **state)
{
    g_autoptr(Filter) filter = filter_parse("/(a+)+$/", NULL);
    json_t *value = json_string("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab");
    gint64 start = g_get_monotonic_time();
    filter_match(filter, value);
    assert_true(g_get_monotonic_time() - start < 2 * G_USEC_PER_SEC);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_errors),
                                        cmocka_unit_test(test_slow_regex) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
