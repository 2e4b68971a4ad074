/* Jobs and schedules of a configuration: checked as when somebody makes them. */
#include "api/config_private.h"
#include "base/cron.h"
#include "base/json_text.h"
#include "base/mutant.h"

/* Kinds of jobs that are kept, shown and given out again, but not run. */
static const char *const only_kept[] = { "metadataBackup", "mirrorBackup", NULL };

static bool is_run(json_t *job)
{
    return g_str_equal(json_text(job, "type"), "backup") ||
           g_str_equal(json_text(job, "type"), "call");
}

json_t *config_take_job(Import *import, json_t *sent, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    if (!NEED("type"))
        return NULL;
    const char *type = json_text(sent, "type");
    json_t *record = json_deep_copy(sent);
    json_object_del(record, "runId");
    if (!is_run(record) && g_strv_contains(only_kept, type)) {
        import_note(import, "jobs of type %s are kept, but not run yet", type);
        return record;
    }
    bool calls = g_str_equal(type, "call");
    if (!calls && !json_object_get(record, "settings"))
        json_object_set_new(record, "settings", json_object());
    if (!is_run(record))
        import_skip(import, "jobs of type %s are not known", type);
    else if (!(calls ? call_job_check(record, &refusal) : job_check(record, &refusal)))
        import_skip(import, "%s", refusal->message);
    else
        return record;
    json_decref(record);
    return NULL;
}

/* The cron line in XO's words; false: the schedule is not taken. */
static bool settle_cron(Import *import, json_t *record)
{
    const char *sent = json_text(record, "cron");
    g_autofree char *cron = cron_translate(sent);
    if (!cron) {
        import_skip(import, "cron: \"%s\" is not understood", sent);
        return false;
    }
    if (!g_str_equal(cron, sent) && !MUTANT(config_foreign_cron)) { /* mutant: api_config */
        import_note(import, "cron: \"%s\" is kept as \"%s\"", sent, cron);
        json_object_set_new(record, "cron", json_string(cron));
    }
    return true;
}

json_t *config_take_schedule(Import *import, json_t *sent, GError **error)
{
    g_autoptr(GError) refusal = NULL;
    if (!NEED("jobId", "cron"))
        return NULL;
    json_t *job = import_find(import, "jobs", json_text(sent, "jobId"));
    if (!job) {
        import_skip(import, "its job %s is not there", json_text(sent, "jobId"));
        return NULL;
    }
    json_t *record = COPY(NULL, "cron", "enabled", "jobId", "name", "timezone", "userId", "id");
    config_flag(record, "enabled", false);
    if (!json_object_get(record, "name"))
        json_object_set_new(record, "name", json_string(""));
    bool ok = settle_cron(import, record);
    if (ok && !schedule_check(record, &refusal)) {
        import_skip(import, "%s", refusal->message);
        ok = false;
    }
    if (ok && !is_run(job) && json_is_true(json_object_get(record, "enabled"))) {
        import_note(import, "is disabled: jobs of type %s are not run yet", json_text(job, "type"));
        json_object_set_new(record, "enabled", json_false());
    }
    if (!ok)
        g_clear_pointer(&record, json_decref);
    return record;
}

/* XO knows "wen" only. */
json_t *config_show_schedule(const ApiParts *parts, json_t *record)
{
    g_autofree char *cron = cron_translate(json_text(record, "cron"));
    if (cron)
        json_object_set_new(record, "cron", json_string(cron));
    return record;
}
