/* Processors and memory of a VM: limits that depend on each other, changed together. */
#include "api/methods/vm_settings.h"
#include "api/size.h"
#include "base/mutant.h"

#include <string.h>

static bool is_running(const VmChange *change)
{
    return g_str_equal(vm_change_text(change, "power_state"), "Running");
}

/* --- Processors --- */

/* Text or number, as cpusMax may be. */
static bool count_of(json_t *value, const char *name, gint64 *n, GError **error)
{
    const char *text = json_string_value(value);
    *n = text ? g_ascii_strtoll(text, NULL, 10) : (gint64) json_number_value(value);
    if (*n >= 1 && *n <= G_MAXINT32)
        return true;
    api_error_invalid(error, "%s: expected a number from 1", name);
    return false;
}

static bool set_max(VmChange *change, gint64 max, GError **error)
{
    return max == vm_change_int(change, "VCPUs_max") ||
           vm_change_do(change, "set_VCPUs_max", json_pack("[I]", (json_int_t) max), error);
}

/* Of a running VM the present ones; what it starts with follows once it is halted. */
static bool set_number(VmChange *change, gint64 n, GError **error)
{
    if (is_running(change))
        return vm_change_do(change, "set_VCPUs_number_live", json_pack("[I]", (json_int_t) n),
                            error);
    return vm_change_do(change, "set_VCPUs_at_startup", json_pack("[I]", (json_int_t) n), error);
}

/* Fewer at most than at start is made fewer at start first. */
static bool cpus_apply(VmChange *change, json_t *params, GError **error)
{
    json_t *number = vm_param(params, "CPUs"), *most = vm_param(params, "cpusMax");
    gint64 max = vm_change_int(change, "VCPUs_max"), n = vm_change_int(change, "VCPUs_at_startup");
    gint64 old_max = max, old_n = n;
    if ((most && !count_of(most, "cpusMax", &max, error)) ||
        (number && !count_of(number, "CPUs", &n, error)))
        return false;
    if (number && n > max)
        max = n;
    if (n > max)
        n = max;
    if (max >= old_n && !set_max(change, max, error))
        return false;
    if (n != old_n && !set_number(change, n, error))
        return false;
    return max >= old_n || max == old_max || set_max(change, max, error);
}

/* --- Memory --- */

typedef struct {
    gint64 static_min, dynamic_min, dynamic_max, static_max;
} Memory;

/* Up to which of the limits each parameter goes. */
static bool given(json_t *params, const char *name, gint64 *bytes, GError **error)
{
    json_t *value = vm_param(params, name);
    *bytes = -1;
    return !value || size_parse(value, name, bytes, error);
}

static void set_static_max(Memory *m, gint64 bytes)
{
    m->static_max = bytes;
    m->dynamic_max = MIN(m->dynamic_max, bytes);
    m->dynamic_min = MIN(m->dynamic_min, bytes);
}

static void set_dynamic_max(Memory *m, gint64 bytes)
{
    m->dynamic_max = bytes;
    m->dynamic_min = MIN(m->dynamic_min, bytes);
    m->static_max = MAX(m->static_max, bytes);
}

static void set_dynamic_min(Memory *m, gint64 bytes)
{
    m->dynamic_min = bytes;
    m->dynamic_max = MAX(m->dynamic_max, bytes);
    m->static_max = MAX(m->static_max, bytes);
}

/* A VM whose memory does not vary has one size; of another it is the most it may have. */
static void set_size(Memory *m, gint64 bytes)
{
    bool varies = m->dynamic_min != m->dynamic_max;
    if (varies)
        set_dynamic_max(m, bytes);
    else
        m->dynamic_min = m->dynamic_max = m->static_max = bytes;
}

static bool read_changes(Memory *m, json_t *params, GError **error)
{
    gint64 static_max, max, size, min;
    if (!given(params, "memoryStaticMax", &static_max, error) ||
        !given(params, "memoryMax", &max, error) || !given(params, "memory", &size, error) ||
        !given(params, "memoryMin", &min, error))
        return false;
    if (static_max >= 0)
        set_static_max(m, static_max);
    if (size >= 0)
        set_size(m, size);
    if (max >= 0)
        set_dynamic_max(m, max);
    if (min >= 0)
        set_dynamic_min(m, min);
    m->static_min = MIN(m->static_min, m->dynamic_min);
    return true;
}

static bool memory_apply(VmChange *change, json_t *params, GError **error)
{
    Memory old = { vm_change_int(change, "memory_static_min"),
                   vm_change_int(change, "memory_dynamic_min"),
                   vm_change_int(change, "memory_dynamic_max"),
                   vm_change_int(change, "memory_static_max") };
    Memory m = old;
    if (!read_changes(&m, params, error))
        return false;
    if (memcmp(&m, &old, sizeof m) == 0)
        return true;
    bool dynamic_only = m.static_max == old.static_max && m.static_min == old.static_min;
    if (dynamic_only)
        return vm_change_do(
            change, "set_memory_dynamic_range",
            json_pack("[I, I]", (json_int_t) m.dynamic_min, (json_int_t) m.dynamic_max), error);
    if (is_running(change) &&
        !MUTANT(vm_memory_of_running)) { /* mutant: system:test_machines.Machines.test_memory */
        api_error_invalid(error, "Cannot change memory on running VM");
        return false;
    }
    return vm_change_do(change, "set_memory_limits",
                        json_pack("[I, I, I, I]", (json_int_t) m.static_min,
                                  (json_int_t) m.static_max, (json_int_t) m.dynamic_min,
                                  (json_int_t) m.dynamic_max),
                        error);
}

bool vm_resources_apply(VmChange *change, json_t *params, GError **error)
{
    return cpus_apply(change, params, error) && memory_apply(change, params, error);
}
