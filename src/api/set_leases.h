/* What calls that are going on take of resource sets, counted before the pools show it: so that
 * calls at the same time cannot pass a limit together, and nothing is counted twice.
 *
 * A lease is of a VM. While one is held, its VM counts as much as the lease says, whatever the
 * objects show meanwhile. Thread-safe. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* What something takes of a set. */
typedef struct {
    gint64 n_vms, n_disks, n_cpus, memory_bytes, disk_bytes;
} SetDemand;
void set_demand_add(SetDemand *sum, const SetDemand *more);

typedef struct SetLeases SetLeases;
typedef struct SetLease SetLease;

SetLeases *set_leases_new(void);
/* No lease may be held any more. */
void set_leases_free(SetLeases *leases);

/* Between these two nobody else measures or takes. */
void set_leases_lock(SetLeases *leases);
void set_leases_unlock(SetLeases *leases);

/* --- Locked --- */

/* Whether the VM is counted by a lease. */
bool set_leases_have(SetLeases *leases, const char *vm_id);
/* Adds what the leases of a set take. */
void set_leases_sum(SetLeases *leases, const char *set_id, SetDemand *sum);
/* vm_id NULL: a VM to be made, which begins with nothing; of another, `now` is what it takes so
 * far, counted for its first lease only. */
SetLease *set_lease_take(SetLeases *leases, const char *set_id, const char *vm_id,
                         const SetDemand *now, const SetDemand *more);

/* --- Not locked --- */

/* The VM that was to be made has this id; call before it bears the set's mark. NULL: nothing. */
void set_lease_name(SetLease *lease, const char *vm_id);
/* The objects show what was done, or that it was not done. NULL: nothing. */
void set_lease_end(SetLease *lease);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SetLease, set_lease_end)
