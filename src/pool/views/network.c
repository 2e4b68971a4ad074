/* network, PIF, VIF, bond. */
#include "pool/views/tables.h"

#include <string.h>

/* --- network --- */

static void is_locked(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_is(view_value(view, field->source), "disabled"));
}

static bool contains(Value list, const char *text)
{
    ValueIter iter = value_iter(list);
    while (value_next(&iter))
        if (value_is(iter.value, text))
            return true;
    return false;
}

static void nbd(View *view, const ViewField *field)
{
    Value purpose = view_value(view, field->source);
    if (purpose.at)
        view_put_bool(view, field->name, contains(purpose, "nbd"));
}

static void insecure_nbd(View *view, const ViewField *field)
{
    Value purpose = view_value(view, field->source);
    if (purpose.at)
        view_put_bool(view, field->name, contains(purpose, "insecure_nbd"));
}

static void is_bonded(View *view, const ViewField *field)
{
    ValueIter iter = value_iter(view_value(view, field->source));
    bool bonded = false;
    while (value_next(&iter))
        bonded |= value_count(record_value(view_follow(view, iter.value), "bond_master_of")) > 0;
    view_put_bool(view, field->name, bonded);
}

const ViewField view_network[] = {
    { "automatic", view_bool, "other_config/automatic" },
    { "bridge", view_copy, "bridge" },
    { "current_operations", view_copy, "current_operations" },
    { "defaultIsLocked", is_locked, "default_locking_mode" },
    { "MTU", view_int, "MTU" },
    { "name_description", view_copy, "name_description" },
    { "name_label", view_copy, "name_label" },
    { "other_config", view_copy, "other_config" },
    { "tags", view_copy, "tags" },
    { "PIFs", view_links, "PIFs" },
    { "VIFs", view_links, "VIFs" },
    { "nbd", nbd, "purpose" },
    { "insecureNbd", insecure_nbd, "purpose" },
    { "isBonded", is_bonded, "PIFs" },
    { NULL },
};

/* --- PIF --- */

static Record *metrics_of(View *view)
{
    return view_follow(view, view_value(view, "metrics"));
}

static void is_bond_master(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_count(view_value(view, field->source)) > 0);
}

static Record *slave_bond(View *view)
{
    return view_follow(view, view_value(view, "bond_slave_of"));
}

static void is_bond_slave(View *view, const ViewField *field)
{
    Value bond = view_value(view, field->source);
    view_put_bool(view, field->name, bond.at && !value_is(bond, "OpaqueRef:NULL"));
}

static void bond_master(View *view, const ViewField *field)
{
    view_put_link(view, field->name, record_value(slave_bond(view), "master"));
}

static void bond_slaves(View *view, const ViewField *field)
{
    ValueIter bonds = value_iter(view_value(view, field->source));
    Record *bond = value_next(&bonds) ? view_follow(view, bonds.value) : NULL;
    if (!bond)
        return;
    GString *out = view_begin(view, field->name);
    ValueIter iter = value_iter(record_value(bond, "slaves"));
    char before = '[';
    while (value_next(&iter)) {
        Record *slave = view_peek(view, iter.value);
        if (!slave)
            continue;
        g_string_append_c(out, before);
        view_write_id(view, out, slave);
        before = ',';
    }
    g_string_append(out, before == '[' ? "[]" : "]");
}

static void device_name(View *view, const ViewField *field)
{
    view_put_value(view, field->name, record_value(metrics_of(view), "device_name"));
}

static void carrier(View *view, const ViewField *field)
{
    view_put_bool(view, field->name, value_bool(record_value(metrics_of(view), "carrier")));
}

static void speed(View *view, const ViewField *field)
{
    Record *metrics = metrics_of(view);
    if (metrics)
        view_put_int(view, field->name, value_int(record_value(metrics, "speed"), 0));
}

const ViewField view_pif[] = {
    { "attached", view_bool, "currently_attached" },
    { "isBondMaster", is_bond_master, "bond_master_of" },
    { "isBondSlave", is_bond_slave, "bond_slave_of" },
    { "bondMaster", bond_master, "bond_slave_of" },
    { "bondSlaves", bond_slaves, "bond_master_of" },
    { "device", view_copy, "device" },
    { "deviceName", device_name, NULL },
    { "dns", view_copy, "DNS" },
    { "disallowUnplug", view_bool, "disallow_unplug" },
    { "gateway", view_copy, "gateway" },
    { "ip", view_copy, "IP" },
    { "ipv6", view_copy, "IPv6" },
    { "mac", view_copy, "MAC" },
    { "management", view_bool, "management" },
    { "carrier", carrier, NULL },
    { "mode", view_copy, "ip_configuration_mode" },
    { "ipv6Mode", view_copy, "ipv6_configuration_mode" },
    { "mtu", view_int, "MTU" },
    { "netmask", view_copy, "netmask" },
    { "physical", view_bool, "physical" },
    { "primaryAddressType", view_copy, "primary_address_type" },
    { "vlan", view_int, "VLAN" },
    { "speed", speed, NULL },
    { "$host", view_link, "host" },
    { "$network", view_link, "network" },
    { NULL },
};

/* --- VIF --- */

static void rate_limit(View *view, const ViewField *field)
{
    Value rate = view_value(view, field->source);
    if (value_is(view_value(view, "qos_algorithm_type"), "ratelimit") && rate.at)
        view_put_number(view, field->name, value_number(rate, 0));
}

static void tx_checksumming(View *view, const ViewField *field)
{
    Value value = view_value(view, field->source);
    view_put_bool(view, field->name, !value_is(value, "false") && !value_is(value, "off"));
}

const ViewField view_vif[] = {
    { "allowedIpv4Addresses", view_copy, "ipv4_allowed" },
    { "allowedIpv6Addresses", view_copy, "ipv6_allowed" },
    { "attached", view_bool, "currently_attached" },
    { "device", view_copy, "device" },
    { "lockingMode", view_copy, "locking_mode" },
    { "MAC", view_copy, "MAC" },
    { "MTU", view_int, "MTU" },
    { "other_config", view_copy, "other_config" },
    { "rateLimit", rate_limit, "qos_algorithm_params/kbps" },
    { "txChecksumming", tx_checksumming, "other_config/ethtool-tx" },
    { "$network", view_link, "network" },
    { "$VM", view_link, "VM" },
    { NULL },
};

const ViewField view_bond[] = {
    { "master", view_link, "master" },
    { "mode", view_copy, "mode" },
    { NULL },
};
