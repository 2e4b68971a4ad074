/* Metadata of any age and of any malice. */
#include "base/error.h"
#include "catalog/layout.h"
#include "catalog/metadata.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static json_t *parse(const char *text, GError **error)
{
    return metadata_parse(text, strlen(text), "a.json", error);
}

#define HEAD "{\"mode\":\"delta\",\"timestamp\":1,\"vm\":{\"uuid\":\"u\",\"is_a_template\":0},"

static void test_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{\"mode\":\"delta\"}",
        "{\"mode\":\"delta\",\"timestamp\":-1,\"vm\":{\"uuid\":\"u\"},\"vhds\":{}}",
        "{\"mode\":\"delta\",\"timestamp\":1e300,\"vm\":{\"uuid\":\"u\"},\"vhds\":{}}",
        "{\"mode\":\"delta\",\"timestamp\":\"1\",\"vm\":{\"uuid\":\"u\"},\"vhds\":{}}",
        "{\"mode\":\"other\",\"timestamp\":1,\"vm\":{\"uuid\":\"u\"},\"vhds\":{}}",
        HEAD "\"vhds\":[]}",
        HEAD "\"vhds\":{\"r\":\"../../../etc/x.vhd\"}}",
        HEAD "\"vhds\":{\"r\":\"vdis/../../x.vhd\"}}",
        HEAD "\"vhds\":{\"r\":\"vdis/j/v/x\"}}",
        HEAD "\"vhds\":{\"r\":\"vdis/j/v/x\\u0000.vhd\"}}",
        HEAD "\"vhds\":{\"r\":7}}",
        HEAD "\"vhds\":{},\"vdis\":7}",
        "{\"mode\":\"full\",\"timestamp\":1,\"vm\":{\"uuid\":\"u\"},\"xva\":\"../other/x.xva\"}",
        "{\"mode\":\"full\",\"timestamp\":1,\"vm\":{\"uuid\":\"u\"}}",
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(parse(bad[i], &error));
        assert_true(err_is(error, ERR_CORRUPT));
        assert_non_null(strstr(error->message, "a.json"));
    }
    g_autoptr(GString) deep = g_string_new(HEAD "\"vhds\":{},\"x\":");
    for (unsigned i = 0; i < 100000; i++)
        g_string_append_c(deep, '[');
    assert_null(parse(deep->str, NULL));
}

static void test_old(void **state)
{
    json_t *point = parse(
        HEAD "\"vhds\":{\"r\":\"./vdis/j/v/x.vhd\"},\"vbds\":{\"b\":{\"bootable\":1,\"n\":1}},"
             "\"vdis\":{\"r\":{\"managed\":0}}}",
        NULL);
    assert_non_null(point);
    json_t *vbd = json_object_get(json_object_get(point, "vbds"), "b");
    assert_true(json_is_false(json_object_get(json_object_get(point, "vm"), "is_a_template")));
    assert_true(json_is_true(json_object_get(vbd, "bootable")));
    assert_true(json_is_integer(json_object_get(vbd, "n")));
    g_autofree char *path = metadata_path(json_object_get(json_object_get(point, "vhds"), "r"));
    assert_string_equal(path, "vdis/j/v/x.vhd");
    json_decref(point);
}

static void test_layout(void **state)
{
    g_autofree char *date = catalog_date(1795313819673);
    assert_string_equal(date, "20261122T021659Z");
    g_autofree char *inside = layout_resolve("a/b", "../c/./d.vhd");
    assert_string_equal(inside, "a/c/d.vhd");
    assert_null(layout_resolve("a/b", "../../../c"));
    assert_true(layout_is_temporary(".1795314017213.20261122T022017Z.vhd"));
    assert_false(layout_is_temporary("20261122T022017Z.vhd"));
    assert_false(layout_is_temporary(".20261122T022017Z.vhd.merge.json"));
    assert_false(layout_check_name("VM uuid", "../x", NULL));
    assert_false(layout_check_name("VM uuid", "u.lock", NULL));
    assert_null(layout_date_of("2026"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bad), cmocka_unit_test(test_old),
                                        cmocka_unit_test(test_layout) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
