/* The parts of a configuration: what of each record is kept, and under which conditions. What XO
 * has and this server does not keep is named with the reason. */
#include "api/config_private.h"
#include "api/ip_pools.h"
#include "api/error.h"
#include "api/resource_sets.h"
#include "base/cron.h"
#include "base/filter.h"
#include "base/json_text.h"
#include "base/mutant.h"
#include "plugin/record.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 64 * 1024 };

/* --- Checking and copying fields --- */

bool config_need(json_t *sent, const char *const *keys, GError **error)
{
    for (; *keys; keys++) {
        const char *text = json_text(sent, *keys);
        if (*text && strlen(text) <= MAX_TEXT_BYTES)
            continue;
        api_error_invalid(error, "%s: expected a text of 1 to %d bytes", *keys, MAX_TEXT_BYTES);
        return false;
    }
    return true;
}

json_t *config_copy(json_t *base, json_t *sent, const char *const *keys)
{
    json_t *record = base ? json_copy(base) : json_object();
    for (; *keys; keys++) {
        json_t *value = json_object_get(sent, *keys);
        if (value && !json_is_null(value))
            json_object_set(record, *keys, value);
    }
    return record;
}

/* Old records have "true" and "false" as text. */
static void settle_flag(json_t *record, const char *key, bool otherwise)
{
    json_t *value = json_object_get(record, key);
    const char *text = json_string_value(value);
    bool is = value ? json_is_true(value) || g_strcmp0(text, "true") == 0 : otherwise;
    json_object_set_new(record, key, json_boolean(is));
}

/* --- users --- */

static json_t *replace_text(json_t *list, const char *old, const char *new)
{
    json_t *copy = json_array(), *item;
    size_t i;
    json_array_foreach (list, i, item)
        json_array_append_new(copy, json_string(g_strcmp0(json_string_value(item), old) == 0
                                                    ? new
                                                    : json_string_value(item)));
    return copy;
}

/* What belonged to the user `old` belongs to `new`. */
static void hand_over(Import *import, const char *old, const char *new)
{
    const char *id;
    json_t *record;
    void *next;
    json_object_foreach_safe (import_all(import, "tokens"), next, id, record)
        if (g_str_equal(json_text(record, "user_id"), old)) {
            json_t *copy = json_copy(record);
            json_object_set_new(copy, "user_id", json_string(new));
            import_put(import, "tokens", id, copy);
            json_decref(copy);
        }
    json_object_foreach_safe (import_all(import, "groups"), next, id, record) {
        json_t *copy = json_copy(record);
        json_object_set_new(copy, "users",
                            replace_text(json_object_get(record, "users"), old, new));
        if (!json_equal(copy, record))
            import_put(import, "groups", id, copy);
        json_decref(copy);
    }
    json_object_foreach_safe (import_all(import, "acls"), next, id, record)
        if (g_str_equal(json_text(record, "subject"), old)) {
            g_autofree char *key =
                account_acl_id(new, json_text(record, "object"), json_text(record, "action"));
            json_t *copy = json_copy(record);
            json_object_set_new(copy, "subject", json_string(new));
            json_object_set_new(copy, "id", json_string(key));
            g_autofree char *gone = g_strdup(id);
            import_drop(import, "acls", gone);
            import_put(import, "acls", key, copy);
            json_decref(copy);
        }
}

/* A login name is unique. */
static bool replace_same_name(Import *import, const char *id, const char *name, GError **error)
{
    g_autofree char *wanted = g_utf8_casefold(name, -1);
    const char *other_id;
    json_t *other;
    void *next;
    json_object_foreach_safe (import_all(import, "users"), next, other_id, other) {
        g_autofree char *folded = g_utf8_casefold(json_text(other, "email"), -1);
        if (g_str_equal(other_id, id) || !g_str_equal(folded, wanted))
            continue;
        if (json_object_get(json_object_get(import->changes, "users"), other_id)) {
            api_error_invalid(error, "email: %s is there twice", name);
            return false;
        }
        g_autofree char *gone = g_strdup(other_id);
        hand_over(import, gone, id);
        import_drop(import, "users", gone);
        import_note(import, "replaces the user %s, who had the same name: sign in again", gone);
    }
    return true;
}

static json_t *take_user(Import *import, json_t *sent, GError **error)
{
    json_t *preferences = json_object_get(sent, "preferences");
    const char *permission = json_text(sent, "permission"), *hash = json_text(sent, "pw_hash");
    if (!NEED("email"))
        return NULL;
    if (preferences && !json_is_object(preferences)) {
        api_error_invalid(error, "preferences: expected an object");
        return NULL;
    }
    if (!replace_same_name(import, import->id, json_text(sent, "email"), error))
        return NULL;
    json_t *record = COPY(NULL, "id", "email", "pw_hash", "authProviders", "preferences");
    bool is_admin = g_str_equal(permission, "admin");
    json_object_set_new(record, "permission", json_string(is_admin ? "admin" : "none"));
    if (!preferences)
        json_object_set_new(record, "preferences", json_object());
    if (*permission && !is_admin && !g_str_equal(permission, "none"))
        import_note(import, "the permission %s is not known: it has none", permission);
    if (*hash && !account_knows_hash(hash))
        import_note(import, "the password is kept in an unknown way: set a new one");
    return record;
}

static json_t *show_user(const ApiParts *parts, json_t *record)
{
    json_t *user = account_user(parts->accounts, json_text(record, "id"), NULL);
    json_object_set(record, "groups", json_object_get(user, "groups"));
    json_decref(user);
    return record;
}

/* --- groups, rules, tokens --- */

static json_t *take_group(Import *import, json_t *sent, GError **error)
{
    json_t *users = json_object_get(sent, "users"), *user, *known = json_array();
    size_t i;
    bool ok = NEED("name");
    if (ok && users && !json_is_array(users)) {
        api_error_invalid(error, "users: expected a list");
        ok = false;
    }
    json_array_foreach (users, i, user) {
        const char *id = json_string_value(user);
        if (id && import_find(import, "users", id))
            json_array_append(known, user);
        else
            import_note(import, "its user %s is not there", id ? id : "(no text)");
    }
    json_t *record = ok ? COPY(NULL, "id", "name", "provider", "providerGroupId") : NULL;
    if (record)
        json_object_set(record, "users", known);
    json_decref(known);
    return record;
}

static json_t *show_group(const ApiParts *parts, json_t *record)
{
    json_object_set_new(record, "aclRoleIds", json_array());
    return record;
}

static json_t *take_acl(Import *import, json_t *sent, GError **error)
{
    const char *subject = json_text(sent, "subject"), *action = json_text(sent, "action");
    if (!NEED("subject", "object", "action"))
        return NULL;
    if (!account_is_action(action)) {
        import_skip(import, "the role %s is not known", action);
        return NULL;
    }
    if (!import_find(import, "users", subject) && !import_find(import, "groups", subject)) {
        import_skip(import, "neither a user nor a group has the id %s", subject);
        return NULL;
    }
    json_t *record = COPY(NULL, "subject", "object", "action");
    g_autofree char *id = account_acl_id(subject, json_text(sent, "object"), action);
    json_object_set_new(record, "id", json_string(id));
    return record;
}

static json_t *take_token(Import *import, json_t *sent, GError **error)
{
    json_t *expiration = json_object_get(sent, "expiration");
    if (!NEED("user_id"))
        return NULL;
    if (!json_is_integer(expiration)) {
        api_error_invalid(error, "expiration: expected a time in milliseconds");
        return NULL;
    }
    import->id = import->name = NULL; /* the id is the secret */
    if (json_integer_value(expiration) <= g_get_real_time() / 1000) {
        import_skip(import, "it has expired");
        return NULL;
    }
    if (!import_find(import, "users", json_text(sent, "user_id"))) {
        import_skip(import, "there is no user %s", json_text(sent, "user_id"));
        return NULL;
    }
    return COPY(NULL, "id", "user_id", "created_at", "expiration", "description", "client",
                "last_uses");
}

/* --- servers and repositories --- */

static bool is_host_taken(Import *import, json_t *sent)
{
    const char *id;
    json_t *other;
    json_object_foreach (import_all(import, "servers"), id, other)
        if (!g_str_equal(id, import->id) &&
            g_str_equal(json_text(other, "host"), json_text(sent, "host"))) {
            import_skip(import, "the server %s has the same host", id);
            return true;
        }
    return false;
}

static json_t *take_server(Import *import, json_t *sent, GError **error)
{
    if (!NEED("host", "username") || is_host_taken(import, sent))
        return NULL;
    if (*json_text(sent, "httpProxy")) {
        import_skip(import, "it is reached through a proxy, which is not supported yet");
        return NULL;
    }
    json_t *old = import_find(import, "servers", import->id);
    json_t *record = COPY(old, "id", "host", "username", "password", "label", "enabled",
                          "allowUnauthorized", "readOnly", "fingerprint");
    settle_flag(record, "enabled", true);
    settle_flag(record, "allowUnauthorized", false);
    settle_flag(record, "readOnly", false);
    if (!json_is_string(json_object_get(record, "password")))
        json_object_set_new(record, "password", json_string(""));
    return record;
}

static json_t *take_remote(Import *import, json_t *sent, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    if (!NEED("url"))
        return NULL;
    if (*json_text(sent, "proxy")) {
        import_skip(import, "it is reached through a proxy of XO, which is not supported");
        return NULL;
    }
    if (!remotes_check_url(json_text(sent, "url"), &refusal)) {
        import_skip(import, "%s", refusal->message);
        return NULL;
    }
    json_t *old = import_find(import, "remotes", import->id);
    json_t *record = COPY(old, "id", "name", "url", "enabled", "options", "benchmarks");
    settle_flag(record, "enabled", true);
    return record;
}

/* What went wrong with it last is not configuration. */
static json_t *show_remote(const ApiParts *parts, json_t *record)
{
    json_object_del(record, "error");
    return record;
}

/* --- jobs and schedules --- */

/* Kinds of jobs that are kept, shown and given out again, but not run. */
static const char *const only_kept[] = { "metadataBackup", "mirrorBackup", NULL };

static bool is_run(json_t *job)
{
    return g_str_equal(json_text(job, "type"), "backup") ||
           g_str_equal(json_text(job, "type"), "call");
}

static json_t *take_job(Import *import, json_t *sent, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    if (!NEED("type"))
        return NULL;
    const char *type = json_text(sent, "type");
    json_t *record = json_deep_copy(sent);
    json_object_del(record, "runId");
    if (!is_run(record) && g_strv_contains(only_kept, type)) {
        import_note(import, "jobs of type %s are kept, but not run yet", type);
        return record;
    }
    bool calls = g_str_equal(type, "call");
    if (!calls && !json_object_get(record, "settings"))
        json_object_set_new(record, "settings", json_object());
    if (!is_run(record))
        import_skip(import, "jobs of type %s are not known", type);
    else if (!(calls ? call_job_check(record, &refusal) : job_check(record, &refusal)))
        import_skip(import, "%s", refusal->message);
    else
        return record;
    json_decref(record);
    return NULL;
}

/* The cron line in XO's words; false: the schedule is not taken. */
static bool settle_cron(Import *import, json_t *record)
{
    const char *sent = json_text(record, "cron");
    g_autofree char *cron = cron_translate(sent);
    if (!cron) {
        import_skip(import, "cron: \"%s\" is not understood", sent);
        return false;
    }
    if (!g_str_equal(cron, sent) && !MUTANT(config_foreign_cron)) { /* mutant: api_config */
        import_note(import, "cron: \"%s\" is kept as \"%s\"", sent, cron);
        json_object_set_new(record, "cron", json_string(cron));
    }
    return true;
}

static json_t *take_schedule(Import *import, json_t *sent, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    if (!NEED("jobId", "cron"))
        return NULL;
    json_t *job = import_find(import, "jobs", json_text(sent, "jobId"));
    if (!job) {
        import_skip(import, "its job %s is not there", json_text(sent, "jobId"));
        return NULL;
    }
    json_t *record = COPY(NULL, "cron", "enabled", "jobId", "name", "timezone", "userId", "id");
    settle_flag(record, "enabled", false);
    if (!json_object_get(record, "name"))
        json_object_set_new(record, "name", json_string(""));
    bool ok = settle_cron(import, record);
    if (ok && !schedule_check(record, &refusal)) {
        import_skip(import, "%s", refusal->message);
        ok = false;
    }
    if (ok && !is_run(job) && json_is_true(json_object_get(record, "enabled"))) {
        import_note(import, "is disabled: jobs of type %s are not run yet", json_text(job, "type"));
        json_object_set_new(record, "enabled", json_false());
    }
    if (!ok)
        g_clear_pointer(&record, json_decref);
    return record;
}

/* XO knows "wen" only. */
static json_t *show_schedule(const ApiParts *parts, json_t *record)
{
    g_autofree char *cron = cron_translate(json_text(record, "cron"));
    if (cron)
        json_object_set_new(record, "cron", json_string(cron));
    return record;
}

/* --- tags and cloud configurations --- */

static json_t *take_tag(Import *import, json_t *sent, GError **error)
{
    const char *color = json_text(sent, "color");
    if (*color && !g_regex_match_simple("^#[0-9A-Fa-f]{6}$", color, 0, 0)) {
        import_skip(import, "color: %s is not a colour such as #00ff80", color);
        return NULL;
    }
    return COPY(NULL, "id", "color");
}

static json_t *take_cloud_config(Import *import, json_t *sent, GError **error)
{
    return NEED("name", "template") ? COPY(NULL, "id", "name", "template", "type") : NULL;
}

/* --- resource sets --- */

static json_t *take_resource_set(Import *import, json_t *sent, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    json_t *set = NEED("id") ? resource_set_settle(sent, &refusal) : NULL;
    if (refusal)
        import_skip(import, "%s", refusal->message);
    return set;
}

/* XO's have what is used beside each limit. */
static json_t *show_resource_set(const ApiParts *parts, json_t *record)
{
    json_t *sets = json_pack("[O]", record);
    resource_sets_measure(parts, sets);
    json_decref(sets);
    return record;
}

/* --- pools of IP addresses: who has which is seen, not kept --- */

static json_t *take_ip_pool(Import *import, json_t *sent, GError **error)
{
    json_t *pool = NEED("id") ? COPY(NULL, "id", "name", "addresses", "networks", "resourceSets")
                              : NULL;
    json_t *addresses = json_object_get(pool, "addresses"), *address;
    const char *text;
    if (pool && addresses && !json_is_object(addresses)) {
        import_skip(import, "addresses: expected an object");
        g_clear_pointer(&pool, json_decref);
        return NULL;
    }
    addresses = json_deep_copy(addresses);
    json_object_foreach (addresses, text, address)
        json_object_del(address, "vifs");
    if (addresses)
        json_object_set_new(pool, "addresses", addresses);
    return pool;
}

/* --- Plug-ins: the store seals the text of a configuration --- */

static bool check_plugin(Import *import, json_t *configuration)
{
    g_autoptr(GError) refusal = NULL;
    if (!plugins_know(import->id))
        import_note(import, "is kept, but this server has no such plug-in yet");
    else if (configuration && !plugins_check(import->id, configuration, &refusal))
        import_skip(import, "%s", refusal->message);
    return !refusal;
}

static json_t *take_plugin(Import *import, json_t *sent, GError **error)
{
    json_t *configuration = json_object_get(sent, "configuration");
    if (json_is_null(configuration))
        configuration = NULL;
    if (!check_plugin(import, configuration))
        return NULL;
    json_t *record = COPY(NULL, "id", "autoload");
    settle_flag(record, "autoload", true);
    char *text = configuration ? plugin_record_text(configuration) : NULL;
    if (text)
        json_object_set_new(record, "configuration", json_string(text));
    free(text);
    return record;
}

static json_t *show_plugin(const ApiParts *parts, json_t *record)
{
    json_t *text = json_object_get(record, "configuration");
    if (text)
        json_object_set_new(record, "configuration",
                            json_loads(json_string_value(text), JSON_DECODE_ANY, NULL));
    return record;
}

/* --- The table --- */

#define WITH(...)                                                                                  \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

const ConfigEntry config_entries[] = {
    { "users", "users", .take = take_user, .show = show_user },
    { "groups", "groups", .take = take_group, .show = show_group, .with = WITH("users") },
    { "acls", "acls", .take = take_acl, .with = WITH("users", "groups") },
    { "authTokens", "tokens", .take = take_token, .with = WITH("users") },
    { "xenServers", "servers", .take = take_server, .sealed = "password" },
    { "remotes", "remotes", .take = take_remote, .show = show_remote, .sealed = "url" },
    { "jobs", "jobs", .take = take_job, .with = WITH("remotes", "users") },
    { "schedules", "schedules", .take = take_schedule, .show = show_schedule,
      .with = WITH("jobs") },
    { "tags", "tags", .take = take_tag },
    { "cloudConfigs", "cloudConfigs", .take = take_cloud_config },
    { "roles", ROLES, .take = config_take_role, .show = config_show_role,
      .with = WITH("users", "groups") },
    { "privileges", "aclPrivileges", .take = config_take_privilege, .with = WITH("roles") },
    { "userRole", .attaches = "users", .subject = "userId", .with = WITH("users", "roles") },
    { "groupRole", .attaches = "groups", .subject = "groupId", .with = WITH("groups", "roles") },
    { "plugins", PLUGINS, .take = take_plugin, .show = show_plugin, .sealed = "configuration" },
    { "proxies", .reason = "proxies of XO are not supported" },
    { "resourceSets", RESOURCE_SETS, .take = take_resource_set, .show = show_resource_set,
      .with = WITH("users", "groups") },
    { "ipPools", IP_POOLS, .take = take_ip_pool },
    { NULL },
};

const ConfigEntry *config_entry(const char *name)
{
    for (const ConfigEntry *entry = config_entries; name && entry->name; entry++)
        if (g_str_equal(entry->name, name))
            return entry;
    return NULL;
}

static bool open_secret(const ApiParts *parts, json_t *record, const char *field, GError **error)
{
    const char *sealed = json_string_value(json_object_get(record, field));
    g_autofree char *clear = sealed ? store_unseal(parts->store, sealed, error) : NULL;
    if (clear)
        json_object_set_new(record, field, json_string(clear));
    return !sealed || clear;
}

bool config_keeps(const ConfigEntry *entry)
{
    return entry->collection || entry->attaches;
}

json_t *config_records(const ApiParts *parts, const ConfigEntry *entry, GError **error)
{
    if (entry->attaches)
        return config_attachments(parts, entry, error);
    json_t *list = store_list(parts->store, entry->collection, error), *record;
    size_t i;
    bool ok = list != NULL;
    json_array_foreach (list, i, record)
        ok = ok && (!entry->sealed || open_secret(parts, record, entry->sealed, error));
    if (!ok)
        g_clear_pointer(&list, json_decref);
    return list;
}
