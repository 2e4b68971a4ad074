/* A pool as the rest of the house sees it: its status, its snapshot, its barrier. The thread that
 * keeps them is in follow.c. */
#include "pool/follow.h"

#include "base/error.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

Pool *pool_new(const XapiConfig *config, const PoolOps *ops)
{
    Pool *pool = g_new0(Pool, 1);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_mutex_init(&pool->life, NULL);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pool->xapi = xapi_new(config);
    if (ops)
        pool->ops = *ops;
    pool->writer = inventory_writer_new();
    pool->entered = g_ptr_array_new_with_free_func(g_free);
    pool->left = g_ptr_array_new_with_free_func(g_free);
    pool->inventory = inventory_writer_commit(pool->writer, pool->entered, pool->left);
    return pool;
}

void pool_free(Pool *pool)
{
    if (!pool)
        return;
    pool_disconnect(pool);
    xapi_free(pool->xapi);
    inventory_unref(pool->inventory);
    inventory_writer_free(pool->writer);
    g_ptr_array_unref(pool->entered);
    g_ptr_array_unref(pool->left);
    g_clear_error(&pool->error);
    g_free(pool->token);
    g_free(pool->pool_ref);
    pthread_cond_destroy(&pool->changed);
    pthread_mutex_destroy(&pool->lock);
    pthread_mutex_destroy(&pool->life);
    g_free(pool);
}

/* --- connecting --- */

/* Under `life`. */
static bool start(Pool *pool, bool keep_trying, GError **error)
{
    if (pool->running) {
        err_set(error, ERR_STATE, "the pool is already connected or connecting");
        return false;
    }
    pool->cancel = cancel_new();
    xapi_set_cancel(pool->xapi, pool->cancel);
    pool->keep_trying = keep_trying;
    pool->n_attempts = 0;
    pool->ready = pool->stopped = false;
    pool->running = pthread_create(&pool->thread, NULL, pool_follow, pool) == 0;
    if (!pool->running) {
        g_clear_pointer(&pool->cancel, cancel_unref);
        err_set(error, ERR_INTERNAL, "no thread could be started for the pool");
    }
    return pool->running;
}

static void end(Pool *pool)
{
    pthread_mutex_lock(&pool->life);
    if (pool->running) {
        cancel_set(pool->cancel);
        pthread_mutex_lock(&pool->lock);
        pool->stopped = true;
        pthread_cond_broadcast(&pool->changed);
        pthread_mutex_unlock(&pool->lock);
        pthread_join(pool->thread, NULL);
        pool->running = false;
        xapi_set_cancel(pool->xapi, NULL);
        g_clear_pointer(&pool->cancel, cancel_unref);
    }
    pthread_mutex_unlock(&pool->life);
}

static bool wait_for_first(Pool *pool, GError **error)
{
    pthread_mutex_lock(&pool->lock);
    while (!pool->ready && !pool->n_attempts && !pool->stopped)
        pthread_cond_wait(&pool->changed,
                          &pool->lock); /* every call of the thread has a deadline */
    bool ready = pool->ready && !pool->stopped;
    if (pool->stopped)
        err_set(error, ERR_CANCELLED, "the pool was disconnected meanwhile");
    else if (!ready && pool->error)
        g_propagate_error(error, g_error_copy(pool->error));
    pthread_mutex_unlock(&pool->lock);
    return ready;
}

bool pool_connect(Pool *pool, bool keep_trying, GError **error)
{
    pthread_mutex_lock(&pool->life);
    bool started = start(pool, keep_trying, error);
    pthread_mutex_unlock(&pool->life);
    if (!started || keep_trying)
        return started;
    if (wait_for_first(pool, error))
        return true;
    end(pool);
    return false;
}

void pool_disconnect(Pool *pool)
{
    end(pool);
}

/* --- asking --- */

PoolStatus pool_status(Pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    PoolStatus status = pool->status;
    pthread_mutex_unlock(&pool->lock);
    return status;
}

GError *pool_error(Pool *pool, gint64 *since_ms)
{
    pthread_mutex_lock(&pool->lock);
    GError *error = pool->error ? g_error_copy(pool->error) : NULL;
    if (since_ms)
        *since_ms = error ? pool->since_ms : 0;
    pthread_mutex_unlock(&pool->lock);
    return error;
}

Xapi *pool_xapi(Pool *pool)
{
    return pool->xapi;
}

Inventory *pool_inventory(Pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    Inventory *inventory = inventory_ref(pool->inventory);
    pthread_mutex_unlock(&pool->lock);
    return inventory;
}

/* --- the barrier --- */

static struct timespec deadline_in(unsigned ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    guint64 ns = (guint64) at.tv_nsec + (guint64) (ms % 1000) * 1000000;
    at.tv_sec += (time_t) (ms / 1000 + ns / 1000000000);
    at.tv_nsec = (long) (ns % 1000000000);
    return at;
}

/* "<20 digits>,<20 digits>", which can be compared as text. */
static bool is_ordered(const char *token)
{
    return token && strlen(token) == 41 && token[20] == ',' && strspn(token, "0123456789") == 20;
}

/* By the token of an injected event: when ours is as far, all that came before has been seen. */
static bool has_passed(const Pool *pool, const char *token)
{
    return pool->token && strncmp(pool->token, token, 20) >= 0;
}

/* By a mark in the pool's record, as XO does it. */
static bool has_mark(const Pool *pool, const char *mark)
{
    json_t *record = inventory_record(pool->inventory, "pool", pool->pool_ref);
    bool found = json_object_get(json_object_get(record, "other_config"), mark) != NULL;
    json_decref(record);
    return found;
}

static bool wait_for(Pool *pool, bool (*passed)(const Pool *pool, const char *what),
                     const char *what, unsigned timeout_ms, GError **error)
{
    struct timespec deadline = deadline_in(timeout_ms);
    bool late = false;
    pthread_mutex_lock(&pool->lock);
    while (!passed(pool, what) && !late && pool->status == POOL_CONNECTED)
        late = pthread_cond_timedwait(&pool->changed, &pool->lock, &deadline) != 0;
    bool ok = passed(pool, what);
    pthread_mutex_unlock(&pool->lock);
    if (!ok)
        err_set(error, late ? ERR_TIMEOUT : ERR_NETWORK,
                late ? "the pool's events did not arrive within %u ms"
                     : "the connection to the pool was lost while waiting %u ms for its events",
                timeout_ms);
    return ok;
}

static bool wait_for_mark(Pool *pool, const char *ref, unsigned timeout_ms, GError **error)
{
    g_autofree char *mark = g_strdup_printf("xo:barrier:%08x", g_random_int());
    g_autofree char *now =
        g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / G_TIME_SPAN_MILLISECOND);
    if (!xapi_do(pool->xapi, "pool.add_to_other_config", json_pack("[s,s,s]", ref, mark, now),
                 error))
        return false;
    bool ok = wait_for(pool, has_mark, mark, timeout_ms, error);
    xapi_do(pool->xapi, "pool.remove_from_other_config", json_pack("[s,s]", ref, mark), NULL);
    return ok;
}

bool pool_barrier(Pool *pool, unsigned timeout_ms, GError **error)
{
    pthread_mutex_lock(&pool->lock);
    g_autofree char *ref = pool->status == POOL_CONNECTED ? g_strdup(pool->pool_ref) : NULL;
    bool ordered = is_ordered(pool->token);
    pthread_mutex_unlock(&pool->lock);
    if (!ref) {
        err_set(error, ERR_STATE, "the pool is not connected");
        return false;
    }
    g_autofree char *token = ordered ? xapi_call_string(pool->xapi, "event.inject",
                                                        json_pack("[s,s]", "pool", ref), NULL)
                                     : NULL;
    if (MUTANT(pool_barrier_does_not_wait)) /* mutant: pool_events */
        return true;
    return is_ordered(token) ? wait_for(pool, has_passed, token, timeout_ms, error)
                             : wait_for_mark(pool, ref, timeout_ms, error);
}
