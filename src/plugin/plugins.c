/* One lock for what is loaded and for each read-change-write of a record; tests run without it, on
 * a counted state. */
#include "plugin/plugins.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"
#include "plugin/schema.h"
#include "plugin/secrets.h"

#define P(name) extern const Plugin name;
#include "plugin/plugins.def"
#undef P

static const Plugin *const known[] = {
#define P(name) &name,
#include "plugin/plugins.def"
#undef P
    NULL,
};

/* What a loaded plug-in goes by; counted. */
typedef struct {
    const Plugin *plugin;
    void *state;
} Loaded;

typedef struct {
    const Plugin *plugin;
    Loaded *loaded;
    bool was_loaded;
} Entry;

struct Plugins {
    Store *store;
    GMutex mutex;
    unsigned n;
    Entry *entries;
};

static void loaded_end(void *user)
{
    Loaded *loaded = user;
    if (loaded->plugin->unload)
        loaded->plugin->unload(loaded->state);
}

static void loaded_unref(Loaded *loaded)
{
    if (loaded)
        g_atomic_rc_box_release_full(loaded, loaded_end);
}

static Loaded *loaded_new(const Plugin *plugin, json_t *configuration, GError **error)
{
    void *state = plugin->load(configuration, error);
    if (!state)
        return NULL;
    Loaded *loaded = g_atomic_rc_box_new0(Loaded);
    loaded->plugin = plugin;
    loaded->state = state;
    return loaded;
}

/* Takes the reference. */
static void set_loaded(Entry *entry, Loaded *loaded)
{
    loaded_unref(entry->loaded);
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
        loaded_unref(plugins->entries[i].loaded);
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

static void refuse(const Plugin *plugin, const char *why, GError **error)
{
    err_set(error, ERR_INVALID, "plugin %s: %s", why, plugin->id);
}

/* --- Records: {id, autoload, configuration?}, where the store has the configuration sealed --- */

static bool open_configuration(Plugins *plugins, json_t *record, GError **error)
{
    const char *sealed = json_string_value(json_object_get(record, "configuration"));
    g_autofree char *text = sealed ? store_unseal(plugins->store, sealed, error) : NULL;
    if (sealed && !text)
        return false;
    json_t *configuration = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (text && !configuration) {
        err_set(error, ERR_CORRUPT, "the stored configuration of plugin %s is damaged: purge it",
                json_text(record, "id"));
        return false;
    }
    if (configuration)
        json_object_set_new(record, "configuration", configuration);
    return true;
}

/* As it is stored, or that of a plug-in that nobody has touched. */
static json_t *sealed_record(Plugins *plugins, const Plugin *plugin, GError **error)
{
    g_autoptr(GError) missing = NULL;
    json_t *record = store_get(plugins->store, PLUGINS, plugin->id, &missing);
    if (!record && err_is(missing, ERR_NOT_FOUND))
        return json_pack("{s:s, s:b}", "id", plugin->id, "autoload", 1);
    if (!record)
        g_propagate_error(error, g_steal_pointer(&missing));
    return record;
}

static json_t *record_of(Plugins *plugins, const Plugin *plugin, GError **error)
{
    json_t *record = sealed_record(plugins, plugin, error);
    if (record && !open_configuration(plugins, record, error))
        g_clear_pointer(&record, json_decref);
    return record;
}

char *plugins_text(json_t *configuration)
{
    return json_dumps(configuration, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

static bool put(Plugins *plugins, json_t *record, GError **error)
{
    json_t *stored = json_copy(record), *configuration = json_object_get(record, "configuration");
    bool ok = true;
    if (configuration) {
        g_autofree char *text = plugins_text(configuration);
        g_autofree char *sealed = store_seal(plugins->store, text, error);
        json_object_set_new(stored, "configuration", json_string(sealed));
        ok = sealed != NULL;
    }
    ok = ok && store_put(plugins->store, PLUGINS, json_text(record, "id"), stored, error);
    json_decref(stored);
    return ok;
}

/* --- Forms --- */

/* Whether it fits, with its defaults filled in. `violations` may be NULL. */
static bool fits(const Plugin *plugin, const char *what, const char *schema_text, json_t *value,
                 json_t **violations, GError **error)
{
    json_t *schema = json_loads(schema_text, 0, NULL);
    json_t *list = schema_check(schema, value);
    bool ok = json_array_size(list) == 0;
    json_decref(schema);
    if (!ok) {
        g_autofree char *words = schema_words(list);
        err_set(error, ERR_INVALID, "the %s of plugin %s: %s", what, plugin->id, words);
    }
    if (!ok && violations)
        *violations = json_incref(list);
    json_decref(list);
    return ok;
}

static bool fits_configuration(const Plugin *plugin, json_t *configuration, json_t **violations,
                               GError **error)
{
    return !plugin->configuration_schema ||
           fits(plugin, "configuration", plugin->configuration_schema, configuration, violations,
                error);
}

/* What the record says, or nothing when that will do; a new reference. */
static json_t *configuration_of(const Plugin *plugin, json_t *record, GError **error)
{
    json_t *kept = json_object_get(record, "configuration");
    json_t *configuration = kept ? json_deep_copy(kept) : json_object();
    g_autoptr(GError) wrong = NULL;
    if (fits_configuration(plugin, configuration, NULL, &wrong))
        return configuration;
    json_decref(configuration);
    if (kept)
        g_propagate_error(error, g_steal_pointer(&wrong));
    else
        refuse(plugin, "not configured", error);
    return NULL;
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
    bool ok = !plugin || fits_configuration(plugin, copy, NULL, error);
    json_decref(copy);
    return ok;
}

/* --- Telling --- */

static void add_form(json_t *shown, const char *key, const char *text)
{
    if (text)
        json_object_set_new(shown, key, json_loads(text, 0, NULL));
}

static json_t *texts(const char *const *list)
{
    json_t *array = json_array();
    for (; *list; list++)
        json_array_append_new(array, json_string(*list));
    return array;
}

/* In XO's order. */
static json_t *describe(const Entry *entry, json_t *record)
{
    const Plugin *plugin = entry->plugin;
    json_t *shown = json_pack("{s:s, s:s, s:O, s:s}", "id", plugin->id, "name", plugin->id,
                              "autoload", json_object_get(record, "autoload"), "description",
                              plugin->description);
    if (entry->was_loaded)
        json_object_set_new(shown, "loaded", json_boolean(entry->loaded != NULL));
    if (plugin->keywords)
        json_object_set_new(shown, "keywords", texts(plugin->keywords));
    json_object_set_new(shown, "unloadable", json_true());
    json_object_set_new(shown, "version", json_string(CADENZA_VERSION));
    json_t *configuration = json_object_get(record, "configuration");
    if (configuration)
        json_object_set_new(shown, "configuration", secrets_hide(configuration));
    add_form(shown, "configurationPresets", plugin->presets);
    add_form(shown, "configurationSchema", plugin->configuration_schema);
    json_object_set_new(shown, "testable", json_boolean(plugin->test != NULL));
    add_form(shown, "testSchema", plugin->test_schema);
    return shown;
}

/* Without its configuration when that cannot be opened: then it can be purged. */
static json_t *show(Plugins *plugins, const Entry *entry, GError **error)
{
    g_autoptr(GError) damage = NULL;
    json_t *record = sealed_record(plugins, entry->plugin, error);
    if (record && !open_configuration(plugins, record, &damage)) {
        log_warning("plugin", "%s", damage->message);
        json_object_del(record, "configuration");
    }
    json_t *shown = record ? describe(entry, record) : NULL;
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
    json_t *record = entry ? record_of(plugins, entry->plugin, error) : NULL;
    bool ok = record && make(plugins, entry, record, user, error);
    g_mutex_unlock(&plugins->mutex);
    json_decref(record);
    return ok;
}

static bool load(Entry *entry, json_t *record, GError **error)
{
    json_t *configuration = configuration_of(entry->plugin, record, error);
    Loaded *loaded = configuration ? loaded_new(entry->plugin, configuration, error) : NULL;
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
    return put(plugins, record, error);
}

bool plugins_set_autoload(Plugins *plugins, const char *id, bool autoload, GError **error)
{
    return change(plugins, id, make_autoload, &autoload, error);
}

typedef struct {
    json_t *sent, **violations;
} Wish;

/* The whole configuration, with secrets and defaults; NULL with an error. */
static json_t *settle(const Plugin *plugin, json_t *record, const Wish *wish, GError **error)
{
    g_autoptr(GError) hidden = NULL;
    json_t *whole = secrets_restore(wish->sent, json_object_get(record, "configuration"), &hidden);
    if (!whole)
        err_set(error, ERR_INVALID, "the configuration of plugin %s: %s", plugin->id,
                hidden->message);
    else if (!fits_configuration(plugin, whole, wish->violations, error))
        g_clear_pointer(&whole, json_decref);
    return whole;
}

/* The plug-in must take it before it is kept. */
static bool make_configured(Plugins *plugins, Entry *entry, json_t *record, void *user,
                            GError **error)
{
    json_t *whole = settle(entry->plugin, record, user, error);
    Loaded *loaded = whole && entry->loaded ? loaded_new(entry->plugin, whole, error) : NULL;
    if (!whole || (entry->loaded && !loaded)) {
        json_decref(whole);
        return false;
    }
    json_object_set_new(record, "configuration", whole);
    if (!put(plugins, record, error)) {
        loaded_unref(loaded);
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

/* Without opening it: a configuration that cannot be opened is forgotten as well. */
static bool forget(Plugins *plugins, const Plugin *plugin, GError **error)
{
    json_t *record = sealed_record(plugins, plugin, error);
    json_object_del(record, "configuration");
    bool ok = record && store_put(plugins->store, PLUGINS, plugin->id, record, error);
    json_decref(record);
    return ok;
}

bool plugins_purge(Plugins *plugins, const char *id, GError **error)
{
    g_mutex_lock(&plugins->mutex);
    Entry *entry = find(plugins, id, error);
    bool ok = entry && forget(plugins, entry->plugin, error);
    if (ok && entry->loaded)
        set_loaded(entry, NULL);
    g_mutex_unlock(&plugins->mutex);
    return ok;
}

/* --- Testing --- */

/* A reference to what is loaded; NULL with an error. */
static Loaded *take(Plugins *plugins, const char *id, GError **error)
{
    Loaded *loaded = NULL;
    g_mutex_lock(&plugins->mutex);
    Entry *entry = find(plugins, id, error);
    if (entry && !entry->plugin->test)
        refuse(entry->plugin, "not testable", error);
    else if (entry && !entry->loaded)
        refuse(entry->plugin, "not loaded", error);
    else if (entry)
        loaded = g_atomic_rc_box_acquire(entry->loaded);
    g_mutex_unlock(&plugins->mutex);
    return loaded;
}

bool plugins_test(Plugins *plugins, const char *id, json_t *data, Cancel *cancel,
                  json_t **violations, GError **error)
{
    Loaded *loaded = take(plugins, id, error);
    if (!loaded)
        return false;
    const Plugin *plugin = loaded->plugin;
    json_t *form = plugin->test_schema ? data ? json_deep_copy(data) : json_object() : NULL;
    bool ok = (!form || fits(plugin, "test", plugin->test_schema, form, violations, error)) &&
              plugin->test(loaded->state, form, cancel, error);
    json_decref(form);
    loaded_unref(loaded);
    return ok;
}

/* --- At start, and after a configuration was taken in --- */

/* Nothing is wrong with one that nobody has configured. */
static void look(Plugins *plugins, Entry *entry)
{
    g_autoptr(GError) error = NULL;
    json_t *record = record_of(plugins, entry->plugin, &error);
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
