/* Folders that a power cut does not take back: a file is durable only with its name. Blocks. */
#pragma once

#include <glib.h>
#include <stdbool.h>

/* Makes the folder with its parents; all that are new have durable names. There already is success.
 */
bool durable_make_folder(const char *path, unsigned mode, GError **error);
/* The names in the folder. */
bool durable_sync_folder(const char *path, GError **error);
