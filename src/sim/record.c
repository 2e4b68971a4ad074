/* The messages that every class has: reading and writing fields, listing, finding, constructing.
 *
 * They come from the field table alone, so a class that nobody wrote code for is still a complete
 * one for its clients. */
#include "base/mutant.h"
#include "sim/inner.h"

#include <string.h>

/* What a call is about: the class, and what follows the verb. */
typedef struct {
    Sim *sim;
    Call *call;
    const Class *cls;
    gint field; /* -1: the verb has none */
    Wire *out;
} Target;

static Obj *self_of(const Target *t, GError **error)
{
    return obj_get(t->sim, t->cls->name, call_str(t->call, 0), error);
}

/* --- Reading --- */

static bool get_field(const Target *t, GError **error)
{
    const Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    obj_write_field(self, (guint) t->field, t->out);
    return true;
}

static bool get_record(const Target *t, GError **error)
{
    const Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    obj_write(self, t->out);
    return true;
}

static bool get_by_uuid(const Target *t, GError **error)
{
    const char *uuid = call_str(t->call, 0);
    const Obj *self = obj_find_uuid(t->sim, t->cls->name, uuid);
    if (self == NULL) {
        sim_error(error, "UUID_INVALID", t->cls->name, uuid, NULL);
        return false;
    }
    wire_text_value(t->out, obj_ref(self));
    return true;
}

static bool get_by_name_label(const Target *t, GError **error)
{
    const char *label = call_str(t->call, 0);
    wire_open_list(t->out);
    for (Obj *obj = obj_first(t->sim, t->cls->name); obj != NULL; obj = obj_next(obj))
        if (strcmp(obj_str(obj, "name_label"), label) == 0)
            wire_text_value(t->out, obj_ref(obj));
    wire_close(t->out);
    return true;
}

static bool get_all(const Target *t, GError **error)
{
    wire_open_list(t->out);
    for (Obj *obj = obj_first(t->sim, t->cls->name); obj != NULL; obj = obj_next(obj))
        wire_text_value(t->out, obj_ref(obj));
    wire_close(t->out);
    return true;
}

/* The only filters in use: "true", and field "name" = "value" with = or <>. */
typedef struct {
    gint field; /* -1: all */
    char *value;
    bool equal;
} Filter;

static bool filter_parse(const Class *cls, const char *text, Filter *filter, GError **error)
{
    g_autoptr(GRegex) shape =
        g_regex_new("^\\s*field\\s+\"([^\"]+)\"\\s*(=|<>)\\s*\"([^\"]*)\"\\s*$", 0, 0, NULL);
    g_autoptr(GMatchInfo) match = NULL;
    *filter = (Filter){ .field = -1 };
    g_autofree char *bare = g_strstrip(g_strdup(text));
    if (strcmp(bare, "true") == 0)
        return true;
    if (g_regex_match(shape, text, 0, &match)) {
        g_autofree char *internal = g_match_info_fetch(match, 1);
        g_autofree char *operator= g_match_info_fetch(match, 2);
        g_auto(GStrv) parts = g_strsplit(internal, "__", -1);
        g_autofree char *name = g_strjoinv("_", parts);
        filter->field = class_field(cls, name);
        filter->value = g_match_info_fetch(match, 3);
        filter->equal = *operator== '=';
        if (filter->field >= 0)
            return true;
        g_clear_pointer(&filter->value, g_free);
    }
    sim_error(error, "INVALID_VALUE", "expr", text, NULL);
    return false;
}

static bool filter_passes(const Filter *filter, const Obj *obj)
{
    if (filter->field < 0)
        return true;
    Wire *wire = wire_new(false);
    obj_write_field(obj, (guint) filter->field, wire);
    g_autoptr(GString) text = wire_finish(wire);
    g_autofree char *quoted = g_strdup_printf("\"%s\"", filter->value);
    bool same = strcmp(text->str, filter->value) == 0 || strcmp(text->str, quoted) == 0;
    return same == filter->equal;
}

static bool get_all_records(const Target *t, GError **error)
{
    Filter filter = { .field = -1 };
    json_t *where = call_param(t->call, 0);
    if (where != NULL && !filter_parse(t->cls, json_string_value(where), &filter, error))
        return false;
    wire_open_map(t->out);
    for (Obj *obj = obj_first(t->sim, t->cls->name); obj != NULL; obj = obj_next(obj)) {
        if (!filter_passes(&filter, obj))
            continue;
        wire_key(t->out, obj_ref(obj));
        obj_write(obj, t->out);
    }
    wire_close(t->out);
    g_free(filter.value);
    return true;
}

/* --- Writing --- */

static bool done(const Target *t)
{
    wire_text_value(t->out, "");
    return true;
}

static bool set_field(const Target *t, GError **error)
{
    Obj *self = self_of(t, error);
    const Field *field = self == NULL ? NULL : &t->cls->fields[t->field];
    return self != NULL && obj_put_json(self, field->name, call_param(t->call, 1), error) &&
           done(t);
}

static bool set_add(const Target *t, GError **error)
{
    Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    obj_set_add(self, t->cls->fields[t->field].name, call_str(t->call, 1));
    return done(t);
}

static bool set_remove(const Target *t, GError **error)
{
    Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    obj_set_remove(self, t->cls->fields[t->field].name, call_str(t->call, 1));
    return done(t);
}

static bool map_add(const Target *t, GError **error)
{
    Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    const char *field = t->cls->fields[t->field].name, *key = call_str(t->call, 1);
    if (obj_map_get(self, field, key) != NULL && !MUTANT(sim_map_overwrite)) { /* mutant: sim_api */
        sim_error(error, "MAP_DUPLICATE_KEY", t->cls->name, field, obj_ref(self), key, NULL);
        return false;
    }
    obj_map_put(self, field, key, call_str(t->call, 2));
    return done(t);
}

static bool map_remove(const Target *t, GError **error)
{
    Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    obj_map_remove(self, t->cls->fields[t->field].name, call_str(t->call, 1));
    return done(t);
}

/* --- Constructing --- */

static bool is_mandatory(const Field *field)
{
    return field->qualifier != RO && field->fallback == NULL;
}

Obj *record_create(Sim *sim, const char *name, json_t *record, GError **error)
{
    const Class *cls = rows_class(sim_rows(sim), name);
    for (guint i = 0; i < cls->n_fields; i++)
        if (is_mandatory(&cls->fields[i]) && json_object_get(record, cls->fields[i].name) == NULL) {
            sim_error(error, "FIELD_TYPE_ERROR", cls->fields[i].name, NULL);
            return NULL;
        }
    Obj *obj = obj_new(sim, name);
    for (guint i = 0; i < cls->n_fields; i++) {
        json_t *value = json_object_get(record, cls->fields[i].name);
        if (cls->fields[i].qualifier == RO || value == NULL)
            continue;
        if (!obj_put_json(obj, cls->fields[i].name, value, error)) {
            obj_drop(obj);
            return NULL;
        }
    }
    return obj;
}

static bool create(const Target *t, GError **error)
{
    Obj *obj = record_create(t->sim, t->cls->name, call_param(t->call, 0), error);
    if (obj == NULL)
        return false;
    wire_text_value(t->out, obj_ref(obj));
    return true;
}

static bool destroy(const Target *t, GError **error)
{
    Obj *self = self_of(t, error);
    if (self == NULL)
        return false;
    obj_drop(self);
    return done(t);
}

/* --- Which of them --- */

typedef struct {
    const char *verb;
    bool has_field;
    bool (*run)(const Target *target, GError **error);
} Verb;

/* Longer verbs first: add_to_x is not the element "to_x". */
static const Verb verbs[] = {
    { "get_all_records_where", false, get_all_records },
    { "get_all_records", false, get_all_records },
    { "get_all", false, get_all },
    { "get_record", false, get_record },
    { "get_by_uuid", false, get_by_uuid },
    { "get_by_name_label", false, get_by_name_label },
    { "create", false, create },
    { "destroy", false, destroy },
    { "add_to_", true, map_add },
    { "remove_from_", true, map_remove },
    { "add_", true, set_add },
    { "remove_", true, set_remove },
    { "get_", true, get_field },
    { "set_", true, set_field },
};

static const Verb *verb_find(const Class *cls, const char *name, gint *field)
{
    for (guint i = 0; i < G_N_ELEMENTS(verbs); i++) {
        const Verb *verb = &verbs[i];
        size_t n = strlen(verb->verb);
        if (!verb->has_field && strcmp(name, verb->verb) == 0)
            return verb;
        if (!verb->has_field || strncmp(name, verb->verb, n) != 0)
            continue;
        *field = class_field(cls, name + n);
        if (*field >= 0)
            return verb;
    }
    return NULL;
}

/* A constructor of messages.def does more than fill fields: it is for somebody else. Writes of a
 * field are what they seem, also where only an explicit message allows them. */
static bool is_derived(const Class *cls, const Verb *verb)
{
    return (verb->run != create && verb->run != destroy) || cls->flags & CREATE;
}

bool record_call(Call *call, const Message *message, Wire *out, GError **error)
{
    Target target = { .sim = call_sim(call), .call = call, .field = -1, .out = out };
    const char *dot = strchr(message->name, '.');
    g_autofree char *cls = g_strndup(message->name, (gsize) (dot - message->name));
    target.cls = rows_class(sim_rows(target.sim), cls);
    const Verb *verb = target.cls == NULL ? NULL : verb_find(target.cls, dot + 1, &target.field);
    if (verb == NULL || !is_derived(target.cls, verb)) {
        sim_error(error, "NOT_IMPLEMENTED", message->name, NULL);
        return false;
    }
    return verb->run(&target, error);
}
