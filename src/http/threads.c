/* Threads are detached; the pool counts them and is freed when the last has gone. */
#include "http/threads.h"

#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum {
    STACK_BYTES = 1 << 20, /* only what is touched is resident */
    IDLE_S = 10,           /* then a free thread exits */
    MAX_FREE = 16,         /* more free ones than this exit at once, after a burst */
};

typedef struct {
    void (*run)(void *user);
    void *user;
} Job;

struct HttpThreads {
    pthread_mutex_t lock;
    pthread_cond_t work;    /* a job waits, or the end */
    pthread_cond_t changed; /* a job or a thread has ended */
    GQueue jobs;
    unsigned max_threads, n_threads, n_free, n_running;
    bool ending;
};

static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

HttpThreads *http_threads_new(unsigned max_threads)
{
    HttpThreads *threads = g_new0(HttpThreads, 1);
    pthread_mutex_init(&threads->lock, NULL);
    init_condition(&threads->work);
    init_condition(&threads->changed);
    g_queue_init(&threads->jobs);
    threads->max_threads = max_threads;
    return threads;
}

static struct timespec after_ms(unsigned ms)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    time.tv_sec += ms / 1000;
    time.tv_nsec += (long) (ms % 1000) * 1000000;
    if (time.tv_nsec >= 1000000000) {
        time.tv_sec++;
        time.tv_nsec -= 1000000000;
    }
    return time;
}

/* The next job, or NULL when this thread should exit. Under the lock. */
static Job *next_job(HttpThreads *threads)
{
    struct timespec end = after_ms(IDLE_S * 1000);
    Job *job;
    while (!(job = g_queue_pop_head(&threads->jobs))) {
        if (threads->ending || threads->n_free >= MAX_FREE)
            return NULL;
        threads->n_free++;
        int status = pthread_cond_timedwait(&threads->work, &threads->lock, &end);
        threads->n_free--;
        if (status == ETIMEDOUT && g_queue_is_empty(&threads->jobs))
            return NULL;
    }
    return job;
}

static void *thread_main(void *user)
{
    HttpThreads *threads = user;
    pthread_mutex_lock(&threads->lock);
    Job *job;
    while ((job = next_job(threads))) {
        threads->n_running++;
        pthread_mutex_unlock(&threads->lock);
        job->run(job->user);
        g_free(job);
        pthread_mutex_lock(&threads->lock);
        threads->n_running--;
        pthread_cond_broadcast(&threads->changed);
    }
    threads->n_threads--;
    pthread_cond_broadcast(&threads->changed);
    pthread_mutex_unlock(&threads->lock);
    return NULL;
}

static void start_thread(HttpThreads *threads)
{
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_t thread;
    int status = pthread_create(&thread, &attributes, thread_main, threads);
    pthread_attr_destroy(&attributes);
    if (status == 0)
        threads->n_threads++;
    else
        log_warning("http", "no thread for a request: %s; %u run", g_strerror(status),
                    threads->n_threads);
}

void http_threads_submit(HttpThreads *threads, void (*job)(void *user), void *user)
{
    Job *made = g_new(Job, 1);
    *made = (Job){ job, user };
    pthread_mutex_lock(&threads->lock);
    g_queue_push_tail(&threads->jobs, made);
    if (threads->n_free < g_queue_get_length(&threads->jobs) &&
        threads->n_threads < threads->max_threads)
        start_thread(threads);
    pthread_cond_signal(&threads->work);
    pthread_mutex_unlock(&threads->lock);
}

bool http_threads_drain(HttpThreads *threads, unsigned timeout_ms)
{
    struct timespec end = after_ms(timeout_ms);
    int status = 0;
    pthread_mutex_lock(&threads->lock);
    while (status == 0 && (threads->n_running || !g_queue_is_empty(&threads->jobs)))
        status = pthread_cond_timedwait(&threads->changed, &threads->lock, &end);
    bool idle = !threads->n_running && g_queue_is_empty(&threads->jobs);
    pthread_mutex_unlock(&threads->lock);
    return idle;
}

void http_threads_free(HttpThreads *threads)
{
    pthread_mutex_lock(&threads->lock);
    threads->ending = true;
    pthread_cond_broadcast(&threads->work);
    while (threads->n_threads)
        pthread_cond_wait(&threads->changed, &threads->lock);
    pthread_mutex_unlock(&threads->lock);
    pthread_cond_destroy(&threads->work);
    pthread_cond_destroy(&threads->changed);
    pthread_mutex_destroy(&threads->lock);
    g_free(threads);
}
