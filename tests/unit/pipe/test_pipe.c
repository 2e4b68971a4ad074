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
    PipeEnd ends[3] = { { &ledgers[0]->base }, { &ledgers[1]->base }, { &ledgers[2]->base } };
    g_autoptr(GError) error = NULL;
    guint64 n_bytes = 0;
    guint32 last = 0;
    PipeOptions options = { .progress = count_progress, .user = &last };
    assert_true(pipe_run(&numbers->base, ends, 3, &options, &n_bytes, &error));
    assert_int_equal(n_bytes, n_blocks * (guint64) DISK_BLOCK_BYTES);
    assert_int_equal(last, n_blocks);
    for (int i = 0; i < 3; i++) {
        assert_null(ends[i].error);
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
    PipeEnd ends[] = { { &bad->base }, { &good->base } };
    guint64 n_bytes;
    PipeOptions options = { 0 };
    assert_true(pipe_run(&numbers->base, ends, 2, &options, &n_bytes, NULL));
    assert_true(err_is(ends[0].error, ERR_NO_SPACE));
    assert_null(ends[1].error);
    check_all_seen(good);
    g_clear_error(&ends[0].error);
    source_close(&numbers->base);

    numbers = numbers_new(30, 1);
    g_autoptr(GError) error = NULL;
    bad->n_seen = 0;
    assert_false(pipe_run(&numbers->base, ends, 1, &options, &n_bytes, &error));
    assert_true(err_is(error, ERR_NO_SPACE));
    assert_true(err_is(ends[0].error, ERR_NO_SPACE));
    g_clear_error(&ends[0].error);
    source_close(&numbers->base);
    ledger_free(good);
    ledger_free(bad);
}

static void fails_with(Numbers *numbers, ErrCode code, const PipeOptions *options)
{
    Ledger *ledger = ledger_new(numbers->n_blocks, false);
    PipeEnd end = { &ledger->base };
    g_autoptr(GError) error = NULL;
    guint64 n_bytes;
    gint64 start = g_get_monotonic_time();
    assert_false(pipe_run(&numbers->base, &end, 1, options, &n_bytes, &error));
    assert_true(err_is(error, code));
    assert_true(g_get_monotonic_time() - start < 5 * G_USEC_PER_SEC);
    assert_null(end.error);
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

/* --- Slow ends and stuck ends --- */

/* The block that is written last, seen from another end. */
typedef struct {
    Ledger *fast, *slow;
    guint32 greatest_lag;
} Lag;

static void measure_lag(guint32 n_done, guint32 n_total, void *user)
{
    Lag *lag = user;
    pthread_mutex_lock(&lag->fast->lock);
    guint32 fast = lag->fast->n_seen;
    pthread_mutex_unlock(&lag->fast->lock);
    pthread_mutex_lock(&lag->slow->lock);
    guint32 slow = lag->slow->n_seen;
    pthread_mutex_unlock(&lag->slow->lock);
    if (fast > slow)
        lag->greatest_lag = MAX(lag->greatest_lag, fast - slow);
}

static guint32 lag_with_spool(unsigned spool_blocks)
{
    Numbers *numbers = numbers_new(60, 1);
    Lag lag = { ledger_new(60, false), ledger_new(60, false), 0 };
    lag.slow->wait_us = 20000;
    PipeEnd ends[] = { { &lag.fast->base }, { &lag.slow->base } };
    PipeOptions options = { .spool_blocks = spool_blocks, .progress = measure_lag, .user = &lag };
    guint64 n_bytes;
    assert_true(pipe_run(&numbers->base, ends, 2, &options, &n_bytes, NULL));
    check_all_seen(lag.fast);
    check_all_seen(lag.slow);
    ledger_free(lag.fast);
    ledger_free(lag.slow);
    source_close(&numbers->base);
    return lag.greatest_lag;
}

/* The fast one runs ahead by what the spool holds, and no further. */
static void test_lag(void **state)
{
    guint32 lag = lag_with_spool(24);
    assert_true(lag > PIPE_BUFFERS && lag <= PIPE_BUFFERS + 24);
    assert_true(lag_with_spool(0) <= PIPE_BUFFERS);
}

static void note_left(void *user)
{
    g_atomic_int_inc((int *) user);
}

static void wait_for(int *count)
{
    for (int i = 0; i < 1000 && g_atomic_int_get(count) == 0; i++)
        g_usleep(10000);
    assert_int_equal(g_atomic_int_get(count), 1);
}

/* One call of each of its threads takes 5 s; nobody waits for it, and it is told when it is over.
 */
static void test_stuck_end(void **state)
{
    Numbers *numbers = numbers_new(40, 1);
    Ledger *good = ledger_new(40, true), *stuck = ledger_new(40, true),
           *slow = ledger_new(40, false);
    stuck->wait_us = 5 * G_USEC_PER_SEC;
    slow->wait_us = 10000;
    int n_left = 0;
    PipeEnd ends[] = { { &good->base },
                       { &stuck->base, .left = note_left, .user = &n_left },
                       { &slow->base } };
    PipeOptions options = { .stall_timeout_ms = 300, .spool_blocks = 4 };
    guint64 n_bytes;
    gint64 start = g_get_monotonic_time();
    assert_true(pipe_run(&numbers->base, ends, 3, &options, &n_bytes, NULL));
    assert_true(g_get_monotonic_time() - start < 4 * G_USEC_PER_SEC);
    assert_true(err_is(ends[1].error, ERR_TIMEOUT));
    assert_true(ends[1].stuck && !ends[0].stuck && !ends[2].stuck);
    check_all_seen(good);
    check_all_seen(slow);
    g_clear_error(&ends[1].error);
    source_close(&numbers->base);
    wait_for(&n_left);
    assert_true(stuck->n_seen <= 2);
    ledger_free(good);
    ledger_free(stuck);
    ledger_free(slow);
}

/* When it is the only one, the pipe ends with it. */
static void test_all_stuck(void **state)
{
    Numbers *numbers = numbers_new(30, 2);
    Ledger *stuck = ledger_new(30, false);
    stuck->wait_us = 2 * G_USEC_PER_SEC;
    int n_left = 0;
    PipeEnd end = { &stuck->base, .left = note_left, .user = &n_left };
    PipeOptions options = { .stall_timeout_ms = 300 };
    g_autoptr(GError) error = NULL;
    guint64 n_bytes;
    assert_false(pipe_run(&numbers->base, &end, 1, &options, &n_bytes, &error));
    assert_true(err_is(error, ERR_TIMEOUT) && err_is(end.error, ERR_TIMEOUT) && end.stuck);
    g_clear_error(&end.error);
    source_close(&numbers->base);
    wait_for(&n_left);
    ledger_free(stuck);
}

/* An end that is cancelled alone is dropped alone. */
static void test_cancelled_end(void **state)
{
    Numbers *numbers = numbers_new(40, 1);
    Ledger *good = ledger_new(40, false), *other = ledger_new(40, false);
    other->wait_us = 20000;
    g_autoptr(Cancel) cancel = cancel_new();
    PipeEnd ends[] = { { &other->base, .cancel = cancel }, { &good->base } };
    PipeOptions options = { 0 };
    guint64 n_bytes;
    cancel_set(cancel);
    assert_true(pipe_run(&numbers->base, ends, 2, &options, &n_bytes, NULL));
    assert_true(err_is(ends[0].error, ERR_CANCELLED) && !ends[0].stuck);
    check_all_seen(good);
    assert_true(other->n_seen < 40);
    g_clear_error(&ends[0].error);
    ledger_free(good);
    ledger_free(other);
    source_close(&numbers->base);
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
        cmocka_unit_test(test_lag),
        cmocka_unit_test(test_stuck_end),
        cmocka_unit_test(test_all_stuck),
        cmocka_unit_test(test_cancelled_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
