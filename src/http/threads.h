/* A pool of threads that grows with the jobs that wait, up to a maximum, and shrinks when idle;
 * private to the room. Jobs may block for long, so a job starts a thread whenever none is free. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct HttpThreads HttpThreads;

HttpThreads *http_threads_new(unsigned max_threads);
/* Runs job(user) in a thread of the pool, in the order of submission when all are busy. Never
 * blocks. The number of waiting jobs is bounded by the callers (connections). */
void http_threads_submit(HttpThreads *threads, void (*job)(void *user), void *user);
/* Waits until no job runs or waits; false after timeout_ms. */
bool http_threads_drain(HttpThreads *threads, unsigned timeout_ms);
/* The pool must be drained. Ends the idle threads. */
void http_threads_free(HttpThreads *threads);
