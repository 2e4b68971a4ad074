/* The network interfaces of a VM that is being created. */
#pragma once

#include "api/methods/vm_settings.h"

/* Those of the template go, and those that the call's VIFs want come in order: {network, mac?,
 * device?, allowedIpv4Addresses?, allowedIpv6Addresses?}. When the call has the parameter below,
 * only those whose device is wanted for another go, or whose entry says {device, destroy: true}. */
bool vm_interfaces_make(VmChange *vm, GError **error);

/* A parameter of REST's own, which XO's creation by REST implies. */
#define VM_KEEP_INTERFACES "keepTemplateVifs"
