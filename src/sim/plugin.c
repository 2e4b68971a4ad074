/* The scripts in a host's dom0 that clients call by name (host.call_plugin). What they answer is
 * text, mostly JSON. A host's other_config steers them: docs/simulator.md. */
#include "sim/inner.h"

#include <string.h>

typedef struct {
    const char *plugin, *function;
    /* NULL with an error. */
    json_t *(*run)(Obj *host, json_t *args, GError **error);
    const char *answer; /* instead: always this */
} Plugin;

static const char *arg(json_t *args, const char *name)
{
    const char *text = json_string_value(json_object_get(args, name));
    return text == NULL ? "" : text;
}

/* What a plug-in raises reaches the client in this form. */
static json_t *fail(GError **error, const char *text)
{
    sim_error(error, "XENAPI_PLUGIN_FAILURE", "non-zero exit", "", text, NULL);
    return NULL;
}

/* --- updater.py --- */

/* The packages that wait, JSON: other_config of the host, "sim:updates". */
static json_t *waiting(const Obj *host)
{
    const char *text = obj_map_get(host, "other_config", "sim:updates");
    json_t *list = text == NULL ? NULL : json_loads(text, 0, NULL);
    return list == NULL ? json_array() : list;
}

static json_t *check_update(Obj *host, json_t *args, GError **error)
{
    if (obj_map_get(host, "other_config", "sim:updates-fail") != NULL)
        return fail(error, obj_map_get(host, "other_config", "sim:updates-fail"));
    json_t *list = waiting(host);
    g_autofree char *text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return json_string(text);
}

static bool wanted(json_t *package, const char *names)
{
    g_auto(GStrv) list = g_strsplit(names, " ", -1);
    const char *name = json_string_value(json_object_get(package, "name"));
    return *names == '\0' || (name != NULL && g_strv_contains((const char *const *) list, name));
}

/* All, or those that "packages" names. */
static json_t *update(Obj *host, json_t *args, GError **error)
{
    if (obj_map_get(host, "other_config", "sim:updates-fail") != NULL)
        return fail(error, obj_map_get(host, "other_config", "sim:updates-fail"));
    json_t *list = waiting(host);
    for (size_t i = json_array_size(list); i-- > 0;)
        if (wanted(json_array_get(list, i), arg(args, "packages")))
            json_array_remove(list, i);
    g_autofree char *left = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    obj_map_put(host, "other_config", "sim:updates", left);
    return json_string("{\"exit\": 0, \"stdout\": \"Complete!\", \"stderr\": \"\"}");
}

/* --- Storage --- */

/* What is asked for leaves nothing else to be seen: other_config says when it was. */
static void note_time(Obj *obj, const char *key)
{
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time());
    obj_map_put(obj, "other_config", key, now);
}

static json_t *do_trim(Obj *host, json_t *args, GError **error)
{
    Obj *sr = obj_find_uuid(obj_sim(host), "SR", arg(args, "sr_uuid"));
    if (sr == NULL)
        return fail(error, "no such SR");
    if (g_str_has_prefix(obj_str(sr, "type"), "lvm")) {
        note_time(sr, "sim:trimmed");
        return json_string("True");
    }
    return json_string("<?xml version=\"1.0\" ?><trim_response><key_value_pair><key>errcode</key>"
                       "<value>UnsupportedSRForTrim</value></key_value_pair><key_value_pair>"
                       "<key>errmsg</key><value>Trim on this SR type is not supported</value>"
                       "</key_value_pair></trim_response>");
}

/* --- IPMI: other_config of the host, "sim:ipmi", a list of {name, value, event} --- */

static json_t *ipmi_available(Obj *host, json_t *args, GError **error)
{
    return json_string(obj_map_get(host, "other_config", "sim:ipmi") == NULL ? "false" : "true");
}

static json_t *ipmi_sensors(Obj *host, json_t *args, GError **error)
{
    const char *text = obj_map_get(host, "other_config", "sim:ipmi");
    return json_string(text == NULL ? "[]" : text);
}

static const char ipmi_lan[] =
    "[{\"name\": \"IP Address\", \"value\": \"10.99.0.7\", \"event\": \"ok\"}]";

/* --- Supplemental packs --- */

/* Known by its content: another line of the host's software_version. other_config of the host,
 * "sim:supp-pack-fails": a text. */
static json_t *install_pack(Obj *host, json_t *args, GError **error)
{
    Sim *sim = obj_sim(host);
    const char *fails = obj_map_get(host, "other_config", "sim:supp-pack-fails");
    const Obj *vdi = obj_find_uuid(sim, "VDI", arg(args, "vdi"));
    g_autofree char *ref = g_strdup(obj_ref(host));
    if (fails != NULL || vdi == NULL)
        return fail(error, fails != NULL ? fails : "CANNOT_FIND_UPDATE");
    g_autofree char *vdi_ref = g_strdup(obj_ref(vdi));
    g_autofree char *sum = storage_vdi_digest(sim, vdi_ref, error);
    host = obj_find(sim, "host", ref);
    if (sum == NULL || host == NULL)
        return NULL;
    g_autofree char *name = g_strdup_printf("xs:pack-%.8s", sum);
    if (obj_map_get(host, "software_version", name) != NULL)
        return fail(error, "UPDATE_ALREADY_APPLIED");
    obj_map_put(host, "software_version", name, "a supplemental pack, version 1.0");
    return json_string("OK");
}

static const char block_devices[] =
    "{\"blockdevices\": [{\"name\": \"sda\", \"kname\": \"sda\", \"pkname\": \"\", \"size\": "
    "\"480103981056\", \"mountpoint\": \"\", \"fstype\": \"\", \"ro\": \"0\", \"type\": \"disk\", "
    "\"children\": [{\"name\": \"sda3\", \"kname\": \"sda3\", \"pkname\": \"sda\", \"size\": "
    "\"400000000000\", \"mountpoint\": \"\", \"fstype\": \"ext4\", \"ro\": \"0\", \"type\": "
    "\"part\"}]}, {\"name\": \"sdb\", \"kname\": \"sdb\", \"pkname\": \"\", \"size\": "
    "\"1000204886016\", \"mountpoint\": \"\", \"fstype\": \"\", \"ro\": \"0\", \"type\": "
    "\"disk\"}]}";

static const char smart_health[] = "{\"/dev/sda:scsi\": \"PASSED\", \"/dev/sdb:scsi\": \"PASSED\"}";
static const char smart_information[] =
    "{\"/dev/sda:scsi\": {\"smart_status\": {\"passed\": true}, \"power_on_time\": {\"hours\": "
    "1000}, \"temperature\": {\"current\": 31}}, \"/dev/sdb:scsi\": {\"smart_status\": "
    "{\"passed\": true}, \"power_on_time\": {\"hours\": 1000}, \"temperature\": {\"current\": "
    "32}}}";
static const char raid_pool[] =
    "{\"raid\": {\"State\": \"clean\", \"RAID Level\": \"raid1\"}, \"volumes\": "
    "[[\"0\", \"8\", \"0\", \"active sync\", \"/dev/sda\"], [\"1\", \"8\", \"16\", \"active "
    "sync\", \"/dev/sdb\"]]}";
static const char zfs_pools[] = "{\"tank\": {\"mountpoint\": \"/tank\"}}";

static const Plugin plugins[] = {
    { "coalesce-leaf", "leaf-coalesce", NULL, "Success" },
    { "echo", "main", NULL, "hello" },
    { "hyperthreading.py", "get_hyperthreading", NULL, "true" },
    { "install-supp-pack", "install", install_pack, NULL },
    { "ipmitool.py", "get_all_sensors", ipmi_sensors, NULL },
    { "ipmitool.py", "get_ipmi_lan", NULL, ipmi_lan },
    { "ipmitool.py", "is_ipmi_device_available", ipmi_available, NULL },
    { "lsblk.py", "list_block_devices", NULL, block_devices },
    { "raid.py", "check_raid_pool", NULL, raid_pool },
    { "service.py", "restart_service", NULL, "" },
    { "service.py", "start_service", NULL, "" },
    { "service.py", "stop_service", NULL, "" },
    { "smartctl.py", "health", NULL, smart_health },
    { "smartctl.py", "information", NULL, smart_information },
    { "trim", "do_trim", do_trim, NULL },
    { "updater.py", "check_update", check_update, NULL },
    { "updater.py", "query_installed", NULL, "{}" },
    { "updater.py", "update", update, NULL },
    { "xscontainer", "get_config_drive_default", NULL,
      "True#cloud-config\nhostname: %VMNAMETOHOSTNAME%\n" },
    { "zfs.py", "list_zfs_pools", NULL, zfs_pools },
};

/* A host may lack some: other_config "sim:no-plugin", names with spaces between. */
static bool has(const Obj *host, const char *plugin)
{
    const char *missing = obj_map_get(host, "other_config", "sim:no-plugin");
    g_auto(GStrv) list = g_strsplit(missing == NULL ? "" : missing, " ", -1);
    for (guint i = 0; i < G_N_ELEMENTS(plugins); i++)
        if (strcmp(plugins[i].plugin, plugin) == 0)
            return !g_strv_contains((const char *const *) list, plugin);
    return false;
}

static json_t *host_call_plugin(Call *call, GError **error)
{
    Obj *host = call_obj(call, 0, "host", error);
    const char *plugin = call_str(call, 1), *function = call_str(call, 2);
    if (host == NULL)
        return NULL;
    if (!obj_bool(obj_follow(host, "metrics"), "live")) {
        sim_error(error, "HOST_OFFLINE", obj_ref(host), NULL);
        return NULL;
    }
    if (!has(host, plugin)) {
        sim_error(error, "XENAPI_MISSING_PLUGIN", plugin, NULL);
        return NULL;
    }
    for (guint i = 0; i < G_N_ELEMENTS(plugins); i++)
        if (strcmp(plugins[i].plugin, plugin) == 0 && strcmp(plugins[i].function, function) == 0)
            return plugins[i].answer != NULL ? json_string(plugins[i].answer)
                                             : plugins[i].run(host, call_param(call, 3), error);
    sim_error(error, "UNKNOWN_XENAPI_PLUGIN_FUNCTION", function, NULL);
    return NULL;
}

const Method plugin_methods[] = {
    { "host.call_plugin", host_call_plugin },
    { NULL, NULL },
};
