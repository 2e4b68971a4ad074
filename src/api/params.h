/* The parameters of an API method: declared as rows, checked as XO checks them.
 *
 * A method's table says PARAMS(REQ(ID("id", "VM", "operate")), OPT(BOOL("force"))). From these rows
 * come the validation with XO's texts (its validator is Ajv over a JSON schema; error items carry
 * instancePath, schemaPath, keyword, params and message), the schema that system.getMethodsInfo
 * shows, and which parameters name objects. Strings must not be empty unless STR0. */
#pragma once

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

enum {
    P_STRING = 1 << 0,
    P_INTEGER = 1 << 1,
    P_NUMBER = 1 << 2,
    P_BOOLEAN = 1 << 3,
    P_OBJECT = 1 << 4,
    P_ARRAY = 1 << 5,
    P_NULL = 1 << 6,
};

typedef struct {
    const char *name;     /* "*" allows any other parameter */
    unsigned types;       /* P_…; 0: anything */
    bool optional;        /* may be absent */
    bool may_be_empty;    /* of strings */
    const char *fallback; /* JSON text taken when absent */
    unsigned items;       /* of arrays: types of the elements; 0: anything */
    const char *choices;  /* allowed strings, separated by '|' */
    bool nullable;        /* null is allowed too */
    const char *pattern;  /* regular expression that a string must match */
    const char *objects;  /* "VM,VM-snapshot": names an object of one of these types, "*": of any */
    const char *permission; /* wanted on that object: "view", "operate", "administrate" */
    const char *words;      /* for people, may be NULL */
    bool secret;            /* is shown in no log */
} Param;

#define PARAMS(...) ((const Param[]){ __VA_ARGS__, { NULL } })
/* How a parameter is given … */
#define REQ(...)                                                                                   \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define OPT(...)                                                                                   \
    {                                                                                              \
        .optional = true, __VA_ARGS__                                                              \
    }
#define DEF(json, ...)                                                                             \
    {                                                                                              \
        .fallback = json, __VA_ARGS__                                                              \
    }
#define ANY_OTHER                                                                                  \
    {                                                                                              \
        .name = "*"                                                                                \
    }
/* … and what it is. TYPED takes any P_… set, such as P_STRING | P_NULL. */
#define TYPED(n, t)      .name = n, .types = (t)
#define STR(n)           TYPED(n, P_STRING)
#define STR0(n)          TYPED(n, P_STRING), .may_be_empty = true
#define INT(n)           TYPED(n, P_INTEGER)
#define NUM(n)           TYPED(n, P_NUMBER)
#define BOOL(n)          TYPED(n, P_BOOLEAN)
#define OBJ(n)           TYPED(n, P_OBJECT)
#define ARR(n, t)        TYPED(n, P_ARRAY), .items = (t)
#define CHOICE(n, list)  TYPED(n, P_STRING), .may_be_empty = true, .choices = list
#define ANY(n)           TYPED(n, 0)
#define SECRET(n)        STR(n), .secret = true
#define ID(n, type, may) STR(n), .objects = type, .permission = may

/* Prepares what a client sent (object, array or NULL; borrowed) for a method "<space>.<verb>":
 * moves the parameter named like the name space to `id` when the method has one, resolves "name?"
 * parameters, fills defaults, and checks everything. `rows` NULL: the method takes anything.
 * Returns a new object, or NULL with API_INVALID_PARAMETERS whose data lists every violation. */
json_t *params_check(const Param *rows, const char *method, json_t *sent, GError **error);

/* The schema by name, as system.getMethodsInfo shows it; {} for NULL. */
json_t *params_schema(const Param *rows);
