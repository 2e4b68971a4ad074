/* The network interfaces of a VM that is being created. */
#pragma once

#include "api/address_leases.h"
#include "api/methods/vm_settings.h"

/* Those of the template go, and those that the call's VIFs want come in order: {network, mac?,
 * device?, allowedIpv4Addresses?, allowedIpv6Addresses?}. When the call has the parameter below,
 * only those whose device is wanted for another go, or whose entry says {device, destroy: true}. */
bool vm_interfaces_make(VmChange *vm, GError **error);
/* Takes of the call's resource set the addresses that they will have: *lease is to end once the
 * objects show the VM, in the set. NOT_ENOUGH_RESOURCES. */
bool vm_interfaces_lease(VmChange *vm, AddressLease **lease, GError **error);

/* A parameter of REST's own, which XO's creation by REST implies. */
#define VM_KEEP_INTERFACES "keepTemplateVifs"
