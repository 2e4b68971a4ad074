/* host.*: the host's own system: its memory, its key, what its sensors say. */
#include "api/method.h"
#include "api/methods/host_power.h"
#include "api/objects.h"
#include "base/openssl.h"

#include <string.h>

/* --- host.setControlDomainMemory --- */

static bool is_out_of_service(const ApiObject *host, GError **error)
{
    if (!json_is_true(json_object_get(host->view, "enabled")))
        return true;
    api_error_set(error, API_INCORRECT_STATE,
                  json_pack("{s:b, s:b, s:s, s:s}", "actual", 1, "expected", 0, "object", host->id,
                            "property", "enabled"),
                  "host %s is in service, and this restarts it: disable it first",
                  api_object_text(host, "name_label"));
    return false;
}

static bool set_limits(ApiCall *call, const ApiObject *host, GError **error)
{
    const ApiObject *dom0 =
        call_find(call, api_object_text(host, "controlDomain"), "VM-controller", NULL, error);
    json_t *record = dom0 ? api_object_record(dom0) : NULL;
    json_int_t memory = call_integer(call, "memory");
    const char *text = json_string_value(json_object_get(record, "memory_static_min"));
    json_t *number = json_object_get(record, "memory_static_min");
    json_int_t least = text ? g_ascii_strtoll(text, NULL, 10) : json_integer_value(number);
    json_decref(record);
    return dom0 &&
           api_object_do(dom0, "VM.set_memory_limits",
                         json_pack("[I, I, I, I]", MIN(least, memory), memory, memory, memory),
                         error);
}

static json_t *set_memory(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (call_integer(call, "memory") <= 0)
        api_error_invalid(error, "memory: expected a number of bytes above 0");
    else if (is_out_of_service(host, error) && set_limits(call, host, error))
        host_restart(host, false, error);
    return NULL;
}

/* --- host.isPubKeyTooShort --- */

enum { MIN_RSA_BITS = 2048 };

static json_t *is_key_short(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    g_autofree char *pem = xapi_call_string(api_object_xapi(host), "host.get_server_certificate",
                                            json_pack("[s]", host->ref), error);
    if (!pem)
        return NULL;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);
    EVP_PKEY *key = certificate ? X509_get0_pubkey(certificate) : NULL;
    json_t *answer = key ? json_boolean(EVP_PKEY_base_id(key) == EVP_PKEY_RSA &&
                                        EVP_PKEY_bits(key) < MIN_RSA_BITS)
                         : NULL;
    if (!key)
        err_set(error, ERR_PROTOCOL, "host %s has no certificate that can be read",
                api_object_text(host, "name_label"));
    X509_free(certificate);
    BIO_free(bio);
    ERR_clear_error();
    return answer;
}

/* --- host.getIpmiSensors --- */

/* What sensors are called by the makers whose hosts XO knows; kinds are XO's. */
static const struct {
    const char *maker, *kind, *names;
} sensors[] = {
    { "mona_1.44gg", "totalPower", "total_power" },
    { "mona_1.44gg", "outletTemp", "outlet_temp" },
    { "mona_1.44gg", "bmcStatus", "bmc_status" },
    { "mona_1.44gg", "inletTemp", "psu_inlet_temp" },
    { "mona_1.44gg", "cpuTemp", "cpu\\d+_temp" },
    { "mona_1.44gg", "fanStatus", "fan\\d+_status" },
    { "mona_1.44gg", "fanSpeed", "fan\\d+_r_speed" },
    { "mona_1.44gg", "psuStatus", "psu\\d+_status" },
    { "mona_1.44gg", "psuPower", "psu\\d+_pin" },
    { "mona_1.44gg", "ip", "ip address" },
    { "dell", "fanSpeed", "fan\\d+[ab]" },
    { "dell", "psuPower", "voltage \\d+" },
    { "dell", "psuStatus", "ps\\d+ pg fail" },
    { "dell", "cpuTemp", "temp" },
    { "dell", "totalPower", "pwr consumption" },
    { "dell", "inletTemp", "inlet temp" },
    { "dell", "outletTemp", "exhaust temp" },
    { "dell", "ip", "ip address" },
    { "lenovo", "fanSpeed", "fan\\s*\\d+( front| rear)? tach" },
    { "lenovo", "outletTemp", "exhaust temp" },
    { "lenovo", "psuPower", "psu\\s*\\d+ (ac in|dc out) pwr" },
    { "lenovo", "psuStatus", "power supply\\s*\\d+|psu\\s*\\d+( failure)?" },
    { "lenovo", "cpuTemp", "cpu\\s*\\d+\\s*temp" },
    { "lenovo", "totalPower", "sys power|system power|power consumption" },
    { "lenovo", "inletTemp", "ambient temp|inlet temp" },
    { "lenovo", "ip", "ip address" },
};

/* All hosts of Dell's, and of Lenovo's, name their sensors alike. */
static const char *maker_of(const ApiObject *host)
{
    json_t *bios = json_object_get(host->view, "bios_strings");
    const char *maker = json_string_value(json_object_get(bios, "system-manufacturer"));
    const char *product = json_string_value(json_object_get(bios, "system-product-name"));
    g_autofree char *low = g_ascii_strdown(maker ? maker : "", -1);
    const char *name = strstr(low, "dell") ? "dell" : strstr(low, "lenovo") ? "lenovo" : product;
    for (guint i = 0; name && i < G_N_ELEMENTS(sensors); i++)
        if (g_ascii_strcasecmp(sensors[i].maker, name) == 0)
            return sensors[i].maker;
    return NULL;
}

static const char *kind_of(const char *maker, const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(sensors); i++) {
        g_autofree char *whole = g_strdup_printf("^(%s)$", sensors[i].names);
        if (strcmp(sensors[i].maker, maker) == 0 &&
            g_regex_match_simple(whole, name, G_REGEX_CASELESS, 0))
            return sensors[i].kind;
    }
    return NULL;
}

/* One of a kind stands alone, numbered ones and those of one name are a list. */
static void put_sensor(json_t *all, const char *kind, const char *name, json_t *sensor)
{
    json_t *there = json_object_get(all, kind);
    json_object_set_new(sensor, "dataType", json_string(kind));
    if (!there && !strpbrk(name, "0123456789"))
        json_object_set(all, kind, sensor);
    else if (!there)
        json_object_set_new(all, kind, json_pack("[O]", sensor));
    else if (json_is_array(there))
        json_array_append(there, sensor);
    else
        json_object_set_new(all, kind, json_pack("[O, O]", there, sensor));
}

static json_t *plugin(const ApiObject *host, const char *function, GError **error)
{
    g_autofree char *text =
        xapi_call_string(api_object_xapi(host), "host.call_plugin",
                         json_pack("[s, s, s, {}]", host->ref, "ipmitool.py", function), error);
    json_t *answer = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (text && !answer)
        err_set(error, ERR_PROTOCOL, "host %s: ipmitool.py answered what is no JSON",
                api_object_text(host, "name_label"));
    return answer;
}

static bool add_sensors(const ApiObject *host, const char *maker, const char *function, json_t *all,
                        GError **error)
{
    json_t *list = plugin(host, function, error), *sensor;
    size_t i;
    json_array_foreach (list, i, sensor) {
        const char *name = json_string_value(json_object_get(sensor, "name"));
        const char *kind = name ? kind_of(maker, name) : NULL;
        if (kind)
            put_sensor(all, kind, name, sensor);
    }
    json_decref(list);
    return list != NULL;
}

/* Not every maker's has a sensor for its own health, and for that of its fans. */
static void add_derived(json_t *all, const char *maker)
{
    bool heard = json_object_size(all) > 0;
    if (strcmp(maker, "dell") != 0 && strcmp(maker, "lenovo") != 0)
        return;
    json_t *fans = json_deep_copy(json_object_get(all, "fanSpeed")), *fan;
    size_t i;
    json_array_foreach (fans, i, fan)
        json_object_set_new(fan, "dataType", json_string("fanStatus"));
    if (fans)
        json_object_set_new(all, "fanStatus", fans);
    json_object_set_new(all, "bmcStatus",
                        json_pack("{s:s, s:s, s:s, s:s}", "event", heard ? "ok" : "ko", "name",
                                  "bmc status", "value", "0x00", "dataType", "bmcStatus"));
}

static json_t *ipmi_sensors(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    const char *maker = maker_of(host);
    json_t *available = plugin(host, "is_ipmi_device_available", error);
    bool ask = maker && json_is_true(available);
    json_t *all = available ? json_object() : NULL;
    json_decref(available);
    if (!ask)
        return all;
    if (add_sensors(host, maker, "get_all_sensors", all, error) &&
        add_sensors(host, maker, "get_ipmi_lan", all, error)) {
        add_derived(all, maker);
        return all;
    }
    json_decref(all);
    return NULL;
}

const Method methods_host_control[] = {
    { "host.setControlDomainMemory", set_memory,
      PARAMS(REQ(ID("id", "host", "administrate")), REQ(NUM("memory"), .words = "bytes")),
      .access = ACCESS_USER, .long_running = true, .example = "id=$DISABLED_HOST memory=2147483648",
      .summary = "Give the system of a host that is out of service other memory; restarts it." },
    { "host.isPubKeyTooShort", is_key_short, PARAMS(REQ(ID("id", "host", "view"))),
      .access = ACCESS_USER, .example = "id=$HOST",
      .summary = "Whether a host's RSA key has fewer than 2048 bits, which clients refuse." },
    { "host.getIpmiSensors", ipmi_sensors, PARAMS(REQ(ID("id", "host", "administrate"))),
      .access = ACCESS_USER, .example = "id=$HOST",
      .summary = "Temperatures, fans and power of a host whose maker is known; else nothing." },
    { NULL },
};
