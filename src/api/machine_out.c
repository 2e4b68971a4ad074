/* The lengths of the disks' files are asked before any of them is written, because a tar wants them
 * first: each disk's table is read once for that, and then once more with its data. */
#include "api/machine_out.h"
#include "api/conduit.h"
#include "api/disk_flow.h"
#include "api/methods/vm_devices.h"
#include "api/methods/vm_parts.h"
#include "base/error.h"
#include "base/json_text.h"
#include "disk/image.h"
#include "disk/ovf.h"
#include "disk/tar.h"

#include <stdlib.h>
#include <string.h>

/* --- What can be read --- */

char *machine_readable(Xapi *xapi, const char *vm, const char *name, GError **error)
{
    json_t *record = xapi_call(xapi, "VM.get_record", json_pack("[s]", vm), error);
    if (!record)
        return NULL;
    const char *state = json_string_value(json_object_get(record, "power_state"));
    bool still = g_strcmp0(state, "Halted") == 0 ||
                 json_is_true(json_object_get(record, "is_a_snapshot"));
    json_decref(record);
    return still ? g_strdup(vm)
                 : xapi_call_task(xapi, "VM.snapshot", json_pack("[s, s]", vm, name), NULL, NULL,
                                  NULL, error);
}

void machine_release(Xapi *xapi, const char *vm, char *readable)
{
    if (readable && strcmp(vm, readable) != 0)
        vm_unmake(xapi, readable);
    g_free(readable);
}

/* --- XVA --- */

bool machine_give_xva(const MachineOut *out, GError **error)
{
    if (out->length)
        out->length(-1, out->user);
    return xapi_export_vm(out->xapi, out->vm, out->compression, out->sink, out->user, NULL, error);
}

/* --- OVA --- */

typedef struct {
    const MachineOut *out;
    Ovf *ovf;
    GPtrArray *vdis; /* references, by disk */
    GArray *lengths; /* guint64 of their files */
    guint64 given;   /* bytes of the present file */
} Ova;

static void ova_clear(Ova *ova)
{
    ovf_free(ova->ovf);
    g_ptr_array_unref(ova->vdis);
    g_array_unref(ova->lengths);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Ova, ova_clear)

static gint64 number_of(json_t *record, const char *field)
{
    json_t *value = json_object_get(record, field);
    return json_is_string(value) ? g_ascii_strtoll(json_string_value(value), NULL, 10)
                                 : (gint64) json_number_value(value);
}

static int by_position(const void *a, const void *b, void *user)
{
    json_t *x = *(json_t *const *) a, *y = *(json_t *const *) b;
    return (int) (number_of(x, "userdevice") - number_of(y, "userdevice"));
}

static bool add_disk(Ova *ova, json_t *vbd, GError **error)
{
    const char *ref = json_text(vbd, "VDI");
    json_t *vdi = xapi_call(ova->out->xapi, "VDI.get_record", json_pack("[s]", ref), error);
    if (!vdi)
        return false;
    guint number = ova->ovf->disks->len;
    ovf_add_disk(ova->ovf, &(OvfDisk){ .path = g_strdup_printf("disk%u.vmdk", number + 1),
                                       .name = g_strdup(json_text(vdi, "name_label")),
                                       .capacity_bytes = (guint64) number_of(vdi, "virtual_size"),
                                       .position = number });
    g_ptr_array_add(ova->vdis, g_strdup(ref));
    json_decref(vdi);
    return true;
}

static bool add_disks(Ova *ova, GError **error)
{
    json_t *devices = vm_block_devices(ova->out->xapi, ova->out->vm, error), *vbd;
    g_autoptr(GPtrArray) disks = g_ptr_array_new();
    bool ok = devices != NULL;
    size_t i;
    json_array_foreach (devices, i, vbd)
        if (g_str_equal(json_text(vbd, "type"), "Disk") && *json_text(vbd, "VDI"))
            g_ptr_array_add(disks, vbd);
    g_ptr_array_sort_with_data(disks, by_position, NULL);
    for (guint k = 0; ok && k < disks->len; k++)
        ok = add_disk(ova, disks->pdata[k], error);
    json_decref(devices);
    return ok;
}

static bool add_nics(Ova *ova, json_t *vm, GError **error)
{
    size_t i;
    json_t *ref;
    json_array_foreach (json_object_get(vm, "VIFs"), i, ref) {
        json_t *vif = xapi_call(ova->out->xapi, "VIF.get_record", json_pack("[O]", ref), error);
        char *network = vif ? xapi_call_string(ova->out->xapi, "network.get_name_label",
                                               json_pack("[s]", json_text(vif, "network")), error)
                            : NULL;
        if (network)
            ovf_add_nic(ova->ovf, &(OvfNic){ network, g_strdup(json_text(vif, "MAC")) });
        json_decref(vif);
        if (!network)
            return false;
    }
    return true;
}

static bool describe(Ova *ova, GError **error)
{
    json_t *vm = xapi_call(ova->out->xapi, "VM.get_record", json_pack("[s]", ova->out->vm), error);
    if (!vm)
        return false;
    g_free(ova->ovf->name);
    g_free(ova->ovf->description);
    ova->ovf->name = g_strdup(json_text(vm, "name_label"));
    ova->ovf->description = g_strdup(json_text(vm, "name_description"));
    ova->ovf->n_cpus = (guint) number_of(vm, "VCPUs_at_startup");
    ova->ovf->memory_bytes = (guint64) number_of(vm, "memory_dynamic_max");
    ova->ovf->efi =
        g_str_equal(json_text(json_object_get(vm, "HVM_boot_params"), "firmware"), "uefi");
    bool ok = add_disks(ova, error) && add_nics(ova, vm, error);
    json_decref(vm);
    return ok;
}

/* --- Its files --- */

static DiskOut disk_out(Ova *ova, guint i)
{
    return (DiskOut){ .xapi = ova->out->xapi,
                      .vdi = ova->vdis->pdata[i],
                      .format = "vmdk",
                      .size_bytes = ovf_disk(ova->ovf, i)->capacity_bytes };
}

typedef struct {
    guint64 n_bytes;
    bool known;
} Measure;

static void see_length(gint64 n_bytes, void *user)
{
    *(Measure *) user = (Measure){ (guint64) n_bytes, true };
}

/* Ends the transfer as soon as the length is known. */
static bool see_nothing(const void *data, size_t n, void *user, GError **error)
{
    err_set(error, ERR_CANCELLED, "the length is known");
    return false;
}

static bool measure(Ova *ova, GError **error)
{
    for (guint i = 0; i < ova->vdis->len; i++) {
        Measure found = { 0 };
        DiskOut out = disk_out(ova, i);
        out.length = see_length;
        out.sink = see_nothing;
        out.user = &found;
        g_autoptr(GError) failure = NULL;
        disk_give(&out, &failure);
        if (!found.known) {
            g_propagate_error(error, g_steal_pointer(&failure));
            return false;
        }
        g_array_append_val(ova->lengths, found.n_bytes);
    }
    return true;
}

static bool put(Ova *ova, const void *data, gsize n, GError **error)
{
    return ova->out->sink(data, n, ova->out->user, error);
}

static bool put_padding(Ova *ova, guint64 n_bytes, GError **error)
{
    static const guint8 zeros[TAR_SECTOR_BYTES];
    gsize n = (gsize) tar_padding(n_bytes);
    return n == 0 || put(ova, zeros, n, error);
}

static bool put_header(Ova *ova, const char *name, guint64 n_bytes, GError **error)
{
    guint8 header[TAR_SECTOR_BYTES];
    tar_header(header, name, n_bytes);
    return put(ova, header, sizeof header, error);
}

static bool pass_on(const void *data, size_t n, void *user, GError **error)
{
    Ova *ova = user;
    ova->given += n;
    return put(ova, data, n, error);
}

/* What was measured must come: nobody writes what is read here. */
static bool put_disk(Ova *ova, guint i, GError **error)
{
    guint64 n_bytes = g_array_index(ova->lengths, guint64, i);
    DiskOut out = disk_out(ova, i);
    out.sink = pass_on;
    out.user = ova;
    ova->given = 0;
    if (!put_header(ova, ovf_disk(ova->ovf, i)->path, n_bytes, error) || !disk_give(&out, error))
        return false;
    if (ova->given == n_bytes)
        return put_padding(ova, n_bytes, error);
    err_set(error, ERR_INTERNAL, "disk %s changed while it was exported",
            ovf_disk(ova->ovf, i)->name);
    return false;
}

static void tell_length(const Ova *ova, gsize n_text)
{
    guint64 total = TAR_SECTOR_BYTES + n_text + tar_padding(n_text) + 2 * TAR_SECTOR_BYTES;
    for (guint i = 0; i < ova->lengths->len; i++) {
        guint64 n = g_array_index(ova->lengths, guint64, i);
        total += TAR_SECTOR_BYTES + n + tar_padding(n);
    }
    if (ova->out->length)
        ova->out->length((gint64) total, ova->out->user);
}

bool machine_give_ova(const MachineOut *out, GError **error)
{
    static const guint8 end[2 * TAR_SECTOR_BYTES];
    g_auto(Ova) ova = { out, ovf_new(), g_ptr_array_new_with_free_func(g_free),
                        g_array_new(FALSE, FALSE, sizeof(guint64)), 0 };
    if (!describe(&ova, error) || !measure(&ova, error))
        return false;
    g_autofree char *text = ovf_write(ova.ovf, (const guint64 *) (void *) ova.lengths->data);
    gsize n = strlen(text);
    tell_length(&ova, n);
    bool ok = put_header(&ova, "machine.ovf", n, error) && put(&ova, text, n, error) &&
              put_padding(&ova, n, error);
    for (guint i = 0; ok && i < ova.vdis->len; i++)
        ok = put_disk(&ova, i, error);
    return ok && put(&ova, end, sizeof end, error);
}
