/* A list of accounts, one for each machine whose interfaces calls change now. */
#include "api/address_leases.h"

struct AddressLeases {
    GMutex mutex;
    GPtrArray *all; /* AddressLease */
};

struct AddressLease {
    AddressLeases *leases;
    char *set_id, *vm_id;
    json_t *takes; /* {pool id: how many} */
    unsigned n_calls;
};

static void lease_free(void *data)
{
    AddressLease *lease = data;
    g_free(lease->set_id);
    g_free(lease->vm_id);
    json_decref(lease->takes);
    g_free(lease);
}

AddressLeases *address_leases_new(void)
{
    AddressLeases *leases = g_new0(AddressLeases, 1);
    g_mutex_init(&leases->mutex);
    leases->all = g_ptr_array_new_with_free_func(lease_free);
    return leases;
}

void address_leases_free(AddressLeases *leases)
{
    if (!leases)
        return;
    g_ptr_array_unref(leases->all);
    g_mutex_clear(&leases->mutex);
    g_free(leases);
}

void address_leases_lock(AddressLeases *leases)
{
    g_mutex_lock(&leases->mutex);
}

void address_leases_unlock(AddressLeases *leases)
{
    g_mutex_unlock(&leases->mutex);
}

static AddressLease *find(AddressLeases *leases, const char *vm_id)
{
    for (unsigned i = 0; vm_id && i < leases->all->len; i++) {
        AddressLease *lease = leases->all->pdata[i];
        if (g_str_equal(lease->vm_id, vm_id))
            return lease;
    }
    return NULL;
}

bool address_leases_have(AddressLeases *leases, const char *vm_id)
{
    return find(leases, vm_id) != NULL;
}

json_int_t address_leases_sum(AddressLeases *leases, const char *set_id, const char *pool_id)
{
    json_int_t n = 0;
    for (unsigned i = 0; i < leases->all->len; i++) {
        const AddressLease *lease = leases->all->pdata[i];
        if (g_str_equal(lease->set_id, set_id))
            n += json_integer_value(json_object_get(lease->takes, pool_id));
    }
    return n;
}

static void add(json_t *sum, json_t *more)
{
    const char *pool;
    json_t *n;
    json_object_foreach (more, pool, n)
        json_object_set_new(
            sum, pool,
            json_integer(json_integer_value(json_object_get(sum, pool)) + json_integer_value(n)));
}

AddressLease *address_lease_take(AddressLeases *leases, const char *set_id, const char *vm_id,
                                 json_t *now, json_t *more)
{
    AddressLease *lease = find(leases, vm_id);
    if (!lease) {
        lease = g_new0(AddressLease, 1);
        *lease =
            (AddressLease){ leases, g_strdup(set_id), g_strdup(vm_id), json_deep_copy(now), 0 };
        g_ptr_array_add(leases->all, lease);
    }
    add(lease->takes, more);
    lease->n_calls++;
    return lease;
}

void address_lease_end(AddressLease *lease)
{
    if (!lease)
        return;
    AddressLeases *leases = lease->leases;
    g_mutex_lock(&leases->mutex);
    if (--lease->n_calls == 0)
        g_ptr_array_remove_fast(leases->all, lease);
    g_mutex_unlock(&leases->mutex);
}
