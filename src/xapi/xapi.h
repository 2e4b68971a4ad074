/* A login to one XAPI pool, and calls on it. Source: XenAPI as of XCP-ng 8.3.
 *
 * Thread-safe: calls from several threads share the session. SESSION_INVALID logs in again once;
 * HOST_IS_SLAVE moves to the master it names; every host address ever seen stays a candidate. All
 * calls block, on a connection per thread. References are "OpaqueRef:…" strings. */
#pragma once

#include "base/cancel.h"
#include "http/client.h"
#include "http/tunnel.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Xapi Xapi;

typedef struct {
    const char *host; /* "10.1.1.1", "10.1.1.1:443", "https://…", "http://…" (no TLS) */
    const char *username, *password;
    HttpTrust trust;
    const char *fingerprint;
    const char *originator; /* NULL: "cadenza" */
} XapiConfig;

/* No I/O; the config is copied. */
Xapi *xapi_new(const XapiConfig *config);
/* Logs out when logged in; blocks at most 2 s. */
void xapi_free(Xapi *xapi);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Xapi, xapi_free)

/* Logs in, following redirections. BAD_LOGIN, NETWORK, TLS (the presented fingerprint is
 * detail[0]). */
bool xapi_login(Xapi *xapi, GError **error);
/* The same, ended within a second by `cancel` (may be NULL). */
bool xapi_login_cancellable(Xapi *xapi, Cancel *cancel, GError **error);
/* Once set, this flag ends logins and calls that only read within a second; NULL: none. Counted. */
void xapi_set_cancel(Xapi *xapi, Cancel *cancel);
/* The program is ending: nobody waits for the pool any more. Calls that go on give INTERRUPTED
 * within a second, later ones have XAPI_LEFT_MS each; what the pool has begun it goes on with, its
 * tasks included. Transfers go on unless `transfers`. From any thread. */
void xapi_leave(Xapi *xapi, bool transfers);
bool xapi_has_left(const Xapi *xapi);
/* "https://10.1.1.1" of the present master; copy. */
char *xapi_base_url(Xapi *xapi);
char *xapi_session(Xapi *xapi);
/* How another host is written that is reached as `known` is (by its scheme and port); copy. */
char *xapi_address_beside(const char *known, const char *host);
/* Adds addresses to fall back to (host.address of all members). */
void xapi_add_hosts(Xapi *xapi, const char *const *addresses);

/* Calls "VM.start" with the parameters after the session, an array whose reference is taken (NULL:
 * none). A new reference, or NULL: ERR_XAPI with the pool's code and parameters as detail. */
json_t *xapi_call(Xapi *xapi, const char *method, json_t *params, GError **error);
/* Whether a call failed because the pool no longer has what it named. */
bool xapi_is_gone(const GError *error);
/* The same, for a void result or one that does not matter. */
bool xapi_do(Xapi *xapi, const char *method, json_t *params, GError **error);
/* A string result; copy. */
char *xapi_call_string(Xapi *xapi, const char *method, json_t *params, GError **error);
/* Calls Async.<method>, waits for its task, destroys it; result decoded ("OpaqueRef:…", text, ""
 * for void). Cancelling cancels the task. progress may be NULL. */
char *xapi_call_task(Xapi *xapi, const char *method, json_t *params, Cancel *cancel,
                     void (*progress)(double done, void *user), void *user, GError **error);

/* The same; but the pool may go on with what was cancelled, or have ended it well meanwhile: *left,
 * else NULL, is then the task (caller frees), which stays for xapi_task_outcome. */
char *xapi_call_task_or_leave(Xapi *xapi, const char *method, json_t *params, Cancel *cancel,
                              void (*progress)(double done, void *user), void *user, char **left,
                              GError **error);
/* One look at what such a task has come to. *result once it has *ended is as above, NULL when it
 * failed or the pool does not know it any more. It is not destroyed. */
bool xapi_task_outcome(Xapi *xapi, const char *task, bool *ended, char **result, GError **error);

/* X.get_all_records and event.from, each record handed over as it is parsed, never as one text:
 * `record` is a new reference owned by the callee. */
typedef void (*XapiRecordSeen)(const char *cls, const char *ref, json_t *record, void *user);
bool xapi_all_records(Xapi *xapi, const char *cls, XapiRecordSeen seen, void *user, GError **error);
/* The same for who reads a record from its text, without building it: how many of the n bytes at
 * `text` are the record, or 0: it is built and seen. */
typedef size_t (*XapiRecordTaken)(const char *cls, const char *ref, const char *text, size_t n,
                                  void *user);
bool xapi_all_record_texts(Xapi *xapi, const char *cls, XapiRecordTaken taken, XapiRecordSeen seen,
                           void *user, GError **error);

typedef struct {
    /* operation: "add", "mod", "del"; cls as on the wire (lower case); record NULL for del. */
    void (*event)(const char *cls, const char *operation, const char *ref, json_t *record,
                  void *user);
    void (*ref_count)(const char *cls, gint64 n, void *user); /* may be NULL */
    void *user;
} XapiEventOps;
/* Waits up to timeout_s for changes since *token; *token is replaced. */
bool xapi_events(Xapi *xapi, const char *const *classes, double timeout_s, char **token,
                 const XapiEventOps *ops, Cancel *cancel, GError **error);

/* --- HTTP handlers of the pool --- */

/* GET /export_raw_vdi; `format` "vhd" or "raw"; base NULL for a full. Detects an error answer
 * inside the body, follows redirections to other hosts. The format decides whether it was complete.
 */
bool xapi_export_vdi(Xapi *xapi, const char *vdi, const char *base, const char *format,
                     HttpSink sink, void *user, Cancel *cancel, GError **error);
/* The same, its bytes where `room` wants them. */
bool xapi_export_vdi_to(Xapi *xapi, const char *vdi, const char *base, const char *format,
                        HttpRoom room, HttpSink sink, void *user, Cancel *cancel, GError **error);
/* PUT /import_raw_vdi, its task watched: success only when the task says so. */
bool xapi_import_vdi(Xapi *xapi, const char *vdi, const char *format, HttpSource source,
                     gint64 n_bytes, void *user, Cancel *cancel, GError **error);

/* GET of what a host answers for itself ("/rrd_updates?start=…", percent-encoded): on `address`, as
 * host.address tells it. PROTOCOL when the status is not 200. */
bool xapi_host_get(Xapi *xapi, const char *address, const char *path, HttpSink sink, void *user,
                   Cancel *cancel, GError **error);
/* The same for files ("/audit_log"), which take as long as something comes. */
bool xapi_host_download(Xapi *xapi, const char *address, const char *path, HttpSink sink,
                        void *user, Cancel *cancel, GError **error);

/* The screen and keyboard of a machine, at the `location` that XAPI tells of its console: bytes of
 * RFB both ways. One that another host has is reached there. */
HttpTunnel *xapi_console_open(Xapi *xapi, const char *location, GError **error);

/* GET /export of a whole VM as an archive (XVA): one that is halted, suspended or a snapshot.
 * compression "false", "true" (gzip) or "zstd". The format decides whether it was complete. */
bool xapi_export_vm(Xapi *xapi, const char *vm, const char *compression, HttpSink sink, void *user,
                    Cancel *cancel, GError **error);
typedef struct {
    HttpSource source;
    gint64 n_bytes; /* -1: unknown */
    /* The pool's task, before the first byte; false ends the import. May be NULL. */
    bool (*begun)(const char *task, void *user, GError **error);
    /* The VMs it made, NULL-terminated, while the task is still there; false: an error to return,
     * the VMs stay. May be NULL. */
    bool (*made)(const char *const *vms, void *user, GError **error);
    void *user;
} XapiImport;
/* PUT /import of an archive into an SR, its task watched as above. When it fails after `begun`, the
 * pool may still make a VM: the task is left for xapi_import_abandon, which tells. */
bool xapi_import_vm(Xapi *xapi, const char *sr, const XapiImport *import, Cancel *cancel,
                    GError **error);
/* What the task of an import that nobody watches any more has come to, after it was cancelled:
 * references of the VMs that it made all the same, NULL-terminated, usually none. The task is
 * destroyed. NULL with an error when that cannot be told. */
char **xapi_import_abandon(Xapi *xapi, const char *task, GError **error);

/* "20261122T02:16:50Z" (also without colons, with dashes) → Unix seconds, or 0. */
gint64 xapi_parse_date(const char *text);
