/* The tables of the API, parsed once at start: types become slot kinds, relations become field
 * numbers, parameter lists become counts. */
#include "sim/datamodel.h"

#include <string.h>

typedef struct {
    bool is_class;
    guint flags; /* or the qualifier */
    const char *type, *name, *fallback;
} Row;

static const Row rows[] = {
#define CLASS(name_, flags_)                       { true, flags_, NULL, #name_, NULL },
#define FIELD(qualifier_, type_, name_, fallback_) { false, qualifier_, type_, #name_, fallback_ },
#include "sim/datamodel.def"
#undef CLASS
#undef FIELD
};

static const struct {
    const char *name, *values;
} enums[] = {
#define ENUM(name_, values_) { #name_, values_ },
#include "sim/enums.def"
#undef ENUM
};

static const struct {
    const char *cls, *field, *many, *set;
} relations[] = {
#define RELATION(cls_, field_, many_, set_) { #cls_, #field_, #many_, #set_ },
#include "sim/relations.def"
#undef RELATION
};

static const struct {
    const char *name, *params, *result;
    guint flags;
} messages[] = {
#define MESSAGE(name_, params_, result_, flags_) { name_, params_, result_, flags_ },
#include "sim/messages.def"
#undef MESSAGE
};

struct Datamodel {
    GPtrArray *classes; /* Class * */
    GHashTable *by_name;
    GHashTable *messages; /* name → Message * */
    GPtrArray *methods;
    GStringChunk *names;
};

const char *enum_values(const char *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(enums); i++)
        if (strcmp(enums[i].name, name) == 0)
            return enums[i].values;
    return NULL;
}

bool enum_has(const char *values, const char *value)
{
    size_t n = strlen(value);
    for (const char *at = values; n > 0 && (at = strstr(at, value)) != NULL; at += n)
        if ((at == values || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0'))
            return true;
    return false;
}

static char element_of(const char *type)
{
    switch (*type) {
    case 'i':
    case 'f':
        return *type;
    case '{':
        return 'x';
    default:
        return 's';
    }
}

static void field_parse(Field *field, const Row *row)
{
    const char *type = row->type, *arrow = strchr(type, '>');
    *field = (Field){
        .name = row->name, .type = type, .fallback = row->fallback, .qualifier = row->flags
    };
    if (arrow != NULL) {
        field->kind = SLOT_MAP;
        field->element = element_of(arrow + 1);
    } else if (*type == '{') {
        field->kind = SLOT_SET;
        field->element = element_of(type + 1);
        if (g_str_has_prefix(type, "{E:")) {
            g_autofree char *name = g_strndup(type + 3, strlen(type) - 4);
            field->values = enum_values(name);
        }
    } else {
        field->kind = *type == 'i' || *type == 'd' ? SLOT_INT
                      : *type == 'f'               ? SLOT_FLOAT
                      : *type == 'b'               ? SLOT_BOOL
                                                   : SLOT_TEXT;
        field->is_date = *type == 'd';
        field->is_ref = *type == '@';
        if (g_str_has_prefix(type, "E:"))
            field->values = enum_values(type + 2);
    }
}

static Class *class_begin(Datamodel *model, const Row *row)
{
    Class *cls = g_new0(Class, 1);
    cls->name = row->name;
    cls->lower = g_ascii_strdown(row->name, -1);
    cls->flags = row->flags;
    cls->index = model->classes->len;
    cls->uuid = cls->name_label = -1;
    cls->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    g_ptr_array_add(model->classes, cls);
    g_hash_table_insert(model->by_name, (gpointer) cls->name, cls);
    return cls;
}

static void class_free(gpointer data)
{
    Class *cls = data;
    g_hash_table_unref(cls->by_name);
    g_free(cls->lower);
    g_free(cls->fields);
    g_free(cls);
}

static void classes_load(Datamodel *model)
{
    guint n = G_N_ELEMENTS(rows);
    for (guint i = 0; i < n;) {
        Class *cls = class_begin(model, &rows[i++]);
        guint end = i;
        while (end < n && !rows[end].is_class)
            end++;
        cls->n_fields = end - i;
        cls->fields = g_new0(Field, cls->n_fields);
        for (guint f = 0; f < cls->n_fields; f++) {
            field_parse(&cls->fields[f], &rows[i + f]);
            g_hash_table_insert(cls->by_name, (gpointer) cls->fields[f].name,
                                GUINT_TO_POINTER(f + 1));
        }
        cls->uuid = class_field(cls, "uuid");
        cls->name_label = class_field(cls, "name_label");
        i = end;
    }
}

static void relations_load(Datamodel *model)
{
    for (guint i = 0; i < G_N_ELEMENTS(relations); i++) {
        const Class *one = datamodel_class(model, relations[i].cls);
        const Class *many = datamodel_class(model, relations[i].many);
        gint from = class_field(one, relations[i].field), to = class_field(many, relations[i].set);
        g_assert(from >= 0 && to >= 0);
        one->fields[from].many = many;
        one->fields[from].many_field = (guint) to;
    }
}

/* Adds a message; params as in messages.def. */
static void message_add(Datamodel *model, const char *name, const char *params, const char *result,
                        guint flags)
{
    Message *message = g_new0(Message, 1);
    message->name = g_string_chunk_insert(model->names, name);
    message->params = g_string_chunk_insert_const(model->names, params);
    message->result = g_string_chunk_insert_const(model->names, result);
    message->flags = flags;
    g_auto(GStrv) list = g_strsplit(params, " ", -1);
    for (char **at = list; *at != NULL; at++) {
        if (**at == '\0')
            continue;
        message->n_max++;
        if (!g_str_has_suffix(*at, "?"))
            message->n_min = message->n_max;
    }
    g_hash_table_replace(model->messages, (gpointer) message->name, message);
    if (!(flags & HIDDEN))
        g_ptr_array_add(model->methods, (gpointer) message->name);
}

static void message_derive(Datamodel *model, const Class *cls, const char *verb, const char *field,
                           const char *params, const char *result, guint flags)
{
    g_autofree char *name = g_strconcat(cls->name, ".", verb, field, NULL);
    g_autofree char *self = g_strconcat("@", cls->name, *params == '\0' ? "" : " ", params, NULL);
    message_add(model, name, self, result, flags);
}

static void field_messages(Datamodel *model, const Class *cls, const Field *field)
{
    message_derive(model, cls, "get_", field->name, "", field->type, 0);
    if (field->qualifier != RW)
        return;
    message_derive(model, cls, "set_", field->name, field->type, "v", 0);
    if (field->kind == SLOT_SET) {
        message_derive(model, cls, "add_", field->name, "s", "v", 0);
        message_derive(model, cls, "remove_", field->name, "s", "v", 0);
    } else if (field->kind == SLOT_MAP) {
        message_derive(model, cls, "add_to_", field->name, "s s", "v", 0);
        message_derive(model, cls, "remove_from_", field->name, "s", "v", 0);
    }
}

/* A message that does not begin with a reference to its class. */
static void static_message(Datamodel *model, const Class *cls, const char *verb, const char *params,
                           const char *result, guint flags)
{
    g_autofree char *name = g_strconcat(cls->name, ".", verb, NULL);
    g_autofree char *full = g_strdup_printf(result, cls->name, cls->name);
    message_add(model, name, params, full, flags);
}

static void class_messages(Datamodel *model, const Class *cls)
{
    guint removed = cls->flags & REMOVED;
    if (cls->flags & ALL) {
        static_message(model, cls, "get_all", "", "{@%s}", removed);
        static_message(model, cls, "get_all_records", "", "@%s>R:%s", removed);
        static_message(model, cls, "get_all_records_where", "s", "@%s>R:%s", removed | HIDDEN);
    }
    if (cls->flags & RECORD) {
        message_derive(model, cls, "get_record", "", "", "R", 0);
        static_message(model, cls, "get_by_uuid", "s", "@%s", 0);
    }
    if (cls->name_label >= 0 && !(cls->flags & UNNAMED))
        static_message(model, cls, "get_by_name_label", "s", "{@%s}", 0);
    if (cls->flags & CREATE) {
        static_message(model, cls, "create", "R", "@%s", ASYNC);
        message_derive(model, cls, "destroy", "", "", "v", ASYNC);
    }
    for (guint f = 0; f < cls->n_fields && !(cls->flags & NO_FIELDS); f++)
        field_messages(model, cls, &cls->fields[f]);
}

Datamodel *datamodel_new(void)
{
    Datamodel *model = g_new0(Datamodel, 1);
    model->classes = g_ptr_array_new_with_free_func(class_free);
    model->by_name = g_hash_table_new(g_str_hash, g_str_equal);
    model->messages = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, g_free);
    model->methods = g_ptr_array_new();
    model->names = g_string_chunk_new(16384);
    classes_load(model);
    relations_load(model);
    for (guint i = 0; i < model->classes->len; i++)
        class_messages(model, model->classes->pdata[i]);
    for (guint i = 0; i < G_N_ELEMENTS(messages); i++)
        message_add(model, messages[i].name, messages[i].params, messages[i].result,
                    messages[i].flags);
    return model;
}

void datamodel_free(Datamodel *model)
{
    g_ptr_array_unref(model->classes);
    g_hash_table_unref(model->by_name);
    g_hash_table_unref(model->messages);
    g_ptr_array_unref(model->methods);
    g_string_chunk_free(model->names);
    g_free(model);
}

const Class *datamodel_class(const Datamodel *model, const char *name)
{
    return g_hash_table_lookup(model->by_name, name);
}

guint datamodel_n_classes(const Datamodel *model)
{
    return model->classes->len;
}

const Class *datamodel_nth_class(const Datamodel *model, guint i)
{
    return model->classes->pdata[i];
}

const Message *datamodel_message(const Datamodel *model, const char *name)
{
    return g_hash_table_lookup(model->messages, name);
}

const GPtrArray *datamodel_methods(const Datamodel *model)
{
    return model->methods;
}

gint class_field(const Class *cls, const char *name)
{
    return (gint) GPOINTER_TO_UINT(g_hash_table_lookup(cls->by_name, name)) - 1;
}
