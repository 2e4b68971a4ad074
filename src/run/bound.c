/* resident = base + streams x (blocks in flight x 2 MiB + stacks) + spools. The parts are named
 * where they are used; tests/memory holds the workers to the sum. */
#include "run/bound.h"

#include "disk/disk.h"
#include "pipe/pipe.h"

enum {
    STREAMS = 12,  /* XO's vdiExportConcurrency */
    MAX_VMS = 64,  /* threads of a run */
    BASE_MIB = 48, /* with the records of a few VMs and the heap's slack */
    VM_BLOCKS = 4, /* of a merge or a read-back: as read, unpacked, packed, its table */
    MAX_STREAMS = 1024,
};

static double number(json_t *settings, const char *name, double otherwise)
{
    json_t *value = json_object_get(settings, name);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

unsigned run_n_vms(json_t *settings, unsigned n_vms)
{
    double wanted = number(settings, "concurrency", 0);
    return MIN(wanted >= 1 ? (unsigned) MIN(wanted, MAX_VMS) : MAX_VMS, n_vms);
}

unsigned run_n_streams(json_t *settings)
{
    return (unsigned) CLAMP(number(settings, "vdiExportConcurrency", STREAMS), 1, MAX_STREAMS);
}

RunBound run_bound(json_t *settings, unsigned n_targets, unsigned n_vms)
{
    unsigned per_vm = (unsigned) CLAMP(number(settings, "diskPerVmConcurrency", 0), 0, MAX_STREAMS);
    RunBound bound = { .n_vms = run_n_vms(settings, n_vms), .base_bytes = BASE_MIB << 20 };
    bound.n_streams = run_n_streams(settings);
    if (per_vm > 0)
        bound.n_streams = MIN(bound.n_streams, MAX(per_vm * bound.n_vms, 1));
    bound.stream_bytes = pipe_bound_bytes(
        MAX(n_targets, 1), (unsigned) CLAMP(number(settings, "nbdConcurrency", 1), 1, MAX_STREAMS),
        (unsigned) CLAMP(number(settings, "spoolBlocks", PIPE_SPOOL_BLOCKS), 0, PIPE_MAX_SPOOL));
    bound.vm_bytes = VM_BLOCKS * (guint64) DISK_BLOCK_BYTES + PIPE_STACK_BYTES;
    bound.total_bytes = bound.base_bytes + bound.n_streams * bound.stream_bytes +
                        bound.n_vms * bound.vm_bytes;
    return bound;
}
