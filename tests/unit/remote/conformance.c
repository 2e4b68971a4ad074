/* Each check uses a folder of its own, so that they do not depend on each other. */
#include "conformance.h"

#include "base/error.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void put(Remote *remote, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    bool ok = remote_put(remote, path, text, strlen(text), REMOTE_PUT_OVER, &error);
    if (!ok)
        print_error("%s\n", error->message);
    assert_true(ok);
}

static void assert_text(Remote *remote, const char *path, const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) data = remote_get(remote, path, 1 << 20, &error);
    assert_non_null(data);
    assert_int_equal(g_bytes_get_size(data), strlen(text));
    assert_memory_equal(g_bytes_get_data(data, NULL), text, strlen(text));
}

static void files(Remote *remote)
{
    g_autoptr(GError) error = NULL;
    put(remote, "files/deep/er/a.json", "one");
    assert_text(remote, "files/deep/er/a.json", "one");
    put(remote, "files/deep/er/a.json", "another");
    assert_text(remote, "files/deep/er/a.json", "another");
    assert_false(remote_put(remote, "files/deep/er/a.json", "x", 1, REMOTE_PUT_NEW, &error));
    assert_true(err_is(error, ERR_EXISTS));
    assert_text(remote, "files/deep/er/a.json", "another");
    g_clear_error(&error);
    assert_true(remote_put(remote, "files/deep/er/b.json", "", 0, REMOTE_PUT_NEW, &error));
    assert_text(remote, "files/deep/er/b.json", "");
    assert_true(remote_put(remote, "files/deep/er/b.json", "now", 3, REMOTE_PUT_VOLATILE, &error));
    assert_text(remote, "files/deep/er/b.json", "now");
    assert_null(remote_get(remote, "files/deep/er/a.json", 3, &error));
    assert_true(err_is(error, ERR_LIMIT));
    g_clear_error(&error);
    assert_null(remote_get(remote, "files/none", 3, &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    assert_non_null(strstr(error->message, "files/none"));
    assert_non_null(strstr(error->message, remote_name(remote)));
}

static void listing(Remote *remote)
{
    g_autoptr(GError) error = NULL;
    put(remote, "list/b", "");
    put(remote, "list/a", "12");
    put(remote, "list/c/d", "");
    g_autoptr(GPtrArray) names = remote_list(remote, "list", &error);
    assert_non_null(names);
    assert_int_equal(names->len, 3); /* no temporary file stays */
    assert_string_equal(names->pdata[0], "a");
    assert_string_equal(names->pdata[1], "b");
    assert_string_equal(names->pdata[2], "c");
    assert_null(remote_list(remote, "list/none", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    RemoteStat st;
    assert_true(remote_stat(remote, "list/a", &st, NULL));
    assert_int_equal(st.size_bytes, 2);
    assert_false(st.is_folder);
    assert_true(remote_stat(remote, "list/c", &st, NULL) && st.is_folder);
    assert_true(remote_stat(remote, "", &st, NULL) && st.is_folder);
}

static void moving(Remote *remote)
{
    g_autoptr(GError) error = NULL;
    put(remote, "move/a", "a");
    put(remote, "move/b", "b");
    assert_true(remote_rename(remote, "move/a", "move/b", NULL));
    assert_text(remote, "move/b", "a");
    assert_false(remote_rename(remote, "move/a", "move/b", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    assert_true(remote_drop(remote, "move/b", &error));
    assert_true(remote_drop(remote, "move/b", &error));
    put(remote, "move/tree/x/y", "1");
    put(remote, "move/tree/z", "2");
    assert_false(remote_drop(remote, "move/tree", &error));
    g_clear_error(&error);
    assert_true(remote_drop_tree(remote, "move/tree", &error));
    assert_true(remote_drop_tree(remote, "move/tree", &error));
    g_autoptr(GPtrArray) names = remote_list(remote, "move", &error);
    assert_int_equal(names->len, 0);
}

static void paths(Remote *remote)
{
    static const char *const bad[] = { "/a", "a/", "a//b", "../a", "a/../b", "./a", "a/.", ".." };
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) error = NULL;
        assert_null(remote_get(remote, bad[i], 100, &error));
        assert_true(err_is(error, ERR_INVALID));
        g_clear_error(&error);
        assert_false(remote_drop_tree(remote, bad[i], &error));
        assert_true(err_is(error, ERR_INVALID));
    }
    assert_false(remote_drop_tree(remote, "", NULL)); /* never the whole remote */
}

static void bytes(Remote *remote)
{
    g_autoptr(GError) error = NULL;
    char buffer[16];
    Bytes *file = remote_bytes(remote, "bytes/f", REMOTE_CREATE, &error);
    assert_non_null(file);
    assert_true(file->ops->write(file, 4, "efgh", 4, NULL));
    assert_true(file->ops->write(file, 0, "abcd", 4, NULL));
    assert_int_equal(file->ops->size(file, NULL), 8);
    assert_int_equal(file->ops->read(file, 2, buffer, 16, NULL), 6);
    assert_memory_equal(buffer, "cdefgh", 6);
    assert_true(file->ops->resize(file, 3, NULL));
    assert_true(file->ops->sync(file, NULL));
    file->ops->close(file);
    assert_text(remote, "bytes/f", "abc");
    file = remote_bytes(remote, "bytes/f", REMOTE_UPDATE, NULL);
    assert_int_equal(file->ops->size(file, NULL), 3);
    file->ops->close(file);
    file = remote_bytes(remote, "bytes/f", REMOTE_CREATE, NULL);
    assert_int_equal(file->ops->size(file, NULL), 0);
    file->ops->close(file);
    assert_null(remote_bytes(remote, "bytes/none", REMOTE_READ, &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    assert_null(remote_bytes(remote, "bytes", REMOTE_READ, &error)); /* a folder */
}

static void assert_chunk(Chunks *chunks, const char *name, const char *text)
{
    g_autoptr(GBytes) data = chunks->ops->get(chunks, name, NULL);
    assert_non_null(data);
    assert_int_equal(g_bytes_get_size(data), strlen(text));
    assert_memory_equal(g_bytes_get_data(data, NULL), text, strlen(text));
}

static void chunks(Remote *remote)
{
    g_autoptr(GError) error = NULL;
    Chunks *a = remote_chunks(remote, "chunks/a.vhd", &error),
           *b = remote_chunks(remote, "chunks/b.vhd", NULL);
    assert_true(a->ops->put(a, "blocks/0/12", "old", 3, NULL));
    assert_true(b->ops->put(b, "blocks/0/12", "new", 3, NULL));
    assert_true(b->ops->put(b, "blocks/1/1", "far", 3, NULL));
    assert_true(a->ops->move(a, "blocks/0/12", b, "blocks/0/12", NULL));
    assert_true(a->ops->move(a, "blocks/1/1", b, "blocks/1/1", NULL));
    assert_chunk(a, "blocks/0/12", "new");
    assert_chunk(a, "blocks/1/1", "far");
    assert_null(b->ops->get(b, "blocks/0/12", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    g_clear_error(&error);
    assert_false(a->ops->move(a, "blocks/0/12", b, "blocks/0/12", &error));
    assert_true(err_is(error, ERR_NOT_FOUND));
    assert_chunk(a, "blocks/0/12", "new");
    assert_true(a->ops->put(a, "bat", "1", 1, NULL) && a->ops->put(a, "bat", "22", 2, NULL));
    assert_chunk(a, "bat", "22");
    assert_true(a->ops->drop(a, "bat", NULL) && a->ops->drop(a, "bat", NULL));
    assert_false(a->ops->put(a, "../x", "1", 1, NULL));
    assert_true(a->ops->sync(a, NULL) && b->ops->sync(b, NULL));
    for (unsigned i = 0; i < 40; i++) { /* many: the other way to flush */
        g_autofree char *name = g_strdup_printf("blocks/2/%u", i);
        assert_true(a->ops->put(a, name, "x", 1, NULL));
    }
    assert_true(a->ops->sync(a, NULL));
    a->ops->close(a);
    b->ops->close(b);
}

static void *put_many(void *data)
{
    Chunks *shared = ((void **) data)[0];
    unsigned first = GPOINTER_TO_UINT(((void **) data)[1]);
    for (unsigned i = 0; i < 50; i++) {
        g_autofree char *name = g_strdup_printf("blocks/%u/%u", i % 5, first + i);
        if (!shared->ops->put(shared, name, name, strlen(name), NULL))
            return "failed";
    }
    return NULL;
}

static void threads(Remote *remote)
{
    Chunks *shared = remote_chunks(remote, "threads/a.vhd", NULL);
    pthread_t ids[4];
    void *data[4][2];
    for (unsigned i = 0; i < 4; i++) {
        data[i][0] = shared;
        data[i][1] = GUINT_TO_POINTER(i * 100);
        pthread_create(&ids[i], NULL, put_many, data[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        void *failure;
        pthread_join(ids[i], &failure);
        assert_null(failure);
    }
    assert_true(shared->ops->sync(shared, NULL));
    assert_chunk(shared, "blocks/4/349", "blocks/4/349");
    shared->ops->close(shared);
}

static void test_and_space(Remote *remote)
{
    double read_rate = 0, write_rate = 0;
    const char *step;
    RemoteSpace space;
    assert_true(remote_test(remote, &read_rate, &write_rate, &step, NULL));
    assert_true(read_rate > 0 && write_rate > 0);
    assert_true(remote_space(remote, &space, NULL));
    assert_true(space.available_bytes <= space.size_bytes);
    g_autoptr(GPtrArray) names = remote_list(remote, "", NULL);
    for (guint i = 0; i < names->len; i++)
        assert_false(g_str_has_suffix(names->pdata[i], ".test"));
}

void remote_conform(Remote *remote)
{
    files(remote);
    listing(remote);
    moving(remote);
    paths(remote);
    bytes(remote);
    chunks(remote);
    threads(remote);
    test_and_space(remote);
}
