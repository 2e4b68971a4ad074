/* An atomic flag with a reference count, and perhaps a time from which on it is set. */
#include "base/cancel.h"

#include "base/error.h"

#include <stdatomic.h>

struct Cancel {
    atomic_int n_refs;
    atomic_bool set;
    Cancel *parents[2];
    gint64 limit_ms, deadline_us; /* monotonic; 0: none */
    char *limit_name;
};

Cancel *cancel_new(void)
{
    Cancel *cancel = g_new0(Cancel, 1);
    atomic_init(&cancel->n_refs, 1);
    return cancel;
}

Cancel *cancel_new_under(Cancel *parent, Cancel *other)
{
    Cancel *cancel = cancel_new();
    cancel->parents[0] = cancel_ref(parent);
    cancel->parents[1] = cancel_ref(other);
    return cancel;
}

Cancel *cancel_ref(Cancel *cancel)
{
    if (cancel)
        atomic_fetch_add(&cancel->n_refs, 1);
    return cancel;
}

void cancel_unref(Cancel *cancel)
{
    if (!cancel || atomic_fetch_sub(&cancel->n_refs, 1) != 1)
        return;
    cancel_unref(cancel->parents[0]);
    cancel_unref(cancel->parents[1]);
    g_free(cancel->limit_name);
    g_free(cancel);
}

void cancel_set(Cancel *cancel)
{
    atomic_store(&cancel->set, true);
}

void cancel_after(Cancel *cancel, gint64 limit_ms, const char *what)
{
    if (limit_ms <= 0)
        return;
    limit_ms = MIN(limit_ms, G_MAXINT64 / 4000);
    cancel->limit_ms = limit_ms;
    cancel->deadline_us = g_get_monotonic_time() + limit_ms * 1000;
    cancel->limit_name = g_strdup(what);
}

static bool is_over(const Cancel *cancel)
{
    return cancel->deadline_us && g_get_monotonic_time() >= cancel->deadline_us;
}

bool cancel_is_set(const Cancel *cancel)
{
    return cancel && (atomic_load(&((Cancel *) cancel)->set) || is_over(cancel) ||
                      cancel_is_set(cancel->parents[0]) || cancel_is_set(cancel->parents[1]));
}

/* The one of those above whose time is over; NULL when somebody set a flag. */
static const Cancel *find_over(const Cancel *cancel)
{
    if (!cancel || is_over(cancel))
        return cancel;
    const Cancel *found = find_over(cancel->parents[0]);
    return found ? found : find_over(cancel->parents[1]);
}

bool cancel_check(const Cancel *cancel, const char *what, GError **error)
{
    if (!cancel_is_set(cancel))
        return false;
    const Cancel *over = find_over(cancel);
    if (over)
        err_set(error, ERR_TIMEOUT, "%s did not end within %.4g s (the setting %s)", what,
                (double) over->limit_ms / 1000, over->limit_name);
    else
        err_set(error, ERR_CANCELLED, "%s was cancelled", what);
    return true;
}

void cancel_explain(const Cancel *cancel, const char *what, GError **error)
{
    if (!error || !err_is(*error, ERR_CANCELLED) || !find_over(cancel))
        return;
    g_clear_error(error);
    cancel_check(cancel, what, error);
}
