/* What methods that make, copy and delete VMs share. */
#pragma once

#include "api/objects.h"
#include "api/resource_sets.h"

/* Destroys one VM or snapshot and, with_disks, the disks that nothing but it uses. A disk that
 * stays is logged: the VM is gone. */
bool vm_erase(Xapi *xapi, const char *ref, bool with_disks, GError **error);
/* What was half made goes; a failure is logged. */
void vm_unmake(Xapi *xapi, const char *ref);
/* The caller may use the storage of every disk of the VM. */
bool vm_may_use_storage(ApiCall *call, const ApiObject *vm, GError **error);
/* The caller, when no administrator, gets all rights on the new VM. */
bool vm_is_given_to_caller(ApiCall *call, const char *vm_id, GError **error);
/* What was made under the lease (NULL: none) is this VM: it is not counted twice. */
void vm_name_lease(SetLease *lease, Xapi *xapi, const char *ref);

typedef struct {
    const char *name;        /* NULL: the machine's and the time */
    const char *description; /* NULL: that of the machine */
    bool memory;             /* also what a running machine has in memory; off: none */
} NewSnapshot;
/* Takes a snapshot without the disks that want none: its id, or NULL with an error and nothing
 * left.
 */
json_t *vm_snapshot_take(const ApiObject *vm, const NewSnapshot *wanted, GError **error);
