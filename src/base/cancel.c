/* An atomic flag with a reference count. */
#include "base/cancel.h"

#include "base/error.h"

#include <stdatomic.h>

struct Cancel {
    atomic_int n_refs;
    atomic_bool set;
};

Cancel *cancel_new(void)
{
    Cancel *cancel = g_new0(Cancel, 1);
    atomic_init(&cancel->n_refs, 1);
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
    if (cancel && atomic_fetch_sub(&cancel->n_refs, 1) == 1)
        g_free(cancel);
}

void cancel_set(Cancel *cancel)
{
    atomic_store(&cancel->set, true);
}

bool cancel_is_set(const Cancel *cancel)
{
    return cancel && atomic_load(&((Cancel *) cancel)->set);
}

bool cancel_check(const Cancel *cancel, const char *what, GError **error)
{
    if (!cancel_is_set(cancel))
        return false;
    err_set(error, ERR_CANCELLED, "%s was cancelled", what);
    return true;
}
