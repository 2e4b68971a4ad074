/* A VM that moves with its disks: what was asked for, checked. */
#pragma once

#include "sim/call.h"

/* The parameters of VM.migrate_send; all are borrowed from the call. */
typedef struct {
    Call *call;
    Sim *sim;
    const char *vm;                   /* ref */
    const char *url, *session, *host; /* of the destination: "http://127.0.11.1:80", refs there */
    json_t *vdi_map, *vif_map;        /* ref here to ref there */
    bool leaves;                      /* to another pool */
} Migration;

/* The other pool does not know what it would have to: its own refusal. Drops the lock. */
bool migrate_away_check(const Migration *migration, GError **error);
/* Copies the VM and its disks to the other pool, runs it there when it runs here, and takes it away
 * here; its ref there, copied. Nothing is left there of what fails. Drops the lock. */
char *migrate_away(const Migration *migration, GError **error);
