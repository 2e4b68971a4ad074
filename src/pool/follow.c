/* The thread of a pool, from top to bottom: log in, read every class, then follow the events; when
 * anything breaks, say why, wait a little longer each time, and begin again. */
#include "pool/follow.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"
#include "pool/reading.h"

#include <string.h>

enum {
    BACKOFF_MIN_MS = 1000,
    BACKOFF_MAX_MS = 60 * 1000,
    PAUSE_STEP_MS = 50,
    READ_AGAIN_PAUSE_MS = 200, /* a pool that loses its events all the time is not hammered */
    MAX_COUNT_MISMATCHES = 2,  /* of a class, in a row, before it is read again; tasks: at once */
};

static const double EVENT_WAIT_S = 60.1; /* as XO asks */

/* --- telling --- */

static void set_status(Pool *pool, PoolStatus status, GError *error)
{
    pthread_mutex_lock(&pool->lock);
    bool news = pool->status != status || error || (pool->error && status == POOL_CONNECTED);
    pool->status = status;
    pool->ready |= status == POOL_CONNECTED;
    if (status != POOL_CONNECTING) { /* while trying again, the last reason stays */
        bool began = !pool->error;
        g_clear_error(&pool->error);
        pool->error = error;
        if (began || !error)
            pool->since_ms = g_get_real_time() / 1000;
    }
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    if (news && pool->ops.status)
        pool->ops.status(pool, pool->ops.user);
}

/* Swaps the snapshot in; token is taken, NULL keeps the present one. */
static void publish(Pool *pool, char *token)
{
    g_ptr_array_set_size(pool->entered, 0);
    g_ptr_array_set_size(pool->left, 0);
    Inventory *next = inventory_writer_commit(pool->writer, pool->entered, pool->left);
    pthread_mutex_lock(&pool->lock);
    Inventory *before = pool->inventory;
    pool->inventory = next;
    if (token) {
        g_free(pool->token);
        pool->token = token;
    }
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
    inventory_unref(before);
    if (pool->ops.changed && (pool->entered->len || pool->left->len))
        pool->ops.changed(pool, next, pool->entered, pool->left, pool->ops.user);
}

/* --- reading everything --- */

typedef struct {
    GPtrArray *addresses;
    char *pool_ref;
    const Inventory *inventory;
} Facts;

static void note_address(const char *id, const char *type, GBytes *text, void *user)
{
    Facts *facts = user;
    json_t *host = inventory_object(facts->inventory, id);
    const char *address = json_string_value(json_object_get(host, "address"));
    if (address)
        g_ptr_array_add(facts->addresses, g_strdup(address));
    json_decref(host);
}

/* Every member may be the master tomorrow. */
static void remember_hosts(Pool *pool)
{
    g_autoptr(GPtrArray) addresses = g_ptr_array_new_with_free_func(g_free);
    Facts facts = { .addresses = addresses, .inventory = pool->inventory };
    inventory_each(pool->inventory, "host", note_address, &facts);
    g_ptr_array_add(addresses, NULL);
    xapi_add_hosts(pool->xapi, (const char *const *) addresses->pdata);
}

static void take_pool(const char *cls, const char *ref, json_t *record, void *user)
{
    Facts *facts = user;
    g_free(facts->pool_ref);
    facts->pool_ref = g_strdup(ref);
    json_decref(record);
}

/* Where the events begin: from before the records are read, so that nothing falls between. */
static char *first_token(Pool *pool, GError **error)
{
    Facts facts = { 0 };
    g_autoptr(GError) failure = NULL;
    if (!xapi_all_records(pool->xapi, "pool", take_pool, &facts, error))
        return NULL;
    if (!facts.pool_ref) {
        err_set(error, ERR_PROTOCOL, "the host has no pool record");
        return NULL;
    }
    pthread_mutex_lock(&pool->lock);
    g_free(pool->pool_ref);
    pool->pool_ref = facts.pool_ref;
    pthread_mutex_unlock(&pool->lock);
    char *token = xapi_call_string(pool->xapi, "event.inject",
                                   json_pack("[s,s]", "pool", facts.pool_ref), &failure);
    if (token)
        return token;
    if (strcmp(err_xapi_code(failure), "MESSAGE_METHOD_UNKNOWN") == 0)
        return g_strdup(""); /* an old host: everything comes again, once */
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static bool read_all(Pool *pool, GError **error)
{
    g_autofree char *token = first_token(pool, error);
    if (!token)
        return false;
    if (!pool_read_classes(pool, error))
        return false;
    publish(pool, g_steal_pointer(&token));
    remember_hosts(pool);
    return true;
}

/* --- events --- */

typedef struct {
    Pool *pool;
    GHashTable *mismatches; /* class → how many replies in a row */
    GHashTable *counts;     /* class → rows that the pool has */
} Events;

static void take_event(const char *name, const char *operation, const char *ref, json_t *record,
                       void *user)
{
    Events *events = user;
    const char *cls = inventory_class(name);
    if (cls && json_is_object(record))
        inventory_writer_put(events->pool->writer, cls, ref, record);
    else if (cls && strcmp(operation, "del") == 0)
        inventory_writer_drop(events->pool->writer, ref);
    json_decref(record);
}

static void take_count(const char *name, gint64 n, void *user)
{
    Events *events = user;
    const char *cls = inventory_class(name);
    if (cls)
        g_hash_table_insert(events->counts, (gpointer) cls, GUINT_TO_POINTER((guint) n));
}

/* The pool says how many rows it has: when we hold another number, events were lost. */
static bool recount(Events *events, GError **error)
{
    GHashTableIter iter;
    gpointer cls, n;
    g_hash_table_iter_init(&iter, events->counts);
    while (g_hash_table_iter_next(&iter, &cls, &n)) {
        guint bad = GPOINTER_TO_UINT(g_hash_table_lookup(events->mismatches, cls));
        bool same = inventory_writer_count(events->pool->writer, cls) == GPOINTER_TO_UINT(n);
        bad = same || MUTANT(pool_trusts_its_count)
                  ? 0
                  : bad + 1; /* mutant: pool_events:test_wrong_counts */
        bool again = bad >= MAX_COUNT_MISMATCHES || (bad && strcmp(cls, "task") == 0);
        g_hash_table_insert(events->mismatches, cls, GUINT_TO_POINTER(again ? 0 : bad));
        if (again && !pool_read_class(events->pool, cls, error))
            return false;
    }
    g_hash_table_remove_all(events->counts);
    return true;
}

/* One event.from, applied. */
static bool follow_once(Pool *pool, Events *events, GError **error)
{
    XapiEventOps ops = { .event = take_event, .ref_count = take_count, .user = events };
    g_autofree char *token = g_strdup(pool->token), *session = xapi_session(pool->xapi);
    if (!xapi_events(pool->xapi, inventory_classes(), EVENT_WAIT_S, &token, &ops, pool->cancel,
                     error))
        return false;
    g_autofree char *session_now = xapi_session(pool->xapi);
    if (g_strcmp0(session, session_now) != 0 &&
        !MUTANT(pool_keeps_token)) { /* mutant: pool_events:test_renewed_session_reads_again */
        err_set(error, ERR_INTERRUPTED, "the session was renewed"); /* its events are others */
        return false;
    }
    if (!recount(events, error))
        return false;
    publish(pool, g_steal_pointer(&token));
    return true;
}

static bool must_read_again(const GError *error)
{
    return err_is(error, ERR_INTERRUPTED) || strcmp(err_xapi_code(error), "EVENTS_LOST") == 0;
}

/* Until something breaks. */
static void follow_events(Pool *pool, GError **error)
{
    Events events = { pool, g_hash_table_new(NULL, NULL), g_hash_table_new(NULL, NULL) };
    bool ok = true;
    while (ok) {
        g_autoptr(GError) failure = NULL;
        ok = follow_once(pool, &events, &failure);
        if (!ok && must_read_again(failure) && !cancel_is_set(pool->cancel)) {
            log_info("pool", "reading all objects again: %s", failure->message);
            g_usleep(READ_AGAIN_PAUSE_MS * 1000);
            ok = read_all(pool, error);
        } else if (!ok) {
            g_propagate_error(error, g_steal_pointer(&failure));
        }
    }
    g_hash_table_unref(events.mismatches);
    g_hash_table_unref(events.counts);
}

/* --- the whole --- */

static bool connect_and_read(Pool *pool, GError **error)
{
    return xapi_login(pool->xapi, error) && read_all(pool, error);
}

static void note_failure(Pool *pool, GError *error)
{
    log_info("pool", "not connected: %s", error->message);
    set_status(pool, POOL_DISCONNECTED, error);
    pthread_mutex_lock(&pool->lock);
    pool->n_attempts++;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

/* Between half and the whole of the time, so that servers do not come back all at once. */
static void back_off(Pool *pool, unsigned *ms)
{
    unsigned wait_ms = *ms / 2 + (unsigned) g_random_int_range(0, (gint32) (*ms / 2) + 1);
    *ms = MIN(*ms * 2, BACKOFF_MAX_MS);
    for (unsigned slept = 0; slept < wait_ms && !cancel_is_set(pool->cancel);
         slept += PAUSE_STEP_MS)
        g_usleep(PAUSE_STEP_MS * 1000);
}

/* Its objects are gone for everyone. */
static void say_goodbye(Pool *pool)
{
    inventory_writer_clear(pool->writer);
    publish(pool, g_strdup(""));
    set_status(pool, POOL_DISCONNECTED, NULL);
}

void *pool_follow(void *user)
{
    Pool *pool = user;
    unsigned backoff_ms = BACKOFF_MIN_MS;
    bool ever = false;
    while (!cancel_is_set(pool->cancel)) {
        GError *error = NULL;
        set_status(pool, POOL_CONNECTING, NULL);
        if (connect_and_read(pool, &error)) {
            ever = true;
            backoff_ms = BACKOFF_MIN_MS;
            set_status(pool, POOL_CONNECTED, NULL);
            follow_events(pool, &error);
        }
        if (cancel_is_set(pool->cancel)) {
            g_clear_error(&error);
            break;
        }
        note_failure(pool, error);
        if (!ever && !pool->keep_trying)
            return NULL;
        back_off(pool, &backoff_ms);
    }
    say_goodbye(pool);
    return NULL;
}
