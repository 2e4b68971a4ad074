/* The classes and messages of the API, as tables: datamodel.def, enums.def, messages.def and
 * relations.def made searchable. Immutable once made; holds no objects. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum { SLOT_TEXT, SLOT_INT, SLOT_FLOAT, SLOT_BOOL, SLOT_SET, SLOT_MAP } SlotKind;
typedef enum { RW, CO, RO } Qualifier;

enum { /* of a class */
       CREATE = 1 << 0,
       ALL = 1 << 1,
       RECORD = 1 << 2,
       QUIET = 1 << 3,
       REMOVED = 1 << 4,
       NO_FIELDS = 1 << 5,
       UNNAMED = 1 << 6,
       /* of a message; REMOVED too */
       ASYNC = 1 << 7,
       OPEN = 1 << 8,
       HIDDEN = 1 << 9,
};

typedef struct Class Class;

typedef struct {
    const char *name, *type;
    const char *fallback; /* default as text, NULL: none */
    SlotKind kind;
    Qualifier qualifier;
    bool is_date;
    char element;       /* of a set, or of a map's values: 's', 'i', 'f', 'x' (set of text) */
    const char *values; /* of an enumeration, separated by spaces; else NULL */
    bool is_ref;
    const Class *many; /* the class whose set field `many_field` mirrors this reference */
    guint many_field;
} Field;

struct Class {
    const char *name;
    char *lower;
    guint flags, n_fields, index;
    Field *fields;
    GHashTable *by_name;
    gint uuid, name_label; /* field numbers, -1: none */
};

typedef struct {
    const char *name, *params, *result;
    guint flags;
    guint n_min, n_max; /* without the session */
} Message;

typedef struct Datamodel Datamodel;

Datamodel *datamodel_new(void);
void datamodel_free(Datamodel *model);

/* NULL when unknown. */
const Class *datamodel_class(const Datamodel *model, const char *name);
guint datamodel_n_classes(const Datamodel *model);
const Class *datamodel_nth_class(const Datamodel *model, guint i);
const Message *datamodel_message(const Datamodel *model, const char *name);
/* Names for system.listMethods; elements owned by the model. */
const GPtrArray *datamodel_methods(const Datamodel *model);

/* -1 when the class has no such field. */
gint class_field(const Class *cls, const char *name);
/* The values of an enumeration, separated by spaces; NULL when unknown. */
const char *enum_values(const char *name);
/* Whether value is one of the space-separated values. */
bool enum_has(const char *values, const char *value);
