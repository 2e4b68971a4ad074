/* Durations as npm's ms reads them; the bus and the gate, which are as small. */
#include "base/bus.h"
#include "base/date.h"
#include "base/error.h"
#include "base/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_duration(void **state)
{
    static const struct {
        const char *text;
        gint64 ms;
    } rows[] = {
        { "30 days", 2592000000 },
        { "1 day", 86400000 },
        { "10m", 600000 },
        { "1.5h", 5400000 },
        { "100", 100 },
        { "2 Weeks", 1209600000 },
        { ".5s", 500 },
        { "1y", 31557600000 },
        { "3 years", 94672800000 },
        { "0", 0 },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        gint64 ms = -1;
        assert_true(date_parse_duration(rows[i].text, &ms, NULL));
        assert_int_equal(ms, rows[i].ms);
    }
    static const char *const wrong[] = { "",      "day", "-1 day",      "1 fortnight", "nan",
                                         "1 d d", "inf", "1e300 years", "0x10" };
    for (gsize i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        gint64 ms;
        if (date_parse_duration(wrong[i], &ms, &error))
            fail_msg("%s", wrong[i]);
        assert_true(err_is(error, ERR_INVALID));
    }
    g_autofree char *iso = date_format_iso(1795313810797);
    assert_string_equal(iso, "2026-11-22T02:16:50.797Z");
}

static void heard(const char *topic, json_t *news, void *count)
{
    *(int *) count += (int) json_integer_value(json_object_get(news, "n"));
}

static void test_bus(void **state)
{
    g_autoptr(Bus) bus = bus_new();
    int run = 0, all = 0;
    guint handle = bus_add(bus, "run.", heard, &run);
    bus_add(bus, "", heard, &all);
    bus_say(bus, "run.begin", json_pack("{s:i}", "n", 1));
    bus_say(bus, "other", json_pack("{s:i}", "n", 2));
    bus_drop(bus, handle);
    bus_say(bus, "run.end", json_pack("{s:i}", "n", 4));
    bus_say(NULL, "run.end", json_object());
    assert_int_equal(run, 1);
    assert_int_equal(all, 7);
}

static GateAnswer answer(const char *question, json_t *about, unsigned *delay_ms, void *user,
                         GError **error)
{
    *delay_ms = 5;
    return *(GateAnswer *) user;
}

static void test_gate(void **state)
{
    g_autoptr(Gate) gate = gate_new();
    unsigned delay_ms = 0;
    GateAnswer first = GATE_GO, second = GATE_DELAY;
    assert_int_equal(gate_ask(gate, "run.begin", NULL, &delay_ms, NULL), GATE_GO);
    gate_add(gate, answer, &first);
    gate_add(gate, answer, &second);
    assert_int_equal(gate_ask(gate, "run.begin", NULL, &delay_ms, NULL), GATE_DELAY);
    assert_int_equal(delay_ms, 5);
    assert_int_equal(gate_ask(NULL, "run.begin", NULL, &delay_ms, NULL), GATE_GO);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_duration), cmocka_unit_test(test_bus),
                                        cmocka_unit_test(test_gate) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
