/* The parts of a configuration: what of each record is kept, and under which conditions. What XO
 * has and this server does not keep is named with the reason. */
#include "api/config_private.h"
#include "api/ip_pools.h"
#include "api/error.h"
#include "api/resource_sets.h"
#include "base/json_text.h"
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

void config_flag(json_t *record, const char *key, bool otherwise)
{
    json_t *value = json_object_get(record, key);
    const char *text = json_string_value(value);
    bool is = value ? json_is_true(value) || g_strcmp0(text, "true") == 0 : otherwise;
    json_object_set_new(record, key, json_boolean(is));
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
    config_flag(record, "enabled", true);
    config_flag(record, "allowUnauthorized", false);
    config_flag(record, "readOnly", false);
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
    config_flag(record, "enabled", true);
    return record;
}

/* What went wrong with it last is not configuration. */
static json_t *show_remote(const ApiParts *parts, json_t *record)
{
    json_object_del(record, "error");
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
    config_flag(record, "autoload", true);
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
    { "users", "users", .take = config_take_user, .show = config_show_user },
    { "groups", "groups", .take = config_take_group, .show = config_show_group,
      .with = WITH("users") },
    { "acls", "acls", .take = config_take_acl, .with = WITH("users", "groups") },
    { "authTokens", "tokens", .take = config_take_token, .with = WITH("users") },
    { "xenServers", "servers", .take = take_server, .sealed = "password" },
    { "remotes", "remotes", .take = take_remote, .show = show_remote, .sealed = "url" },
    { "jobs", "jobs", .take = config_take_job, .with = WITH("remotes", "users") },
    { "schedules", "schedules", .take = config_take_schedule, .show = config_show_schedule,
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
