/* XO's view of an object, written from a table of fields: each row has XO's name, the function that
 * writes it and the XAPI field it comes from. An object type is one table in views/<type>.c and one
 * row of views.def. */
#pragma once

#include "pool/record.h"

typedef struct View View;
typedef struct ViewField ViewField;

struct ViewField {
    const char *name;
    void (*write)(View *view, const ViewField *field); /* or nothing, when the field is absent */
    const char *source;                                /* XAPI field, "other_config/key" a member */
};

/* What a view may see of the pool; answers are borrowed. */
typedef struct {
    Record *(*find)(const char *ref, void *user);
    Record *(*find_id)(const char *id, void *user);
    /* The view must be written again when `ref_or_id` appears, changes or goes; "!ref": when it
     * goes. */
    void (*depend)(const char *ref_or_id, void *user);
    const char *pool_id;
    Record *pool;
    void *user;
} ViewWorld;

/* --- for the inventory --- */

typedef struct {
    const char *cls;  /* XAPI's */
    const char *type; /* XO's, unless type_of */
    const char *(*type_of)(const Record *record);
    const ViewField *fields;
} ViewType;

/* How XO shows the class; NULL when it does not. */
const ViewType *view_type_of_class(const char *cls);
const char *view_type_of(const ViewType *type, const Record *record);
/* XO's id of a record; false when it has none yet. */
bool view_id(const Record *record, const char *pool_id, GString *id);
/* The whole object as JSON text, NUL-terminated. */
GBytes *view_write(Cells *cells, const ViewType *type, const Record *record,
                   const ViewWorld *world);

/* --- for the tables --- */

/* The row functions: the source copied as it is, … */
void view_copy(View *view, const ViewField *field);
void view_bool(View *view, const ViewField *field);
void view_int(View *view, const ViewField *field);  /* number or text; absent when neither */
void view_date(View *view, const ViewField *field); /* Unix seconds, null when unset */
void view_link(View *view, const ViewField *field);
/* The same where a pool leaves the reference in place when the other object goes. */
void view_weak_link(View *view, const ViewField *field);
void view_links(View *view, const ViewField *field);

/* For functions of their own: the record, its values, other records. */
const Record *view_record(const View *view);
const char *view_type(const View *view);
const ViewWorld *view_world(const View *view);
Value view_value(View *view, const char *source);
/* Another record whose content this view uses: it is written again when that changes. */
Record *view_follow(View *view, Value ref);
/* The same without following changes, for what never changes. */
Record *view_peek(View *view, Value ref);
/* Writes ,"name": and gives the text to append the value to. */
GString *view_begin(View *view, const char *name);
void view_put_text(View *view, const char *name, const char *text);
void view_put_bool(View *view, const char *name, bool value);
void view_put_int(View *view, const char *name, gint64 value);
void view_put_number(View *view, const char *name, double value);
void view_put_value(View *view, const char *name, Value value); /* nothing when absent */
/* Seconds from an XAPI date, or a number of seconds as text; null when unset. */
void view_put_date(View *view, const char *name, Value date);
double view_seconds(Value date);                             /* 0 when unset */
void view_put_link(View *view, const char *name, Value ref); /* nothing when it leads nowhere */
void view_put_id(View *view, const char *name, const Record *record);
/* Appends the quoted id; false when there is none. */
bool view_write_id(View *view, GString *out, const Record *record);
