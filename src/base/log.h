/* Log lines on stderr, "<N>room: text", N the syslog priority, so that journald reads the level.
 * Never log a secret: URLs go through the redacting functions of their room first. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
} LogLevel;

/* Lines above this level are dropped; the default is INFO. Call once at start. */
void log_set_level(LogLevel level);
/* "error", "warning", "info", "debug"; false for anything else. */
bool log_parse_level(const char *text, LogLevel *level);
void log_line(LogLevel level, const char *room, const char *format, ...) G_GNUC_PRINTF(3, 4);

#define log_error(room, ...)   log_line(LOG_LEVEL_ERROR, room, __VA_ARGS__)
#define log_warning(room, ...) log_line(LOG_LEVEL_WARNING, room, __VA_ARGS__)
#define log_info(room, ...)    log_line(LOG_LEVEL_INFO, room, __VA_ARGS__)
#define log_debug(room, ...)   log_line(LOG_LEVEL_DEBUG, room, __VA_ARGS__)
