/* cloud-init's drive, as XO makes it: both of its forms, NoCloud and config drive. */
#include "api/methods/vm_cloud.h"
#include "api/methods/vm_devices.h"
#include "disk/fat.h"

#include <string.h>

#define DRIVE_NAME "XO CloudConfigDrive" /* clients know it by this name */

static GBytes *image_of(const CloudDrive *drive, GError **error)
{
    const char *user = drive->user, *network = drive->network;
    g_autofree char *meta = g_strdup_printf("instance-id: %s\n", drive->uuid);
    g_autofree char *meta_json = g_strdup_printf("{\"uuid\":\"%s\"}", drive->uuid);
    const FatFile files[] = {
        { "meta-data", meta },
        { "user-data", user },
        { "openstack/latest/meta_data.json", meta_json },
        { "openstack/latest/user_data", user },
        { "network-config", network },
    };
    return fat_image("cidata", files, G_N_ELEMENTS(files) - (network ? 0 : 1), error);
}

/* The reference of the storage of the disk with the lowest position; copy. */
static char *storage_of(VmChange *vm, GError **error)
{
    json_t *devices = vm_block_devices(vm->xapi, vm->ref, error), *device, *first = NULL;
    guint64 lowest = G_MAXUINT64;
    size_t i;
    if (!devices)
        return NULL;
    json_array_foreach (devices, i, device) {
        const char *type = json_string_value(json_object_get(device, "type"));
        const char *text = json_string_value(json_object_get(device, "userdevice"));
        guint64 position = text ? g_ascii_strtoull(text, NULL, 10) : G_MAXUINT64;
        if (g_strcmp0(type, "Disk") != 0 || (first && position >= lowest))
            continue;
        first = json_object_get(device, "VDI");
        lowest = position;
    }
    char *sr = first ? xapi_call_string(vm->xapi, "VDI.get_SR", json_pack("[O]", first), error)
                     : NULL;
    if (!first)
        api_error_invalid(error, "cloudConfig: the VM has no disk beside which the drive could be");
    json_decref(devices);
    return sr;
}

typedef struct {
    GBytes *image;
    gsize at;
} Reading;

static ssize_t read_image(void *data, size_t n, void *user, GError **error)
{
    Reading *reading = user;
    gsize all;
    const char *bytes = g_bytes_get_data(reading->image, &all);
    gsize k = MIN(n, all - reading->at);
    memcpy(data, bytes + reading->at, k);
    reading->at += k;
    return (ssize_t) k;
}

/* What runs Windows (viridian) wants partitions; all others want none. */
static GBytes *content_of(Xapi *xapi, const CloudDrive *drive, GError **error)
{
    json_t *platform = xapi_call(xapi, "VM.get_platform", json_pack("[s]", drive->vm), error);
    const char *viridian = json_string_value(json_object_get(platform, "viridian"));
    GBytes *image = platform ? image_of(drive, error) : NULL;
    if (image && g_strcmp0(viridian, "true") == 0) {
        GBytes *disk = fat_disk(image);
        g_bytes_unref(image);
        image = disk;
    }
    json_decref(platform);
    return image;
}

bool cloud_drive_add(Xapi *xapi, const CloudDrive *drive, char **made, GError **error)
{
    g_autoptr(GBytes) image = content_of(xapi, drive, error);
    gint64 n_bytes = image ? (gint64) g_bytes_get_size(image) : 0;
    NewDisk disk = { .name_label = DRIVE_NAME,
                     .sr = drive->sr,
                     .size_bytes = n_bytes,
                     .birth_id = drive->birth_id };
    g_autofree char *vdi = image ? disk_create(xapi, &disk, error) : NULL;
    Reading reading = { image, 0 };
    NewVbd vbd = { .vm = drive->vm, .vdi = vdi, .plug = drive->plug };
    if (!vdi)
        return false;
    if (xapi_import_vdi(xapi, vdi, "raw", read_image, n_bytes, &reading, NULL, error) &&
        vbd_create(xapi, &vbd, error) && (!drive->birth_id || disk_settle(xapi, vdi, error))) {
        if (made)
            *made = g_steal_pointer(&vdi);
        return true;
    }
    xapi_do(xapi, "VDI.destroy", json_pack("[s]", vdi), NULL);
    return false;
}

bool vm_cloud_drive_make(VmChange *vm, const char *birth_id, char **vdi, GError **error)
{
    CloudDrive drive = { .vm = vm->ref,
                         .uuid = vm_change_text(vm, "uuid"),
                         .user = call_string(vm->call, "cloudConfig"),
                         .network = call_string(vm->call, "networkConfig"),
                         .birth_id = birth_id };
    if (!drive.user)
        return true;
    g_autofree char *sr = storage_of(vm, error);
    drive.sr = sr;
    return sr && cloud_drive_add(vm->xapi, &drive, vdi, error);
}
