/* What the files of this room share; nobody else includes it. */
#pragma once

#include "base/json_build.h"
#include "xapi/xapi.h"

#include <pthread.h>

enum {
    XAPI_LOGIN_TIMEOUT_MS = 20 * 1000,
    XAPI_CALL_TIMEOUT_MS = 3600 * 1000,
    XAPI_LOGOUT_TIMEOUT_MS = 2 * 1000,
    XAPI_MAX_REDIRECTS = 3,
    XAPI_MAX_CANDIDATES = 64,
    XAPI_MAX_BUSY_RETRIES = 10, /* of TOO_MANY_PENDING_TASKS, as XO's client does */
    XAPI_BUSY_PAUSE_MS = 5 * 1000,
    XAPI_MAX_READ_RETRIES = 2, /* of a getter whose connection broke */
    XAPI_READ_PAUSE_MS = 1000,
    XAPI_LEFT_MS = 2 * 1000, /* of a call once nobody is to wait any more */
};

/* --- reply.c: the answer to one call, read as a stream --- */

typedef enum { REPLY_WHOLE, REPLY_RECORDS, REPLY_EVENTS } ReplyMode;

typedef struct {
    ReplyMode mode;
    const char *cls;       /* of REPLY_RECORDS */
    XapiRecordTaken taken; /* or NULL */
    XapiRecordSeen seen;
    void *seen_user;
    const XapiEventOps *events; /* of REPLY_EVENTS */
    json_t *result;             /* of REPLY_WHOLE; of REPLY_EVENTS: the token */
    json_t *error;
    JsonStream *stream;
    JsonBuild *build;
    GByteArray *slice;  /* gathered for `taken`, so that few records are cut in two */
    char *member, *key; /* the key at depth 1 and 2 that we are in */
    int status;
} Reply;

void reply_begin(Reply *reply);
void reply_clear(Reply *reply);
/* HttpSink and HttpHeaderSeen; user is the Reply. */
bool reply_sink(const void *data, size_t n, void *user, GError **error);
void reply_header(const char *name, const char *value, void *user);
/* After the last byte: the pool's refusal, or a broken answer, becomes an error. */
bool reply_end(Reply *reply, const char *host, const char *method, GError **error);

/* --- refusal.c --- */

/* ERR_XAPI with plain words from the pool's code and parameters. */
void xapi_set_refusal(GError **error, const char *method, const char *const *code_and_params);
/* From an array of strings (task.error_info). */
void xapi_set_refusal_json(GError **error, const char *method, json_t *code_and_params);

/* --- address.c --- */

typedef struct {
    bool tls;
    char *host; /* without brackets */
    guint port; /* 0: the scheme's */
} XapiAddress;

bool xapi_address_parse(const char *text, XapiAddress *address, GError **error);
/* "https://10.1.1.1", "http://[::1]:8080" */
char *xapi_address_url(const XapiAddress *address, const char *host);
/* "10.1.1.1:443" */
char *xapi_address_host_port(const XapiAddress *address, const char *host);

/* --- xapi.c --- */

struct Xapi {
    XapiAddress address; /* of the configuration */
    char *username, *password, *fingerprint, *originator;
    HttpTrust trust;
    Cancel *left, *cut; /* set: nobody waits for calls, for transfers */
    GError *unusable;   /* the address cannot be understood */

    pthread_mutex_t login_lock; /* one login at a time; taken before `lock` */
    pthread_mutex_t lock;       /* of all below */
    char *host;                 /* the present master */
    char *session;              /* NULL: not logged in */
    unsigned generation;        /* counts logins */
    Cancel *cancel;             /* of logins and long reads, or NULL */
    GPtrArray *candidates;      /* every host address seen, the configured one first */
};

/* One request to a host, no recovery; params is borrowed and complete. */
bool xapi_request(Xapi *xapi, const char *host, const char *method, json_t *params, Reply *reply,
                  unsigned timeout_ms, Cancel *cancel, GError **error);
/* A call in the session with recovery; params (borrowed, may be NULL) come after the session. A
 * retry may hand over records a second time. */
bool xapi_run(Xapi *xapi, const char *method, json_t *params, Reply *reply, unsigned timeout_ms,
              Cancel *cancel, GError **error);
/* After a failure: INTERRUPTED when it was because nobody waits any more, and not for `cancel`. */
void xapi_explain_left(const Xapi *xapi, const char *method, Cancel *cancel, GError **error);
/* Sleeps in small steps; false when cancelled. */
bool xapi_pause(unsigned ms, Cancel *cancel);
/* Host and session of this moment; copies. Logs in when needed. */
bool xapi_snapshot(Xapi *xapi, char **host, char **session, unsigned *generation, Cancel *cancel,
                   GError **error);
/* An HTTP call on `url` with the trust of this pool filled in. */
int xapi_http(Xapi *xapi, HttpCall *call, GError **error);

/* The flag that ends logins and long reads; a reference, or NULL. */
Cancel *xapi_cancel(Xapi *xapi);

/* --- login.c --- */

/* Logs in again unless somebody did since `generation`; cancel may be NULL. */
bool xapi_login_since(Xapi *xapi, unsigned generation, Cancel *cancel, GError **error);
void xapi_add_candidate(Xapi *xapi, const char *host);

/* --- task.c --- */

typedef struct {
    json_t *record; /* the last one seen */
    bool gone;
} TaskState;

void task_state_clear(TaskState *state);
/* Waits until the task is settled, at most timeout_ms; false with an error when it cannot be told.
 */
bool task_watch(Xapi *xapi, const char *task, TaskState *state, unsigned timeout_ms, Cancel *cancel,
                void (*progress)(double done, void *user), void *user, GError **error);
/* Turns the settled state into the result text, or an error. */
char *task_result(const TaskState *state, const char *what, GError **error);
void task_cancel_and_destroy(Xapi *xapi, const char *task, bool cancel);
