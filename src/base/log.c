/* One write per line, so that lines of several threads and workers do not mix. */
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

static atomic_int log_level = LOG_LEVEL_INFO;

void log_set_level(LogLevel level)
{
    atomic_store(&log_level, (int) level);
}

bool log_parse_level(const char *text, LogLevel *level)
{
    static const struct {
        const char *name;
        LogLevel level;
    } levels[] = { { "error", LOG_LEVEL_ERROR },
                   { "warning", LOG_LEVEL_WARNING },
                   { "info", LOG_LEVEL_INFO },
                   { "debug", LOG_LEVEL_DEBUG } };
    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++)
        if (strcmp(text, levels[i].name) == 0) {
            *level = levels[i].level;
            return true;
        }
    return false;
}

void log_line(LogLevel level, const char *room, const char *format, ...)
{
    if ((int) level > atomic_load(&log_level))
        return;
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_strdelimit(text, "\r\n", ' ');
    g_autofree char *line = g_strdup_printf("<%d>%s: %s\n", (int) level, room, text);
    ssize_t n = write(STDERR_FILENO, line, strlen(line));
    (void) n; /* nobody is left to be told */
}
