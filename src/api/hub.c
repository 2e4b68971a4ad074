/* Changes gather in one table, id → the newest snapshot that has it (NULL: gone); a thread takes
 * the table every 30 ms at most, writes the messages, and queues them on every socket. */
#include "api/hub.h"
#include "api/jsonrpc.h"
#include "base/mutant.h"

typedef struct {
    WebSocket *socket;
    Session *session;
} Listener;

struct Hub {
    GMutex mutex; /* guards what follows */
    GCond cond;
    GPtrArray *listeners; /* of Listener */
    GHashTable *changes;  /* id → Inventory or NULL */
    bool stopping;
    GThread *thread;
};

static void listener_free(void *data)
{
    Listener *listener = data;
    ws_unref(listener->socket);
    session_unref(listener->session);
    g_free(listener);
}

static void drop_inventory(void *inventory)
{
    if (inventory)
        inventory_unref(inventory);
}

static GHashTable *changes_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, drop_inventory);
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

static GPtrArray *write_messages(GHashTable *changes)
{
    GPtrArray *messages = g_ptr_array_new_with_free_func((GDestroyNotify) g_bytes_unref);
    Writer enter = { "enter", g_string_new(NULL), messages };
    Writer leave = { "exit", g_string_new(NULL), messages };
    GHashTableIter iter;
    void *id, *inventory;
    g_hash_table_iter_init(&iter, changes);
    while (g_hash_table_iter_next(&iter, &id, &inventory)) {
        g_autoptr(GBytes) text = inventory ? inventory_text(inventory, id) : NULL;
        if (text)
            writer_add(&enter, id, g_bytes_get_data(text, NULL), g_bytes_get_size(text));
        else if (!inventory)
            writer_add(&leave, id, "0", 1);
    }
    writer_flush(&enter);
    writer_flush(&leave);
    g_string_free(enter.items, TRUE);
    g_string_free(leave.items, TRUE);
    return messages;
}

/* --- Sending --- */

/* Called with the mutex held: queues only. */
static void send_all(Hub *hub, GPtrArray *messages)
{
    for (unsigned i = 0; i < hub->listeners->len; i++) {
        Listener *listener = hub->listeners->pdata[i];
        if (!session_is_signed_in(listener->session) &&
            !MUTANT(hub_anyone)) /* mutant: system:test_api.Objects.test_notifications */
            continue;
        for (unsigned k = 0; k < messages->len; k++)
            ws_send_text(listener->socket, messages->pdata[k]);
    }
}

static void run_batch(Hub *hub)
{
    GHashTable *changes = hub->changes;
    hub->changes = changes_new();
    bool heard = hub->listeners->len > 0;
    g_mutex_unlock(&hub->mutex);
    g_autoptr(GPtrArray) messages = heard ? write_messages(changes) : NULL;
    g_hash_table_unref(changes);
    g_mutex_lock(&hub->mutex);
    if (messages)
        send_all(hub, messages);
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
        gint64 until = g_get_monotonic_time() + HUB_BATCH_MS * 1000;
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

void hub_changed(Hub *hub, Inventory *now, GPtrArray *entered, GPtrArray *left)
{
    g_mutex_lock(&hub->mutex);
    for (unsigned i = 0; entered && i < entered->len; i++)
        g_hash_table_replace(hub->changes, g_strdup(entered->pdata[i]), inventory_ref(now));
    for (unsigned i = 0; left && i < left->len; i++)
        g_hash_table_replace(hub->changes, g_strdup(left->pdata[i]), NULL);
    g_cond_signal(&hub->cond);
    g_mutex_unlock(&hub->mutex);
}
