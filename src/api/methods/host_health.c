/* host.*: what the scripts of a host say of its disks and its processors. A host that lacks a
 * script says nothing, which is no failure. */
#include "api/method.h"
#include "api/objects.h"

#include <string.h>

static bool is_without(const GError *failure)
{
    const char *const codes[] = { "XENAPI_MISSING_PLUGIN", "UNKNOWN_XENAPI_PLUGIN_FUNCTION",
                                  "HOST_OFFLINE", NULL };
    return g_strv_contains(codes, err_xapi_code(failure));
}

/* The answer of a script as JSON; JSON null when the host has no such script. */
static json_t *ask(const ApiObject *host, const char *plugin, const char *function, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autofree char *text =
        xapi_call_string(api_object_xapi(host), "host.call_plugin",
                         json_pack("[s, s, s, {}]", host->ref, plugin, function), &failure);
    json_t *answer = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (answer)
        return answer;
    if (failure && is_without(failure))
        return json_null();
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    else
        err_set(error, ERR_PROTOCOL, "host %s: %s answered what is no JSON",
                api_object_text(host, "name_label"), plugin);
    return NULL;
}

static json_t *mdadm(ApiCall *call, GError **error)
{
    return ask(call_object(call, "id"), "raid.py", "check_raid_pool", error);
}

/* Only what deviceNames lists. */
static json_t *picked(ApiCall *call, json_t *all)
{
    json_t *names = call_get(call, "deviceNames"), *name;
    if (!names || !json_is_object(all))
        return all;
    json_t *some = json_object();
    size_t i;
    json_array_foreach (names, i, name)
        if (json_object_get(all, json_string_value(name)))
            json_object_set(some, json_string_value(name),
                            json_object_get(all, json_string_value(name)));
    json_decref(all);
    return some;
}

static json_t *smart_health(ApiCall *call, GError **error)
{
    return picked(call, ask(call_object(call, "id"), "smartctl.py", "health", error));
}

static json_t *smart_information(ApiCall *call, GError **error)
{
    return picked(call, ask(call_object(call, "id"), "smartctl.py", "information", error));
}

static json_t *block_devices(ApiCall *call, GError **error)
{
    json_t *answer = ask(call_object(call, "id"), "lsblk.py", "list_block_devices", error);
    json_t *list = json_object_get(answer, "blockdevices");
    if (!list)
        return answer;
    json_incref(list);
    json_decref(answer);
    return list;
}

static json_t *hyper_threading(ApiCall *call, GError **error)
{
    return ask(call_object(call, "id"), "hyperthreading.py", "get_hyperthreading", error);
}

static json_t *bios_info(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    json_t *strings = json_object_get(host->view, "bios_strings");
    json_t *version = json_object_get(strings, "bios-version");
    return version ? json_pack("{s:O}", "currentBiosVersion", version) : json_object();
}

enum { MAX_SKEW_S = 30 };

static json_t *is_time_right(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    g_autofree char *text = xapi_call_string(api_object_xapi(host), "host.get_servertime",
                                             json_pack("[s]", host->ref), error);
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC;
    return text ? json_boolean(ABS(xapi_parse_date(text) - now_s) < MAX_SKEW_S) : NULL;
}

#define HOST  REQ(ID("id", "host", "view"))
#define NAMES OPT(ARR("deviceNames", P_STRING), .words = "only these: \"/dev/sda:scsi\"")

const Method methods_host_health[] = {
    { "host.getMdadmHealth", mdadm, PARAMS(HOST), .access = ACCESS_USER, .example = "id=$HOST",
      .summary = "How the software RAID of a host is." },
    { "host.getSmartctlHealth", smart_health, PARAMS(HOST, NAMES), .access = ACCESS_USER,
      .example = "id=$HOST", .summary = "Whether the disks of a host are well." },
    { "host.getSmartctlInformation", smart_information, PARAMS(HOST, NAMES), .access = ACCESS_USER,
      .example = "id=$HOST", .summary = "What the disks of a host say of themselves." },
    { "host.getBlockdevices", block_devices, PARAMS(REQ(ID("id", "host", "administrate"))),
      .access = ACCESS_USER, .example = "id=$HOST",
      .summary = "The disks of a host and their parts." },
    { "host.isHyperThreadingEnabled", hyper_threading, PARAMS(HOST), .access = ACCESS_USER,
      .example = "id=$HOST", .summary = "Whether each core of a host is two processors." },
    { "host.getBiosInfo", bios_info, PARAMS(HOST), .access = ACCESS_USER, .example = "id=$HOST",
      .summary = "The version of a host's firmware." },
    { "host.isHostServerTimeConsistent", is_time_right, PARAMS(REQ(ID("host", "host", "view"))),
      .access = ACCESS_USER, .example = "host=$HOST",
      .summary = "Whether the clock of a host agrees with this server's." },
    { NULL },
};
