/* Disks that are there for the length of a call: named in the store before the pool is asked, so
 * that they go whatever ends the call, even with the server. All have one name that no other has,
 * and so have their copies. */
#pragma once

#include "api/duties.h"
#include "xapi/xapi.h"

typedef struct {
    Duties *duties;
    char *id;
    char *name; /* for the disks */
} PassingDisks;

/* `name`: what a person shall read, in the pool of that XO id. */
bool passing_disks_begin(PassingDisks *disks, Duties *duties, const char *pool, const char *name,
                         GError **error);
/* They go: now or, what the pool refuses now, later. */
void passing_disks_end(PassingDisks *disks, Xapi *xapi);
void passing_disks_clear(PassingDisks *disks);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(PassingDisks, passing_disks_clear)

extern const DutyKind passing_disks_duty;
