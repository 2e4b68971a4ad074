/* The disks of the snapshot, side by side: as many as the job allows of one VM, and as the run has
 * streams. One that fails stops the others. */
#include "work/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <pthread.h>

enum { MAX_THREADS = 64 };

typedef struct {
    VmRun *run;
    Cancel *cancel; /* this transfer's: the run's, or a disk failed */
    guint next;     /* with the run's lock held: the disk that comes next */
    GError *error;  /* with the run's lock held: the first */
} Transfer;

static bool claim(Transfer *transfer, guint *index)
{
    pthread_mutex_lock(&transfer->run->lock);
    *index = transfer->next;
    bool more = !transfer->error && transfer->next < transfer->run->disks->len;
    transfer->next += more;
    pthread_mutex_unlock(&transfer->run->lock);
    return more;
}

static void fail(Transfer *transfer, GError *error)
{
    pthread_mutex_lock(&transfer->run->lock);
    if (transfer->error)
        g_clear_error(&error);
    else
        transfer->error = error;
    pthread_mutex_unlock(&transfer->run->lock);
    cancel_set(transfer->cancel);
}

static bool copy_one(Transfer *transfer, guint index, GError **error)
{
    WorkStreams *streams = transfer->run->context->streams;
    if (!streams_take(streams, transfer->cancel, error))
        return false;
    bool ok = transfer_disk(transfer->run, index, transfer->cancel, error);
    streams_give(streams);
    return ok;
}

static void *transfer_main(void *data)
{
    Transfer *transfer = data;
    guint index;
    while (claim(transfer, &index)) {
        GError *error = NULL;
        if (!copy_one(transfer, index, &error))
            fail(transfer, error);
    }
    return NULL;
}

static unsigned n_threads_of(const VmRun *run)
{
    gint64 wanted = setting_int(run->settings, "diskPerVmConcurrency", 0); /* 0: all, as in XO */
    unsigned n = wanted >= 1 ? (unsigned) MIN(wanted, MAX_THREADS) : MAX_THREADS;
    if (MUTANT(disks_one_by_one)) /* mutant: work_bounds:test_side_by_side */
        n = 1;
    return MIN(n, run->disks->len);
}

static void run_threads(Transfer *transfer, unsigned n)
{
    pthread_t threads[MAX_THREADS];
    pthread_attr_t attributes;
    unsigned n_started = 0;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, PIPE_STACK_BYTES);
    while (n_started + 1 < n &&
           pthread_create(&threads[n_started], &attributes, transfer_main, transfer) == 0)
        n_started++;
    pthread_attr_destroy(&attributes);
    transfer_main(transfer);
    for (unsigned i = 0; i < n_started; i++)
        pthread_join(threads[i], NULL);
}

bool transfer_disks(VmRun *run, GError **error)
{
    g_autoptr(Cancel) cancel = cancel_new_under(run->cancel, NULL);
    Transfer transfer = { .run = run, .cancel = cancel };
    run_threads(&transfer, n_threads_of(run));
    if (!transfer.error)
        return true;
    g_propagate_error(error, transfer.error);
    return false;
}
