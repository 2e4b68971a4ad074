/* Changes gather in one table, id → the snapshots that had it and have it; a thread takes the table
 * every 30 ms at most and soon after the first change, writes the messages once for each set of
 * rights among the listeners, and queues them on their sockets. What somebody could see and cannot
 * any more has left, for them. */
#include "api/hub.h"
#include "api/jsonrpc.h"
#include "base/mutant.h"

typedef struct {
    WebSocket *socket;
    Session *session;
} Listener;

/* An object between the last batch and now: a snapshot that had it then, and one that has it now;
 * either may be NULL. */
typedef struct {
    Inventory *before, *now;
} Change;

struct Hub {
    GMutex mutex; /* guards what follows */
    GCond cond;
    GPtrArray *listeners; /* of Listener */
    GHashTable *changes;  /* id → Change */
    bool stopping;
    gint64 batch_us; /* when the last batch began to be sent */
    GThread *thread;
    GMutex tap_mutex; /* guards the tap, and is held while it is called */
    HubTap tap;
    void *tap_user;
};

static void listener_free(void *data)
{
    Listener *listener = data;
    ws_unref(listener->socket);
    session_unref(listener->session);
    g_free(listener);
}

static void change_free(void *data)
{
    Change *change = data;
    g_clear_pointer(&change->before, inventory_unref);
    g_clear_pointer(&change->now, inventory_unref);
    g_free(change);
}

static GHashTable *changes_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, change_free);
}

/* --- Messages --- */

typedef struct {
    const char *type; /* "enter" or "exit" */
    GString *items;
    GPtrArray *messages;
} Writer;

static void writer_flush(Writer *writer)
{
    if (writer->items->len == 0)
        return;
    g_autofree char *text =
        g_strdup_printf("{\"type\":\"%s\",\"items\":{%s}}", writer->type, writer->items->str);
    g_string_truncate(writer->items, 0);
    g_autoptr(GBytes) params = g_bytes_new_static(text, strlen(text));
    g_ptr_array_add(writer->messages, rpc_notification_text("all", params));
}

static void writer_add(Writer *writer, const char *id, const char *text, size_t n)
{
    if (writer->items->len + n > HUB_MESSAGE_BYTES)
        writer_flush(writer);
    g_string_append_printf(writer->items, "%s\"%s\":", writer->items->len ? "," : "", id);
    g_string_append_len(writer->items, text, (gssize) n);
}

/* Whether these rights show an object of a snapshot; inheritance is followed within it. */
static GBytes *find_in(const char *id, const char **type, void *inventory)
{
    *type = inventory_type(inventory, id);
    return *type ? inventory_text(inventory, id) : NULL;
}

/* One viewer for each snapshot, made when it is needed: a batch has few. */
static Viewer *viewer_of(GHashTable *viewers, AccountRights *rights, Inventory *inventory)
{
    Viewer *viewer = g_hash_table_lookup(viewers, inventory);
    if (!viewer) {
        viewer = viewer_new(rights, find_in, inventory);
        g_hash_table_insert(viewers, inventory, viewer);
    }
    return viewer;
}

/* The text of what is shown of an object, NULL: nothing. */
static GBytes *shown(GHashTable *viewers, AccountRights *rights, Inventory *inventory,
                     const char *id)
{
    const char *type;
    g_autoptr(GBytes) text = inventory ? find_in(id, &type, inventory) : NULL;
    /* mutant: system:test_api.Objects.test_notifications_by_rights */
    if (!text || rights_see_all(rights) || MUTANT(hub_all_rights))
        return g_steal_pointer(&text);
    return viewer_sees(viewer_of(viewers, rights, inventory), id, type, text)
               ? g_steal_pointer(&text)
               : NULL;
}

static void write_change(Writer *enter, Writer *leave, GHashTable *viewers, AccountRights *rights,
                         const char *id, const Change *change)
{
    g_autoptr(GBytes) now = shown(viewers, rights, change->now, id);
    if (now) {
        writer_add(enter, id, g_bytes_get_data(now, NULL), g_bytes_get_size(now));
        return;
    }
    if (rights_see_all(rights) && change->now)
        return; /* has gone since; its exit comes with the next batch */
    g_autoptr(GBytes) before = shown(viewers, rights, change->before, id);
    if (before || rights_see_all(rights))
        writer_add(leave, id, "0", 1);
}

/* The messages of a batch for all who have these rights. */
static GPtrArray *write_messages(GHashTable *changes, AccountRights *rights)
{
    GPtrArray *messages = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
    Writer enter = { "enter", g_string_new(NULL), messages };
    Writer leave = { "exit", g_string_new(NULL), messages };
    g_autoptr(GHashTable)
        viewers = g_hash_table_new_full(NULL, NULL, NULL, (GDestroyNotify) viewer_free);
    GHashTableIter iter;
    void *id, *change;
    g_hash_table_iter_init(&iter, changes);
    while (g_hash_table_iter_next(&iter, &id, &change))
        write_change(&enter, &leave, viewers, rights, id, change);
    writer_flush(&enter);
    writer_flush(&leave);
    g_string_free(enter.items, TRUE);
    g_string_free(leave.items, TRUE);
    return messages;
}

/* --- Sending --- */

/* What everybody with these rights is sent. */
typedef struct {
    AccountRights *rights;
    GPtrArray *messages;
} Edition;

static void edition_free(void *data)
{
    Edition *edition = data;
    rights_unref(edition->rights);
    g_ptr_array_unref(edition->messages);
    g_free(edition);
}

/* The reference of the rights is taken. */
static GPtrArray *edition_for(GPtrArray *editions, AccountRights *rights, GHashTable *changes)
{
    for (unsigned i = 0; i < editions->len; i++) {
        Edition *edition = editions->pdata[i];
        if (!rights_equal(edition->rights, rights))
            continue;
        rights_unref(rights);
        return edition->messages;
    }
    Edition *edition = g_new0(Edition, 1);
    edition->rights = rights;
    edition->messages = write_messages(changes, rights);
    g_ptr_array_add(editions, edition);
    return edition->messages;
}

/* Queues only: nobody waits for a slow client. */
static void send_to(Listener *listener, GPtrArray *editions, GHashTable *changes)
{
    bool counts = !session_has_expired(listener->session);
    AccountRights *rights = counts ? session_rights(listener->session) : NULL;
    if (!rights) /* nobody is signed in */
        return;
    GPtrArray *messages = edition_for(editions, rights, changes);
    for (unsigned i = 0; i < messages->len; i++)
        ws_send_text(listener->socket, messages->pdata[i]);
}

static Listener *listener_copy(const Listener *listener)
{
    Listener *copy = g_new0(Listener, 1);
    copy->socket = ws_ref(listener->socket);
    copy->session = session_ref(listener->session);
    return copy;
}

static void tell_tap(Hub *hub, GHashTable *changes)
{
    GHashTableIter iter;
    void *id, *change;
    g_mutex_lock(&hub->tap_mutex);
    g_hash_table_iter_init(&iter, changes);
    while (hub->tap && g_hash_table_iter_next(&iter, &id, &change))
        hub->tap(id, ((Change *) change)->before, ((Change *) change)->now, hub->tap_user);
    g_mutex_unlock(&hub->tap_mutex);
}

void hub_set_tap(Hub *hub, HubTap tap, void *user)
{
    g_mutex_lock(&hub->tap_mutex);
    hub->tap = tap;
    hub->tap_user = user;
    g_mutex_unlock(&hub->tap_mutex);
}

/* Called with the mutex held; lets it go while it writes and sends. */
static void run_batch(Hub *hub)
{
    g_autoptr(GHashTable) changes = hub->changes;
    g_autoptr(GPtrArray) listeners = g_ptr_array_new_with_free_func(listener_free);
    g_autoptr(GPtrArray) editions = g_ptr_array_new_with_free_func(edition_free);
    hub->changes = changes_new();
    hub->batch_us = g_get_monotonic_time();
    for (unsigned i = 0; i < hub->listeners->len; i++)
        g_ptr_array_add(listeners, listener_copy(hub->listeners->pdata[i]));
    g_mutex_unlock(&hub->mutex);
    for (unsigned i = 0; i < listeners->len; i++)
        send_to(listeners->pdata[i], editions, changes);
    tell_tap(hub, changes);
    g_mutex_lock(&hub->mutex);
}

static void *run(void *user)
{
    Hub *hub = user;
    g_mutex_lock(&hub->mutex);
    while (!hub->stopping) {
        if (g_hash_table_size(hub->changes) == 0) {
            g_cond_wait(&hub->cond, &hub->mutex);
            continue;
        }
        gint64 until =
            MAX(g_get_monotonic_time() + HUB_GATHER_MS * 1000, hub->batch_us + HUB_BATCH_MS * 1000);
        while (!hub->stopping && g_cond_wait_until(&hub->cond, &hub->mutex, until))
            ;
        run_batch(hub);
    }
    g_mutex_unlock(&hub->mutex);
    return NULL;
}

Hub *hub_new(void)
{
    Hub *hub = g_new0(Hub, 1);
    g_mutex_init(&hub->mutex);
    g_mutex_init(&hub->tap_mutex);
    g_cond_init(&hub->cond);
    hub->listeners = g_ptr_array_new_with_free_func(listener_free);
    hub->changes = changes_new();
    hub->thread = g_thread_new("hub", run, hub);
    return hub;
}

void hub_free(Hub *hub)
{
    g_mutex_lock(&hub->mutex);
    hub->stopping = true;
    g_cond_signal(&hub->cond);
    g_mutex_unlock(&hub->mutex);
    g_thread_join(hub->thread);
    g_ptr_array_unref(hub->listeners);
    g_hash_table_unref(hub->changes);
    g_mutex_clear(&hub->mutex);
    g_mutex_clear(&hub->tap_mutex);
    g_cond_clear(&hub->cond);
    g_free(hub);
}

/* --- Listeners and news --- */

void hub_add(Hub *hub, WebSocket *socket, Session *session)
{
    Listener *listener = g_new0(Listener, 1);
    listener->socket = ws_ref(socket);
    listener->session = session_ref(session);
    g_mutex_lock(&hub->mutex);
    g_ptr_array_add(hub->listeners, listener);
    g_mutex_unlock(&hub->mutex);
}

void hub_drop(Hub *hub, WebSocket *socket)
{
    g_mutex_lock(&hub->mutex);
    for (unsigned i = 0; i < hub->listeners->len; i++) {
        Listener *listener = hub->listeners->pdata[i];
        if (listener->socket != socket)
            continue;
        g_ptr_array_steal_index_fast(hub->listeners, i);
        g_mutex_unlock(&hub->mutex);
        listener_free(listener);
        return;
    }
    g_mutex_unlock(&hub->mutex);
}

json_t *hub_list(Hub *hub)
{
    json_t *list = json_array();
    g_mutex_lock(&hub->mutex);
    for (unsigned i = 0; i < hub->listeners->len; i++) {
        Listener *listener = hub->listeners->pdata[i];
        json_t *user = session_user(listener->session);
        json_array_append_new(list,
                              json_pack("{s:s, s:s*}", "user_ip", session_peer(listener->session),
                                        "user_id", json_string_value(json_object_get(user, "id"))));
        json_decref(user);
    }
    g_mutex_unlock(&hub->mutex);
    return list;
}

void hub_close_all(Hub *hub)
{
    g_mutex_lock(&hub->mutex);
    for (unsigned i = 0; i < hub->listeners->len; i++)
        ws_close(((Listener *) hub->listeners->pdata[i])->socket, 1000,
                 "closed by an administrator");
    g_mutex_unlock(&hub->mutex);
}

/* Called with the mutex held. What was before the first change of a batch stays known. */
static void note(Hub *hub, const char *id, Inventory *before, Inventory *now)
{
    Change *change = g_hash_table_lookup(hub->changes, id);
    if (!change) {
        change = g_new0(Change, 1);
        change->before = before ? inventory_ref(before) : NULL;
        g_hash_table_insert(hub->changes, g_strdup(id), change);
    }
    g_clear_pointer(&change->now, inventory_unref);
    change->now = now ? inventory_ref(now) : NULL;
}

void hub_changed(Hub *hub, Inventory *before, Inventory *now, GPtrArray *entered, GPtrArray *left)
{
    g_mutex_lock(&hub->mutex);
    for (unsigned i = 0; entered && i < entered->len; i++)
        note(hub, entered->pdata[i], before, now);
    for (unsigned i = 0; left && i < left->len; i++)
        note(hub, left->pdata[i], before, NULL);
    g_cond_signal(&hub->cond);
    g_mutex_unlock(&hub->mutex);
}
