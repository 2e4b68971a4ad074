/* Writing and reading past the page cache: whatever is written where, in any order and any size,
 * the file reads as memory would. */
#include "remote/direct.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { MAX_BYTES = 6 << 20, N_STEPS = 300 };

typedef struct {
    int fd;
    char *path;
    DirectFile file;
    guint8 *model, *buffer;
    gsize n_model;
} Box;

static void box_open(Box *box, bool possible)
{
    box->path = g_strdup("/var/tmp/cadenza-direct-XXXXXX");
    box->fd = mkstemp(box->path);
    assert_true(box->fd >= 0);
    box->model = g_malloc0(MAX_BYTES);
    box->buffer = g_aligned_alloc(1, MAX_BYTES, DIRECT_BLOCK_BYTES);
    box->n_model = 0;
    direct_init(&box->file, box->fd, possible);
}

static void box_close(Box *box)
{
    direct_clear(&box->file);
    close(box->fd);
    unlink(box->path);
    g_free(box->path);
    g_free(box->model);
    g_aligned_free(box->buffer);
}

static void put(Box *box, GRand *dice, gsize at, gsize n)
{
    gsize skew = g_rand_int(dice) % 3 ? 0 : 512; /* memory that is whole blocks, or not */
    n = MIN(n, MAX_BYTES - at - skew);
    for (gsize i = 0; i < n; i += 4)
        *(guint32 *) (box->buffer + skew + i) = g_rand_int(dice);
    assert_true(direct_write(&box->file, at, box->buffer + skew, n));
    memcpy(box->model + at, box->buffer + skew, n);
    box->n_model = MAX(box->n_model, at + n);
}

static void check(Box *box, GRand *dice, gsize at, gsize n)
{
    gsize skew = g_rand_int(dice) % 3 ? 0 : 512;
    assert_true(direct_flush(&box->file));
    n = MIN(n, MAX_BYTES - at - skew);
    gssize got = direct_read(&box->file, at, box->buffer + skew, n);
    gsize want = at < box->n_model ? MIN(n, box->n_model - at) : 0;
    assert_int_equal(got, want);
    assert_memory_equal(box->buffer + skew, box->model + at, want);
}

static void walk(bool possible, guint32 seed)
{
    Box box = { 0 };
    GRand *dice = g_rand_new_with_seed(seed);
    box_open(&box, possible);
    gsize next = 1536;
    for (unsigned i = 0; i < N_STEPS; i++) {
        gsize sectors = 1 + g_rand_int(dice) % (g_rand_int(dice) % 4 ? 4097 : 8);
        if (next + sectors * 512 > MAX_BYTES || g_rand_int(dice) % 8 == 0)
            next = g_rand_int(dice) % (MAX_BYTES / 512 / 2) * 512;
        put(&box, dice, next, sectors * 512); /* mostly behind what was written last */
        next += sectors * 512;
        if (g_rand_int(dice) % 8 == 0)
            check(&box, dice, g_rand_int(dice) % MAX_BYTES, g_rand_int(dice) % (1 << 20));
    }
    check(&box, dice, 0, MAX_BYTES);
    struct stat st;
    assert_int_equal(fstat(box.fd, &st), 0);
    assert_int_equal(st.st_size, box.n_model);
    g_rand_free(dice);
    box_close(&box);
}

static void reads_as_memory_would(void **state)
{
    for (guint32 seed = 1; seed <= 4; seed++) {
        walk(true, seed);
        walk(false, seed);
    }
}

/* A small file at once, whatever its length and where it lies in memory. */
static void whole_files(void **state)
{
    static const gsize sizes[] = { 0, 1, 4095, 4096, 65535, 65536, 65537, 1 << 20, (1 << 20) + 7 };
    GRand *dice = g_rand_new_with_seed(9);
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes) * 2; i++) {
        Box box = { 0 };
        gsize n = sizes[i / 2], skew = i % 2 * 16;
        box_open(&box, true);
        for (gsize at = 0; at < n; at++)
            box.buffer[skew + at] = box.model[at] = (guint8) g_rand_int(dice);
        assert_true(direct_write_whole(&box.file, box.buffer + skew, n));
        box.n_model = n;
        check(&box, dice, 0, MAX_BYTES);
        box_close(&box);
    }
    g_rand_free(dice);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_as_memory_would),
        cmocka_unit_test(whole_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
