/* The clock. Each enabled schedule is a row with its next time; a schedule whose run goes on has no
 * next time until it has ended. */
#include "run/schedules.h"

#include "base/cron.h"
#include "base/error.h"
#include "base/json_text.h"
#include "base/log.h"
#include "base/mutant.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

/* How often running ones are looked at, and how long the thread sleeps at most: a clock that is set
 * is noticed then. */
enum { LOOK_MS = 1000, SLEEP_MS = 30000 };

typedef struct {
    char *id, *job_id;
    char *rule; /* cron and zone: the next time is kept while it is the same */
    Cron *cron;
    gint64 next_ms; /* 0: its run goes on, or there is no next time */
    char *run_id;   /* of the run that goes on */
} Row;

struct Schedules {
    Jobs *jobs;
    Runs *runs;
    Bus *bus;
    guint handle;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    GHashTable *rows; /* id → Row */
    bool stopping, reload;
};

static gint64 now_ms(void)
{
    return g_get_real_time() / 1000;
}

static void row_free(void *data)
{
    Row *row = data;
    g_free(row->id);
    g_free(row->job_id);
    g_free(row->rule);
    g_free(row->run_id);
    cron_free(row->cron);
    g_free(row);
}

static void set_next(Row *row)
{
    g_autoptr(GError) error = NULL;
    row->next_ms = row->cron ? cron_next(row->cron, now_ms(), &error) : 0;
    if (error)
        log_warning("run", "schedule %s: %s", row->id, error->message);
}

/* --- Reading the records --- */

static Row *row_new(json_t *schedule, char *rule)
{
    g_autoptr(GError) error = NULL;
    const char *zone = json_string_value(json_object_get(schedule, "timezone"));
    Row *row = g_new0(Row, 1);
    row->id = g_strdup(json_text(schedule, "id"));
    row->job_id = g_strdup(json_text(schedule, "jobId"));
    row->rule = rule;
    row->cron = cron_parse(json_text(schedule, "cron"), zone, &error);
    if (error)
        log_warning("run", "schedule %s: %s", row->id, error->message);
    set_next(row);
    return row;
}

/* The row as it is now: the old one when nothing changed, else a new one that knows of a run that
 * goes on. */
static Row *renew(Schedules *schedules, json_t *schedule)
{
    const char *id = json_text(schedule, "id");
    g_autofree char *rule =
        g_strdup_printf("%s\n%s", json_text(schedule, "cron"), json_text(schedule, "timezone"));
    char *key = NULL;
    Row *old = NULL;
    if (g_hash_table_steal_extended(schedules->rows, id, (gpointer *) &key, (gpointer *) &old))
        g_free(key);
    if (old && strcmp(old->rule, rule) == 0 &&
        strcmp(old->job_id, json_text(schedule, "jobId")) == 0)
        return old;
    Row *row = row_new(schedule, g_steal_pointer(&rule));
    if (old && old->run_id) {
        row->run_id = g_steal_pointer(&old->run_id);
        row->next_ms = 0;
    }
    if (old)
        row_free(old);
    return row;
}

/* Lock held. */
static void reload(Schedules *schedules)
{
    g_autoptr(GError) error = NULL;
    json_t *all = jobs_list_schedules(schedules->jobs, &error), *schedule;
    GHashTable *rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, row_free);
    gsize i;
    schedules->reload = false;
    if (!all) {
        log_error("run", "schedules: %s", error->message);
        g_hash_table_destroy(rows);
        return;
    }
    json_array_foreach (all, i, schedule)
        if (json_is_true(json_object_get(schedule, "enabled")) ||
            MUTANT(schedule_disabled_fires)) /* mutant: run */
            g_hash_table_insert(rows, g_strdup(json_text(schedule, "id")),
                                renew(schedules, schedule));
    json_decref(all);
    g_hash_table_destroy(schedules->rows);
    schedules->rows = rows;
}

/* --- The thread --- */

static void fire(Schedules *schedules, Row *row)
{
    g_autoptr(GError) error = NULL;
    row->next_ms = 0;
    row->run_id = runs_start(schedules->runs, row->job_id, row->id, NULL, &error);
    if (row->run_id)
        return;
    log_warning("run", "schedule %s of job %s: %s", row->id, row->job_id, error->message);
    set_next(row);
}

static void look_at(Schedules *schedules, Row *row)
{
    if (row->run_id && !runs_is_going(schedules->runs, row->run_id)) {
        g_clear_pointer(&row->run_id, g_free);
        set_next(row);
    }
    if (row->next_ms && row->next_ms <= now_ms())
        fire(schedules, row);
}

/* Looks at all rows; how long to sleep. Lock held. */
static gint64 tick(Schedules *schedules)
{
    GHashTableIter iter;
    gpointer value;
    gint64 sleep_ms = SLEEP_MS;
    g_hash_table_iter_init(&iter, schedules->rows);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Row *row = value;
        look_at(schedules, row);
        gint64 left = row->run_id ? LOOK_MS : row->next_ms ? row->next_ms - now_ms() : SLEEP_MS;
        sleep_ms = CLAMP(left, 1, sleep_ms);
    }
    return sleep_ms;
}

static void sleep_for(Schedules *schedules, gint64 ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    gint64 ns = until.tv_nsec + ms % 1000 * 1000000;
    until.tv_sec += (time_t) (ms / 1000 + ns / 1000000000);
    until.tv_nsec = ns % 1000000000;
    pthread_cond_timedwait(&schedules->changed, &schedules->lock, &until);
}

static void *schedules_main(void *data)
{
    Schedules *schedules = data;
    pthread_mutex_lock(&schedules->lock);
    while (!schedules->stopping) {
        if (schedules->reload)
            reload(schedules);
        gint64 ms = tick(schedules);
        if (!schedules->stopping && !schedules->reload)
            sleep_for(schedules, ms);
    }
    pthread_mutex_unlock(&schedules->lock);
    return NULL;
}

static void heard(const char *topic, json_t *news, void *data)
{
    Schedules *schedules = data;
    pthread_mutex_lock(&schedules->lock);
    schedules->reload = true;
    pthread_cond_signal(&schedules->changed);
    pthread_mutex_unlock(&schedules->lock);
}

/* --- Starting and stopping --- */

Schedules *schedules_new(Jobs *jobs, Runs *runs, Bus *bus)
{
    Schedules *schedules = g_new0(Schedules, 1);
    schedules->jobs = jobs;
    schedules->runs = runs;
    schedules->bus = bus;
    schedules->reload = true;
    schedules->rows = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, row_free);
    pthread_mutex_init(&schedules->lock, NULL);
    pthread_cond_init(&schedules->changed, NULL);
    schedules->handle = bus_add(bus, "schedule.changed", heard, schedules);
    if (pthread_create(&schedules->thread, NULL, schedules_main, schedules) != 0)
        g_error("no thread for the schedules");
    return schedules;
}

void schedules_free(Schedules *schedules)
{
    if (!schedules)
        return;
    bus_drop(schedules->bus, schedules->handle);
    pthread_mutex_lock(&schedules->lock);
    schedules->stopping = true;
    pthread_cond_signal(&schedules->changed);
    pthread_mutex_unlock(&schedules->lock);
    pthread_join(schedules->thread, NULL);
    g_hash_table_destroy(schedules->rows);
    pthread_cond_destroy(&schedules->changed);
    pthread_mutex_destroy(&schedules->lock);
    g_free(schedules);
}

gint64 schedules_next(Schedules *schedules, const char *schedule_id)
{
    pthread_mutex_lock(&schedules->lock);
    if (schedules->reload)
        reload(schedules);
    Row *row = g_hash_table_lookup(schedules->rows, schedule_id);
    gint64 next_ms = row ? row->next_ms : 0;
    pthread_mutex_unlock(&schedules->lock);
    return next_ms;
}
