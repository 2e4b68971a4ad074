/* One lock for what is loaded and for each read-change-write of a record; tests run without it, on
 * a counted instance. */
#include "plugin/plugins.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"
#include "plugin/descriptor.h"
#include "plugin/form.h"
#include "plugin/instance.h"
#include "plugin/record.h"

#define P(name) extern const Plugin name;
#include "plugin/plugins.def"
#undef P

static const Plugin *const known[] = {
#define P(name) &name,
#include "plugin/plugins.def"
#undef P
    NULL,
};

typedef struct {
    const Plugin *plugin;
    PluginInstance *loaded;
    bool was_loaded;
} Entry;

struct Plugins {
    Store *store;
    GMutex mutex;
    unsigned n;
    Entry *entries;
};

/* Takes the reference. */
static void set_loaded(Entry *entry, PluginInstance *loaded)
{
    plugin_instance_unref(entry->loaded);
    entry->loaded = loaded;
    entry->was_loaded = true;
}

/* --- The frame --- */

Plugins *plugins_new(Store *store, const Plugin *const *table)
{
    Plugins *plugins = g_new0(Plugins, 1);
    table = table ? table : known;
    plugins->store = store;
    g_mutex_init(&plugins->mutex);
    while (table[plugins->n])
        plugins->n++;
    plugins->entries = g_new0(Entry, plugins->n);
    for (unsigned i = 0; i < plugins->n; i++)
        plugins->entries[i].plugin = table[i];
    return plugins;
}

void plugins_free(Plugins *plugins)
{
    for (unsigned i = 0; i < plugins->n; i++)
        plugin_instance_unref(plugins->entries[i].loaded);
    g_mutex_clear(&plugins->mutex);
    g_free(plugins->entries);
    g_free(plugins);
}

static Entry *find(Plugins *plugins, const char *id, GError **error)
{
    for (unsigned i = 0; i < plugins->n; i++)
        if (g_str_equal(plugins->entries[i].plugin->id, id))
            return &plugins->entries[i];
    err_set(error, ERR_NOT_FOUND, "no such plugin %s", id);
    return NULL;
}

bool plugins_has(Plugins *plugins, const char *id)
{
    return find(plugins, id, NULL) != NULL;
}

static const Plugin *know(const char *id)
{
    for (unsigned i = 0; known[i]; i++)
        if (g_str_equal(known[i]->id, id))
            return known[i];
    return NULL;
}

bool plugins_know(const char *id)
{
    return know(id) != NULL;
}

bool plugins_check(const char *id, json_t *configuration, GError **error)
{
    const Plugin *plugin = know(id);
    json_t *copy = json_deep_copy(configuration);
    bool ok = !plugin || plugin_form_configuration(plugin, copy, NULL, error);
    json_decref(copy);
    return ok;
}

static void refuse(const Plugin *plugin, const char *why, GError **error)
{
    err_set(error, ERR_INVALID, "plugin %s: %s", why, plugin->id);
}

/* --- Telling --- */

/* Without its configuration when that cannot be opened: then it can be purged. */
static json_t *show(Plugins *plugins, const Entry *entry, GError **error)
{
    g_autoptr(GError) damage = NULL;
    json_t *record = plugin_record_sealed(plugins->store, entry->plugin, error);
    if (record && !plugin_record_open(plugins->store, record, &damage)) {
        log_warning("plugin", "%s", damage->message);
        json_object_del(record, "configuration");
    }
    bool loaded = entry->loaded != NULL;
    json_t *shown =
        record ? plugin_descriptor(entry->plugin, record, entry->was_loaded ? &loaded : NULL)
               : NULL;
    json_decref(record);
    return shown;
}

json_t *plugins_list(Plugins *plugins, GError **error)
{
    json_t *list = json_array();
    g_mutex_lock(&plugins->mutex);
    for (unsigned i = 0; list && i < plugins->n; i++) {
        json_t *shown = show(plugins, &plugins->entries[i], error);
        if (shown)
            json_array_append_new(list, shown);
        else
            g_clear_pointer(&list, json_decref);
    }
    g_mutex_unlock(&plugins->mutex);
    return list;
}

/* --- Changing, under the lock --- */

typedef bool (*Change)(Plugins *plugins, Entry *entry, json_t *record, void *user, GError **error);

static bool change(Plugins *plugins, const char *id, Change make, void *user, GError **error)
{
    g_mutex_lock(&plugins->mutex);
    Entry *entry = find(plugins, id, error);
    json_t *record = entry ? plugin_record_get(plugins->store, entry->plugin, error) : NULL;
    bool ok = record && make(plugins, entry, record, user, error);
    g_mutex_unlock(&plugins->mutex);
    json_decref(record);
    return ok;
}

static bool load(Entry *entry, json_t *record, GError **error)
{
    json_t *kept = json_object_get(record, "configuration");
    json_t *configuration = plugin_form_kept(entry->plugin, kept, error);
    PluginInstance *loaded =
        configuration ? plugin_instance_new(entry->plugin, configuration, error) : NULL;
    json_decref(configuration);
    if (loaded)
        set_loaded(entry, loaded);
    return loaded != NULL;
}

static bool make_loaded(Plugins *plugins, Entry *entry, json_t *record, void *user, GError **error)
{
    if (entry->loaded) {
        refuse(entry->plugin, "already loaded", error);
        return false;
    }
    return load(entry, record, error);
}

bool plugins_load(Plugins *plugins, const char *id, GError **error)
{
    return change(plugins, id, make_loaded, NULL, error);
}

/* Also when the record cannot be read. */
bool plugins_unload(Plugins *plugins, const char *id, GError **error)
{
    g_mutex_lock(&plugins->mutex);
    Entry *entry = find(plugins, id, error);
    bool ok = entry && entry->loaded;
    if (ok)
        set_loaded(entry, NULL);
    else if (entry)
        refuse(entry->plugin, "already unloaded", error);
    g_mutex_unlock(&plugins->mutex);
    return ok;
}

static bool make_autoload(Plugins *plugins, Entry *entry, json_t *record, void *autoload,
                          GError **error)
{
    json_object_set_new(record, "autoload", json_boolean(*(bool *) autoload));
    return plugin_record_put(plugins->store, record, error);
}

bool plugins_set_autoload(Plugins *plugins, const char *id, bool autoload, GError **error)
{
    return change(plugins, id, make_autoload, &autoload, error);
}

typedef struct {
    json_t *sent, **violations;
} Wish;

/* The plug-in must take it before it is kept. */
static bool make_configured(Plugins *plugins, Entry *entry, json_t *record, void *user,
                            GError **error)
{
    const Wish *wish = user;
    json_t *kept = json_object_get(record, "configuration");
    json_t *whole = plugin_form_sent(entry->plugin, wish->sent, kept, wish->violations, error);
    PluginInstance *loaded =
        whole && entry->loaded ? plugin_instance_new(entry->plugin, whole, error) : NULL;
    if (!whole || (entry->loaded && !loaded)) {
        json_decref(whole);
        return false;
    }
    json_object_set_new(record, "configuration", whole);
    if (!plugin_record_put(plugins->store, record, error)) {
        plugin_instance_unref(loaded);
        return false;
    }
    if (loaded)
        set_loaded(entry, loaded);
    return true;
}

bool plugins_configure(Plugins *plugins, const char *id, json_t *configuration, json_t **violations,
                       GError **error)
{
    Wish wish = { configuration, violations };
    return change(plugins, id, make_configured, &wish, error);
}

bool plugins_purge(Plugins *plugins, const char *id, GError **error)
{
    g_mutex_lock(&plugins->mutex);
    Entry *entry = find(plugins, id, error);
    bool ok = entry && plugin_record_forget(plugins->store, entry->plugin, error);
    if (ok && entry->loaded)
        set_loaded(entry, NULL);
    g_mutex_unlock(&plugins->mutex);
    return ok;
}

/* --- Testing --- */

/* A reference to what is loaded; NULL with an error. */
static PluginInstance *take(Plugins *plugins, const char *id, GError **error)
{
    PluginInstance *loaded = NULL;
    g_mutex_lock(&plugins->mutex);
    Entry *entry = find(plugins, id, error);
    if (entry && !entry->plugin->test)
        refuse(entry->plugin, "not testable", error);
    else if (entry && !entry->loaded)
        refuse(entry->plugin, "not loaded", error);
    else if (entry)
        loaded = plugin_instance_ref(entry->loaded);
    g_mutex_unlock(&plugins->mutex);
    return loaded;
}

bool plugins_test(Plugins *plugins, const char *id, json_t *data, Cancel *cancel,
                  json_t **violations, GError **error)
{
    PluginInstance *loaded = take(plugins, id, error);
    if (!loaded)
        return false;
    const Plugin *plugin = loaded->plugin;
    json_t *form = plugin->test_schema ? data ? json_deep_copy(data) : json_object() : NULL;
    bool ok = (!form || plugin_form_test(plugin, form, violations, error)) &&
              plugin->test(loaded->state, form, cancel, error);
    json_decref(form);
    plugin_instance_unref(loaded);
    return ok;
}

/* --- At start, and after a configuration was taken in --- */

/* Nothing is wrong with one that nobody has configured. */
static void look(Plugins *plugins, Entry *entry)
{
    g_autoptr(GError) error = NULL;
    json_t *record = plugin_record_get(plugins->store, entry->plugin, &error);
    bool autoload = record && (json_is_true(json_object_get(record, "autoload")) ||
                               MUTANT(plugins_autoload)); /* mutant: plugin_frame */
    bool wanted = entry->loaded || autoload;
    if (record && wanted && !load(entry, record, &error) &&
        !json_object_get(record, "configuration")) {
        g_clear_error(&error);
        if (entry->loaded)
            set_loaded(entry, NULL);
    }
    if (error)
        log_warning("plugin", "%s is not loaded: %s", entry->plugin->id, error->message);
    json_decref(record);
}

void plugins_look_again(Plugins *plugins)
{
    g_mutex_lock(&plugins->mutex);
    for (unsigned i = 0; i < plugins->n; i++)
        look(plugins, &plugins->entries[i]);
    g_mutex_unlock(&plugins->mutex);
}

void plugins_start(Plugins *plugins)
{
    plugins_look_again(plugins);
}
