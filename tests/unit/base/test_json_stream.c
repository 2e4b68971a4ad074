/* The tokenizer against jansson, in every slicing; its limits; the lenient mode; the writer. */
#include "base/error.h"
#include "base/json_build.h"
#include "base/json_write.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    JsonBuild *build;
    json_t *value;
    unsigned n_reals;
    double last_real;
} Reading;

static bool seen(const JsonToken *token, void *user, GError **error)
{
    Reading *reading = user;
    json_t *done;
    if (token->kind == JSON_TOKEN_REAL) {
        reading->n_reals++;
        reading->last_real = token->real;
    }
    if (!json_build_add(reading->build, token, &done, error))
        return false;
    if (done) {
        json_decref(reading->value);
        reading->value = done;
    }
    return true;
}

/* The value, read in slices of `slice` bytes, or NULL with an error. */
static json_t *read_json(const char *text, gsize n, gsize slice, const JsonStreamConfig *config,
                         Reading *reading, GError **error)
{
    g_autoptr(JsonBuild) build = json_build_new();
    *reading = (Reading){ .build = build };
    g_autoptr(JsonStream) stream = json_stream_new(config, seen, reading);
    bool ok = true;
    for (gsize i = 0; ok && i < n; i += slice) {
        g_autofree char *copy = g_memdup2(text + i, MIN(slice, n - i)); /* shows reads beyond */
        ok = json_stream_feed(stream, copy, MIN(slice, n - i), error);
    }
    if (ok && json_stream_end(stream, error))
        return reading->value;
    json_decref(reading->value);
    return NULL;
}

static json_t *read_text(const char *text, const JsonStreamConfig *config, GError **error)
{
    Reading reading;
    return read_json(text, strlen(text), 3, config, &reading, error);
}

static const char *const good[] = {
    "{}",
    "[]",
    " [ ] ",
    "0",
    "-0",
    "\"\"",
    "null",
    "[true,false,null]",
    "{\"a\":{\"b\":[1,2,{\"c\":\"d\"}]},\"e\":-12}",
    "[9223372036854775807,-9223372036854775808,9007199254740993]",
    "[1.5,1e3,1E-7,0.1,123456.789e10,1.0]",
    "[\"\\u00e9\\ud83d\\ude00\\n\\t\\\"\\\\\\/\\b\\f\\r\",\"\xc3\xa9\"]",
    "\"\\u0000x\"",
    "{\"a\":1,\"a\":2}",
};

static void test_same_as_jansson(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        json_t *expected = json_loads(good[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(expected);
        for (gsize slice = 1; slice <= strlen(good[i]); slice++) {
            g_autoptr(GError) error = NULL;
            Reading reading;
            json_t *value = read_json(good[i], strlen(good[i]), slice, NULL, &reading, &error);
            assert_null(error);
            assert_true(json_equal(value, expected));
            json_decref(value);
        }
        json_decref(expected);
    }
}

static const char *const wrong[] = {
    "",
    "[",
    "{",
    "]",
    "[1,]",
    "[,1]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "[1 2]",
    "01",
    "-",
    "1.",
    ".5",
    "1e",
    "+1",
    "tru",
    "nul",
    "truee",
    "NaN",
    "Infinity",
    "\"\\x\"",
    "\"\\u12g4\"",
    "\"\\ud800\"",
    "\"\\udc00\"",
    "\"\\ud800\\u0041\"",
    "\"\x01\"",
    "\"\xff\"",
    "\"\xed\xa0\x80\"",
    "{}{}",
    "1 1",
    "[1}",
    "{\"a\":1]",
    "{\"a\\u0000\":1}",
    "1e400",
    "\"abc",
    "{\"a\" 1}",
    "[1:2]",
    "'a'",
    "[1,2",
};

static void test_refused(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autoptr(GError) error = NULL;
        json_t *value = read_text(wrong[i], NULL, &error);
        if (value)
            fail_msg("accepted: %s", wrong[i]);
        assert_true(err_is(error, ERR_INVALID) || err_is(error, ERR_TRUNCATED));
        json_t *other = json_loads(wrong[i], JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_null(other);
    }
}

static void test_lenient(void **state)
{
    JsonStreamConfig config = { .lenient = true };
    Reading reading;
    g_autoptr(GError) error = NULL;
    const char *text = "[NaN, Infinity,-Infinity, 1e999]";
    json_t *value = read_json(text, strlen(text), 2, &config, &reading, &error);
    assert_null(error);
    assert_int_equal(reading.n_reals, 4);
    assert_true(isinf(reading.last_real));
    assert_true(json_is_null(json_array_get(value, 0)));
    json_decref(value);
    value = read_text("\"a\xff\\ud800b\x01\"", &config, &error);
    assert_null(error);
    assert_string_equal(json_string_value(value), "a\xef\xbf\xbd\xef\xbf\xbd"
                                                  "b\x01");
    json_decref(value);
    assert_null(read_text("[nan]", &config, &error));
}

static void test_limits(void **state)
{
    JsonStreamConfig config = { .max_depth = 3, .max_text_bytes = 5 };
    g_autoptr(GError) deep = NULL, wide = NULL, fine = NULL;
    assert_null(read_text("[[[[]]]]", &config, &deep));
    assert_true(err_is(deep, ERR_LIMIT));
    assert_null(read_text("[\"123456\"]", &config, &wide));
    assert_true(err_is(wide, ERR_LIMIT));
    json_t *value = read_text("[[[\"12345\"]]]", &config, &fine);
    assert_non_null(value);
    json_decref(value);
}

static bool refuse(const JsonToken *token, void *user, GError **error)
{
    unsigned *n = user;
    ++*n;
    err_set(error, ERR_CANCELLED, "enough");
    return false;
}

static void test_a_refusal_stays(void **state)
{
    unsigned n = 0;
    g_autoptr(JsonStream) stream = json_stream_new(NULL, refuse, &n);
    g_autoptr(GError) first = NULL, second = NULL;
    assert_false(json_stream_feed(stream, "[1", 2, &first));
    assert_false(json_stream_feed(stream, "]", 1, &second));
    assert_true(err_is(second, ERR_CANCELLED));
    assert_int_equal(n, 1);
}

static void test_integers_are_exact(void **state)
{
    json_t *value = read_text("[9007199254740993,18446744073709551616]", NULL, NULL);
    assert_true(json_integer_value(json_array_get(value, 0)) == 9007199254740993);
    assert_true(json_real_value(json_array_get(value, 1)) == 18446744073709551616.0);
    json_decref(value);
}

static void test_write(void **state)
{
    g_autoptr(GString) out = g_string_new(NULL);
    json_write_string(out, "a\"\\\n\x01\xc3\xa9", 7);
    json_write_int(out, INT64_MIN);
    json_write_real(out, 0.1);
    json_write_real(out, 7);
    json_write_real(out, NAN);
    json_write_real(out, 1.0 / 3);
    assert_string_equal(out->str, "\"a\\\"\\\\\\n\\u0001\xc3\xa9\"-92233720368547758080.17null"
                                  "0.3333333333333333");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_jansson), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_lenient),         cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_refusal_stays), cmocka_unit_test(test_integers_are_exact),
        cmocka_unit_test(test_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
