/* One source, several ends: all get every block; a failing end is dropped, a failing, short,
 * stalled or cancelled source ends all, soon. */
#include "pipe/pipe.h"

#include "base/error.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    Source base;
    pthread_mutex_t lock;
    guint32 next, n_blocks, fail_at, stall_at;
} Numbers;

static bool numbers_next(Source *base, unsigned reader, guint32 *block, void *buffer, bool *more,
                         GError **error)
{
    Numbers *numbers = (Numbers *) base;
    assert_true(reader < MAX(base->n_readers, 1));
    pthread_mutex_lock(&numbers->lock);
    *block = numbers->next;
    *more = numbers->next < numbers->n_blocks;
    numbers->next += *more;
    pthread_mutex_unlock(&numbers->lock);
    while (*block == numbers->stall_at && !cancel_is_set(base->stop))
        g_usleep(10000);
    if (*block == numbers->fail_at) {
        err_set(error, ERR_NETWORK, "cut");
        return false;
    }
    if (*more)
        memset(buffer, *block & 0xff, DISK_BLOCK_BYTES);
    return true;
}

static void numbers_close(Source *base)
{
    cancel_unref(base->stop);
    pthread_mutex_destroy(&((Numbers *) base)->lock);
    g_free(base);
}

static Numbers *numbers_new(guint32 n_blocks, unsigned n_readers)
{
    static const struct source_ops ops = { numbers_next, numbers_close };
    Numbers *numbers = g_new0(Numbers, 1);
    numbers->base.ops = &ops;
    numbers->base.n_present = numbers->n_blocks = n_blocks;
    numbers->base.n_readers = n_readers;
    numbers->base.stop = cancel_new();
    numbers->base.info.n_blocks = n_blocks;
    numbers->fail_at = numbers->stall_at = G_MAXUINT32;
    pthread_mutex_init(&numbers->lock, NULL);
    return numbers;
}

typedef struct {
    DiskWriter base;
    pthread_mutex_t lock;
    guint8 *seen;
    guint32 n_seen, fail_after;
    unsigned wait_us;
} Ledger;

static bool ledger_put(DiskWriter *base, guint32 block, const void *data, GError **error)
{
    Ledger *ledger = (Ledger *) base;
    if (ledger->wait_us)
        g_usleep(ledger->wait_us);
    pthread_mutex_lock(&ledger->lock);
    bool ok = ledger->n_seen < ledger->fail_after;
    ledger->n_seen += ok;
    ledger->seen[block] += ok;
    pthread_mutex_unlock(&ledger->lock);
    const guint8 *bytes = data;
    assert_int_equal(bytes[0], block & 0xff);
    assert_int_equal(bytes[DISK_BLOCK_BYTES - 1], block & 0xff);
    if (!ok)
        err_set(error, ERR_NO_SPACE, "full");
    return ok;
}

static Ledger *ledger_new(guint32 n_blocks, bool parallel)
{
    static const struct disk_writer_ops ops = { .put_block = ledger_put };
    Ledger *ledger = g_new0(Ledger, 1);
    ledger->base.ops = &ops;
    ledger->base.parallel = parallel;
    ledger->base.info.n_blocks = n_blocks;
    ledger->seen = g_malloc0(n_blocks + 1);
    ledger->fail_after = G_MAXUINT32;
    pthread_mutex_init(&ledger->lock, NULL);
    return ledger;
}

static void ledger_free(Ledger *ledger)
{
    pthread_mutex_destroy(&ledger->lock);
    g_free(ledger->seen);
    g_free(ledger);
}

static void check_all_seen(Ledger *ledger)
{
    assert_int_equal(ledger->n_seen, ledger->base.info.n_blocks);
    for (guint32 block = 0; block < ledger->n_seen; block++)
        assert_int_equal(ledger->seen[block], 1);
}

static void count_progress(guint32 n_done, guint32 n_total, void *user)
{
    guint32 *last = user;
    assert_true(n_done >= *last && n_done <= n_total);
    *last = n_done;
}

static void copy_to_three(guint32 n_blocks, unsigned n_readers)
{
    Numbers *numbers = numbers_new(n_blocks, n_readers);
    Ledger *ledgers[] = { ledger_new(n_blocks, false), ledger_new(n_blocks, true),
                          ledger_new(n_blocks, true) };
    ledgers[1]->wait_us = 2000;
    GError *errors[3] = { NULL };
    g_autoptr(GError) error = NULL;
    guint64 n_bytes = 0;
    guint32 last = 0;
    PipeOptions options = { .progress = count_progress, .user = &last };
    assert_true(
        pipe_run(&numbers->base, (DiskWriter **) ledgers, 3, errors, &options, &n_bytes, &error));
    assert_int_equal(n_bytes, n_blocks * (guint64) DISK_BLOCK_BYTES);
    assert_int_equal(last, n_blocks);
    for (int i = 0; i < 3; i++) {
        assert_null(errors[i]);
        check_all_seen(ledgers[i]);
        ledger_free(ledgers[i]);
    }
    source_close(&numbers->base);
}

static void test_all_get_all(void **state)
{
    copy_to_three(0, 0);
    copy_to_three(1, 1);
    copy_to_three(40, 1);
    copy_to_three(40, 3);
}

static void test_failing_end(void **state)
{
    Numbers *numbers = numbers_new(30, 1);
    Ledger *good = ledger_new(30, true), *bad = ledger_new(30, true);
    bad->fail_after = 5;
    DiskWriter *writers[] = { &bad->base, &good->base };
    GError *errors[2] = { NULL };
    guint64 n_bytes;
    PipeOptions options = { 0 };
    assert_true(pipe_run(&numbers->base, writers, 2, errors, &options, &n_bytes, NULL));
    assert_true(err_is(errors[0], ERR_NO_SPACE));
    assert_null(errors[1]);
    check_all_seen(good);
    g_clear_error(&errors[0]);
    source_close(&numbers->base);

    numbers = numbers_new(30, 1);
    g_autoptr(GError) error = NULL;
    bad->n_seen = 0;
    assert_false(pipe_run(&numbers->base, writers, 1, errors, &options, &n_bytes, &error));
    assert_true(err_is(error, ERR_NO_SPACE));
    assert_true(err_is(errors[0], ERR_NO_SPACE));
    g_clear_error(&errors[0]);
    source_close(&numbers->base);
    ledger_free(good);
    ledger_free(bad);
}

static void fails_with(Numbers *numbers, ErrCode code, const PipeOptions *options)
{
    Ledger *ledger = ledger_new(numbers->n_blocks, false);
    DiskWriter *writers[] = { &ledger->base };
    GError *errors[1] = { NULL };
    g_autoptr(GError) error = NULL;
    guint64 n_bytes;
    gint64 start = g_get_monotonic_time();
    assert_false(pipe_run(&numbers->base, writers, 1, errors, options, &n_bytes, &error));
    assert_true(err_is(error, code));
    assert_true(g_get_monotonic_time() - start < 5 * G_USEC_PER_SEC);
    assert_null(errors[0]);
    ledger_free(ledger);
    source_close(&numbers->base);
}

static void test_failing_source(void **state)
{
    PipeOptions options = { .stall_timeout_ms = 300 };
    Numbers *numbers = numbers_new(30, 2);
    numbers->fail_at = 17;
    fails_with(numbers, ERR_NETWORK, &options);

    numbers = numbers_new(30, 1);
    numbers->base.n_present = 31;
    fails_with(numbers, ERR_TRUNCATED, &options);

    numbers = numbers_new(30, 2);
    numbers->stall_at = 9;
    fails_with(numbers, ERR_TIMEOUT, &options);
}

static void *cancel_soon(void *cancel)
{
    g_usleep(300000);
    cancel_set(cancel);
    return NULL;
}

static void test_cancel(void **state)
{
    g_autoptr(Cancel) cancel = cancel_new();
    PipeOptions options = { .cancel = cancel };
    Numbers *numbers = numbers_new(30, 1);
    numbers->stall_at = 3;
    pthread_t thread;
    pthread_create(&thread, NULL, cancel_soon, cancel);
    fails_with(numbers, ERR_CANCELLED, &options);
    pthread_join(thread, NULL);
    g_autoptr(Cancel) under = cancel_new_under(NULL, cancel);
    assert_true(cancel_is_set(under));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_get_all),
        cmocka_unit_test(test_failing_end),
        cmocka_unit_test(test_failing_source),
        cmocka_unit_test(test_cancel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
