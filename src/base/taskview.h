/* How nodes of the tree of tasks are shown, between the live tree and its views. */
#pragma once

#include "base/tasklog.h"
#include "base/taskspool.h"

/* Sorts the children and computes the statuses, recursively; returns the node. */
json_t *task_arrange(json_t *node, bool running);
/* Whether it failed and is tried again, or is that further try. */
bool task_takes_part_in_retry(json_t *node, json_t *siblings);
/* Closes it, and all below, as interrupted and to be tried again; false when it had ended
 * otherwise. */
bool task_interrupt(json_t *node, gint64 now_ms, const char *reason);
/* What is left of an ended child of the root when its text went to the spool. */
typedef struct {
    gint64 end_ms;
    guint64 at;
    guint32 n_bytes;
    char status[12];
} SpooledTask;
SpooledTask task_spool(json_t *node, TaskSpool *spool);
/* As a node that task_arrange can sort: {end, status} and the place. */
json_t *task_spooled(const SpooledTask *task);
/* Brings such children of the root back; returns the root. */
json_t *task_expand(json_t *root, TaskSpool *spool);
/* The root as text, without making them trees. */
char *task_text(json_t *root, TaskSpool *spool);
