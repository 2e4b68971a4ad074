/* The memory promise of a run worker: what it can hold at most, from the job's settings alone. It
 * does not depend on the size of disks, nor on how long a run takes. */
#pragma once

#include <glib.h>
#include <jansson.h>

typedef struct {
    unsigned n_streams;   /* disks read at a time */
    unsigned n_vms;       /* VMs at a time: a merge holds memory too */
    guint64 base_bytes;   /* the program, its libraries, records of the pool */
    guint64 stream_bytes; /* of each stream: blocks in flight, stacks, the spool of slow targets */
    guint64 vm_bytes;     /* of each VM */
    guint64 total_bytes;
} RunBound;

/* VMs at a time, and disks at a time, that the settings of a run allow. */
unsigned run_n_vms(json_t *settings, unsigned n_vms);
unsigned run_n_streams(json_t *settings);
/* Of a worker that was told this start message. */
RunBound run_bound(json_t *start);
/* {boundBytes, baseBytes, streams, streamBytes, vms, vmBytes}. */
json_t *run_bound_json(const RunBound *bound);
