/* The table of the patient place: each row packs its arguments, has them carried out, unpacks. */
#include "remote/errand.h"

#include "base/error.h"

enum { MAX_THREADS = 256 };

#define PATIENT(place) ((PatientPlace *) (place))
#define INNER(errand)  ((errand)->place->inner)

/* --- Calls with nothing but a path --- */

static void make_drop(Errand *errand)
{
    errand->ok = INNER(errand)->ops->drop(INNER(errand), errand->path, &errand->error);
}

static bool patient_drop(Place *place, const char *path, GError **error)
{
    return errand_ok(errand_run(errand_new(PATIENT(place), "deleting", make_drop, path), error));
}

static void make_drop_tree(Errand *errand)
{
    errand->ok = INNER(errand)->ops->drop_tree(INNER(errand), errand->path, &errand->error);
}

static bool patient_drop_tree(Place *place, const char *path, GError **error)
{
    return errand_ok(
        errand_run(errand_new(PATIENT(place), "deleting", make_drop_tree, path), error));
}

static void make_sync_folder(Errand *errand)
{
    errand->ok = INNER(errand)->ops->sync_folder(INNER(errand), errand->path, &errand->error);
}

static bool patient_sync_folder(Place *place, const char *path, GError **error)
{
    return errand_ok(
        errand_run(errand_new(PATIENT(place), "syncing", make_sync_folder, path), error));
}

static void make_list(Errand *errand)
{
    errand->made = INNER(errand)->ops->list(INNER(errand), errand->path, &errand->error);
    errand->unmake = (GDestroyNotify) g_ptr_array_unref;
}

static GPtrArray *patient_list(Place *place, const char *path, GError **error)
{
    return errand_made(errand_run(errand_new(PATIENT(place), "listing", make_list, path), error));
}

static void make_forget(Errand *errand)
{
    INNER(errand)->ops->forget(INNER(errand), errand->path);
    errand->ok = true;
}

static void patient_forget(Place *place, const char *path)
{
    errand_ok(errand_run(errand_new(PATIENT(place), "opening", make_forget, path), NULL));
}

/* --- Calls with more --- */

static void make_get(Errand *errand)
{
    errand->made = INNER(errand)->ops->get(INNER(errand), errand->path, errand->n, &errand->error);
    errand->unmake = (GDestroyNotify) g_bytes_unref;
}

static GBytes *patient_get(Place *place, const char *path, gsize max, GError **error)
{
    Errand *errand = errand_new(PATIENT(place), "reading", make_get, path);
    errand->n = max;
    return errand_made(errand_run(errand, error));
}

static void make_put(Errand *errand)
{
    gsize n;
    const void *data = g_bytes_get_data(errand->data, &n);
    errand->ok =
        INNER(errand)->ops->put(INNER(errand), errand->path, data, n, errand->how, &errand->error);
}

static bool patient_put(Place *place, const char *path, const void *data, gsize n, RemotePut how,
                        GError **error)
{
    Errand *errand = errand_new(PATIENT(place), "writing", make_put, path);
    errand->data = g_bytes_new(data, n);
    errand->how = how;
    return errand_ok(errand_run(errand, error));
}

static void make_rename(Errand *errand)
{
    errand->ok =
        INNER(errand)->ops->rename(INNER(errand), errand->path, errand->to, &errand->error);
}

static bool patient_rename(Place *place, const char *from, const char *to, GError **error)
{
    Errand *errand = errand_new(PATIENT(place), "renaming", make_rename, from);
    errand->to = g_strdup(to);
    return errand_ok(errand_run(errand, error));
}

static void make_make_folder(Errand *errand)
{
    errand->ok =
        INNER(errand)->ops->make_folder(INNER(errand), errand->path, errand->mode, &errand->error);
}

static bool patient_make_folder(Place *place, const char *path, unsigned mode, GError **error)
{
    Errand *errand = errand_new(PATIENT(place), "making the folder", make_make_folder, path);
    errand->mode = mode;
    return errand_ok(errand_run(errand, error));
}

static void make_space(Errand *errand)
{
    errand->ok = INNER(errand)->ops->space(INNER(errand), &errand->space, &errand->error);
}

static bool patient_space(Place *place, RemoteSpace *space, GError **error)
{
    Errand *errand = errand_run(
        errand_new(PATIENT(place), "asking for the free space of", make_space, ""), error);
    if (errand)
        *space = errand->space;
    return errand_ok(errand);
}

/* --- Calls that tell how a name is --- */

static bool run_stat(Errand *errand, RemoteStat *stat, GError **error)
{
    errand = errand_run(errand, error);
    if (errand)
        *stat = errand->stat;
    return errand_ok(errand);
}

static void make_stat(Errand *errand)
{
    errand->ok =
        INNER(errand)->ops->stat(INNER(errand), errand->path, &errand->stat, &errand->error);
}

static bool patient_stat(Place *place, const char *path, RemoteStat *stat, GError **error)
{
    return run_stat(errand_new(PATIENT(place), "looking at", make_stat, path), stat, error);
}

static void make_lock_take(Errand *errand)
{
    errand->ok =
        INNER(errand)->ops->lock_take(INNER(errand), errand->path, &errand->stat, &errand->error);
}

static bool patient_lock_take(Place *place, const char *path, RemoteStat *now, GError **error)
{
    return run_stat(errand_new(PATIENT(place), "locking", make_lock_take, path), now, error);
}

static void make_lock_touch(Errand *errand)
{
    errand->ok =
        INNER(errand)->ops->lock_touch(INNER(errand), errand->path, &errand->stat, &errand->error);
}

static bool patient_lock_touch(Place *place, const char *path, RemoteStat *now, GError **error)
{
    Errand *errand = errand_new(PATIENT(place), "refreshing the lock", make_lock_touch, path);
    errand->stat = *now;
    return run_stat(errand, now, error);
}

static void make_lock_steal(Errand *errand)
{
    errand->ok =
        INNER(errand)->ops->lock_steal(INNER(errand), errand->path, &errand->stat, &errand->error);
}

static bool patient_lock_steal(Place *place, const char *path, const RemoteStat *seen,
                               GError **error)
{
    Errand *errand = errand_new(PATIENT(place), "removing the lock", make_lock_steal, path);
    errand->stat = *seen;
    return errand_ok(errand_run(errand, error));
}

/* --- Life --- */

/* What a call that never came back may still use stays: the end of the process ends it. */
static void patient_close(Place *place)
{
    PatientPlace *patient = PATIENT(place);
    if (patience_is_stuck(place))
        return;
    http_threads_free(patient->threads);
    if (patient->inner)
        patient->close_owned(patient->owned);
    pthread_mutex_destroy(&patient->lock);
    pthread_cond_destroy(&patient->changed);
    g_free(patient);
}

static const struct remote_ops patient_ops = {
    .type = "patient",
    .close = patient_close,
    .get = patient_get,
    .put = patient_put,
    .list = patient_list,
    .stat = patient_stat,
    .rename = patient_rename,
    .drop = patient_drop,
    .drop_tree = patient_drop_tree,
    .make_folder = patient_make_folder,
    .sync_folder = patient_sync_folder,
    .space = patient_space,
    .bytes = patient_bytes,
    .chunks = patient_chunks,
    .forget = patient_forget,
    .lock_take = patient_lock_take,
    .lock_touch = patient_lock_touch,
    .lock_steal = patient_lock_steal,
};

void patience_pass_reads(Place *place)
{
    if (place->ops->close == patient_close)
        PATIENT(place)->passes_reads = true;
}

void patience_on_giving_up(Place *place, RemoteGaveUp *tell, void *user)
{
    if (place->ops->close != patient_close)
        return;
    PATIENT(place)->tell = tell;
    PATIENT(place)->tell_user = user;
}

bool patience_is_stuck(const Place *place)
{
    if (place->ops->close != patient_close)
        return false;
    PatientPlace *patient = PATIENT(place);
    pthread_mutex_lock(&patient->lock);
    bool stuck = patient->n_stuck > 0;
    pthread_mutex_unlock(&patient->lock);
    return stuck;
}

static PatientPlace *place_new(unsigned patience_ms)
{
    PatientPlace *place = g_new0(PatientPlace, 1);
    pthread_condattr_t monotonic;
    place->ops = patient_ops;
    place->base.ops = &place->ops;
    place->patience_ms = patience_ms;
    place->threads = http_threads_new(MAX_THREADS);
    pthread_mutex_init(&place->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&place->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return place;
}

static void lie_over(PatientPlace *place, Place *inner, void *owned, void (*close)(void *owned))
{
    place->inner = inner;
    place->owned = owned;
    place->close_owned = close;
    if (!inner->ops->forget)
        place->ops.forget = NULL;
    if (!inner->ops->lock_take)
        place->ops.lock_take = NULL;
    if (!inner->ops->lock_steal)
        place->ops.lock_steal = NULL;
}

static void close_remote(void *remote)
{
    remote_close(remote);
}

Remote *remote_new_patient(Remote *inner, unsigned patience_ms)
{
    PatientPlace *place = place_new(patience_ms);
    lie_over(place, remote_place(inner), inner, close_remote);
    json_t *vhd_directory = remote_option(inner, "useVhdDirectory");
    json_t *options = json_pack("{so*}", "useVhdDirectory", vhd_directory);
    Remote *remote = remote_new(&place->base, remote_name(inner), options);
    json_decref(options);
    return remote;
}

static void close_place(void *place)
{
    ((Place *) place)->ops->close(place);
}

static void make_open(Errand *errand)
{
    const struct remote_ops *ops = g_bytes_get_data(errand->data, NULL);
    errand->made = ops->open(errand->url, &errand->error);
    errand->unmake = close_place;
}

Place *patience_open(const struct remote_ops *ops, const RemoteUrl *url, unsigned patience_ms,
                     GError **error)
{
    PatientPlace *place = place_new(patience_ms);
    Errand *errand = errand_new(place, "opening", make_open, "");
    errand->url = remote_url_copy(url);
    errand->data = g_bytes_new_static(ops, sizeof *ops);
    Place *inner = errand_made(errand_run(errand, error));
    if (inner) {
        lie_over(place, inner, inner, close_place);
        return &place->base;
    }
    patient_close(&place->base);
    return NULL;
}
