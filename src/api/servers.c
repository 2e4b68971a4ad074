/* The records: what is stored, what is shown, what may change when. links.c holds the live side. */
#include "api/error.h"
#include "api/servers_private.h"

static const char *text_of(json_t *record, const char *key)
{
    return json_string_value(json_object_get(record, key));
}

json_t *servers_record(Servers *servers, const char *id, GError **error)
{
    g_autoptr(GError) missing = NULL;
    json_t *record = store_get(servers->store, SERVERS_COLLECTION, id, &missing);
    if (!record && err_is(missing, ERR_NOT_FOUND))
        api_error_no_such(error, id, "xenServer");
    else if (!record)
        g_propagate_error(error, g_steal_pointer(&missing));
    return record;
}

/* --- Life --- */

Servers *servers_new(Store *store, Hub *hub)
{
    Servers *servers = g_new0(Servers, 1);
    servers->store = store;
    servers->hub = hub;
    links_begin(servers);
    return servers;
}

bool servers_start(Servers *servers, GError **error)
{
    json_t *list = store_list(servers->store, SERVERS_COLLECTION, error);
    if (!list)
        return false;
    size_t i;
    json_t *record;
    json_array_foreach (list, i, record)
        if (json_is_true(json_object_get(record, "enabled")))
            links_push(servers, g_strdup(text_of(record, "id")));
    json_decref(list);
    return true;
}

void servers_wait(Servers *servers, unsigned timeout_ms)
{
    gint64 until = g_get_monotonic_time() + (gint64) timeout_ms * 1000;
    g_mutex_lock(&servers->mutex);
    while (servers->n_tasks > 0 && !servers->stopping &&
           g_cond_wait_until(&servers->settled, &servers->mutex, until))
        ;
    g_mutex_unlock(&servers->mutex);
}

void servers_interrupt(Servers *servers)
{
    g_mutex_lock(&servers->mutex);
    servers->stopping = true;
    g_cond_broadcast(&servers->settled);
    g_mutex_unlock(&servers->mutex);
}

void servers_leave(Servers *servers, bool transfers)
{
    g_autoptr(GPtrArray) links = links_now(servers);
    for (unsigned i = 0; i < links->len; i++) {
        Pool *pool = ((Link *) links->pdata[i])->pool;
        xapi_leave(pool_xapi(pool), transfers);
        if (pool_status(pool) != POOL_CONNECTED)
            pool_disconnect(pool);
    }
}

void servers_free(Servers *servers)
{
    links_end(servers);
    g_free(servers);
}

/* --- Finding --- */

Link *servers_find(Servers *servers, const char *id, Inventory **inventory)
{
    g_autoptr(GPtrArray) links = links_now(servers);
    for (unsigned i = 0; i < links->len; i++) {
        g_autoptr(Inventory) now = pool_inventory(((Link *) links->pdata[i])->pool);
        if (!now || !inventory_type(now, id))
            continue;
        if (inventory)
            *inventory = g_steal_pointer(&now);
        return link_ref(links->pdata[i]);
    }
    return NULL;
}

json_t *servers_object(Servers *servers, const char *id)
{
    Inventory *inventory = NULL;
    g_autoptr(Link) link = servers_find(servers, id, &inventory);
    if (!link)
        return NULL;
    json_t *object = inventory_object(inventory, id);
    inventory_unref(inventory);
    return object;
}

GBytes *servers_text(const char *id, const char **type, void *servers)
{
    Inventory *inventory = NULL;
    g_autoptr(Link) link = servers_find(servers, id, &inventory);
    if (!link)
        return NULL;
    GBytes *text = inventory_text(inventory, id);
    *type = inventory_type(inventory, id);
    inventory_unref(inventory);
    return text;
}

void servers_each(Servers *servers, const char *type,
                  void (*seen)(const char *id, const char *type, GBytes *text, void *user),
                  void *user)
{
    g_autoptr(GPtrArray) links = links_now(servers);
    for (unsigned i = 0; i < links->len; i++) {
        g_autoptr(Inventory) now = pool_inventory(((Link *) links->pdata[i])->pool);
        if (now)
            inventory_each(now, type, seen, user);
    }
}

json_t *servers_connection_of(Servers *servers, const char *object_id, GError **error)
{
    Inventory *inventory = NULL;
    g_autoptr(Link) link = servers_find(servers, object_id, &inventory);
    json_t *record = link ? servers_record(servers, link->server_id, error) : NULL;
    if (!link)
        err_set(error, ERR_NOT_FOUND, "no connected pool has the object %s", object_id);
    g_autofree char *password =
        record ? store_unseal(servers->store, text_of(record, "password"), error) : NULL;
    json_t *connection = NULL;
    if (password)
        connection = json_pack(
            "{s:s, s:s, s:s, s:s, s:b, s:s*}", "id", inventory_pool_id(inventory), "host",
            text_of(record, "host"), "username", text_of(record, "username"), "password", password,
            "allowUnauthorized", json_is_true(json_object_get(record, "allowUnauthorized")),
            "fingerprint", text_of(record, "fingerprint"));
    json_decref(record);
    g_clear_pointer(&inventory, inventory_unref);
    return connection;
}

/* --- Records --- */

static json_t *error_view(const GError *error, gint64 since_ms)
{
    if (!error)
        return NULL;
    const char *const *detail = err_detail(error);
    const char *fingerprint = err_is(error, ERR_TLS) && detail ? detail[0] : NULL;
    return json_pack("{s:s, s:s, s:s, s:I, s:s*}", "message", error->message, "code",
                     err_name(error), "remedy", err_remedy(error), "since", (json_int_t) since_ms,
                     "fingerprint", fingerprint);
}

static void show_live(Servers *servers, json_t *record)
{
    g_mutex_lock(&servers->mutex);
    State *state = g_hash_table_lookup(servers->states, text_of(record, "id"));
    const char *status = links_status(state);
    g_autoptr(Link) link = state && state->link ? link_ref(state->link) : NULL;
    g_autoptr(GError) error = state && state->error ? g_error_copy(state->error) : NULL;
    gint64 since_ms = state ? state->since_ms : 0;
    g_mutex_unlock(&servers->mutex);
    json_object_set_new(record, "status", json_string(status));
    if (link && !error && !g_str_equal(status, "connected"))
        error = pool_error(link->pool, &since_ms);
    if (error)
        json_object_set_new(record, "error", error_view(error, since_ms));
    json_t *pool = link && g_str_equal(status, "connected") ? links_pool_view(link) : NULL;
    if (pool) {
        json_object_set(record, "poolId", json_object_get(pool, "id"));
        json_object_set(record, "master", json_object_get(pool, "master"));
        json_object_set(record, "poolNameLabel", json_object_get(pool, "name_label"));
        json_object_set(record, "poolNameDescription", json_object_get(pool, "name_description"));
    }
    json_decref(pool);
}

json_t *servers_list(Servers *servers, GError **error)
{
    json_t *list = store_list(servers->store, SERVERS_COLLECTION, error);
    size_t i;
    json_t *record;
    json_array_foreach (list, i, record) {
        json_object_del(record, "password");
        show_live(servers, record);
        if (!json_object_get(record, "label") && json_object_get(record, "poolNameLabel"))
            json_object_set(record, "label", json_object_get(record, "poolNameLabel"));
    }
    return list;
}

static bool check_host(Servers *servers, const char *host, const char *but_id, GError **error)
{
    json_t *list = store_list(servers->store, SERVERS_COLLECTION, error);
    bool ok = list != NULL;
    size_t i;
    json_t *record;
    json_array_foreach (list, i, record) {
        if (g_strcmp0(text_of(record, "host"), host) != 0 ||
            g_strcmp0(text_of(record, "id"), but_id) == 0)
            continue;
        api_error_set(error, API_OBJECT_ALREADY_EXISTS, json_pack("{s:s}", "objectType", "server"),
                      "server already exists");
        ok = false;
        break;
    }
    if (ok && !but_id && json_array_size(list) >= SERVERS_MAX) {
        err_set(error, ERR_LIMIT, "there are already %d servers", SERVERS_MAX);
        ok = false;
    }
    json_decref(list);
    return ok;
}

/* Applies given fields; the password is sealed. */
static bool apply(Servers *servers, json_t *record, json_t *changes, GError **error)
{
    const char *key;
    json_t *value;
    json_object_foreach (changes, key, value) {
        if (g_str_equal(key, "id") || g_str_equal(key, "autoConnect"))
            continue;
        if (json_is_null(value)) {
            json_object_del(record, key);
        } else if (g_str_equal(key, "password")) {
            g_autofree char *sealed = store_seal(servers->store, json_string_value(value), error);
            if (!sealed)
                return false;
            json_object_set_new(record, key, json_string(sealed));
        } else {
            json_object_set(record, key, value);
        }
    }
    if (text_of(record, "httpProxy")) {
        err_set(error, ERR_UNSUPPORTED, "httpProxy of server %s: proxies are not supported yet",
                text_of(record, "host"));
        return false;
    }
    return true;
}

char *servers_add(Servers *servers, json_t *params, GError **error)
{
    bool connect = !json_is_false(json_object_get(params, "autoConnect"));
    if (!check_host(servers, text_of(params, "host"), NULL, error))
        return NULL;
    g_autofree char *id = g_uuid_string_random();
    json_t *record = json_pack("{s:s, s:b, s:b, s:b}", "id", id, "enabled", connect,
                               "allowUnauthorized", 0, "readOnly", 0);
    bool ok = apply(servers, record, params, error) &&
              store_add(servers->store, SERVERS_COLLECTION, id, record, error);
    json_decref(record);
    if (!ok)
        return NULL;
    if (connect)
        links_push(servers, g_strdup(id));
    return g_steal_pointer(&id);
}

static bool touches_connection(json_t *changes)
{
    const char *const keys[] = { "host",      "username",          "password",
                                 "httpProxy", "allowUnauthorized", "fingerprint" };
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++)
        if (json_object_get(changes, keys[i]))
            return true;
    return false;
}

static bool check_idle(Servers *servers, const char *id, GError **error)
{
    g_mutex_lock(&servers->mutex);
    const char *status = links_status(g_hash_table_lookup(servers->states, id));
    g_mutex_unlock(&servers->mutex);
    if (!g_str_equal(status, "connected"))
        return true;
    err_set(error, ERR_STATE, "server %s is connected: disconnect it before changing how", id);
    return false;
}

bool servers_set(Servers *servers, const char *id, json_t *changes, GError **error)
{
    json_t *record = servers_record(servers, id, error);
    const char *host = text_of(changes, "host");
    bool ok = record && (!touches_connection(changes) || check_idle(servers, id, error)) &&
              (!host || check_host(servers, host, id, error)) &&
              apply(servers, record, changes, error) &&
              store_put(servers->store, SERVERS_COLLECTION, id, record, error);
    if (ok && json_object_get(changes, "readOnly")) {
        g_mutex_lock(&servers->mutex);
        State *state = g_hash_table_lookup(servers->states, id);
        if (state && state->link)
            state->link->is_read_only = json_is_true(json_object_get(changes, "readOnly"));
        g_mutex_unlock(&servers->mutex);
    }
    json_decref(record);
    return ok;
}

static bool set_enabled(Servers *servers, const char *id, bool enabled, GError **error)
{
    json_t *record = servers_record(servers, id, error);
    if (!record)
        return false;
    json_object_set_new(record, "enabled", json_boolean(enabled));
    bool ok = store_put(servers->store, SERVERS_COLLECTION, id, record, error);
    json_decref(record);
    return ok;
}

/* --- One of a pool's hosts by itself --- */

static char *find_by_host(Servers *servers, const char *host)
{
    json_t *list = store_list(servers->store, SERVERS_COLLECTION, NULL), *record;
    char *id = NULL;
    size_t i;
    json_array_foreach (list, i, record)
        if (!id && g_strcmp0(text_of(record, "host"), host) == 0)
            id = g_strdup(text_of(record, "id"));
    json_decref(list);
    return id;
}

/* Its certificate is another one: the fingerprint stays behind. */
static json_t *record_like(Servers *servers, const Link *link, const char *address, GError **error)
{
    static const char *const same[] = { "username", "password", "label", "allowUnauthorized",
                                        "readOnly" };
    json_t *like = servers_record(servers, link->server_id, error);
    if (!like)
        return NULL;
    g_autofree char *host = xapi_address_beside(text_of(like, "host"), address);
    g_autofree char *id = g_uuid_string_random();
    json_t *record = json_pack("{s:s, s:s, s:b}", "id", id, "host", host, "enabled", 1);
    for (unsigned i = 0; i < G_N_ELEMENTS(same); i++)
        if (json_object_get(like, same[i]))
            json_object_set(record, same[i], json_object_get(like, same[i]));
    json_decref(like);
    return record;
}

char *servers_add_beside(Servers *servers, const Link *link, const char *address, GError **error)
{
    json_t *record = record_like(servers, link, address, error);
    if (!record)
        return NULL;
    g_autofree char *id = find_by_host(servers, text_of(record, "host"));
    bool ok = id ? set_enabled(servers, id, true, error)
                 : check_host(servers, text_of(record, "host"), NULL, error) &&
                       store_add(servers->store, SERVERS_COLLECTION, text_of(record, "id"), record,
                                 error);
    if (ok && !id)
        id = g_strdup(text_of(record, "id"));
    json_decref(record);
    if (!ok)
        return NULL;
    servers_look_again(servers, id);
    return g_steal_pointer(&id);
}

bool servers_enable(Servers *servers, const char *id, GError **error)
{
    return set_enabled(servers, id, true, error) && links_connect(servers, id, error);
}

bool servers_disable(Servers *servers, const char *id, GError **error)
{
    if (!set_enabled(servers, id, false, error))
        return false;
    links_disconnect(servers, id);
    return true;
}

bool servers_remove(Servers *servers, const char *id, GError **error)
{
    json_t *record = servers_record(servers, id, error);
    json_decref(record);
    if (!record)
        return false;
    links_disconnect(servers, id);
    return store_drop(servers->store, SERVERS_COLLECTION, id, NULL, error);
}

void servers_look_again(Servers *servers, const char *id)
{
    json_t *record = servers_record(servers, id, NULL);
    bool enabled = json_is_true(json_object_get(record, "enabled"));
    g_mutex_lock(&servers->mutex);
    State *state = g_hash_table_lookup(servers->states, id);
    bool idle = g_str_equal(links_status(state), "disconnected");
    if (state && state->link)
        state->link->is_read_only = json_is_true(json_object_get(record, "readOnly"));
    g_mutex_unlock(&servers->mutex);
    json_decref(record);
    if (enabled && idle)
        links_push(servers, g_strdup(id));
    else if (!enabled)
        links_disconnect(servers, id);
}
