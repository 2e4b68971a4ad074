/* Things that happen in the pool a while later: a guest boots, its tools report. One thread sleeps
 * until the next of them; those due at the same moment happen in the order they were asked for. */
#include "sim/inner.h"

#include <pthread.h>

typedef struct {
    gint64 at_us;
    void (*act)(Sim *sim, const char *ref);
    char *ref;
} Due;

struct Clock {
    Sim *sim;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    GQueue due; /* Due *, the next first */
    bool stopping;
};

static void due_free(gpointer data)
{
    Due *due = data;
    g_free(due->ref);
    g_free(due);
}

/* The next thing whose time has come, NULL when stopping. */
static Due *next_due(Clock *clock)
{
    Due *found = NULL;
    pthread_mutex_lock(&clock->mutex);
    while (!clock->stopping && found == NULL) {
        Due *due = g_queue_peek_head(&clock->due);
        if (due == NULL) {
            pthread_cond_wait(&clock->changed, &clock->mutex);
        } else if (due->at_us > g_get_monotonic_time()) {
            struct timespec until = { due->at_us / G_USEC_PER_SEC,
                                      due->at_us % G_USEC_PER_SEC * 1000 };
            pthread_cond_timedwait(&clock->changed, &clock->mutex, &until);
        } else {
            found = g_queue_pop_head(&clock->due);
        }
    }
    pthread_mutex_unlock(&clock->mutex);
    return found;
}

static void *clock_main(void *data)
{
    Clock *clock = data;
    Due *due;
    while ((due = next_due(clock)) != NULL) {
        sim_lock(clock->sim);
        due->act(clock->sim, due->ref);
        sim_unlock(clock->sim);
        due_free(due);
    }
    return NULL;
}

Clock *clock_new(Sim *sim)
{
    Clock *clock = g_new0(Clock, 1);
    pthread_condattr_t attr;
    clock->sim = sim;
    g_queue_init(&clock->due);
    pthread_mutex_init(&clock->mutex, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&clock->changed, &attr);
    pthread_condattr_destroy(&attr);
    pthread_create(&clock->thread, NULL, clock_main, clock);
    return clock;
}

void clock_free(Clock *clock)
{
    pthread_mutex_lock(&clock->mutex);
    clock->stopping = true;
    pthread_cond_broadcast(&clock->changed);
    pthread_mutex_unlock(&clock->mutex);
    pthread_join(clock->thread, NULL);
    g_queue_clear_full(&clock->due, due_free);
    pthread_cond_destroy(&clock->changed);
    pthread_mutex_destroy(&clock->mutex);
    g_free(clock);
}

static gint due_compare(gconstpointer a, gconstpointer b, gpointer user)
{
    const Due *x = a, *y = b;
    return x->at_us <= y->at_us ? -1 : 1;
}

void clock_after(Clock *clock, guint ms, void (*act)(Sim *sim, const char *ref), const char *ref)
{
    Due *due = g_new(Due, 1);
    *due = (Due){ g_get_monotonic_time() + (gint64) ms * 1000, act, g_strdup(ref) };
    pthread_mutex_lock(&clock->mutex);
    g_queue_insert_sorted(&clock->due, due, due_compare, NULL);
    pthread_cond_broadcast(&clock->changed);
    pthread_mutex_unlock(&clock->mutex);
}
