/* Durations and dates as text. */
#include "base/date.h"

#include "base/error.h"

#include <math.h>
#include <string.h>

#define SECOND 1000.0
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

static const struct {
    const char *words; /* between blanks */
    double ms;
} units[] = {
    { " milliseconds millisecond msecs msec ms ", 1 },
    { " seconds second secs sec s ", SECOND },
    { " minutes minute mins min m ", MINUTE },
    { " hours hour hrs hr h ", HOUR },
    { " days day d ", DAY },
    { " weeks week w ", 7 * DAY },
    { " years year yrs yr y ", 365.25 * DAY },
};

enum { MAX_TEXT_BYTES = 100 };

static double unit_of(const char *word)
{
    if (!*word)
        return 1;
    g_autofree char *lower = g_ascii_strdown(word, -1);
    g_autofree char *needle = g_strdup_printf(" %s ", lower);
    for (gsize i = 0; !strchr(word, ' ') && i < G_N_ELEMENTS(units); i++)
        if (strstr(units[i].words, needle))
            return units[i].ms;
    return 0;
}

bool date_parse_duration(const char *text, gint64 *ms, GError **error)
{
    char *end = NULL;
    gsize n = strspn(text, "0123456789.");
    double value = n > 0 && strlen(text) <= MAX_TEXT_BYTES ? g_ascii_strtod(text, &end) : -1;
    double unit = end == text + n ? unit_of(end + (*end == ' ')) : 0;
    if (unit > 0 && isfinite(value) && value * unit < 9e15) {
        *ms = (gint64) llround(value * unit);
        return true;
    }
    err_set(error, ERR_INVALID,
            "duration \"%.40s\": expected a number and a unit, as in \"30 days\", \"10m\"", text);
    return false;
}

bool date_duration(json_t *value, gint64 *ms, GError **error)
{
    if (json_is_string(value))
        return date_parse_duration(json_string_value(value), ms, error);
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (number >= 0 && number < 9e15) {
        *ms = llround(number);
        return true;
    }
    err_set(error, ERR_INVALID, "duration: expected milliseconds or text such as \"30 days\"");
    return false;
}

char *date_format_iso(gint64 ms)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(ms / 1000);
    g_autofree char *text = time ? g_date_time_format(time, "%Y-%m-%dT%H:%M:%S") : NULL;
    return g_strdup_printf("%s.%03dZ", text ? text : "", (int) (ms % 1000));
}
