/* Where an image goes: a file that appears whole under its name or not at all, with holes where it
 * is zeros; or standard output, a pipe, a device, where zeros are written. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Output Output;

/* "-" is standard output. EXISTS when a file or a device is there, unless `force`. */
Output *output_open(const char *path, bool force, GError **error);
bool output_write(Output *output, const void *data, gsize n, GError **error);
bool output_zeros(Output *output, guint64 n, GError **error);
/* Durable, and under its name. */
bool output_finish(Output *output, GError **error);
/* What is not finished leaves no file; nor does it when SIGINT, SIGTERM or SIGHUP end the process.
 */
void output_free(Output *output);
/* Removes what is not finished, for who ends the process out of turn. */
void output_drop_unfinished(void);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Output, output_free)
