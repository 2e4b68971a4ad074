/* One call of a patient place: handed to a thread, waited for, given up. */
#include "remote/errand.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <errno.h>
#include <time.h>

enum { LOOK_EVERY_MS = 1000 }; /* whether a long call moves */

static void held_unref(Held *held)
{
    if (!held || !g_atomic_int_dec_and_test(&held->n_refs))
        return;
    held->close(held->inner);
    g_free(held);
}

static void errand_free(Errand *errand)
{
    if (errand->made)
        errand->unmake(errand->made);
    held_unref(errand->held);
    held_unref(errand->from);
    g_clear_pointer(&errand->data, g_bytes_unref);
    g_clear_error(&errand->error);
    g_clear_pointer(&errand->url, remote_url_free);
    g_free(errand->path);
    g_free(errand->to);
    g_free(errand);
}

Errand *errand_new(PatientPlace *place, const char *verb, void (*make)(Errand *errand),
                   const char *path)
{
    Errand *errand = g_new0(Errand, 1);
    errand->place = place;
    errand->verb = verb;
    errand->make = make;
    errand->path = g_strdup(path);
    return errand;
}

static void errand_main(void *user)
{
    Errand *errand = user;
    PatientPlace *place = errand->place;
    errand->make(errand);
    pthread_mutex_lock(&place->lock);
    errand->done = true;
    bool given_up = errand->given_up;
    pthread_cond_broadcast(&place->changed);
    pthread_mutex_unlock(&place->lock);
    if (!given_up)
        return; /* its caller frees it */
    errand_free(errand);
    pthread_mutex_lock(&place->lock);
    place->n_stuck--;
    pthread_mutex_unlock(&place->lock);
}

static struct timespec after_ms(gint64 ms)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    gint64 ns = time.tv_nsec + ms * 1000000;
    time.tv_sec += ns / 1000000000;
    time.tv_nsec = ns % 1000000000;
    return time;
}

static int moves_of(const PatientPlace *place)
{
    return place->inner ? g_atomic_int_get(&place->inner->n_moves) : 0;
}

/* Under the lock: until it is done, or neither it nor any other long call has moved for too long.
 */
static void wait_for(PatientPlace *place, const Errand *errand)
{
    gint64 since_us = g_get_monotonic_time();
    int moves = moves_of(place);
    while (!errand->done) {
        gint64 waited_ms = (g_get_monotonic_time() - since_us) / 1000;
        if (moves != moves_of(place)) {
            moves = moves_of(place);
            since_us = g_get_monotonic_time();
            continue;
        }
        if (waited_ms >= place->patience_ms &&
            !MUTANT(patience_endless)) /* mutant: remote_patience */
            return;
        struct timespec end = after_ms(CLAMP(place->patience_ms - waited_ms, 1, LOOK_EVERY_MS));
        pthread_cond_timedwait(&place->changed, &place->lock, &end);
    }
}

/* Under the lock. */
static void say_stuck(const Errand *errand, GError **error)
{
    const PatientPlace *place = errand->place;
    GError *stuck = NULL;
    err_set(&stuck, ERR_TIMEOUT, "%s \"%s\": the repository has not answered for %g s",
            errand->verb, errand->path ? errand->path : "", place->patience_ms / 1000.0);
    log_warning("remote", "%s", stuck->message);
    if (place->tell)
        place->tell(place->tell_user, stuck);
    g_propagate_error(error, stuck);
}

/* Under the lock. Nothing more is asked of a place that owes an answer. */
static bool may_begin(const PatientPlace *place, const Errand *errand, GError **error)
{
    if (place->n_stuck == 0 || MUTANT(patience_asks_on)) /* mutant: remote_patience */
        return true;
    err_set(error, ERR_TIMEOUT, "%s \"%s\": the repository has not answered an earlier call",
            errand->verb, errand->path ? errand->path : "");
    return false;
}

/* Under the lock; whether it has come back. */
static bool wait_or_give_up(PatientPlace *place, Errand *errand, GError **error)
{
    wait_for(place, errand);
    if (errand->done)
        return true;
    errand->given_up = true;
    place->n_stuck++;
    say_stuck(errand, error);
    return false;
}

Errand *errand_run(Errand *errand, GError **error)
{
    PatientPlace *place = errand->place;
    pthread_mutex_lock(&place->lock);
    bool begun = may_begin(place, errand, error), ended = !begun;
    if (begun) {
        http_threads_submit(place->threads, errand_main, errand);
        ended = wait_or_give_up(place, errand, error);
    }
    pthread_mutex_unlock(&place->lock);
    if (!ended)
        return NULL;
    if (errand->error)
        g_propagate_error(error, g_steal_pointer(&errand->error));
    if (!begun)
        g_clear_pointer(&errand, errand_free);
    return errand;
}

bool errand_ok(Errand *errand)
{
    bool ok = errand && errand->ok;
    if (errand)
        errand_free(errand);
    return ok;
}

void *errand_made(Errand *errand)
{
    void *made = errand ? g_steal_pointer(&errand->made) : NULL;
    if (errand)
        errand_free(errand);
    return made;
}

/* --- Handles --- */

Held *held_new(void *inner, void (*close)(void *inner))
{
    Held *held = g_new0(Held, 1);
    *held = (Held){ 1, inner, close };
    return held;
}

Held *held_ref(Held *held)
{
    g_atomic_int_inc(&held->n_refs);
    return held;
}

static void make_close(Errand *errand)
{
    held_unref(g_steal_pointer(&errand->held));
    errand->ok = true;
}

void held_close(PatientPlace *place, Held *held)
{
    Errand *errand = errand_new(place, "closing", make_close, NULL);
    errand->held = held;
    pthread_mutex_lock(&place->lock);
    bool wanted = place->n_stuck == 0;
    http_threads_submit(place->threads, errand_main, errand);
    if (wanted)
        wanted = wait_or_give_up(place, errand, NULL);
    else {
        errand->given_up = true; /* it may come to it or not */
        place->n_stuck++;
    }
    pthread_mutex_unlock(&place->lock);
    if (wanted)
        errand_free(errand);
}
