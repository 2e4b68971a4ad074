/* The error table and the GError behind it. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

enum retry { NEVER, LATER };

static const struct {
    const char *name, *words, *remedy;
    enum retry retry;
} errors[] = {
#define E(code, words, remedy, retry) { #code, words, remedy, retry },
#include "base/errors.def"
#undef E
};

typedef struct {
    char **detail;
} ErrPrivate;

static void err_private_init(ErrPrivate *priv)
{
    priv->detail = NULL;
}

static void err_private_copy(const ErrPrivate *from, ErrPrivate *to)
{
    to->detail = g_strdupv(from->detail);
}

static void err_private_clear(ErrPrivate *priv)
{
    g_strfreev(priv->detail);
}

G_DEFINE_EXTENDED_ERROR(Err, err)

static void set_valist(GError **error, ErrCode code, const char *const *detail, const char *suffix,
                       const char *format, va_list args) G_GNUC_PRINTF(5, 0);

static void set_valist(GError **error, ErrCode code, const char *const *detail, const char *suffix,
                       const char *format, va_list args)
{
    if (!error)
        return;
    g_autofree char *text = g_strdup_vprintf(format, args);
    GError *made = g_error_new(ERR, code, "%s%s%s", text, suffix ? ": " : "", suffix ? suffix : "");
    if (detail)
        err_get_private(made)->detail = g_strdupv((char **) detail);
    g_propagate_error(error, made);
}

void err_set(GError **error, ErrCode code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_valist(error, code, NULL, NULL, format, args);
    va_end(args);
}

void err_set_detail(GError **error, ErrCode code, const char *const *detail, const char *format,
                    ...)
{
    va_list args;
    va_start(args, format);
    set_valist(error, code, detail, NULL, format, args);
    va_end(args);
}

static ErrCode code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOSPC:
    case EDQUOT:
        return ERR_NO_SPACE;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return ERR_DENIED;
    default:
        return ERR_IO;
    }
}

void err_set_errno(GError **error, int errnum, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    set_valist(error, code_of_errno(errnum), NULL, g_strerror(errnum), format, args);
    va_end(args);
}

const char *const *err_detail(const GError *error)
{
    if (!error || error->domain != ERR)
        return NULL;
    return (const char *const *) err_get_private(error)->detail;
}

const char *err_xapi_code(const GError *error)
{
    const char *const *detail = err_is(error, ERR_XAPI) ? err_detail(error) : NULL;
    return detail && detail[0] ? detail[0] : "";
}

bool err_is(const GError *error, ErrCode code)
{
    return g_error_matches(error, ERR, (int) code);
}

static unsigned row_of(const GError *error)
{
    bool ours = error && error->domain == ERR && error->code >= 0 && error->code < N_ERR;
    return ours ? (unsigned) error->code : ERR_INTERNAL;
}

const char *err_name(const GError *error)
{
    return errors[row_of(error)].name;
}

const char *err_remedy(const GError *error)
{
    return errors[row_of(error)].remedy;
}

bool err_may_retry(const GError *error)
{
    return errors[row_of(error)].retry == LATER;
}
