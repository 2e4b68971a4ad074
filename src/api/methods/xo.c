/* xo.getAllObjects: the objects of all pools, as the texts that the inventories hold. */
#include "api/method.h"
#include "base/filter.h"
#include "base/pattern.h"

typedef struct {
    json_t *pattern; /* at most one of these two */
    Filter *filter;
    gint64 limit; /* -1: none */
    bool as_lines;
    Viewer *viewer; /* NULL: everything is shown */
    Rope *text;
    gint64 n_objects;
} Collector;

static bool matches(Collector *collector, GBytes *text)
{
    if (!collector->pattern && !collector->filter)
        return true;
    json_t *object = json_loadb(g_bytes_get_data(text, NULL), g_bytes_get_size(text), 0, NULL);
    bool is = object && (collector->pattern ? pattern_match(collector->pattern, object)
                                            : filter_match(collector->filter, object));
    json_decref(object);
    return is;
}

static void collect(const char *id, const char *type, GBytes *text, void *user)
{
    Collector *collector = user;
    if ((collector->limit >= 0 && collector->n_objects >= collector->limit) ||
        (collector->viewer && !viewer_sees(collector->viewer, id, type, text)) ||
        !matches(collector, text))
        return;
    if (!collector->as_lines) {
        rope_add_string(collector->text, collector->n_objects ? ",\"" : "\"");
        rope_add_string(collector->text, id);
        rope_add_string(collector->text, "\":");
    }
    rope_add(collector->text, text);
    if (collector->as_lines)
        rope_add_string(collector->text, "\n");
    collector->n_objects++;
}

static bool prepare(ApiCall *call, Collector *collector, GError **error)
{
    json_t *filter = call_get(call, "filter");
    collector->limit = call_get(call, "limit") ? MAX(call_integer(call, "limit"), 0) : -1;
    collector->as_lines = call_bool(call, "ndjson");
    if (json_is_object(filter)) {
        collector->pattern = filter;
        bool right = pattern_check(filter, error);
        if (!right)
            g_prefix_error(error, "filter: ");
        return right;
    }
    if (json_is_string(filter))
        collector->filter = filter_parse(json_string_value(filter), error);
    return !filter || collector->filter;
}

/* Others than administrators are shown what they may see. */
static Viewer *viewer_of(ApiCall *call, AccountRights *rights)
{
    bool all = rights && rights_see_all(rights);
    return all ? NULL : viewer_new(rights, servers_text, call_parts(call)->servers);
}

static json_t *get_all_objects(ApiCall *call, GError **error)
{
    Collector collector = { NULL };
    if (!prepare(call, &collector, error))
        return NULL;
    /* A pattern that asks for one type need not be tried on the others. */
    const char *type = json_string_value(json_object_get(collector.pattern, "type"));
    if (type && json_object_size(collector.pattern) == 1)
        collector.pattern = NULL;
    g_autoptr(AccountRights) rights = session_rights(call_session(call));
    g_autoptr(Viewer) viewer = viewer_of(call, rights);
    collector.viewer = viewer;
    g_autoptr(Rope) text = collector.text = rope_new();
    rope_add_string(text, collector.as_lines ? "" : "{");
    servers_each(call_parts(call)->servers, type, collect, &collector);
    g_clear_pointer(&collector.filter, filter_free);
    if (collector.as_lines)
        return downloads_offer(call_parts(call)->downloads, "application/json; charset=utf-8",
                               rope_flat(text), error);
    rope_add_string(text, "}");
    call_set_text(call, g_steal_pointer(&text));
    return NULL;
}

static json_t *clean(ApiCall *call, GError **error)
{
    account_clean(call_parts(call)->accounts, error);
    return NULL;
}

const Method methods_xo[] = {
    { "xo.clean", clean, NULL, .example = "",
      .summary = "Drop what is of nobody: expired tokens, and records of users that are gone." },
    { "xo.getAllObjects", get_all_objects,
      PARAMS(OPT(TYPED("filter", P_OBJECT | P_STRING), .may_be_empty = true), OPT(NUM("limit")),
             OPT(BOOL("ndjson"))),
      .access = ACCESS_USER, .rest = "GET /objects",
      .example = "filter='type:VM power_state:Running' limit=10",
      .summary = "The objects of all pools, by id; filter: a pattern, or text in the filter "
                 "language." },
    { NULL },
};
