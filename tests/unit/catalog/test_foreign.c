/* What another program did to our disks since we wrote them, or left half done: it is read, told
 * apart from damage, and put right. */
#include "history.h"

#include "base/error.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#define BLOCKS "useVhdDirectory=true&compressionType=%22none%22"

static const char *const modes[] = { NULL, BLOCKS };

static char *manifest_file(History *history, unsigned point)
{
    g_autofree char *name = g_path_get_basename(history->paths[point]);
    return g_build_filename(history->repo->folder, ".cadenza/manifests", HISTORY_VM, name, NULL);
}

static char *lineage_file(History *history, const char *name)
{
    return g_build_filename(history->repo->folder, "xo-vm-backups", HISTORY_VM, HISTORY_LINEAGE,
                            name, NULL);
}

/* As if XO had written the point: nothing is known of its content. */
static void disown(History *history, unsigned point)
{
    g_autofree char *path = manifest_file(history, point);
    assert_int_equal(unlink(path), 0);
}

static void check_read(History *history, unsigned point, bool all_known)
{
    GError *error = NULL;
    CatalogVerified verified;
    g_autoptr(Disk) disk = catalog_disk_open_checked(history->repo->catalog, HISTORY_VM,
                                                     history->disks[point], &error);
    if (!disk)
        fail_msg("%s", error->message);
    g_autofree char *sum = disk_sum(disk);
    assert_string_equal(sum, history->sums[point]);
    if (!catalog_verify(history->repo->catalog, HISTORY_VM, history->disks[point], &verified,
                        &error))
        fail_msg("%s", error->message);
    assert_true(verified.n_blocks > 0);
    assert_int_equal(verified.n_verified >= verified.n_blocks, all_known);
}

/* A point of XO's was merged into one of ours: the older one of ours still has rows for blocks that
 * XO changed, and they must not count. */
static void test_unknown_is_not_corrupt(void **state)
{
    for (unsigned m = 0; m < 2; m++) {
        History *history = history_new(modes[m], 4);
        history_add(history, "012", true, 4);
        history_add(history, "1", false, 4);
        history_add(history, "2", false, 4);
        history_add(history, "0", false, 4);
        disown(history, 1);
        check_read(history, 2, false);
        history_delete(history, 1);
        history_clean(history, NULL);
        for (unsigned i = 0; i < 4; i++)
            if (i != 1)
                check_read(history, i, i == 0);
        history_delete(history, 2);
        history_clean(history, NULL);
        check_read(history, 3, false);
        history_free(history);
    }
}

/* The note that XO was writing when it died: empty, or half. */
static void test_torn_note(void **state)
{
    static const char *const texts[] = { "", "{\"child\":{\"uu" };
    for (unsigned i = 0; i < 4; i++) {
        History *history = history_new(modes[i / 2], 4);
        history_add(history, "012", true, 4);
        history_add(history, "1", false, 4);
        history_add(history, "2", false, 4);
        history_add(history, "03", false, 4);
        history_delete(history, 0);
        history_delete(history, 1);
        g_autofree char *first = g_path_get_basename(history->disks[0]);
        g_autofree char *name = g_strdup_printf(".%s.merge.json", first);
        g_autofree char *note = lineage_file(history, name);
        g_file_set_contents(note, texts[i % 2], -1, NULL);
        if (i / 2) { /* a block of the newest is moved already */
            g_autofree char *from = lineage_file(history, "data/20261122T021859Z.vhd/blocks/0/2");
            g_autofree char *to = lineage_file(history, "data/20261122T021659Z.vhd/blocks/0/2");
            assert_int_equal(rename(from, to), 0);
        }
        history_check(history, 2, 2);
        history_clean(history, NULL);
        history_check(history, 2, 2);
        g_autofree char *listing = history_listing(history, "");
        assert_null(strstr(listing, "merge.json"));
        assert_null(strstr(listing, "021659Z"));
        history_free(history);
    }
}

/* XO died between the two footers of a flat disk that holds everything. */
static void test_end_footer(void **state)
{
    History *history = history_new(NULL, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    history_add(history, "2", false, 4);
    history_delete(history, 0);
    history_clean(history, NULL);
    g_autofree char *second = g_path_get_basename(history->disks[1]);
    g_autofree char *merged = lineage_file(history, second),
                    *first = lineage_file(history, "20261122T021659Z.vhd"),
                    *note = lineage_file(history, ".20261122T021659Z.vhd.merge.json");
    g_autofree char *text = g_strdup_printf(
        "{\"child\":{\"uuid\":\"aabb0000-0000-4000-8000-000000000002\"},\"parent\":{\"uuid\":"
        "\"aabb0000-0000-4000-8000-000000000001\"},\"chain\":[\"20261122T021659Z.vhd\",\"%s\"],"
        "\"currentBlock\":4,\"mergedDataSize\":1,\"step\":\"cleanup\"}",
        second);
    g_autofree char *data = NULL;
    gsize n;
    g_file_get_contents(merged, &data, &n, NULL);
    memset(data + n - 512, 'x', 512);
    g_file_set_contents(first, data, (gssize) n, NULL);
    unlink(merged);
    g_file_set_contents(note, text, -1, NULL);
    history_check(history, 1, 2);
    history_clean(history, NULL);
    history_check(history, 1, 2);
    history_check_names(history);
    history_free(history);
}

/* XO makes room for a disk that has grown before it leaves any note: a block at the end, then the
 * table, then the footer. */
static void test_end_growing(void **state)
{
    History *history = history_new(NULL, 3);
    history_add(history, "01", true, 3);
    history_add(history, "34", false, 5);
    history_add(history, "1", false, 5);
    history_delete(history, 0);
    g_autofree char *first = lineage_file(history, "20261122T021659Z.vhd"), *data = NULL;
    gsize n;
    g_file_get_contents(first, &data, &n, NULL);
    memset(data + n - 512, 'x', 300);
    g_file_set_contents(first, data, (gssize) n, NULL);
    history_check(history, 1, 2);
    history_clean(history, NULL);
    history_check(history, 1, 2);
    g_autofree char *listing = history_listing(history, "");
    assert_null(strstr(listing, "021659Z"));
    history_free(history);
}

static guint32 entries_of(History *history, const char *date)
{
    g_autofree char *name = g_strdup_printf("data/%s.vhd/header", date);
    g_autofree char *path = lineage_file(history, name), *data = NULL;
    gsize n;
    guint32 entries;
    assert_true(g_file_get_contents(path, &data, &n, NULL));
    memcpy(&entries, data + 28, sizeof entries);
    return GUINT32_FROM_BE(entries);
}

/* A disk grows: all under it get the room at once, so that XO may merge it; and what XO merged
 * without it gets it at the next clean-up. */
static void test_room_to_grow(void **state)
{
    History *history = history_new(BLOCKS, 3);
    history_add(history, "01", true, 3);
    history_add(history, "1", false, 3);
    g_autofree char *path = lineage_file(history, "data/20261122T021659Z.vhd/header"), *old = NULL;
    gsize n;
    g_file_get_contents(path, &old, &n, NULL);
    history_add(history, "24", false, 5);
    assert_int_equal(entries_of(history, "20261122T021659Z"), 5);
    assert_int_equal(entries_of(history, "20261122T021759Z"), 5);
    g_file_set_contents(path, old, (gssize) n, NULL);
    history_check(history, 0, 3);
    history_clean(history, NULL);
    assert_int_equal(entries_of(history, "20261122T021659Z"), 5);
    history_check(history, 0, 3);
    history_free(history);
}

static void set_metadata(History *history, unsigned point, gint64 size, bool differencing)
{
    g_autofree char *path = g_strconcat(history->repo->folder, history->paths[point], NULL);
    json_t *document = json_load_file(path, 0, NULL);
    json_object_set_new(document, "size", json_integer(size));
    json_object_set_new(json_object_get(document, "isVhdDifferencing"), "OpaqueRef:1",
                        json_boolean(differencing));
    assert_int_equal(json_dump_file(document, path, 0), 0);
    json_decref(document);
}

/* XO says that a merged disk has no parent when it has one; and nothing when it dies before. */
static void test_metadata_is_true(void **state)
{
    History *history = history_new(NULL, 4);
    gint64 sizes[2], size;
    bool differencing;
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    for (unsigned i = 0; i < 2; i++) {
        history_metadata(history, i, &sizes[i], &differencing);
        set_metadata(history, i, 7, i == 0);
    }
    history_clean(history, NULL);
    for (unsigned i = 0; i < 2; i++) {
        history_metadata(history, i, &size, &differencing);
        assert_int_equal(size, sizes[i]);
        assert_int_equal(differencing, i == 1);
    }
    history_free(history);
}

/* Three points in blocks; 0 was merged into 1 up to the moment where only names are missing: XO's
 * note says so, under the name of 0 is what 1 will be. `alias`: 1 names it already. */
static History *almost_merged(bool alias)
{
    History *history = history_new(BLOCKS, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    history_add(history, "2", false, 4);
    history_delete(history, 0);
    history_clean(history, NULL);
    g_autofree char *first = lineage_file(history, "20261122T021659Z.alias.vhd"),
                    *second = lineage_file(history, "20261122T021759Z.alias.vhd"),
                    *note = lineage_file(history, ".20261122T021659Z.alias.vhd.merge.json");
    g_file_set_contents(first, "data/20261122T021659Z.vhd", -1, NULL);
    if (!alias)
        unlink(second);
    g_file_set_contents(
        note,
        "{\"child\":{\"uuid\":\"aabb0000-0000-4000-8000-000000000002\"},\"parent\":{\"uuid\":"
        "\"aabb0000-0000-4000-8000-000000000001\"},\"chain\":[\"20261122T021659Z.alias.vhd\","
        "\"20261122T021759Z.alias.vhd\"],\"currentBlock\":4,\"mergedDataSize\":1,"
        "\"step\":\"cleanup\"}",
        -1, NULL);
    return history;
}

/* Both aliases name the same data, with and without the note: the data stays. */
static void test_two_aliases(void **state)
{
    for (unsigned with_note = 0; with_note < 2; with_note++) {
        History *history = almost_merged(true);
        g_autofree char *note = lineage_file(history, ".20261122T021659Z.alias.vhd.merge.json");
        if (!with_note)
            unlink(note);
        history_clean(history, NULL);
        history_check(history, 1, 2);
        history_check_names(history);
        g_autofree char *listing = history_listing(history, "");
        assert_null(strstr(listing, "021659Z"));
        history_free(history);
    }
}

/* The alias that XO was writing is empty. */
static void test_cut_alias(void **state)
{
    History *history = almost_merged(false);
    g_autofree char *second = lineage_file(history, "20261122T021759Z.alias.vhd");
    g_file_set_contents(second, "", -1, NULL);
    history_check(history, 1, 2);
    history_clean(history, NULL);
    history_check(history, 1, 2);
    history_check_names(history);
    history_free(history);
}

/* XO ends a merge by writing the map, then the footer; each may be cut. */
static void test_cut_head(void **state)
{
    static const char *const chunks[] = { "bat", "footer" };
    for (unsigned i = 0; i < 2; i++) {
        History *history = history_new(BLOCKS, 4);
        history_add(history, "012", true, 4);
        history_add(history, "1", false, 4);
        history_add(history, "03", false, 4);
        history_delete(history, 0);
        g_autofree char *note = lineage_file(history, ".20261122T021659Z.alias.vhd.merge.json");
        g_autofree char *name = g_strdup_printf("data/20261122T021659Z.vhd/%s", chunks[i]);
        g_autofree char *cut = lineage_file(history, name);
        g_autofree char *from = lineage_file(history, "data/20261122T021759Z.vhd/blocks/0/1");
        g_autofree char *to = lineage_file(history, "data/20261122T021659Z.vhd/blocks/0/1");
        assert_int_equal(rename(from, to), 0);
        g_file_set_contents(cut, i ? "conectix" : "", -1, NULL);
        g_file_set_contents(
            note,
            "{\"child\":{\"uuid\":\"aabb0000-0000-4000-8000-000000000002\"},\"parent\":{\"uuid\":"
            "\"aabb0000-0000-4000-8000-000000000001\"},\"chain\":[\"20261122T021659Z.alias.vhd\","
            "\"20261122T021759Z.alias.vhd\"],\"currentBlock\":0,\"mergedDataSize\":1,"
            "\"step\":\"mergeBlocks\"}",
            -1, NULL);
        history_clean(history, NULL);
        history_check(history, 1, 2);
        g_autofree char *listing = history_listing(history, "");
        assert_null(strstr(listing, "021659Z"));
        history_free(history);
    }
}

/* XO died while it wrote the metadata again; its cache knows what it was. */
static void test_cut_metadata(void **state)
{
    History *history = history_new(NULL, 4);
    history_add(history, "012", true, 4);
    history_add(history, "1", false, 4);
    g_autofree char *path = g_strconcat(history->repo->folder, history->paths[1], NULL);
    g_autofree char *before = NULL, *after = NULL;
    g_file_get_contents(path, &before, NULL, NULL);
    g_file_set_contents(path, before, 40, NULL);
    history_clean(history, NULL);
    history_check(history, 0, 2);
    g_file_get_contents(path, &after, NULL, NULL);
    json_t *was = json_loads(before, 0, NULL), *is = json_loads(after, 0, NULL);
    assert_true(json_equal(was, is));
    json_decref(was);
    json_decref(is);
    history_free(history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_is_not_corrupt),
        cmocka_unit_test(test_torn_note),
        cmocka_unit_test(test_end_footer),
        cmocka_unit_test(test_end_growing),

        cmocka_unit_test(test_room_to_grow),
        cmocka_unit_test(test_metadata_is_true),
        cmocka_unit_test(test_two_aliases),
        cmocka_unit_test(test_cut_alias),
        cmocka_unit_test(test_cut_head),
        cmocka_unit_test(test_cut_metadata),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
