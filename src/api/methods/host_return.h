/* Hosts that go down and come back: waiting for one, and what is owed to the pool meanwhile. The
 * debt is a duty in the store, so that a server that ends in the middle leaves no host out of
 * service, no machine suspended, and tells what happened. */
#pragma once

#include "api/duties.h"
#include "api/objects.h"

extern const DutyKind host_return_duty;

enum {
    HOST_BACK_MS = 20 * 60 * 1000, /* XO's: how long a host may take to start */
    HOST_AGENT_MS = 5 * 60 * 1000,
    HOST_POLL_MS = 300,
    HOST_SETTLE_MS = 60 * 1000,
};

/* When the agent of the host started, s by its own clock; -1 with an error. */
double host_agent_start(Xapi *xapi, const char *host, GError **error);
/* host.reboot or host.shutdown of a host out of service. A master that goes at once may take its
 * answer with it: that is a success, too. A toolstack that has just started puts its host back into
 * service, also one that was taken out of it meanwhile: then once more. */
bool host_go_down(const ApiObject *host, const char *method, GError **error);
/* `usual_ms`, or what the server was told instead. */
gint64 host_patience_ms(ApiCall *call, gint64 usual_ms);
/* Waits until it is live with an agent that started after `since`; with `enable` enabled, too, by
 * this call when it is not by itself. TIMEOUT names the host. */
bool host_wait_back(Xapi *xapi, const ApiObject *host, double since, bool enable, gint64 timeout_ms,
                    GError **error);

/* Waits until the inventory has seen what was done, also over a loss of the connection, which the
 * restart of a master is; not for ever. */
void host_settle(const ApiObject *object);

/* {"pool", "hosts": [uuid of those that were in service], "resume": [VM uuid], "start": [VM uuid],
 * "homes": {VM uuid: host uuid}, "autoPoweron"?: true, "words"}. */
json_t *host_debt_new(const char *pool, const char *words);
/* Durable; its id. The reference is taken. */
char *host_debt_begin(ApiCall *call, json_t *debt, GError **error);
/* Pays now what can be paid; what is left stays a duty and *error says so. */
bool host_debt_pay(ApiCall *call, const char *id, json_t *debt, GError **error);
