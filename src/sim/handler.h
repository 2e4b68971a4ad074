/* HTTP handlers: everything that is not RPC (/export_raw_vdi, /rrd_updates …).
 *
 * A handler is a row {method, path, function} in a table that ends with an empty row; the table's
 * name is a line of tables.def. The longest path that is a prefix of the request's wins, so
 * "/export_raw_vdi" also takes "/export_raw_vdi/". The function runs in a thread of the server
 * without the lock of model.h, and must answer. */
#pragma once

#include "http/server.h"
#include "sim/fault.h"
#include "sim/model.h"

typedef struct {
    const char *method; /* "GET" */
    const char *path;   /* "/export_raw_vdi" */
    void (*serve)(HttpRequest *request, Sim *sim);
    /* Instead, for what each host answers for itself: the number of the host that was asked. */
    void (*serve_at)(HttpRequest *request, Sim *sim, guint host);
} Handler;

/* A parameter from the cookie or the query, the cookie first; NULL when absent. */
const char *handler_param(HttpRequest *request, const char *name);
/* The session ref of the request (session_id, else HTTP Basic), copied; NULL after having answered
 * 401 and failed the task that the request names. */
char *handler_login(HttpRequest *request, Sim *sim);
/* The task of the request: that of task_id when there is one, else a new one announced in the
 * header task-id of the answer. Copy. Call before answering. */
char *handler_task(HttpRequest *request, Sim *sim, const char *session, const char *label);
/* Fails the task (may be NULL) with the error and answers with the status and an HTML page naming
 * it; connection closed. Only before the answer has begun. */
void handler_fail(HttpRequest *request, Sim *sim, const char *task, int status,
                  const GError *cause);

/* What a client announces when it does not know how much it will send: 1 PiB, and above. */
#define HANDLER_UNKNOWN_BYTES (1ll << 50)
/* Between two pieces of a transfer: shows its task how far it is, when that is known and another
 * percent (*shown: the last, 0 at first); TASK_CANCELLED when a client asked for that. */
bool handler_step(Sim *sim, const char *task, guint64 done_bytes, guint64 total_bytes,
                  double *shown, GError **error);
/* Some of the answer's body; IO when a fault cut it. */
bool handler_send(HttpRequest *request, FaultStream *fault, const void *data, gsize n,
                  GError **error);
