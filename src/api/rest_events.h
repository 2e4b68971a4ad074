/* News as they happen, for browsers and dashboards: server-sent events (WHATWG HTML, §9.2).
 *
 * GET /events opens a stream and says its id; the client then subscribes to collections (XO's type
 * of objects, "alarm" or "task") by that id, and gets "add", "update" and "remove", with the fields
 * that it wants. A client that does not read is dropped. */
#pragma once

#include "api/rest_request.h"

typedef struct RestFeeds RestFeeds;

enum {
    REST_FEED_BYTES = 20 * 1024 * 1024, /* that wait to be read; more and the client is dropped */
    REST_PING_MS = 30000,
    REST_MAX_SUBSCRIPTIONS = 64, /* of one stream */
};

extern const RestRoute rest_event_routes[];

RestFeeds *rest_feeds_new(const ApiParts *parts);
/* No stream may be open any more. */
void rest_feeds_free(RestFeeds *feeds);

/* --- rest_dashboard.c --- */

extern const RestRoute rest_dashboard_routes[];
/* Whether one of the job's schedules is enabled. */
bool rest_job_is_scheduled(json_t *schedules, const char *job);

/* --- rest_machine.c --- */

extern const RestRoute rest_machine_routes[];
