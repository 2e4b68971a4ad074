/* A machine of an OVA, made in a pool while the archive arrives. */
#pragma once

#include "api/duties.h"
#include "disk/ovf.h"
#include "xapi/xapi.h"

typedef struct {
    Xapi *xapi;
    Duties *duties;
    const char *pool;    /* XO's id */
    const char *sr;      /* reference: where the disks go */
    const char *network; /* reference: for interfaces that `networks` says nothing of */
    GPtrArray *networks; /* references by interface; may be NULL: by name, then `network` */
    Ovf *ovf;            /* what the client says of the machine; NULL: the archive's own */
    HttpSource source;
    void *user;
} MachineIn;

/* The VM's reference, or NULL with an error and nothing left: what even the end of the server would
 * leave is taken down later. */
char *machine_take_ova(const MachineIn *in, GError **error);
