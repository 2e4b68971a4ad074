/* A command when a run has failed: the job's setting onFailureCommand, a list of a program and its
 * arguments. No shell; what happened is told by environment variables. */
#include "run/private.h"

#include "base/error.h"
#include "base/log.h"

#include <string.h>

enum { COMMAND_MS = 300000, MAX_ARGUMENTS = 64 };

static char **read_command(Run *run)
{
    json_t *settings = job_settings(run->job, json_object_get(run->overrides, "settings"),
                                    run->schedule_id, NULL, NULL);
    json_t *list = json_object_get(settings, "onFailureCommand"), *item;
    GPtrArray *argv = g_ptr_array_new();
    gsize i;
    json_array_foreach (list, i, item)
        if (json_is_string(item) && i < MAX_ARGUMENTS)
            g_ptr_array_add(argv, g_strdup(json_string_value(item)));
    g_ptr_array_add(argv, NULL);
    json_decref(settings);
    return (char **) g_ptr_array_free(argv, FALSE);
}

void run_failure_command(Run *run, const char *lost)
{
    g_autofree char *status = run_status(run, lost);
    if (strcmp(status, "failure") != 0 && strcmp(status, "interrupted") != 0)
        return;
    g_auto(GStrv) argv = read_command(run);
    if (!argv[0] || !*argv[0])
        return;
    const char *name = json_string_value(json_object_get(run->job, "name"));
    g_autofree char *run_id = g_strconcat("CADENZA_RUN_ID=", run->id, NULL);
    g_autofree char *job_id = g_strconcat("CADENZA_JOB_ID=", run->job_id, NULL);
    g_autofree char *job_name = g_strconcat("CADENZA_JOB_NAME=", name ? name : "", NULL);
    g_autofree char *ended = g_strconcat("CADENZA_STATUS=", status, NULL);
    const char *const environment[] = { run_id, job_id, job_name, ended, NULL };
    g_autoptr(GError) error = NULL;
    if (!process_command((const char *const *) argv, environment, COMMAND_MS, &error))
        log_warning("run", "run %s: on failure: %s", run->id, error->message);
}
