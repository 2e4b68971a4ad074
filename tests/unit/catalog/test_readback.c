/* Storage that lies: one bit of one write is stored wrong. What is read back decides. */
#include "history.h"

#include "base/error.h"
#include "remote/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { N_BLOCKS = 3, TIME_STEP_MS = 1000 };
#define TIME_MS G_GINT64_CONSTANT(1795314000000)

static const char *const modes[] = { "useVhdDirectory=false", "useVhdDirectory=true",
                                     "useVhdDirectory=true&compressionType=%22none%22" };

typedef struct {
    History *history;
    RemoteFault plan;
    Remote *remote;
    Catalog *catalog;
} Liar;

/* A sound point, and a catalog over the same folder that lies by `plan`. */
static Liar *liar_new(const char *options)
{
    Liar *liar = g_new0(Liar, 1);
    liar->history = history_new(options, N_BLOCKS);
    history_add(liar->history, "012", true, N_BLOCKS);
    liar->plan.room_bytes = -1;
    g_autofree char *url = g_strdup_printf("file://%s?%s", liar->history->repo->folder, options);
    liar->remote = remote_new_faulty(remote_open(url, NULL), &liar->plan);
    liar->catalog = catalog_open(liar->remote, NULL);
    return liar;
}

static void liar_free(Liar *liar)
{
    catalog_close(liar->catalog);
    remote_close(liar->remote);
    history_free(liar->history);
    g_free(liar);
}

static json_t *metadata(const char *disk, gint64 time_ms)
{
    return json_pack("{s:s,s:I,s:{s:s},s:{s:s}}", "mode", "delta", "timestamp",
                     (json_int_t) time_ms, "vm", "uuid", HISTORY_VM, "vhds", "r", disk);
}

/* Writes a full point through the liar. */
static bool write_point(Liar *liar, gint64 time_ms, CatalogReadBack how, CatalogVerified *verified,
                        GError **error)
{
    DiskInfo info = { .size_bytes = N_BLOCKS * (guint64) DISK_BLOCK_BYTES, .uid = { { 7 } } };
    g_autoptr(CatalogDisk) disk = catalog_disk_begin(liar->catalog, HISTORY_VM, HISTORY_JOB,
                                                     HISTORY_VDI, time_ms, &info, NULL, error);
    g_autofree guint8 *block = g_malloc(DISK_BLOCK_BYTES);
    guint64 size;
    assert_non_null(disk);
    disk->read_back = how;
    for (guint32 i = 0; i < N_BLOCKS; i++) {
        memset(block, (int) i + 1, DISK_BLOCK_BYTES);
        if (!disk_put_block(disk->writer, i, block, error))
            return false;
    }
    bool ok = catalog_disk_finish(disk, &size, error);
    *verified = disk->verified;
    json_t *document = metadata(disk->path, time_ms);
    g_autofree char *path = ok ? catalog_commit(liar->catalog, HISTORY_VM, time_ms, document, error)
                               : NULL;
    json_decref(document);
    return path != NULL;
}

/* Every write of the verb in turn is stored with a wrong bit: no such point is ever accepted, its
 * disk goes, and what was there before stays. */
static unsigned lie_everywhere(const char *options, const char *verb, guint64 bit)
{
    Liar *liar = liar_new(options);
    g_autofree char *before = history_listing(liar->history, "");
    unsigned n_lies = 0;
    for (bool lied = true; lied; n_lies += lied) {
        CatalogVerified verified;
        g_autoptr(GError) error = NULL;
        liar->plan = (RemoteFault){
            .verb = verb, .nth = n_lies + 1, .flips = true, .flip_bit = bit, .room_bytes = -1
        };
        bool ok = write_point(liar, TIME_MS, CATALOG_READ_ALL, &verified, &error);
        lied = liar->plan.n_seen >= liar->plan.nth;
        assert_true(n_lies < 100);
        if (!lied)
            continue;
        if (ok && strcmp(verb, "put") == 0) { /* the cache comes last, and is checked when read */
            n_lies++;
            break;
        }
        if (ok)
            fail_msg("%s %u of %s: accepted", verb, n_lies + 1, options);
        assert_true(err_is(error, ERR_CORRUPT));
        assert_non_null(strstr(error->message, "did not come back as written"));
        if (strcmp(verb, "put") != 0) { /* else the disk is whole, without a point */
            g_autofree char *after = history_listing(liar->history, "");
            assert_string_equal(after, before);
        }
        history_clean(liar->history, NULL);
        history_check(liar->history, 0, 1);
    }
    liar_free(liar);
    return n_lies;
}

static void test_lies(void **state)
{
    assert_true(lie_everywhere(modes[0], "bytes.write", 85) >= N_BLOCKS + 3);
    assert_true(lie_everywhere(modes[1], "chunks.put", 91) == N_BLOCKS + 4);
    assert_true(lie_everywhere(modes[2], "chunks.put", 7) >= N_BLOCKS + 3);
    assert_true(lie_everywhere(modes[0], "put", 99) >= 2);
}

/* What the error says, and what is read when. */
static void test_words(void **state)
{
    Liar *liar = liar_new(modes[0]);
    CatalogVerified verified;
    g_autoptr(GError) error = NULL;
    /* a block is two writes: its bitmap and its data */
    liar->plan = (RemoteFault){
        .verb = "bytes.write", .nth = 4, .flips = true, .flip_bit = 100000, .room_bytes = -1
    };
    assert_false(write_point(liar, TIME_MS, CATALOG_READ_SAMPLE, &verified, &error));
    assert_non_null(strstr(error->message, HISTORY_LINEAGE));
    assert_non_null(strstr(error->message, "block 1 (offset 2097152)"));
    assert_int_equal(verified.n_verified, 1);
    g_clear_error(&error);
    liar->plan.n_seen = 0; /* nobody looks */
    assert_true(write_point(liar, TIME_MS + TIME_STEP_MS, CATALOG_READ_NONE, &verified, &error));
    assert_int_equal(verified.n_verified, 0);
    assert_int_equal(verified.n_blocks, N_BLOCKS);
    liar_free(liar);
}

/* The reads go to the storage: what memory holds is forgotten first. */
static void test_past_the_cache(void **state)
{
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++) {
        Liar *liar = liar_new(modes[m]);
        CatalogVerified verified;
        liar->plan = (RemoteFault){ .verb = "forget", .room_bytes = -1 };
        assert_true(write_point(liar, TIME_MS, CATALOG_READ_ALL, &verified, NULL));
        assert_int_equal(verified.n_verified, N_BLOCKS);
        /* the manifest and the metadata; one file, or the head and each block */
        assert_true(liar->plan.n_seen >= (m == 0 ? 3 : 2 + 3 + N_BLOCKS));
        liar_free(liar);
    }
}

/* A large disk: the first and the last block are among those that a sample reads. */
static void test_sample(void **state)
{
    Liar *liar = liar_new(modes[2]);
    DiskInfo info = { .size_bytes = 40 * (guint64) DISK_BLOCK_BYTES, .uid = { { 7 } } };
    g_autofree guint8 *block = g_malloc0(DISK_BLOCK_BYTES);
    for (guint32 bad = 0; bad < 40; bad += 39) {
        g_autoptr(GError) error = NULL;
        g_autoptr(CatalogDisk)
            disk = catalog_disk_begin(liar->catalog, HISTORY_VM, HISTORY_JOB, HISTORY_VDI,
                                      TIME_MS + bad * TIME_STEP_MS, &info, NULL, &error);
        guint64 size;
        liar->plan = (RemoteFault){ .verb = "chunks.put",
                                    .nth = bad + 1,
                                    .flips = true,
                                    .flip_bit = 1 << 20,
                                    .room_bytes = -1 };
        for (guint32 i = 0; i < 40; i++)
            assert_true(disk_put_block(disk->writer, i, block, NULL));
        assert_false(catalog_disk_finish(disk, &size, &error));
        assert_non_null(strstr(error->message, bad ? "block 39 " : "block 0 "));
        liar->plan.nth = 0;
    }
    CatalogVerified verified;
    assert_true(write_point(liar, TIME_MS, CATALOG_READ_SAMPLE, &verified, NULL));
    assert_int_equal(verified.n_verified, N_BLOCKS);
    liar_free(liar);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_lies), cmocka_unit_test(test_words),
                                        cmocka_unit_test(test_past_the_cache),
                                        cmocka_unit_test(test_sample) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
