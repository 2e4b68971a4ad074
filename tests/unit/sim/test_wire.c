/* Values in both spellings. */
#include "sim/wire.h"

#include "sim/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void write_all(Wire *wire)
{
    wire_open_map(wire);
    wire_key(wire, "a<b");
    wire_open_list(wire);
    wire_int(wire, -42);
    wire_text_value(wire, "x & \"y\"\n\x01");
    wire_bool(wire, true);
    wire_float(wire, 1);
    wire_float(wire, 0.25);
    wire_date(wire, 1787277600);
    wire_close(wire);
    wire_key(wire, "n");
    wire_i4(wire, 3);
    wire_key(wire, "empty");
    wire_open_map(wire);
    wire_close(wire);
    wire_close(wire);
}

static void test_json(void **state)
{
    Wire *wire = wire_new(false);
    write_all(wire);
    g_autoptr(GString) text = wire_finish(wire);
    assert_string_equal(text->str, "{\"a<b\":[-42,\"x & \\\"y\\\"\\n\\u0001\",true,1.0,0.25,"
                                   "\"20260821T02:00:00Z\"],\"n\":3,\"empty\":{}}");
    json_t *back = json_loads(text->str, 0, NULL);
    assert_non_null(back);
    json_decref(back);
}

static void test_xml(void **state)
{
    Wire *wire = wire_new(true);
    write_all(wire);
    g_autoptr(GString) text = wire_finish(wire);
    assert_string_equal(
        text->str,
        "<value><struct><member><name>a&lt;b</name><value><array><data><value>-42</value>"
        "<value>x &amp; \"y\"\n?</value><value><boolean>1</boolean></value>"
        "<value><double>1</double></value><value><double>0.25</double></value>"
        "<value><dateTime.iso8601>20260821T02:00:00Z</dateTime.iso8601></value></data></array>"
        "</value></member><member><name>n</name><value><i4>3</i4></value></member>"
        "<member><name>empty</name><value><struct></struct></value></member></struct></value>");
}

static void test_json_trees(void **state)
{
    json_t *tree = json_pack("{s[sibf]s{}}", "list", "t", 5, 0, 2.5, "map");
    Wire *wire = wire_new(true);
    wire_json(wire, tree);
    g_autoptr(GString) text = wire_finish(wire);
    assert_string_equal(text->str,
                        "<value><struct><member><name>list</name><value><array><data>"
                        "<value>t</value><value>5</value><value><boolean>0</boolean></value>"
                        "<value><double>2.5</double></value></data></array></value></member>"
                        "<member><name>map</name><value><struct></struct></value></member>"
                        "</struct></value>");
    json_decref(tree);
}

static void test_reset(void **state)
{
    Wire *wire = wire_new(false);
    g_string_append(wire_text(wire), "head");
    wire_open_list(wire);
    wire_int(wire, 1);
    wire_reset(wire, 4);
    wire_int(wire, 2);
    g_autoptr(GString) text = wire_finish(wire);
    assert_string_equal(text->str, "head2");
}

static void test_dates(void **state)
{
    assert_int_equal(sim_parse_date("20260821T02:00:00Z"), 1787277600);
    assert_int_equal(sim_parse_date("2026-08-21T02:00:00Z"), 1787277600);
    assert_int_equal(sim_parse_date("20260821T02:00:00"), 1787277600);
    assert_int_equal(sim_parse_date("never"), 0);
    g_autofree char *epoch = sim_format_date(0);
    assert_string_equal(epoch, "19700101T00:00:00Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),       cmocka_unit_test(test_xml),
        cmocka_unit_test(test_json_trees), cmocka_unit_test(test_reset),
        cmocka_unit_test(test_dates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
