/* Pools of IP addresses, and which interfaces of machines have what of them. */
#pragma once

#include "api/call.h"

#include <jansson.h>

#define IP_POOLS "ipPools"

/* {address: [VIF id]} of the addresses of a pool that interfaces on its networks are allowed; new
 * reference. */
json_t *ip_pool_usage(const ApiParts *parts, json_t *pool);
/* Puts {vifs: […]} beside each address that is used. */
void ip_pool_show(const ApiParts *parts, json_t *pool);
/* What the machines of a resource set (its record) have of the pools that it limits: {usage} beside
 * each limit "ipPool:<id>". */
void ip_pools_measure(const ApiParts *parts, json_t *set);
/* Takes of what a resource set (NULL: none) limits the addresses that its machine gets by the
 * interfaces `after` in the place of those of `before`: arrays of {$network, allowedIpv4Addresses?,
 * allowedIpv6Addresses?}, borrowed. *lease ends when the objects show what was done; it stays NULL
 * when nothing is limited. Administrators are counted and not bound. NOT_ENOUGH_RESOURCES. */
bool ip_pools_take(ApiCall *call, const char *set_id, const char *vm_id, json_t *before,
                   json_t *after, AddressLease **lease, GError **error);
