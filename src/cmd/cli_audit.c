/* cadenza audit: the log of who did what, checked by the server, exported, checked without it. */
#include "cmd/cli.h"
#include "base/error.h"
#include "store/audit.h"

#include <stdio.h>
#include <string.h>

static int wrong_usage(void)
{
    fprintf(stderr, "cadenza audit: verify [FINGERPRINT], fingerprint, export FILE, or check FILE "
                    "[FINGERPRINT]; see cadenza --help\n");
    return CLI_USAGE;
}

/* "newest|oldest"; NULL: none was given. */
static json_t *ends_of(const char *fingerprint)
{
    const char *bar = fingerprint ? strchr(fingerprint, '|') : NULL;
    if (!bar)
        return json_object();
    return json_pack("{s:s%, s:s}", "newest", fingerprint, (int) (bar - fingerprint), "oldest",
                     bar + 1);
}

static int ask(const CliOptions *options, const char *method, json_t *params, const char *words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    json_t *refusal = NULL;
    json_t *result = client ? cli_call(client, method, params, &refusal, &error) : NULL;
    if (!client)
        json_decref(params);
    int status = cli_finish(options, method, result, refusal, error);
    if (status == CLI_OK && (options->json || !words))
        cli_print(options, result);
    else if (status == CLI_OK)
        printf("%s%" JSON_INTEGER_FORMAT "\n", words, json_integer_value(result));
    json_decref(result);
    return status;
}

static int export_to(const CliOptions *options, const char *path)
{
    static const char method[] = "audit.exportRecords";
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    json_t *refusal = NULL;
    json_t *place = client ? cli_call(client, method, NULL, &refusal, &error) : NULL;
    int status = cli_finish(options, method, place, refusal, error);
    const char *from = json_string_value(json_object_get(place, "$getFrom"));
    if (status == CLI_OK)
        status = cli_download(options, from ? from : "", path);
    json_decref(place);
    return status;
}

/* --- A file that was exported --- */

/* What is newer than the fingerprint is passed over. */
static bool step_back(AuditWalk *walk, const char *line, GError **error)
{
    if (!*line)
        return true;
    json_t *record = json_loads(line, JSON_ALLOW_NUL, NULL);
    const char *id = json_string_value(json_object_get(record, "id"));
    bool newer = walk->verdict.n_valid == 0 && walk->expected && g_strcmp0(id, walk->expected) != 0;
    if (!record)
        err_set(error, ERR_INVALID, "a line of the file is no record: %.60s", line);
    else if (!newer)
        audit_walk_step(walk, record);
    json_decref(record);
    return record != NULL;
}

/* The oldest is first in the file; a file begins where the log began. */
static bool check_lines(const char *text, AuditWalk *walk, GError **error)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    json_t *first = lines[0] ? json_loads(lines[0], JSON_ALLOW_NUL, NULL) : NULL;
    g_autofree char *begin = g_strdup(json_string_value(json_object_get(first, "previousId")));
    json_decref(first);
    for (guint i = g_strv_length(lines); i-- > 0;)
        if (!step_back(walk, lines[i], error))
            return false;
    audit_walk_end(walk, begin);
    return true;
}

static int tell(const char *path, const AuditVerdict *verdict)
{
    const char *id = verdict->missing ? verdict->missing : verdict->altered;
    if (!id) {
        printf("valid records: %" G_GINT64_FORMAT "\n", verdict->n_valid);
        return CLI_OK;
    }
    fprintf(stderr, "cadenza: %s: the record %s %s, after %" G_GINT64_FORMAT " valid ones\n", path,
            id, verdict->missing ? "is missing" : "was altered", verdict->n_valid);
    return CLI_REFUSED;
}

static int check_file(const CliOptions *options, const char *path, const char *fingerprint)
{
    g_autoptr(GError) error = NULL, failure = NULL;
    g_autofree char *text = NULL;
    json_t *ends = ends_of(fingerprint);
    g_auto(AuditWalk)
        walk = { .expected = g_strdup(json_string_value(json_object_get(ends, "newest"))),
                 .oldest = g_strdup(json_string_value(json_object_get(ends, "oldest"))) };
    json_decref(ends);
    if (!g_file_get_contents(path, &text, NULL, &failure))
        err_set(&error, ERR_NOT_FOUND, "%s", failure->message);
    else if (check_lines(text, &walk, &error))
        return tell(path, &walk.verdict);
    return cli_print_error(options, error);
}

int cli_audit(CliOptions *options, char **words)
{
    guint n = g_strv_length(words);
    const char *verb = n ? words[0] : "";
    if (g_str_equal(verb, "check") && (n == 2 || n == 3))
        return check_file(options, words[1], words[2]);
    if (g_str_equal(verb, "export") && n == 2)
        return export_to(options, words[1]);
    if (g_str_equal(verb, "fingerprint") && n == 1)
        return ask(options, "audit.generateFingerprint", NULL, NULL);
    if (g_str_equal(verb, "verify") && n <= 2)
        return ask(options, "audit.checkIntegrity", ends_of(words[1]), "valid records: ");
    return wrong_usage();
}
