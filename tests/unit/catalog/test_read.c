/* Reading disks: what a real XO wrote, to the digests taken from its pool; chains that are broken.
 */
#include "history.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static unsigned check_point(Repo *repo, json_t *expected)
{
    g_autoptr(GError) error = NULL;
    const char *path = strchr(json_string_value(json_object_get(expected, "path")), '/');
    const char *ref;
    json_t *point = catalog_point(repo->catalog, path, &error), *stored, *want;
    assert_non_null(point);
    unsigned n_checked = 0;
    gsize i;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        json_t *vdi = json_object_get(json_object_get(point, "vdis"), ref);
        const char *uuid = json_string_value(json_object_get(vdi, "$snapshot_of$uuid"));
        g_autoptr(Disk)
            disk = catalog_point_disk_open(repo->catalog, point, json_string_value(stored), &error);
        if (!disk)
            fail_msg("%s", error->message);
        g_autofree char *sum = disk_sha256(disk);
        json_array_foreach (json_object_get(expected, "disks"), i, want) {
            if (strcmp(json_string_value(json_object_get(want, "vdiUuid")), uuid) != 0)
                continue;
            assert_string_equal(sum, json_string_value(json_object_get(want, "sha256")));
            n_checked++;
        }
    }
    json_decref(point);
    return n_checked;
}

static void test_fixtures(void **state)
{
    static const char *const names[] = { "flat", "flat-unmerged", "directory", "interrupted" };
    json_t *expected = fixture_json("repos/expected.json"), *row;
    unsigned n_checked = 0;
    for (unsigned n = 0; n < G_N_ELEMENTS(names); n++) {
        g_autoptr(Repo) repo = repo_fixture(names[n]);
        gsize i;
        json_array_foreach (expected, i, row) {
            if (strcmp(json_string_value(json_object_get(row, "repo")), names[n]) == 0)
                n_checked += check_point(repo, row);
        }
    }
    assert_int_equal(n_checked, 15);
    json_decref(expected);
}

static void assert_fails(History *history, unsigned point, ErrCode code, const char *word)
{
    g_autoptr(GError) error = NULL;
    Disk *disk =
        catalog_disk_open(history->repo->catalog, HISTORY_VM, history->disks[point], &error);
    assert_null(disk);
    assert_true(err_is(error, code));
    if (!strstr(error->message, word))
        fail_msg("no \"%s\" in: %s", word, error->message);
}

static char *file_of(History *history, unsigned point)
{
    return g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM,
                            history->disks[point], NULL);
}

static void test_broken(void **state)
{
    History *history = history_new(NULL, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    history_add(history, "23", false, 4);
    g_autofree char *first = file_of(history, 0), *middle = file_of(history, 1),
                    *last = file_of(history, 2);
    g_autofree char *kept = g_strconcat(history->repo->folder, "/kept", NULL);
    g_autofree char *command = g_strdup_printf("cp '%s' '%s'", middle, kept);
    assert_int_equal(system(command), 0);
    g_free(command);
    command =
        g_strdup_printf("cp '%s' '%s'", first, middle); /* another disk under the parent's name */
    assert_int_equal(system(command), 0);
    assert_fails(history, 2, ERR_CORRUPT, "continues");
    g_free(command);
    command = g_strdup_printf("cp '%s' '%s'", last, first); /* the root names its descendant */
    assert_int_equal(system(command), 0);
    rename(kept, middle);
    assert_fails(history, 2, ERR_CORRUPT, "continues");
    unlink(first);
    assert_fails(history, 2, ERR_NOT_FOUND, "parent of");
    assert_int_equal(truncate(last, 100000), 0);
    g_autoptr(GError) error = NULL;
    assert_null(catalog_disk_open(history->repo->catalog, HISTORY_VM, history->disks[2], &error));
    assert_non_null(strstr(error->message, ".vhd"));
    g_clear_error(&error);
    assert_null(catalog_disk_open(history->repo->catalog, HISTORY_VM, "../other/x.vhd", &error));
    assert_true(err_is(error, ERR_INVALID));
    history_free(history);
}

static void test_alias_escapes(void **state)
{
    History *history = history_new("useVhdDirectory=true", 4);
    history_add(history, "012", true, 4);
    g_autofree char *alias = file_of(history, 0);
    static const char *const targets[] = { "../../../../../../etc/x.vhd", "", "data/x.alias.vhd",
                                           "data", "/etc/passwd" };
    for (unsigned i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_file_set_contents(alias, targets[i], -1, NULL);
        assert_fails(history, 0, ERR_CORRUPT, "alias");
    }
    g_file_set_contents(alias, "data/none.vhd", -1, NULL);
    assert_fails(history, 0, ERR_NOT_FOUND, "target of the alias");
    history_free(history);
}

static void flip(const char *path, long at)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
    int byte = fgetc(file);
    fseek(file, -1, SEEK_CUR);
    fputc(byte ^ 4, file);
    fclose(file);
}

/* Reads all of a point through its manifests: what it says of it, or NULL when all is well. */
static char *complaint(History *history, unsigned point)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Disk) disk = catalog_disk_open_checked(history->repo->catalog, HISTORY_VM,
                                                     history->disks[point], &error);
    g_autofree char *all = g_malloc(HISTORY_MAX_BLOCKS * (gsize) DISK_BLOCK_BYTES);
    if (disk && disk_read(disk, 0, all, disk->info.size_bytes, &error))
        return NULL;
    assert_true(err_is(error, ERR_CORRUPT));
    return g_strdup(error->message);
}

static void assert_complains(History *history, unsigned point, const char *word)
{
    g_autofree char *text = complaint(history, point);
    if (!text || !strstr(text, word))
        fail_msg("no \"%s\" in: %s", word, text ? text : "no complaint");
}

/* Nothing in a flat VHD tells that a byte of a block has changed: the manifest does. */
static void test_checked(void **state)
{
    History *history = history_new(NULL, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    assert_null(complaint(history, 1));
    g_autofree char *first = file_of(history, 0), *second = file_of(history, 1);
    flip(second, -4096);
    assert_complains(history, 1, "block 1, in xo-vm-backups");
    assert_null(complaint(history, 0));
    flip(second, -4096);
    flip(first, 8192); /* of block 0, which the second point takes from the first */
    assert_complains(history, 0, history->disks[0]);
    assert_complains(history, 1, history->disks[0]);
    g_autofree char *command = g_strdup_printf("cp '%s' '%s'", first, second);
    assert_int_equal(system(command), 0); /* a good disk under another's name */
    assert_complains(history, 1, "its manifest says");
    history_free(history);
}

/* The oldest two points of the VM, opened strictly: what the first failure says, or NULL. */
static char *strict_complaint(Repo *repo, const char *vm)
{
    g_autoptr(GError) error = NULL;
    json_t *points = catalog_points_afresh(repo->catalog, vm, NULL, NULL), *point;
    char *said = NULL;
    gsize i;
    json_array_foreach (points, i, point) {
        json_t *disks = catalog_point_disks(repo->catalog, point, NULL);
        const char *path = json_string_value(json_object_get(json_array_get(disks, 0), "path"));
        g_autoptr(Disk) disk = catalog_point_disk_open(repo->catalog, point, path, &error);
        if (!disk && !said) {
            assert_true(err_is(error, ERR_CORRUPT));
            said = g_strdup(error->message);
        }
        g_clear_error(&error);
        json_decref(disks);
    }
    json_decref(points);
    return said;
}

/* Runs a shell command in the VM's folder, looks, and runs it once more, which must undo it. */
static void assert_told(Repo *repo, const char *vm, const char *command, const char *word)
{
    g_autofree char *whole =
        g_strdup_printf("cd '%s/xo-vm-backups/%s' && %s", repo->folder, vm, command);
    assert_int_equal(system(whole), 0);
    g_autofree char *said = strict_complaint(repo, vm);
    if (!said || !strstr(said, word))
        fail_msg("no \"%s\" in: %s", word, said ? said : "no complaint");
    assert_int_equal(system(whole), 0);
    g_autofree char *rest = strict_complaint(repo, vm);
    if (rest)
        fail_msg("not undone: %s", rest);
}

/* Files that took each other's place, and a table that forgot a block: what XO wrote has no
 * checksums, but each file says what it is. */
static void test_strict(void **state)
{
    static const char vm[] = "1cc62ff4-f5c3-44d7-a0ce-513fda1d1168";
    g_autoptr(Repo) repo = repo_fixture("directory");
    assert_told(repo, vm, "set -- *.json && mv $1 t && mv $2 $1 && mv t $2",
                "lies under another name");
    assert_told(repo, vm,
                "cd vdis/*/* && set -- *.alias.vhd &&"
                " if test -e t; then mv t $2; else mv $2 t && cp $1 $2; fi",
                " holds the disk ");
    assert_told(repo, vm,
                "cd vdis/*/*/data && if test -e ../made; then rm $(cat ../made) ../made; else"
                " set -- * && n=0 && while test -e $1/blocks/0/$n; do n=$((n + 1)); done &&"
                " : > $1/blocks/0/$n && echo $1/blocks/0/$n > ../made; fi",
                "does not name it");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_fixtures),
                                        cmocka_unit_test(test_broken),
                                        cmocka_unit_test(test_alias_escapes),
                                        cmocka_unit_test(test_checked),
                                        cmocka_unit_test(test_strict) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
