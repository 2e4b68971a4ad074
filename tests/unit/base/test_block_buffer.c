/* Block buffers: nobody gets what another has, those kept are few, and what is large is not kept.
 */
#include "base/block_buffer.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N_MANY = BLOCK_BUFFERS_KEPT + 5, N_THREADS = 4, N_ROUNDS = 200 };

static void check_count(unsigned n_taken, unsigned n_kept)
{
    unsigned taken, kept;
    block_buffers_count(&taken, &kept);
    assert_int_equal(taken, n_taken);
    assert_int_equal(kept, n_kept);
}

static int drop(void **state)
{
    (void) state;
    block_buffers_drop();
    return 0;
}

static void test_few_are_kept(void **state)
{
    void *buffers[N_MANY];
    (void) state;
    for (unsigned i = 0; i < N_MANY; i++) {
        buffers[i] = block_buffer_take(BLOCK_BUFFER_BYTES);
        memset(buffers[i], (int) i, BLOCK_BUFFER_BYTES);
    }
    check_count(N_MANY, 0);
    for (unsigned i = 0; i < N_MANY; i++) {
        assert_int_equal(((guint8 *) buffers[i])[0], i);
        assert_int_equal(((guint8 *) buffers[i])[BLOCK_BUFFER_BYTES - 1], i);
        block_buffer_give(buffers[i]);
    }
    check_count(0, BLOCK_BUFFERS_KEPT);
    block_buffers_drop();
    check_count(0, 0);
}

static void test_the_last_is_used_again(void **state)
{
    (void) state;
    void *first = block_buffer_take(1);
    void *second = block_buffer_take(BLOCK_BUFFER_BYTES);
    assert_int_equal((uintptr_t) first % 4096, 0);
    block_buffer_give(first);
    block_buffer_give(second);
    void *again = block_buffer_take(BLOCK_BUFFER_BYTES);
    assert_ptr_equal(again, second);
    block_buffer_give(again);
    block_buffer_give(NULL);
    check_count(0, 2);
}

static void test_large_ones_go(void **state)
{
    (void) state;
    gsize n_bytes = 3 * (gsize) BLOCK_BUFFER_BYTES + 1;
    guint8 *large = block_buffer_take(n_bytes);
    check_count(1, 0);
    memset(large, 1, n_bytes);
    block_buffer_give(large);
    check_count(0, 0);
}

/* Fills buffers with what nobody else writes, and finds it there. */
static void *take_and_give(void *data)
{
    int mark = GPOINTER_TO_INT(data);
    bool sound = true;
    for (unsigned i = 0; i < N_ROUNDS && sound; i++) {
        guint8 *mine[3];
        for (unsigned j = 0; j < G_N_ELEMENTS(mine); j++) {
            mine[j] = block_buffer_take(4096);
            memset(mine[j], mark + (int) j, 4096);
        }
        for (unsigned j = 0; j < G_N_ELEMENTS(mine); j++) {
            sound = sound && mine[j][0] == mark + (int) j && mine[j][4095] == mark + (int) j;
            block_buffer_give(mine[j]);
        }
    }
    return GINT_TO_POINTER(sound);
}

static void test_threads(void **state)
{
    pthread_t threads[N_THREADS];
    (void) state;
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, take_and_give, GINT_TO_POINTER(16 * i)),
                         0);
    for (int i = 0; i < N_THREADS; i++) {
        void *sound;
        pthread_join(threads[i], &sound);
        assert_non_null(sound);
    }
    unsigned n_taken, n_kept;
    block_buffers_count(&n_taken, &n_kept);
    assert_int_equal(n_taken, 0);
    assert_in_range(n_kept, 1, BLOCK_BUFFERS_KEPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_few_are_kept, drop),
        cmocka_unit_test_teardown(test_the_last_is_used_again, drop),
        cmocka_unit_test_teardown(test_large_ones_go, drop),
        cmocka_unit_test_teardown(test_threads, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
