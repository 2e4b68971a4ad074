/* xo.exportConfig, xo.importConfig: the configuration as a file, by addresses that work once. */
#include "api/config.h"
#include "api/method.h"
#include "base/date.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* "XO-config_20261122T063000Z.json.gz.enc", as XO names it. */
static char *file_name(bool compress, const char *passphrase)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *date = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    return g_strdup_printf("XO-config_%s.json%s%s", date, compress ? ".gz" : "",
                           passphrase ? ".enc" : "");
}

static json_t *export_config(ApiCall *call, GError **error)
{
    const char *passphrase = call_string(call, "passphrase");
    bool compress = call_bool(call, "compress");
    GBytes *file =
        config_export(call_parts(call), call_get(call, "entries"), compress, passphrase, error);
    if (!file)
        return NULL;
    g_autofree char *name = file_name(compress, passphrase);
    return downloads_offer_file(call_parts(call)->downloads, name, file, error);
}

/* An import that waits for its file. */
typedef struct {
    const ApiParts *parts;
    Session *session;
    char *passphrase;
} Waiting;

static void waiting_free(void *data)
{
    Waiting *waiting = data;
    session_unref(waiting->session);
    if (waiting->passphrase)
        explicit_bzero(waiting->passphrase, strlen(waiting->passphrase));
    g_free(waiting->passphrase);
    g_free(waiting);
}

static void answer(HttpRequest *request, int status, json_t *body)
{
    char *text = json_dumps(body, JSON_INDENT(2));
    http_reply_text(request, status, "application/json; charset=utf-8", text ? text : "{}");
    free(text);
    json_decref(body);
}

static void take_file(HttpRequest *request, void *data)
{
    Waiting *waiting = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) file = http_read_all(request, CONFIG_MAX_BYTES, &error);
    json_t *report = file ? config_import(waiting->parts, file, waiting->passphrase, &error) : NULL;
    if (report) {
        answer(request, 200, report);
        return;
    }
    log_warning("api", "a configuration was not taken in: %s", error->message);
    bool theirs = err_is(error, ERR_LIMIT) || err_is(error, ERR_DENIED) ||
                  err_is(error, ERR_CORRUPT) || api_error_is(error, API_INVALID_PARAMETERS);
    answer(request, theirs ? 400 : 500,
           json_pack("{s:o}", "error", call_error_json(waiting->parts, waiting->session, error)));
}

static json_t *import_config(ApiCall *call, GError **error)
{
    Waiting *waiting = g_new0(Waiting, 1);
    waiting->parts = call_parts(call);
    waiting->session = session_ref(call_session(call));
    waiting->passphrase = g_strdup(call_string(call, "passphrase"));
    return downloads_expect(call_parts(call)->downloads, take_file, waiting, waiting_free, error);
}

const Method methods_config[] = {
    { "xo.exportConfig", export_config,
      PARAMS(DEF("true", BOOL("compress")), OPT(ARR("entries", P_STRING)),
             OPT(SECRET("passphrase"))),
      .long_running = true, .example = "passphrase='a long one' @=configuration.json.gz.enc",
      .summary = "Give the configuration out as a file, with passwords; a passphrase seals it." },
    { "xo.importConfig", import_config, PARAMS(OPT(SECRET("passphrase"))),
      .example = "@=configuration.json",
      .summary = "Take in a configuration of this server or of Xen Orchestra; the answer to the "
                 "file is a report." },
    { NULL },
};
