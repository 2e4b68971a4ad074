/* audit.*: the log of who did what; named after XO's plug-in for it. */
#include "api/method.h"
#include "store/audit.h"

enum { MAX_RECORDS = 10000 };

static Store *store(ApiCall *call)
{
    return call_parts(call)->store;
}

static bool add_text(const char *text, gsize n, void *list, GError **error)
{
    json_array_append_new(list, json_loadb(text, n, JSON_ALLOW_NUL, NULL));
    return true;
}

static json_t *get_records(ApiCall *call, GError **error)
{
    json_t *list = json_array();
    gint64 wanted = call_get(call, "maxRecords") ? call_integer(call, "maxRecords") : MAX_RECORDS;
    if (audit_each(store(call), call_string(call, "id"), (unsigned) CLAMP(wanted, 1, MAX_RECORDS),
                   add_text, list, error))
        return list;
    json_decref(list);
    return NULL;
}

/* XO's errors 22 and 23. */
static void tell(const AuditVerdict *verdict, GError **error)
{
    const char *id = verdict->missing ? verdict->missing : verdict->altered;
    if (id)
        api_error_plain(error,
                        verdict->missing ? API_MISSING_AUDIT_RECORD : API_ALTERED_AUDIT_RECORD,
                        json_pack("{s:s, s:I}", "id", id, "nValid", (json_int_t) verdict->n_valid));
}

static json_t *check_integrity(ApiCall *call, GError **error)
{
    g_auto(AuditVerdict) verdict = { 0 };
    if (!audit_check(store(call), call_string(call, "newest"), call_string(call, "oldest"),
                     &verdict, error))
        return NULL;
    tell(&verdict, error);
    return verdict.missing || verdict.altered ? NULL : json_integer(verdict.n_valid);
}

/* {fingerprint, nValid}: the newest id and the oldest, to be kept elsewhere. */
static json_t *generate_fingerprint(ApiCall *call, GError **error)
{
    const char *given_newest = call_string(call, "newest"),
               *given_oldest = call_string(call, "oldest");
    g_autofree char *newest = given_newest ? g_strdup(given_newest)
                                           : audit_newest(store(call), NULL);
    g_autofree char *oldest = given_oldest ? g_strdup(given_oldest)
                                           : audit_oldest(store(call), NULL);
    g_auto(AuditVerdict) verdict = { 0 };
    if (!audit_check(store(call), newest, oldest, &verdict, error))
        return NULL;
    tell(&verdict, error);
    if (verdict.missing || verdict.altered)
        return NULL;
    return json_pack(
        "{s:o, s:I}", "fingerprint",
        json_sprintf("%s|%s", newest ? newest : AUDIT_START, oldest ? oldest : AUDIT_START),
        "nValid", (json_int_t) verdict.n_valid);
}

/* One record a line, the oldest first, as long as there are some. */
static void give(HttpRequest *request, void *user)
{
    g_autoptr(GString) lines = g_string_new(NULL);
    gint64 after = 0;
    http_reply_header(request, "Content-Disposition", "attachment");
    bool ok = http_reply_begin(request, 200, "application/x-ndjson", HTTP_LENGTH_CHUNKED, NULL);
    while (ok && audit_next(user, &after, lines, NULL)) {
        ok = http_reply_write(request, lines->str, lines->len, NULL);
        g_string_truncate(lines, 0);
    }
    if (ok)
        http_reply_end(request, NULL);
}

static json_t *export_records(ApiCall *call, GError **error)
{
    return downloads_serve(call_parts(call)->downloads, "audit.ndjson", give, store(call), error);
}

const Method methods_audit[] = {
    { "audit.getRecords", get_records, PARAMS(OPT(STR("id")), OPT(INT("maxRecords"))),
      .example = "maxRecords=10",
      .summary = "Records of the audit log, the newest first, from one on." },
    { "audit.checkIntegrity", check_integrity, PARAMS(OPT(STR("newest")), OPT(STR("oldest"))),
      .long_running = true, .example = "",
      .summary = "How many records of the audit log are valid between two, or which one is not." },
    { "audit.generateFingerprint", generate_fingerprint,
      PARAMS(OPT(STR("newest")), OPT(STR("oldest"))), .long_running = true, .example = "",
      .summary = "The ends of the audit log, to be kept elsewhere: they prove that nothing was "
                 "taken away." },
    { "audit.exportRecords", export_records, NULL, .example = "@=audit.ndjson",
      .summary = "The audit log as a file, one record a line, the oldest first." },
    { NULL },
};
