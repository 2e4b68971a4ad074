/* Cron: five sets of numbers as bit masks. The next time is looked for day by day on the wall clock
 * of the zone; the times of a matching day are turned into real ones, and the first after the
 * reference counts. */
#include "base/cron.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum { MINUTE, HOUR, DAY, MONTH, WEEKDAY, N_FIELDS };
enum { MAX_DAYS = 28 * 366, MAX_TEXT_BYTES = 1024 };
#define MINUTE_S 60
#define DAY_S    86400

static const struct {
    const char *name;
    int min, max;
    const char *const *aliases; /* of min, min + 1, … */
} fields[N_FIELDS] = {
    [MINUTE] = { "minute", 0, 59, NULL },
    [HOUR] = { "hour", 0, 23, NULL },
    [DAY] = { "day of month", 1, 31, NULL },
    [MONTH] = { "month", 0, 11,
                (const char *const[]){ "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug",
                                       "sep", "oct", "nov", "dec", NULL } },
    /* XO's own word for Wednesday is "wen" */
    [WEEKDAY] = { "day of week", 0, 7,
                  (const char *const[]){ "sun", "mon", "tue", "wen", "thu", "fri", "sat", NULL } },
};

static const struct {
    const char *name, *text;
} presets[] = {
    { "@hourly", "0 * * * *" },  { "@daily", "0 0 * * *" },  { "@weekly", "0 0 * * 0" },
    { "@monthly", "0 0 1 * *" }, { "@yearly", "0 0 1 0 *" }, { "@annually", "0 0 1 0 *" },
};

struct Cron {
    guint64 sets[N_FIELDS];
    bool any[N_FIELDS]; /* the field is "*" */
    char *text;
    GTimeZone *zone;
};

/* --- Reading --- */

static bool parse_number(const char *text, gsize n, int field, int *value)
{
    const char *const *aliases = fields[field].aliases;
    for (int i = 0; aliases && aliases[i]; i++)
        if (n == 3 && strncmp(text, aliases[i], 3) == 0) {
            *value = fields[field].min + i;
            return true;
        }
    if (field == WEEKDAY && n == 3 && strncmp(text, "wed", 3) == 0) {
        *value = 3;
        return true;
    }
    if (n == 0 || n > 4 || strspn(text, "0123456789") < n)
        return false;
    *value = (int) g_ascii_strtoll(text, NULL, 10);
    return true;
}

static bool check_value(int field, int value, GError **error)
{
    if (value >= fields[field].min && value <= fields[field].max)
        return true;
    err_set(error, ERR_INVALID, "%s: %d is not between %d and %d", fields[field].name, value,
            fields[field].min, fields[field].max);
    return false;
}

static bool bad_item(int field, const char *item, GError **error)
{
    err_set(error, ERR_INVALID, "%s: \"%s\" is none of *, */n, a, a-b, a-b/n", fields[field].name,
            item);
    return false;
}

/* "*", "a" or "a-b", and "/n" after the first and the last. */
static bool parse_item(const char *item, int field, guint64 *set, GError **error)
{
    int first = fields[field].min, last = fields[field].max, step = 1;
    const char *slash = strchr(item, '/'), *dash = strchr(item, '-');
    gsize n = slash ? (gsize) (slash - item) : strlen(item);
    if (n != 1 || *item != '*') {
        gsize n_first = dash && dash < item + n ? (gsize) (dash - item) : n;
        if (!parse_number(item, n_first, field, &first) || (slash && n_first == n))
            return bad_item(field, item, error);
        last = first;
        if (n_first < n && !parse_number(dash + 1, n - n_first - 1, field, &last))
            return bad_item(field, item, error);
    }
    if (slash && (!parse_number(slash + 1, strlen(slash + 1), MINUTE, &step) || step == 0))
        return bad_item(field, item, error);
    if (!check_value(field, first, error) || !check_value(field, last, error))
        return false;
    if (last < first) {
        err_set(error, ERR_INVALID, "%s: the range \"%s\" ends before it begins",
                fields[field].name, item);
        return false;
    }
    for (int i = first; i <= last; i += step)
        *set |= (guint64) 1 << i;
    return true;
}

static bool parse_field(Cron *cron, const char *text, int field, GError **error)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    cron->any[field] = strcmp(text, "*") == 0;
    for (unsigned i = 0; items[i]; i++)
        if (!parse_item(items[i], field, &cron->sets[field], error))
            return false;
    if (field == WEEKDAY && (cron->sets[WEEKDAY] & 1 << 7))
        cron->sets[WEEKDAY] |= 1;
    return true;
}

static bool parse_fields(Cron *cron, const char *text, GError **error)
{
    g_auto(GStrv) words = g_strsplit_set(text, " \t", -1);
    int field = 0;
    for (unsigned i = 0; words[i]; i++) {
        if (!*words[i])
            continue;
        if (field < N_FIELDS && !parse_field(cron, words[i], field, error))
            return false;
        field++;
    }
    if (field == N_FIELDS)
        return true;
    err_set(error, ERR_INVALID, "%d fields, expected 5: minute hour dayOfMonth month dayOfWeek",
            field);
    return false;
}

static GTimeZone *parse_zone(const char *name, GError **error)
{
    if (name && strcmp(name, "local") == 0)
        return g_time_zone_new_local();
    bool utc = !name || !*name || g_ascii_strcasecmp(name, "utc") == 0;
    GTimeZone *zone = utc ? g_time_zone_new_utc() : g_time_zone_new_identifier(name);
    if (!zone)
        err_set(error, ERR_INVALID, "timezone: \"%s\" is not a known time zone", name);
    return zone;
}

static const char *expand(const char *text)
{
    for (gsize i = 0; i < G_N_ELEMENTS(presets); i++)
        if (strcmp(text, presets[i].name) == 0)
            return presets[i].text;
    return text;
}

Cron *cron_parse(const char *text, const char *zone_name, GError **error)
{
    if (strlen(text) > MAX_TEXT_BYTES) {
        err_set(error, ERR_INVALID, "cron: longer than %d bytes", MAX_TEXT_BYTES);
        return NULL;
    }
    GTimeZone *zone = parse_zone(zone_name, error);
    if (!zone)
        return NULL;
    g_autoptr(Cron) cron = g_new0(Cron, 1);
    cron->zone = zone;
    cron->text = g_strdup(text);
    if (parse_fields(cron, expand(text), error))
        return g_steal_pointer(&cron);
    g_prefix_error(error, "cron \"%s\": ", text);
    return NULL;
}

void cron_free(Cron *cron)
{
    if (!cron)
        return;
    g_time_zone_unref(cron->zone);
    g_free(cron->text);
    g_free(cron);
}

/* --- The next time --- */

static bool has(const Cron *cron, int field, int value)
{
    return cron->sets[field] >> value & 1;
}

static gint64 offset_at(const Cron *cron, gint64 unix_s)
{
    int interval = g_time_zone_find_interval(cron->zone, G_TIME_TYPE_UNIVERSAL, unix_s);
    return interval < 0 ? 0 : g_time_zone_get_offset(cron->zone, interval);
}

/* Days since 1970, counted on the wall clock. */
static bool day_matches(const Cron *cron, gint64 day)
{
    g_autoptr(GDateTime) date = g_date_time_new_from_unix_utc(day * DAY_S);
    if (!date || !has(cron, MONTH, g_date_time_get_month(date) - 1))
        return false;
    bool of_month = has(cron, DAY, g_date_time_get_day_of_month(date));
    bool of_week = has(cron, WEEKDAY, g_date_time_get_day_of_week(date) % 7);
    if (cron->any[DAY] || cron->any[WEEKDAY])
        return of_month && of_week;
    return MUTANT(cron_days_and) ? of_month && of_week
                                 : of_month || of_week; /* mutant: base_cron */
}

/* The real times of a wall-clock time: two when the clock was put back over it. One that was
 * skipped moves on by the gap. */
static unsigned real_times(const Cron *cron, gint64 wall_s, gint64 real[2])
{
    gint64 before = offset_at(cron, wall_s - DAY_S), after = offset_at(cron, wall_s + DAY_S);
    unsigned n = 0;
    if (offset_at(cron, wall_s - before) == before)
        real[n++] = wall_s - before;
    if (after != before && offset_at(cron, wall_s - after) == after)
        real[n++] = wall_s - after;
    if (n == 0)
        real[n++] = wall_s - before;
    return n;
}

/* The earliest time of the day after `after_s`, or 0. A job of every hour runs in both hours when
 * one comes twice; others only in the first. */
static gint64 next_in_day(const Cron *cron, gint64 day, gint64 after_s)
{
    gint64 best = 0, real[2];
    for (int hour = 0; hour < 24; hour++) {
        for (int minute = 0; has(cron, HOUR, hour) && minute < 60; minute++) {
            if (!has(cron, MINUTE, minute))
                continue;
            unsigned n = real_times(cron, day * DAY_S + hour * 3600 + minute * MINUTE_S, real);
            for (unsigned i = 0; i < (cron->any[HOUR] ? n : 1); i++)
                if (real[i] > after_s && (best == 0 || real[i] < best))
                    best = real[i];
        }
    }
    return best;
}

gint64 cron_next(const Cron *cron, gint64 after_ms, GError **error)
{
    gint64 after_s = after_ms / 1000 / MINUTE_S * MINUTE_S;
    gint64 first = (after_s + offset_at(cron, after_s)) / DAY_S;
    for (gint64 day = MAX(first - 1, 0); day < first + MAX_DAYS; day++) {
        gint64 next = day_matches(cron, day) ? next_in_day(cron, day, after_s) : 0;
        if (next > 0)
            return next * 1000;
    }
    err_set(error, ERR_INVALID, "cron \"%s\": no such date exists", cron->text);
    return 0;
}
