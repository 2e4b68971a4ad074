/* The disks of a VM that is being created: those of its template changed, others made. */
#pragma once

#include "api/methods/vm_settings.h"
#include "api/resource_sets.h"

/* Makes the disks of a VM that is being made (`birth_id`: vm_birth.h) what the call's VDIs and
 * existingDisks say; first those that go, then new ones, then changes. */
bool vm_disks_make(VmChange *vm, const char *birth_id, GError **error);
/* Adds the ids of the storages they name, borrowed from the call. */
void vm_disks_storages(ApiCall *call, GPtrArray *ids);
/* Adds what these disks, and those of the template that stay, take of a resource set. */
bool vm_disks_demand(ApiCall *call, const ApiObject *template, SetDemand *demand, GError **error);
/* The same of processors and memory, and the VM itself. */
bool vm_resources_demand(const ApiObject *template, json_t *params, SetDemand *demand,
                         GError **error);
