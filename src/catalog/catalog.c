/* Opening a catalog, its VMs and their lock. */
#include "catalog/layout.h"

#include "base/error.h"
#include "catalog/manifest.h"

#include <string.h>

Catalog *catalog_open(Remote *remote, GError **error)
{
    Catalog *catalog = g_new0(Catalog, 1);
    catalog->remote = remote;
    catalog->finished = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, finished_disk_free);
    pthread_mutex_init(&catalog->lock, NULL);
    return catalog;
}

void catalog_close(Catalog *catalog)
{
    if (!catalog)
        return;
    g_hash_table_unref(catalog->finished);
    pthread_mutex_destroy(&catalog->lock);
    cancel_unref(catalog->cancel);
    cancel_unref(catalog->suspend);
    g_free(catalog);
}

void catalog_set_suspend(Catalog *catalog, Cancel *suspend)
{
    cancel_unref(catalog->suspend);
    catalog->suspend = cancel_ref(suspend);
}

void catalog_set_cancel(Catalog *catalog, Cancel *cancel)
{
    cancel_unref(catalog->cancel);
    catalog->cancel = cancel_ref(cancel);
}

/* What cannot be looked at may be one: whoever lists it is told why. */
static bool is_vm_folder(Catalog *catalog, const char *name)
{
    RemoteStat st;
    g_autoptr(GError) failure = NULL;
    g_autofree char *path = layout_vm(name, NULL);
    if (!layout_check_name("VM uuid", name, NULL) || !g_utf8_validate(name, -1, NULL))
        return false;
    return remote_stat(catalog->remote, path, &st, &failure) ? st.is_folder
                                                             : !err_is(failure, ERR_NOT_FOUND);
}

GPtrArray *catalog_vms(Catalog *catalog, GError **error)
{
    g_autoptr(GError) failure = NULL;
    g_autoptr(GPtrArray) vms = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) names = remote_list(catalog->remote, LAYOUT_VMS, &failure);
    if (!names && !err_is(failure, ERR_NOT_FOUND)) {
        g_propagate_error(error, g_steal_pointer(&failure));
        return NULL;
    }
    for (guint i = 0; names && i < names->len; i++)
        if (is_vm_folder(catalog, names->pdata[i]))
            g_ptr_array_add(vms, g_strdup(names->pdata[i]));
    return g_steal_pointer(&vms);
}

RemoteLock *catalog_lock(Catalog *catalog, const char *vm, unsigned wait_ms, GError **error)
{
    g_autofree char *folder = layout_vm(vm, NULL);
    if (!layout_check_name("VM uuid", vm, error) ||
        !remote_make_folder(catalog->remote, folder, error))
        return NULL;
    return remote_lock(catalog->remote, folder, wait_ms, error);
}

bool catalog_unlock_dead(Catalog *catalog, const char *vm, const RemoteLockId *id, GError **error)
{
    g_autofree char *folder = layout_vm(vm, NULL);
    return layout_check_name("VM uuid", vm, error) &&
           remote_unlock_dead(catalog->remote, folder, id, error);
}
