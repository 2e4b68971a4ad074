/* A remote that fails on order, over another; for tests of what stands on remotes. */
#pragma once

#include "remote/remote.h"

typedef struct {
    const char *verb;  /* that fails: "put", "rename", "bytes.write", "chunks.move"…; NULL: any */
    unsigned nth;      /* the call that fails, from 1; 0: none does */
    bool for_good;     /* and all after it */
    int errnum;        /* how; 0: EIO */
    unsigned delay_ms; /* instead of failing, it is late by so much */
    gint64 room_bytes; /* writes fail with ENOSPC beyond so many bytes; -1: no limit */
    bool torn;         /* a failing write leaves the first half of its data */
    bool flips;        /* a write whose turn it is does not fail: it stores one wrong bit */
    guint64 flip_bit;  /* which, counted from the start of what is written, around its length */
    unsigned n_seen;   /* calls of the verb so far; filled in */
} RemoteFault;

#define REMOTE_FAULT_NONE (&(RemoteFault){ .room_bytes = -1 })

/* The inner one is taken over; the plan is not, may be changed while no operation runs. */
Remote *remote_new_faulty(Remote *inner, RemoteFault *plan);
