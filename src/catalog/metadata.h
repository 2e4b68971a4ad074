/* The JSON of a restore point, as XO 's <date>.json holds it. Private to the catalog. */
#pragma once

#include "base/json_part.h"

#include <stdbool.h>

#define METADATA_MAX_BYTES (64u << 20)

/* Parses and checks what we rely on: mode, timestamp, vm.uuid, safe relative paths. Booleans of
 * very old backups (0 and 1) become booleans. CORRUPT says what is wrong; `name` is for the
 * message. */
json_t *metadata_parse(const void *data, gsize n, const char *name, GError **error);
/* The same, of what catalog_view shows and the check asks for: the rest is passed over unread. */
json_t *metadata_parse_brief(const void *data, gsize n, const char *name, GError **error);
extern const JsonWant metadata_brief[];
/* The same check of one that was parsed already (from a cache). */
bool metadata_check(json_t *point, const char *name, GError **error);
bool metadata_is_full(json_t *point);
gint64 metadata_time(json_t *point);
/* A path as stored in "vhds" or "xva", without "./" or slashes before it; NULL when it is not safe.
 */
char *metadata_path(json_t *stored);
