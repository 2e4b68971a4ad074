/* The parts of a Sim, for the core alone: each is owned by the file of its name. */
#pragma once

#include "http/server.h"
#include "sim/call.h"
#include "sim/fault.h"
#include "sim/sim.h"
#include "sim/fault_rules.h"
#include "sim/storage.h"
#include "sim/rows.h"

typedef struct Calls Calls;         /* call.c: methods and their threads */
typedef struct Sessions Sessions;   /* session.c: who may call */
typedef struct Faults Faults;       /* fault.c: the rules */
typedef struct Listeners Listeners; /* listener.c: the sockets of the hosts */
typedef struct Clock Clock;         /* clock.c: what happens later */

Calls *sim_calls(Sim *sim);
Faults *sim_faults(Sim *sim);
Listeners *sim_listeners(Sim *sim);
Clock *sim_clock(Sim *sim);

Calls *calls_new(Sim *sim);
/* Waits for the running ones. */
void calls_free(Calls *calls);

Sessions *sessions_new(Sim *sim);
void sessions_free(Sessions *sessions);

Faults *faults_new(Sim *sim);
void faults_free(Faults *faults);

Clock *clock_new(Sim *sim);
/* What has not happened by then never does. */
void clock_free(Clock *clock);
/* After `ms`, in the clock's thread and with the lock held, calls act(sim, ref): ref is copied. */
void clock_after(Clock *clock, guint ms, void (*act)(Sim *sim, const char *ref), const char *ref);

Listeners *listeners_new(Sim *sim);
void listeners_free(Listeners *listeners);
bool listeners_start(Listeners *listeners, GError **error);
/* "http://127.0.10.1:8080" of a host; copy. Host 0 is the first master. */
char *listeners_url(Listeners *listeners, guint host, bool tls);
/* "http://<address>:<our port>/", with the port that the address has when it has one; copy. */
char *listeners_url_at(Listeners *listeners, const char *address);
char *listeners_control_url(Listeners *listeners);
const char *listeners_address(Listeners *listeners, guint host);
/* The number of the host that listens at an address; -1: none. */
int listeners_number(Listeners *listeners, const char *address);
/* Stops and starts the sockets of one host. */
void listeners_pause(Listeners *listeners, guint host);
bool listeners_resume(Listeners *listeners, guint host, GError **error);

/* The API over HTTP: one POST answered. `host` is the number of the host that took it. */
void rpc_serve(Sim *sim, guint host, HttpRequest *request);
/* The control API (docs/simulator.md). */
void control_serve(HttpRequest *request, Sim *sim);

/* Key in the other_config of a pool whose host has joined another one: that one's master. */
#define POOL_JOINED "sim:joined"
/* Fills the empty pool: hosts, storage, networks, templates, VMs. */
bool pool_populate(Sim *sim, GError **error);
/* The host that listens at the address of that number; NULL when it left the pool. */
Obj *sim_host(Sim *sim, guint number);

/* --- Sessions --- */

/* Opens one; its ref, owned by the session object. */
const char *sim_session_open(Sim *sim, const char *username, const char *originator);
bool sim_session_password_is(Sim *sim, const char *username, const char *password);
/* SESSION_INVALID [ref], also when it has expired. */
bool sim_session_check(Sim *sim, const char *ref, GError **error);
/* Closes all of them, as a restart of the toolstack does. */
void sessions_drop_all(Sim *sim);

/* --- Calls --- */

/* Runs a method for a client (request may be NULL): params include the session. The value goes to
 * out; on failure out may hold part of it. Without the lock. */
bool call_dispatch(Sim *sim, guint host, HttpRequest *request, const char *method, json_t *params,
                   Wire *out, GError **error);
/* Whether the client of a waiting call has gone. */
bool call_is_abandoned(Call *call);
/* The code and parameters of a failure, as ErrorDescription lists them; new array. */
json_t *call_failure(const GError *error);

/* Methods whose result is written straight to the wire. */
typedef struct {
    const char *name;
    bool (*write)(Call *call, Wire *out, GError **error);
} Writer;
extern const Writer event_writers[];

/* get_*, set_*, add_*, remove_*, create, destroy, get_all* of every class; NOT_IMPLEMENTED for what
 * is none of them. */
bool record_call(Call *call, const Message *message, Wire *out, GError **error);
/* A new row from the struct of a constructor; the checks of the class are the caller's. */
Obj *record_create(Sim *sim, const char *cls, json_t *record, GError **error);

/* Before each call, without the lock: waits as long as the rules say, fails when they say so. */
bool fault_call(Sim *sim, const char *method, GError **error);
/* What the rules have the call answer in place of what it does, a new reference, or NULL. */
json_t *fault_answer(Sim *sim, const char *method);
