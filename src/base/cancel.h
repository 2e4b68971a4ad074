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

/* Sets the flag; safe from any thread, idempotent. */
void cancel_set(Cancel *cancel);
/* Whether it is set; NULL never is. */
bool cancel_is_set(const Cancel *cancel);
/* The same, and sets ERR_CANCELLED naming what was cancelled. */
bool cancel_check(const Cancel *cancel, const char *what, GError **error);
