/* What count-based retention drops. */
#include "catalog/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static json_t *make(void)
{
    json_t *points = json_array();
    for (int i = 1; i <= 6; i++)
        json_array_append_new(points,
                              json_pack("{s:o,s:s,s:i}", "_filename", json_sprintf("/p%d", i),
                                        "scheduleId", i == 4 ? "other" : "s", "timestamp", i));
    return points;
}

static void assert_dropped(const char *schedule, unsigned keep, const char *expected)
{
    json_t *points = make();
    g_auto(GStrv) dropped = catalog_retention(points, schedule, keep);
    g_autofree char *text = g_strjoinv(" ", dropped);
    assert_string_equal(text, expected);
    json_decref(points);
}

static void test_count(void **state)
{
    assert_dropped("s", 2, "/p3 /p2 /p1");
    assert_dropped("s", 5, "");
    assert_dropped("s", 9, "");
    assert_dropped("s", 0, "/p6 /p5 /p3 /p2 /p1");
    assert_dropped("other", 0, "/p4");
    assert_dropped("none", 0, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_count) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
