/* The dialects of hosts, and what clients are given of them. */
#include "base/error.h"
#include "stats/series.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define LEGEND                                                                                     \
    "[\"AVERAGE:vm:u1:cpu0\",\"AVERAGE:vm:u1:memory_internal_free\",\"AVERAGE:vm:u2:cpu0\","       \
    "\"AVERAGE:vm:u1:vbd_xvda_iops_read\",\"AVERAGE:vm:u1:vbd_xvda_read\"]"
#define META(key)                                                                                  \
    key("start") ":60," key("step") ":60," key("end") ":120," key("rows") ":2," key(               \
        "columns") ":5," key("legend") ":" LEGEND
#define QUOTED(name) "\"" name "\""
#define BARE(name)   name

static const char newest[] =
    "{\"meta\":{" META(QUOTED) "},\"data\":[{\"t\":120,\"values\":[\"0.5\",\"2.0\",\"0.1\",\"7\","
                               "\"1e3\"]},"
                               "{\"t\":60,\"values\":[\"0.25\",\"NaN\",\"0.1\",\"-Infinity\","
                               "\"2.5e-1\"]}]}";
static const char nested[] =
    "{\"meta\":{" META(QUOTED) ",\"data\":[{\"t\":120,\"values\":[\"0.5\",\"2.0\",\"0.1\",\"7\","
                               "\"1000\"]},"
                               "{\"t\":60,\"values\":[\"0.25\",\"NaN\",\"0.1\",\"Infinity\","
                               "\"0.25\"]}]}}";
static const char bare[] =
    "{meta: {" META(BARE) "},data: [{t: 120,values:[0.5,2.0,0.1,7,1e3]},"
                          "{t:60 , values :[0.25,NaN,0.1,-Infinity,2.5e-1]}]}";

static json_t *series(const char *text, size_t piece)
{
    g_autoptr(Rrd) rrd = rrd_new();
    g_autoptr(GError) error = NULL;
    for (size_t at = 0, n = strlen(text); at < n; at += piece)
        if (!rrd_take(text + at, MIN(piece, n - at), rrd, &error))
            fail_msg("%s", error->message);
    if (!rrd_end(rrd, &error))
        fail_msg("%s", error->message);
    return series_json(rrd, SERIES_VM, "u1", 999);
}

static void test_dialects(void **state)
{
    json_t *want = json_loads("{\"endTimestamp\":120,\"interval\":60,\"stats\":{\"cpus\":{\"0\":"
                              "[25,50]},\"memoryFree\":[null,2048],\"iops\":{\"r\":{\"a\":[null,7]}"
                              "},\"xvds\":{\"r\":{\"a\":[0.25,1000]}}}}",
                              0, NULL);
    static const char *const dialects[] = { newest, nested, bare };
    for (unsigned i = 0; i < G_N_ELEMENTS(dialects); i++)
        for (size_t piece = 1; piece < 60; piece += 7) {
            json_t *got = series(dialects[i], piece);
            if (!json_equal(got, want))
                fail_msg("dialect %u in pieces of %zu: %s", i, piece, json_dumps(got, 0));
            json_decref(got);
        }
    json_decref(want);
}

static void test_odd(void **state)
{
    static const char *const fine[] = {
        "{\"meta\":{\"step\":5,\"end\":10,\"legend\":[]},\"data\":[]}",
        "{\"meta\":{\"step\":5,\"end\":10,\"legend\":[\"nonsense\"]},\"data\":[{\"t\":10,"
        "\"values\":[\"1\",\"2\",\"3\"]},{\"t\":5,\"values\":[]}]}",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(fine); i++)
        json_decref(series(fine[i], 1000));
    static const char *const broken[] = { "", "{\"meta\":", "<xport>", "{\"a\" 1}", "{]" };
    for (unsigned i = 0; i < G_N_ELEMENTS(broken); i++) {
        g_autoptr(Rrd) rrd = rrd_new();
        bool ok = rrd_take(broken[i], strlen(broken[i]), rrd, NULL) && rrd_end(rrd, NULL);
        if (ok)
            fail_msg("taken: %s", broken[i]);
    }
}

static void test_granularities(void **state)
{
    assert_ptr_equal(granularity_find(NULL), granularity_find("seconds"));
    assert_null(granularity_find("weeks"));
    assert_int_equal(granularity_start_s(granularity_find("hours"), 1000000), 1000000 - 601200);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_dialects), cmocka_unit_test(test_odd),
                                        cmocka_unit_test(test_granularities) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
