/* What some parameters may be: lists that never change, for the forms of clients. */
#include "api/method.h"

static json_t *texts(const char *const *list)
{
    json_t *array = json_array();
    for (; *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

static json_t *ha_values(ApiCall *call, GError **error)
{
    return texts((const char *const[]){ "best-effort", "restart", "", NULL });
}

static json_t *locking_modes(ApiCall *call, GError **error)
{
    return texts(
        (const char *const[]){ "disabled", "locked", "network_default", "unlocked", NULL });
}

static json_t *bond_modes(ApiCall *call, GError **error)
{
    return texts((const char *const[]){ "balance-slb", "active-backup", "lacp", NULL });
}

static json_t *ipv4_modes(ApiCall *call, GError **error)
{
    return texts((const char *const[]){ "DHCP", "None", "Static", NULL });
}

static json_t *ipv6_modes(ApiCall *call, GError **error)
{
    return texts((const char *const[]){ "Autoconf", "DHCP", "None", "Static", NULL });
}

const Method methods_choices[] = {
    { "vm.getHaValues", ha_values, NULL, .access = ACCESS_USER, .example = "",
      .summary = "What high_availability of a virtual machine may be." },
    { "vif.getLockingModeValues", locking_modes, NULL, .access = ACCESS_USER, .example = "",
      .summary = "What lockingMode of a virtual interface may be." },
    { "network.getBondModes", bond_modes, NULL, .access = ACCESS_USER, .example = "",
      .summary = "What bondMode of a bonded network may be." },
    { "pif.getIpv4ConfigurationModes", ipv4_modes, NULL, .access = ACCESS_USER, .example = "",
      .summary = "What mode of an interface may be." },
    { "pif.getIpv6ConfigurationModes", ipv6_modes, NULL, .access = ACCESS_USER, .example = "",
      .summary = "What ipv6Mode of an interface may be." },
    { NULL },
};
