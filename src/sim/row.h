/* How a row lies in memory; for rows.c and row.c alone. */
#pragma once

#include "sim/rows.h"
#include "sim/vec.h"

typedef union {
    char *text; /* GRefString, interned */
    gint64 i;   /* also a date */
    double f;
    bool b;
    Vec *vec;
} Slot;

typedef struct {
    Rows *rows;
    const Class *cls;
    Obj *first, *last; /* by creation */
    Obj *latest;       /* by change */
    GHashTable *by_uuid;
    Slot *defaults;
    guint n;
} Table;

struct Obj {
    Table *table;
    char *ref; /* GRefString */
    Obj *previous, *next;
    Obj *earlier, *later;
    guint64 created, changed;
    Slot slots[];
};

void table_init(Table *table, Rows *rows, const Class *cls);
void table_clear(Table *table);
/* In the list by creation and the index of uuids; uuid NULL: has none. */
Obj *row_new(Table *table, const char *ref, const char *uuid);
/* Out of all lists of its table. */
void row_free(Obj *obj);
/* Takes the row out of the sets that mirror its references. */
void row_leave_relations(Obj *obj);
/* The next generation for the row. */
void rows_stamp(Rows *rows, Obj *obj);
