/* cadenza objects, list-objects, watch: the objects of the pools, and their changes. */
#include "cmd/cli.h"
#include "base/error.h"

#include <stdio.h>
#include <string.h>

int cli_objects(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    g_autofree char *filter = g_strjoinv(" ", words);
    json_t *refusal = NULL;
    json_t *result = cli_call(client, "xo.getAllObjects", json_pack("{s:s}", "filter", filter),
                              &refusal, &error);
    int status = cli_finish(options, "objects", result, refusal, error);
    if (status == CLI_OK)
        cli_print_objects(options, result);
    json_decref(result);
    return status;
}

/* --- list-objects, as xo-cli has it --- */

/* "--name_label" → the property is shown; false: not such a word. */
static bool take_property(const char *word, json_t *properties)
{
    if (!g_str_has_prefix(word, "--") || !word[2])
        return false;
    json_object_set_new(properties, word + 2, json_true());
    return true;
}

/* Only what was asked for; all when nothing was. */
static json_t *narrow(json_t *object, json_t *properties)
{
    if (json_object_size(properties) == 0)
        return json_incref(object);
    json_t *narrowed = json_object();
    const char *name;
    json_t *any;
    json_object_foreach (properties, name, any)
        if (json_object_get(object, name))
            json_object_set(narrowed, name, json_object_get(object, name));
    return narrowed;
}

static json_t *as_list(json_t *objects, json_t *properties)
{
    json_t *list = json_array(), *object;
    const char *id;
    json_object_foreach (objects, id, object)
        json_array_append_new(list, narrow(object, properties));
    return list;
}

static int list_matching(CliOptions *options, char **pairs, json_t *properties)
{
    g_autoptr(GError) error = NULL;
    json_t *filter = cli_params(pairs, NULL, &error);
    g_autoptr(CliClient) client = filter ? cli_open(options, &error) : NULL;
    json_t *refusal = NULL, *params = json_pack("{s:o*}", "filter", filter);
    json_t *objects =
        client ? cli_call(client, "xo.getAllObjects", json_incref(params), &refusal, &error) : NULL;
    int status = cli_finish(options, "list-objects", objects, refusal, error);
    if (status == CLI_OK) {
        json_t *list = as_list(objects, properties);
        cli_print(options, list);
        json_decref(list);
    }
    json_decref(params);
    json_decref(objects);
    return status;
}

int cli_list_objects(CliOptions *options, char **words)
{
    json_t *properties = json_object();
    g_autoptr(GPtrArray) pairs = g_ptr_array_new();
    for (unsigned i = 0; words[i]; i++)
        if (!take_property(words[i], properties))
            g_ptr_array_add(pairs, words[i]);
    g_ptr_array_add(pairs, NULL);
    int status = list_matching(options, (char **) pairs->pdata, properties);
    json_decref(properties);
    return status;
}

/* --- watch --- */

static void print_news(json_t *message, void *user)
{
    const CliOptions *options = user;
    json_t *params = json_object_get(message, "params");
    const char *type = json_string_value(json_object_get(params, "type"));
    const char *id;
    json_t *object;
    if (options->json)
        cli_print(options, message);
    else
        json_object_foreach (json_object_get(params, "items"), id, object) {
            const char *name = json_string_value(json_object_get(object, "name_label"));
            const char *class = json_string_value(json_object_get(object, "type"));
            printf("%-5s %-13s %s  %s\n", type ? type : "", class ? class : "", id,
                   name ? name : "");
        }
    fflush(stdout);
}

int cli_watch_objects(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (client)
        cli_watch(client, print_news, options, &error);
    return cli_print_error(options, error);
}
