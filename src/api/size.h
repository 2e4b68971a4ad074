/* Sizes as clients give them: a number of bytes, or text such as "10 GiB" and "512 MB". */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

/* "KiB", "MiB" … are powers of 1024, "kB", "MB" … of 1000; "B" may be left out. INVALID_PARAMETERS
 * names the parameter. */
bool size_parse(json_t *value, const char *name, gint64 *bytes, GError **error);
