/* A JSON document with its own hash. Kept outside of XO's folders, where XO would delete it. */
#include "catalog/manifest.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/readback.h"
#include "codec/hash.h"

#include <stdlib.h>
#include <string.h>

#define MANIFEST_VERSION   1
#define MANIFEST_MAX_BYTES (512u << 20)

struct Manifest {
    char *vm, *date;
    json_t *document;
};

static Manifest *wrap(const char *vm, const char *date, json_t *document)
{
    Manifest *manifest = g_new0(Manifest, 1);
    *manifest = (Manifest){ g_strdup(vm), g_strdup(date), document };
    return manifest;
}

Manifest *manifest_new(const char *vm, const char *date)
{
    return wrap(vm, date,
                json_pack("{s:i,s:s,s:s,s:{}}", "version", MANIFEST_VERSION, "vm", vm, "date", date,
                          "disks"));
}

void manifest_free(Manifest *manifest)
{
    if (!manifest)
        return;
    g_free(manifest->vm);
    g_free(manifest->date);
    json_decref(manifest->document);
    g_free(manifest);
}

static char *path_of(const char *vm, const char *date)
{
    g_autofree char *name = g_strconcat(date, ".json", NULL);
    return layout_ours("manifests", vm, name);
}

/* Hash of the document as it is; "hash" must not be in it. */
static char *document_hash(json_t *document)
{
    char *text = json_dumps(document, JSON_COMPACT | JSON_SORT_KEYS);
    char *hash = hash_hex(HASH_XXH3, text, strlen(text));
    free(text);
    return hash;
}

static bool check(json_t *document, const char *path, GError **error)
{
    json_t *version = json_object_get(document, "version");
    g_autofree char *stored = g_strdup(json_string_value(json_object_get(document, "hash")));
    if (json_is_integer(version) && json_integer_value(version) > MANIFEST_VERSION) {
        err_set(error, ERR_TOO_NEW, "the manifest %s has version %d, this program knows %d", path,
                (int) json_integer_value(version), MANIFEST_VERSION);
        return false;
    }
    json_object_del(document, "hash");
    g_autofree char *actual = json_is_object(document) ? document_hash(document) : NULL;
    if (stored && g_strcmp0(stored, actual) == 0 &&
        json_is_object(json_object_get(document, "disks")))
        return true;
    err_set(error, ERR_CORRUPT, "the manifest %s is damaged: its hash does not match", path);
    return false;
}

Manifest *manifest_parse(const char *vm, const char *date, const void *data, gsize n,
                         GError **error)
{
    g_autofree char *path = path_of(vm, date);
    json_t *document = json_loadb(data ? data : "", n, 0, NULL);
    if (check(document, path, error))
        return wrap(vm, date, document);
    json_decref(document);
    return NULL;
}

/* Sound, but copied or moved here from elsewhere: what it says is of other blocks. */
static bool is_of(const Manifest *manifest, GError **error)
{
    const char *vm = json_string_value(json_object_get(manifest->document, "vm"));
    const char *date = json_string_value(json_object_get(manifest->document, "date"));
    g_autofree char *path = path_of(manifest->vm, manifest->date);
    if ((g_strcmp0(vm, manifest->vm) == 0 && g_strcmp0(date, manifest->date) == 0) ||
        MUTANT(manifest_of_another)) /* mutant: catalog_check */
        return true;
    err_set(error, ERR_CORRUPT, "the manifest %s is that of another backup: %s of VM %s", path,
            date ? date : "?", vm ? vm : "?");
    return false;
}

Manifest *manifest_read(Catalog *catalog, const char *vm, const char *date, GError **error)
{
    g_autofree char *path = path_of(vm, date);
    g_autoptr(GBytes) text = remote_get(catalog->remote, path, MANIFEST_MAX_BYTES, error);
    gsize n;
    const void *data = text ? g_bytes_get_data(text, &n) : NULL;
    g_autoptr(Manifest) manifest = text ? manifest_parse(vm, date, data, n, error) : NULL;
    return manifest && is_of(manifest, error) ? g_steal_pointer(&manifest) : NULL;
}

bool manifest_write(Catalog *catalog, Manifest *manifest, GError **error)
{
    g_autofree char *path = path_of(manifest->vm, manifest->date);
    g_autofree char *hash = document_hash(manifest->document);
    json_object_set_new(manifest->document, "hash", json_string(hash));
    char *text = json_dumps(manifest->document, JSON_COMPACT | JSON_SORT_KEYS);
    json_object_del(manifest->document, "hash");
    bool ok = remote_put(catalog->remote, path, text, strlen(text), REMOTE_PUT_OVER, error) &&
              read_back_file(catalog, path, text, strlen(text), error);
    free(text);
    return ok;
}

void manifest_set(Manifest *manifest, const char *path, const DiskInfo *info, BlockMap *map)
{
    g_autofree char *uid = disk_uid_format(&info->uid), *blocks = block_map_format(map);
    json_t *disk = json_pack("{s:s,s:I,s:i,s:s}", "uid", uid, "sizeBytes",
                             (json_int_t) info->size_bytes, "blockBytes", (int) DISK_BLOCK_BYTES,
                             "blocks", blocks);
    json_object_set_new(json_object_get(manifest->document, "disks"), path, disk);
}

BlockMap *manifest_get(Manifest *manifest, const char *path, GError **error)
{
    json_t *disk = json_object_get(json_object_get(manifest->document, "disks"), path);
    const char *blocks = json_string_value(json_object_get(disk, "blocks"));
    BlockMap *map = blocks ? block_map_parse(blocks, error) : NULL;
    if (blocks && !map)
        g_prefix_error(error, "the manifest of %s: ", path);
    return map;
}

bool manifest_is(Manifest *manifest, const char *path, const DiskUid *uid, GError **error)
{
    json_t *disk = json_object_get(json_object_get(manifest->document, "disks"), path);
    const char *stored = json_string_value(json_object_get(disk, "uid"));
    g_autofree char *found = disk_uid_format(uid);
    if (!stored || strcmp(stored, found) == 0)
        return true;
    err_set(error, ERR_CORRUPT, "%s holds the disk %s, its manifest says %s", path, found, stored);
    return false;
}

bool manifest_uid(Manifest *manifest, const char *path, DiskUid *uid)
{
    json_t *disk = json_object_get(json_object_get(manifest->document, "disks"), path);
    const char *stored = json_string_value(json_object_get(disk, "uid"));
    return stored && disk_uid_parse(stored, uid);
}

bool manifest_drop(Catalog *catalog, const char *vm, const char *date, GError **error)
{
    g_autofree char *path = path_of(vm, date);
    return remote_drop(catalog->remote, path, error);
}

FinishedDisk *finished_disk_new(const DiskInfo *info, BlockMap *map)
{
    FinishedDisk *finished = g_new0(FinishedDisk, 1);
    finished->info = *info;
    finished->map = block_map_new();
    block_map_add(finished->map, map);
    return finished;
}

void finished_disk_free(gpointer data)
{
    FinishedDisk *finished = data;
    block_map_free(finished->map);
    g_free(finished);
}
