/* cadenza METHOD name=value…: one call. Where the answer is a one-time address, the file that "@="
 * or
 * "@" names goes there or comes from there, as with xo-cli. */
#include "cmd/cli.h"
#include "base/error.h"

#include <string.h>

int cli_finish(const CliOptions *options, const char *what, json_t *result, json_t *refusal,
               const GError *error)
{
    int status = CLI_OK;
    if (refusal)
        status = cli_print_refusal(options, what, refusal);
    else if (!result)
        status = cli_print_error(options, error);
    json_decref(refusal);
    return status;
}

static json_t *schema_of(CliClient *client, const char *method)
{
    json_t *refusal = NULL;
    json_t *signature = cli_call(client, "system.methodSignature",
                                 json_pack("{s:s}", "method", method), &refusal, NULL);
    json_t *schema = json_incref(json_object_get(json_array_get(signature, 0), "params"));
    json_decref(signature);
    json_decref(refusal);
    return schema;
}

/* The path after "@=", taken out of the words; NULL when there is none. */
static const char *take_path(char **words)
{
    const char *path = NULL;
    unsigned kept = 0;
    for (unsigned i = 0; words[i]; i++) {
        if (g_str_has_prefix(words[i], "@="))
            path = words[i] + 2;
        else
            words[kept++] = words[i];
    }
    words[kept] = NULL;
    return path;
}

/* The one-time address in {"$getFrom": path} and nothing else; NULL when it is another answer. */
static const char *only(json_t *result, const char *key)
{
    return json_object_size(result) == 1 ? json_string_value(json_object_get(result, key)) : NULL;
}

static int need_path(const CliOptions *options, const char *method)
{
    g_autoptr(GError) error = NULL;
    err_set(&error, ERR_INVALID, "%s moves a file: name it with @=FILE (@=- for a pipe)", method);
    return cli_print_error(options, error);
}

static int settle(const CliOptions *options, const char *method, const char *path, json_t *result)
{
    const char *from = only(result, "$getFrom"), *to = only(result, "$sendTo");
    if ((from || to) && !path && !options->json) /* a program may go there by itself */
        return need_path(options, method);
    if (from && path)
        return cli_download(options, from, path);
    if (to && path)
        return cli_upload(options, to, path);
    cli_print(options, result);
    return CLI_OK;
}

int cli_call_method(const CliOptions *options, const char *method, char **words)
{
    g_autoptr(GError) error = NULL;
    const char *path = take_path(words);
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *schema = cli_params_need_schema(words) ? schema_of(client, method) : NULL;
    json_t *params = cli_params(words, schema, &error);
    json_decref(schema);
    if (!params)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *result = cli_call(client, method, params, &refusal, &error);
    int status = cli_finish(options, method, result, refusal, error);
    if (status == CLI_OK)
        status = settle(options, method, path, result);
    json_decref(result);
    return status;
}
