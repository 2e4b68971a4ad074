/* What a resource set lets its subjects do, measured on the VMs that are in it. */
#pragma once

#include "account/resource_set.h"
#include "api/objects.h"

/* Adds to the limits of each record of the array what the VMs of its set use now, and what calls
 * that are going on have taken. */
void resource_sets_measure(const ApiParts *parts, json_t *sets);

/* Takes so much more of the set for a VM (XO's id; NULL: one that is to be made), if the caller may
 * use these objects (ids, NULL-terminated): it is a subject, the set lends the objects, the limits
 * hold. Administrators need not be subjects and are not bound by the limits. The lease ends when
 * the objects show what was done. UNAUTHORIZED, NO_SUCH_OBJECT, NOT_ENOUGH_RESOURCES. */
SetLease *resource_set_take(ApiCall *call, const char *set_id, const char *vm_id,
                            const char *const *objects, const SetDemand *demand, GError **error);
/* The same for what takes nothing: only who, and from what. */
bool resource_set_lends(ApiCall *call, const char *set_id, const char *const *objects,
                        GError **error);
/* A copy of a VM carries the mark of the VM's set: takes as much of it for one as the VM has.
 * *lease stays NULL when the VM is in no set. Administrators are not bound. NOT_ENOUGH_RESOURCES.
 */
bool resource_set_take_copy(ApiCall *call, const ApiObject *vm, SetLease **lease, GError **error);
/* The tags that VMs of the set get, an array; NULL when there is no such set. */
json_t *resource_set_tags(ApiCall *call, const char *set_id);

/* A new VM enters the set: it is marked, its maker (shared: all subjects) may administrate it. */
bool resource_set_take_vm(ApiCall *call, const char *set_id, Xapi *xapi, const char *ref,
                          const char *vm_id, bool share, GError **error);
/* A VM leaves its set for another (NULL: none); whoever had a right on it through a rule of its own
 * loses it, the subjects of the new set get all. */
bool resource_set_move_vm(ApiCall *call, const ApiObject *vm, const char *set_id, GError **error);
/* All subjects of the VM's set may administrate it. */
bool resource_set_share_vm(ApiCall *call, const ApiObject *vm, GError **error);
