/* The description comes first in the archive, or from the client; then the machine is made, under a
 * name of its own and with a word on why it does not start, and each disk as it arrives. */
#include "api/machine_in.h"
#include "api/disk_flow.h"
#include "api/methods/vm_birth.h"
#include "api/methods/vm_devices.h"
#include "base/error.h"
#include "base/mutant.h"
#include "disk/tar.h"

#include <string.h>

#define DEFAULT_MEMORY_BYTES (G_GINT64_CONSTANT(1) << 30)

typedef struct {
    const MachineIn *in;
    TarIn *tar;
    Ovf *own;       /* of the archive */
    const Ovf *ovf; /* what counts */
    VmBirth birth;
    char *vm;
    guint n_disks; /* filled */
} Making;

/* --- The description --- */

static char *read_text(TarIn *tar, guint64 n_bytes, GError **error)
{
    if (n_bytes > OVF_MAX_BYTES) {
        err_set(error, ERR_LIMIT, "the OVF has more than %d bytes", OVF_MAX_BYTES);
        return NULL;
    }
    g_autofree char *text = g_malloc(n_bytes + 1);
    guint64 done = 0;
    while (done < n_bytes) {
        gssize n = tar_in_read(text + done, (gsize) (n_bytes - done), tar, error);
        if (n <= 0)
            return NULL;
        done += (guint64) n;
    }
    text[done] = 0;
    return g_steal_pointer(&text);
}

static bool read_description(Making *making, guint64 n_bytes, GError **error)
{
    g_autofree char *text = read_text(making->tar, n_bytes, error);
    making->own = text ? ovf_parse(text, (gsize) n_bytes, error) : NULL;
    making->ovf = making->own;
    return making->own != NULL;
}

/* --- The machine --- */

static json_t *platform(const Ovf *ovf)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "acpi", "1", "apic", "true", "nx",
                     "true", "pae", "true", "viridian", "true", "device_id", "0002", "device-model",
                     ovf->efi ? "qemu-upstream-uefi" : "qemu-upstream-compat");
}

static json_t *record_of(const Making *making)
{
    const Ovf *ovf = making->ovf;
    json_int_t memory = ovf->memory_bytes ? (json_int_t) ovf->memory_bytes : DEFAULT_MEMORY_BYTES;
    json_int_t n_cpus = ovf->n_cpus ? ovf->n_cpus : 1;
    json_t *boot = json_pack("{s:s, s:s}", "order", "cdn", "firmware", ovf->efi ? "uefi" : "bios");
    json_t *record = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "name_label", making->birth.name,
        "name_description", ovf->description, "memory_static_min", memory, "memory_dynamic_min",
        memory, "memory_dynamic_max", memory, "memory_static_max", memory, "VCPUs_max", n_cpus,
        "VCPUs_at_startup", n_cpus, "HVM_boot_params", boot, "platform", platform(ovf));
    json_t *rest = json_pack(
        "{s:I, s:b, s:s, s:{}, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:{}, s:s}",
        "user_version", (json_int_t) 1, "is_a_template", 0, "affinity", "OpaqueRef:NULL",
        "VCPUs_params", "actions_after_shutdown", "destroy", "actions_after_reboot", "restart",
        "actions_after_crash", "restart", "PV_bootloader", "", "PV_kernel", "", "PV_ramdisk", "",
        "PV_args", "", "PV_bootloader_args", "", "PV_legacy_args", "", "HVM_boot_policy",
        "BIOS order", "PCI_bus", "", "other_config", "recommendations", "");
    json_object_update(record, rest);
    json_decref(rest);
    return record;
}

static bool block(const Making *making, bool on, GError **error)
{
    static const char *const operations[] = { "start", "start_on" };
    for (guint i = 0; i < G_N_ELEMENTS(operations); i++) {
        json_t *params =
            on ? json_pack("[s, s, s]", making->vm, operations[i], "OVA import in progress...")
               : json_pack("[s, s]", making->vm, operations[i]);
        if (!xapi_do(making->in->xapi,
                     on ? "VM.add_to_blocked_operations" : "VM.remove_from_blocked_operations",
                     params, error))
            return false;
    }
    return true;
}

/* By its own word, by name, or the one for all others; to be freed. */
static char *network_of(const Making *making, guint i, GError **error)
{
    const MachineIn *in = making->in;
    if (in->networks)
        return g_strdup(i < in->networks->len ? in->networks->pdata[i] : in->network);
    json_t *named = xapi_call(in->xapi, "network.get_by_name_label",
                              json_pack("[s]", ovf_nic(making->ovf, i)->network), error);
    const char *first = json_string_value(json_array_get(named, 0));
    char *ref = named ? g_strdup(first ? first : in->network) : NULL;
    json_decref(named);
    return ref;
}

static bool make_nic(const Making *making, guint i, const char *device, GError **error)
{
    g_autofree char *network = network_of(making, i, error);
    if (!network)
        return false;
    json_t *record = json_pack("{s:s, s:s, s:s, s:s, s:i, s:{}, s:s, s:{}}", "device", device,
                               "network", network, "VM", making->vm, "MAC", "", "MTU", 1500,
                               "other_config", "qos_algorithm_type", "", "qos_algorithm_params");
    return xapi_do(making->in->xapi, "VIF.create", json_pack("[o]", record), error);
}

static bool make_nics(const Making *making, GError **error)
{
    const MachineIn *in = making->in;
    guint n = in->networks ? in->networks->len : making->ovf->nics->len;
    json_t *devices =
        xapi_call(in->xapi, "VM.get_allowed_VIF_devices", json_pack("[s]", making->vm), error);
    bool ok = devices != NULL;
    for (guint i = 0; ok && i < n && i < json_array_size(devices); i++)
        ok = make_nic(making, i, json_string_value(json_array_get(devices, i)), error);
    json_decref(devices);
    return ok;
}

static bool make_machine(Making *making, GError **error)
{
    const MachineIn *in = making->in;
    if (!vm_birth_begin(&making->birth, in->duties, in->pool, making->ovf->name, error))
        return false;
    making->vm =
        xapi_call_string(in->xapi, "VM.create", json_pack("[o]", record_of(making)), error);
    return making->vm && block(making, true, error) && make_nics(making, error);
}

/* --- Disks --- */

static const OvfDisk *disk_of(const Making *making, const char *path)
{
    for (guint i = 0; i < making->ovf->disks->len; i++)
        if (g_str_equal(ovf_disk(making->ovf, i)->path, path))
            return ovf_disk(making->ovf, i);
    return NULL;
}

/* Positions 0, 1, 2, then 4: the drive is the fourth. */
static char *position_of(const OvfDisk *disk)
{
    return g_strdup_printf("%u", disk->position < 3 ? disk->position : disk->position + 1);
}

static bool take_disk(Making *making, const OvfDisk *disk, guint64 n_bytes, GError **error)
{
    const MachineIn *in = making->in;
    bool vhd = g_str_has_suffix(disk->path, ".vhd");
    DiskIn how = { vhd ? "vhd" : "vmdk", tar_in_read, making->tar, (gint64) n_bytes, NULL };
    if (disk->gzip) {
        err_set(error, ERR_UNSUPPORTED,
                "disk %s is in gzip inside the archive: export it anew without compression",
                disk->path);
        return false;
    }
    g_autofree char *fallback = g_strdup_printf("%s disk", making->ovf->name);
    g_autofree char *vdi =
        disk_take(in->xapi, in->sr, *disk->name ? disk->name : fallback, "", &how, error);
    g_autofree char *position = position_of(disk);
    NewVbd vbd = {
        .vm = making->vm, .vdi = vdi, .position = position, .bootable = disk->position == 0
    };
    if (vdi && vbd_create(in->xapi, &vbd, error)) {
        making->n_disks++;
        return true;
    }
    if (vdi)
        disk_drop(in->xapi, vdi, NULL);
    return false;
}

/* Disks that have no file are empty. */
static bool make_empty_disks(Making *making, GError **error)
{
    for (guint i = 0; i < making->ovf->disks->len; i++) {
        const OvfDisk *disk = ovf_disk(making->ovf, i);
        NewDisk empty = { .name_label = *disk->name ? disk->name : "disk",
                          .sr = making->in->sr,
                          .size_bytes = (gint64) disk->capacity_bytes };
        if (*disk->path)
            continue;
        g_autofree char *vdi = disk_create(making->in->xapi, &empty, error);
        g_autofree char *position = position_of(disk);
        NewVbd vbd = { .vm = making->vm, .vdi = vdi, .position = position };
        if (!vdi || !vbd_create(making->in->xapi, &vbd, error))
            return false;
        making->n_disks++;
    }
    return true;
}

/* --- The whole --- */

static bool take_entry(Making *making, const char *name, guint64 n_bytes, GError **error)
{
    bool described = making->ovf != NULL;
    if (!described && g_str_has_suffix(name, ".ovf"))
        return read_description(making, n_bytes, error) && make_machine(making, error);
    if (!described) {
        err_set(error, ERR_CORRUPT,
                "the archive does not begin with an OVF but with %s: it is no OVA, or say in "
                "`data` what is in it",
                name);
        return false;
    }
    const OvfDisk *disk = disk_of(making, name);
    return !disk || take_disk(making, disk, n_bytes, error);
}

static bool take_all(Making *making, GError **error)
{
    const char *name = NULL;
    guint64 n_bytes;
    do {
        if (!tar_in_next(making->tar, &name, &n_bytes, error) ||
            (name && !take_entry(making, name, n_bytes, error)))
            return false;
    } while (name);
    if (!making->ovf) {
        err_set(error, ERR_CORRUPT, "the archive is empty: it is no OVA");
        return false;
    }
    if (!make_empty_disks(making, error))
        return false;
    if (making->n_disks == making->ovf->disks->len)
        return true;
    err_set(error, ERR_TRUNCATED, "the archive holds %u of the %u disks of the machine",
            making->n_disks, making->ovf->disks->len);
    return false;
}

static bool finish(const Making *making, GError **error)
{
    const char *name = *making->ovf->name ? making->ovf->name : "imported";
    bool open = MUTANT(ova_stays_blocked) || /* mutant: system:test_disk_files.Files.test_ova */
                block(making, false, error);
    return open && xapi_do(making->in->xapi, "VM.set_name_label",
                           json_pack("[s, s]", making->vm, name), error);
}

char *machine_take_ova(const MachineIn *in, GError **error)
{
    Making making = { .in = in, .ovf = in->ovf, .tar = tar_in_new(in->source, in->user) };
    bool ok = (!in->ovf || make_machine(&making, error)) && take_all(&making, error) &&
              finish(&making, error);
    if (ok)
        vm_birth_done(&making.birth);
    else if (making.birth.id)
        vm_birth_undo(&making.birth, in->xapi, making.vm);
    vm_birth_clear(&making.birth);
    tar_in_free(making.tar);
    ovf_free(making.own);
    if (!ok)
        g_clear_pointer(&making.vm, g_free);
    return making.vm;
}
