/* Cron: times compared with XO's own library, zones that change their clock, errors that name the
 * field. */
#include "base/cron.h"
#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static gint64 ms(const char *iso)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(iso, NULL);
    return g_date_time_to_unix(time) * 1000;
}

static const struct {
    const char *cron, *zone, *after, *next;
} rows[] = {
    { "* * * * *", NULL, "2026-11-22T04:00:59Z", "2026-11-22T04:01:00Z" },
    { "0 4 * * *", "utc", "2026-11-22T04:00:59Z", "2026-11-23T04:00:00Z" },
    { "0 0 29 1 *", "utc", "2026-01-01T00:00:00Z", "2028-02-29T00:00:00Z" },
    { "0 0 * * wen", "utc", "2026-11-22T00:00:00Z", "2026-11-25T00:00:00Z" },
    { "0 0 * * wed", "utc", "2026-11-22T00:00:00Z", "2026-11-25T00:00:00Z" },
    { "0 0 * * 7", "utc", "2026-11-23T00:00:00Z", "2026-11-29T00:00:00Z" },
    { "0 0 * * 5-7", "utc", "2026-11-27T00:00:00Z", "2026-11-28T00:00:00Z" },
    { "0 0 13 * 5", "utc", "2026-11-14T00:00:00Z", "2026-11-20T00:00:00Z" },
    { "*/15 9-17/4 * * *", "America/New_York", "2026-11-22T14:10:05Z", "2026-11-22T14:15:00Z" },
    { "0 0 1 0 *", "Asia/Tokyo", "2026-11-22T00:00:00Z", "2026-12-31T15:00:00Z" },
    { "0 0 1 jan-mar,dec *", "utc", "2026-04-01T00:00:00Z", "2026-12-01T00:00:00Z" },
    { "@weekly", "Europe/Paris", "2026-11-22T12:00:00Z", "2026-11-28T23:00:00Z" },
    { "  5\t4  * * *  ", "utc", "2026-11-22T00:00:00Z", "2026-11-22T04:05:00Z" },
    /* the clock goes forward at 01:00Z: 02:30 does not exist that day */
    { "30 2 * * *", "Europe/Paris", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z" },
    { "30 2 * * *", "Europe/Paris", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z" },
    /* the clock goes back at 01:00Z: 02:30 comes twice and counts once … */
    { "30 2 * * *", "Europe/Paris", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z" },
    { "30 2 * * *", "Europe/Paris", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z" },
    /* … but every hour is every hour */
    { "0 * * * *", "Europe/Paris", "2026-10-25T00:10:00Z", "2026-10-25T01:00:00Z" },
    { "*/10 * * * *", "Europe/Paris", "2026-10-25T00:55:00Z", "2026-10-25T01:00:00Z" },
};

static void test_next(void **state)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Cron) cron = cron_parse(rows[i].cron, rows[i].zone, &error);
        assert_null(error);
        gint64 next = cron_next(cron, ms(rows[i].after), &error);
        if (next != ms(rows[i].next))
            fail_msg("%s after %s: %" G_GINT64_FORMAT ", not %s", rows[i].cron, rows[i].after, next,
                     rows[i].next);
    }
}

static void test_errors(void **state)
{
    static const struct {
        const char *cron, *zone, *message;
    } wrong[] = {
        { "61 5 * * *", NULL, "cron \"61 5 * * *\": minute: 61 is not between 0 and 59" },
        { "0 0 * 12 *", NULL, "month: 12 is not between 0 and 11" },
        { "0 0 * * Mon", NULL, "day of week: \"Mon\" is none of *, */n, a, a-b, a-b/n" },
        { "5/10 * * * *", NULL, "minute: \"5/10\"" },
        { "*/0 * * * *", NULL, "minute: \"*/0\"" },
        { "9-5 * * * *", NULL, "ends before it begins" },
        { "1,,2 * * * *", NULL, "minute: \"\"" },
        { "* * * *", NULL, "4 fields, expected 5" },
        { "* * * * * *", NULL, "6 fields, expected 5" },
        { "@reboot", NULL, "minute: \"@reboot\"" },
        { "* * * * *", "Mars/Olympus", "timezone: \"Mars/Olympus\" is not a known time zone" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(cron_parse(wrong[i].cron, wrong[i].zone, &error));
        assert_true(err_is(error, ERR_INVALID));
        if (!strstr(error->message, wrong[i].message))
            fail_msg("%s", error->message);
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(Cron) never = cron_parse("0 0 30 feb *", NULL, NULL);
    assert_int_equal(cron_next(never, ms("2026-11-22T00:00:00Z"), &error), 0);
    assert_true(err_is(error, ERR_INVALID));
}

/* Other dialects in XO's words; NULL: in none of them. */
static void test_translate(void **state)
{
    static const char *const cases[][2] = {
        { "0 3 * * *", "0 3 * * *" },
        { "*/15 0-6 1,15 0-11 mon-fri", "*/15 0-6 1,15 0-11 mon-fri" },
        { " 0  3 * *\t* ", "0 3 * * *" },
        { "0 3 * JAN Wed", "0 3 * jan wen" },
        { "0 3 ? March Monday,WEDNESDAY,thurs", "0 3 * mar mon,wen,thu" },
        { "0 0 3 * * ?", "0 3 * * *" },
        { "00 5 4 * * wen", "5 4 * * wen" },
        { "30 0 3 * * *", NULL },
        { "0 22-4 * * *", "0 22-23,0-4 * * *" },
        { "0 3 * * fri-mon", "0 3 * * fri-6,0-mon" },
        { "0 3 * * fri-sun", "0 3 * * fri-7" },
        { "0 3 * nov-feb *", "0 3 * nov-11,0-feb *" },
        { "5/10 * * * *", "5-59/10 * * * *" },
        { "0 3 * * 7", "0 3 * * 7" },
        { "@midnight", "@daily" },
        { "@weekly", "@weekly" },
        { "0 3 L * *", NULL },
        { "0 3 * *", NULL },
        { "0 3 * * * * *", NULL },
        { "0 3 * * fri#2", NULL },
        { "0 3 * jan/ *", NULL },
        { "every day", NULL },
        { "", NULL },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *made = cron_translate(cases[i][0]);
        if (g_strcmp0(made, cases[i][1]) != 0)
            fail_msg("%s: %s", cases[i][0], made ? made : "not understood");
        if (!made)
            continue;
        g_autoptr(Cron) cron = cron_parse(made, NULL, NULL);
        assert_non_null(cron);
        g_autofree char *again = cron_translate(made);
        assert_string_equal(again, made);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_next),
                                        cmocka_unit_test(test_translate),
                                        cmocka_unit_test(test_errors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
