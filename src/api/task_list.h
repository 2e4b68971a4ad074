/* The tasks that somebody is shown, on every surface: the server's own (tasks.h), and for
 * administrators the runs of backup jobs and restores, in the same shape. */
#pragma once

#include "api/parts.h"

enum { TASK_RUN_DAYS = 31 /* runs are tasks for so long */ };

typedef struct {
    const ApiParts *parts;
    json_t *user; /* public record */
    bool is_admin;
} TaskReader;

/* A new reference; NULL when there is none for this reader. */
json_t *task_list_get(const TaskReader *reader, const char *id);

/* False: enough. */
typedef bool (*TaskSeen)(json_t *task, void *user);
/* The server's own, the oldest first; those about one object, or (NULL) all. False when it was
 * enough. */
bool task_list_each(const TaskReader *reader, const char *about, TaskSeen seen, void *user);
/* The runs, for administrators. False with an error. */
bool task_list_each_run(const TaskReader *reader, TaskSeen seen, void *user, GError **error);
/* The ids of their logs. */
GPtrArray *task_list_runs(const ApiParts *parts, GError **error);
/* A run's log, whose reference is taken, as a task. */
json_t *task_of_run(json_t *log);

/* Ends one: a run is cancelled, a call's flag is set. NO_SUCH_OBJECT, or STATE when it has ended.
 */
bool task_list_abort(const TaskReader *reader, const char *id, GError **error);
