/* An atomic flag with a reference count. */
#include "base/cancel.h"

#include "base/error.h"

#include <stdatomic.h>

struct Cancel {
    atomic_int n_refs;
    atomic_bool set;
    Cancel *parents[2];
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
    g_free(cancel);
}

void cancel_set(Cancel *cancel)
{
    atomic_store(&cancel->set, true);
}

bool cancel_is_set(const Cancel *cancel)
{
    return cancel && (atomic_load(&((Cancel *) cancel)->set) || cancel_is_set(cancel->parents[0]) ||
                      cancel_is_set(cancel->parents[1]));
}

bool cancel_check(const Cancel *cancel, const char *what, GError **error)
{
    if (!cancel_is_set(cancel))
        return false;
    err_set(error, ERR_CANCELLED, "%s was cancelled", what);
    return true;
}
