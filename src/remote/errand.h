/* What the files of the patient place share. */
#pragma once

#include "http/threads.h"
#include "remote/patience.h"

#include <pthread.h>

typedef struct {
    Place base;
    struct remote_ops ops; /* without what the inner place lacks */
    Place *inner;
    void *owned;                      /* what the inner place is closed with … */
    void (*close_owned)(void *owned); /* … and how */
    HttpThreads *threads;
    unsigned patience_ms;
    bool passes_reads;
    RemoteGaveUp *tell; /* of a call that is given up; NULL: nobody */
    void *tell_user;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a call has come back */
    unsigned n_stuck;       /* calls that were given up and have not come back */
} PatientPlace;

/* The inner bytes or chunks; closed by the thread that lets go of them last. */
typedef struct {
    int n_refs; /* atomic */
    void *inner;
    void (*close)(void *inner);
} Held;

/* A call on its way: owned by its caller, or, once that has given up, by its thread. */
typedef struct Errand Errand;
struct Errand {
    PatientPlace *place;
    const char *verb;
    void (*make)(Errand *errand); /* in the other thread */
    /* Of the errand, copied: */
    char *path, *to;
    RemoteUrl *url; /* not in messages: it may hold a secret */
    gsize n;
    unsigned mode;
    RemotePut how;
    guint64 offset;
    GBytes *data;
    Held *held, *from;
    RemoteStat stat;
    /* What came of it: */
    bool ok;
    void *made;
    GDestroyNotify unmake; /* of `made`, when nobody takes it */
    gint64 number;
    RemoteSpace space;
    GError *error;
    /* Under the place's lock: */
    bool done, given_up;
};

Errand *errand_new(PatientPlace *place, const char *verb, void (*make)(Errand *errand),
                   const char *path);
/* The call when it has come back, its error told; NULL, with TIMEOUT, when it was given up. */
Errand *errand_run(Errand *errand, GError **error);
/* Its outcome; frees it. */
bool errand_ok(Errand *errand);
void *errand_made(Errand *errand);

Held *held_new(void *inner, void (*close)(void *inner));
Held *held_ref(Held *held);
/* Lets go of it in another thread: closing may wait, too. */
void held_close(PatientPlace *place, Held *held);

Bytes *patient_bytes(Place *place, const char *path, RemoteMode mode, GError **error);
Chunks *patient_chunks(Place *place, const char *path, GError **error);
