/* One thread that looks twice a second at when the present call began. */
#include "work/watch.h"

#include "base/mutant.h"

#include <glib.h>
#include <pthread.h>

enum { LOOK_MS = 500 };

struct Watch {
    unsigned patience_ms;
    void (*overdue)(void *user);
    void *user;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    gint64 since_us; /* 0: no call */
    bool ending;
};

/* The lock is held. */
static void look(Watch *watch)
{
    gint64 now_us = g_get_monotonic_time();
    if (watch->since_us && now_us - watch->since_us >= (gint64) watch->patience_ms * 1000 &&
        !MUTANT(watch_sleeps)) { /* mutant: work_watch */
        watch->overdue(watch->user);
        watch->since_us = now_us;
    }
}

static void *watch_main(void *user)
{
    Watch *watch = user;
    pthread_mutex_lock(&watch->lock);
    while (!watch->ending) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += (long) MIN(LOOK_MS, watch->patience_ms) * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&watch->changed, &watch->lock, &until);
        look(watch);
    }
    pthread_mutex_unlock(&watch->lock);
    return NULL;
}

Watch *watch_new(unsigned patience_ms, void (*overdue)(void *user), void *user)
{
    Watch *watch = g_new0(Watch, 1);
    watch->patience_ms = patience_ms;
    watch->overdue = overdue;
    watch->user = user;
    pthread_mutex_init(&watch->lock, NULL);
    pthread_cond_init(&watch->changed, NULL);
    watch->has_thread = pthread_create(&watch->thread, NULL, watch_main, watch) == 0;
    return watch;
}

static void set(Watch *watch, gint64 since_us)
{
    pthread_mutex_lock(&watch->lock);
    watch->since_us = since_us;
    pthread_mutex_unlock(&watch->lock);
}

void watch_enter(Watch *watch)
{
    if (watch)
        set(watch, g_get_monotonic_time());
}

void watch_leave(Watch *watch)
{
    if (watch)
        set(watch, 0);
}

void watch_free(Watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    watch->ending = true;
    pthread_cond_signal(&watch->changed);
    pthread_mutex_unlock(&watch->lock);
    if (watch->has_thread)
        pthread_join(watch->thread, NULL);
    pthread_cond_destroy(&watch->changed);
    pthread_mutex_destroy(&watch->lock);
    g_free(watch);
}
