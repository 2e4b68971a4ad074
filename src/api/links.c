/* Each server record has at most one link, which owns a pool. A link is first registered, then
 * connected by the thread that asked (a person's call, or a background task at start), so that
 * disabling meanwhile finds it. A first attempt that fails for a passing reason goes on in the
 * background for ever; one that a person must mend (password, certificate) does not. */
#include "api/error.h"
#include "api/servers_private.h"
#include "base/log.h"
#include "base/mutant.h"

enum { N_TASK_THREADS = 8 };

static void state_free(void *data)
{
    State *state = data;
    g_clear_error(&state->error);
    g_free(state);
}

Link *link_ref(Link *link)
{
    g_atomic_int_inc(&link->n_refs);
    return link;
}

void link_unref(Link *link)
{
    if (!g_atomic_int_dec_and_test(&link->n_refs))
        return;
    pool_free(link->pool);
    g_clear_pointer(&link->told, inventory_unref);
    g_free(link->server_id);
    g_free(link);
}

Pool *link_pool(Link *link)
{
    return link->pool;
}

bool link_is_read_only(const Link *link)
{
    return link->is_read_only;
}

static const char *text_of(json_t *record, const char *key)
{
    return json_string_value(json_object_get(record, key));
}

/* --- Live states; the mutex is held --- */

static State *state_of(Servers *servers, const char *id)
{
    State *state = g_hash_table_lookup(servers->states, id);
    if (!state) {
        state = g_new0(State, 1);
        g_hash_table_insert(servers->states, g_strdup(id), state);
    }
    return state;
}

static void set_error(State *state, const GError *error)
{
    g_clear_error(&state->error);
    state->error = error ? g_error_copy(error) : NULL;
    state->since_ms = g_get_real_time() / 1000;
}

const char *links_status(State *state)
{
    if (!state || !state->link)
        return "disconnected";
    if (pool_status(state->link->pool) == POOL_CONNECTED)
        return "connected";
    g_autoptr(GError) error = state->busy ? NULL : pool_error(state->link->pool, NULL);
    return error ? "disconnected" : "connecting";
}

/* --- Links --- */

static void pool_changed(Pool *pool, Inventory *now, GPtrArray *entered, GPtrArray *left,
                         void *user)
{
    Link *link = user;
    hub_changed(link->servers->hub, link->told, now, entered, left);
    g_clear_pointer(&link->told, inventory_unref);
    link->told = now ? inventory_ref(now) : NULL;
}

/* From the pool's thread: what follows a connection is done elsewhere. */
static void pool_status_changed(Pool *pool, void *user)
{
    Link *link = user;
    if (pool_status(pool) == POOL_CONNECTED)
        links_push(link->servers, g_strdup_printf("!%s", link->server_id));
}

static Link *link_new(Servers *servers, json_t *record, GError **error)
{
    const char *sealed = text_of(record, "password");
    g_autofree char *password = store_unseal(servers->store, sealed ? sealed : "", error);
    if (!password)
        return NULL;
    const char *fingerprint = text_of(record, "fingerprint");
    bool unverified = json_is_true(json_object_get(record, "allowUnauthorized"));
    XapiConfig config = { .host = text_of(record, "host"),
                          .username = text_of(record, "username"),
                          .password = password,
                          .trust = fingerprint  ? HTTP_TRUST_FINGERPRINT
                                   : unverified ? HTTP_TRUST_ANY
                                                : HTTP_TRUST_SYSTEM,
                          .fingerprint = fingerprint };
    Link *link = g_new0(Link, 1);
    link->n_refs = 1;
    link->servers = servers;
    link->server_id = g_strdup(text_of(record, "id"));
    link->is_read_only = json_is_true(json_object_get(record, "readOnly"));
    PoolOps ops = { .changed = pool_changed, .status = pool_status_changed, .user = link };
    link->pool = pool_new(&config, &ops);
    return link;
}

static void collect_id(const char *id, const char *type, GBytes *text, void *user)
{
    g_ptr_array_add(user, g_strdup(id));
}

/* Ends a link that is in no state any more; its objects leave. */
static void link_end(Link *link)
{
    g_autoptr(Inventory) inventory = pool_inventory(link->pool);
    pool_disconnect(link->pool);
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
    if (inventory)
        inventory_each(inventory, NULL, collect_id, left);
    hub_changed(link->servers->hub, inventory, NULL, NULL, left);
    link_unref(link);
}

/* The links as they are now, each referenced. */
GPtrArray *links_now(Servers *servers)
{
    GPtrArray *links = g_ptr_array_new_with_free_func((GDestroyNotify) link_unref);
    GHashTableIter iter;
    void *state;
    g_mutex_lock(&servers->mutex);
    g_hash_table_iter_init(&iter, servers->states);
    while (g_hash_table_iter_next(&iter, NULL, &state))
        if (((State *) state)->link)
            g_ptr_array_add(links, link_ref(((State *) state)->link));
    g_mutex_unlock(&servers->mutex);
    return links;
}

static bool is_current(Servers *servers, Link *link)
{
    g_mutex_lock(&servers->mutex);
    bool is = state_of(servers, link->server_id)->link == link;
    g_mutex_unlock(&servers->mutex);
    return is;
}

/* Takes the link out of its state when it is still the one; the caller ends it. */
static bool release(Servers *servers, Link *link, const GError *error)
{
    g_mutex_lock(&servers->mutex);
    State *state = state_of(servers, link->server_id);
    bool current = state->link == link;
    if (current) {
        state->link = NULL;
        set_error(state, error);
    }
    g_mutex_unlock(&servers->mutex);
    return current;
}

/* --- Connecting --- */

/* Another link to the same pool, or NULL: a new reference. */
static Link *find_twin(Servers *servers, Link *link)
{
    g_autoptr(Inventory) mine = pool_inventory(link->pool);
    g_autoptr(GPtrArray) links = links_now(servers);
    for (unsigned i = 0; mine && i < links->len; i++) {
        Link *other = links->pdata[i];
        g_autoptr(Inventory) theirs = other == link ? NULL : pool_inventory(other->pool);
        if (theirs && *inventory_pool_id(mine) && pool_status(other->pool) == POOL_CONNECTED &&
            g_str_equal(inventory_pool_id(mine), inventory_pool_id(theirs)))
            return link_ref(other);
    }
    return NULL;
}

static bool check_twin(Servers *servers, Link *link, GError **error)
{
    g_autoptr(Link) twin = find_twin(servers, link);
    if (!twin || MUTANT(servers_twins)) /* mutant: system:test_api.Servers.test_twin */
        return true;
    json_t *record = servers_record(servers, twin->server_id, NULL);
    err_set(error, ERR_EXISTS, "this pool is already connected, through the server %s (%s)",
            twin->server_id, record ? text_of(record, "host") : "?");
    json_decref(record);
    return false;
}

/* The first attempt. A passing failure leaves the link, which goes on trying. */
static bool first_attempt(Servers *servers, Link *link, GError **error)
{
    g_autoptr(GError) failure = NULL;
    bool ok = pool_connect(link->pool, false, &failure) && check_twin(servers, link, &failure);
    if (!is_current(servers, link)) {
        pool_disconnect(link->pool);
        err_set(error, ERR_CANCELLED, "server %s was disabled meanwhile", link->server_id);
        return false;
    }
    if (ok)
        return true;
    log_warning("servers", "%s: %s", link->server_id, failure->message);
    if (err_may_retry(failure))
        pool_connect(link->pool, true, NULL);
    else if (release(servers, link, failure))
        link_end(link);
    g_propagate_error(error, g_steal_pointer(&failure));
    return false;
}

/* Registers a new link, ready to be connected; the caller gets a reference. */
static Link *begin(Servers *servers, const char *id, GError **error)
{
    json_t *record = servers_record(servers, id, error);
    if (!record)
        return NULL;
    g_autoptr(Link) made = link_new(servers, record, error);
    json_decref(record);
    if (!made)
        return NULL;
    g_mutex_lock(&servers->mutex);
    State *state = state_of(servers, id);
    const char *status = links_status(state);
    Link *old = NULL;
    bool idle = !state->busy && !g_str_equal(status, "connected") && !servers->stopping;
    if (idle) {
        old = state->link; /* one that keeps trying makes place */
        state->link = link_ref(made);
        state->busy = true;
        set_error(state, NULL);
    }
    g_mutex_unlock(&servers->mutex);
    if (old)
        link_end(old);
    if (idle)
        return g_steal_pointer(&made);
    api_error_plain(error, API_INCORRECT_STATE,
                    json_pack("{s:s, s:s, s:s, s:s}", "actual", status, "expected", "disconnected",
                              "object", id, "property", "status"));
    return NULL;
}

bool links_connect(Servers *servers, const char *id, GError **error)
{
    g_autoptr(Link) link = begin(servers, id, error);
    if (!link)
        return false;
    bool ok = first_attempt(servers, link, error);
    g_mutex_lock(&servers->mutex);
    State *state = state_of(servers, id);
    if (state->link == link || !state->link)
        state->busy = false;
    g_cond_broadcast(&servers->settled);
    g_mutex_unlock(&servers->mutex);
    return ok;
}

/* --- What a pool says of itself, kept for when it is away --- */

json_t *links_pool_view(Link *link)
{
    g_autoptr(Inventory) inventory = pool_inventory(link->pool);
    const char *id = inventory ? inventory_pool_id(inventory) : "";
    return *id ? inventory_object(inventory, id) : NULL;
}

static void collect_address(const char *id, const char *type, GBytes *text, void *user)
{
    json_t *host = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    json_t *address = json_object_get(host, "address");
    if (address)
        json_array_append(user, address);
    json_decref(host);
}

static void keep_facts(Servers *servers, Link *link)
{
    json_t *pool = links_pool_view(link);
    json_t *record = store_get(servers->store, SERVERS_COLLECTION, link->server_id, NULL);
    g_autoptr(Inventory) inventory = pool_inventory(link->pool);
    if (pool && record && inventory) {
        json_t *addresses = json_array();
        inventory_each(inventory, "host", collect_address, addresses);
        json_object_set(record, "poolNameLabel", json_object_get(pool, "name_label"));
        json_object_set(record, "poolNameDescription", json_object_get(pool, "name_description"));
        json_object_set_new(record, "poolMembersAddresses", addresses);
        store_put(servers->store, SERVERS_COLLECTION, link->server_id, record, NULL);
    }
    json_decref(pool);
    json_decref(record);
}

static void after_connection(Servers *servers, const char *id)
{
    g_mutex_lock(&servers->mutex);
    State *state = state_of(servers, id);
    g_autoptr(Link) link = state->link ? link_ref(state->link) : NULL;
    bool busy = state->busy;
    g_mutex_unlock(&servers->mutex);
    g_autoptr(GError) error = NULL;
    if (!link)
        return;
    if (!busy && !check_twin(servers, link, &error) && release(servers, link, error)) {
        log_warning("servers", "%s: %s", id, error->message);
        link_end(link);
        return;
    }
    keep_facts(servers, link);
}

/* A task is the id of a server to connect, or "!" and the id of one that just was. */
static void run_task(void *data, void *user)
{
    g_autofree char *task = data;
    Servers *servers = user;
    if (task[0] == '!')
        after_connection(servers, task + 1);
    else
        links_connect(servers, task, NULL);
    g_mutex_lock(&servers->mutex);
    servers->n_tasks--;
    g_cond_broadcast(&servers->settled);
    g_mutex_unlock(&servers->mutex);
}

/* The text is taken. */
void links_push(Servers *servers, char *task)
{
    g_mutex_lock(&servers->mutex);
    bool stopping = servers->stopping;
    servers->n_tasks += !stopping;
    g_mutex_unlock(&servers->mutex);
    if (stopping)
        g_free(task);
    else
        g_thread_pool_push(servers->tasks, task, NULL);
}

void links_disconnect(Servers *servers, const char *id)
{
    g_mutex_lock(&servers->mutex);
    State *state = state_of(servers, id);
    Link *link = g_steal_pointer(&state->link);
    set_error(state, NULL);
    g_mutex_unlock(&servers->mutex);
    if (link)
        link_end(link);
}

void links_begin(Servers *servers)
{
    g_mutex_init(&servers->mutex);
    g_cond_init(&servers->settled);
    servers->states = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, state_free);
    servers->tasks = g_thread_pool_new(run_task, servers, N_TASK_THREADS, FALSE, NULL);
}

void links_end(Servers *servers)
{
    servers_interrupt(servers);
    GPtrArray *links = links_now(servers);
    for (unsigned i = 0; i < links->len; i++)
        pool_disconnect(((Link *) links->pdata[i])->pool);
    g_thread_pool_free(servers->tasks, FALSE, TRUE);
    for (unsigned i = 0; i < links->len; i++)
        if (release(servers, links->pdata[i], NULL))
            link_unref(links->pdata[i]);
    g_ptr_array_unref(links); /* their callbacks know `servers` */
    g_hash_table_unref(servers->states);
    g_mutex_clear(&servers->mutex);
    g_cond_clear(&servers->settled);
}
