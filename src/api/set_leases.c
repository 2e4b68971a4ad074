/* A list of accounts, one for each VM that calls change now. */
#include "api/set_leases.h"

struct SetLeases {
    GMutex mutex;
    GPtrArray *all; /* SetLease */
};

struct SetLease {
    SetLeases *leases;
    char *set_id, *vm_id; /* the latter NULL: not made yet */
    SetDemand takes;
    unsigned n_calls;
};

void set_demand_add(SetDemand *sum, const SetDemand *more)
{
    sum->n_vms += more->n_vms;
    sum->n_disks += more->n_disks;
    sum->n_cpus += more->n_cpus;
    sum->memory_bytes += more->memory_bytes;
    sum->disk_bytes += more->disk_bytes;
}

static void lease_free(void *data)
{
    SetLease *lease = data;
    g_free(lease->set_id);
    g_free(lease->vm_id);
    g_free(lease);
}

SetLeases *set_leases_new(void)
{
    SetLeases *leases = g_new0(SetLeases, 1);
    g_mutex_init(&leases->mutex);
    leases->all = g_ptr_array_new_with_free_func(lease_free);
    return leases;
}

void set_leases_free(SetLeases *leases)
{
    if (!leases)
        return;
    g_ptr_array_unref(leases->all);
    g_mutex_clear(&leases->mutex);
    g_free(leases);
}

void set_leases_lock(SetLeases *leases)
{
    g_mutex_lock(&leases->mutex);
}

void set_leases_unlock(SetLeases *leases)
{
    g_mutex_unlock(&leases->mutex);
}

static SetLease *find(SetLeases *leases, const char *vm_id)
{
    for (unsigned i = 0; vm_id && i < leases->all->len; i++) {
        SetLease *lease = leases->all->pdata[i];
        if (g_strcmp0(lease->vm_id, vm_id) == 0)
            return lease;
    }
    return NULL;
}

bool set_leases_have(SetLeases *leases, const char *vm_id)
{
    return find(leases, vm_id) != NULL;
}

void set_leases_sum(SetLeases *leases, const char *set_id, SetDemand *sum)
{
    for (unsigned i = 0; i < leases->all->len; i++) {
        const SetLease *lease = leases->all->pdata[i];
        if (g_str_equal(lease->set_id, set_id))
            set_demand_add(sum, &lease->takes);
    }
}

SetLease *set_lease_take(SetLeases *leases, const char *set_id, const char *vm_id,
                         const SetDemand *now, const SetDemand *more)
{
    SetLease *lease = find(leases, vm_id);
    if (!lease) {
        lease = g_new0(SetLease, 1);
        *lease = (SetLease){ leases, g_strdup(set_id), g_strdup(vm_id), { 0 }, 0 };
        if (now)
            lease->takes = *now;
        g_ptr_array_add(leases->all, lease);
    }
    set_demand_add(&lease->takes, more);
    lease->n_calls++;
    return lease;
}

void set_lease_name(SetLease *lease, const char *vm_id)
{
    if (!lease)
        return;
    g_mutex_lock(&lease->leases->mutex);
    g_free(lease->vm_id);
    lease->vm_id = g_strdup(vm_id);
    g_mutex_unlock(&lease->leases->mutex);
}

void set_lease_end(SetLease *lease)
{
    if (!lease)
        return;
    SetLeases *leases = lease->leases;
    g_mutex_lock(&leases->mutex);
    if (--lease->n_calls == 0)
        g_ptr_array_remove_fast(leases->all, lease);
    g_mutex_unlock(&leases->mutex);
}
