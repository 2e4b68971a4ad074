/* What merges, what goes, and above all what stays. */
#include "history.h"

#include "base/error.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define FLAT_SIZE(n_blocks) (2560 + 512 + (gint64) (n_blocks) * (512 + DISK_BLOCK_BYTES) - 512)

static const char *const modes[] = { NULL, "useVhdDirectory=true",
                                     "useVhdDirectory=true&compressionType=%22brotli%22" };

/* 0 full, then deltas; the disk grows at point 2. */
static History *four_points(const char *options)
{
    History *history = history_new(options, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    history_add(history, "35", false, 6);
    history_add(history, "05", false, 6);
    return history;
}

static char *disk_file(History *history, unsigned point)
{
    return g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM,
                            history->disks[point], NULL);
}

static void assert_listing(History *history, const char *flat, const char *directory,
                           bool is_directory)
{
    g_autofree char *listing = history_listing(history, "");
    assert_string_equal(listing, is_directory ? directory : flat);
    g_autofree char *data = history_listing(history, "data");
    g_auto(GStrv) names = g_strsplit(data, " ", -1);
    if (is_directory)
        assert_int_equal(g_strv_length(names), 2);
}

static void test_merge_root(void **state)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        History *history = four_points(modes[m]);
        CatalogCleaned cleaned;
        gint64 size;
        bool differencing;
        history_delete(history, 0);
        history_delete(history, 1);
        history_check(history, 2, 2);
        history_clean(history, &cleaned);
        assert_true(cleaned.merged);
        assert_int_equal(cleaned.n_merges, 1);
        assert_int_equal(json_array_size(cleaned.warnings), 0);
        json_decref(cleaned.warnings);
        history_check(history, 2, 2);
        assert_listing(history, "20261122T021859Z.vhd 20261122T021959Z.vhd",
                       "20261122T021859Z.alias.vhd 20261122T021959Z.alias.vhd data", m > 0);
        history_metadata(history, 2, &size, &differencing);
        assert_false(differencing);
        assert_int_equal(size, FLAT_SIZE(5));
        assert_int_equal(cleaned.size_bytes, size);
        history_metadata(history, 3, &size, &differencing);
        assert_true(differencing);
        history_clean(history, &cleaned);
        assert_int_equal(cleaned.n_merges + cleaned.n_dropped, 0);
        json_decref(cleaned.warnings);
        history_add(history, "2", false, 6); /* the chain goes on */
        history_check(history, 2, 3);
        history_free(history);
    }
}

/* What is merged keeps its own parent, and says so (XO says it has none). */
static void test_merge_middle(void **state)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        History *history = four_points(modes[m]);
        gint64 size;
        bool differencing;
        history_delete(history, 1);
        history_clean(history, NULL);
        history_check(history, 0, 3);
        history_metadata(history, 2, &size, &differencing);
        assert_true(differencing);
        assert_int_equal(size, FLAT_SIZE(3));
        history_free(history);
    }
}

static void test_drop_tip(void **state)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        History *history = four_points(modes[m]);
        CatalogCleaned cleaned;
        history_delete(history, 3);
        history_delete(history, 2);
        history_clean(history, &cleaned);
        assert_int_equal(cleaned.n_merges, 0);
        assert_int_equal(cleaned.n_dropped, 2);
        json_decref(cleaned.warnings);
        history_check(history, 0, 2);
        history_delete(history, 1);
        history_delete(history, 0);
        history_clean(history, NULL);
        g_autofree char *vdis =
            g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM, "vdis", NULL);
        g_autofree char *manifests =
            g_build_filename(history->repo->folder, ".cadenza/manifests", HISTORY_VM, NULL);
        g_autoptr(GDir) dir = g_dir_open(vdis, 0, NULL), kept = g_dir_open(manifests, 0, NULL);
        assert_null(g_dir_read_name(dir));
        assert_null(g_dir_read_name(kept));
        history_free(history);
    }
}

static void test_unreadable(void **state)
{
    History *history = four_points(NULL);
    CatalogCleaned cleaned;
    g_autofree char *json = g_strconcat(history->repo->folder, history->paths[1], NULL);
    g_autofree char *copy = g_build_filename(history->repo->folder, ".cadenza/quarantine",
                                             HISTORY_VM, "20261122T021759Z.json", NULL);
    g_autofree char *last = disk_file(history, 3), *second = disk_file(history, 1), *text = NULL;
    history_delete(history, 3);
    g_file_get_contents(json, &text, NULL, NULL);
    g_file_set_contents(json, "{\"mode\":\"del", -1, NULL);
    history_clean(history, &cleaned);
    assert_int_equal(access(last, F_OK), -1); /* what surely nobody needs goes */
    assert_int_equal(access(second, F_OK), 0);
    assert_int_equal(access(copy, F_OK), 0);
    assert_int_equal(access(json, F_OK), 0);
    assert_true(json_array_size(cleaned.warnings) >= 1);
    json_decref(cleaned.warnings);
    g_file_set_contents(json, text, -1, NULL);
    history_check(history, 0, 3);
    history_free(history);
}

/* A damaged or missing disk freezes its folder: nothing more is lost, nothing fails. */
static void test_damaged(void **state)
{
    for (unsigned kind = 0; kind < 2; kind++) {
        History *history = four_points(NULL);
        CatalogCleaned cleaned;
        g_autofree char *first = disk_file(history, 0), *middle = disk_file(history, 1);
        history_delete(history, 1);
        history_delete(history, 3);
        if (kind == 0)
            assert_int_equal(truncate(middle, 700), 0);
        else
            unlink(middle);
        g_autofree char *before = history_listing(history, "");
        history_clean(history, &cleaned);
        g_autofree char *after = history_listing(history, "");
        assert_string_equal(before, after);
        assert_true(json_array_size(cleaned.warnings) >= 1);
        json_decref(cleaned.warnings);
        g_autoptr(Disk)
            disk = catalog_disk_open(history->repo->catalog, HISTORY_VM, history->disks[0], NULL);
        assert_non_null(disk);
        history_free(history);
    }
}

static void test_leftovers(void **state)
{
    static const char *const litter[] = {
        HISTORY_LINEAGE "/.1795314017213.20261122T022017Z.vhd",
        ".1795314017213.20261122T022017Z.json.tmp",
        "20261122T022017Z.xva",
        "20261122T022017Z.xva.checksum",
        HISTORY_LINEAGE "/data/20261122T022017Z.vhd",
    };
    History *history = four_points("useVhdDirectory=true");
    g_autofree char *vm =
        g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM, NULL);
    g_autofree char *notes = g_build_filename(vm, "notes.txt", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(litter); i++) {
        g_autofree char *path = g_build_filename(vm, litter[i], NULL);
        assert_true(g_file_set_contents(path, "x", -1, NULL));
    }
    g_file_set_contents(notes, "mine", -1, NULL);
    CatalogCleaned cleaned;
    history_clean(history, &cleaned);
    assert_int_equal(cleaned.n_dropped, 5);
    json_decref(cleaned.warnings);
    for (unsigned i = 0; i < G_N_ELEMENTS(litter); i++) {
        g_autofree char *path = g_build_filename(vm, litter[i], NULL);
        assert_int_equal(access(path, F_OK), -1);
    }
    assert_int_equal(access(notes, F_OK), 0);
    history_check(history, 0, 4);
    history_free(history);
}

static void touch(const char *folder, const char *kind, const char *name)
{
    g_autofree char *place = g_build_filename(folder, ".cadenza", kind, NULL);
    g_autofree char *path = g_build_filename(place, name, NULL);
    assert_int_equal(g_mkdir_with_parents(place, 0755), 0);
    assert_true(g_file_set_contents(path, "{", 1, NULL));
}

static bool is_there(const char *folder, const char *kind, const char *name)
{
    g_autofree char *path = g_build_filename(folder, ".cadenza", kind, name, NULL);
    return access(path, F_OK) == 0;
}

/* Killed while it wrote into the folders of all VMs: what is of this VM and half-written goes. */
static void test_sweep(void **state)
{
    g_autoptr(Repo) repo = repo_new(NULL);
    static const struct {
        const char *kind, *name;
        bool stays;
    } files[] = {
        { "index", ".1795351036025." HISTORY_VM ".json.tmp" },
        { "index", ".1795351036025." HISTORY_VM ".points.json.tmp" },
        { "deletions", ".1795351036025." HISTORY_VM ".json.tmp" },
        { "index", ".1795351036025.aaaaaaaa-0000-4000-8000-000000000000.json.tmp", true },
        { "index", HISTORY_VM ".json", true },
        { "deletions", HISTORY_VM ".json", true },
        { "index", ".notes", true },
    };
    assert_true(catalog_sweep(repo->catalog, HISTORY_VM, NULL)); /* no folders yet */
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++)
        touch(repo->folder, files[i].kind, files[i].name);
    assert_true(catalog_sweep(repo->catalog, HISTORY_VM, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++)
        assert_int_equal(is_there(repo->folder, files[i].kind, files[i].name), files[i].stays);
}

static void age(const char *folder, const char *name, gint64 age_s)
{
    g_autofree char *path = g_build_filename(folder, ".cadenza", "index", name, NULL);
    struct timespec time = { g_get_real_time() / G_USEC_PER_SEC - age_s, 0 };
    const struct timespec times[] = { time, time };
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

/* Of any VM, but only what nobody can be writing any more. */
static void test_sweep_stale(void **state)
{
    static const struct {
        bool ours, old_name;
        gint64 age_s;
        bool stays;
    } rows[] = {
        { true, true, 3600, false }, { true, false, 3600, true }, { true, true, 0, true },
        { true, false, 0, true },    { false, true, 3600, true },
    };
    g_autoptr(Repo) repo = repo_new(NULL);
    assert_true(catalog_sweep_stale(repo->catalog, NULL)); /* no folders yet */
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        gint64 then_ms = g_get_real_time() / 1000 - (rows[i].old_name ? 3600000 : 0);
        g_autofree char *name = g_strdup_printf(".%" G_GINT64_FORMAT ".%s.json%s", then_ms,
                                                HISTORY_VM, rows[i].ours ? ".tmp" : "");
        touch(repo->folder, "index", name);
        age(repo->folder, name, rows[i].age_s);
        assert_true(catalog_sweep_stale(repo->catalog, NULL));
        assert_int_equal(is_there(repo->folder, "index", name), rows[i].stays);
    }
}

/* --- what XO leaves --- */

static void write_state(History *history, const char *step, bool with_chain, unsigned ancestor,
                        unsigned target)
{
    g_autofree char *p = g_path_get_basename(history->disks[ancestor]),
                    *t = g_path_get_basename(history->disks[target]);
    g_autofree char *path = g_strdup_printf("%s/xo-vm-backups/%s/%s/.%s.merge.json",
                                            history->repo->folder, HISTORY_VM, HISTORY_LINEAGE, p);
    GString *text = g_string_new("{\"child\":");
    if (with_chain)
        g_string_append_printf(
            text,
            "{\"uuid\":\"aabb0000-0000-4000-8000-0000000000%02x\"},\"parent\":{\"uuid\":\"aabb0000-"
            "0000-0000-0000-0000000000%02x\"},\"chain\":[\"%s\",\"%s\"]",
            target + 1, ancestor + 1, p, t);
    else
        g_string_append(text, "{\"header\":1},\"parent\":{\"header\":2}");
    g_string_append_printf(text, ",\"currentBlock\":null,\"mergedDataSize\":0,\"step\":\"%s\"}",
                           step);
    g_file_set_contents(path, text->str, -1, NULL);
    g_string_free(text, TRUE);
}

/* Point 0 was merged into point 1 up to XO's worst moment: the child is deleted, the ancestor has
 * not yet its name. */
static void half_done(History *history, bool with_chain)
{
    g_autofree char *first = disk_file(history, 0), *second = disk_file(history, 1);
    g_autofree char *kept = g_strconcat(history->repo->folder, "/../kept", NULL);
    g_autofree char *save = g_strdup_printf("cp -a '%s' '%s'", history->repo->folder, kept);
    history_delete(history, 0);
    assert_int_equal(system(save), 0);
    history_clean(history, NULL);
    assert_int_equal(rename(second, first), 0); /* merged content under the ancestor's name */
    write_state(history, with_chain ? "cleanup" : "cleanupVhds", with_chain, 0, 1);
}

static void test_half_done(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        History *history = four_points(modes[i / 2]);
        half_done(history, i % 2 == 0);
        if (i % 2 == 0)
            history_check(history, 1, 3); /* readable before anything is repaired */
        CatalogCleaned cleaned;
        history_clean(history, &cleaned);
        assert_int_equal(cleaned.n_merges, 1);
        json_decref(cleaned.warnings);
        history_check(history, 1, 3);
        history_check_names(history);
        g_autofree char *listing = history_listing(history, "");
        assert_null(strstr(listing, "merge.json"));
        history_free(history);
    }
}

static void test_interrupted_blocks(void **state)
{
    for (unsigned m = 0; m < 2; m++) {
        History *history = four_points(modes[m]);
        history_delete(history, 0);
        write_state(history, "mergeBlocks", true, 0, 1);
        history_check(history, 1, 3);
        history_clean(history, NULL);
        history_check(history, 1, 3);
        g_autofree char *listing = history_listing(history, "");
        assert_null(strstr(listing, "021659Z"));
        history_free(history);
    }
}

/* XO merged a disk that had grown and left the old number of entries: read, and repaired by the
 * next merge (XO would call it broken and delete its backups). */
static void test_grown_by_xo(void **state)
{
    History *history = history_new("useVhdDirectory=true&compressionType=%22none%22", 3);
    history_add(history, "01", true, 3);
    g_autofree char *header = g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM,
                                               HISTORY_LINEAGE, "data/20261122T021659Z.vhd/header",
                                               NULL);
    g_autofree char *old = NULL, *now = NULL;
    gsize n;
    g_file_get_contents(header, &old, &n, NULL);
    history_add(history, "24", false, 5);
    history_add(history, "3", false, 5);
    history_delete(history, 0);
    history_clean(history, NULL);
    g_file_set_contents(header, old, (gssize) n, NULL);
    history_check(history, 1, 2);
    history_delete(history, 1);
    history_clean(history, NULL);
    history_check(history, 2, 1);
    g_file_get_contents(header, &now, &n, NULL);
    assert_memory_equal(now + 28, "\0\0\0\5", 4);
    history_free(history);
}

/* A note that makes no sense: nothing is touched. */
static void test_bad_state(void **state)
{
    History *history = four_points(NULL);
    g_autofree char *path =
        g_strdup_printf("%s/xo-vm-backups/%s/%s/.20261122T021659Z.vhd.merge.json",
                        history->repo->folder, HISTORY_VM, HISTORY_LINEAGE);
    g_autofree char *nameless = g_strdup_printf("%s/xo-vm-backups/%s/%s/.merge.json",
                                                history->repo->folder, HISTORY_VM, HISTORY_LINEAGE);
    history_delete(history, 0);
    history_delete(history, 3);
    g_file_set_contents(nameless, "{}", -1, NULL);
    g_file_set_contents(path, "{\"chain\":[\"../../x.vhd\"]}", -1, NULL);
    g_autofree char *before = history_listing(history, "");
    history_clean(history, NULL);
    g_autofree char *after = history_listing(history, "");
    assert_string_equal(before, after);
    history_check(history, 1, 2);
    history_free(history);
}

/* --- fixtures --- */

static json_t *expected_of(json_t *all, const char *path)
{
    gsize i;
    json_t *row;
    json_array_foreach (all, i, row)
        if (g_str_has_suffix(json_string_value(json_object_get(row, "path")), path))
            return row;
    return NULL;
}

static void check_repo(Repo *repo, json_t *all)
{
    g_autoptr(GPtrArray) vms = catalog_vms(repo->catalog, NULL);
    for (guint v = 0; v < vms->len; v++) {
        json_t *points = catalog_points(repo->catalog, vms->pdata[v], NULL, NULL), *point, *stored;
        gsize i;
        const char *ref;
        json_array_foreach (points, i, point)
            json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
                json_t *row =
                    expected_of(all, json_string_value(json_object_get(point, "_filename")));
                g_autoptr(Disk) disk = catalog_disk_open(repo->catalog, vms->pdata[v],
                                                         json_string_value(stored), NULL);
                assert_non_null(disk);
                g_autofree char *sum = disk_sha256(disk);
                json_t *want = json_array_get(json_object_get(row, "disks"), 0);
                assert_string_equal(sum, json_string_value(json_object_get(want, "sha256")));
            }
        json_decref(points);
    }
}

static void test_fixtures(void **state)
{
    static const struct {
        const char *name;
        unsigned n_merges, n_dropped, n_left;
    } rows[] = { { "flat", 1, 0, 1 },
                 { "directory", 1, 0, 1 },
                 { "flat-unmerged", 1, 0, 2 },
                 { "interrupted", 0, 1, 1 } };
    json_t *expected = fixture_json("repos/expected.json");
    for (unsigned n = 0; n < G_N_ELEMENTS(rows); n++) {
        g_autoptr(Repo) repo = repo_fixture(rows[n].name);
        g_autoptr(GPtrArray) vms = catalog_vms(repo->catalog, NULL);
        for (guint v = 0; v < vms->len; v++) {
            CatalogCleaned cleaned;
            json_t *points = catalog_points(repo->catalog, vms->pdata[v], NULL, NULL);
            const char *oldest[] = {
                json_string_value(json_object_get(json_array_get(points, 0), "_filename")), NULL
            };
            if (rows[n].n_merges)
                assert_true(catalog_delete(repo->catalog, vms->pdata[v], oldest, true, NULL));
            assert_true(catalog_clean(repo->catalog, vms->pdata[v], true, true, &cleaned, NULL));
            assert_int_equal(cleaned.n_merges, rows[n].n_merges);
            assert_int_equal(cleaned.n_dropped, rows[n].n_dropped);
            json_decref(cleaned.warnings);
            json_decref(points);
            points = catalog_points(repo->catalog, vms->pdata[v], NULL, NULL);
            assert_int_equal(json_array_size(points), rows[n].n_left);
            json_decref(points);
        }
        check_repo(repo, expected);
    }
    json_decref(expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge_root),
        cmocka_unit_test(test_merge_middle),
        cmocka_unit_test(test_drop_tip),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_damaged),

        cmocka_unit_test(test_leftovers),
        cmocka_unit_test(test_sweep),
        cmocka_unit_test(test_sweep_stale),
        cmocka_unit_test(test_half_done),
        cmocka_unit_test(test_interrupted_blocks),
        cmocka_unit_test(test_bad_state),
        cmocka_unit_test(test_grown_by_xo),
        cmocka_unit_test(test_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
