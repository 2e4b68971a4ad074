/* The simulator's object store: every record of every XAPI class, held as columns.
 *
 * A class is a list of typed fields (datamodel.def). An object is one row: a slot of 8 bytes per
 * field, holding an integer, an interned string, or a shared immutable set or map. Each write gives
 * the object the next generation number and wakes the clients that wait for events, so nothing
 * else has to be told of a change.
 *
 * Relations keep themselves: setting VBD.VM adds the VBD to VM.VBDs and takes it from the former
 * VM's (relations.def). Never write the "many" side by hand.
 *
 * LOCK. One lock guards the whole pool (sim_lock, not recursive). Methods (call.h) run with it
 * held; HTTP handlers (handler.h), background threads and timers take it themselves. Hold it only
 * for work in memory: drop it (sim_unlock … sim_lock) around I/O, sleeping and waiting. An Obj
 * pointer and the strings read from it are valid only until the lock is dropped: keep a copy of the
 * ref, and look it up again.
 *
 * Bad names of classes or fields are programming errors and abort. Dates are Unix seconds. */
#pragma once

#include "base/error.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Sim Sim;
typedef struct Obj Obj;

#define REF_NULL "OpaqueRef:NULL"

void sim_lock(Sim *sim);
void sim_unlock(Sim *sim);
/* Drops the lock, sleeps, takes it again. */
void sim_sleep(Sim *sim, guint ms);
/* The pool object, its master (Obj of class host). */
Obj *sim_pool(Sim *sim);
Obj *sim_master(Sim *sim);
/* Unix time of the pool, s. */
gint64 sim_now(Sim *sim);
/* A folder for files of the simulator (disk overlays …). */
const char *sim_data_dir(Sim *sim);
/* The shared number of --seed; and a new uuid, "xxxxxxxx-…": reproducible from the seed while the
 * pool is being populated, random afterwards. Caller frees. */
guint64 sim_seed(Sim *sim);
char *sim_new_uuid(Sim *sim);

/* --- Objects --- */

/* A new row with default values, a new uuid and ref; it exists at once, and its "add" event goes
 * out when the lock is dropped. */
Obj *obj_new(Sim *sim, const char *cls);
/* The same with a given uuid. */
Obj *obj_new_uuid(Sim *sim, const char *cls, const char *uuid);
/* Removes the row: leaves the relations it is the "one" side of, and gives a "del" event. */
void obj_drop(Obj *obj);

/* NULL when there is no such object; ref may be NULL. */
Obj *obj_find(Sim *sim, const char *cls, const char *ref);
/* The same, with HANDLE_INVALID [class, ref]. */
Obj *obj_get(Sim *sim, const char *cls, const char *ref, GError **error);
Obj *obj_find_uuid(Sim *sim, const char *cls, const char *uuid);
/* Ref or uuid, as the HTTP handlers take. */
Obj *obj_find_any(Sim *sim, const char *cls, const char *ref_or_uuid);
guint obj_count(Sim *sim, const char *cls);
/* In order of creation; nothing may be dropped meanwhile (writes are fine). */
Obj *obj_first(Sim *sim, const char *cls);
Obj *obj_next(Obj *obj);

Sim *obj_sim(const Obj *obj);
const char *obj_class(const Obj *obj); /* "VM" */
const char *obj_ref(const Obj *obj);   /* "OpaqueRef:…", stays valid while the object lives */
const char *obj_uuid(const Obj *obj);

/* --- Fields: reading --- */

/* string, enum, ref */
const char *obj_str(const Obj *obj, const char *field);
gint64 obj_int(const Obj *obj, const char *field); /* int, and date as Unix seconds */
bool obj_bool(const Obj *obj, const char *field);
/* The object that a ref field names, NULL for OpaqueRef:NULL and dangling refs. */
Obj *obj_follow(const Obj *obj, const char *field);
guint obj_set_size(const Obj *obj, const char *field);
const char *obj_set_nth(const Obj *obj, const char *field, guint i);
bool obj_set_has(const Obj *obj, const char *field, const char *value);
/* The i-th object of a set of refs, NULL when dangling. */
Obj *obj_follow_nth(const Obj *obj, const char *field, guint i);
/* NULL when absent. */
const char *obj_map_get(const Obj *obj, const char *field, const char *key);
guint obj_map_size(const Obj *obj, const char *field);
void obj_map_nth(const Obj *obj, const char *field, guint i, const char **key, const char **value);
/* A field, or the whole record, as JSON-RPC shows it; new reference. */
json_t *obj_field_json(const Obj *obj, const char *field);
json_t *obj_json(const Obj *obj);

/* --- Fields: writing (a write of the present value changes nothing) --- */

void obj_put_str(Obj *obj, const char *field, const char *value);
void obj_put_int(Obj *obj, const char *field, gint64 value);
void obj_put_float(Obj *obj, const char *field, double value);
void obj_put_bool(Obj *obj, const char *field, bool value);
/* A ref field; NULL stands for OpaqueRef:NULL. */
void obj_put_ref(Obj *obj, const char *field, const Obj *target);
void obj_set_add(Obj *obj, const char *field, const char *value);
void obj_set_remove(Obj *obj, const char *field, const char *value);
void obj_set_clear(Obj *obj, const char *field);
void obj_map_put(Obj *obj, const char *field, const char *key, const char *value);
void obj_map_remove(Obj *obj, const char *field, const char *key);
void obj_map_clear(Obj *obj, const char *field);
/* From JSON, with the conversions that the wire allows (decimal text for an int …);
 * FIELD_TYPE_ERROR [field], INVALID_VALUE [field, value]. */
bool obj_put_json(Obj *obj, const char *field, json_t *value, GError **error);
/* Copies one field, of the same name, from an object of the same class. */
void obj_copy_field(Obj *to, const Obj *from, const char *field);
/* Only the generation: a "mod" event with nothing changed. */
void obj_touch(Obj *obj);

/* --- Errors of XAPI --- */

/* ERR_XAPI with the code and its parameters as detail: sim_error(error, "VDI_IN_USE", ref,
 * "destroy", NULL). */
void sim_error(GError **error, const char *code, ...) G_GNUC_NULL_TERMINATED;
/* "20260821T02:00:00Z" and back (0 when it is not a date). */
char *sim_format_date(gint64 unix_s);
gint64 sim_parse_date(const char *text);
