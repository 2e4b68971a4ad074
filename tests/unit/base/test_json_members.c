/* The walk over an object's members, against jansson; and which properties a filter looks at. */
#include "base/filter.h"
#include "base/json_members.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static const char *const texts[] = {
    "{}",
    " { } ",
    "{\"a\":1}",
    "{\"a\":\"x\",\"b\":null,\"c\":true,\"d\":-1.5e3}",
    "{ \"a\" : [ 1 , { \"b\" : \"]}\" } ] , \"c\" : {} , \"d\" : \"\" }",
    "{\"quote\":\"\\\"\",\"slash\":\"\\\\\",\"both\":\"\\\\\\\"\",\"end\":{\"x\\\"\":\"{\"}}",
    "{\"\":\"empty name\",\"\\u00e9\":[[[]]],\"ö\":[[],{}]}",
};

static void check(const char *text, json_t *object)
{
    JsonMembers members;
    JsonMember member;
    size_t n = 0;
    json_members_init(&members, text, strlen(text));
    while (json_members_next(&members, &member)) {
        g_autofree char *quoted = g_strndup(member.name - 1, member.n_name + 2);
        json_t *name = json_loads(quoted, JSON_DECODE_ANY, NULL);
        json_t *value = json_loadb(member.value, member.n_value, JSON_DECODE_ANY, NULL);
        assert_non_null(value);
        assert_true(json_equal(value, json_object_get(object, json_string_value(name))));
        json_decref(name);
        json_decref(value);
        n++;
    }
    assert_true(n >= json_object_size(object));
}

static void test_members(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_t *object = json_loads(texts[i], 0, NULL);
        if (object)
            check(texts[i], object);
        json_decref(object);
    }
}

/* Every beginning of a text ends within its bounds (the sanitizers watch). */
static void test_broken(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        for (size_t n = 0; n < strlen(texts[i]); n++) {
            g_autofree char *part = g_memdup2(texts[i], n + 1);
            char *exact = g_memdup2(part, n ? n : 1);
            JsonMembers members;
            JsonMember member;
            json_members_init(&members, exact, n);
            while (json_members_next(&members, &member))
                assert_true(member.value + member.n_value <= exact + n);
            g_free(exact);
        }
    }
}

static void test_filter_properties(void **state)
{
    static const struct {
        const char *filter, *names; /* NULL: the whole value */
    } rows[] = {
        { "", "" },           { "a:1 !b? |(c:x \"d e\":y)", "a,b,c,d e" },
        { "a:b:c", "a" },     { "word", NULL },
        { "a:1 word", NULL }, { "!(a:1 |(b? /x/))", NULL },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Filter) filter = filter_parse(rows[i].filter, NULL);
        GPtrArray *names = filter_properties(filter);
        assert_int_equal(names != NULL, rows[i].names != NULL);
        if (!names)
            continue;
        g_ptr_array_add(names, NULL);
        g_autofree char *all = g_strjoinv(",", (char **) names->pdata);
        assert_string_equal(all, rows[i].names);
        g_ptr_array_unref(names);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_members),
                                        cmocka_unit_test(test_broken),
                                        cmocka_unit_test(test_filter_properties) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
