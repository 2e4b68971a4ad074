/* A feed is one open stream: the hub's thread appends what its subscriptions want to a text, the
 * thread of the request sends it. */
#include "api/rest_events.h"
#include "api/error.h"
#include "api/rest_collection.h"
#include "api/rest_tasks.h"
#include "base/error.h"
#include "base/json_members.h"
#include "base/json_write.h"
#include "base/mutant.h"

#include <string.h>

typedef struct {
    char *user_id;
    Session *session;
    const ApiParts *parts;
    GMutex mutex; /* guards what follows */
    GCond filled;
    GHashTable *subscriptions; /* collection → fields (NULL-terminated; {"*"}: all) */
    GString *out;
    bool lost;  /* too much was waiting */
    bool woken; /* there is something to look at besides the text */
} Feed;

struct RestFeeds {
    const ApiParts *parts;
    GMutex mutex;      /* guards the table; taken before a feed's */
    GHashTable *feeds; /* id → Feed */
};

/* --- Events --- */

static bool is_all(char **fields)
{
    return g_str_equal(fields[0], "*");
}

/* ,"name":value of the fields wanted, and the id */
static void append_members(GString *out, char **fields, const char *text, size_t n)
{
    JsonMembers members;
    JsonMember member;
    json_members_init(&members, text, n);
    while (json_members_next(&members, &member)) {
        g_autofree char *name = g_strndup(member.name, member.n_name);
        if (!is_all(fields) && !g_str_equal(name, "id") &&
            !g_strv_contains((const char *const *) fields, name))
            continue;
        g_string_append_printf(out, ",\"%s\":", name);
        g_string_append_len(out, member.value, (gssize) member.n_value);
    }
}

/* The mutex of the feed is held. */
static void append_event(Feed *feed, const char *collection, const char *event, const char *members)
{
    if (feed->lost)
        return;
    g_string_append_printf(feed->out, "event: %s\ndata: {\"$subscription\":", event);
    json_write_string(feed->out, collection, strlen(collection));
    g_string_append_printf(feed->out, ",\"event\":\"%s\"%s}\n\n", event, members);
    feed->lost = feed->out->len > REST_FEED_BYTES;
    if (feed->lost)
        g_string_truncate(feed->out, 0);
    g_cond_signal(&feed->filled);
}

/* What was and what is, either may be NULL; an update that touches no field wanted is none. */
static void tell(Feed *feed, const char *collection, GBytes *before, GBytes *now)
{
    char **fields = g_hash_table_lookup(feed->subscriptions, collection);
    if (!fields || (!before && !now))
        return;
    g_autoptr(GString) old = g_string_new(NULL), new = g_string_new(NULL);
    if (before)
        append_members(old, fields, g_bytes_get_data(before, NULL), g_bytes_get_size(before));
    if (now)
        append_members(new, fields, g_bytes_get_data(now, NULL), g_bytes_get_size(now));
    if (before && now && g_string_equal(old, new) &&
        !MUTANT(rest_events_all)) /* mutant: system:test_rest.Events.test_objects */
        return;
    append_event(feed, collection,
                 !before ? "add"
                 : now   ? "update"
                         : "remove",
                 now ? new->str : old->str);
}

/* --- From the hub --- */

static GBytes *find_in(const char *id, const char **type, void *inventory)
{
    *type = inventory_type(inventory, id);
    return *type ? inventory_text(inventory, id) : NULL;
}

/* The text of what the rights show of an object. */
static GBytes *shown(AccountRights *rights, Inventory *inventory, const char *id, const char **type)
{
    if (!inventory || !rights ||
        (!rights_see_all(rights) && !rights_may(rights, id, "view", find_in, inventory)))
        return NULL;
    const char *found = NULL;
    GBytes *text = find_in(id, &found, inventory);
    if (found)
        *type = found;
    return text;
}

static GBytes *as_alarm(const ApiParts *parts, GBytes *text)
{
    if (!text)
        return NULL;
    char *alarm = rest_alarm_text(parts, g_bytes_get_data(text, NULL), g_bytes_get_size(text));
    return g_bytes_new_take(alarm, strlen(alarm));
}

static void object_changed(Feed *feed, const char *id, Inventory *before, Inventory *now)
{
    g_autoptr(AccountRights) rights = session_rights(feed->session);
    const char *type = NULL;
    g_autoptr(GBytes) old = shown(rights, before, id, &type);
    g_autoptr(GBytes) new = shown(rights, now, id, &type);
    GBytes *any = new ? new : old;
    if (!any)
        return;
    if (g_str_equal(type, "message") &&
        rest_is_alarm(g_bytes_get_data(any, NULL), g_bytes_get_size(any))) {
        g_autoptr(GBytes) old_alarm = as_alarm(feed->parts, old);
        g_autoptr(GBytes) new_alarm = as_alarm(feed->parts, new);
        tell(feed, "alarm", old_alarm, new_alarm);
    } else {
        tell(feed, type, old, new);
    }
}

static void hub_tap(const char *id, Inventory *before, Inventory *now, void *user)
{
    RestFeeds *feeds = user;
    GHashTableIter iter;
    void *value;
    g_mutex_lock(&feeds->mutex);
    g_hash_table_iter_init(&iter, feeds->feeds);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Feed *feed = value;
        g_mutex_lock(&feed->mutex);
        if (g_hash_table_size(feed->subscriptions) > 0 && !feed->lost)
            object_changed(feed, id, before, now);
        g_mutex_unlock(&feed->mutex);
    }
    g_mutex_unlock(&feeds->mutex);
}

/* --- Feeds --- */

static void feed_free(void *data)
{
    Feed *feed = data;
    g_hash_table_unref(feed->subscriptions);
    g_string_free(feed->out, TRUE);
    session_unref(feed->session);
    g_mutex_clear(&feed->mutex);
    g_cond_clear(&feed->filled);
    g_free(feed->user_id);
    g_free(feed);
}

RestFeeds *rest_feeds_new(const ApiParts *parts)
{
    RestFeeds *feeds = g_new0(RestFeeds, 1);
    feeds->parts = parts;
    g_mutex_init(&feeds->mutex);
    feeds->feeds = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, feed_free);
    hub_set_tap(parts->hub, hub_tap, feeds);
    return feeds;
}

void rest_feeds_free(RestFeeds *feeds)
{
    hub_set_tap(feeds->parts->hub, NULL, NULL);
    g_hash_table_unref(feeds->feeds);
    g_mutex_clear(&feeds->mutex);
    g_free(feeds);
}

static Feed *open_feed(RestRequest *request, const char *id)
{
    Feed *feed = g_new0(Feed, 1);
    feed->user_id = g_strdup(json_string_value(json_object_get(request->user, "id")));
    feed->session = session_ref(request->session);
    feed->parts = request->parts;
    g_mutex_init(&feed->mutex);
    g_cond_init(&feed->filled);
    feed->subscriptions =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_strfreev);
    feed->out = g_string_new(NULL);
    g_string_append_printf(feed->out, "event: init\ndata: {\"id\":\"%s\"}\n\n", id);
    RestFeeds *feeds = request->rest->feeds;
    g_mutex_lock(&feeds->mutex);
    g_hash_table_insert(feeds->feeds, g_strdup(id), feed);
    g_mutex_unlock(&feeds->mutex);
    return feed;
}

/* The caller's own, with its mutex and that of the table held; NULL with neither. */
static Feed *find_feed(RestRequest *request)
{
    RestFeeds *feeds = request->rest->feeds;
    const char *own = json_string_value(json_object_get(request->user, "id"));
    g_mutex_lock(&feeds->mutex);
    Feed *feed = g_hash_table_lookup(feeds->feeds, rest_arg(request, "id"));
    if (feed && g_strcmp0(feed->user_id, own) == 0) {
        g_mutex_lock(&feed->mutex);
        return feed;
    }
    g_mutex_unlock(&feeds->mutex);
    g_autoptr(GError) error = NULL;
    api_error_no_such(&error, rest_arg(request, "id"), "event stream");
    rest_fail(request, error);
    return NULL;
}

static void let_go(RestRequest *request, Feed *feed)
{
    g_mutex_unlock(&feed->mutex);
    g_mutex_unlock(&request->rest->feeds->mutex);
}

/* --- The stream --- */

/* What has come within REST_WAIT_STEP_MS; NULL when the client must be dropped. */
static GString *take_text(Feed *feed)
{
    gint64 until = g_get_monotonic_time() + (gint64) REST_WAIT_STEP_MS * 1000;
    g_mutex_lock(&feed->mutex);
    while (feed->out->len == 0 && !feed->lost && !feed->woken &&
           g_cond_wait_until(&feed->filled, &feed->mutex, until))
        ;
    feed->woken = false;
    GString *text = feed->lost ? NULL : feed->out;
    if (text)
        feed->out = g_string_new(NULL);
    g_mutex_unlock(&feed->mutex);
    return text;
}

static bool tell_task(const char *event, const char *id, const char *text, size_t n, void *user)
{
    Feed *feed = user;
    g_autoptr(GString) members = g_string_new(NULL);
    g_mutex_lock(&feed->mutex);
    char **fields = g_hash_table_lookup(feed->subscriptions, "task");
    if (fields) {
        append_members(members, fields, text, n);
        append_event(feed, "task", event, members->str);
    }
    g_mutex_unlock(&feed->mutex);
    return true;
}

static bool learn_task(const char *event, const char *id, const char *text, size_t n, void *user)
{
    return true;
}

/* Tasks are looked at as long as somebody subscribes to them; what is there already is no news. */
static RestTaskWatch *look_at_tasks(RestRequest *request, Feed *feed, RestTaskWatch *watch)
{
    g_mutex_lock(&feed->mutex);
    bool wanted = g_hash_table_contains(feed->subscriptions, "task");
    g_mutex_unlock(&feed->mutex);
    if (wanted && watch) {
        rest_task_watch_step(watch, request, tell_task, feed);
    } else if (wanted) {
        watch = rest_task_watch_new();
        rest_task_watch_step(watch, request, learn_task, NULL);
    } else if (watch) {
        g_clear_pointer(&watch, rest_task_watch_free);
    }
    return watch;
}

static void stream(RestRequest *request, Feed *feed)
{
    RestTaskWatch *watch = NULL;
    gint64 next_ping = g_get_monotonic_time() + (gint64) REST_PING_MS * 1000;
    bool goes_on = true;
    while (goes_on && !http_client_left(request->http)) {
        watch = look_at_tasks(request, feed, watch);
        GString *text = take_text(feed);
        if (text && g_get_monotonic_time() >= next_ping) {
            g_string_append_printf(text, "event: ping\ndata: {\"ping\":%" G_GINT64_FORMAT "}\n\n",
                                   g_get_real_time() / 1000);
            next_ping = g_get_monotonic_time() + (gint64) REST_PING_MS * 1000;
        }
        goes_on = text && !session_has_expired(request->session) &&
                  (!text->len || http_reply_write(request->http, text->str, text->len, NULL));
        if (text)
            g_string_free(text, TRUE);
    }
    g_clear_pointer(&watch, rest_task_watch_free);
}

static void open_stream(RestRequest *request)
{
    if (g_str_equal(http_method(request->http), "HEAD")) {
        http_reply(request->http, 200, "text/event-stream", NULL, 0);
        return;
    }
    if (!rest_wait_begin(request))
        return;
    RestFeeds *feeds = request->rest->feeds;
    g_autofree char *id = g_uuid_string_random();
    Feed *feed = open_feed(request, id);
    http_reply_header(request->http, "Cache-Control", "no-store");
    http_reply_close(request->http);
    if (http_reply_begin(request->http, 200, "text/event-stream", HTTP_LENGTH_CHUNKED, NULL)) {
        stream(request, feed);
        http_reply_end(request->http, NULL);
    }
    g_mutex_lock(&feeds->mutex);
    g_hash_table_remove(feeds->feeds, id);
    g_mutex_unlock(&feeds->mutex);
    rest_wait_end(request);
}

/* --- Subscriptions --- */

static bool is_collection(const char *name)
{
    return g_str_equal(name, "alarm") || g_str_equal(name, "task") ||
           g_str_equal(name, "message") || rest_collection_of_type(name);
}

/* "*", absent, or a list of names; NULL when it is anything else. */
static char **read_fields(json_t *fields)
{
    static const char *const all[] = { "*", NULL };
    if (!fields || (json_is_string(fields) && g_str_equal(json_string_value(fields), "*")))
        return g_strdupv((char **) all);
    if (!json_is_array(fields) || json_array_size(fields) > REST_MAX_FIELDS ||
        json_array_size(fields) == 0)
        return NULL;
    char **names = g_new0(char *, json_array_size(fields) + 1);
    size_t i;
    json_t *name;
    json_array_foreach (fields, i, name)
        names[i] = g_strdup(json_is_string(name) ? json_string_value(name) : "");
    return names;
}

static void subscribe(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    json_t *body = rest_body(request, &error);
    const char *collection = json_string_value(json_object_get(body, "collection"));
    g_auto(GStrv) fields = body ? read_fields(json_object_get(body, "fields")) : NULL;
    if (body && (!collection || !is_collection(collection)))
        err_set(&error, ERR_INVALID, "collection: expected a type of objects, alarm or task");
    else if (body && !fields)
        err_set(&error, ERR_INVALID, "fields: expected \"*\" or a list of names");
    Feed *feed = error ? NULL : find_feed(request);
    if (error)
        rest_fail(request, error);
    if (feed) {
        bool full = g_hash_table_size(feed->subscriptions) >= REST_MAX_SUBSCRIPTIONS;
        if (!full)
            g_hash_table_replace(feed->subscriptions, g_strdup(collection),
                                 g_steal_pointer(&fields));
        feed->woken = true;
        g_cond_signal(&feed->filled);
        let_go(request, feed);
        if (full)
            rest_refuse(request, 422, "too many subscriptions", NULL);
        else
            rest_reply(request, 201, json_pack("{s:s}", "id", collection));
    }
    json_decref(body);
}

static void unsubscribe(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    const char *collection = rest_arg(request, "collection");
    Feed *feed = find_feed(request);
    if (!feed)
        return;
    bool found = g_hash_table_remove(feed->subscriptions, collection);
    let_go(request, feed);
    if (found) {
        rest_reply_nothing(request);
    } else {
        api_error_no_such(&error, collection, "subscription");
        rest_fail(request, error);
    }
}

const RestRoute rest_event_routes[] = {
    { "GET", "events", open_stream, .summary = "A stream of events (text/event-stream).",
      .example = "" },
    { "POST", "events/{id}/subscriptions", subscribe,
      .summary = "Hear of a collection: {collection, fields?}.",
      .example = "$EVENTS collection=VM fields=json:'[\"name_label\",\"power_state\"]'",
      .untold = true },
    { "DELETE", "events/{id}/subscriptions/{collection}", unsubscribe,
      .summary = "Hear of a collection no more.", .example = "$SUBSCRIBED_EVENTS VM",
      .untold = true },
    { NULL },
};
