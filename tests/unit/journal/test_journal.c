/* The journal: continues, drops a torn end, refuses damage, is locked by its holder. */
#include "base/error.h"
#include "journal/journal.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static char *folder, *path;

static int make_folder(void **state)
{
    folder = g_dir_make_tmp("journal-XXXXXX", NULL);
    path = g_build_filename(folder, "run", NULL);
    return 0;
}

static int drop_folder(void **state)
{
    g_unlink(path);
    g_rmdir(folder);
    g_free(path);
    g_free(folder);
    return 0;
}

static void write_three(void)
{
    g_autoptr(Journal) journal = journal_open(path, NULL);
    assert_true(journal_add(journal, "intent", json_pack("{s:s}", "what", "snapshot"), NULL));
    assert_true(journal_note(journal, "mark", json_pack("{s:i}", "block", 7), NULL));
    assert_true(journal_add(journal, "done", NULL, NULL));
}

static gsize count(GError **error)
{
    g_autoptr(Journal) journal = journal_open(path, error);
    json_t *records = journal ? journal_records(journal, error) : NULL;
    gsize n = records ? json_array_size(records) : 999;
    json_decref(records);
    return n;
}

static void test_continues(void **state)
{
    write_three();
    write_three();
    g_autoptr(Journal) journal = journal_open(path, NULL);
    json_t *records = journal_records(journal, NULL);
    assert_int_equal(json_array_size(records), 6);
    json_t *second = json_array_get(records, 1);
    assert_string_equal(json_string_value(json_object_get(second, "type")), "mark");
    assert_int_equal(json_integer_value(json_object_get(second, "block")), 7);
    json_decref(records);
    assert_true(journal_end(g_steal_pointer(&journal), NULL));
    assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

/* Whatever the length at which the power went, what was complete before is there, and the journal
 * goes on. */
static void test_torn(void **state)
{
    write_three();
    g_autofree char *data = NULL;
    gsize n;
    assert_true(g_file_get_contents(path, &data, &n, NULL));
    gsize last = 0;
    for (gsize cut = 0; cut <= n; cut++) {
        g_autoptr(GError) error = NULL;
        assert_true(g_file_set_contents(path, data, (gssize) cut, NULL));
        gsize now = count(&error);
        assert_null(error);
        assert_true(now <= 3 && now >= last);
        last = now;
        g_autoptr(Journal) journal = journal_open(path, NULL);
        assert_true(journal_add(journal, "more", NULL, NULL));
        g_clear_pointer(&journal, journal_close);
        assert_int_equal(count(NULL), now + 1);
    }
    assert_int_equal(last, 3);
}

static void test_damaged(void **state)
{
    write_three();
    g_autofree char *data = NULL;
    gsize n;
    assert_true(g_file_get_contents(path, &data, &n, NULL));
    data[30] ^= 0x20; /* in the first record's text */
    assert_true(g_file_set_contents(path, data, (gssize) n, NULL));
    g_autoptr(GError) error = NULL;
    assert_int_equal(count(&error), 999);
    assert_true(err_is(error, ERR_CORRUPT));
    data[4] = 9;
    assert_true(g_file_set_contents(path, data, (gssize) n, NULL));
    g_clear_error(&error);
    assert_int_equal(count(&error), 999);
    assert_true(err_is(error, ERR_TOO_NEW));
}

static void test_held(void **state)
{
    g_autoptr(Journal) journal = journal_open(path, NULL);
    g_autoptr(GError) error = NULL;
    assert_null(journal_open(path, &error));
    assert_true(err_is(error, ERR_BUSY));
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = { WITH_FOLDER(test_continues), WITH_FOLDER(test_torn),
                                        WITH_FOLDER(test_damaged), WITH_FOLDER(test_held) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
