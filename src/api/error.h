/* Errors as XO's clients know them: a number, a message, and data that programs read.
 *
 * Methods fail either with these, or with an error of base/error.h or of the pool, which the view
 * below translates to the same numbers. Source: XO's API, reference numbers in errors.def. */
#pragma once

#include "base/error.h"

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

typedef enum {
#define A(code, name, message) API_##name = code,
#include "api/errors.def"
#undef A
} ApiErrorCode;

#define API_ERROR (api_error_quark())
GQuark api_error_quark(void);

/* Sets *error to `code` with its `data`, whose reference is taken (NULL: none), and a message. */
void api_error_set(GError **error, ApiErrorCode code, json_t *data, const char *format, ...)
    G_GNUC_PRINTF(4, 5);
/* The same with the general message of the table. */
void api_error_plain(GError **error, ApiErrorCode code, json_t *data);
bool api_error_is(const GError *error, ApiErrorCode code);

/* Of such an error, borrowed, or NULL. */
json_t *api_error_data(const GError *error);

/* The errors that many methods raise. `type` may be NULL ("object"). */
void api_error_no_such(GError **error, const char *id, const char *type);
/* `permission` NULL: nobody is signed in; `id` NULL: about no object. */
void api_error_unauthorized(GError **error, const char *permission, const char *id);
void api_error_invalid(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

typedef struct {
    bool admin; /* others see nothing of errors that no method raised on purpose */
    /* The XO id of an opaque reference, a copy, or NULL; may be NULL itself. */
    char *(*id_of)(const char *ref, void *user);
    /* What a person calls the object ("host alpha"), a copy, or NULL; may be NULL itself. */
    char *(*name_of)(const char *ref, void *user);
    void *user;
} ApiErrorView;

/* {code, message[, data]}, a new reference. */
json_t *api_error_json(const GError *error, const ApiErrorView *view);
