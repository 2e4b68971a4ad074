/* A method of the API is one row: every surface (JSON-RPC, command line, REST, OpenAPI) and every
 * check in front of it derive from the row. Each class of methods is a table in
 * api/methods/<class>.c, named in api/methods.def. */
#pragma once

#include "api/call.h"
#include "api/params.h"

/* Who may call; the zero value is the strictest. */
typedef enum {
    ACCESS_ADMIN, /* administrators */
    ACCESS_USER,  /* anybody who is signed in (objects have their own permissions) */
    ACCESS_ANYONE,
} Access;

/* Runs in a pool thread and may block. Returns a new reference, or NULL: with *error a failure,
 * without it a success that has nothing to say, which is `true` for the client. */
typedef json_t *(*MethodRun)(ApiCall *call, GError **error);

typedef struct {
    const char *name; /* "vm.start" */
    MethodRun run;
    const Param *params; /* NULL: anything is accepted */
    Access access;
    bool long_running;   /* may take minutes: has its own pool of threads */
    const char *rest;    /* "DELETE /vms/{id}" in the method's own words; others: rest_calls.c */
    const char *summary; /* one sentence */
    /* The words that follow the name on the command line, "" when there are none: "id=$VM". They
     * are shown in the reference, and tests/system/test_examples.py runs them; it knows what the
     * names in capital letters stand for. */
    const char *example;
    bool secret_result; /* is shown in no log */
} Method;

/* NULL when there is none of that name. */
const Method *method_find(const char *name);
/* Why a method of XO does not exist here (absent.def); NULL: XO has none of that name either. */
const char *method_why_absent(const char *name);
/* Every method, sorted by name. */
void method_each(void (*seen)(const Method *method, void *user), void *user);
/* {description, params, permission?, example} as system.getMethodsInfo shows it. */
json_t *method_info(const Method *method);
