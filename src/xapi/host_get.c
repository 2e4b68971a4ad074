/* What each host answers for itself: statistics, whole databases of them, its logs. */
#include "xapi/private.h"

#include "base/error.h"

#include <stdlib.h>
#include <string.h>

enum { TIMEOUT_MS = 30 * 1000, STALL_MS = 120 * 1000 };

typedef struct {
    HttpSink sink;
    void *user;
    int status;
} Answer;

static void see_header(const char *name, const char *value, void *user)
{
    if (strcmp(name, ":status") == 0)
        ((Answer *) user)->status = atoi(value);
}

/* The page of an error is not what was asked for. */
static bool take(const void *data, size_t n, void *user, GError **error)
{
    Answer *answer = user;
    return answer->status != 200 || answer->sink(data, n, answer->user, error);
}

/* `total_ms` 0: as long as something comes. */
static bool get(Xapi *xapi, const char *address, const char *path, Answer *answer,
                unsigned total_ms, Cancel *cancel, GError **error)
{
    g_autofree char *master = NULL, *session = NULL;
    unsigned generation;
    if (!xapi_snapshot(xapi, &master, &session, &generation, cancel, error))
        return false;
    g_autofree char *base = xapi_address_url(&xapi->address, address);
    g_autofree char *escaped = g_uri_escape_string(session, NULL, FALSE);
    g_autofree char *url =
        g_strdup_printf("%s%s%csession_id=%s", base, path, strchr(path, '?') ? '&' : '?', escaped);
    const char *const headers[] = { total_ms ? "Accept: application/json" : "Accept: */*", NULL };
    HttpCall call = { .url = url,
                      .headers = headers,
                      .sink = take,
                      .header_seen = see_header,
                      .user = answer,
                      .stall_timeout_ms = STALL_MS,
                      .total_timeout_ms = total_ms,
                      .cancel = cancel };
    int status = xapi_http(xapi, &call, error);
    if (status != 0 && status != 200)
        err_set(error, ERR_PROTOCOL, "host %s answered HTTP %d", address, status);
    return status == 200;
}

bool xapi_host_get(Xapi *xapi, const char *address, const char *path, HttpSink sink, void *user,
                   Cancel *cancel, GError **error)
{
    Answer answer = { sink, user, 0 };
    return get(xapi, address, path, &answer, TIMEOUT_MS, cancel, error);
}

bool xapi_host_download(Xapi *xapi, const char *address, const char *path, HttpSink sink,
                        void *user, Cancel *cancel, GError **error)
{
    Answer answer = { sink, user, 0 };
    return get(xapi, address, path, &answer, 0, cancel, error);
}
