/* Small steps on XAPI records. */
#include "work/private.h"

#include <string.h>

const char *config_text(json_t *record, const char *key)
{
    return json_string_value(json_object_get(json_object_get(record, "other_config"), key));
}

bool is_ref(const char *ref)
{
    return ref && *ref && strcmp(ref, NULL_REF) != 0;
}

json_t *get_record(Xapi *xapi, const char *cls, const char *ref, GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.get_record", cls);
    return xapi_call(xapi, method, json_pack("[s]", ref), error);
}

/* Ours, to be taken away again. XO leaves the SR key alone. */
static bool is_backup_key(const char *key, bool all)
{
    return strcmp(key, OWNER_MARK) == 0 ||
           (all && strcmp(key, KEY_SR) != 0 && g_str_has_prefix(key, KEY_PREFIX));
}

bool remove_keys(Xapi *xapi, const char *cls, const char *ref, json_t *record, bool all,
                 GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.remove_from_other_config", cls);
    const char *key;
    json_t *value;
    json_object_foreach (json_object_get(record, "other_config"), key, value) {
        if (is_backup_key(key, all) && !xapi_do(xapi, method, json_pack("[ss]", ref, key), error))
            return false;
    }
    return true;
}

json_t *config_with(json_t *record, json_t *more)
{
    json_t *config = json_object(), *value;
    const char *key;
    json_object_foreach (json_object_get(record, "other_config"), key, value) {
        if (!is_backup_key(key, true))
            json_object_set(config, key, value);
    }
    if (more)
        json_object_update(config, more);
    return config;
}

bool set_config(Xapi *xapi, const char *cls, const char *ref, json_t *config, GError **error)
{
    g_autofree char *method = g_strdup_printf("%s.set_other_config", cls);
    return xapi_do(xapi, method, json_pack("[sO]", ref, config), error);
}
