/* What lasts, as a record that clients poll, wait for and watch: XO's tasks.
 *
 * A task is {id, properties: {name, type?, objectId?, userId?, progress?, …}, start, status
 * ("pending", "success", "failure", "interrupted"), updatedAt, end?, result?, tasks?,
 * abortionRequestedAt?}, times in Unix milliseconds, progress in percent; tasks are its steps. The
 * newest TASKS_KEPT are kept, in the store's log "tasks"; what the server's end interrupted says
 * so. Thread-safe; returned JSON is a new reference, the caller's alone. */
#pragma once

#include "base/cancel.h"
#include "store/store.h"

typedef struct Tasks Tasks;

enum { TASKS_KEPT = 1000 };

/* The store must outlive it. */
Tasks *tasks_new(Store *store);
void tasks_free(Tasks *tasks);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Tasks, tasks_free)

/* Begins one; the reference of `properties` is taken. Its id; caller frees. */
char *tasks_begin(Tasks *tasks, json_t *properties);
/* The same for a call: forgotten when it ends well, written down only when it does not. */
char *tasks_begin_call(Tasks *tasks, json_t *properties);
/* The flag that an abort of it sets, a new reference; NULL when there is no such pending task. */
Cancel *tasks_cancel(Tasks *tasks, const char *id);
/* How far it is, 0 … 1; never less than before. */
void tasks_progress(Tasks *tasks, const char *id, double done);
/* Begins a step of it, its id (caller frees), and ends one; the reference of `properties` is taken.
 */
char *tasks_begin_step(Tasks *tasks, const char *id, json_t *properties);
void tasks_end_step(Tasks *tasks, const char *id, const char *step, bool success);
/* Ends one; the reference of `result` is taken, NULL: it has none. */
void tasks_end(Tasks *tasks, const char *id, bool success, json_t *result);
/* Somebody wants it to end: that is noted, and its flag is set; false when there is no such pending
 * task. */
bool tasks_ask_to_abort(Tasks *tasks, const char *id);
/* Forgets one that has ended; false when there is none. */
bool tasks_drop(Tasks *tasks, const char *id);

/* NULL when there is none. */
json_t *tasks_get(Tasks *tasks, const char *id);
/* An array, oldest first. */
json_t *tasks_list(Tasks *tasks);
/* How many changes there were, and a wait until there are more than `seen`, at most timeout_ms. */
guint64 tasks_changes(Tasks *tasks, guint64 seen, unsigned timeout_ms);
