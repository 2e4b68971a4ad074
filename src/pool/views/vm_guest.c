/* What a guest's agent reports: addresses, tools, system. */
#include "pool/views/vm.h"

#include "base/json_write.h"
#include "base/mutant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Record *vm_guest_metrics(View *view)
{
    return view_follow(view, view_value(view, "guest_metrics"));
}

void vm_os_version(View *view, const ViewField *field)
{
    Record *metrics = vm_guest_metrics(view);
    value_write(record_value(metrics, "os_version"), view_begin(view, field->name));
}

/* --- addresses --- */

typedef struct {
    char *key, *address;
} Network;

static gint by_key(gconstpointer a, gconstpointer b)
{
    return strcmp(((const Network *) a)->key, ((const Network *) b)->key);
}

static void network_clear(gpointer network)
{
    g_free(((Network *) network)->key);
    g_free(((Network *) network)->address);
}

/* The reported map, in the order of its keys. */
static GArray *sorted_networks(View *view)
{
    char key[VALUE_SCRATCH], address[VALUE_SCRATCH];
    GArray *networks = g_array_new(FALSE, FALSE, sizeof(Network));
    g_array_set_clear_func(networks, network_clear);
    ValueIter iter = value_iter(record_value(vm_guest_metrics(view), "networks"));
    while (value_next(&iter)) {
        Network network = { g_strdup(value_text(iter.key, key)),
                            g_strdup(value_text(iter.value, address)) };
        g_array_append_val(networks, network);
    }
    g_array_sort(networks, by_key);
    return networks;
}

/* "<device>/ip", "<device>/ipv4/<n>" or "<device>/ipv6/<n>": 4, 6, or 0 for anything else. */
static int family_of(const char *key)
{
    const char *slash = key + strspn(key, "0123456789");
    if (slash == key || *slash != '/')
        return 0;
    if (strcmp(slash, "/ip") == 0)
        return 4;
    bool v4 = g_str_has_prefix(slash, "/ipv4/"), v6 = g_str_has_prefix(slash, "/ipv6/");
    const char *n = slash + strlen("/ipv4/");
    if ((!v4 && !v6) || !*n || n[strspn(n, "0123456789")])
        return 0;
    return v4 ? 4 : 6;
}

typedef struct {
    GString *out;
    GHashTable *seen; /* addresses of the present device and family */
    char *prefix;     /* "0/ipv4" */
    bool any;
} Addresses;

static void add_address(Addresses *addresses, const char *address)
{
    if (!*address || !g_hash_table_add(addresses->seen, g_strdup(address)))
        return;
    guint n = g_hash_table_size(addresses->seen) - 1;
    g_string_append_printf(addresses->out, "%s\"%s/%u\":", addresses->any ? "," : "",
                           addresses->prefix, n);
    json_write_string(addresses->out, address, strlen(address));
    addresses->any = true;
}

/* An old agent puts several addresses into one text. */
static void add_network(Addresses *addresses, const Network *network, int family)
{
    gsize n = strspn(network->key, "0123456789");
    g_autofree char *prefix = g_strdup_printf("%.*s/ipv%d", (int) n, network->key, family);
    if (g_strcmp0(prefix, addresses->prefix) != 0) {
        g_free(addresses->prefix);
        addresses->prefix = g_steal_pointer(&prefix);
        g_hash_table_remove_all(addresses->seen);
    }
    g_auto(GStrv) parts = g_strsplit_set(network->address, " \n\r\t", -1);
    for (guint i = 0; parts[i]; i++)
        add_address(addresses, parts[i]);
}

void vm_addresses(View *view, const ViewField *field)
{
    g_autoptr(GArray) networks = sorted_networks(view);
    Addresses addresses = {
        .out = view_begin(view, field->name),
        .seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL),
    };
    g_string_append_c(addresses.out, '{');
    for (guint i = 0; i < networks->len; i++) {
        const Network *network = &g_array_index(networks, Network, i);
        int family = family_of(network->key);
        if (family)
            add_network(&addresses, network, family);
    }
    g_string_append_c(addresses.out, '}');
    g_hash_table_unref(addresses.seen);
    g_free(addresses.prefix);
}

void vm_main_address(View *view, const ViewField *field)
{
    g_autoptr(GArray) networks = sorted_networks(view);
    for (int family = 4; family <= 6; family += 2)
        for (guint i = 0; i < networks->len; i++) {
            const Network *network = &g_array_index(networks, Network, i);
            if (family_of(network->key) != family || !*network->address)
                continue;
            view_put_text(view, field->name, network->address);
            return;
        }
}

/* --- tools --- */

static bool has_version(Record *metrics)
{
    Value version = record_value(metrics, "PV_drivers_version");
    return value_member(version, "major").at && value_member(version, "minor").at;
}

static void put_legacy_tools(View *view, const char *name, Record *metrics)
{
    char major[VALUE_SCRATCH], minor[VALUE_SCRATCH];
    Value version = record_value(metrics, "PV_drivers_version");
    if (!metrics || !has_version(metrics)) {
        view_put_bool(view, name, false);
        return;
    }
    g_autofree char *both = g_strdup_printf("%s.%s",
                                            value_text(value_member(version, "major"), major),
                                            value_text(value_member(version, "minor"), minor));
    GString *out = view_begin(view, name);
    g_string_append_printf(out, "{\"major\":%d,\"minor\":%d,\"version\":",
                           (int) value_int(value_member(version, "major"), 0),
                           (int) value_int(value_member(version, "minor"), 0));
    json_write_real(out, g_ascii_strtod(both, NULL));
    g_string_append_c(out, '}');
}

static void put_version(View *view, Record *metrics)
{
    char major[VALUE_SCRATCH], minor[VALUE_SCRATCH], micro[VALUE_SCRATCH], build[VALUE_SCRATCH];
    Value version = record_value(metrics, "PV_drivers_version");
    g_autofree char *text = g_strdup_printf("%s.%s.%s-%s",
                                            value_text(value_member(version, "major"), major),
                                            value_text(value_member(version, "minor"), minor),
                                            value_text(value_member(version, "micro"), micro),
                                            value_text(value_member(version, "build"), build));
    view_put_text(view, "pvDriversVersion", text);
}

void vm_tools(View *view, const ViewField *field)
{
    Record *metrics = vm_guest_metrics(view);
    if (!vm_is_running(view))
        return;
    put_legacy_tools(view, field->name, metrics);
    if (!metrics)
        return;
    bool version = has_version(metrics);
    Value other = record_value(metrics, "other");
    Value detected_value = record_value(metrics, "PV_drivers_detected");
    bool detected = detected_value.at ? value_bool(detected_value) : version;
    view_put_bool(view, "managementAgentDetected",
                  version || value_is(value_member(other, "feature-static-ip-setting"), "1"));
    view_put_bool(view, "pvDriversDetected", detected);
    if (version)
        put_version(view, metrics);
    if (detected)
        view_put_bool(view, "pvDriversUpToDate",
                      value_bool(record_value(metrics, "PV_drivers_up_to_date")));
}

/* --- XSA-468: Windows drivers that let any user of the guest in --- */

static const struct {
    const char *driver, *vendor;
    int fixed[4]; /* the first version that is not vulnerable */
} xsa468[] = {
    { "xenbus", "XenServer", { 9, 1, 11, 115 } },  { "xenbus", "Citrix", { 9, 1, 11, 115 } },
    { "xenbus", "XCP_ng", { 9, 0, 9048, 0 } },     { "xenbus", "Xen_Project", { 9, 1, 0, 2 } },
    { "xeniface", "XenServer", { 9, 1, 12, 94 } }, { "xeniface", "Citrix", { 9, 1, 12, 94 } },
    { "xeniface", "XCP_ng", { 9, 0, 9048, 0 } },   { "xeniface", "Xen_Project", { 9, 1, 0, 1 } },
    { "xencons", "XCP_ng", { 9, 0, 9048, 0 } },    { "xencons", "Xen_Project", { 9, 1, 0, 3 } },
};

static bool is_before(const char *version, const int fixed[4])
{
    int part[4] = { 0 };
    sscanf(version, "%d.%d.%d.%d", &part[0], &part[1], &part[2], &part[3]);
    for (unsigned i = 0; i < 4; i++)
        if (part[i] != fixed[i])
            return part[i] < fixed[i];
    return false;
}

/* text is "vendor version …". */
static bool is_vulnerable(const char *driver, const char *text)
{
    const char *space = strchr(text, ' ');
    for (unsigned i = 0; space && i < G_N_ELEMENTS(xsa468); i++) {
        gsize n = strlen(xsa468[i].vendor);
        if (strcmp(driver, xsa468[i].driver) == 0 && (gsize) (space - text) == n &&
            strncmp(text, xsa468[i].vendor, n) == 0)
            return is_before(space + 1, xsa468[i].fixed);
    }
    return false;
}

static bool is_number_of_version(const char *key)
{
    return strcmp(key, "major") == 0 || strcmp(key, "minor") == 0 || strcmp(key, "micro") == 0 ||
           strcmp(key, "build") == 0;
}

static void write_xsa468(GString *out, Record *metrics)
{
    char key[VALUE_SCRATCH], text[VALUE_SCRATCH];
    ValueIter iter = value_iter(record_value(metrics, "PV_drivers_version"));
    bool any = false;
    while (value_next(&iter)) {
        const char *driver = value_text(iter.key, key), *version = value_text(iter.value, text);
        if (is_number_of_version(driver))
            continue;
        any = true;
        if (!is_vulnerable(driver, version))
            continue;
        g_string_append(out, "{\"reason\":\"pv-driver-version-vulnerable\",\"driver\":");
        json_write_string(out, driver, strlen(driver));
        g_string_append(out, ",\"version\":");
        json_write_string(out, version, strlen(version));
        g_string_append_c(out, '}');
        return;
    }
    g_string_append(out, any ? "false" : "{\"reason\":\"no-pv-drivers-detected\"}");
}

void vm_vulnerabilities(View *view, const ViewField *field)
{
    bool windows = value_is(view_value(view, "platform/device_id"), "0002");
    Record *metrics = windows ? vm_guest_metrics(view) : NULL;
    if (strcmp(view_type(view), "VM") != 0)
        return;
    GString *out = view_begin(view, field->name);
    g_string_append(out, "{\"xsa468\":");
    if (metrics && value_bool(record_value(metrics, "PV_drivers_detected")))
        write_xsa468(out, metrics);
    else
        g_string_append(out, "false");
    g_string_append_c(out, '}');
}
