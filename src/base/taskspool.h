/* The text of ended tasks, out of memory: a file without a name, so that a run of thousands of VMs
 * takes no more memory at its end than at its begin, and nothing is left of it after a crash. Not
 * thread-safe. Blocks for a page or two of a local disk. */
#pragma once

#include <glib.h>

typedef struct TaskSpool TaskSpool;

/* In `folder`; NULL, or one that cannot hold it: in memory. */
TaskSpool *task_spool_new(const char *folder);
void task_spool_free(TaskSpool *spool);
/* Where the text begins. */
guint64 task_spool_add(TaskSpool *spool, const char *text, gsize n);
/* Appends n bytes from there; false when they cannot be read. */
gboolean task_spool_append_to(TaskSpool *spool, guint64 at, gsize n, GString *out);
