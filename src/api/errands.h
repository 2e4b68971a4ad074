/* What goes on after a call has answered, such as the start of a VM that was just created: in
 * threads of its own, at most so many at a time, and ended with the server. */
#pragma once

#include "base/cancel.h"

typedef struct Errands Errands;

enum { ERRANDS_THREADS = 16, ERRANDS_WAITING = 1024 };

Errands *errands_new(void);
/* Sets the flag of those that go on, drops those that wait, returns when all have ended. */
void errands_free(Errands *errands);

/* `data` is given to `run`, then freed; beyond ERRANDS_WAITING it is freed at once. */
typedef void (*ErrandRun)(void *data, Cancel *cancel);
void errands_push(Errands *errands, ErrandRun run, void *data, GDestroyNotify free);
