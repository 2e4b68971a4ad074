/* The patient place: every kind of call that does not come back is given up in time, nothing more
 * is asked until it does, and then the place is as good as new. */
#include "conformance.h"

#include "base/error.h"
#include "remote/fault.h"
#include "remote/patience.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { PATIENCE_MS = 700, LATE_MS = 3000, PIECES_BYTES = 700 << 10 };

static int setup(void **state)
{
    *state = g_dir_make_tmp("cadenza-patience-XXXXXX", NULL);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    g_autofree char *command = g_strdup_printf("rm -rf '%s'", (char *) *state);
    g_free(*state);
    return system(command);
}

static char *url_of(const char *folder, const char *name)
{
    return g_strdup_printf("file://%s/%s?useVhdDirectory=true", folder, name);
}

/* It adds nothing to a place that answers. */
static void test_conformance(void **state)
{
    g_autofree char *url = url_of(*state, "sub/remote");
    g_autoptr(Remote) remote = remote_open_patient(url, 60000, NULL);
    assert_non_null(remote);
    remote_conform(remote);
    assert_false(remote_is_stuck(remote));
    g_autoptr(RemoteLock) lock = remote_lock(remote, "folder/vm", 0, NULL);
    assert_non_null(lock);
    assert_true(remote_lock_held(lock));
    assert_null(remote_lock(remote, "folder/vm", 0, NULL));
}

/* --- Calls that do not come back --- */

static bool do_get(Remote *remote, GError **error)
{
    g_autoptr(GBytes) got = remote_get(remote, "a", 100, error);
    return got;
}

static bool do_put(Remote *remote, GError **error)
{
    return remote_put(remote, "b", "x", 1, REMOTE_PUT_OVER, error);
}

static bool do_list(Remote *remote, GError **error)
{
    g_autoptr(GPtrArray) names = remote_list(remote, "", error);
    return names;
}

static bool do_stat(Remote *remote, GError **error)
{
    RemoteStat stat;
    return remote_stat(remote, "a", &stat, error);
}

static bool do_rename(Remote *remote, GError **error)
{
    return remote_rename(remote, "a", "a", error);
}

static bool do_drop(Remote *remote, GError **error)
{
    return remote_drop(remote, "none", error);
}

static bool do_drop_tree(Remote *remote, GError **error)
{
    return remote_drop_tree(remote, "none", error);
}

static bool do_make_folder(Remote *remote, GError **error)
{
    return remote_make_folder(remote, "folder", error);
}

static bool do_sync_folder(Remote *remote, GError **error)
{
    return remote_sync_folder(remote, "", error);
}

static bool do_space(Remote *remote, GError **error)
{
    RemoteSpace space;
    return remote_space(remote, &space, error);
}

/* Reads, writes, asks for the size, resizes and syncs: one of them is late. */
static bool do_bytes(Remote *remote, GError **error)
{
    g_autofree char *data = g_malloc0(PIECES_BYTES), *back = g_malloc(PIECES_BYTES);
    g_autoptr(Bytes) bytes = remote_bytes(remote, "c", REMOTE_CREATE, error);
    memset(data, 'c', PIECES_BYTES);
    return bytes && bytes_write(bytes, 5, data, PIECES_BYTES, error) &&
           bytes_read(bytes, 5, back, PIECES_BYTES, error) &&
           memcmp(data, back, PIECES_BYTES) == 0 && bytes_size(bytes, error) == PIECES_BYTES + 5 &&
           bytes_resize(bytes, 10, error) && bytes_sync(bytes, error);
}

static bool do_chunks(Remote *remote, GError **error)
{
    g_autoptr(Chunks) chunks = remote_chunks(remote, "d", error);
    g_autoptr(GBytes) got = NULL;
    return chunks && chunks_put(chunks, "bat", "x", 1, error) &&
           (got = chunks_get(chunks, "bat", error)) &&
           chunks_move(chunks, "bat2", chunks, "bat", error) &&
           chunks_drop(chunks, "bat2", error) && chunks_sync(chunks, error);
}

static const struct {
    const char *verb; /* of the fault */
    bool (*run)(Remote *remote, GError **error);
} rows[] = {
    { "get", do_get },
    { "put", do_put },
    { "list", do_list },
    { "stat", do_stat },
    { "rename", do_rename },
    { "drop", do_drop },
    { "drop_tree", do_drop_tree },
    { "make_folder", do_make_folder },
    { "sync_folder", do_sync_folder },
    { "space", do_space },
    { "bytes", do_bytes },
    { "bytes.write", do_bytes },
    { "bytes.read", do_bytes },
    { "bytes.resize", do_bytes },
    { "bytes.sync", do_bytes },
    { "chunks", do_chunks },
    { "chunks.put", do_chunks },
    { "chunks.get", do_chunks },
    { "chunks.move", do_chunks },
    { "chunks.drop", do_chunks },
    { "chunks.sync", do_chunks },
};

typedef struct {
    char *url;
    unsigned row;
    char *wrong; /* NULL: as it should be */
} Trial;

static void expect(Trial *trial, bool right, const char *what, const GError *error)
{
    if (!right && !trial->wrong)
        trial->wrong = g_strdup_printf("%s: %s: %s", rows[trial->row].verb, what,
                                       error ? error->message : "no error");
}

static void wait_until_free(Remote *remote)
{
    for (int i = 0; i < 2000 && remote_is_stuck(remote); i++)
        g_usleep(10000);
}

static void *trial_main(void *data)
{
    Trial *trial = data;
    RemoteFault plan = *REMOTE_FAULT_NONE;
    g_autoptr(GError) late = NULL, refused = NULL, after = NULL;
    g_autoptr(Remote) remote =
        remote_new_patient(remote_new_faulty(remote_open(trial->url, NULL), &plan), PATIENCE_MS);
    expect(trial, remote_put(remote, "a", "1", 1, REMOTE_PUT_OVER, NULL), "put", NULL);
    plan = (RemoteFault){ rows[trial->row].verb, .nth = 1, .delay_ms = LATE_MS, .room_bytes = -1 };
    gint64 start_us = g_get_monotonic_time();
    expect(trial, !rows[trial->row].run(remote, &late) && err_is(late, ERR_TIMEOUT), "late", late);
    expect(trial, g_get_monotonic_time() - start_us < (LATE_MS - 300) * 1000, "in time", NULL);
    expect(trial, remote_is_stuck(remote), "stuck", NULL);
    start_us = g_get_monotonic_time();
    expect(trial, !do_get(remote, &refused) && err_is(refused, ERR_TIMEOUT), "refused", refused);
    expect(trial, g_get_monotonic_time() - start_us < PATIENCE_MS * 1000, "at once", NULL);
    wait_until_free(remote);
    expect(trial, rows[trial->row].run(remote, &after), "after", after);
    return NULL;
}

/* All at the same time, each in a folder of its own. */
static void test_late(void **state)
{
    Trial trials[G_N_ELEMENTS(rows)] = { 0 };
    pthread_t threads[G_N_ELEMENTS(rows)];
    bool all_right = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        trials[i].url = url_of(*state, rows[i].verb);
        trials[i].row = i;
        assert_int_equal(pthread_create(&threads[i], NULL, trial_main, &trials[i]), 0);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (trials[i].wrong)
            print_error("%s\n", trials[i].wrong);
        all_right = all_right && !trials[i].wrong;
        g_free(trials[i].wrong);
        g_free(trials[i].url);
    }
    assert_true(all_right);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_conformance, setup, teardown),
        cmocka_unit_test_setup_teardown(test_late, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
