/* Events: what has changed since a token, as event.from and the older event.next tell it.
 *
 * There is no queue per client: the rows carry the generation of their last change and of their
 * creation, deletions leave a note, and a token is a generation. Within one answer come messages,
 * then new objects, then changed ones, then deleted ones; each object once, as it is now. */
#include "base/mutant.h"
#include "sim/inner.h"

#include <stdlib.h>
#include <string.h>

enum { POLL_MS = 1000 };

/* What a client wants to hear of. */
typedef struct {
    GPtrArray *classes; /* Class *, subscribed as a whole */
    GPtrArray *refs;    /* single objects */
    bool tasks_only;
} Interest;

static void interest_clear(Interest *interest)
{
    g_clear_pointer(&interest->classes, g_ptr_array_unref);
    g_clear_pointer(&interest->refs, g_ptr_array_unref);
}

static bool interest_add(Interest *interest, const Datamodel *model, const char *text,
                         GError **error)
{
    const char *slash = strchr(text, '/');
    if (slash != NULL && slash[1] != '\0') {
        g_ptr_array_add(interest->refs, g_strdup(slash + 1));
        interest->tasks_only &= g_ascii_strncasecmp(text, "task/", 5) == 0;
        return true;
    }
    if (*text == '\0' || slash != NULL) {
        sim_error(error, "EVENT_SUBSCRIPTION_PARSE_FAILURE", text, NULL);
        return false;
    }
    interest->tasks_only &= g_ascii_strcasecmp(text, "task") == 0;
    for (guint i = 0; i < datamodel_n_classes(model); i++) {
        const Class *cls = datamodel_nth_class(model, i);
        if (!(cls->flags & QUIET) &&
            (strcmp(text, "*") == 0 || g_ascii_strcasecmp(text, cls->name) == 0) &&
            !g_ptr_array_find(interest->classes, cls, NULL))
            g_ptr_array_add(interest->classes, (gpointer) cls);
    }
    return true;
}

static bool interest_parse(Interest *interest, Sim *sim, json_t *list, GError **error)
{
    size_t i;
    json_t *item;
    interest->classes = g_ptr_array_new();
    interest->refs = g_ptr_array_new_with_free_func(g_free);
    interest->tasks_only = true;
    json_array_foreach (list, i, item) {
        const char *text = json_string_value(item);
        if (!interest_add(interest, rows_datamodel(sim_rows(sim)), text == NULL ? "" : text, error))
            return false;
    }
    return true;
}

/* --- Collecting --- */

typedef struct {
    GPtrArray *added, *changed, *messages; /* Obj * */
    GPtrArray *gone;                       /* const Gone * */
} Batch;

static void batch_init(Batch *batch)
{
    batch->added = g_ptr_array_new();
    batch->changed = g_ptr_array_new();
    batch->messages = g_ptr_array_new();
    batch->gone = g_ptr_array_new();
}

static void batch_clear(Batch *batch)
{
    g_ptr_array_unref(batch->added);
    g_ptr_array_unref(batch->changed);
    g_ptr_array_unref(batch->messages);
    g_ptr_array_unref(batch->gone);
}

static guint batch_size(const Batch *batch)
{
    return batch->added->len + batch->changed->len + batch->messages->len + batch->gone->len;
}

static void batch_add(Batch *batch, Obj *obj, guint64 since)
{
    if (strcmp(obj_class(obj), "message") == 0)
        g_ptr_array_add(batch->messages, obj);
    else
        g_ptr_array_add(obj_created(obj) > since ? batch->added : batch->changed, obj);
}

static bool wants_gone(const Interest *interest, const Gone *gone)
{
    return g_ptr_array_find(interest->classes, gone->cls, NULL) ||
           g_ptr_array_find_with_equal_func(interest->refs, gone->ref, g_str_equal, NULL);
}

static void collect(Sim *sim, const Interest *interest, guint64 since, Batch *batch)
{
    Rows *rows = sim_rows(sim);
    for (guint i = 0; i < interest->classes->len; i++)
        for (Obj *obj = rows_latest(rows, interest->classes->pdata[i]);
             obj != NULL && obj_changed(obj) > since; obj = obj_earlier(obj))
            batch_add(batch, obj, since);
    for (guint i = 0; i < interest->refs->len; i++) {
        Obj *obj = rows_find(rows, interest->refs->pdata[i]);
        if (obj != NULL && obj_changed(obj) > since && !(obj_table(obj)->flags & QUIET) &&
            !g_ptr_array_find(interest->classes, obj_table(obj), NULL))
            batch_add(batch, obj, since);
    }
    for (const GList *at = rows_gone(rows); at != NULL; at = at->next) {
        const Gone *gone = at->data;
        if (gone->dropped <= since)
            break;
        /* Born and dead in between: nobody has seen it. */
        if ((gone->created <= since || MUTANT(sim_del_unseen)) /* mutant: sim_api */
            && wants_gone(interest, gone))
            g_ptr_array_add(batch->gone, (gpointer) gone);
    }
}

/* --- Writing --- */

static void event_open(Wire *out, const char *cls, const char *operation, const char *ref,
                       guint64 generation, const char *timestamp)
{
    char id[32];
    g_snprintf(id, sizeof id, "%" G_GUINT64_FORMAT, generation);
    wire_open_map(out);
    wire_key(out, "id");
    wire_text_value(out, id);
    wire_key(out, "timestamp");
    wire_text_value(out, timestamp);
    wire_key(out, "class");
    wire_text_value(out, cls);
    wire_key(out, "operation");
    wire_text_value(out, operation);
    wire_key(out, "ref");
    wire_text_value(out, ref);
}

static void objects_write(Wire *out, const GPtrArray *objects, const char *operation,
                          const char *timestamp)
{
    for (guint i = objects->len; i-- > 0;) { /* they were collected the latest first */
        const Obj *obj = objects->pdata[i];
        event_open(out, obj_table(obj)->lower, operation, obj_ref(obj), obj_changed(obj),
                   timestamp);
        wire_key(out, "snapshot");
        obj_write(obj, out);
        wire_close(out);
    }
}

static void batch_write(Wire *out, const Batch *batch, const char *timestamp)
{
    wire_open_list(out);
    objects_write(out, batch->messages, "add", timestamp);
    objects_write(out, batch->added, "add", timestamp);
    objects_write(out, batch->changed, "mod", timestamp);
    for (guint i = batch->gone->len; i-- > 0;) {
        const Gone *gone = batch->gone->pdata[i];
        event_open(out, gone->cls->lower, "del", gone->ref, gone->dropped, timestamp);
        wire_close(out);
    }
    wire_close(out);
}

static void counts_write(Sim *sim, Wire *out)
{
    Rows *rows = sim_rows(sim);
    const Datamodel *model = rows_datamodel(rows);
    wire_open_map(out);
    for (guint i = 0; i < datamodel_n_classes(model); i++) {
        const Class *cls = datamodel_nth_class(model, i);
        wire_key(out, cls->lower);
        wire_i4(out, rows_count(rows, cls));
    }
    wire_close(out);
}

static void token_format(guint64 generation, char token[48])
{
    g_snprintf(token, 48, "%020" G_GUINT64_FORMAT ",%020" G_GUINT64_FORMAT, generation, generation);
}

static bool token_parse(const char *token, guint64 *generation, GError **error)
{
    char *end = NULL;
    *generation = 0;
    if (*token == '\0')
        return true;
    if (g_ascii_isdigit(*token)) {
        *generation = g_ascii_strtoull(token, &end, 10);
        if (*end == ',' && g_ascii_isdigit(end[1])) {
            g_ascii_strtoull(end + 1, &end, 10);
            if (*end == '\0')
                return true;
        }
    }
    sim_error(error, "EVENT_FROM_TOKEN_PARSE_FAILURE", token, NULL);
    return false;
}

/* --- Waiting --- */

/* Blocks until there is something of interest since the generation, or the time has come. */
static bool wait_for_news(Call *call, const Interest *interest, guint64 since, gint64 until_us,
                          GError **error)
{
    Sim *sim = call_sim(call);
    for (;;) {
        if (obj_find(sim, "session", call_session(call)) == NULL) {
            sim_error(error, "SESSION_INVALID", call_session(call), NULL);
            return false;
        }
        Batch batch;
        batch_init(&batch);
        collect(sim, interest, since, &batch);
        guint n = batch_size(&batch);
        batch_clear(&batch);
        gint64 now = g_get_monotonic_time();
        if (n > 0 || now >= until_us || call_is_abandoned(call)) {
            if (n > 0 && !interest->tasks_only)
                sim_sleep(sim, sim_options(sim)->event_delay_ms);
            return true;
        }
        rows_wait(sim_rows(sim), MIN(until_us, now + POLL_MS * 1000));
    }
}

static bool events_check(Sim *sim, guint64 since, GError **error)
{
    if (since == 0 || since >= rows_gone_forgotten(sim_rows(sim)))
        return true;
    sim_error(error, "EVENTS_LOST", NULL);
    return false;
}

static void from_write(Sim *sim, const Interest *interest, guint64 since, Wire *out)
{
    char token[48];
    Batch batch;
    batch_init(&batch);
    collect(sim, interest, since, &batch);
    token_format(rows_generation(sim_rows(sim)), token);
    wire_open_map(out);
    wire_key(out, "events");
    batch_write(out, &batch, "0.0");
    wire_key(out, "valid_ref_counts");
    counts_write(sim, out);
    wire_key(out, "token");
    wire_text_value(out, token);
    wire_close(out);
    batch_clear(&batch);
}

static bool event_from(Call *call, Wire *out, GError **error)
{
    Sim *sim = call_sim(call);
    Interest interest = { 0 };
    guint64 since;
    double timeout_s = CLAMP(call_float(call, 2), 0, 3600);
    gint64 until_us = g_get_monotonic_time() + (gint64) (timeout_s * G_USEC_PER_SEC);
    bool ok = interest_parse(&interest, sim, call_param(call, 0), error) &&
              token_parse(call_str(call, 1), &since, error) && events_check(sim, since, error) &&
              wait_for_news(call, &interest, since, until_us, error);
    if (ok)
        from_write(sim, &interest, since, out);
    interest_clear(&interest);
    return ok;
}

static json_t *event_inject(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *obj = rows_class(sim_rows(sim), call_str(call, 0)) == NULL
                   ? NULL
                   : obj_find(sim, call_str(call, 0), call_str(call, 1));
    if (obj == NULL) {
        sim_error(error, "HANDLE_INVALID", call_str(call, 0), call_str(call, 1), NULL);
        return NULL;
    }
    char token[48];
    if (MUTANT(sim_token_late)) /* mutant: sim_api */
        obj_touch(obj);
    token_format(rows_generation(sim_rows(sim)), token);
    if (!MUTANT(sim_token_late))
        obj_touch(obj);
    return json_string(token);
}

/* --- The older way: a registration in the session, kept in two keys of its other_config --- */

static const char registered[] = "_events_classes", position[] = "_events_position";

static json_t *event_get_current_id(Call *call, GError **error)
{
    return json_integer((json_int_t) rows_generation(sim_rows(call_sim(call))));
}

static json_t *event_register(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *session = obj_find(sim, "session", call_session(call));
    g_autofree char *classes = json_dumps(call_param(call, 0), JSON_COMPACT);
    g_autofree char *generation =
        g_strdup_printf("%" G_GUINT64_FORMAT, rows_generation(sim_rows(sim)));
    obj_map_put(session, "other_config", registered, classes);
    obj_map_put(session, "other_config", position, generation);
    return call_void();
}

static json_t *event_unregister(Call *call, GError **error)
{
    Obj *session = obj_find(call_sim(call), "session", call_session(call));
    obj_map_remove(session, "other_config", registered);
    obj_map_remove(session, "other_config", position);
    return call_void();
}

static void next_write(Call *call, const Interest *interest, guint64 since, Wire *out)
{
    Sim *sim = call_sim(call);
    Batch batch;
    batch_init(&batch);
    collect(sim, interest, since, &batch);
    g_autofree char *now = g_strdup_printf("%.1f", (double) sim_now(sim));
    batch_write(out, &batch, now);
    batch_clear(&batch);
    g_autofree char *generation =
        g_strdup_printf("%" G_GUINT64_FORMAT, rows_generation(sim_rows(sim)));
    Obj *session = obj_find(sim, "session", call_session(call));
    if (session != NULL)
        obj_map_put(session, "other_config", position, generation);
}

static bool event_next(Call *call, Wire *out, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *session = obj_find(sim, "session", call_session(call));
    const char *classes = obj_map_get(session, "other_config", registered);
    if (classes == NULL) {
        sim_error(error, "SESSION_NOT_REGISTERED", call_session(call), NULL);
        return false;
    }
    guint64 since = g_ascii_strtoull(obj_map_get(session, "other_config", position), NULL, 10);
    json_t *list = json_loads(classes, 0, NULL);
    Interest interest = { 0 };
    bool ok = interest_parse(&interest, sim, list, error) &&
              wait_for_news(call, &interest, since, G_MAXINT64, error);
    if (ok)
        next_write(call, &interest, since, out);
    interest_clear(&interest);
    json_decref(list);
    return ok;
}

const Writer event_writers[] = {
    { "event.from", event_from },
    { "event.next", event_next },
    { NULL, NULL },
};

const Method event_methods[] = {
    { "event.inject", event_inject },
    { "event.get_current_id", event_get_current_id },
    { "event.register", event_register },
    { "event.unregister", event_unregister },
    { NULL, NULL },
};
