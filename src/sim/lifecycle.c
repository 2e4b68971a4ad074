/* The rules of vm_rules.def applied: blocked, power state, other operations, kind of VM, agent; the
 * first that fails is the answer. */
#include "sim/lifecycle.h"

#include "base/mutant.h"
#include "sim/inner.h"

#include <string.h>

enum {
    LISTED = 1,
    ON_TEMPLATE = 2,
    ON_SNAPSHOT = 4,
    NOT_DEFAULT = 8,
    ON_DOM0 = 16,
    NEEDS_AGENT = 32,
};

typedef struct {
    const char *op, *states;
    guint flags;
} Rule;

static const Rule rules[] = {
#define RULE(op_, states_, flags_) { #op_, states_, flags_ },
#include "sim/vm_rules.def"
#undef RULE
};

/* Operations that may run at the same time as another one of the VM. */
static const struct {
    const char *op, *over; /* "*": over anything but itself */
} overlaps[] = {
    { "clone", "clone copy export" },
    { "copy", "clone copy export" },
    { "export", "clone copy export" },
    { "snapshot", "snapshot checkpoint" },
    { "checkpoint", "snapshot checkpoint" },
    { "hard_shutdown", "*" },
    { "hard_reboot", "*" },
    { "clean_shutdown", "migrate_send" },
    { "clean_reboot", "migrate_send" },
};

static const Rule *rule_find(const char *op)
{
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++)
        if (strcmp(rules[i].op, op) == 0)
            return &rules[i];
    g_error("no rule for the operation %s", op);
}

static bool may_overlap(const char *op, const char *running)
{
    for (guint i = 0; i < G_N_ELEMENTS(overlaps); i++)
        if (strcmp(overlaps[i].op, op) == 0)
            return *overlaps[i].over == '*' ? strcmp(op, running) != 0
                                            : enum_has(overlaps[i].over, running);
    return false;
}

/* --- The checks, in order --- */

static bool check_blocked(Obj *vm, const Rule *rule, GError **error)
{
    const char *reason = obj_map_get(vm, "blocked_operations", rule->op);
    if (reason == NULL || MUTANT(sim_ignore_blocked)) /* mutant: sim_api */
        return true;
    sim_error(error, "OPERATION_BLOCKED", obj_ref(vm), reason, NULL);
    return false;
}

static bool check_state(Obj *vm, const Rule *rule, GError **error)
{
    static const char *const names = "HPSR";
    static const char *const words[] = { "halted", "paused", "suspended", "running" };
    const char *state = obj_str(vm, "power_state");
    if (strchr(rule->states, *state) != NULL)
        return true;
    if (strcmp(rule->op, "clone") == 0 || strcmp(rule->op, "copy") == 0)
        if (*state == 'S' && obj_bool(vm, "is_a_snapshot"))
            return true;
    g_autoptr(GString) expected = g_string_new(NULL);
    for (const char *at = rule->states; *at != '\0'; at++)
        g_string_append_printf(expected, "%s%s", at == rule->states ? "" : ", ",
                               words[strchr(names, *at) - names]);
    g_autofree char *actual = g_ascii_strdown(state, -1);
    sim_error(error, "VM_BAD_POWER_STATE", obj_ref(vm), expected->str, actual, NULL);
    return false;
}

static bool check_others(Obj *vm, const Rule *rule, GError **error)
{
    const char *task, *running;
    for (guint i = 0; i < obj_map_size(vm, "current_operations"); i++) {
        obj_map_nth(vm, "current_operations", i, &task, &running);
        if (may_overlap(rule->op, running))
            continue;
        sim_error(error, "OTHER_OPERATION_IN_PROGRESS", "VM", obj_ref(vm), running, task, NULL);
        return false;
    }
    return true;
}

static bool check_kind(Obj *vm, const Rule *rule, GError **error)
{
    bool snapshot = obj_bool(vm, "is_a_snapshot");
    bool built_in = obj_bool(vm, "is_default_template");
    bool any = strlen(rule->states) == 4 && !(rule->flags & LISTED);
    if (any)
        return true;
    if (obj_bool(vm, "is_a_template") && !snapshot &&
        (!(rule->flags & ON_TEMPLATE) || (built_in && rule->flags & NOT_DEFAULT))) {
        if (built_in && strcmp(rule->op, "destroy") == 0)
            sim_error(error, "VM_CANNOT_DELETE_DEFAULT_TEMPLATE", obj_ref(vm), NULL);
        else
            sim_error(error, "VM_IS_TEMPLATE", obj_ref(vm), rule->op, NULL);
    } else if (snapshot && !(rule->flags & ON_SNAPSHOT)) {
        sim_error(error, "VM_IS_SNAPSHOT", obj_ref(vm), rule->op, NULL);
    } else if (strcmp(rule->op, "provision") == 0 && !obj_bool(vm, "is_a_template")) {
        sim_error(error, "PROVISION_ONLY_ALLOWED_ON_TEMPLATE", NULL);
    } else if (strcmp(rule->op, "revert") == 0 && !snapshot) {
        sim_error(error, "REVERT_ONLY_ALLOWED_ON_SNAPSHOT", NULL);
    } else if (obj_bool(vm, "is_control_domain") && !(rule->flags & ON_DOM0)) {
        sim_error(error, "OPERATION_NOT_ALLOWED", "This operation is not allowed on dom0", NULL);
    } else {
        return true;
    }
    return false;
}

static bool check_agent(Obj *vm, const Rule *rule, GError **error)
{
    Obj *guest = obj_follow(vm, "guest_metrics");
    if (!(rule->flags & NEEDS_AGENT) || (guest != NULL && obj_bool(guest, "PV_drivers_detected")))
        return true;
    sim_error(error, "VM_LACKS_FEATURE", obj_ref(vm), NULL);
    return false;
}

bool vm_may(Obj *vm, const char *op, GError **error)
{
    const Rule *rule = rule_find(op);
    return check_blocked(vm, rule, error) && check_state(vm, rule, error) &&
           check_others(vm, rule, error) && check_kind(vm, rule, error) &&
           check_agent(vm, rule, error);
}

bool vm_is_halted(const Obj *vm, GError **error)
{
    const char *state = obj_str(vm, "power_state");
    if (strcmp(state, "Halted") == 0)
        return true;
    g_autofree char *actual = g_ascii_strdown(state, -1);
    sim_error(error, "VM_BAD_POWER_STATE", obj_ref(vm), "halted", actual, NULL);
    return false;
}

void vm_refresh(Obj *vm)
{
    const char *allowed[G_N_ELEMENTS(rules)];
    guint n = 0;
    for (guint i = 0; i < G_N_ELEMENTS(rules); i++)
        if (rules[i].flags & LISTED && vm_may(vm, rules[i].op, NULL))
            allowed[n++] = rules[i].op;
    obj_set_assign(vm, "allowed_operations", allowed, n);
}

Obj *vm_op_begin(Call *call, const char *op, GError **error)
{
    Sim *sim = call_sim(call);
    Obj *vm = call_obj(call, 0, "VM", error);
    if (vm == NULL || !vm_may(vm, op, error))
        return NULL;
    obj_map_put(vm, "current_operations", call_task(call), op);
    vm_refresh(vm);
    if (sim_options(sim)->op_delay_ms > 0)
        sim_sleep(sim, sim_options(sim)->op_delay_ms);
    vm = call_alive(call, error) ? call_obj(call, 0, "VM", error) : NULL;
    if (vm == NULL)
        vm_op_end(call, call_str(call, 0));
    return vm;
}

void vm_op_end(Call *call, const char *ref)
{
    Obj *vm = obj_find(call_sim(call), "VM", ref);
    if (vm == NULL)
        return;
    obj_map_remove(vm, "current_operations", call_task(call));
    vm_refresh(vm);
}
