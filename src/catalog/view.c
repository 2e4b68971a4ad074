/* A point as the API shows it (backupNg.listVmBackups). */
#include "catalog/catalog.h"

#include <string.h>

static json_t *joined(const char *folder, const char *name)
{
    g_autofree char *path = g_strconcat(folder, "/", name, NULL);
    return json_string(path);
}

static json_t *disks_of(json_t *point, const char *folder)
{
    json_t *disks = json_array(), *vhds = json_object_get(point, "vhds"), *path;
    const char *ref;
    json_object_foreach (vhds, ref, path) {
        json_t *vdi = json_object_get(json_object_get(point, "vdis"), ref), *disk = json_object();
        json_object_set_new(disk, "id", joined(folder, json_string_value(path)));
        json_object_set(disk, "name", json_object_get(vdi, "name_label"));
        json_object_set(disk, "uuid", json_object_get(vdi, "uuid"));
        json_array_append_new(disks, disk);
    }
    return disks;
}

static void copy(json_t *to, json_t *from, const char *const *keys)
{
    for (; *keys; keys++)
        if (json_object_get(from, *keys))
            json_object_set(to, *keys, json_object_get(from, *keys));
}

static bool has_memory(json_t *point)
{
    json_t *snapshot = json_object_get(point, "vmSnapshot");
    const char *suspend = json_string_value(json_object_get(snapshot, "suspend_VDI"));
    return json_is_object(snapshot) && g_strcmp0(suspend, "OpaqueRef:NULL") != 0;
}

/* Only deltas count their disks; the memory is a disk of its own, always whole. */
static void count_disks(json_t *view, json_t *point, bool with_memory)
{
    json_t *map = json_object_get(point, "isVhdDifferencing"), *differs;
    const char *ref;
    gint64 n_differencing = 0, n_dynamic = 0;
    if (!json_is_object(map))
        return;
    json_object_foreach (map, ref, differs)
        json_is_true(differs) ? n_differencing++ : n_dynamic++;
    json_object_set_new(view, "differencingVhds", json_integer(n_differencing));
    json_object_set_new(view, "dynamicVhds", json_integer(n_dynamic - (with_memory ? 1 : 0)));
}

json_t *catalog_view(json_t *point, const char *remote_id)
{
    static const char *const copied[] = { "isImmutable", "jobId",     "mode", "scheduleId",
                                          "size",        "timestamp", NULL };
    static const char *const of_vm[] = { "uuid", "name_description", "name_label", "tags", NULL };
    const char *filename = json_string_value(json_object_get(point, "_filename"));
    g_autofree char *folder = g_path_get_dirname(filename ? filename : "/");
    json_t *view = json_object(), *vm = json_object();
    json_t *tags = json_object_get(point, "tags");
    bool with_memory = has_memory(point);
    json_object_set_new(view, "type", json_string("xo-vm-backup"));
    json_object_set_new(view, "backupRepository", json_string(remote_id));
    json_object_set_new(view, "disks", disks_of(point, folder));
    json_object_set_new(view, "id", joined(remote_id, filename ? filename : ""));
    copy(view, point, copied);
    copy(vm, json_object_get(point, "vm"), of_vm);
    json_object_set_new(view, "vm", vm);
    json_object_set_new(view, "tags", json_is_array(tags) ? json_incref(tags) : json_array());
    count_disks(view, point, with_memory);
    json_object_set_new(view, "withMemory", json_boolean(with_memory));
    return view;
}
