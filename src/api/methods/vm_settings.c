/* The settings of a VM, each a row: what XO calls it, how it is set, where XAPI keeps it.
 *
 * Most are a field of the record, or a key of one of its maps. */
#include "api/methods/vm_settings.h"
#include "base/mutant.h"

#include <string.h>

enum { MAX_NOTES_CHARACTERS = 2048 };

/* --- A VM that is being changed --- */

bool vm_change_begin(VmChange *change, ApiCall *call, const ApiObject *base, const char *ref,
                     GError **error)
{
    Xapi *xapi = api_object_xapi(base);
    json_t *record = xapi_call(xapi, "VM.get_record", json_pack("[s]", ref), error);
    *change = (VmChange){ call, base, xapi, ref, record };
    return record != NULL;
}

void vm_change_clear(VmChange *change)
{
    g_clear_pointer(&change->record, json_decref);
}

const char *vm_change_text(const VmChange *change, const char *field)
{
    const char *text = json_string_value(json_object_get(change->record, field));
    return text ? text : "";
}

gint64 vm_change_int(const VmChange *change, const char *field)
{
    json_t *value = json_object_get(change->record, field);
    return json_is_string(value) ? g_ascii_strtoll(json_string_value(value), NULL, 10)
                                 : (gint64) json_number_value(value);
}

bool vm_change_do(const VmChange *change, const char *verb, json_t *more, GError **error)
{
    g_autofree char *method = g_strdup_printf("VM.%s", verb);
    json_t *params = json_pack("[s]", change->ref);
    if (more)
        json_array_extend(params, more);
    json_decref(more);
    return xapi_do(change->xapi, method, params, error);
}

bool vm_change_map(const VmChange *change, const char *field, const char *key, const char *value,
                   GError **error)
{
    json_t *map = json_object_get(change->record, field);
    const char *now = json_string_value(json_object_get(map, key));
    g_autofree char *drop = g_strdup_printf("remove_from_%s", field);
    g_autofree char *add = g_strdup_printf("add_to_%s", field);
    if (g_strcmp0(now, value) == 0)
        return true;
    if (now && !vm_change_do(change, drop, json_pack("[s]", key), error))
        return false;
    return !value || vm_change_do(change, add, json_pack("[s, s]", key, value), error);
}

/* "cpuWeight" → "cpu_weight", "CPUs" stays. */
static char *snake(const char *name)
{
    GString *text = g_string_new(NULL);
    for (const char *at = name; *at; at++) {
        if (at > name && g_ascii_isupper(*at) && g_ascii_islower(at[-1]))
            g_string_append_c(text, '_');
        g_string_append_c(text, g_ascii_tolower(*at));
    }
    return g_string_free(text, FALSE);
}

json_t *vm_param(json_t *params, const char *name)
{
    json_t *value = json_object_get(params, name);
    g_autofree char *other = value ? NULL : snake(name);
    return value ? value : json_object_get(params, other);
}

/* --- Kinds of settings --- */

typedef struct Setting {
    const char *name;
    bool (*apply)(VmChange *change, const struct Setting *row, json_t *value, GError **error);
    const char *field, *key; /* of the XAPI record */
    const char *choices;     /* allowed texts, separated by '|' */
} Setting;

static bool check_choice(const Setting *row, json_t *value, GError **error)
{
    g_auto(GStrv) choices = g_strsplit(row->choices ? row->choices : "", "|", -1);
    const char *text = json_string_value(value);
    if (!row->choices || (text && g_strv_contains((const char *const *) choices, text)))
        return true;
    g_auto(GStrv) words = g_strsplit(row->choices, "|", -1);
    g_autofree char *list = g_strjoinv(", ", words);
    api_error_invalid(error, "%s: expected one of %s", row->name, list);
    return false;
}

static bool set_field(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    g_autofree char *verb = g_strdup_printf("set_%s", row->field);
    return json_equal(value, json_object_get(change->record, row->field)) ||
           vm_change_do(change, verb, json_pack("[O]", value), error);
}

/* As the maps of XAPI hold it; NULL for null. */
static char *text_of(json_t *value)
{
    if (json_is_boolean(value))
        return g_strdup(json_is_true(value) ? "true" : "false");
    if (json_is_number(value))
        return g_strdup_printf("%" G_GINT64_FORMAT, (gint64) json_number_value(value));
    return g_strdup(json_string_value(value));
}

static bool set_key(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    g_autofree char *text = text_of(value);
    return vm_change_map(change, row->field, row->key, text, error);
}

/* A reference to another object, which null takes away. */
static bool set_link(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    const char *id = json_string_value(value);
    const ApiObject *target = id ? call_find(change->call, id, row->key, "view", error) : NULL;
    g_autofree char *verb = g_strdup_printf("set_%s", row->field);
    return (!id || target) &&
           vm_change_do(change, verb, json_pack("[s]", target ? target->ref : "OpaqueRef:NULL"),
                        error);
}

/* --- Settings of their own kind --- */

static bool set_notes(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    const char *text = json_string_value(value);
    if (text && g_utf8_strlen(text, -1) > MAX_NOTES_CHARACTERS) {
        api_error_invalid(error, "notes: more than %d characters", MAX_NOTES_CHARACTERS);
        return false;
    }
    return set_key(change, row, value, error);
}

/* A VM is started with its pool only when the pool starts VMs at all. */
static bool set_auto_poweron(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    bool on = json_is_true(value);
    if (!vm_change_map(change, row->field, row->key, on ? "true" : NULL, error))
        return false;
    json_t *pools = on ? xapi_call(change->xapi, "pool.get_all", NULL, error) : NULL;
    const char *pool = json_string_value(json_array_get(pools, 0));
    bool ok = !on || pool != NULL;
    if (pool) {
        xapi_do(change->xapi, "pool.remove_from_other_config",
                json_pack("[s, s]", pool, "auto_poweron"), NULL);
        ok = xapi_do(change->xapi, "pool.add_to_other_config",
                     json_pack("[s, s, s]", pool, "auto_poweron", "true"), error);
    }
    json_decref(pools);
    return ok;
}

static bool set_videoram(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    double mib = json_number_value(value);
    if (mib != 1 && mib != 2 && mib != 4 && mib != 8 && mib != 16) {
        api_error_invalid(error, "videoram: expected 1, 2, 4, 8 or 16 MiB");
        return false;
    }
    return set_key(change, row, value, error);
}

/* [0, 2] → "0,2"; [] takes the mask away. */
static bool set_mask(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    g_autoptr(GString) mask = g_string_new(NULL);
    size_t i;
    json_t *cpu;
    json_array_foreach (value, i, cpu)
        g_string_append_printf(mask, "%s%" JSON_INTEGER_FORMAT, i ? "," : "",
                               json_integer_value(cpu));
    return vm_change_map(change, row->field, row->key, mask->len ? mask->str : NULL, error);
}

/* The firmware, and the device model that goes with it. */
static bool set_firmware(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    const char *firmware = json_string_value(value);
    const char *model = !firmware                       ? NULL
                        : g_str_equal(firmware, "uefi") ? "qemu-upstream-uefi"
                                                        : "qemu-upstream-compat";
    return vm_change_map(change, row->field, row->key, firmware, error) &&
           vm_change_map(change, "platform", "device-model", model, error);
}

static bool set_virtualization(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    if (json_object_get(change->record, "domain_type"))
        return set_field(change, row, value, error);
    bool hvm = g_str_equal(json_string_value(value), "hvm");
    return vm_change_do(change, "set_HVM_boot_policy", json_pack("[s]", hvm ? "Boot order" : ""),
                        error);
}

/* operation → true, a reason, or false and null, which lift the block. */
static bool set_blocked(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    const char *operation;
    json_t *wanted;
    json_object_foreach (value, operation, wanted) {
        g_autofree char *reason = json_is_false(wanted) ? NULL : text_of(wanted);
        if (!vm_change_map(change, row->field, operation, reason, error))
            return false;
    }
    return true;
}

/* Keys are shown without the prefix that the guest sees them under. */
static bool set_xenstore(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    const char *key;
    json_t *wanted;
    json_object_foreach (value, key, wanted) {
        bool whole = g_str_has_prefix(key, "vm-data/") ||
                     MUTANT(vm_bare_key); /* mutant: system:test_machines.Machines.test_maps */
        g_autofree char *path = g_strconcat(whole ? "" : "vm-data/", key, NULL);
        if (!json_is_string(wanted) && !json_is_null(wanted)) {
            api_error_invalid(error, "xenStoreData: %s: expected text or null", key);
            return false;
        }
        if (!vm_change_map(change, row->field, path, json_string_value(wanted), error))
            return false;
    }
    return true;
}

/* Who made it may be corrected; the rest stays. */
static bool set_creation(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    g_autofree char *key = g_strdup_printf("xo:%.8s", vm_change_text(change, "uuid"));
    const char *text =
        json_string_value(json_object_get(json_object_get(change->record, "other_config"), key));
    json_t *data = text ? json_loads(text, 0, NULL) : NULL;
    if (!json_is_object(data)) {
        json_decref(data);
        data = json_object();
    }
    json_t *creation = json_object_get(data, "creation");
    creation = json_is_object(creation) ? json_copy(creation) : json_object();
    json_object_update(creation, value);
    json_object_set_new(data, "creation", creation);
    g_autofree char *stored = json_dumps(data, JSON_COMPACT);
    json_decref(data);
    return vm_change_map(change, "other_config", key, stored, error);
}

static bool set_nested(VmChange *change, const Setting *row, json_t *value, GError **error)
{
    const char *text = json_is_true(value) ? "true" : "false";
    return vm_change_map(change, row->field, row->key, text, error) && /* older hosts know: */
           vm_change_map(change, row->field, "exp-nested-hvm", text, error);
}

static const Setting settings[] = {
    { "name_label", set_field, "name_label" },
    { "name_description", set_field, "name_description" },
    { "notes", set_notes, "other_config", "xo:notes" },
    { "auto_poweron", set_auto_poweron, "other_config", "auto_poweron" },
    { "high_availability", set_field, "ha_restart_priority", NULL, "best-effort|restart|" },
    { "PV_args", set_field, "PV_args" },
    { "cpuMask", set_mask, "VCPUs_params", "mask" },
    { "cpuWeight", set_key, "VCPUs_params", "weight" },
    { "cpuCap", set_key, "VCPUs_params", "cap" },
    { "affinityHost", set_link, "affinity", "host" },
    { "vga", set_key, "platform", "vga", "std|cirrus" },
    { "videoram", set_videoram, "platform", "videoram" },
    { "coresPerSocket", set_key, "platform", "cores-per-socket" },
    { "hasVendorDevice", set_field, "has_vendor_device" },
    { "expNestedHvm", set_key, "platform", "exp-nested-hvm" },
    { "nestedVirt", set_nested, "platform", "nested-virt" },
    { "startDelay", set_field, "start_delay" },
    { "secureBoot", set_key, "platform", "secureboot" },
    { "nicType", set_key, "platform", "nic_type" },
    { "hvmBootFirmware", set_firmware, "HVM_boot_params", "firmware" },
    { "virtualizationMode", set_virtualization, "domain_type", NULL, "hvm|pv" },
    { "viridian", set_key, "platform", "viridian" },
    { "blockedOperations", set_blocked, "blocked_operations" },
    { "creation", set_creation, "other_config" },
    { "suspendSr", set_link, "suspend_SR", "SR" },
    { "uefiMode", set_field, "uefi_mode", NULL, "setup|user" },
    { "xenStoreData", set_xenstore, "xenstore_data" },
    { "tags", set_field, "tags" },
};

/* Null is no change only for the guest's data, as clients send it. */
static bool apply(VmChange *change, const Setting *row, json_t *params, GError **error)
{
    json_t *value = vm_param(params, row->name);
    if (!value || (json_is_null(value) && row->apply == set_xenstore))
        return true;
    return check_choice(row, value, error) && row->apply(change, row, value, error);
}

bool vm_settings_apply(VmChange *change, json_t *params, GError **error)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++)
        if (!apply(change, &settings[i], params, error))
            return false;
    return true;
}
