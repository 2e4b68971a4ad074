/* Sizes as clients write them. */
#include "api/size.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static gint64 parsed(json_t *value)
{
    gint64 bytes = -1;
    size_parse(value, "size", &bytes, NULL);
    json_decref(value);
    return bytes;
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        gint64 bytes;
    } rows[] = {
        { "0", 0 },
        { "512", 512 },
        { "10 MiB", 10 << 20 },
        { "10MiB", 10 << 20 },
        { "1.5 GiB", 3ll << 29 },
        { "512 MB", 512000000 },
        { "2 kB", 2000 },
        { "2 KiB", 2048 },
        { "3 T", 3000000000000 },
        { "7 B", 7 },
        { "", -1 },
        { "GiB", -1 },
        { "-1 GiB", -1 },
        { "10 parsecs", -1 },
        { "10 iB", -1 },
        { "1e300 TiB", -1 },
        { "nan", -1 },
        { "99999999 PiB", -1 },
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (parsed(json_string(rows[i].text)) != rows[i].bytes)
            fail_msg("\"%s\"", rows[i].text);
    assert_int_equal(parsed(json_integer(77)), 77);
    assert_int_equal(parsed(json_real(77.9)), 77);
    assert_int_equal(parsed(json_integer(-1)), -1);
    assert_int_equal(parsed(json_true()), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_sizes) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
