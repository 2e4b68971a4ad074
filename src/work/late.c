/* What belongs to a target that does not answer is given up by a thread of its own, which may never
 * end: nobody waits for it. Until then nothing more is asked of that target. */
#include "work/private.h"

#include "base/error.h"

#include <pthread.h>

typedef struct {
    const WorkTarget *target;
    void *thing;
    void (*release)(void *thing);
} Late;

bool late_is_stuck(const WorkTarget *target)
{
    return (target->n_stuck && g_atomic_int_get(target->n_stuck) > 0) ||
           (target->remote && remote_is_stuck(target->remote));
}

bool late_check(const WorkTarget *target, GError **error)
{
    if (!late_is_stuck(target))
        return true;
    err_set(error, ERR_TIMEOUT, "the repository %s has not answered an earlier call of this run",
            target->name);
    return false;
}

static Late *late_new(const WorkTarget *target, void *thing, void (*release)(void *thing))
{
    Late *late = g_new0(Late, 1);
    *late = (Late){ target, thing, release };
    return late;
}

static void late_mark(const WorkTarget *target)
{
    if (target->n_stuck)
        g_atomic_int_inc(target->n_stuck);
}

static void late_end(void *data)
{
    Late *late = data;
    late->release(late->thing);
    if (late->target->n_stuck)
        g_atomic_int_add(late->target->n_stuck, -1);
    g_free(late);
}

static void *late_main(void *late)
{
    late_end(late);
    return NULL;
}

void late_release(const WorkTarget *target, void *thing, void (*release)(void *thing))
{
    pthread_t thread;
    if (!thing)
        return;
    if (!late_is_stuck(target)) { /* not counted: others ask meanwhile whether it is stuck */
        release(thing);
        return;
    }
    late_mark(target);
    if (pthread_create(&thread, NULL, late_main, late_new(target, thing, release)) == 0)
        pthread_detach(thread);
}

PipeEnd late_pipe_end(const TargetRun *target, DiskWriter *writer, void *thing,
                      void (*release)(void *thing))
{
    return (PipeEnd){ .writer = writer,
                      .cancel = target->cancel,
                      .left = late_end,
                      .user = late_new(target->target, thing, release) };
}

bool late_settle(VmRun *run, TargetRun *target, PipeEnd *end, void *thing,
                 void (*release)(void *thing))
{
    bool failed = end->error != NULL;
    if (end->stuck)
        late_mark(target->target);
    else
        g_free(end->user);
    if (failed)
        target_drop(run, target, g_steal_pointer(&end->error));
    if (!end->stuck && failed)
        late_release(target->target, thing, release);
    return !end->stuck && !failed;
}
