/* Calls read from the wire, good ones and bad. */
#include "sim/rpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static bool parse(bool json, const char *text, RpcCall *call)
{
    return json ? rpc_parse_json(text, strlen(text), call)
                : rpc_parse_xml(text, strlen(text), call);
}

static void expect_params(bool json, const char *text, const char *expected)
{
    RpcCall call;
    assert_true(parse(json, text, &call));
    assert_string_equal(call.method, "VM.start");
    g_autofree char *params = json_dumps(call.params, JSON_COMPACT | JSON_REAL_PRECISION(3));
    assert_string_equal(params, expected);
    rpc_call_clear(&call);
}

#define CALL(params)                                                                               \
    "<?xml version='1.0'?>\n<methodCall> <methodName> VM.start </methodName><params>" params       \
    "</params></methodCall>"
#define PARAM(value) "<param>\n <value>" value "</value>\n</param>"

static void test_xml(void **state)
{
    expect_params(false, CALL(""), "[]");
    expect_params(false, CALL(PARAM("x &lt; y")), "[\"x < y\"]");
    expect_params(false, CALL(PARAM("<string></string>") PARAM("")), "[\"\",\"\"]");
    expect_params(false, CALL(PARAM("<int>5</int>") PARAM("<i8>-6</i8>")), "[5,-6]");
    expect_params(false, CALL(PARAM("<boolean>1</boolean>") PARAM("<double>2.5</double>")),
                  "[true,2.5]");
    expect_params(false, CALL(PARAM("<dateTime.iso8601>20260821T02:00:00Z</dateTime.iso8601>")),
                  "[\"20260821T02:00:00Z\"]");
    expect_params(false,
                  CALL(PARAM("<array> <data> <value>a</value> <value><i4>1</i4></value> </data> "
                             "</array>")),
                  "[[\"a\",1]]");
    expect_params(false,
                  CALL(PARAM("<struct> <member> <name>k</name> <value><struct></struct></value> "
                             "</member> </struct>")),
                  "[{\"k\":{}}]");
}

static void test_json(void **state)
{
    RpcCall call;
    expect_params(true, "{\"method\":\"VM.start\",\"params\":[1,\"x\"],\"id\":0}", "[1,\"x\"]");
    expect_params(true, "{\"method\":\"VM.start\",\"id\":\"a\"}", "[]");
    assert_true(
        parse(true, "{\"jsonrpc\":\"2.0\",\"method\":\"m\",\"params\":[],\"id\":7}", &call));
    assert_true(call.v2);
    rpc_call_clear(&call);
}

static void test_bad(void **state)
{
    static const char *const xml[] = {
        "",
        "x",
        "<methodCall>",
        "<a/>",
        CALL(PARAM("<int>x</int>")),
        CALL(PARAM("<struct><member><value>1</value></member></struct>")),
        CALL(PARAM("<i4>1</i4><value>2</value>")),
    };
    static const char *const json[] = {
        "",
        "[]",
        "{}",
        "{\"method\":1,\"params\":[],\"id\":1}",
        "{\"method\":\"m\",\"params\":{},\"id\":1}",
        "{\"method\":\"m\",\"params\":[]}",
    };
    RpcCall call;
    for (guint i = 0; i < G_N_ELEMENTS(xml); i++)
        assert_false(parse(false, xml[i], &call));
    for (guint i = 0; i < G_N_ELEMENTS(json); i++)
        assert_false(parse(true, json[i], &call));
}

static void test_deep(void **state)
{
    g_autoptr(GString) text = g_string_new("<methodCall><methodName>m</methodName>");
    RpcCall call;
    for (int i = 0; i < 100; i++)
        g_string_append(text, "<value><array><data>");
    assert_false(parse(false, text->str, &call));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_xml),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
