/* Hosts, networks and storage of the simulated pool. */
#include "sim/population.h"

#include "sim/arrays.h"
#include "sim/hardware.h"
#include "sim/inner.h"

#include <string.h>

void population_fill(Obj *obj, const char *json)
{
    json_error_t where;
    json_t *object = json_loads(json, 0, &where);
    if (object == NULL)
        g_error("population: %s in %s", where.text, json);
    const char *field;
    json_t *value;
    json_object_foreach (object, field, value) {
        g_autoptr(GError) error = NULL;
        if (!obj_put_json(obj, field, value, &error))
            g_error("population: %s", error->message);
    }
    json_decref(object);
}

/* --- Hosts --- */

static const char host_facts[] =
    "{\"memory_overhead\": 629145600, \"API_version_major\": 2, \"API_version_minor\": 21,"
    "\"API_version_vendor\": \"XenSource\", \"enabled\": true, \"sched_policy\": \"credit\","
    "\"software_version\": {\"product_brand\": \"XCP-ng\", \"product_version\": \"8.3.0\","
    "\"product_version_text\": \"8.3\", \"product_version_text_short\": \"8.3\","
    "\"platform_name\": \"XCP\", \"platform_version\": \"3.4.0\", \"xapi\": \"25.6\","
    "\"xapi_build\": \"25.6.0\", \"xen\": \"4.17.5-13\", \"linux\": \"4.19.0+1\","
    "\"build_number\": \"cloud\", \"date\": \"20250606T00:00:00Z\", \"hostname\": \"localhost\","
    "\"dbv\": \"0.0.1\", \"db_schema\": \"5.786\", \"network_backend\": \"openvswitch\","
    "\"xencenter_min\": \"2.21\", \"xencenter_max\": \"2.21\"},"
    "\"supported_bootloaders\": [\"pygrub\", \"eliloader\"], \"edition\": \"xcp-ng\","
    "\"editions\": [\"xcp-ng\"], \"capabilities\": [\"xen-3.0-x86_64\", \"hvm-3.0-x86_32\","
    "\"hvm-3.0-x86_32p\", \"hvm-3.0-x86_64\", \"\"], \"cpu_info\": {\"cpu_count\": \"16\","
    "\"socket_count\": \"1\", \"threads_per_core\": \"2\", \"nr_nodes\": \"1\","
    "\"vendor\": \"AuthenticAMD\", \"speed\": \"2900.000\","
    "\"modelname\": \"AMD EPYC 7313P 16-Core Processor\", \"family\": \"25\", \"model\": \"1\","
    "\"stepping\": \"1\", \"flags\": \"fpu de tsc msr pae\", \"features\": \"\","
    "\"features_pv\": \"\", \"features_hvm\": \"\", \"features_hvm_host\": \"\","
    "\"features_pv_host\": \"\"}, \"chipset_info\": {\"iommu\": \"true\"},"
    "\"license_server\": {\"address\": \"localhost\", \"port\": \"27000\"},"
    "\"license_params\": {\"restrict_zstd_export\": \"false\", \"restrict_vtpm\": \"false\","
    "\"restrict_cbt\": \"false\", \"restrict_rbac\": \"false\", \"restrict_dr\": \"false\","
    "\"restrict_migrate_vdi\": \"false\", \"restrict_storage_migration\": \"false\","
    "\"sku_type\": \"free\", \"sku_marketing_name\": \"\", \"expiry\": \"20300101T00:00:00Z\"},"
    "\"bios_strings\": {\"bios-vendor\": \"Simulated\", \"system-manufacturer\": \"Cadenza\","
    "\"system-product-name\": \"Pool in a box\", \"system-serial-number\": \"1\"},"
    "\"virtual_hardware_platform_versions\": [0, 1, 2], \"display\": \"enabled\","
    "\"tls_verification_enabled\": true, \"allowed_operations\": [\"vm_migrate\", \"provision\","
    "\"vm_resume\", \"evacuate\", \"vm_start\", \"reboot\", \"shutdown\"]}";

enum { N_CPUS = 4 };
static const gint64 GiB = (gint64) 1 << 30;

static void cpus_add(Sim *sim, Obj *host)
{
    for (int i = 0; i < N_CPUS; i++) {
        Obj *cpu = obj_new(sim, "host_cpu");
        population_fill(cpu, "{\"vendor\": \"AuthenticAMD\", \"speed\": 2900,"
                             "\"modelname\": \"AMD EPYC 7313P 16-Core Processor\","
                             "\"stepping\": \"1\", \"flags\": \"fpu de tsc msr pae\","
                             "\"family\": 25, \"model\": 1, \"utilisation\": 0.03}");
        obj_put_int(cpu, "number", i);
        obj_put_ref(cpu, "host", host);
    }
}

/* Enough memory for the VMs that shall run, and some to spare. */
static gint64 host_memory(Sim *sim)
{
    const SimOptions *options = sim_options(sim);
    return MAX(64, (options->n_running / options->n_hosts + 8) * 2) * GiB;
}

static void dom0_add(Sim *sim, Obj *host)
{
    g_autofree char *name =
        g_strdup_printf("Control domain on host: %s", obj_str(host, "name_label"));
    Obj *vm = population_vm(sim, name);
    population_fill(vm, "{\"power_state\": \"Running\", \"is_control_domain\": true, \"domid\": 0,"
                        "\"domain_type\": \"pv\", \"memory_static_max\": 4294967296,"
                        "\"memory_dynamic_max\": 4294967296, \"memory_dynamic_min\": 4294967296,"
                        "\"memory_static_min\": 1073741824, \"memory_target\": 4294967296,"
                        "\"VCPUs_max\": 4, \"VCPUs_at_startup\": 4, \"domarch\": \"x86_64\","
                        "\"platform\": {\"cores-per-socket\": \"1\"},"
                        "\"other_config\": {\"is_system_domain\": \"true\"}}");
    obj_put_ref(vm, "resident_on", host);
    obj_put_ref(vm, "affinity", host);
    obj_put_ref(host, "control_domain", vm);
    Obj *metrics = obj_follow(vm, "metrics");
    obj_put_int(metrics, "memory_actual", 4 * GiB);
    obj_put_int(metrics, "VCPUs_number", 4);
}

/* SHA-256 of the first certificate of a PEM file, as XAPI writes it: "AA:BB:…". */
static char *fingerprint_of(const char *file)
{
    g_autofree char *pem = NULL;
    if (file == NULL || !g_file_get_contents(file, &pem, NULL, NULL))
        return NULL;
    const char *begin = strstr(pem, "-----BEGIN CERTIFICATE-----");
    const char *end = begin == NULL ? NULL : strstr(begin, "-----END");
    if (end == NULL)
        return NULL;
    begin += strlen("-----BEGIN CERTIFICATE-----");
    g_autofree char *base64 = g_strndup(begin, (gsize) (end - begin));
    gsize n;
    g_autofree guchar *der = g_base64_decode(base64, &n);
    g_autofree char *hex = g_compute_checksum_for_data(G_CHECKSUM_SHA256, der, n);
    GString *text = g_string_new(NULL);
    for (guint i = 0; hex[i] != '\0'; i += 2)
        g_string_append_printf(text, "%s%c%c", i == 0 ? "" : ":", g_ascii_toupper(hex[i]),
                               g_ascii_toupper(hex[i + 1]));
    return g_string_free(text, FALSE);
}

static void certificate_add(Sim *sim, Obj *host)
{
    g_autofree char *fingerprint = fingerprint_of(sim_options(sim)->cert_file);
    if (fingerprint == NULL)
        return;
    Obj *certificate = obj_new(sim, "Certificate");
    obj_put_ref(certificate, "host", host);
    obj_put_str(certificate, "fingerprint", fingerprint);
    obj_put_str(certificate, "fingerprint_sha256", fingerprint);
    obj_put_int(certificate, "not_before", sim_now(sim) - 86400);
    obj_put_int(certificate, "not_after", sim_now(sim) + (gint64) 10 * 365 * 86400);
}

Obj *population_host(Sim *sim, const char *uuid, const char *name, const char *address)
{
    Obj *host = uuid == NULL ? obj_new(sim, "host") : obj_new_uuid(sim, "host", uuid);
    Obj *metrics = obj_new(sim, "host_metrics");
    g_autofree char *booted = g_strdup_printf("%" G_GINT64_FORMAT ".", sim_now(sim) - 86400);
    g_autofree char *agent = g_strdup_printf("%" G_GINT64_FORMAT ".", sim_now(sim) - 86300);
    population_fill(host, host_facts);
    obj_put_str(host, "name_label", name);
    obj_put_str(host, "name_description", "Simulated host");
    obj_put_str(host, "hostname", name);
    obj_put_str(host, "address", address);
    obj_map_put(host, "other_config", "boot_time", booted);
    obj_map_put(host, "other_config", "agent_start_time", agent);
    obj_put_ref(host, "metrics", metrics);
    obj_put_bool(metrics, "live", true);
    obj_put_int(metrics, "memory_total", host_memory(sim));
    obj_put_int(metrics, "memory_free", host_memory(sim) - 5 * GiB);
    obj_put_int(metrics, "last_updated", sim_now(sim));
    cpus_add(sim, host);
    certificate_add(sim, host);
    dom0_add(sim, host);
    return host;
}

static Obj *host_add(Sim *sim, guint number)
{
    g_autofree char *name = g_strdup_printf("host-%u", number + 1);
    g_autofree char *iqn = g_strdup_printf("iqn.2026-01.sim.cadenza:host%u", number + 1);
    Obj *host = population_host(sim, NULL, name, listeners_address(sim_listeners(sim), number));
    obj_put_str(host, "iscsi_iqn", iqn);
    obj_map_put(host, "other_config", "iscsi_iqn", iqn);
    return host;
}

static void pool_add(Sim *sim)
{
    Obj *pool = obj_new(sim, "pool");
    population_fill(pool, "{\"other_config\": {\"memory-ratio-hvm\": \"0.25\","
                          "\"memory-ratio-pv\": \"0.25\"}, \"restrictions\":"
                          "{\"restrict_vtpm\": \"false\", \"restrict_zstd_export\": \"false\","
                          "\"restrict_cbt\": \"false\", \"restrict_rbac\": \"false\"},"
                          "\"ha_cluster_stack\": \"xhad\", \"tls_verification_enabled\": true,"
                          "\"cpu_info\": {\"vendor\": \"AuthenticAMD\", \"features_hvm\": \"\"},"
                          "\"allowed_operations\": [\"cluster_create\", \"ha_enable\"]}");
    obj_put_str(pool, "name_label", sim_options(sim)->name);
    for (guint i = 0; i < sim_options(sim)->n_hosts; i++) {
        Obj *host = host_add(sim, i);
        if (i == 0)
            obj_put_ref(pool, "master", host);
    }
    g_autofree char *cpus = g_strdup_printf("%u", 16 * sim_options(sim)->n_hosts);
    g_autofree char *sockets = g_strdup_printf("%u", sim_options(sim)->n_hosts);
    obj_map_put(pool, "cpu_info", "cpu_count", cpus);
    obj_map_put(pool, "cpu_info", "socket_count", sockets);
}

/* --- Networks --- */

static Obj *network_add(Sim *sim, const char *name, const char *bridge, const char *json)
{
    Obj *network = obj_new(sim, "network");
    obj_put_str(network, "name_label", name);
    obj_put_str(network, "bridge", bridge);
    population_fill(network, json);
    return network;
}

Obj *population_pif(Obj *host, Obj *network, const char *device, bool management)
{
    Sim *sim = obj_sim(host);
    Obj *pif = obj_new(sim, "PIF"), *metrics = obj_new(sim, "PIF_metrics");
    const char *uuid = obj_uuid(pif);
    g_autofree char *mac =
        g_strdup_printf("02:5c:%.2s:%.2s:%.2s:%.2s", uuid, uuid + 2, uuid + 4, uuid + 6);
    population_fill(pif, "{\"physical\": true, \"currently_attached\": true, \"VLAN\": -1,"
                         "\"MTU\": 1500, \"managed\": true, \"primary_address_type\": \"IPv4\","
                         "\"IPv6\": [\"\"], \"properties\": {\"gro\": \"on\"}}");
    obj_put_str(pif, "device", device);
    obj_put_str(pif, "MAC", mac);
    obj_put_ref(pif, "host", host);
    obj_put_ref(pif, "network", network);
    obj_put_ref(pif, "metrics", metrics);
    obj_put_bool(pif, "management", management);
    if (management) {
        obj_put_str(pif, "ip_configuration_mode", "Static");
        obj_put_str(pif, "IP", obj_str(host, "address"));
        obj_put_str(pif, "netmask", "255.0.0.0");
    }
    population_fill(metrics, "{\"carrier\": true, \"speed\": 10000, \"duplex\": true,"
                             "\"vendor_name\": \"Simulated\", \"device_name\": \"Ethernet\","
                             "\"pci_bus_path\": \"0000:04:00.0\"}");
    return pif;
}

static void networks_add(Sim *sim)
{
    static const char automatic[] = "{\"other_config\": {\"automatic\": \"true\"}}";
    Obj *management =
        network_add(sim, "Pool-wide network associated with eth0", "xenbr0", automatic);
    Obj *guests = network_add(sim, "Pool-wide network associated with eth1", "xenbr1", automatic);
    network_add(sim, "Host internal management network", "xenapi",
                "{\"other_config\": {\"is_guest_installer_network\": \"true\","
                "\"is_host_internal_management_network\": \"true\"}}");
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host)) {
        population_pif(host, management, "eth0", true);
        population_pif(host, guests, "eth1", false);
    }
    if (sim_options(sim)->nbd_purpose != NULL)
        obj_set_add(management, "purpose", sim_options(sim)->nbd_purpose);
}

/* --- Storage --- */

static const struct {
    const char *type, *name, *features;
} drivers[] = {
    { "ext", "Local EXT3 VHD", "VDI_SNAPSHOT VDI_CLONE VDI_RESIZE VDI_CONFIG_CBT VDI_CREATE" },
    { "nfs", "NFS VHD", "VDI_SNAPSHOT VDI_CLONE VDI_RESIZE VDI_CONFIG_CBT VDI_CREATE SR_PROBE" },
    { "lvm", "Local VHD on LVM", "VDI_SNAPSHOT VDI_CLONE VDI_RESIZE VDI_CONFIG_CBT VDI_CREATE" },
    { "lvmoiscsi", "LVHD over iSCSI", "VDI_SNAPSHOT VDI_CLONE VDI_RESIZE VDI_CONFIG_CBT SR_PROBE" },
    { "smb", "SMB", "VDI_SNAPSHOT VDI_CLONE VDI_RESIZE VDI_CREATE SR_PROBE" },
    { "iso", "ISO", "VDI_ATTACH VDI_DETACH SR_SCAN" },
    { "udev", "udev", "VDI_INTRODUCE" },
};

static void drivers_add(Sim *sim)
{
    for (guint i = 0; i < G_N_ELEMENTS(drivers); i++) {
        Obj *driver = obj_new(sim, "SM");
        obj_put_str(driver, "name_label", drivers[i].name);
        obj_put_str(driver, "type", drivers[i].type);
        obj_put_str(driver, "vendor", "Citrix Systems Inc");
        obj_put_str(driver, "required_api_version", "1.0");
        g_auto(GStrv) features = g_strsplit(drivers[i].features, " ", -1);
        for (char **at = features; *at != NULL; at++) {
            obj_map_put(driver, "features", *at, "1");
            obj_set_add(driver, "capabilities", *at);
        }
        g_autofree char *upper = g_ascii_strup(drivers[i].type, -1);
        g_autofree char *file = g_strdup_printf("/opt/xensource/sm/%sSR", upper);
        obj_put_str(driver, "driver_filename", file);
    }
}

static void pbd_add(Sim *sim, Obj *sr, Obj *host, const char *key, const char *value)
{
    Obj *pbd = obj_new(sim, "PBD");
    obj_put_ref(pbd, "host", host);
    obj_put_ref(pbd, "SR", sr);
    obj_map_put(pbd, "device_config", key, value);
    if (strcmp(obj_str(sr, "type"), "nfs") == 0)
        obj_map_put(pbd, "device_config", "serverpath", "/exports/shared");
    obj_put_bool(pbd, "currently_attached", true);
    json_t *config = obj_field_json(pbd, "device_config");
    arrays_put(sim, sr, config);
    json_decref(config);
}

/* `only` NULL: shared by all hosts. */
static Obj *sr_add(Sim *sim, const char *name, const char *type, Obj *only, const char *key,
                   const char *value)
{
    bool iso = strcmp(type, "iso") == 0;
    Obj *sr = obj_new(sim, "SR");
    obj_put_str(sr, "name_label", name);
    obj_put_str(sr, "type", type);
    obj_put_str(sr, "content_type", iso ? "iso" : "user");
    obj_put_bool(sr, "shared", only == NULL);
    obj_put_int(sr, "physical_size", iso ? GiB : sim_options(sim)->sr_bytes);
    obj_map_put(sr, "other_config", "auto-scan", iso ? "true" : "false");
    population_fill(sr, iso ? "{\"allowed_operations\": [\"scan\", \"unplug\", \"update\","
                              "\"forget\", \"plug\", \"pbd_create\", \"pbd_destroy\"]}"
                            : "{\"allowed_operations\": [\"vdi_enable_cbt\", \"vdi_disable_cbt\","
                              "\"vdi_data_destroy\", \"vdi_list_changed_blocks\", \"unplug\","
                              "\"plug\", \"pbd_create\", \"update\", \"pbd_destroy\","
                              "\"vdi_resize\", \"vdi_clone\", \"scan\", \"vdi_snapshot\","
                              "\"vdi_create\", \"vdi_destroy\", \"destroy\", \"forget\"]}");
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host))
        if (only == NULL || host == only)
            pbd_add(sim, sr, host, key, value);
    return sr;
}

static void iso_add(Sim *sim, Obj *sr, const char *name, gint64 bytes, bool tools)
{
    Obj *iso = obj_new(sim, "VDI");
    population_fill(iso, "{\"type\": \"user\", \"sharable\": true, \"read_only\": true,"
                         "\"managed\": true}");
    obj_put_str(iso, "name_label", name);
    obj_put_str(iso, "location", name);
    obj_put_int(iso, "virtual_size", bytes);
    obj_put_int(iso, "physical_utilisation", bytes);
    obj_put_bool(iso, "is_tools_iso", tools);
    obj_put_ref(iso, "SR", sr);
    obj_put_int(sr, "virtual_allocation", obj_int(sr, "virtual_allocation") + bytes);
    obj_put_int(sr, "physical_utilisation", obj_int(sr, "physical_utilisation") + bytes);
}

static void storage_add(Sim *sim)
{
    Obj *pool = sim_pool(sim);
    Obj *shared = sr_add(sim, "Shared storage", "nfs", NULL, "server", "127.0.0.1");
    obj_put_ref(pool, "default_SR", shared);
    obj_put_ref(pool, "suspend_image_SR", shared);
    obj_put_ref(pool, "crash_dump_SR", shared);
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host)) {
        Obj *local = sr_add(sim, "Local storage", "ext", host, "device", "/dev/sda3");
        obj_put_ref(host, "suspend_image_sr", local);
        obj_put_ref(host, "crash_dump_sr", local);
    }
    Obj *isos = sr_add(sim, "ISO library", "iso", NULL, "location", "127.0.0.1:/isos");
    iso_add(sim, isos, "debian-12.iso", 661651456, false);
    Obj *tools =
        sr_add(sim, "XCP-ng Tools", "iso", NULL, "location", "/opt/xensource/packages/iso");
    obj_put_bool(tools, "is_tools_sr", true);
    obj_map_put(tools, "other_config", "xenserver_tools_sr", "true");
    iso_add(sim, tools, "guest-tools.iso", 10485760, true);
}

static void roles_add(Sim *sim)
{
    static const char *const roles[] = { "pool-admin", "pool-operator", "vm-power-admin",
                                         "vm-admin",   "vm-operator",   "read-only" };
    for (guint i = 0; i < G_N_ELEMENTS(roles); i++)
        obj_put_str(obj_new(sim, "role"), "name_label", roles[i]);
}

bool pool_populate(Sim *sim, GError **error)
{
    pool_add(sim);
    networks_add(sim);
    drivers_add(sim);
    storage_add(sim);
    roles_add(sim);
    population_templates(sim);
    population_vms(sim);
    for (Obj *host = obj_first(sim, "host"); host != NULL; host = obj_next(host))
        hardware_add(host);
    return true;
}
