/* Writing the disks of a point to be. Everything goes under names that no point uses; only
 * catalog_commit makes it a point. Blocks are hashed as they pass, for the manifest. */
#include "catalog/layout.h"

#include "base/block_buffer.h"
#include "base/error.h"
#include "base/mutant.h"
#include "catalog/lineage.h"
#include "catalog/manifest.h"
#include "catalog/marks.h"
#include "catalog/member.h"
#include "catalog/readback.h"
#include "codec/codec.h"

#include <string.h>

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
    guint64 size_bytes; /* of one that was done before */
} OpenDisk;

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

static bool set_parent(OpenDisk *disk, const char *parent, char **codec, GError **error)
{
    disk->info.differencing = false;
    memset(&disk->info.parent_uid, 0, sizeof disk->info.parent_uid);
    disk->info.parent_name[0] = '\0';
    return !parent || take_parent(disk, parent, codec, error);
}

static bool begin(OpenDisk *disk, const char *date, const char *parent, GError **error)
{
    g_autofree char *parent_codec = NULL;
    if (!make_folder(disk, error) || !refuse_existing(disk, error) ||
        !set_parent(disk, parent, &parent_codec, error))
        return false;
    g_autofree char *codec = codec_for(disk->catalog, parent_codec);
    DiskWriter *inner = disk->is_directory ? create_directory(disk, date, codec, error)
                                           : create_flat(disk, error);
    if (!inner)
        return false;
    disk->base.writer = marking_writer_new(inner, disk->hashes);
    return true;
}

static OpenDisk *open_disk_new(Catalog *catalog, const char *vm, const char *job, const char *vdi,
                               gint64 time_ms, const DiskInfo *info, GError **error)
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
    return disk;
}

CatalogDisk *catalog_disk_begin(Catalog *catalog, const char *vm, const char *job, const char *vdi,
                                gint64 time_ms, const DiskInfo *info, const char *parent,
                                GError **error)
{
    g_autofree char *date = catalog_date(time_ms);
    OpenDisk *disk = open_disk_new(catalog, vm, job, vdi, time_ms, info, error);
    if (!disk)
        return NULL;
    if (begin(disk, date, parent, error))
        return &disk->base;
    catalog_disk_free(&disk->base);
    return NULL;
}

/* --- going on with one that another process began --- */

void catalog_disk_mark(CatalogDisk *base, CatalogMark mark, void *user, GDestroyNotify release)
{
    OpenDisk *disk = (OpenDisk *) base;
    if (disk->base.writer)
        marking_writer_tell(disk->base.writer, disk->catalog->remote, disk->folder, mark, user,
                            release);
    else
        release(user);
}

const char *catalog_disk_place(CatalogDisk *disk)
{
    return ((OpenDisk *) disk)->temporary;
}

static bool has_name(OpenDisk *disk, bool *named, GError **error)
{
    g_autofree char *path = g_strjoin("/", disk->folder, disk->name, NULL);
    g_autoptr(GError) absent = NULL;
    RemoteStat st;
    *named = remote_stat(disk->catalog->remote, path, &st, &absent);
    if (*named || err_is(absent, ERR_NOT_FOUND))
        return true;
    g_propagate_error(error, g_steal_pointer(&absent));
    return false;
}

/* It got its name before the process died. */
static bool take_named(OpenDisk *disk, GError **error)
{
    g_autofree char *path = g_strjoin("/", disk->folder, disk->name, NULL);
    g_auto(MemberPlace) place = { 0 };
    disk->finished = true; /* clean-up, not we, deletes what has a name */
    if (!member_locate(disk->catalog, path, &place, error) ||
        !read_back(disk->catalog, &place, &disk->info, disk->hashes, CATALOG_READ_SAMPLE, path,
                   &disk->base.verified, error))
        return false;
    g_autoptr(Disk) opened = member_open(disk->catalog, &place, false, error);
    disk->size_bytes = opened ? member_size_bytes(opened) : 0;
    disk->base.done = opened != NULL;
    return opened != NULL;
}

static DiskWriter *reopen(OpenDisk *disk, const char *codec, GError **error)
{
    Remote *remote = disk->catalog->remote;
    guint32 n;
    g_autofree guint32 *blocks = block_map_in_order(disk->hashes, &n);
    if (disk->is_directory) {
        Chunks *chunks = member_sweep(disk->catalog, disk->temporary, true, error)
                             ? remote_chunks(remote, disk->temporary, error)
                             : NULL;
        return chunks ? vhd_directory_continue(chunks, &disk->info, codec, blocks, n, error) : NULL;
    }
    Bytes *bytes = remote_bytes(remote, disk->temporary, REMOTE_UPDATE, error);
    return bytes ? vhd_continue(bytes, &disk->info, blocks, n, error) : NULL;
}

/* What was told last was made durable last: is it there? */
static bool check_last(OpenDisk *disk, DiskWriter *inner, GError **error)
{
    guint32 n;
    g_autofree guint32 *blocks = block_map_in_order(disk->hashes, &n);
    g_autoptr(BlockBuffer) buffer = block_buffer_take(DISK_BLOCK_BYTES);
    for (guint32 i = n > CATALOG_MARK_BLOCKS ? n - CATALOG_MARK_BLOCKS : 0; i < n; i++) {
        guint8 hash[BLOCK_HASH_BYTES], found[BLOCK_HASH_BYTES];
        if (!inner->ops->get_block(inner, blocks[i], buffer, error))
            return false;
        block_hash(buffer, found);
        block_map_get(disk->hashes, blocks[i], hash);
        if (memcmp(hash, found, sizeof hash) == 0)
            continue;
        err_set(error, ERR_CORRUPT, "%s: block %u is not as the journal has it", disk->temporary,
                blocks[i]);
        return false;
    }
    return true;
}

static bool go_on(OpenDisk *disk, const char *parent, const char *place, GBytes *rows,
                  GError **error)
{
    gsize n;
    const void *data = g_bytes_get_data(rows, &n);
    bool named;
    g_autofree char *parent_codec = NULL, *folder = g_strconcat(disk->folder, "/", NULL);
    if (!g_str_has_prefix(place, folder)) {
        err_set(error, ERR_INVALID, "%s is not in %s", place, folder);
        return false;
    }
    disk->temporary = g_strdup(place);
    if (!set_parent(disk, parent, &parent_codec, error) ||
        !block_map_add_rows(disk->hashes, data, n, error) || !has_name(disk, &named, error))
        return false;
    if (named)
        return take_named(disk, error);
    g_autofree char *codec = codec_for(disk->catalog, parent_codec);
    DiskWriter *inner = reopen(disk, codec, error);
    if (!inner)
        return false;
    disk->base.writer = marking_writer_new(inner, disk->hashes);
    return check_last(disk, inner, error);
}

CatalogDisk *catalog_disk_continue(Catalog *catalog, const char *vm, const char *job,
                                   const char *vdi, gint64 time_ms, const DiskInfo *info,
                                   const char *parent, const char *place, GBytes *rows,
                                   GError **error)
{
    OpenDisk *disk = open_disk_new(catalog, vm, job, vdi, time_ms, info, error);
    if (!disk)
        return NULL;
    if (go_on(disk, parent, place, rows, error))
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
    return remote_put(disk->catalog->remote, path, target, strlen(target), REMOTE_PUT_NEW, error);
}

/* The point's manifest will name its blocks. */
static void remember_finished(OpenDisk *disk)
{
    Catalog *catalog = disk->catalog;
    pthread_mutex_lock(&catalog->lock);
    g_hash_table_insert(catalog->finished, g_strjoin("/", disk->vm, disk->base.path, NULL),
                        finished_disk_new(&disk->info, disk->hashes));
    pthread_mutex_unlock(&catalog->lock);
}

bool catalog_disk_finish(CatalogDisk *base, guint64 *size_bytes, GError **error)
{
    OpenDisk *disk = (OpenDisk *) base;
    MemberPlace place = { disk->temporary, disk->is_directory };
    g_autofree char *name = g_strjoin("/", disk->folder, disk->name, NULL);
    if (base->done) {
        *size_bytes = disk->size_bytes;
        remember_finished(disk);
        return true;
    }
    if (!marking_writer_flush(disk->base.writer, error) ||
        !disk_finish(disk->base.writer, size_bytes, error))
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
    remember_finished(disk);
    return true;
}

void catalog_disk_free(CatalogDisk *base)
{
    OpenDisk *disk = (OpenDisk *) base;
    if (!disk)
        return;
    if (disk->base.writer)
        disk_writer_close(disk->base.writer);
    bool stays = disk->finished || base->keep || cancel_is_set(disk->catalog->suspend);
    if (disk->temporary && !stays) {
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
