/* The event bus: news travels right through the rooms without anybody including to the right.
 *
 * Topics are dotted names ("run.begin", "run.task", "run.end", "schedule.changed"). Thread-safe;
 * callbacks run in the thread that says, one after the other, and must be short. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Bus Bus;

/* `news` is borrowed, read-only. */
typedef void (*BusHeard)(const char *topic, json_t *news, void *user);

Bus *bus_new(void);
void bus_free(Bus *bus);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bus, bus_free)

/* Hears a topic, or with "run." everything that begins so, or with "" everything. The handle for
 * bus_drop. */
guint bus_add(Bus *bus, const char *prefix, BusHeard heard, void *user);
/* After it returns the callback is not running and is never called again; not from within it. */
void bus_drop(Bus *bus, guint handle);
/* The reference of `news` is taken; it may be NULL. A NULL bus is allowed: nobody listens. */
void bus_say(Bus *bus, const char *topic, json_t *news);
