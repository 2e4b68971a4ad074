/* A simulated pool, a repository in a temporary folder and a journal: what a run has. */
#pragma once

#include "work/private.h"

#include "base/error.h"
#include "codec/hash.h"
#include "sim/sim.h"
#include "sim/storage.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

typedef struct {
    char *folder;
    Sim *sim;
    Xapi *xapi;
    WorkPool pool;
    Remote *remotes[2];
    Catalog *catalogs[2];
    WorkTarget targets[2];
    Journal *journal;
    json_t *job, *settings;
    Cancel *cancel;
    WorkContext context;
    TaskLog *log;
    char *vm; /* uuid of the first VM */
} Box;

#define JOB      "5f0d7a54-9a0d-4f7e-8c4c-0d0c8f6a1b11"
#define SCHEDULE "8a7c1f0e-2f3d-4b55-9f7b-3a1d2c4e5f60"

/* `options` of the repository's URL ("?useVhdDirectory=true"). */
Box *box_new(unsigned n_disks, const char *options, unsigned n_targets);
void box_free(Box *box);

/* A method's string result; fails the test on an error. */
char *box_call(Box *box, const char *method, json_t *params);
json_t *box_record(Box *box, const char *cls, const char *ref);
/* Backs up the VM in a fresh log. */
bool box_backup(Box *box, GError **error);
/* The log of the last one, in XO's shape; new reference. */
json_t *box_log(Box *box);
/* Changed block tracking for the VM's disks. */
void box_enable_cbt(Box *box);
/* The VM writes something else; `seed` says what. */
void box_write(Box *box, guint32 seed);
/* {live VDI uuid: SHA-256} of the VM's disks now. */
json_t *box_digests(Box *box, const char *vm_uuid);
/* The same of a point; of restored disks by the uuid they were restored from. */
json_t *box_point_digests(Box *box, unsigned target, json_t *point);
json_t *box_points(Box *box, unsigned target);
/* Nothing of a run is left: marks, blocked operations, snapshots beyond `n_snapshots`. */
void box_check_clean(Box *box, unsigned n_snapshots);
