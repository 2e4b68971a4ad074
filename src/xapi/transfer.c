/* Bulk data through the pool's HTTP handlers. Each transfer has a task of ours, which alone knows
 * the truth: a body may just be cut, or hold a second answer with an error, while the task names
 * the cause. Hosts send each other's clients on with 302. */
#include "xapi/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <stdlib.h>
#include <string.h>

enum {
    SETTLE_EXPORT_MS = 30 * 1000,  /* for the task after the last byte */
    SETTLE_FAILED_MS = 5 * 1000,   /* for the task to say why */
    SETTLE_IMPORT_MS = 600 * 1000, /* the pool flushes what it was given */
};

/* Announced when the length is not known; the connection is cut at the end of the data. */
#define UNKNOWN_LENGTH (G_GINT64_CONSTANT(1) << 50)

static const char EMBEDDED[] = "HTTP/"; /* an answer inside the body */

typedef struct {
    Xapi *xapi;
    const char *what; /* "export of the disk OpaqueRef:…" */
    const char *verb; /* "GET" */
    const char *path; /* "/export_raw_vdi/" */
    char *query;      /* percent-encoded, without session and task */
    char *task;
    Cancel *cancel;

    HttpSink sink;     /* of an export */
    HttpRoom room;     /* of an export; may be absent */
    HttpSource source; /* of an import */
    void *user;
    gint64 n_bytes; /* -1: unknown */
    bool (*begun)(const char *task, void *user, GError **error);
    bool (*made)(const char *const *vms, void *user, GError **error);

    char *host;
    char *result; /* of the task */
    int status;
    char *location;
    char head[sizeof EMBEDDED - 1]; /* the first bytes, until they can be judged */
    size_t n_head;
    bool embedded, judged;
    bool ended;         /* the source has given its last byte */
    bool caller_failed; /* its sink or source said no */
    bool told;          /* the caller knows the task */
} Transfer;

static void transfer_clear(Transfer *transfer)
{
    cancel_unref(transfer->cancel);
    g_free(transfer->query);
    g_free(transfer->task);
    g_free(transfer->host);
    g_free(transfer->location);
    g_free(transfer->result);
}

static void see_header(const char *name, const char *value, void *user)
{
    Transfer *transfer = user;
    if (strcmp(name, ":status") == 0) {
        transfer->status = atoi(value);
    } else if (strcmp(name, "location") == 0) {
        g_free(transfer->location);
        transfer->location = g_strdup(value);
    }
}

static bool is_good(const Transfer *transfer)
{
    return transfer->status >= 200 && transfer->status < 300;
}

static bool pass_on(Transfer *transfer, const void *data, size_t n, GError **error)
{
    if (!n || transfer->sink(data, n, transfer->user, error))
        return true;
    transfer->caller_failed = true;
    return false;
}

/* Holds back the first bytes until they are known to be data. */
static bool judge_head(Transfer *transfer, const char **data, size_t *n, GError **error)
{
    size_t want = sizeof transfer->head;
    size_t taken = MIN(*n, want - transfer->n_head);
    memcpy(transfer->head + transfer->n_head, *data, taken);
    transfer->n_head += taken;
    *data += taken;
    *n -= taken;
    if (transfer->n_head < want)
        return true;
    transfer->judged = true;
    transfer->embedded = memcmp(transfer->head, EMBEDDED, want) == 0 &&
                         !MUTANT(xapi_trusts_embedded_error); /* mutant: xapi_transfer */
    return transfer->embedded || pass_on(transfer, transfer->head, want, error);
}

static bool take_body(const void *bytes, size_t n, void *user, GError **error)
{
    Transfer *transfer = user;
    const char *data = bytes;
    if (!is_good(transfer) || !transfer->sink)
        return true; /* the page of an error */
    if (!transfer->judged && !judge_head(transfer, &data, &n, error))
        return false;
    return !transfer->judged || transfer->embedded || pass_on(transfer, data, n, error);
}

static void *body_room(size_t *n, void *user)
{
    Transfer *transfer = user;
    bool is_data = transfer->judged && !transfer->embedded && is_good(transfer);
    return is_data && transfer->room ? transfer->room(n, transfer->user) : NULL;
}

static ssize_t give_body(void *data, size_t n, void *user, GError **error)
{
    Transfer *transfer = user;
    ssize_t given = transfer->source(data, n, transfer->user, error);
    if (given < 0)
        transfer->caller_failed = true;
    transfer->ended = given == 0;
    return given;
}

static char *transfer_url(Transfer *transfer, bool with_task, GError **error)
{
    g_autofree char *host = NULL, *session = NULL;
    unsigned generation;
    if (!xapi_snapshot(transfer->xapi, &host, &session, &generation, transfer->cancel, error))
        return NULL;
    if (!transfer->host)
        transfer->host = g_steal_pointer(&host);
    g_autofree char *base = xapi_address_url(&transfer->xapi->address, transfer->host);
    g_autofree char *escaped = g_uri_escape_string(session, NULL, FALSE);
    g_autofree char *task = g_uri_escape_string(transfer->task ? transfer->task : "", NULL, FALSE);
    return g_strdup_printf("%s%s?session_id=%s%s%s&%s", base, transfer->path, escaped,
                           with_task ? "&task_id=" : "", with_task ? task : "", transfer->query);
}

/* One request. The status, 0 with an error. */
static int ask(Transfer *transfer, bool probe, GError **error)
{
    g_autofree char *url = transfer_url(transfer, !probe, error);
    if (!url)
        return 0;
    transfer->status = 0;
    g_clear_pointer(&transfer->location, g_free);
    bool sends = transfer->source && !probe;
    HttpCall call = {
        .method = transfer->verb,
        .url = url,
        .body = sends || !transfer->source ? NULL : "",
        .source = sends ? give_body : NULL,
        .source_bytes = !sends                   ? 0
                        : transfer->n_bytes >= 0 ? transfer->n_bytes
                                                 : UNKNOWN_LENGTH,
        .cut_at_end = sends && transfer->n_bytes < 0,
        .straight = transfer->sink != NULL,
        .room = body_room,
        .sink = take_body,
        .header_seen = see_header,
        .user = transfer,
        .cancel = transfer->cancel,
    };
    transfer->status = xapi_http(transfer->xapi, &call, error);
    return transfer->status;
}

/* The host that a 302 names; our own scheme and port stay. */
static bool follow(Transfer *transfer, GError **error)
{
    XapiAddress address;
    if (!transfer->location) {
        err_set(error, ERR_PROTOCOL, "%s sent us on without saying where", transfer->host);
        return false;
    }
    if (!xapi_address_parse(transfer->location, &address, error))
        return false;
    g_free(transfer->host);
    transfer->host = address.host;
    return true;
}

/* Asks until a host does not send us on. */
static int ask_anywhere(Transfer *transfer, bool probe, GError **error)
{
    for (unsigned n = 0; n <= XAPI_MAX_REDIRECTS; n++) {
        int status = ask(transfer, probe, error);
        if (status != 302 && status != 301 && status != 307)
            return status;
        if (!follow(transfer, error))
            return 0;
    }
    err_set(error, ERR_PROTOCOL, "the hosts send us on in a circle");
    return 0;
}

/* Without the name of the transfer: its callers put that before. */
static void set_page_error(Transfer *transfer, GError **error)
{
    if (transfer->embedded)
        err_set(error, ERR_PROTOCOL, "%s sent an error in place of the data", transfer->host);
    else
        err_set(error, ERR_PROTOCOL, "%s answered HTTP %d", transfer->host, transfer->status);
}

/* What the task says within the time: *error is replaced by the pool's reason when it has one. */
static bool ask_task(Transfer *transfer, unsigned timeout_ms, bool must_settle, GError **error)
{
    TaskState state = { 0 };
    g_autoptr(GError) untold = NULL, reason = NULL;
    Cancel *cancel = must_settle ? transfer->cancel : NULL;
    if (!task_watch(transfer->xapi, transfer->task, &state, timeout_ms, cancel, NULL, NULL,
                    &untold)) {
        task_state_clear(&state);
        if (!must_settle && err_is(untold, ERR_TIMEOUT))
            return true;
        g_propagate_prefixed_error(error, g_steal_pointer(&untold), "%s: ", transfer->what);
        return false;
    }
    g_autofree char *result = task_result(&state, transfer->what, &reason);
    bool forgotten = state.gone && !must_settle;
    task_state_clear(&state);
    if (result || forgotten) {
        g_free(transfer->result);
        transfer->result = g_steal_pointer(&result);
        return true;
    }
    g_propagate_error(error, g_steal_pointer(&reason));
    return false;
}

/* A transfer that failed on the wire: the pool knows better why, if it says so soon. */
static void explain(Transfer *transfer, GError **failure)
{
    GError *reason = NULL;
    if (transfer->caller_failed || err_is(*failure, ERR_CANCELLED))
        return;
    if (!ask_task(transfer, SETTLE_FAILED_MS, false, &reason) &&
        (err_is(reason, ERR_XAPI) || err_is(reason, ERR_CANCELLED))) {
        g_clear_error(failure);
        *failure = reason;
    } else {
        g_clear_error(&reason);
        g_prefix_error(failure, "%s: ", transfer->what);
    }
}

static bool create_task(Transfer *transfer, const char *label, GError **error)
{
    json_t *params = json_pack("[s, s]", label, transfer->what);
    transfer->task = xapi_call_string(transfer->xapi, "task.create", params, error);
    return transfer->task != NULL;
}

/* Ends with the task: cancelled when the transfer failed, and destroyed, unless somebody knows of
 * it and has to ask what it made all the same. */
static bool finish(Transfer *transfer, GError *failure, GError **error)
{
    if (failure)
        explain(transfer, &failure);
    if (!failure || !transfer->told)
        task_cancel_and_destroy(transfer->xapi, transfer->task, failure != NULL);
    if (!failure)
        return true;
    g_propagate_error(error, failure);
    return false;
}

static bool run_export(Transfer *transfer, GError **error)
{
    GError *failure = NULL;
    if (!create_task(transfer, "Cadenza export", error))
        return false;
    int status = ask_anywhere(transfer, false, &failure);
    if (status && is_good(transfer) && !transfer->judged && transfer->n_head)
        pass_on(transfer, transfer->head, transfer->n_head, &failure);
    if (!failure && (!is_good(transfer) || transfer->embedded))
        set_page_error(transfer, &failure);
    if (!failure && !MUTANT(xapi_export_ignores_task)) /* mutant: xapi_transfer */
        ask_task(transfer, SETTLE_EXPORT_MS, false, &failure);
    return finish(transfer, failure, error);
}

/* An unknown length is announced as huge: the pool then ends with an error although it has it all.
 */
static bool is_only_the_end(const Transfer *transfer, const GError *failure)
{
    return transfer->n_bytes < 0 && transfer->ended &&
           strcmp(err_xapi_code(failure), "VDI_IO_ERROR") == 0;
}

/* The references in a task's result: one, or a set of them as XML. */
static char **refs_in(const char *result)
{
    g_autoptr(GPtrArray) refs = g_ptr_array_new();
    for (const char *at = result ? result : ""; (at = strstr(at, "OpaqueRef:")) != NULL;) {
        size_t n = strspn(at, "OpaqueRef:0123456789abcdefABCDEF-");
        g_ptr_array_add(refs, g_strndup(at, n));
        at += n;
    }
    g_ptr_array_add(refs, NULL);
    return (char **) g_ptr_array_steal(refs, NULL);
}

static void hand_over(Transfer *transfer, GError **error)
{
    g_auto(GStrv) refs = refs_in(transfer->result);
    if (transfer->made)
        transfer->made((const char *const *) refs, transfer->user, error);
}

char **xapi_import_abandon(Xapi *xapi, const char *task, GError **error)
{
    TaskState state = { 0 };
    g_autoptr(GError) failure = NULL;
    xapi_do(xapi, "task.cancel", json_pack("[s]", task), NULL);
    bool told = task_watch(xapi, task, &state, SETTLE_IMPORT_MS, NULL, NULL, NULL, error);
    g_autofree char *result = told ? task_result(&state, "the import", &failure) : NULL;
    task_state_clear(&state);
    if (!told)
        return NULL;
    task_cancel_and_destroy(xapi, task, false);
    return refs_in(result);
}

static bool run_import(Transfer *transfer, GError **error)
{
    GError *failure = NULL;
    int status = ask_anywhere(transfer, true, error);
    if (status && !is_good(transfer))
        set_page_error(transfer, error);
    if (!status || !is_good(transfer)) {
        g_prefix_error(error, "%s: ", transfer->what);
        return false;
    }
    if (!create_task(transfer, "Cadenza import", error))
        return false;
    transfer->told = transfer->begun && transfer->begun(transfer->task, transfer->user, &failure);
    if (failure)
        return finish(transfer, failure, error);
    status = ask(transfer, false, &failure);
    if (!failure && status && !is_good(transfer))
        set_page_error(transfer, &failure);
    if (!failure && !MUTANT(xapi_import_ignores_task)) /* mutant: xapi_transfer */
        ask_task(transfer, SETTLE_IMPORT_MS, true, &failure);
    if (failure && is_only_the_end(transfer, failure))
        g_clear_error(&failure);
    if (!failure)
        hand_over(transfer, &failure);
    return finish(transfer, failure, error);
}

static void add_query(GString *query, const char *name, const char *value)
{
    g_string_append_printf(query, "%s%s=", query->len ? "&" : "", name);
    g_string_append_uri_escaped(query, value, NULL, FALSE);
}

/* `query` is taken. */
static bool export_from(Xapi *xapi, const char *what, const char *path, GString *query,
                        HttpRoom room, HttpSink sink, void *user, Cancel *cancel, GError **error)
{
    Transfer transfer = {
        .xapi = xapi,
        .what = what,
        .verb = "GET",
        .path = path,
        .query = g_string_free(query, FALSE),
        .cancel = cancel_new_under(cancel, xapi->cut),
        .room = room,
        .sink = sink,
        .user = user,
    };
    bool ok = run_export(&transfer, error);
    transfer_clear(&transfer);
    return ok;
}

bool xapi_export_vdi(Xapi *xapi, const char *vdi, const char *base, const char *format,
                     HttpSink sink, void *user, Cancel *cancel, GError **error)
{
    return xapi_export_vdi_to(xapi, vdi, base, format, NULL, sink, user, cancel, error);
}

bool xapi_export_vdi_to(Xapi *xapi, const char *vdi, const char *base, const char *format,
                        HttpRoom room, HttpSink sink, void *user, Cancel *cancel, GError **error)
{
    GString *query = g_string_new(NULL);
    add_query(query, "vdi", vdi);
    add_query(query, "format", format);
    if (base)
        add_query(query, "base", base);
    g_autofree char *what = g_strdup_printf("export of the disk %s", vdi);
    return export_from(xapi, what, "/export_raw_vdi/", query, room, sink, user, cancel, error);
}

bool xapi_export_vm(Xapi *xapi, const char *vm, const char *compression, HttpSink sink, void *user,
                    Cancel *cancel, GError **error)
{
    GString *query = g_string_new(NULL);
    add_query(query, "ref", vm);
    add_query(query, "use_compression", compression);
    g_autofree char *what = g_strdup_printf("export of the VM %s", vm);
    return export_from(xapi, what, "/export/", query, NULL, sink, user, cancel, error);
}

bool xapi_import_vdi(Xapi *xapi, const char *vdi, const char *format, HttpSource source,
                     gint64 n_bytes, void *user, Cancel *cancel, GError **error)
{
    GString *query = g_string_new(NULL);
    add_query(query, "vdi", vdi);
    add_query(query, "format", format);
    g_autofree char *what = g_strdup_printf("import into the disk %s", vdi);
    Transfer transfer = {
        .xapi = xapi,
        .what = what,
        .verb = "PUT",
        .path = "/import_raw_vdi/",
        .query = g_string_free(query, FALSE),
        .cancel = cancel_new_under(cancel, xapi->cut),
        .source = source,
        .user = user,
        .n_bytes = n_bytes,
    };
    bool ok = run_import(&transfer, error);
    transfer_clear(&transfer);
    return ok;
}

bool xapi_import_vm(Xapi *xapi, const char *sr, const XapiImport *import, Cancel *cancel,
                    GError **error)
{
    GString *query = g_string_new(NULL);
    add_query(query, "sr_id", sr);
    Transfer transfer = {
        .xapi = xapi,
        .what = "import of a VM",
        .verb = "PUT",
        .path = "/import/",
        .query = g_string_free(query, FALSE),
        .cancel = cancel_new_under(cancel, xapi->cut),
        .source = import->source,
        .begun = import->begun,
        .made = import->made,
        .user = import->user,
        .n_bytes = import->n_bytes,
    };
    bool ok = run_import(&transfer, error);
    transfer_clear(&transfer);
    return ok;
}
