/* One wanted disk after the other: destroyed, made or changed. */
#include "api/methods/vm_disks.h"
#include "api/methods/vm_devices.h"
#include "api/size.h"
#include "base/mutant.h"
#include "disk/fat.h"

#include <string.h>

/* A disk as a client wants it; borrowed from the parameters. */
typedef struct {
    const char *position; /* NULL: the next that is free */
    const char *sr;       /* XO's id; NULL: where it is */
    const char *name_label, *name_description;
    gint64 size_bytes; /* -1: as it is */
    bool destroy;
} Wanted;

static const char *text_in(json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static const char *storage_in(json_t *from)
{
    const char *sr = text_in(from, "SR");
    return sr ? sr : text_in(from, "$SR");
}

static bool read_wanted(json_t *from, const char *position, Wanted *wanted, GError **error)
{
    json_t *size = json_object_get(from, "size");
    *wanted = (Wanted){ .position = position,
                        .sr = storage_in(from),
                        .name_label = text_in(from, "name_label"),
                        .name_description = text_in(from, "name_description"),
                        .size_bytes = -1,
                        .destroy = json_is_true(json_object_get(from, "destroy")) };
    return !size || size_parse(size, "VDIs: size", &wanted->size_bytes, error);
}

/* Both lists in one, elements Wanted. */
static GArray *read_all(ApiCall *call, GError **error)
{
    g_autoptr(GArray) list = g_array_new(FALSE, FALSE, sizeof(Wanted));
    Wanted wanted;
    size_t i;
    const char *position;
    json_t *each;
    json_array_foreach (call_get(call, "VDIs"), i, each) {
        if (!read_wanted(each, text_in(each, "userdevice"), &wanted, error))
            return NULL;
        g_array_append_val(list, wanted);
    }
    json_object_foreach (call_get(call, "existingDisks"), position, each) {
        if (!read_wanted(each, position, &wanted, error))
            return NULL;
        g_array_append_val(list, wanted);
    }
    return g_steal_pointer(&list);
}

/* The device that stands at the wanted position, NULL when nothing does. */
static json_t *device_of(json_t *devices, const Wanted *wanted)
{
    json_t *device = wanted->position ? vbd_at(devices, wanted->position) : NULL;
    return device && g_strcmp0(text_in(device, "type"), "Disk") == 0 ? device : NULL;
}

/* Of a disk's record: XML-RPC's integers are texts. */
static gint64 size_of(json_t *record)
{
    json_t *size = json_object_get(record, "virtual_size");
    return json_is_string(size) ? g_ascii_strtoll(json_string_value(size), NULL, 10)
                                : json_integer_value(size);
}

/* --- The three things that are done --- */

/* Its device goes with it. */
static bool destroy(VmChange *vm, json_t *device, GError **error)
{
    return xapi_do(vm->xapi, "VDI.destroy", json_pack("[O]", json_object_get(device, "VDI")),
                   error);
}

static bool make(VmChange *vm, const Wanted *wanted, const char *birth_id, GError **error)
{
    const ApiObject *sr = wanted->sr ? call_find(vm->call, wanted->sr, "SR", NULL, error) : NULL;
    if (!sr || wanted->size_bytes < 0) {
        if (!error || !*error)
            api_error_invalid(error, "VDIs: a new disk needs an SR and a size");
        return false;
    }
    g_autofree char *name = g_strdup_printf("%s disk", call_string(vm->call, "name_label"));
    NewDisk disk = { .name_label = wanted->name_label ? wanted->name_label : name,
                     .name_description = wanted->name_description,
                     .sr = sr->ref,
                     .size_bytes = wanted->size_bytes,
                     .birth_id = birth_id };
    g_autofree char *vdi = disk_create(vm->xapi, &disk, error);
    NewVbd vbd = { .vm = vm->ref, .vdi = vdi, .position = wanted->position };
    if (vdi && vbd_create(vm->xapi, &vbd, error) && disk_settle(vm->xapi, vdi, error))
        return true;
    if (vdi)
        xapi_do(vm->xapi, "VDI.destroy", json_pack("[s]", vdi), NULL);
    return false;
}

/* A disk like that of `record`, which holds the same. One of a VM that is being made is there, and
 * marked, before it is filled. */
static char *copy_disk(VmChange *vm, json_t *record, const char *from, const NewDisk *like,
                       GError **error)
{
    if (!like->birth_id)
        return xapi_call_task(vm->xapi, "VDI.copy", json_pack("[s, s]", from, like->sr), NULL, NULL,
                              NULL, error);
    NewDisk disk = *like;
    disk.name_label = text_in(record, "name_label");
    disk.name_description = text_in(record, "name_description");
    disk.size_bytes = size_of(record);
    g_autofree char *vdi = disk_create(vm->xapi, &disk, error);
    g_autofree char *filled = vdi ? xapi_call_task(vm->xapi, "VDI.copy",
                                                   json_pack("[s, s, s, s]", from, "OpaqueRef:NULL",
                                                             "OpaqueRef:NULL", vdi),
                                                   NULL, NULL, NULL, error)
                                  : NULL;
    if (vdi && !filled)
        disk_drop(vm->xapi, vdi, NULL);
    return filled ? g_steal_pointer(&vdi) : NULL;
}

/* A halted VM's disk moves as a copy that takes its place. The reference of the disk afterwards.
 * While the VM is being made, either is marked as long as it is not attached. */
static char *move(VmChange *vm, json_t *device, json_t *record, const NewDisk *like, GError **error)
{
    const char *old = text_in(device, "VDI");
    g_autofree char *vdi = copy_disk(vm, record, old, like, error);
    NewVbd vbd = { .vm = vm->ref,
                   .vdi = vdi,
                   .position = text_in(device, "userdevice"),
                   .mode = text_in(device, "mode"),
                   .bootable = json_is_true(json_object_get(device, "bootable")) };
    if (!vdi)
        return NULL;
    if ((!like->birth_id || disk_mark(vm->xapi, old, like->birth_id, error)) &&
        xapi_do(vm->xapi, "VBD.destroy", json_pack("[O]", json_object_get(device, "ref")), error) &&
        vbd_create(vm->xapi, &vbd, error) &&
        (!like->birth_id || disk_settle(vm->xapi, vdi, error))) {
        xapi_do(vm->xapi, "VDI.destroy", json_pack("[s]", old), NULL);
        return g_steal_pointer(&vdi);
    }
    xapi_do(vm->xapi, "VDI.destroy", json_pack("[s]", vdi), NULL);
    return NULL;
}

static bool grow(VmChange *vm, const char *vdi, json_t *record, gint64 size_bytes, GError **error)
{
    gint64 old = size_of(record);
    if (size_bytes < 0 || size_bytes == old)
        return true;
    if (size_bytes < old) {
        api_error_invalid(error,
                          "cannot set new size (%" G_GINT64_FORMAT
                          ") below the current size (%" G_GINT64_FORMAT ")",
                          size_bytes, old);
        return false;
    }
    return xapi_do(vm->xapi, "VDI.resize", json_pack("[s, I]", vdi, (json_int_t) size_bytes),
                   error);
}

static bool set_text(VmChange *vm, const char *vdi, const char *field, const char *text,
                     GError **error)
{
    g_autofree char *method = g_strdup_printf("VDI.set_%s", field);
    return !text || xapi_do(vm->xapi, method, json_pack("[s, s]", vdi, text), error);
}

static bool change(VmChange *vm, json_t *device, const Wanted *wanted, const char *birth_id,
                   GError **error)
{
    const ApiObject *sr = wanted->sr ? call_find(vm->call, wanted->sr, "SR", NULL, error) : NULL;
    g_autofree char *vdi = g_strdup(text_in(device, "VDI"));
    if (wanted->sr && !sr)
        return false;
    json_t *record = xapi_call(vm->xapi, "VDI.get_record", json_pack("[s]", vdi), error);
    bool ok = record != NULL;
    if (ok && sr && g_strcmp0(sr->ref, text_in(record, "SR")) != 0) {
        NewDisk like = { .sr = sr->ref, .birth_id = birth_id };
        g_autofree char *moved = move(vm, device, record, &like, error);
        ok = moved != NULL;
        g_free(vdi);
        vdi = g_steal_pointer(&moved);
    }
    ok = ok && grow(vm, vdi, record, wanted->size_bytes, error) &&
         set_text(vm, vdi, "name_label", wanted->name_label, error) &&
         set_text(vm, vdi, "name_description", wanted->name_description, error);
    json_decref(record);
    return ok;
}

/* --- The order --- */

typedef enum { DESTROY, MAKE, CHANGE } Step;

static Step step_of(json_t *device, const Wanted *wanted)
{
    return wanted->destroy ? DESTROY : device ? CHANGE : MAKE;
}

static bool do_step(VmChange *vm, json_t *devices, GArray *all, Step step, const char *birth_id,
                    GError **error)
{
    for (guint i = 0; i < all->len; i++) {
        const Wanted *wanted = &g_array_index(all, Wanted, i);
        json_t *device = device_of(devices, wanted);
        if (step_of(device, wanted) != step || (step == DESTROY && !device))
            continue;
        if (!(step == DESTROY ? destroy(vm, device, error)
              : step == MAKE  ? make(vm, wanted, birth_id, error)
                              : change(vm, device, wanted, birth_id, error)))
            return false;
    }
    return true;
}

bool vm_disks_make(VmChange *vm, const char *birth_id, GError **error)
{
    g_autoptr(GArray) all = read_all(vm->call, error);
    json_t *devices = all ? vm_block_devices(vm->xapi, vm->ref, error) : NULL;
    bool ok = devices && do_step(vm, devices, all, DESTROY, birth_id, error) &&
              do_step(vm, devices, all, MAKE, birth_id, error) &&
              do_step(vm, devices, all, CHANGE, birth_id, error);
    json_decref(devices);
    return ok;
}

/* --- What they take of a resource set --- */

void vm_disks_storages(ApiCall *call, GPtrArray *ids)
{
    json_t *each;
    size_t i;
    const char *position;
    json_array_foreach (call_get(call, "VDIs"), i, each)
        if (storage_in(each))
            g_ptr_array_add(ids, (void *) storage_in(each));
    json_object_foreach (call_get(call, "existingDisks"), position, each)
        if (storage_in(each))
            g_ptr_array_add(ids, (void *) storage_in(each));
}

/* The template's disks, by position, with their sizes as JSON integers. */
static json_t *template_disks(const ApiObject *template)
{
    json_t *sizes = json_object(), *id;
    size_t i;
    json_array_foreach (json_object_get(template->view, "$VBDs"), i, id) {
        const char *vbd_id = json_string_value(id);
        json_t *vbd = vbd_id ? inventory_object(template->inventory, vbd_id) : NULL;
        const char *vdi_id = text_in(vbd, "VDI");
        bool disk = vdi_id && !json_is_true(json_object_get(vbd, "is_cd_drive"));
        json_t *vdi = disk ? inventory_object(template->inventory, vdi_id) : NULL;
        if (vdi)
            json_object_set(sizes, text_in(vbd, "position"), json_object_get(vdi, "size"));
        json_decref(vdi);
        json_decref(vbd);
    }
    return sizes;
}

/* Of cloud-init's drive. */
static gint64 drive_bytes(ApiCall *call, const ApiObject *template)
{
    json_t *wanted = vm_param(call_params(call), "viridian");
    bool viridian = json_is_true(wanted ? wanted : json_object_get(template->view, "viridian"));
    return viridian ? FAT_DISK_BYTES : FAT_IMAGE_BYTES;
}

bool vm_disks_demand(ApiCall *call, const ApiObject *template, SetDemand *demand, GError **error)
{
    g_autoptr(GArray) all = read_all(call, error);
    json_t *sizes = template_disks(template), *size;
    const char *position;
    for (guint i = 0; all && i < all->len; i++) {
        const Wanted *wanted = &g_array_index(all, Wanted, i);
        bool known = wanted->position && json_object_get(sizes, wanted->position);
        if (wanted->destroy && known)
            json_object_del(sizes, wanted->position);
        else if (!wanted->destroy && known && wanted->size_bytes >= 0)
            json_object_set_new(sizes, wanted->position, json_integer(wanted->size_bytes));
        else if (!wanted->destroy && !known)
            demand->n_disks++, demand->disk_bytes += MAX(wanted->size_bytes, 0);
    }
    if (call_string(call, "cloudConfig"))
        demand->n_disks++, demand->disk_bytes += drive_bytes(call, template);
    json_object_foreach (sizes, position, size) {
        demand->n_disks++;
        demand->disk_bytes += json_integer_value(size);
    }
    json_decref(sizes);
    return all != NULL;
}

bool vm_resources_demand(const ApiObject *template, json_t *params, SetDemand *demand,
                         GError **error)
{
    json_t *cpus = vm_param(params, "CPUs");
    json_t *now = json_object_get(json_object_get(template->view, "CPUs"), "number");
    static const char *const names[] = { "memoryMax", "memory" };
    demand->n_vms = 1;
    demand->n_cpus = (gint64) json_number_value(cpus ? cpus : now);
    demand->memory_bytes = json_integer_value(
        json_array_get(json_object_get(json_object_get(template->view, "memory"), "dynamic"), 1));
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        json_t *value = vm_param(params, names[i]);
        if (value)
            return size_parse(value, names[i], &demand->memory_bytes, error);
    }
    return true;
}
