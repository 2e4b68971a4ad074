/* The gate: before something begins, whoever was set at start may let it go, delay it or veto it.
 * Questions: "run.begin" {jobId, scheduleId}. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef enum { GATE_GO, GATE_DELAY, GATE_VETO } GateAnswer;

/* GATE_DELAY: ask again after *delay_ms. GATE_VETO: error says who and why. May block. */
typedef GateAnswer (*GateKeeper)(const char *question, json_t *about, unsigned *delay_ms,
                                 void *user, GError **error);

typedef struct Gate Gate;

Gate *gate_new(void);
void gate_free(Gate *gate);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Gate, gate_free)

/* Keepers are asked in the order they came; the first answer that is not GO counts. Add at start.
 */
void gate_add(Gate *gate, GateKeeper keeper, void *user);
/* A NULL gate is open. `about` is borrowed. */
GateAnswer gate_ask(Gate *gate, const char *question, json_t *about, unsigned *delay_ms,
                    GError **error);
