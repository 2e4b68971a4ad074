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
/* Whether a machine of this resource set (NULL: of none) may have these addresses on a network, in
 * so far as pools have them: administrators always may. NOT_ENOUGH_RESOURCES. */
bool ip_pools_allow(ApiCall *call, const char *set_id, const char *network_id, json_t *addresses,
                    GError **error);
