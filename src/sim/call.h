/* API methods: how one is written and registered.
 *
 * A method is a row {name, function} in a table that ends with an empty row; the table's name is a
 * line of tables.def. Its parameters and result are declared in messages.def, which exists for
 * every message of the API: a message with no row anywhere answers NOT_IMPLEMENTED.
 *
 *     static json_t *vdi_snapshot(Call *call, GError **error)
 *     {
 *         Obj *vdi = call_obj(call, 0, "VDI", error);
 *         ...
 *         return json_string(obj_ref(snapshot));
 *     }
 *     const Method storage_methods[] = {{"VDI.snapshot", vdi_snapshot}, {NULL, NULL}};
 *
 * Parameters do not count the session. They are checked and converted before: a function that
 * declares "i" finds a JSON integer, "b" a boolean, "f" a number, "@VM", "s", "d" and enums a
 * string; optional ones left out are NULL. The lock of model.h is held; the result is a new
 * reference; JSON "" (call_void) for void. NULL with an error of sim_error() otherwise; any other
 * error becomes INTERNAL_ERROR [message].
 *
 * The same function serves VM.start and Async.VM.start. */
#pragma once

#include "sim/model.h"

typedef struct Call Call;

typedef struct {
    const char *name;
    json_t *(*run)(Call *call, GError **error);
} Method;

Sim *call_sim(Call *call);
const char *call_method(Call *call);  /* "VDI.snapshot" */
const char *call_session(Call *call); /* "OpaqueRef:…" */
/* The task of this call: the client's for Async, else one made on the first request and destroyed
 * when the call returns. For current_operations and progress. */
const char *call_task(Call *call);
/* 0 … 1, shown in the task. */
void call_progress(Call *call, double done);
/* False, with TASK_CANCELLED [task], once the client has cancelled; ask between steps. */
bool call_alive(Call *call, GError **error);

json_t *call_param(Call *call, guint i);   /* borrowed; NULL: left out */
const char *call_str(Call *call, guint i); /* "" when left out */
gint64 call_int(Call *call, guint i);      /* 0 when left out */
bool call_bool(Call *call, guint i);
double call_float(Call *call, guint i);
/* The object a ref parameter names; HANDLE_INVALID [class, ref]. */
Obj *call_obj(Call *call, guint i, const char *cls, GError **error);
json_t *call_void(void);

/* Runs another method as a sub-step, from code that holds the lock: params without the session,
 * reference taken. */
json_t *call_run(Call *call, const char *method, json_t *params, GError **error);
