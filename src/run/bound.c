/* resident = base + streams x (blocks in flight x 2 MiB + stacks) + spools. The parts are named
 * where they are used; tests/memory holds the workers to the sum. */
#include "run/bound.h"

#include "base/block_buffer.h"

#include "disk/disk.h"
#include "pipe/pipe.h"

enum {
    STREAMS = 12,  /* XO's vdiExportConcurrency */
    MAX_VMS = 64,  /* threads of a run */
    BASE_MIB = 32, /* with the records of a few VMs and the heap's slack */
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

static unsigned at_most(json_t *settings, const char *name, double otherwise, unsigned max)
{
    return (unsigned) CLAMP(number(settings, name, otherwise), 0, max);
}

/* A restore reads one chain after the other, and has no settings of a job. */
static RunBound counts_of(json_t *start)
{
    json_t *settings = json_object_get(start, "settings");
    unsigned n_vms = (unsigned) json_array_size(json_object_get(start, "vms"));
    if (n_vms == 0)
        return (RunBound){ .n_streams = 1, .n_vms = 1 };
    RunBound bound = { .n_streams = run_n_streams(settings), .n_vms = run_n_vms(settings, n_vms) };
    unsigned per_vm = at_most(settings, "diskPerVmConcurrency", 0, MAX_STREAMS);
    if (per_vm > 0)
        bound.n_streams = MIN(bound.n_streams, per_vm * bound.n_vms);
    return bound;
}

RunBound run_bound(json_t *start)
{
    json_t *settings = json_object_get(start, "settings");
    unsigned n_targets = (unsigned) json_array_size(json_object_get(start, "remotes"));
    RunBound bound = counts_of(start);
    bound.base_bytes = (BASE_MIB << 20) + BLOCK_BUFFERS_KEPT * (guint64) BLOCK_BUFFER_BYTES;
    bound.stream_bytes =
        pipe_bound_bytes(MAX(n_targets, 1), at_most(settings, "nbdConcurrency", 1, MAX_STREAMS),
                         at_most(settings, "spoolBlocks", PIPE_SPOOL_BLOCKS, PIPE_MAX_SPOOL));
    bound.vm_bytes = VM_BLOCKS * (guint64) DISK_BLOCK_BYTES + PIPE_STACK_BYTES;
    bound.total_bytes = bound.base_bytes + bound.n_streams * bound.stream_bytes +
                        bound.n_vms * bound.vm_bytes;
    return bound;
}

json_t *run_bound_json(const RunBound *bound)
{
    return json_pack("{s:I, s:I, s:i, s:I, s:i, s:I}", "boundBytes",
                     (json_int_t) bound->total_bytes, "baseBytes", (json_int_t) bound->base_bytes,
                     "streams", (int) bound->n_streams, "streamBytes",
                     (json_int_t) bound->stream_bytes, "vms", (int) bound->n_vms, "vmBytes",
                     (json_int_t) bound->vm_bytes);
}
