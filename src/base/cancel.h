/* A flag that says "stop", shared by the threads of one operation. Never blocks. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Cancel Cancel;

Cancel *cancel_new(void);
/* One that is also set when a parent is (either may be NULL): for a part of an operation that can
 * stop alone. */
Cancel *cancel_new_under(Cancel *parent, Cancel *other);
Cancel *cancel_ref(Cancel *cancel);
void cancel_unref(Cancel *cancel);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Cancel, cancel_unref)

/* From limit_ms on it counts as set, with TIMEOUT; `what` names whose limit that is ("vmTimeout").
 * Before others use it; 0: no limit. */
void cancel_after(Cancel *cancel, gint64 limit_ms, const char *what);
/* Sets the flag; safe from any thread, idempotent. */
void cancel_set(Cancel *cancel);
/* Whether it is set; NULL never is. */
bool cancel_is_set(const Cancel *cancel);
/* The same, and sets ERR_CANCELLED naming what was cancelled, or ERR_TIMEOUT when its time is over.
 */
bool cancel_check(const Cancel *cancel, const char *what, GError **error);
/* An operation under `cancel` failed with this: CANCELLED becomes TIMEOUT when that was the cause.
 */
void cancel_explain(const Cancel *cancel, const char *what, GError **error);
