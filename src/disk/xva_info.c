/* Which disks an archive must hold, from its ova.xml: what a VBD has that is no CD, on a storage
 * that holds no ISO images; and a suspended VM's memory, which may be there. */
#include "disk/xva.h"

#include "base/error.h"
#include "disk/ova.h"

#include <string.h>

static void clear_disk(gpointer data)
{
    XvaDisk *disk = data;
    g_free(disk->id);
    g_free(disk->uuid);
    g_free(disk->name);
    g_free(disk->userdevice);
}

static bool is_class(json_t *object, const char *cls)
{
    return strcmp(ova_text(object, "class"), cls) == 0;
}

typedef struct {
    XvaInfo *info;
    GHashTable *records; /* id to record */
    GHashTable *vbds;    /* id of a VDI to the VBD that has it */
} Reader;

static void index_objects(Reader *reader)
{
    size_t i;
    json_t *object;
    json_array_foreach (json_object_get(reader->info->ova, "objects"), i, object) {
        json_t *record = json_object_get(object, "snapshot");
        g_hash_table_insert(reader->records, (char *) ova_text(object, "id"), record);
        if (is_class(object, "VBD") && *ova_text(record, "VDI"))
            g_hash_table_insert(reader->vbds, (char *) ova_text(record, "VDI"), record);
    }
}

static bool is_iso(const Reader *reader, json_t *vdi)
{
    json_t *sr = g_hash_table_lookup(reader->records, ova_text(vdi, "SR"));
    return strcmp(ova_text(sr, "content_type"), "iso") == 0;
}

static bool add_disk(const Reader *reader, const char *id, json_t *vdi, GError **error)
{
    XvaInfo *info = reader->info;
    json_t *vbd = g_hash_table_lookup(reader->vbds, id);
    if (strcmp(ova_text(vbd, "type"), "CD") == 0 || is_iso(reader, vdi))
        return true;
    gint64 size_bytes = ova_number(vdi, "virtual_size");
    if (size_bytes < 0 || (guint64) size_bytes > XVA_MAX_DISK_BYTES || strlen(id) > 64 ||
        strchr(id, '/') || info->disks->len == XVA_MAX_DISKS) {
        err_set(error, ERR_CORRUPT, "ova.xml: the disk %.100s has no proper id or size", id);
        return false;
    }
    XvaDisk disk = { .id = g_strdup(id),
                     .uuid = g_strdup(ova_text(vdi, "uuid")),
                     .name = g_strdup(ova_text(vdi, "name_label")),
                     .userdevice = g_strdup(ova_text(vbd, "userdevice")),
                     .size_bytes = (guint64) size_bytes,
                     .attached = vbd != NULL,
                     .read_only = strcmp(ova_text(vbd, "mode"), "RO") == 0 };
    g_array_append_val(info->disks, disk);
    return true;
}

/* Metadata may hold the VM's snapshots, too. */
static void find_vm(XvaInfo *info, json_t *object)
{
    json_t *record = json_object_get(object, "snapshot");
    if (info->vm && json_is_true(json_object_get(record, "is_a_snapshot")))
        return;
    g_free(info->vm_id);
    info->vm_id = g_strdup(ova_text(object, "id"));
    info->vm = record;
}

static bool read_objects(const Reader *reader, GError **error)
{
    XvaInfo *info = reader->info;
    size_t i;
    json_t *object;
    if (ova_number(json_object_get(info->ova, "version"), "export_vsn") < 1) {
        err_set(error, ERR_UNSUPPORTED, "the archive has a format without checksums of its chunks");
        return false;
    }
    json_array_foreach (json_object_get(info->ova, "objects"), i, object) {
        json_t *record = json_object_get(object, "snapshot");
        if (is_class(object, "VDI") && !add_disk(reader, ova_text(object, "id"), record, error))
            return false;
        if (is_class(object, "VM"))
            find_vm(info, object);
    }
    if (info->vm)
        return true;
    err_set(error, ERR_CORRUPT, "ova.xml has no VM");
    return false;
}

XvaInfo *xva_info_new(json_t *ova, GError **error)
{
    XvaInfo *info = g_new0(XvaInfo, 1);
    info->ova = ova;
    info->disks = g_array_new(FALSE, TRUE, sizeof(XvaDisk));
    g_array_set_clear_func(info->disks, clear_disk);
    g_autoptr(GHashTable) records = g_hash_table_new(g_str_hash, g_str_equal);
    g_autoptr(GHashTable) vbds = g_hash_table_new(g_str_hash, g_str_equal);
    Reader reader = { info, records, vbds };
    index_objects(&reader);
    if (read_objects(&reader, error))
        return info;
    xva_info_free(info);
    return NULL;
}

void xva_info_free(XvaInfo *info)
{
    if (!info)
        return;
    g_array_unref(info->disks);
    g_free(info->vm_id);
    json_decref(info->ova);
    g_free(info);
}

const XvaDisk *xva_info_disk(const XvaInfo *info, guint disk)
{
    return &g_array_index(info->disks, XvaDisk, disk);
}
