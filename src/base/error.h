/* Errors that a person can act on.
 *
 * Every fallible function takes a GError ** last and returns false or NULL on failure. The domain
 * is ERR, the code is one row of errors.def: general words, a remedy, and whether a retry may help.
 * The message names the object and the cause, and never needs the caller's context to be
 * understood: callers that know more prepend it with g_prefix_error. An error may carry detail
 * strings; for ERR_XAPI they are the pool's error code followed by its parameters. */
#pragma once

#include <glib.h>
#include <stdbool.h>

typedef enum {
#define E(code, words, remedy, retry) ERR_##code,
#include "base/errors.def"
#undef E
    N_ERR
} ErrCode;

#define ERR (err_quark())
GQuark err_quark(void);

/* Sets *error, when error is not NULL, to code with a printf message. */
void err_set(GError **error, ErrCode code, const char *format, ...) G_GNUC_PRINTF(3, 4);
/* The same with a NULL-terminated list of detail strings, which are copied. */
void err_set_detail(GError **error, ErrCode code, const char *const *detail, const char *format,
                    ...) G_GNUC_PRINTF(4, 5);
/* From errno: ENOSPC and EDQUOT give NO_SPACE, ENOENT NOT_FOUND, EEXIST EXISTS, EACCES, EPERM and
 * EROFS DENIED, anything else IO; ": <strerror>" is added to the message. */
void err_set_errno(GError **error, int errnum, const char *format, ...) G_GNUC_PRINTF(3, 4);

/* The detail of an error of our domain, or NULL. Owned by the error. */
const char *const *err_detail(const GError *error);
/* The pool's code of an ERR_XAPI error ("VM_BAD_POWER_STATE"), else "". Owned by the error. */
const char *err_xapi_code(const GError *error);
bool err_is(const GError *error, ErrCode code);

/* Columns of errors.def; an error of another domain counts as INTERNAL. */
const char *err_name(const GError *error);
const char *err_remedy(const GError *error);
bool err_may_retry(const GError *error);
