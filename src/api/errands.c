/* A pool of threads, and one flag for all. */
#include "api/errands.h"
#include "base/log.h"

struct Errands {
    GThreadPool *threads;
    Cancel *cancel;
};

typedef struct {
    ErrandRun run;
    void *data;
    GDestroyNotify free;
} Errand;

static void end(Errand *errand)
{
    errand->free(errand->data);
    g_free(errand);
}

static void work(void *data, void *user)
{
    Errand *errand = data;
    Errands *errands = user;
    if (!cancel_is_set(errands->cancel))
        errand->run(errand->data, errands->cancel);
    end(errand);
}

Errands *errands_new(void)
{
    Errands *errands = g_new0(Errands, 1);
    errands->cancel = cancel_new();
    errands->threads = g_thread_pool_new(work, errands, ERRANDS_THREADS, FALSE, NULL);
    return errands;
}

void errands_free(Errands *errands)
{
    if (!errands)
        return;
    cancel_set(errands->cancel);
    g_thread_pool_free(errands->threads, FALSE, TRUE);
    cancel_unref(errands->cancel);
    g_free(errands);
}

void errands_push(Errands *errands, ErrandRun run, void *data, GDestroyNotify free)
{
    Errand *errand = g_new(Errand, 1);
    *errand = (Errand){ run, data, free };
    if (g_thread_pool_unprocessed(errands->threads) < ERRANDS_WAITING) {
        g_thread_pool_push(errands->threads, errand, NULL);
        return;
    }
    log_warning("api", "more than %d errands wait: one was dropped", ERRANDS_WAITING);
    end(errand);
}
