/* A VM that is being made: named in the store before the pool is asked, so that one whose making
 * ends in the middle, even with the server, is taken down again with its disks.
 *
 * Until it is whole it has a name that no other has. */
#pragma once

#include "api/duties.h"
#include "api/objects.h"

typedef struct {
    Duties *duties;
    char *id;
    char *name; /* of the VM until it is whole */
} VmBirth;

/* `name`: what it is going to be called, in the pool of that XO id. */
bool vm_birth_begin(VmBirth *birth, Duties *duties, const char *pool, const char *name,
                    GError **error);
/* It is whole, and has its own name. */
void vm_birth_done(VmBirth *birth);
/* It goes: at once, or when the pool can be reached. `ref` NULL: the pool did not say. */
void vm_birth_undo(VmBirth *birth, Xapi *xapi, const char *ref);
void vm_birth_clear(VmBirth *birth);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(VmBirth, vm_birth_clear)

/* The key of a disk's other_config while it belongs to no VM yet; its value is VmBirth.id. */
#define VM_BIRTH_MARK "cadenza:making"

extern const DutyKind vm_birth_duty;
