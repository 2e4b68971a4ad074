/* How nodes of the tree of tasks are shown, between the live tree and its views. */
#pragma once

#include "base/tasklog.h"

/* Sorts the children and computes the statuses, recursively; returns the node. */
json_t *task_arrange(json_t *node, bool running);
/* Whether it failed and is tried again, or is that further try. */
bool task_takes_part_in_retry(json_t *node, json_t *siblings);
/* Closes it, and all below, as interrupted and to be tried again; false when it had ended
 * otherwise. */
bool task_interrupt(json_t *node, gint64 now_ms, const char *reason);
/* {end, status, _text}: what is left of an ended child of the root. A new reference. */
json_t *task_compact(json_t *node);
/* Brings compacted children of the root back; returns the root. */
json_t *task_expand(json_t *root);
/* The root as text, without bringing them back. */
char *task_text(json_t *root);
