/* Giving the configuration out. */
#include "api/config_private.h"

#include "base/json_list.h"
#include "api/error.h"

#include <string.h>

/* Adds an entry and what its records refer to. */
static bool want(json_t *names, const char *name, GError **error)
{
    const ConfigEntry *entry = config_entry(name);
    if (!entry || !config_keeps(entry)) {
        api_error_invalid(error, "entries: there is no part %s", name);
        return false;
    }
    if (json_list_has_text(names, name))
        return true;
    json_array_append_new(names, json_string(name));
    for (unsigned i = 0; entry->with && entry->with[i]; i++)
        if (!want(names, entry->with[i], error))
            return false;
    return true;
}

/* The names to export, an array. */
static json_t *wanted(json_t *entries, GError **error)
{
    json_t *names = json_array(), *each;
    size_t i;
    bool ok = true;
    json_array_foreach (entries, i, each)
        ok = ok && want(names, json_string_value(each), error);
    for (const ConfigEntry *entry = config_entries; !entries && entry->name; entry++)
        if (config_keeps(entry))
            json_array_append_new(names, json_string(entry->name));
    if (!ok)
        g_clear_pointer(&names, json_decref);
    return names;
}

static bool add(const ApiParts *parts, const ConfigEntry *entry, json_t *document, GError **error)
{
    json_t *records = config_records(parts, entry, error), *record;
    json_t *list = json_array();
    size_t i;
    json_array_foreach (records, i, record) {
        json_t *copy = json_deep_copy(record);
        json_array_append_new(list, entry->show ? entry->show(parts, copy) : copy);
    }
    bool ok = records != NULL;
    json_decref(records);
    json_object_set_new(document, entry->name, list);
    return ok;
}

GBytes *config_export(const ApiParts *parts, json_t *entries, bool compress, const char *passphrase,
                      GError **error)
{
    json_t *names = wanted(entries, error);
    json_t *document = json_object();
    bool ok = names != NULL;
    for (const ConfigEntry *entry = config_entries; ok && entry->name; entry++)
        if (json_list_has_text(names, entry->name))
            ok = add(parts, entry, document, error);
    char *text = ok ? json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    json_decref(names);
    json_decref(document);
    return text ? config_close(text, compress, passphrase, error) : NULL;
}
