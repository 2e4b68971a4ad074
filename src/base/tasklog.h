/* The tree of tasks of one run, as XO keeps and shows it (@vates/task; fields of backupNg.getLogs).
 *
 * Code that works holds a Task and begins children of it. Each step is also an event, a JSON object
 * {id, timestamp, type, …} that travels from the worker to the server, which folds it into a
 * TaskLog of its own with tasklog_apply: both sides hold the same tree. Types: "start" {parentId,
 * name, properties}, "property" {name, value}, "info" and "warning" {message, data}, "end" {status,
 * result}. Thread-safe (pthreads); the only I/O is on tasklog_spool's file. Times are Unix
 * milliseconds. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct TaskLog TaskLog;
typedef struct Task Task;

/* Beyond these, tasks and notes are counted but not kept. */
enum { TASKLOG_MAX_TASKS = 200000, TASKLOG_MAX_NOTES = 1000 };

/* The warning of a failed attempt that is tried again: its failure does not count when a sibling of
 * the same name and id succeeds. */
#define TASKLOG_RETRY_WARNING "Retry the VM backup due to an error"

/* An event, borrowed; called in order under the log's lock: must not call the log. */
typedef void (*TaskEventSeen)(json_t *event, void *user);

/* The root is already begun: `id` is the run's. `data` may be NULL; its reference is taken. `seen`
 * may be NULL; it gets no event for the root's begin. */
TaskLog *tasklog_new(const char *id, const char *name, json_t *data, gint64 start_ms,
                     TaskEventSeen seen, void *user);
/* Before the first task: the text of ended ones goes to a nameless file in this folder instead of
 * memory (where it stays when that fails). Views then read it. */
void tasklog_spool(TaskLog *log, const char *folder);
/* Keeps no tree from now on, only tells `seen`: for a worker, whose server holds the tree. */
void tasklog_keep_nothing(TaskLog *log);
/* No Task of it may be used afterwards. */
void tasklog_free(TaskLog *log);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TaskLog, tasklog_free)

/* Owned by the log; task_end and task_fail end it without freeing it. */
Task *tasklog_root(TaskLog *log);
/* Folds an event from the other side; false when it makes no sense (unknown task, missing field).
 */
bool tasklog_apply(TaskLog *log, json_t *event);
/* The root in XO's shape {id, message, data?, start, end?, status, result?, infos?, warnings?,
 * tasks?}, recursively: statuses computed from the children, ended ones first by end, then the
 * others by start. A task that has not ended is "pending" when `running`, else "interrupted". A new
 * reference, sharing nothing with the log. */
json_t *tasklog_view(TaskLog *log, bool running);
/* The same as JSON text, with the fields of `header` set in the root; allocates little more than
 * the text, which is what keeps a server flat while thousands of VMs are done. */
char *tasklog_text(TaskLog *log, bool running, json_t *header);

/* --- One task. NULL is allowed everywhere: nobody listens. --- */

/* `properties` ({type, id, …}) may be NULL; its reference is taken. */
Task *task_begin(Task *parent, const char *name, json_t *properties);
/* Ends with success and frees; `result` may be NULL; its reference is taken. */
void task_end(Task *task, json_t *result);
/* Ends with failure and frees. */
void task_fail(Task *task, const GError *error);
/* References of `data` and `value` are taken; data may be NULL. */
void task_info(Task *task, const char *message, json_t *data);
void task_warning(Task *task, const char *message, json_t *data);
void task_property(Task *task, const char *name, json_t *value);
/* 0 to 100; said at most once per percent or per 5 s. */
void task_progress(Task *task, double percent);
const char *task_id(const Task *task);

/* --- Going on after an interruption --- */

/* The info of the root of a run that goes on; its data says why it had to: {reason}. */
#define TASKLOG_RESUMED "The run was interrupted and goes on"

/* Closes every open task below the root as interrupted, with the warning of a retry, so that only
 * what does not succeed afterwards counts. */
void tasklog_interrupt(TaskLog *log, const char *reason);
/* The live log of a run whose stored log (as tasklog_view gives it) was closed as interrupted.
 * `folder` as for tasklog_spool. */
TaskLog *tasklog_reopen(const char *id, json_t *stored, const char *folder);

/* --- Stored logs --- */

/* An error as XO's logs hold one, without a stack: {message, name, code?, params?, detail?,
 * remedy?}. Errors with fixed words in XO (skipped runs) keep these as the message, ours as detail.
 */
json_t *tasklog_error(const GError *error);
/* Closes every task of a stored tree that has no end, recursively: end = now, status "interrupted";
 * the root gets `reason` as its result. False when nothing was open. */
bool tasklog_close_interrupted(json_t *root, gint64 now_ms, const char *reason);
/* 9 base-36 characters of time, '-', random base-36: sorts by creation. */
char *tasklog_id(gint64 now_ms);
