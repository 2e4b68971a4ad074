/* Patience with calls that a thread makes itself, because what they read is too much to be copied:
 * another thread looks whether they come back. */
#pragma once

typedef struct Watch Watch;

/* `overdue` is called by the other thread, once, when a call has not come back for so long; the
 * caller stays in watch_leave until it returns. */
Watch *watch_new(unsigned patience_ms, void (*overdue)(void *user), void *user);
/* Around each call. */
void watch_enter(Watch *watch);
void watch_leave(Watch *watch);
void watch_free(Watch *watch);
