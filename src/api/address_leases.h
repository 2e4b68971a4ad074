/* Which addresses of pools calls that are going on give to machines of resource sets, counted
 * before the pools show it: as set_leases.h does for what machines are made of.
 *
 * A lease is of a machine. While one is held, its machine has as many addresses of each pool as the
 * lease says, whatever the objects show meanwhile. Counts are JSON: {pool's id: how many}.
 * Thread-safe. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct AddressLeases AddressLeases;
typedef struct AddressLease AddressLease;

AddressLeases *address_leases_new(void);
/* No lease may be held any more. */
void address_leases_free(AddressLeases *leases);

/* Between these two nobody else counts or takes. */
void address_leases_lock(AddressLeases *leases);
void address_leases_unlock(AddressLeases *leases);

/* --- Locked --- */

/* Whether the machine is counted by a lease. */
bool address_leases_have(AddressLeases *leases, const char *vm_id);
/* How many of a pool the leases of a set take. */
json_int_t address_leases_sum(AddressLeases *leases, const char *set_id, const char *pool_id);
/* `now` is what the machine has so far, counted for its first lease only; both are borrowed. */
AddressLease *address_lease_take(AddressLeases *leases, const char *set_id, const char *vm_id,
                                 json_t *now, json_t *more);

/* --- Not locked --- */

/* The objects show what was done, or that it was not done. NULL: nothing. */
void address_lease_end(AddressLease *lease);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressLease, address_lease_end)
