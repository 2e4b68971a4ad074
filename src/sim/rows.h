/* The inner side of model.h, for the core of the simulator alone: tables, generations, the log of
 * what has gone, and waiting for changes. With the lock held. */
#pragma once

#include "sim/datamodel.h"
#include "sim/model.h"
#include "sim/wire.h"

typedef struct Rows Rows;

Rows *rows_new(Sim *sim, guint64 seed);
void rows_free(Rows *rows);
/* Of the pool that owns it. */
Rows *sim_rows(Sim *sim);
const Datamodel *rows_datamodel(const Rows *rows);
void rows_lock(Rows *rows);
void rows_unlock(Rows *rows);
/* From now on uuids are random. */
void rows_populated(Rows *rows);
char *rows_uuid(Rows *rows);

guint64 rows_generation(const Rows *rows);
/* Wakes every waiter although nothing changed. */
void rows_wake(Rows *rows);
/* Waits, lock dropped, for a change or until the monotonic time in µs; false at the time. */
bool rows_wait(Rows *rows, gint64 until_us);

const Class *obj_table(const Obj *obj);
const Class *rows_class(Rows *rows, const char *name);
guint rows_count(Rows *rows, const Class *cls);
Obj *rows_find(Rows *rows, const char *ref);
/* By time of the last change, the latest first. */
Obj *rows_latest(Rows *rows, const Class *cls);
Obj *obj_earlier(const Obj *obj);
guint64 obj_created(const Obj *obj);
guint64 obj_changed(const Obj *obj);

typedef struct {
    const Class *cls;
    char *ref;
    guint64 created, dropped;
} Gone;
/* The deletions, elements Gone *, the latest first. */
const GList *rows_gone(const Rows *rows);
/* Deletions up to this generation have been forgotten. */
guint64 rows_gone_forgotten(const Rows *rows);

/* The record, the field, as a client sees it. */
void obj_write(const Obj *obj, Wire *wire);
void obj_write_field(const Obj *obj, guint field, Wire *wire);
/* Makes the set exactly these values, without an event when it is so already. */
void obj_set_assign(Obj *obj, const char *field, const char *const *values, guint n);
