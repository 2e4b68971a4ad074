/* Disks inside the archives of full backups that a real XO wrote. */
#include "fixture.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Reads the only disk of a full backup in an order that goes back. */
static char *archive_sha256(Repo *repo, json_t *point, GError **error)
{
    json_t *rows = catalog_point_disks(repo->catalog, point, error);
    assert_int_equal(json_array_size(rows), 1);
    const char *path = json_string_value(json_object_get(json_array_get(rows, 0), "path"));
    g_autoptr(Disk) disk = catalog_point_disk_open(repo->catalog, point, path, error);
    g_autofree guint8 *block = g_malloc(DISK_BLOCK_BYTES);
    if (disk && disk_has(disk, disk->info.n_blocks - 1))
        assert_true(disk_read_block(disk, disk->info.n_blocks - 1, block, error));
    json_decref(rows);
    return disk ? disk_sha256(disk) : NULL;
}

/* Archives as the pool made them: plain, gzip, zstd; of each, the first. */
static void test_archives(void **state)
{
    g_autoptr(Repo) repo = repo_fixture("full");
    g_autoptr(GError) error = NULL;
    json_t *expected = fixture_json("repos/expected.json"), *row, *last = NULL;
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);
    unsigned n_checked = 0;
    gsize i;
    json_array_foreach (expected, i, row) {
        const char *job = json_string_value(json_object_get(row, "job"));
        if (strcmp(json_string_value(json_object_get(row, "repo")), "full") != 0 ||
            !g_hash_table_add(seen, (gpointer) job))
            continue;
        json_t *point = catalog_point(
            repo->catalog, strchr(json_string_value(json_object_get(row, "path")), '/'), &error);
        json_t *want = json_array_get(json_object_get(row, "disks"), 0);
        g_autofree char *sum = archive_sha256(repo, point, &error);
        if (!sum)
            fail_msg("%s", error->message);
        assert_string_equal(sum, json_string_value(json_object_get(want, "sha256")));
        json_decref(last);
        last = point;
        n_checked++;
    }
    assert_int_equal(n_checked, 3);
    g_autofree char *command =
        g_strdup_printf("cd '%s' && for f in xo-vm-backups/*/*.checksum; do"
                        " chmod u+w $f; echo '$1$$0123456789abcdef0123456789abcdef' > $f; done",
                        repo->folder);
    assert_int_equal(system(command), 0);
    g_autofree char *none = archive_sha256(repo, last, &error);
    assert_null(none);
    assert_non_null(strstr(error->message, "checksum"));
    json_decref(last);
    json_decref(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_archives) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
