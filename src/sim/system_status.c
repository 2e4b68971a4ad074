/* What a host tells of itself for a bug report: /system-status. A real one collects for minutes;
 * this one has a report ready, tar.bz2 as clients ask for it: one file, which says its name. */
#include "sim/handler.h"
#include "sim/inner.h"

#include <string.h>

static const char report[] =
    "QlpoOTFBWSZTWXePWagAAHJ/gMqQIABAA/0FAEAAAPKn32AICCAAdRE0jTTQAB6QAeptQSVN"
    "T1H6kbUwTIHojTE2kowHIQM9CEVZWTldHNkCJgucR2z0tYXKYQPWoCKPCldbGSI9fY0AQwxg"
    "1viCaOiPpAmA9Dq1UjpQk+TN3SQbi7kinChIO8es1AA=";

static void system_status(HttpRequest *request, Sim *sim, guint number)
{
    g_autofree char *session = handler_login(request, sim);
    const char *output = http_query(request, "output");
    gsize n;
    if (session == NULL)
        return;
    if (output == NULL || strcmp(output, "tar.bz2") != 0) {
        http_reply_text(request, 400, "text/plain", "output: tar.bz2 is what there is");
        return;
    }
    g_autofree guchar *bytes = g_base64_decode(report, &n);
    http_reply(request, 200, "application/x-bzip2", bytes, n);
}

const Handler system_status_handlers[] = {
    { "GET", "/system-status", .serve_at = system_status },
    { NULL, NULL, NULL },
};
