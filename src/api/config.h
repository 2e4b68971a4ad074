/* The configuration as one document in XO's shape, {"users": […], "jobs": […], …}: given out, and
 * taken in from this server or from XO.
 *
 * As a file it is JSON, maybe compressed with gzip, then maybe sealed with a passphrase
 * (codec/openpgp.h), as XO writes it. It holds passwords in clear: whoever asks for it without a
 * passphrase gets them so. Blocking; a passphrase costs some hundredths of a second. */
#pragma once

#include "api/parts.h"

enum { CONFIG_MAX_BYTES = 64 * 1024 * 1024, CONFIG_MAX_RECORDS = 100000 };

/* `entries`: names of parts (NULL: all); what they refer to comes with them. INVALID names an
 * unknown one. `passphrase` may be NULL. */
GBytes *config_export(const ApiParts *parts, json_t *entries, bool compress, const char *passphrase,
                      GError **error);

/* Takes a file in: all of what the report says, or with an error nothing at all. Taking it again
 * changes nothing. Records keep their ids and replace those with the same one; a user replaces
 * another of the same name, whose tokens, groups and rules become its own; what the file does not
 * have stays. What is wrong is named by its field: API_INVALID_PARAMETERS; DENIED: the passphrase.
 *
 * The report: {"entries": {<name>: {"added", "changed", "same", "notTaken"}},
 *  "notTaken": [{"entry", "id"?, "name"?, "reason"}], "notes": [{"entry", "id"?, "name"?, "note"}]}
 */
json_t *config_import(const ApiParts *parts, GBytes *file, const char *passphrase, GError **error);
