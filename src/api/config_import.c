/* Taking a configuration in: every record is looked at before the first is stored, then all are
 * stored in one transaction. */
#include "api/config_private.h"
#include "api/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"
#include "plugin/record.h"

#include <string.h>

enum { MAX_ID_BYTES = 256 };

/* --- The report --- */

static void say(Import *import, const char *list, const char *key, char *text)
{
    json_t *line = json_pack("{s:s, s:s*, s:s*, s:s}", "entry", import->entry->name, "id",
                             import->id, "name", import->name, key, text);
    json_array_append_new(json_object_get(import->report, list), line);
    g_free(text);
}

static void count(Import *import, const char *what)
{
    json_t *entry =
        json_object_get(json_object_get(import->report, "entries"), import->entry->name);
    json_int_t n = json_integer_value(json_object_get(entry, what));
    json_object_set_new(entry, what, json_integer(n + 1));
}

void import_skip(Import *import, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(import, "notTaken", "reason", g_strdup_vprintf(format, args));
    va_end(args);
    count(import, "notTaken");
    import->skipped = true;
}

void import_note(Import *import, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(import, "notes", "note", g_strdup_vprintf(format, args));
    va_end(args);
}

/* --- The records as they will be --- */

json_t *import_all(Import *import, const char *collection)
{
    return json_object_get(import->state, collection);
}

json_t *import_find(Import *import, const char *collection, const char *id)
{
    return json_object_get(import_all(import, collection), id);
}

static void remember(Import *import, const char *collection, const char *id, json_t *record)
{
    json_t *changes = json_object_get(import->changes, collection);
    if (!changes)
        json_object_set_new(import->changes, collection, changes = json_object());
    json_object_set(changes, id, record);
}

void import_put(Import *import, const char *collection, const char *id, json_t *record)
{
    remember(import, collection, id, record);
    json_object_set(import_all(import, collection), id, record);
}

void import_drop(Import *import, const char *collection, const char *id)
{
    remember(import, collection, id, json_null());
    json_object_del(import_all(import, collection), id);
}

static bool load_state(Import *import, GError **error)
{
    for (const ConfigEntry *entry = config_entries; entry->name; entry++) {
        if (!entry->collection)
            continue;
        json_t *list = config_records(import->parts, entry, error), *record;
        json_t *by_id = json_object();
        size_t i;
        json_array_foreach (list, i, record)
            json_object_set(by_id, json_text(record, "id"), record);
        json_object_set_new(import->state, entry->collection, by_id);
        json_decref(list);
        if (!list)
            return false;
    }
    return true;
}

/* --- One record --- */

static bool check_record(json_t *seen, json_t *sent, const char **id, GError **error)
{
    if (!json_is_object(sent)) {
        api_error_invalid(error, "expected an object");
        return false;
    }
    *id = json_text(sent, "id");
    if (!**id || strlen(*id) > MAX_ID_BYTES) {
        api_error_invalid(error, "id: expected a text of 1 to %d bytes", MAX_ID_BYTES);
        return false;
    }
    if (json_object_get(seen, *id)) {
        api_error_invalid(error, "id: %s is there twice", *id);
        return false;
    }
    json_object_set_new(seen, *id, json_true());
    return true;
}

static const char *name_of(json_t *sent)
{
    const char *const keys[] = { "name", "email", "label", "host" };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        if (*json_text(sent, keys[i]))
            return json_text(sent, keys[i]);
    return NULL;
}

static bool attach(Import *import, json_t *sent, GError **error)
{
    bool was = false;
    if (!config_attach(import, sent, &was, error))
        return false;
    if (!import->skipped)
        count(import, was ? "same" : "added");
    return true;
}

static bool take_record(Import *import, json_t *seen, json_t *sent, GError **error)
{
    const ConfigEntry *entry = import->entry;
    g_autoptr(GError) failure = NULL;
    import->skipped = false;
    if (!check_record(seen, sent, &import->id, error))
        return false;
    import->name = name_of(sent);
    if (entry->attaches)
        return attach(import, sent, error);
    json_t *record = entry->take(import, sent, &failure);
    if (!record) {
        if (failure)
            g_propagate_error(error, g_steal_pointer(&failure));
        return import->skipped;
    }
    const char *id = json_text(record, "id"); /* those of rules are made again */
    json_t *old = import_find(import, entry->collection, id);
    count(import, !old ? "added" : json_equal(old, record) ? "same" : "changed");
    if (!old || !json_equal(old, record) || MUTANT(config_always_changed)) /* mutant: api_config */
        import_put(import, entry->collection, id, record);
    json_decref(record);
    return true;
}

/* --- All of them --- */

static bool take_list(Import *import, json_t *list, GError **error)
{
    json_t *seen = json_object(), *sent;
    size_t i;
    bool ok = true;
    json_array_foreach (list, i, sent) {
        g_autoptr(GError) failure = NULL;
        import->id = import->name = NULL;
        ok = take_record(import, seen, sent, &failure);
        if (!ok) {
            api_error_invalid(error, "%s[%zu]: %s", import->entry->name, i, failure->message);
            break;
        }
    }
    json_decref(seen);
    return ok;
}

static void refuse_all(Import *import, json_t *list)
{
    size_t n = json_is_array(list) ? json_array_size(list) : json_object_size(list);
    import->id = import->name = NULL;
    for (size_t i = 0; i < n; i++)
        count(import, "notTaken");
    if (n > 0)
        say(import, "notTaken", "reason",
            g_strdup_printf("%zu of them: %s", n, import->entry->reason));
}

static bool take_entry(Import *import, const ConfigEntry *entry, json_t *list, GError **error)
{
    import->entry = entry;
    json_object_set_new(
        json_object_get(import->report, "entries"), entry->name,
        json_pack("{s:i, s:i, s:i, s:i}", "added", 0, "changed", 0, "same", 0, "notTaken", 0));
    if (!config_keeps(entry)) {
        refuse_all(import, list);
        return true;
    }
    if (!json_is_array(list)) {
        api_error_invalid(error, "%s: expected a list", entry->name);
        return false;
    }
    if (json_array_size(list) > CONFIG_MAX_RECORDS) {
        api_error_invalid(error, "%s: more than %d records", entry->name, CONFIG_MAX_RECORDS);
        return false;
    }
    return take_list(import, list, error);
}

static bool take_document(Import *import, json_t *document, GError **error)
{
    const char *name;
    json_t *list;
    for (const ConfigEntry *entry = config_entries; entry->name; entry++) {
        list = json_object_get(document, entry->name);
        if (list && !take_entry(import, entry, list, error))
            return false;
    }
    json_object_foreach (document, name, list) {
        ConfigEntry unknown = { .name = name, .reason = "this server does not know what it is" };
        if (!config_entry(name))
            take_entry(import, &unknown, list, NULL);
    }
    import->entry = NULL;
    return true;
}

/* Nobody is locked out. */
static bool check_admin(Import *import, GError **error)
{
    const char *id;
    json_t *user;
    json_object_foreach (import_all(import, "users"), id, user)
        if (account_is_admin(user) && account_knows_hash(json_text(user, "pw_hash")))
            return true;
    api_error_invalid(error, "users: no administrator who can sign in would remain");
    return MUTANT(config_no_admin); /* mutant: api_config */
}

/* --- Storing --- */

/* As the store keeps it, with the secret sealed; a new reference. */
static json_t *stored_form(Import *import, const char *collection, json_t *record, GError **error)
{
    const char *field = NULL;
    for (const ConfigEntry *entry = config_entries; entry->name; entry++)
        if (g_strcmp0(entry->collection, collection) == 0)
            field = entry->sealed;
    const char *secret = field ? json_string_value(json_object_get(record, field)) : NULL;
    if (!secret)
        return json_incref(record);
    g_autofree char *sealed = store_seal(import->parts->store, secret, error);
    json_t *copy = json_copy(record);
    json_object_set_new(copy, field, json_string(sealed));
    if (!sealed)
        g_clear_pointer(&copy, json_decref);
    return copy;
}

static void release(void *change)
{
    json_decref(((StoreChange *) change)->record);
}

static bool store_changes(Import *import, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(StoreChange));
    g_array_set_clear_func(list, release);
    const char *collection, *id;
    json_t *records, *record;
    json_object_foreach (import->changes, collection, records)
        json_object_foreach (records, id, record) {
            StoreChange change = { collection, id, NULL };
            if (!json_is_null(record) &&
                !(change.record = stored_form(import, collection, record, error)))
                return false;
            g_array_append_val(list, change);
        }
    return store_change_all(import->parts->store, (const StoreChange *) list->data, list->len,
                            error);
}

/* Those who hold copies look again. */
static void tell(Import *import)
{
    const char *id;
    json_t *record;
    jobs_look_again(import->parts->jobs);
    json_object_foreach (json_object_get(import->changes, "servers"), id, record)
        servers_look_again(import->parts->servers, id);
    if (json_object_get(import->changes, PLUGINS))
        plugins_look_again(import->parts->plugins);
}

json_t *config_import(const ApiParts *parts, GBytes *file, const char *passphrase, GError **error)
{
    json_t *document = config_open(file, passphrase, error);
    if (!document)
        return NULL;
    Import import = { .parts = parts,
                      .state = json_object(),
                      .changes = json_object(),
                      .report = json_pack("{s:{}, s:[], s:[]}", "entries", "notTaken", "notes") };
    bool ok = load_state(&import, error) && take_document(&import, document, error) &&
              check_admin(&import, error) && store_changes(&import, error);
    if (ok) {
        tell(&import);
        log_info("api", "a configuration was taken in");
    } else {
        g_clear_pointer(&import.report, json_decref);
    }
    json_decref(import.state);
    json_decref(import.changes);
    json_decref(document);
    return import.report;
}
