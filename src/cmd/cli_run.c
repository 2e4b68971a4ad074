/* cadenza run JOB [SCHEDULE]: starts a run and shows its tasks until it ends: bars on a terminal, a
 * line per event elsewhere. */
#include "cmd/cli.h"
#include "base/error.h"
#include "base/json_text.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { POLL_MS = 1000, BAR_CELLS = 24, MAX_DEPTH = 8, FALLBACK_ROWS = 24 };

typedef struct {
    const CliOptions *options;
    CliClient *client;
    const char *job_id;
    json_t *old;      /* ids of runs that were there before: {id: true} */
    GHashTable *told; /* "<task id> <status>" already printed */
    json_t *names;    /* of remotes and storage: {id: name} */
    unsigned n_lines; /* drawn on the terminal */
    unsigned n_rows;  /* of the terminal */
    bool brief;       /* not all fits: what ended well is only counted */
    bool live;        /* a terminal */
} Follower;

static json_t *ask(CliClient *client, const char *method, json_t *params, json_t **refusal,
                   GError **error)
{
    return cli_call(client, method, params, refusal, error);
}

/* The one record whose id or name is `word`; NULL with INVALID. */
static json_t *pick(json_t *list, const char *word, const char *what, GError **error)
{
    json_t *found = NULL;
    unsigned n = 0;
    size_t i;
    json_t *record;
    json_array_foreach (list, i, record)
        if (!word || g_str_equal(json_text(record, "id"), word) ||
            g_str_equal(json_text(record, "name"), word)) {
            found = record;
            n++;
        }
    if (n == 1)
        return found;
    if (n > 1 && word)
        err_set(error, ERR_INVALID, "%u %ss are called %s: give the id", n, what, word);
    else if (word)
        err_set(error, ERR_INVALID, "there is no %s %s", what, word);
    else
        err_set(error, ERR_INVALID, "the job has %u %ss: say which", n, what);
    return NULL;
}

static json_t *of_job(json_t *schedules, const char *job_id)
{
    json_t *list = json_array();
    size_t i;
    json_t *schedule;
    json_array_foreach (schedules, i, schedule)
        if (g_str_equal(json_text(schedule, "jobId"), job_id))
            json_array_append(list, schedule);
    return list;
}

/* --- Showing --- */

static const char *mark_of(json_t *task)
{
    const char *status = json_text(task, "status");
    return g_str_equal(status, "success")       ? "done"
           : g_str_equal(status, "failure")     ? "FAILED"
           : g_str_equal(status, "skipped")     ? "skipped"
           : g_str_equal(status, "interrupted") ? "interrupted"
                                                : "…";
}

static char *title_of(const Follower *follower, json_t *task)
{
    json_t *data = json_object_get(task, "data");
    const char *name = json_text(data, "name_label");
    if (!*name)
        name = json_text(follower->names, json_text(data, "id"));
    const char *id = *name ? name : json_text(data, "id");
    return g_strdup_printf("%s%s%s", json_text(task, "message"), *id ? " " : "", id);
}

static double progress_of(json_t *task)
{
    json_t *progress = json_object_get(json_object_get(task, "data"), "progress");
    return progress ? CLAMP(json_number_value(progress), 0, 100) : -1;
}

static char *bar_of(json_t *task)
{
    double percent = progress_of(task);
    if (percent < 0 || json_object_get(task, "end"))
        return g_strdup("");
    char cells[BAR_CELLS + 1];
    unsigned full = (unsigned) (percent * BAR_CELLS / 100);
    memset(cells, '.', BAR_CELLS);
    memset(cells, '#', full);
    cells[BAR_CELLS] = 0;
    return g_strdup_printf(" [%s] %3.0f %%", cells, percent);
}

static char *size_of(json_t *task)
{
    json_t *size = json_object_get(json_object_get(task, "result"), "size");
    if (!json_is_number(size) || json_number_value(size) == 0)
        return g_strdup("");
    g_autofree char *text =
        g_format_size_full((guint64) json_number_value(size), G_FORMAT_SIZE_IEC_UNITS);
    return g_strdup_printf(" %s", text);
}

static char *reason_of(json_t *task)
{
    const char *message = json_text(json_object_get(task, "result"), "message");
    bool failed = !g_str_equal(json_text(task, "status"), "success");
    return failed && *message ? g_strdup_printf(": %s", message) : g_strdup("");
}

static unsigned count_lines(json_t *task)
{
    unsigned n = 1;
    size_t i;
    json_t *child;
    json_array_foreach (json_object_get(task, "tasks"), i, child)
        n += count_lines(child);
    return n;
}

static void draw(Follower *follower, json_t *task, unsigned depth)
{
    if (follower->n_lines + 2 > follower->n_rows)
        return;
    g_autofree char *title = title_of(follower, task), *bar = bar_of(task), *size = size_of(task),
                    *reason = reason_of(task);
    printf("\033[K%*s%s %s%s%s%s\n", (int) depth * 2, "", title, mark_of(task), bar, size, reason);
    follower->n_lines++;
    size_t i;
    json_t *child;
    unsigned n_done = 0;
    json_array_foreach (json_object_get(task, "tasks"), i, child) {
        bool well = g_str_equal(json_text(child, "status"), "success");
        if (follower->brief && well)
            n_done++;
        else if (depth < MAX_DEPTH)
            draw(follower, child, depth + 1);
    }
    if (n_done && depth == 0) {
        printf("\033[K  %u done\n", n_done);
        follower->n_lines++;
    }
}

static void measure_terminal(Follower *follower, json_t *log)
{
    struct winsize size = { 0 };
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 3;
    follower->n_rows = known ? size.ws_row : FALLBACK_ROWS;
    follower->brief = count_lines(log) + 2 > follower->n_rows;
}

/* Elsewhere than on a terminal: each beginning and each end once. */
static void tell(Follower *follower, json_t *task, unsigned depth)
{
    g_autofree char *key =
        g_strdup_printf("%s %s", json_text(task, "id"), json_text(task, "status"));
    if (g_hash_table_add(follower->told, g_strdup(key))) {
        g_autofree char *title = title_of(follower, task), *size = size_of(task),
                        *reason = reason_of(task);
        printf("%*s%s %s%s%s\n", (int) depth * 2, "", title, mark_of(task), size, reason);
    }
    size_t i;
    json_t *child;
    if (depth < MAX_DEPTH)
        json_array_foreach (json_object_get(task, "tasks"), i, child)
            tell(follower, child, depth + 1);
}

static void show(Follower *follower, json_t *log)
{
    if (follower->options->json)
        return;
    if (follower->live) {
        if (follower->n_lines)
            printf("\033[%uA", follower->n_lines);
        follower->n_lines = 0;
        measure_terminal(follower, log);
        draw(follower, log, 0);
        printf("\033[J");
    } else {
        tell(follower, log, 0);
    }
    fflush(stdout);
}

/* --- Following --- */

static json_t *logs_of_job(Follower *follower, GError **error)
{
    json_t *refusal = NULL;
    json_t *logs = ask(follower->client, "backupNg.getLogs",
                       json_pack("{s:s}", "jobId", follower->job_id), &refusal, error);
    json_decref(refusal);
    return logs;
}

/* The run that was not there before, or NULL. */
static json_t *new_log(Follower *follower, GError **error)
{
    json_t *logs = logs_of_job(follower, error);
    json_t *found = NULL;
    size_t i;
    json_t *log;
    json_array_foreach (logs, i, log)
        if (!found && !json_object_get(follower->old, json_text(log, "id")))
            found = json_incref(log);
    json_decref(logs);
    return found;
}

static int verdict(Follower *follower, json_t *log, json_t *refusal)
{
    if (follower->options->json && log)
        cli_print(follower->options, log);
    if (refusal)
        return cli_print_refusal(follower->options, "run", refusal);
    return g_str_equal(json_text(log, "status"), "success") ? CLI_OK : CLI_REFUSED;
}

static int follow(Follower *follower, gint64 call)
{
    for (;;) {
        g_autoptr(GError) waiting = NULL, error = NULL;
        json_t *refusal = NULL;
        json_t *result = cli_receive(follower->client, call, POLL_MS, &refusal, &waiting);
        bool ended = result || refusal;
        if (!ended && !err_is(waiting, ERR_TIMEOUT))
            return cli_print_error(follower->options, waiting);
        json_t *log = new_log(follower, &error);
        if (error) {
            json_decref(refusal);
            return cli_print_error(follower->options, error);
        }
        if (log)
            show(follower, log);
        int status = ended ? verdict(follower, log, refusal) : CLI_OK;
        json_decref(log);
        json_decref(result);
        json_decref(refusal);
        if (ended)
            return status;
    }
}

/* Names are a comfort: without them ids are shown. */
static json_t *names_of_remotes(CliClient *client)
{
    json_t *names = json_object(), *refusal = NULL;
    json_t *remotes = ask(client, "remote.getAll", NULL, &refusal, NULL);
    size_t i;
    json_t *remote;
    json_array_foreach (remotes, i, remote)
        json_object_set(names, json_text(remote, "id"), json_object_get(remote, "name"));
    json_decref(refusal);
    json_decref(remotes);
    return names;
}

static json_t *ids_of(json_t *logs)
{
    json_t *ids = json_object();
    size_t i;
    json_t *log;
    json_array_foreach (logs, i, log)
        json_object_set_new(ids, json_text(log, "id"), json_true());
    return ids;
}

static int start(Follower *follower, const char *schedule_id)
{
    g_autoptr(GError) error = NULL;
    json_t *logs = logs_of_job(follower, &error);
    follower->old = ids_of(logs);
    json_decref(logs);
    gint64 call =
        error ? 0
              : cli_send(follower->client, "backupNg.runJob",
                         json_pack("{s:s, s:s}", "id", follower->job_id, "schedule", schedule_id),
                         &error);
    int status = call ? follow(follower, call) : cli_print_error(follower->options, error);
    json_decref(follower->old);
    return status;
}

static int run_named(Follower *follower, json_t *jobs, json_t *schedules, char **words)
{
    g_autoptr(GError) error = NULL;
    json_t *job = pick(jobs, words[0], "job", &error);
    if (!job)
        return cli_print_error(follower->options, error);
    follower->job_id = json_text(job, "id");
    json_t *own = of_job(schedules, follower->job_id);
    json_t *schedule = pick(own, words[1], "schedule", &error);
    int status = schedule ? start(follower, json_text(schedule, "id"))
                          : cli_print_error(follower->options, error);
    json_decref(own);
    return status;
}

int cli_run(CliOptions *options, char **words)
{
    g_autoptr(GError) error = NULL;
    if (!words[0] || (words[1] && words[2])) {
        fprintf(stderr, "usage: cadenza run JOB [SCHEDULE]\n");
        return CLI_USAGE;
    }
    g_autoptr(CliClient) client = cli_open(options, &error);
    if (!client)
        return cli_print_error(options, error);
    json_t *refusal = NULL;
    json_t *jobs = ask(client, "backupNg.getAllJobs", NULL, &refusal, &error);
    json_t *schedules = jobs ? ask(client, "schedule.getAll", NULL, &refusal, &error) : NULL;
    g_autoptr(GHashTable) told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    Follower follower = { .options = options,
                          .client = client,
                          .told = told,
                          .names = schedules ? names_of_remotes(client) : NULL,
                          .live = isatty(STDOUT_FILENO) };
    int status = schedules ? run_named(&follower, jobs, schedules, words)
                 : refusal ? cli_print_refusal(options, "run", refusal)
                           : cli_print_error(options, error);
    json_decref(follower.names);
    json_decref(refusal);
    json_decref(schedules);
    json_decref(jobs);
    return status;
}
