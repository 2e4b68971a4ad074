/* XO's lock: the folder <path>.lock, made atomically, its time refreshed by a thread of ours, and
 * taken from a holder that has not refreshed it for 10 s. */
#include "remote/place.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#define REFRESH_EVERY_MS 5000u
#define STALE_AFTER_MS   10000u
#define POLL_EVERY_MS    100u

struct RemoteLock {
    Remote *remote;
    char *path; /* of the folder */
    pthread_t refresher;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t wake;
    RemoteStat mine; /* as we left it */
    bool held, stop;
};

static Place *place_of(RemoteLock *lock)
{
    return remote_place(lock->remote);
}

/* Whether the folder still is as we left it; touches it. Called with the mutex. */
static bool refresh(RemoteLock *lock)
{
    Place *place = place_of(lock);
    g_autoptr(GError) error = NULL;
    RemoteStat now;
    bool ours = place->ops->stat(place, lock->path, &now, &error) &&
                now.inode == lock->mine.inode && now.mtime_ns == lock->mine.mtime_ns &&
                place->ops->lock_touch(place, lock->path, &lock->mine, &error);
    if (!ours)
        log_warning("remote", "%s: the lock %s was lost: %s", remote_name(lock->remote), lock->path,
                    error ? error->message : "somebody else took it");
    return ours;
}

static void *refresh_loop(void *data)
{
    RemoteLock *lock = data;
    pthread_mutex_lock(&lock->mutex);
    while (!lock->stop && lock->held) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += REFRESH_EVERY_MS / 1000;
        int timed_out = 0;
        while (!lock->stop && timed_out != ETIMEDOUT)
            timed_out = pthread_cond_timedwait(&lock->wake, &lock->mutex, &until);
        if (!lock->stop)
            lock->held = refresh(lock);
    }
    pthread_mutex_unlock(&lock->mutex);
    return NULL;
}

static gint64 age_ms(const RemoteStat *seen)
{
    return g_get_real_time() / 1000 - seen->mtime_ns / 1000000;
}

static bool is_stale(const RemoteStat *seen)
{
    gint64 limit = MUTANT(remote_lock_steals) ? -1
                                              : (gint64) STALE_AFTER_MS; /* mutant: remote_lock */
    return age_ms(seen) > limit;
}

/* One try: true when taken; false without an error when somebody holds it. */
static bool try_once(RemoteLock *lock, gint64 *held_for_ms, GError **error)
{
    Place *place = place_of(lock);
    g_autoptr(GError) failure = NULL;
    if (place->ops->lock_take(place, lock->path, &lock->mine, &failure))
        return true;
    RemoteStat seen;
    if (!err_is(failure, ERR_EXISTS)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return false;
    }
    if (!place->ops->stat(place, lock->path, &seen, NULL)) /* just gone: the next try will tell */
        return false;
    *held_for_ms = age_ms(&seen);
    if (!is_stale(&seen))
        return false;
    log_info("remote", "%s: removing the stale lock %s", remote_name(lock->remote), lock->path);
    return place->ops->lock_steal(place, lock->path, &seen, error) &&
           place->ops->lock_take(place, lock->path, &lock->mine, NULL);
}

static bool take(RemoteLock *lock, unsigned wait_ms, GError **error)
{
    gint64 deadline = g_get_monotonic_time() + (gint64) wait_ms * 1000, held_for_ms = 0;
    for (;;) {
        g_autoptr(GError) failure = NULL;
        if (try_once(lock, &held_for_ms, &failure))
            return true;
        if (failure) {
            g_propagate_prefixed_error(error, g_steal_pointer(&failure),
                                       "%s: ", remote_name(lock->remote));
            return false;
        }
        if (g_get_monotonic_time() >= deadline)
            break;
        g_usleep(POLL_EVERY_MS * 1000);
    }
    err_set(error, ERR_BUSY,
            "%s: Lock file is already being held: %s (refreshed %.1f s ago by another job, or "
            "another server)",
            remote_name(lock->remote), lock->path, (double) held_for_ms / 1000);
    return false;
}

static void lock_free(RemoteLock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
    pthread_cond_destroy(&lock->wake);
    g_free(lock->path);
    g_free(lock);
}

static RemoteLock *lock_new(Remote *remote, const char *path)
{
    RemoteLock *lock = g_new0(RemoteLock, 1);
    lock->remote = remote;
    lock->path = g_strconcat(path, ".lock", NULL);
    pthread_mutex_init(&lock->mutex, NULL);
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&lock->wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return lock;
}

/* A place without locks gives one that is always held, as XO does. */
static bool has_locks(const RemoteLock *lock)
{
    return remote_place(lock->remote)->ops->lock_take != NULL;
}

RemoteLock *remote_lock(Remote *remote, const char *path, unsigned wait_ms, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(path);
    if (strcmp(folder, ".") != 0 && !remote_make_folder(remote, folder, error))
        return NULL;
    RemoteLock *lock = lock_new(remote, path);
    lock->held = true;
    if (!has_locks(lock))
        return lock;
    if (take(lock, wait_ms, error)) {
        if (pthread_create(&lock->refresher, NULL, refresh_loop, lock) == 0)
            return lock;
        place_of(lock)->ops->drop_tree(place_of(lock), lock->path, NULL);
        err_set(error, ERR_INTERNAL, "no thread to refresh the lock %s", lock->path);
    }
    lock_free(lock);
    return NULL;
}

bool remote_lock_held(RemoteLock *lock)
{
    pthread_mutex_lock(&lock->mutex);
    bool held = lock->held;
    pthread_mutex_unlock(&lock->mutex);
    return held;
}

bool remote_lock_id(RemoteLock *lock, RemoteLockId *id)
{
    pthread_mutex_lock(&lock->mutex);
    gint64 time_ns = lock->mine.birth_ns ? lock->mine.birth_ns : lock->mine.mtime_ns;
    *id = (RemoteLockId){ lock->mine.inode, time_ns };
    pthread_mutex_unlock(&lock->mutex);
    return id->inode != 0;
}

bool remote_unlock_dead(Remote *remote, const char *path, const RemoteLockId *id, GError **error)
{
    Place *place = remote_place(remote);
    g_autofree char *folder = g_strconcat(path, ".lock", NULL);
    RemoteStat seen;
    if (!place->ops->lock_steal || !place->ops->stat(place, folder, &seen, NULL))
        return true;
    bool same = seen.inode == id->inode &&
                id->birth_ns == (seen.birth_ns ? seen.birth_ns : seen.mtime_ns);
    if (!same && !MUTANT(remote_unlocks_any)) /* mutant: remote_lock */
        return true;
    return place->ops->lock_steal(place, folder, &seen, error);
}

void remote_unlock(RemoteLock *lock)
{
    if (!lock)
        return;
    if (has_locks(lock)) {
        pthread_mutex_lock(&lock->mutex);
        lock->stop = true;
        pthread_cond_signal(&lock->wake);
        pthread_mutex_unlock(&lock->mutex);
        pthread_join(lock->refresher, NULL);
        RemoteStat now;
        Place *place = place_of(lock);
        if (lock->held && place->ops->stat(place, lock->path, &now, NULL) &&
            now.inode == lock->mine.inode)
            place->ops->drop_tree(place, lock->path, NULL);
    }
    lock_free(lock);
}
