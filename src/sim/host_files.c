/* What a host gives out of its own files: the audit log of its API as text, its logs as an archive.
 * Both follow from what the pool holds: who is signed in, which host it is. */
#include "codec/flow.h"
#include "disk/tar.h"
#include "sim/handler.h"
#include "sim/inner.h"

#include <string.h>

static void add_line(GString *text, gint64 at_s, const char *host, const char *what)
{
    g_autoptr(GDateTime) at = g_date_time_new_from_unix_utc(at_s);
    g_autofree char *date = g_date_time_format(at, "%Y%m%dT%H:%M:%S.000Z");
    g_string_append_printf(text, "[%s|audit|%s|0 |audit] %s\n", date, host, what);
}

/* One line for each session of the pool; NULL: the host has left it. */
static GString *audit_text(Sim *sim, guint number, char **name)
{
    Obj *host = sim_host(sim, number);
    if (host == NULL)
        return NULL;
    GString *text = g_string_new(NULL);
    *name = g_strdup(obj_str(host, "hostname"));
    for (Obj *session = obj_first(sim, "session"); session != NULL; session = obj_next(session)) {
        g_autofree char *what = g_strdup_printf(
            "('trackid=%s' 'LOCAL_SUPERUSER' 'root' 'ALLOWED' 'OK' 'API' 'session.create' ())",
            obj_uuid(session));
        add_line(text, sim_now(sim), *name, what);
    }
    return text;
}

static GString *text_of(HttpRequest *request, Sim *sim, guint number, char **name)
{
    g_autofree char *session = handler_login(request, sim);
    if (session == NULL)
        return NULL;
    sim_lock(sim);
    GString *text = audit_text(sim, number, name);
    sim_unlock(sim);
    if (text == NULL)
        http_reply_text(request, 404, "text/plain", "this host has left the pool");
    return text;
}

/* Its end is the connection's, as with real hosts. */
static void audit_log(HttpRequest *request, Sim *sim, guint number)
{
    g_autofree char *name = NULL;
    GString *text = text_of(request, sim, number, &name);
    if (text == NULL)
        return;
    if (http_reply_begin(request, 200, "text/plain", HTTP_LENGTH_UNTIL_CLOSE, NULL) &&
        http_reply_write(request, text->str, text->len, NULL))
        http_reply_end(request, NULL);
    g_string_free(text, TRUE);
}

static bool send_on(const void *data, gsize n, void *request, GError **error)
{
    return http_reply_write(request, data, n, error);
}

/* One file, in a tar, in gzip. */
static bool send_archive(HttpRequest *request, const char *path, const GString *text)
{
    static const guint8 zeros[2 * TAR_SECTOR_BYTES];
    guint8 header[TAR_SECTOR_BYTES];
    g_autoptr(Flow) flow = flow_compressor("gzip", send_on, request);
    return tar_header(header, path, text->len) && flow_feed(flow, header, sizeof header, NULL) &&
           flow_feed(flow, text->str, text->len, NULL) &&
           flow_feed(flow, zeros, tar_padding(text->len), NULL) &&
           flow_feed(flow, zeros, sizeof zeros, NULL) && flow_finish(flow, NULL);
}

static void logs(HttpRequest *request, Sim *sim, guint number)
{
    g_autofree char *name = NULL;
    GString *text = text_of(request, sim, number, &name);
    if (text == NULL)
        return;
    g_autofree char *path = g_strdup_printf("%s/var/log/audit.log", name);
    if (http_reply_begin(request, 200, "application/octet-stream", HTTP_LENGTH_CHUNKED, NULL) &&
        send_archive(request, path, text))
        http_reply_end(request, NULL);
    g_string_free(text, TRUE);
}

const Handler host_file_handlers[] = {
    { "GET", "/audit_log", .serve_at = audit_log },
    { "GET", "/host_logs_download", .serve_at = logs },
    { NULL, NULL, NULL },
};
