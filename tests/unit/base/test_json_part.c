/* Parts of a document: what is wanted as jansson reads it, the rest passed over, damage noticed. */
#include "base/json_part.h"

#include "base/error.h"
#include "base/json_write.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const JsonWant none[] = { { NULL } };
static const JsonWant named[] = { { "name" }, { NULL } };
static const JsonWant each[] = { { "*", named }, { NULL } };
static const JsonWant wants[] = { { "a" }, { "each", each }, { "type", none }, { NULL } };

static json_t *part(const char *text, GError **error)
{
    g_autofree char *exact = g_memdup2(text, strlen(text)); /* a byte too far is seen */
    return json_part(exact, strlen(text), wants, error);
}

static void test_parts(void **state)
{
    static const struct {
        const char *text, *parts;
    } rows[] = {
        { "{}", "{}" },
        { " { \"a\" : [ 1 , -2.5e3, \"\\u00e9\\n\", true, null, {\"b\":{}} ] , \"b\":2 } \n",
          "{\"a\":[1,-2500.0,\"é\\n\",true,null,{\"b\":{}}]}" },
        { "{\"b\":{\"a\":\"}\\\"]\",\"c\":[[]]},\"a\":9007199254740993}",
          "{\"a\":9007199254740993}" },
        { "{\"a\":123456789012345678901234567890.0}", "{\"a\":1.2345678901234568e29}" },
        { "{\"each\":{\"x\":{\"name\":1,\"more\":[1]},\"y\":\"text\",\"z\":[{}]}}",
          "{\"each\":{\"x\":{\"name\":1},\"y\":\"text\",\"z\":[{}]}}" },
        { "{\"type\":{\"p\":1},\"\\u0061\":1}", "{\"type\":{},\"a\":1}" },
        { "{\"each\":{\"x\":{\"more\":[],\"name\":1,\"last\":\"}\"}},\"a\":{}}",
          "{\"each\":{\"x\":{\"name\":1}},\"a\":{}}" },
        { "{\"type\":[1],\"a\":1,\"a\":2}", "{\"type\":[1],\"a\":2}" },
        { "\"text\"", "\"text\"" },
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        json_t *found = part(rows[i].text, &error);
        json_t *wanted = json_loads(rows[i].parts, JSON_DECODE_ANY, NULL);
        assert_null(error);
        assert_true(wanted && json_equal(found, wanted));
        json_decref(found);
        json_decref(wanted);
    }
}

/* Also where it is passed over: what is cut is not taken for whole. */
static void test_damage(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{\"a\":[1,]}",
        "{\"a\":[1 2]}",
        "{\"a\":tru}",
        "{\"a\":01}",
        "{\"a\":\"\xff\"}",
        "{\"a\":\"\n\"}",
        "{\"b\":[1",
        "{\"b\":[1}",
        "{\"b\":\"x",
        "{\"b\":\"x\\",
        "{\"b\":{\"c\":[{}]",
        "{\"b\":}",
        "{\"b\" 1}",
        "{\"a\":1}{",
        "{\"each\":{\"x\":{\"name\":1,\"more\":[2]",
        "{\"each\":{\"x\":{\"name\":1]}}",
        "nothing",
    };
    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(part(texts[i], &error));
        assert_true(err_is(error, ERR_INVALID));
    }
}

static void test_depth(void **state)
{
    g_autoptr(GString) text = g_string_new("{\"a\":");
    g_autoptr(GError) error = NULL;
    for (unsigned i = 0; i < JSON_PART_MAX_DEPTH; i++)
        g_string_append_c(text, '[');
    assert_null(part(text->str, &error));
    assert_non_null(strstr(error->message, "deep"));
}

/* What is passed over in strides ends where it ends, wherever its brackets, quotes and backslashes
 * lie. */
static void test_strides(void **state)
{
    static const char *const nests[] = {
        "{\"k\":\"]}\\\"}]\\\\\",\"l\":[{},[\"\\\\\\\"{\"]]}",
        "[\"{\",\"[[[\\\\\",{\"x\":[[[[]]]]},\"\\\"\\\"\\\"\"]",
    };
    for (gsize n = 0; n < 2 * 200; n++) {
        g_autoptr(GString) text = g_string_new("{\"skip\":[");
        g_autoptr(GError) error = NULL;
        g_string_append_printf(text, "\"%*s\",%s,", (int) (n / 2), "\\\\", nests[n % 2]);
        g_string_append_printf(text, "%s,\"%0100d\",%s],\"a\":%zu}", nests[n % 2], 0, nests[1], n);
        json_t *found = part(text->str, &error);
        json_t *wanted = json_pack("{s:I}", "a", (json_int_t) n);
        assert_null(error);
        assert_true(json_equal(found, wanted));
        json_decref(found);
        json_decref(wanted);
        for (gsize cut = text->len - 8; cut > 10; cut -= 7) {
            g_string_truncate(text, cut);
            assert_null(part(text->str, NULL));
        }
    }
}

static void test_written(void **state)
{
    static const char text[] =
        "{\"a\":[1,-2.5,\"é\\n\\u0001\",true,false,null,{},[],{\"b\":{\"c\":1}}],"
        "\"type\":\"\\\"\"}";
    json_t *value = json_loads(text, 0, NULL);
    g_autoptr(GString) written = g_string_new(NULL);
    json_write_value(written, value);
    assert_string_equal(written->str, text);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_parts), cmocka_unit_test(test_damage),
                                        cmocka_unit_test(test_depth),
                                        cmocka_unit_test(test_written),
                                        cmocka_unit_test(test_strides) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
