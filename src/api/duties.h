/* What the server still owes when a call has answered, or ended in its middle: a half-made machine
 * to take down, a drive to take away later. Each is a record in the store (collection "duties"), so
 * that a restart forgets none; one thread looks after them until they are done. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef struct Duties Duties;
struct ApiParts;

typedef struct {
    const char *name;
    /* One look: in how many ms to look again, 0 when it is done. May call the pool, must not wait
     * for anything else. What it changes in the record is stored. `now_ms` is the wall clock. */
    unsigned (*look)(const struct ApiParts *parts, json_t *record, gint64 now_ms);
} DutyKind;

enum { DUTY_DONE = 0 };

/* No thread yet; the parts must outlive it. */
Duties *duties_new(const struct ApiParts *parts);
/* Takes up what earlier servers have left. */
bool duties_start(Duties *duties, GError **error);
void duties_free(Duties *duties);

/* Durable when it returns. The reference of `record` is taken. `held`: nobody looks after it until
 * it is released, or the server is started again. Its id, or NULL with an error. */
char *duty_add(Duties *duties, const DutyKind *kind, json_t *record, bool held, GError **error);
void duty_release(Duties *duties, const char *id);
/* There is nothing left to do. */
void duty_drop(Duties *duties, const char *id);
