/* Writing the disks of a point to be. Everything goes under names that no point uses; only
 * catalog_commit makes it a point. Blocks are hashed as they pass, for the manifest. */
#include "catalog/layout.h"

#include "base/error.h"
#include "base/mutant.h"
#include "catalog/lineage.h"
#include "catalog/manifest.h"
#include "catalog/member.h"
#include "catalog/readback.h"
#include "codec/codec.h"

#include <string.h>

/* What the pipe writes into: hashes, then passes on. */
typedef struct {
    DiskWriter base;
    DiskWriter *inner;
    BlockMap *hashes;
} HashingWriter;

typedef struct {
    CatalogDisk base;
    Catalog *catalog;
    char *vm;
    char *folder;    /* from the root of the remote */
    char *name;      /* "<date>.vhd" or "<date>.alias.vhd" */
    char *temporary; /* where the data is until then, from the root */
    bool is_directory;
    BlockMap *hashes;
    DiskInfo info;
    bool finished;
} OpenDisk;

static bool hashing_put(DiskWriter *base, guint32 block, const void *data, GError **error)
{
    HashingWriter *writer = (HashingWriter *) base;
    guint8 hash[BLOCK_HASH_BYTES];
    block_hash(data, hash);
    if (!disk_put_block(writer->inner, block, data, error))
        return false;
    block_map_set(writer->hashes, block, hash);
    return true;
}

static bool hashing_finish(DiskWriter *base, guint64 *stored_bytes, GError **error)
{
    return disk_finish(((HashingWriter *) base)->inner, stored_bytes, error);
}

static void hashing_close(DiskWriter *base)
{
    disk_writer_close(((HashingWriter *) base)->inner);
    g_free(base);
}

static const struct disk_writer_ops hashing_ops = { hashing_put, hashing_finish, hashing_close };

static DiskWriter *hashing_new(DiskWriter *inner, BlockMap *hashes)
{
    HashingWriter *writer = g_new0(HashingWriter, 1);
    *writer = (HashingWriter){ { &hashing_ops, inner->info, inner->parallel }, inner, hashes };
    return &writer->base;
}

bool catalog_disk_hash(CatalogDisk *disk, guint32 block, guint8 hash[16])
{
    return block_map_get(((OpenDisk *) disk)->hashes, block, hash);
}

/* --- begin --- */

/* The codec of the parent, or of the remote's choice (XO has it in its configuration, under this
 * name). gzip is the fastest that XO reads. */
static char *codec_for(Catalog *catalog, const char *parent_codec)
{
    static const char *const options[] = { "vhdDirectoryCompression", "compressionType" };
    g_autofree char *chosen = g_strdup(parent_codec);
    for (unsigned i = 0; i < G_N_ELEMENTS(options) && !chosen; i++) {
        json_t *option = remote_option(catalog->remote, options[i]);
        const char *wanted = json_string_value(option);
        if (wanted && codec_find(wanted))
            chosen = g_strdup(wanted);
        json_decref(option);
    }
    return chosen ? g_steal_pointer(&chosen) : g_strdup("gzip");
}

static bool take_parent(OpenDisk *disk, const char *parent, char **codec, GError **error)
{
    g_autofree char *path = g_strjoin("/", disk->folder, parent, NULL);
    g_auto(MemberPlace) place = { 0 };
    if (strchr(parent, '/') || strcmp(parent, disk->name) >= 0) {
        err_set(error, ERR_INVALID, "the parent %s is not older than %s", parent, disk->name);
        return false;
    }
    g_autoptr(Disk) opened = member_locate(disk->catalog, path, &place, error)
                                 ? member_open(disk->catalog, &place, false, error)
                                 : NULL;
    if (!opened)
        return false;
    if (place.is_directory != disk->is_directory ||
        strlen(parent) >= sizeof disk->info.parent_name) {
        err_set(error, ERR_NO_BASE, "%s is not stored as the new disk would be", path);
        return false;
    }
    disk->info.differencing = true;
    disk->info.parent_uid = opened->info.uid;
    g_strlcpy(disk->info.parent_name, parent, sizeof disk->info.parent_name);
    *codec = g_strdup(vhd_directory_codec(opened));
    return true;
}

/* A data folder of the same date without an alias is what a crash left; one that an alias names is
 * somebody's disk. */
static bool clear_leftover(OpenDisk *disk, GError **error)
{
    g_autoptr(GPtrArray) names = remote_list(disk->catalog->remote, disk->folder, error);
    for (guint i = 0; names && i < names->len; i++) {
        g_autofree char *path = g_strjoin("/", disk->folder, names->pdata[i], NULL);
        g_auto(MemberPlace) place = { 0 };
        g_autoptr(GError) failure = NULL;
        if (!layout_is_alias(path) || !member_locate(disk->catalog, path, &place, &failure))
            continue;
        if (strcmp(place.data, disk->temporary) == 0) {
            err_set(error, ERR_EXISTS, "%s is the disk behind %s", disk->temporary, path);
            return false;
        }
    }
    return names && remote_drop_tree(disk->catalog->remote, disk->temporary, error);
}

static DiskWriter *create_flat(OpenDisk *disk, GError **error)
{
    disk->temporary = g_strdup_printf("%s/.%" G_GINT64_FORMAT ".%s", disk->folder,
                                      g_get_real_time() / 1000, disk->name);
    Bytes *bytes = remote_bytes(disk->catalog->remote, disk->temporary, REMOTE_CREATE, error);
    return bytes ? vhd_create(bytes, &disk->info, error) : NULL;
}

static DiskWriter *create_directory(OpenDisk *disk, const char *date, const char *codec,
                                    GError **error)
{
    disk->temporary = g_strdup_printf("%s/data/%s.vhd", disk->folder, date);
    if (!clear_leftover(disk, error))
        return NULL;
    Chunks *chunks = remote_chunks(disk->catalog->remote, disk->temporary, error);
    return chunks ? vhd_directory_create(chunks, &disk->info, codec, error) : NULL;
}

static bool make_folder(OpenDisk *disk, GError **error)
{
    Remote *remote = disk->catalog->remote;
    g_autofree char *vm_folder = layout_vm(disk->vm, NULL);
    g_autofree char *data = g_strconcat(disk->folder, "/data", NULL);
    if (!remote_make_folder(remote, vm_folder, error))
        return false;
    return disk->is_directory ? remote_make_folder(remote, data, error)
                              : remote_make_private_folder(remote, disk->folder, error);
}

static bool refuse_existing(OpenDisk *disk, GError **error)
{
    g_autofree char *path = g_strjoin("/", disk->folder, disk->name, NULL);
    g_autoptr(GError) absent = NULL;
    RemoteStat st;
    if (!remote_stat(disk->catalog->remote, path, &st, &absent) && err_is(absent, ERR_NOT_FOUND))
        return true;
    if (absent)
        g_propagate_error(error, g_steal_pointer(&absent));
    else
        err_set(error, ERR_EXISTS, "%s exists: two backups of the same second", path);
    return false;
}

static bool begin(OpenDisk *disk, const char *date, const char *parent, GError **error)
{
    g_autofree char *parent_codec = NULL;
    disk->info.differencing = false;
    memset(&disk->info.parent_uid, 0, sizeof disk->info.parent_uid);
    disk->info.parent_name[0] = '\0';
    if (!make_folder(disk, error) || !refuse_existing(disk, error) ||
        (parent && !take_parent(disk, parent, &parent_codec, error)))
        return false;
    g_autofree char *codec = codec_for(disk->catalog, parent_codec);
    DiskWriter *inner = disk->is_directory ? create_directory(disk, date, codec, error)
                                           : create_flat(disk, error);
    if (!inner)
        return false;
    disk->base.writer = hashing_new(inner, disk->hashes);
    return true;
}

CatalogDisk *catalog_disk_begin(Catalog *catalog, const char *vm, const char *job, const char *vdi,
                                gint64 time_ms, const DiskInfo *info, const char *parent,
                                GError **error)
{
    if (!layout_check_name("VM uuid", vm, error) || !layout_check_name("job id", job, error) ||
        !layout_check_name("VDI uuid", vdi, error))
        return NULL;
    g_autofree char *date = catalog_date(time_ms),
                    *relative = g_strjoin("/", "vdis", job, vdi, NULL);
    json_t *option = remote_option(catalog->remote, "useVhdDirectory");
    OpenDisk *disk = g_new0(OpenDisk, 1);
    disk->catalog = catalog;
    disk->vm = g_strdup(vm);
    disk->folder = layout_vm(vm, relative);
    disk->is_directory = json_is_true(option);
    disk->name = g_strconcat(date, disk->is_directory ? LAYOUT_ALIAS : LAYOUT_DISK, NULL);
    disk->base.path = g_strjoin("/", relative, disk->name, NULL);
    disk->hashes = block_map_new();
    disk->info = *info;
    json_decref(option);
    if (begin(disk, date, parent, error))
        return &disk->base;
    catalog_disk_free(&disk->base);
    return NULL;
}

/* --- finish --- */

static bool give_name(OpenDisk *disk, GError **error)
{
    g_autofree char *path = g_strjoin("/", disk->folder, disk->name, NULL);
    if (!disk->is_directory)
        return remote_rename(disk->catalog->remote, disk->temporary, path, error);
    if (disk->info.differencing &&
        !chain_make_room(disk->catalog, disk->folder, disk->info.parent_name,
                         disk->base.writer->info.n_blocks, error))
        return false;
    g_autofree char *target = g_strdup(disk->temporary + strlen(disk->folder) + 1);
    return remote_put(disk->catalog->remote, path, target, strlen(target), true, error);
}

bool catalog_disk_finish(CatalogDisk *base, guint64 *size_bytes, GError **error)
{
    OpenDisk *disk = (OpenDisk *) base;
    MemberPlace place = { disk->temporary, disk->is_directory };
    g_autofree char *name = g_strjoin("/", disk->folder, disk->name, NULL);
    if (!disk_finish(disk->base.writer, size_bytes, error))
        return false;
    CRASH_POINT(catalog_disk_written);
    if (!read_back(disk->catalog, &place, &disk->info, disk->hashes, base->read_back, name,
                   &base->verified, error))
        return false;
    CRASH_POINT(catalog_disk_read_back);
    if (!give_name(disk, error))
        return false;
    CRASH_POINT(catalog_disk_named);
    disk->finished = true;
    Catalog *catalog = disk->catalog;
    pthread_mutex_lock(&catalog->lock);
    g_hash_table_insert(catalog->finished, g_strjoin("/", disk->vm, base->path, NULL),
                        finished_disk_new(&disk->info, disk->hashes));
    pthread_mutex_unlock(&catalog->lock);
    return true;
}

void catalog_disk_free(CatalogDisk *base)
{
    OpenDisk *disk = (OpenDisk *) base;
    if (!disk)
        return;
    disk_writer_close(disk->base.writer);
    if (disk->temporary && !disk->finished) {
        if (disk->is_directory)
            remote_drop_tree(disk->catalog->remote, disk->temporary, NULL);
        else
            remote_drop(disk->catalog->remote, disk->temporary, NULL);
    }
    block_map_free(disk->hashes);
    g_free(disk->base.path);
    g_free(disk->vm);
    g_free(disk->folder);
    g_free(disk->name);
    g_free(disk->temporary);
    g_free(disk);
}
