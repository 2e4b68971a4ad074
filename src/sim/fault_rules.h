/* The rule book of faults, as the control API writes it. Thread-safe. */
#pragma once

#include "sim/fault.h"

/* Adds a rule, {kind: latency, method, ms} | {kind: error, method, nth, count, error: [CODE, …]} |
 * {kind: answer, method, nth, count, value} |
 * {kind: cut | stall | throttle, path, object, at, ms, bytes_per_s, count}; its number, or 0. */
guint fault_add(Sim *sim, json_t *spec, GError **error);
void fault_clear(Sim *sim);
json_t *fault_list(Sim *sim);
void fault_set_coalesce_delay(Sim *sim, double seconds);
