/* Checking forms, in the words of XO's validator; and the forms of our own plug-ins. */
#include "plugin/schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* Single quotes instead of double ones. */
static json_t *json(const char *text)
{
    g_autofree char *whole = g_strdelimit(g_strdup(text), "'", '"');
    json_t *value = json_loads(whole, JSON_DECODE_ANY, NULL);
    assert_non_null(value);
    return value;
}

/* `wanted`: the first violation's words, "" for none, and how many there are. */
static void expect(const char *schema_text, const char *value_text, const char *wanted, size_t n)
{
    json_t *schema = json(schema_text), *value = json(value_text);
    json_t *list = schema_check(schema, value);
    g_autofree char *words = json_array_size(list) ? schema_words(list) : g_strdup("");
    assert_string_equal(words, wanted);
    assert_int_equal(json_array_size(list), n);
    json_decref(list);
    json_decref(value);
    json_decref(schema);
}

/* One word of a schema each: what it says of a value, "" for nothing. */
static void one_word(void **state)
{
    static const struct {
        const char *schema, *value, *wanted;
    } cases[] = {
        { "{'type': 'string'}", "5", "must be string" },
        { "{'type': 'string'}", "'a'", "" },
        { "{'type': 'integer'}", "1.5", "must be integer" },
        { "{'type': 'integer'}", "2.0", "" },
        { "{'type': 'number'}", "1.5", "" },
        { "{'type': 'boolean'}", "null", "must be boolean" },
        { "{'type': 'object'}", "[]", "must be object" },
        { "{}", "[{}]", "" },
        { "{'minLength': 2}", "'é'", "must NOT have fewer than 2 characters" },
        { "{'minLength': 2}", "'éé'", "" },
        { "{'pattern': '^a+$'}", "'ab'", "must match pattern \"^a+$\"" },
        { "{'pattern': '^a+$'}", "'a\\n'", "must match pattern \"^a+$\"" },
        { "{'minimum': 1, 'maximum': 65535}", "0", "must be >= 1" },
        { "{'minimum': 1, 'maximum': 65535}", "65536", "must be <= 65535" },
        { "{'enum': [false, 'force']}", "true", "must be equal to one of the allowed values" },
        { "{'enum': [false, 'force']}", "'force'", "" },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++)
        expect(cases[i].schema, cases[i].value, cases[i].wanted, *cases[i].wanted ? 1 : 0);
}

static void objects(void **state)
{
    const char *schema = "{'type': 'object', 'additionalProperties': false, 'required': ['a', 'b'],"
                         " 'properties': {'a': {'type': 'object', 'required': ['c']},"
                         " 'b': {'items': {'type': 'string'}, 'minItems': 1}}}";
    expect(schema, "{}", "must have required property 'a'", 2);
    expect(schema, "{'a': {'c': 1}, 'b': ['x'], 'd': 1}", "must NOT have additional property 'd'",
           1);
    expect(schema, "{'a': {}, 'b': ['x', 5, 6]}", "/a must have required property 'c'", 3);
    expect(schema, "{'a': {'c': 1}, 'b': ['x', 5]}", "/b/1 must be string", 1);
    expect(schema, "{'a': {'c': 1}, 'b': []}", "/b must NOT have fewer than 1 items", 1);
    expect(schema, "{'a': {'c': 1}, 'b': ['x']}", "", 0);
}

/* They are there before anything is checked, and are checked as well. */
static void defaults(void **state)
{
    json_t *schema =
        json("{'required': ['a'], 'properties': {'a': {'default': 5}, 'b': {'properties':"
             " {'c': {'default': [1]}}}}}");
    json_t *value = json("{'b': {}}"), *wanted = json("{'a': 5, 'b': {'c': [1]}}");
    json_t *list = schema_check(schema, value);
    assert_int_equal(json_array_size(list), 0);
    assert_true(json_equal(value, wanted));
    json_decref(list);
    json_decref(wanted);
    json_decref(value);
    json_decref(schema);
}

/* As programs read it. */
static void told(void **state)
{
    json_t *schema = json("{'properties': {'a': {'properties': {'b': {'type': 'integer'}}}}}");
    json_t *value = json("{'a': {'b': 'x'}}");
    json_t *list = schema_check(schema, value);
    json_t *wanted = json("[{'instancePath': '/a/b', 'schemaPath':"
                          " '#/properties/a/properties/b/type', 'keyword': 'type',"
                          " 'params': {'type': 'integer'}, 'message': 'must be integer'}]");
    assert_true(json_equal(list, wanted));
    json_decref(wanted);
    json_decref(list);
    json_decref(value);
    json_decref(schema);
}

/* However much is wrong. */
static void many(void **state)
{
    json_t *schema = json("{'items': {'type': 'string'}}"), *value = json_array();
    for (unsigned i = 0; i < 1000; i++)
        json_array_append_new(value, json_integer(i));
    json_t *list = schema_check(schema, value);
    assert_in_range(json_array_size(list), 1, 100);
    json_decref(list);
    json_decref(value);
    json_decref(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_word), cmocka_unit_test(objects), cmocka_unit_test(defaults),
        cmocka_unit_test(told),     cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
