/* Whoever takes reserves the next free stretch of time, long enough for its bytes, and sleeps
 * through it. So the order is that of asking, and the mean is exact however the sizes differ. */
#include "pipe/throttle.h"

#include "base/mutant.h"

#include <pthread.h>

enum { SLICE_US = 200000 };

struct Throttle {
    guint64 bytes_per_s;
    pthread_mutex_t lock;
    gint64 free_us; /* monotonic: from here on nobody has reserved anything */
};

Throttle *throttle_new(guint64 bytes_per_s)
{
    if (bytes_per_s == 0)
        return NULL;
    Throttle *throttle = g_new0(Throttle, 1);
    throttle->bytes_per_s = bytes_per_s;
    pthread_mutex_init(&throttle->lock, NULL);
    return throttle;
}

void throttle_free(Throttle *throttle)
{
    if (!throttle)
        return;
    pthread_mutex_destroy(&throttle->lock);
    g_free(throttle);
}

static gint64 reserve(Throttle *throttle, guint64 n_bytes)
{
    gint64 need_us = (gint64) ((double) n_bytes * G_USEC_PER_SEC / (double) throttle->bytes_per_s);
    pthread_mutex_lock(&throttle->lock);
    gint64 now_us = g_get_monotonic_time();
    if (throttle->free_us < now_us || MUTANT(throttle_each_its_own)) /* mutant: pipe_throttle */
        throttle->free_us = now_us;
    throttle->free_us += need_us;
    gint64 until_us = throttle->free_us;
    pthread_mutex_unlock(&throttle->lock);
    return until_us;
}

void throttle_take(Throttle *throttle, guint64 n_bytes, const Cancel *cancel)
{
    if (!throttle)
        return;
    gint64 until_us = reserve(throttle, n_bytes), left_us;
    while ((left_us = until_us - g_get_monotonic_time()) > 0 && !cancel_is_set(cancel))
        g_usleep((gulong) MIN(left_us, SLICE_US));
}
