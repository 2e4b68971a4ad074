/* What HTTP handlers share: who calls, under which task, and how to refuse. */
#include "sim/handler.h"

#include "sim/inner.h"
#include "sim/task.h"

#include <string.h>

const char *handler_param(HttpRequest *request, const char *name)
{
    const char *value = http_cookie(request, name);
    return value != NULL ? value : http_query(request, name);
}

/* A session for a user name and password of HTTP Basic; copy, NULL when they are wrong. */
static char *basic_login(HttpRequest *request, Sim *sim)
{
    const char *header = http_header(request, "authorization");
    if (header == NULL || g_ascii_strncasecmp(header, "Basic ", 6) != 0)
        return NULL;
    gsize n;
    g_autofree guchar *raw = g_base64_decode(header + 6, &n);
    g_autofree char *pair = g_strndup((const char *) raw, n);
    char *colon = strchr(pair, ':');
    if (colon == NULL)
        return NULL;
    *colon = '\0';
    if (!sim_session_password_is(sim, pair, colon + 1))
        return NULL;
    sim_lock(sim);
    char *session = g_strdup(sim_session_open(sim, pair, "http"));
    sim_unlock(sim);
    return session;
}

char *handler_login(HttpRequest *request, Sim *sim)
{
    const char *ref = handler_param(request, "session_id");
    g_autoptr(GError) error = NULL;
    if (ref == NULL) {
        char *session = basic_login(request, sim);
        if (session != NULL)
            return session;
    } else {
        sim_lock(sim);
        bool ok = sim_session_check(sim, ref, NULL);
        sim_unlock(sim);
        if (ok)
            return g_strdup(ref);
    }
    sim_error(&error, "SESSION_AUTHENTICATION_FAILED", NULL);
    http_reply_header(request, "WWW-Authenticate", "Basic realm=\"cadenza-sim\"");
    handler_fail(request, sim, handler_param(request, "task_id"), 401, error);
    return NULL;
}

char *handler_task(HttpRequest *request, Sim *sim, const char *session, const char *label)
{
    const char *given = handler_param(request, "task_id");
    sim_lock(sim);
    bool known = given != NULL && obj_find(sim, "task", given) != NULL;
    char *task = g_strdup(known ? given : sim_task_new(sim, session, label));
    sim_unlock(sim);
    if (!known)
        http_reply_header(request, "task-id", task);
    return task;
}

void handler_fail(HttpRequest *request, Sim *sim, const char *task, int status, const GError *cause)
{
    json_t *list = call_failure(cause);
    g_autoptr(GString) page = g_string_new("<html><body><h1>HTTP ");
    g_string_append_printf(page, "%d</h1><p>", status);
    for (size_t i = 0; i < json_array_size(list); i++) {
        wire_escape_xml(page, json_string_value(json_array_get(list, i)));
        g_string_append(page, i + 1 < json_array_size(list) ? "; " : "");
    }
    g_string_append(page, "</p></body></html>");
    json_decref(list);
    if (task != NULL) {
        sim_lock(sim);
        sim_task_fail(sim, task, cause);
        sim_unlock(sim);
    }
    http_reply_close(request);
    http_reply(request, status, "text/html", page->str, page->len);
}

bool handler_step(Sim *sim, const char *task, guint64 done_bytes, guint64 total_bytes,
                  double *shown, GError **error)
{
    double done = (double) done_bytes / (double) MAX(total_bytes, 1);
    sim_lock(sim);
    bool cancelled = sim_task_is_cancelled(sim, task);
    if (total_bytes < HANDLER_UNKNOWN_BYTES && done >= *shown + 0.01) {
        sim_task_progress(sim, task, done);
        *shown = done;
    }
    sim_unlock(sim);
    if (cancelled)
        sim_error(error, "TASK_CANCELLED", task, NULL);
    return !cancelled;
}

bool handler_send(HttpRequest *request, FaultStream *fault, const void *data, gsize n,
                  GError **error)
{
    gsize pass = fault_stream_pass(fault, n);
    if (!http_reply_write(request, data, MIN(pass, n), error))
        return false;
    if (pass >= n)
        return true;
    err_set(error, ERR_IO, "the stream was cut by a fault");
    return false;
}
