/* Validation: XO's recorded errors for wrong calls, aliases, defaults, the schema that is shown. */
#include "api/error.h"
#include "api/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const Param *const start =
    PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force")), OPT(ID("host", "host", "operate")));
static const Param *const mixed =
    PARAMS(REQ(STR("id")), OPT(STR0("name")), DEF("\"vhd\"", STR("format")), OPT(INT("n")),
           OPT(TYPED("options", P_STRING | P_NULL)), OPT(ARR("list", P_STRING)),
           OPT(CHOICE("mode", "full|delta")));

/* Compares the whole error with XO's. */
static void expect_error(const Param *rows, const char *sent, const char *want)
{
    g_autoptr(GError) error = NULL;
    json_t *params = json_loads(sent, 0, NULL);
    assert_null(params_check(rows, "vm.start", params, &error));
    ApiErrorView view = { .admin = true };
    json_t *got = api_error_json(error, &view);
    json_t *wanted = json_loads(want, 0, NULL);
    assert_non_null(wanted);
    if (!json_equal(got, wanted)) {
        g_autofree char *text = json_dumps(got, 0);
        fail_msg("got %s", text);
    }
    json_decref(got);
    json_decref(wanted);
    json_decref(params);
}

static void expect_params(const Param *rows, const char *sent, const char *want)
{
    g_autoptr(GError) error = NULL;
    json_t *params = json_loads(sent, 0, NULL);
    json_t *got = params_check(rows, "vm.start", params, &error);
    json_t *wanted = json_loads(want, 0, NULL);
    assert_true(got && json_equal(got, wanted));
    json_decref(got);
    json_decref(wanted);
    json_decref(params);
}

#define FAILURE(list)                                                                              \
    "{\"code\":10,\"message\":\"invalid parameters\",\"data\":{\"errors\":[" list "]}}"
#define MISSING(name)                                                                              \
    "{\"instancePath\":\"\",\"schemaPath\":\"#/required\",\"keyword\":\"required\",\"params\":{"   \
    "\"missingProperty\":\"" name "\"},\"message\":\"must have required property '" name "'\"}"
#define ADDITIONAL(name)                                                                           \
    "{\"instancePath\":\"\",\"schemaPath\":\"#/additionalProperties\",\"keyword\":"                \
    "\"additionalProperties\",\"params\":{\"additionalProperty\":\"" name                          \
    "\"},\"message\":\"must NOT have additional properties\"}"
#define BAD_TYPE(at, schema, json, words)                                                          \
    "{\"instancePath\":\"" at "\",\"schemaPath\":\"#/properties" schema "/type\",\"keyword\":"     \
    "\"type\",\"params\":{\"type\":" json "},\"message\":\"must be " words "\"}"

static void test_violations(void **state)
{
    expect_error(start, "{}", FAILURE(MISSING("id")));
    expect_error(start, "{\"id\":42}", FAILURE(BAD_TYPE("/id", "/id", "\"string\"", "string")));
    expect_error(start, "{\"id\":\"x\",\"nonsense\":1}", FAILURE(ADDITIONAL("nonsense")));
    expect_error(start, "[1]", FAILURE(MISSING("id") "," ADDITIONAL("0")));
    expect_error(start, "{\"id\":\"\"}",
                 FAILURE("{\"instancePath\":\"/id\",\"schemaPath\":\"#/properties/id/minLength\","
                         "\"keyword\":\"minLength\",\"params\":{\"limit\":1},\"message\":"
                         "\"must NOT have fewer than 1 characters\"}"));
    expect_error(mixed, "{\"id\":\"x\",\"options\":1,\"n\":1.5}",
                 FAILURE(BAD_TYPE("/n", "/n", "\"integer\"", "integer") "," BAD_TYPE(
                     "/options", "/options", "[\"string\",\"null\"]", "string,null")));
    expect_error(mixed, "{\"id\":\"x\",\"list\":[\"a\",3]}",
                 FAILURE(BAD_TYPE("/list/1", "/list/items", "\"string\"", "string")));
    expect_error(mixed, "{\"id\":\"x\",\"mode\":\"other\"}",
                 FAILURE("{\"instancePath\":\"/mode\",\"schemaPath\":\"#/properties/mode/enum\","
                         "\"keyword\":\"enum\",\"params\":{\"allowedValues\":[\"full\",\"delta\"]},"
                         "\"message\":\"must be equal to one of the allowed values\"}"));
}

static void test_preparing(void **state)
{
    expect_params(start, "{\"vm\":\"x\"}", "{\"id\":\"x\"}");
    expect_params(start, "{\"id\":\"x\",\"nonsense?\":1,\"force?\":true}",
                  "{\"id\":\"x\",\"force\":true}");
    expect_params(mixed, "{\"id\":\"x\",\"name\":\"\",\"n\":2.0,\"options\":null}",
                  "{\"id\":\"x\",\"name\":\"\",\"n\":2.0,\"options\":null,\"format\":\"vhd\"}");
    expect_params(NULL, "{\"nonsense\":1,\"other?\":2}", "{\"nonsense\":1}");
    expect_params(NULL, "[]", "{}");
}

static void test_schema(void **state)
{
    json_t *got = params_schema(mixed);
    json_t *wanted = json_loads(
        "{\"id\":{\"type\":\"string\"},\"name\":{\"type\":\"string\",\"minLength\":0,\"optional\":"
        "true},\"format\":{\"type\":\"string\",\"default\":\"vhd\"},\"n\":{\"type\":\"integer\","
        "\"optional\":true},\"options\":{\"type\":[\"string\",\"null\"],\"optional\":true},"
        "\"list\":{\"type\":\"array\",\"items\":{\"type\":\"string\"},\"optional\":true},\"mode\":{"
        "\"type\":\"string\",\"enum\":[\"full\",\"delta\"],\"optional\":true}}",
        0, NULL);
    assert_true(json_equal(got, wanted));
    json_decref(got);
    json_decref(wanted);
}

static char *id_of(const char *ref, void *user)
{
    return g_strdup(g_str_equal(ref, "OpaqueRef:1") ? "the-id" : NULL);
}

/* A pool's error gets XO's number, its references become ids. */
static void test_pool_error(void **state)
{
    g_autoptr(GError) error = NULL;
    const char *detail[] = { "VM_BAD_POWER_STATE", "OpaqueRef:1", "halted", "running", NULL };
    err_set_detail(&error, ERR_XAPI, detail, "web: VM_BAD_POWER_STATE");
    ApiErrorView view = { .id_of = id_of };
    json_t *got = api_error_json(error, &view);
    json_t *wanted = json_loads(
        "{\"code\":13,\"message\":\"VM state is running but should be halted\",\"data\":{"
        "\"objectId\":\"the-id\",\"expected\":\"halted\",\"actual\":\"running\"}}",
        0, NULL);
    assert_true(json_equal(got, wanted));
    json_decref(got);
    json_decref(wanted);
}

/* What has no number is opaque, except for administrators. */
static void test_internal_error(void **state)
{
    g_autoptr(GError) error = NULL;
    err_set(&error, ERR_IO, "reading /x: broken");
    ApiErrorView view = { .admin = false };
    json_t *got = api_error_json(error, &view);
    assert_int_equal(json_integer_value(json_object_get(got, "code")), -32000);
    assert_string_equal(json_string_value(json_object_get(got, "message")),
                        "unknown error from the peer");
    json_decref(got);
    view.admin = true;
    got = api_error_json(error, &view);
    assert_string_equal(json_string_value(json_object_get(got, "message")), "reading /x: broken");
    json_decref(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_violations),     cmocka_unit_test(test_preparing),
        cmocka_unit_test(test_schema),         cmocka_unit_test(test_pool_error),
        cmocka_unit_test(test_internal_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
