/* Task records: made for Async calls, for HTTP transfers, and by clients (task.create).
 *
 * All with the lock held; `task` is a ref, and a task that has gone is ignored. The end is written
 * in XAPI's order, the status last, so a client that sees success has the result; effects must be
 * in the store before. Finished tasks are kept until the client destroys them. */
#pragma once

#include "sim/model.h"

/* A pending task of the session (may be NULL); the ref, owned by the task. */
const char *sim_task_new(Sim *sim, const char *session, const char *label);
void sim_task_progress(Sim *sim, const char *task, double done);
/* `result` is a JSON value encoded as XML-RPC in the record; NULL: void. Borrowed. */
void sim_task_succeed(Sim *sim, const char *task, json_t *result);
/* Failure with the error's code and parameters, or cancelled when that is what it says. */
void sim_task_fail(Sim *sim, const char *task, const GError *cause);
/* Asks all that are pending to end: nobody is to wait for them any more. */
void sim_tasks_cancel(Sim *sim);
/* Whether a client has asked to cancel it. */
bool sim_task_is_cancelled(Sim *sim, const char *task);
bool sim_task_is_pending(Sim *sim, const char *task);
