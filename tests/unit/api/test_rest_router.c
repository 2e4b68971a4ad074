/* Which paths a route's pattern takes, and what its names stand for. */
#include "api/rest_router.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *pattern, *path, *args; /* NULL: no match */
} rows[] = {
    { "vms", "vms", "{}" },
    { "vms", "vms/x", NULL },
    { "vms", "vm", NULL },
    { "vms/{id}", "vms", NULL },
    { "vms/{id}", "vms/", NULL },
    { "vms/{id}", "vms/x", "{\"id\":\"x\"}" },
    { "vms/{id}", "vms/x/y", NULL },
    { "vms/{id}/tags/{tag*}", "vms/x/tags/a/b//c", "{\"id\":\"x\",\"tag\":\"a/b//c\"}" },
    { "vms/{id}/tags/{tag*}", "vms/x/tags/", NULL },
    { "archives/{id*}", "archives/r//x.json", "{\"id\":\"r//x.json\"}" },
    { "vdis/{id}.raw", "vdis/x.raw", "{\"id\":\"x\"}" },
    { "vdis/{id}.raw", "vdis/.raw", NULL },
    { "vdis/{id}.raw", "vdis/x.vhd", NULL },
    { "a/{x}/b/{y}", "a/1/b/2", "{\"x\":\"1\",\"y\":\"2\"}" },
    { "a/{x}/b/{y}", "a/1/c/2", NULL },
    { "", "", "{}" },
};

static void test_match(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *args = json_object();
        bool matches = rest_path_match(rows[i].pattern, rows[i].path, args);
        if (matches != (rows[i].args != NULL))
            fail_msg("%s on %s: %d", rows[i].pattern, rows[i].path, matches);
        json_t *wanted = rows[i].args ? json_loads(rows[i].args, 0, NULL) : NULL;
        if (wanted)
            assert_true(json_equal(wanted, args));
        json_decref(wanted);
        json_decref(args);
    }
}

static void nothing(RestRequest *request)
{
}

static void test_find(void **state)
{
    static const RestRoute table[] = { { "GET", "a/me", nothing, "first" },
                                       { "GET", "a/{id}", nothing, "second" },
                                       { "DELETE", "a/{id}", nothing, "third" },
                                       { NULL } };
    RestRouter *router = rest_router_new();
    rest_router_add_table(router, table);
    json_t *args = NULL;
    g_autofree char *allowed = NULL;
    assert_string_equal(rest_router_find(router, "GET", "a/me", &args, &allowed)->with, "first");
    json_decref(args);
    assert_string_equal(rest_router_find(router, "GET", "a/x", &args, &allowed)->with, "second");
    json_decref(args);
    assert_string_equal(rest_router_find(router, "DELETE", "a/me", &args, &allowed)->with, "third");
    json_decref(args);
    assert_null(allowed);
    assert_null(rest_router_find(router, "PUT", "a/x", &args, &allowed));
    assert_string_equal(allowed, "GET, DELETE");
    g_clear_pointer(&allowed, g_free);
    assert_null(rest_router_find(router, "GET", "b", &args, &allowed));
    assert_null(allowed);
    rest_router_free(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_match), cmocka_unit_test(test_find) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
