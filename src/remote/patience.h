/* A place over another one that keeps nobody waiting for ever. Each call is made by another thread
 * and waited for; one that has not come back after the patience fails with TIMEOUT and is left to
 * that thread. Until it comes back, the place is stuck: every other call fails at once.
 *
 * Whole blocks written to a new file, and the chunks under "blocks/", are passed on without that: a
 * pipe writes them, and watches over its writers itself. Private to the room. */
#pragma once

#include "remote/place.h"

/* Opens the place of a URL, which is copied, under the same care. */
Place *patience_open(const struct remote_ops *ops, const RemoteUrl *url, unsigned patience_ms,
                     GError **error);
/* Over a remote that is open, which is taken over. */
Remote *remote_new_patient(Remote *inner, unsigned patience_ms);
/* Whole blocks that are read are passed on, too; nothing for any other place. Before any is open.
 */
void patience_pass_reads(Place *place);
/* Who hears of it when a call is given up; nobody for any other place. */
void patience_on_giving_up(Place *place, RemoteGaveUp *tell, void *user);
/* Whether a call has not come back; false of any other place. */
bool patience_is_stuck(const Place *place);
