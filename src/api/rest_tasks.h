/* /rest/v0/tasks: the server's own tasks (api/tasks.h), and the runs of backup jobs and restores in
 * the same shape. Administrators see all, others those that they began. */
#pragma once

#include "api/rest_collection.h"

enum {
    REST_WAIT_STEP_MS = 500, /* how soon a wait sees that its client has gone, or a run's news */
    REST_MAX_WAITING = 96,   /* requests that wait or listen at the same time */
};

extern const RestRoute rest_task_routes[];

bool rest_each_task(RestRequest *request, const RestCollection *collection, RestSeen seen,
                    void *user, GError **error);
/* Those about {id} of the route. */
bool rest_each_own_task(RestRequest *request, const RestCollection *collection, RestSeen seen,
                        void *user, GError **error);
char *rest_one_task(RestRequest *request, const char *id, GError **error);

/* What changed among the tasks that the caller is shown since the last step: "add", "update" or
 * "remove" (with its last text). False from `tell` ends the step. */
typedef struct RestTaskWatch RestTaskWatch;
typedef bool (*RestTaskNews)(const char *event, const char *id, const char *text, size_t n,
                             void *user);
RestTaskWatch *rest_task_watch_new(void);
void rest_task_watch_free(RestTaskWatch *watch);
bool rest_task_watch_step(RestTaskWatch *watch, RestRequest *request, RestTaskNews tell,
                          void *user);

/* A request that waits takes one of REST_MAX_WAITING places; false when it was answered with 503.
 */
bool rest_wait_begin(RestRequest *request);
void rest_wait_end(RestRequest *request);
