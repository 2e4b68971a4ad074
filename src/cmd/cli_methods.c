/* cadenza list-methods, help: what the server can do, as it says itself. */
#include "cmd/cli.h"

#include <stdio.h>
#include <string.h>

static void print_type(json_t *type)
{
    size_t i;
    json_t *one;
    if (json_is_string(type))
        printf("%s", json_string_value(type));
    json_array_foreach (type, i, one)
        printf("%s%s", i ? "|" : "", json_string_value(one));
}

static void print_method(const char *name, json_t *info)
{
    const char *summary = json_string_value(json_object_get(info, "description"));
    const char *param;
    json_t *schema;
    printf("%s", name);
    json_object_foreach (json_object_get(info, "params"), param, schema) {
        bool optional = json_object_get(schema, "optional") || json_object_get(schema, "default");
        printf(optional ? " [%s=<" : " %s=<", param);
        print_type(json_object_get(schema, "type"));
        printf(optional ? ">]" : ">");
    }
    printf("\n    %s\n", summary ? summary : "");
}

static void print_example(json_t *info)
{
    const char *example = json_string_value(json_object_get(info, "example"));
    if (example)
        printf("    for example: %s\n", example);
}

int cli_list_methods(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *methods = cli_call(client, "system.getMethodsInfo", NULL, &refusal, &error);
    int status = cli_finish(options, "list-methods", methods, refusal, error);
    const char *name;
    json_t *info;
    if (status == CLI_OK && options->json)
        cli_print(options, methods);
    else
        json_object_foreach (methods, name, info)
            if (!words[0] || strstr(name, words[0]))
                print_method(name, info);
    json_decref(methods);
    return status;
}

/* cadenza help METHOD */
int cli_help(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *signature = cli_call(client, "system.methodSignature",
                                 json_pack("{s:s*}", "method", words[0]), &refusal, &error);
    int status = cli_finish(options, words[0], signature, refusal, error);
    if (status == CLI_OK) {
        print_method(words[0], json_array_get(signature, 0));
        print_example(json_array_get(signature, 0));
    }
    json_decref(signature);
    return status;
}
