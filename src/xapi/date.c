/* XAPI's dates: ISO 8601, basic or extended, UTC. */
#include "xapi/xapi.h"

/* Reads n digits and moves on; -1 when there are fewer. */
static int digits(const char **p, int n)
{
    int value = 0;
    for (; n > 0; n--, ++*p) {
        if (!g_ascii_isdigit(**p))
            return -1;
        value = value * 10 + (**p - '0');
    }
    return value;
}

static void skip(const char **p, char c)
{
    if (**p == c)
        ++*p;
}

gint64 xapi_parse_date(const char *text)
{
    const char *p = text ? text : "";
    int year = digits(&p, 4);
    skip(&p, '-');
    int month = year < 0 ? -1 : digits(&p, 2);
    skip(&p, '-');
    int day = month < 0 ? -1 : digits(&p, 2);
    if (day < 0 || *p++ != 'T')
        return 0;
    int hour = digits(&p, 2);
    skip(&p, ':');
    int minute = hour < 0 ? -1 : digits(&p, 2);
    skip(&p, ':');
    int second = minute < 0 ? -1 : digits(&p, 2);
    if (second < 0)
        return 0;
    g_autoptr(GDateTime) date = g_date_time_new_utc(year, month, day, hour, minute, second);
    return date ? g_date_time_to_unix(date) : 0;
}
