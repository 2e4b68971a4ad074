/* Leases: a VM is backed up by one run at a time. Whoever comes second waits in line, or is told at
 * once. Thread-safe; answers go over the run's channel. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef struct Leases Leases;
typedef struct Run Run;

Leases *leases_new(void);
void leases_free(Leases *leases);

/* Answers now, or later when `wait`: {"type": "answer", "id", "error"?}, after {"type": "waiting",
 * "id", "holder"} when it has to wait. */
void leases_ask(Leases *leases, Run *run, gint64 ask_id, const char *vm, bool wait);
/* Gives back, or leaves the line. */
void leases_release(Leases *leases, Run *run, const char *vm);
/* Everything of a run that has ended. */
void leases_drop(Leases *leases, Run *run);
