/* What the command line says, to people or to programs. */
#include "cmd/cli.h"
#include "base/error.h"
#include "base/json_text.h"

#include <stdio.h>
#include <string.h>

void cli_print(const CliOptions *options, json_t *value)
{
    if (!options->json && json_is_string(value)) {
        printf("%s\n", json_string_value(value));
        return;
    }
    size_t flags = JSON_ENCODE_ANY | (options->json ? JSON_COMPACT : JSON_INDENT(2));
    json_dumpf(value, stdout, flags);
    printf("\n");
}

void cli_print_objects(const CliOptions *options, json_t *objects)
{
    const char *id;
    json_t *object;
    if (options->json) {
        cli_print(options, objects);
        return;
    }
    json_object_foreach (objects, id, object)
        printf("%-13s %s  %-9s %s\n", json_text(object, "type"), id,
               json_text(object, "power_state"), json_text(object, "name_label"));
}

/* What a validation found wrong, a line each. */
static void print_violations(json_t *data)
{
    size_t i;
    json_t *violation;
    json_array_foreach (json_object_get(data, "errors"), i, violation) {
        const char *path = json_text(violation, "instancePath");
        const char *extra = json_text(json_object_get(violation, "params"), "additionalProperty");
        fprintf(stderr, "  %s%s%s%s%s\n", *path ? path + 1 : "", *path ? " " : "",
                json_text(violation, "message"), *extra ? ": " : "", extra);
    }
}

int cli_print_refusal(const CliOptions *options, const char *what, json_t *refusal)
{
    json_t *data = json_object_get(refusal, "data");
    if (options->json) {
        json_dumpf(refusal, stderr, JSON_COMPACT);
        fprintf(stderr, "\n");
        return CLI_REFUSED;
    }
    fprintf(stderr, "cadenza: %s: %s (code %" JSON_INTEGER_FORMAT ")\n", what,
            json_text(refusal, "message"), json_integer_value(json_object_get(refusal, "code")));
    print_violations(data);
    if (*json_text(data, "reason"))
        fprintf(stderr, "  reason: %s\n", json_text(data, "reason"));
    if (*json_text(data, "remedy"))
        fprintf(stderr, "  %s\n", json_text(data, "remedy"));
    return CLI_REFUSED;
}

static int status_of(const GError *error)
{
    if (err_is(error, ERR_INVALID))
        return CLI_USAGE;
    if (err_is(error, ERR_BAD_LOGIN))
        return CLI_REFUSED;
    return CLI_NO_CONNECTION;
}

int cli_print_error(const CliOptions *options, const GError *error)
{
    const char *const *detail = err_detail(error);
    if (options->json) {
        json_t *json = json_pack("{s:s, s:s, s:s, s:s*}", "message", error->message, "name",
                                 err_name(error), "remedy", err_remedy(error), "fingerprint",
                                 err_is(error, ERR_TLS) && detail ? detail[0] : NULL);
        json_dumpf(json, stderr, JSON_COMPACT);
        fprintf(stderr, "\n");
        json_decref(json);
        return status_of(error);
    }
    fprintf(stderr, "cadenza: %s\n", error->message);
    if (err_is(error, ERR_TLS) && detail)
        fprintf(stderr, "  If that is the server's own certificate: --fingerprint %s\n", detail[0]);
    else if (status_of(error) != CLI_USAGE)
        fprintf(stderr, "  %s\n", err_remedy(error));
    return status_of(error);
}
