/* Whether a disk is in use, and which operations its record advertises. */
#include "sim/storage_disk.h"

#include <string.h>

bool storage_is_attached(const Obj *vdi, bool rw)
{
    for (guint i = 0; i < obj_set_size(vdi, "VBDs"); i++) {
        const Obj *vbd = obj_follow_nth(vdi, "VBDs", i);
        if (vbd && obj_bool(vbd, "currently_attached") &&
            (!rw || strcmp(obj_str(vbd, "mode"), "RW") == 0))
            return true;
    }
    return false;
}

/* When an operation is advertised: by who may have the disk attached, and by the kind of disk. */
typedef enum { ANY_DISK, NOT_SNAPSHOT, CBT_ON, CBT_OFF, CBT_SNAPSHOT } Kind;
static const struct {
    const char *op;
    bool while_attached;
    Kind kind;
} ops[] = {
    { "snapshot", true, ANY_DISK },
    { "clone", true, ANY_DISK },
    { "copy", false, ANY_DISK },
    { "resize", false, NOT_SNAPSHOT },
    { "destroy", false, ANY_DISK },
    { "forget", false, ANY_DISK },
    { "update", false, ANY_DISK },
    { "generate_config", false, ANY_DISK },
    { "set_on_boot", false, CBT_OFF },
    { "enable_cbt", true, NOT_SNAPSHOT },
    { "disable_cbt", true, NOT_SNAPSHOT },
    { "data_destroy", true, CBT_SNAPSHOT },
    { "list_changed_blocks", true, CBT_ON },
};

static bool fits(const Obj *vdi, Kind kind)
{
    bool snapshot = obj_bool(vdi, "is_a_snapshot"), cbt = obj_bool(vdi, "cbt_enabled");
    switch (kind) {
    case NOT_SNAPSHOT:
        return !snapshot;
    case CBT_ON:
        return cbt;
    case CBT_OFF:
        return !cbt;
    case CBT_SNAPSHOT:
        return cbt && snapshot;
    default:
        return true;
    }
}

static bool is_allowed(const Obj *vdi, guint op, bool attached)
{
    if (!obj_bool(vdi, "managed"))
        return false;
    if (strcmp(obj_str(vdi, "type"), "cbt_metadata") == 0)
        return strcmp(ops[op].op, "destroy") == 0 || strcmp(ops[op].op, "forget") == 0 ||
               strcmp(ops[op].op, "list_changed_blocks") == 0;
    return (!attached || ops[op].while_attached) && fits(vdi, ops[op].kind);
}

void storage_vdi_refresh(Obj *vdi)
{
    bool attached = storage_is_attached(vdi, false);
    for (guint i = 0; i < G_N_ELEMENTS(ops); i++) {
        bool present = obj_set_has(vdi, "allowed_operations", ops[i].op);
        bool wanted = is_allowed(vdi, i, attached);
        if (wanted && !present)
            obj_set_add(vdi, "allowed_operations", ops[i].op);
        else if (!wanted && present)
            obj_set_remove(vdi, "allowed_operations", ops[i].op);
    }
}
