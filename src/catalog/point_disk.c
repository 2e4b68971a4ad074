/* The disks of a point, and whether what lies under their names is what its metadata describes: a
 * file that took another's place is told by what it says of itself. */
#include "catalog/catalog.h"

#include "base/error.h"
#include "base/json_text.h"
#include "base/mutant.h"
#include "catalog/archive_disk.h"
#include "catalog/layout.h"
#include "catalog/member.h"
#include "catalog/metadata.h"

#include <string.h>

/* The VM's folder and the date, as the file is called. */
static bool check_name(json_t *point, char **vm, GError **error)
{
    const char *path = json_text(point, "_filename");
    g_auto(GStrv) parts = g_strsplit(path, "/", -1); /* "", the folder of VMs, VM, file */
    if (g_strv_length(parts) != 4) {
        err_set(error, ERR_INVALID, "\"%.300s\" is not the path of a backup", path);
        return false;
    }
    g_autofree char *date = layout_date_of(parts[3]), *own = catalog_date(metadata_time(point));
    const char *uuid = json_text(json_object_get(point, "vm"), "uuid");
    *vm = g_strdup(parts[2]);
    if (strcmp(uuid, parts[2]) == 0 && g_strcmp0(date, own) == 0)
        return true;
    if (MUTANT(point_name_believed)) /* mutant: catalog_read:test_strict */
        return true;
    err_set(error, ERR_CORRUPT, "%s is the metadata of %s/%s, which lies under another name",
            path + 1, uuid, own);
    return false;
}

/* As "vhds" and "vdis" say. */
static json_t *rows_of(json_t *point)
{
    json_t *rows = json_array(), *stored;
    const char *ref;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        json_t *vdi = json_object_get(json_object_get(point, "vdis"), ref);
        g_autofree char *path = metadata_path(stored);
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:s}", "path", path ? path : "", "vdi",
                                              json_text(vdi, "$snapshot_of$uuid"), "snapshot",
                                              json_text(vdi, "uuid"), "name",
                                              json_text(vdi, "name_label")));
    }
    return rows;
}

json_t *catalog_point_disks(Catalog *catalog, json_t *point, GError **error)
{
    return metadata_is_full(point) ? archive_disks(catalog, point, error) : rows_of(point);
}

/* The snapshot's uuid is in the disk itself, too. */
static bool check_uid(Catalog *catalog, json_t *point, const char *path, const Disk *disk,
                      GError **error)
{
    json_t *rows = rows_of(point), *row;
    g_autofree char *found = disk_uid_format(&disk->info.uid), *wanted = NULL;
    gsize i;
    json_array_foreach (rows, i, row)
        if (strcmp(json_text(row, "path"), path) == 0)
            wanted = g_strdup(json_text(row, "snapshot"));
    json_decref(rows);
    if (g_strcmp0(wanted, found) == 0 ||
        MUTANT(point_disk_believed)) /* mutant: catalog_read:test_strict */
        return true;
    const char *filename = json_text(point, "_filename") + 1;
    g_autofree char *folder = g_path_get_dirname(filename),
                    *whole = g_strjoin("/", folder, path, NULL),
                    *words = member_words(catalog, whole);
    if (wanted)
        err_set(error, ERR_CORRUPT, "%s holds the disk %s, %s says %s", words, found, filename,
                *wanted ? wanted : "nothing of it");
    else
        err_set(error, ERR_NOT_FOUND, "%s has no disk %s", filename, path);
    return false;
}

bool catalog_point_check(json_t *point, GError **error)
{
    g_autofree char *vm = NULL;
    return check_name(point, &vm, error);
}

/* As catalog_point_disks gives it, where it is as stored. */
static char *plain_path(const char *path)
{
    json_t *stored = json_string(path);
    char *plain = metadata_path(stored);
    json_decref(stored);
    return plain ? plain : g_strdup(path);
}

Disk *catalog_point_disk_open(Catalog *catalog, json_t *point, const char *path, GError **error)
{
    g_autofree char *vm = NULL;
    if (!check_name(point, &vm, error))
        return NULL;
    if (metadata_is_full(point))
        return archive_disk_open(catalog, point, path, error);
    g_autofree char *plain = plain_path(path);
    g_autoptr(Disk) disk = catalog_disk_open_checked(catalog, vm, plain, error);
    return disk && check_uid(catalog, point, plain, disk, error) ? g_steal_pointer(&disk) : NULL;
}
