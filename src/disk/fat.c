/* One reserved sector, two tables, the root folder, clusters of 2 KiB handed out in order. */
#include "disk/fat.h"

#include "base/error.h"
#include "base/mutant.h"

#include <string.h>

enum {
    SECTOR = 512,
    PER_CLUSTER = 4,
    CLUSTER = SECTOR * PER_CLUSTER,
    N_SECTORS = FAT_IMAGE_BYTES / SECTOR,
    TABLE_SECTORS = 20,
    N_TABLES = 2,
    ROOT_ENTRIES = 512,
    ENTRY = 32,
    ROOT_AT = (1 + N_TABLES * TABLE_SECTORS) * SECTOR,
    DATA_AT = ROOT_AT + ROOT_ENTRIES * ENTRY,
    N_CLUSTERS = (FAT_IMAGE_BYTES - DATA_AT) / CLUSTER,
    FIRST_CLUSTER = 2,
    IS_LABEL = 0x08,
    IS_FOLDER = 0x10,
    IS_LONG_NAME = 0x0f,
    LONG_NAME_PART = 13, /* characters in one entry */
    DATE_1980 = 0x0021,
    END = 0xffff,
};

/* A folder that is being filled. */
typedef struct {
    char *path;
    guint at, end; /* bytes of the image: the next entry, and behind the last */
    guint cluster; /* 0: the root */
} Folder;

typedef struct {
    guint8 *bytes;
    guint next_cluster, n_names;
    GPtrArray *folders; /* Folder */
} Image;

static void folder_free(void *data)
{
    g_free(((Folder *) data)->path);
    g_free(data);
}

static void put16(guint8 *at, guint value)
{
    at[0] = (guint8) value;
    at[1] = (guint8) (value >> 8);
}

static void put32(guint8 *at, guint32 value)
{
    put16(at, value & 0xffff);
    put16(at + 2, value >> 16);
}

/* --- Clusters --- */

/* The first of a chain of so many; 0 with an error. */
static guint allocate(Image *image, guint n, GError **error)
{
    guint first = image->next_cluster;
    if (n > N_CLUSTERS - (first - FIRST_CLUSTER)) {
        err_set(error, ERR_LIMIT, "the drive of %d MiB is too small for these files",
                FAT_IMAGE_BYTES >> 20);
        return 0;
    }
    for (guint i = 0; i < n; i++)
        for (guint table = 0; table < N_TABLES; table++)
            put16(image->bytes + (1 + table * TABLE_SECTORS) * SECTOR + (first + i) * 2,
                  i + 1 < n ? first + i + 1 : END);
    image->next_cluster += n;
    return first;
}

static guint offset_of(guint cluster)
{
    return DATA_AT + (cluster - FIRST_CLUSTER) * CLUSTER;
}

/* --- Entries --- */

static guint8 *next_entry(Image *image, Folder *folder, GError **error)
{
    if (folder->at + ENTRY > folder->end) {
        err_set(error, ERR_LIMIT, "too many files in \"%s\"", folder->path);
        return NULL;
    }
    guint8 *entry = image->bytes + folder->at;
    folder->at += ENTRY;
    return entry;
}

static guint8 checksum(const char short_name[11])
{
    guint8 sum = 0;
    guint i = MUTANT(fat_wrong_sum); /* mutant: system:test_machines.Machines.test_cloud_init */
    for (; i < 11; i++)
        sum = (guint8) ((sum << 7 | sum >> 1) + (guint8) short_name[i]);
    return sum;
}

/* Where the characters of a part of a long name stand in its entry. */
static const guint8 places[LONG_NAME_PART] = { 1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30 };

/* The parts come last first. */
static bool put_long_name(Image *image, Folder *folder, const char *name, guint8 sum,
                          GError **error)
{
    guint n = (guint) strlen(name), n_parts = (n + LONG_NAME_PART - 1) / LONG_NAME_PART;
    for (guint part = n_parts; part > 0; part--) {
        guint8 *entry = next_entry(image, folder, error);
        if (!entry)
            return false;
        entry[0] = (guint8) (part | (part == n_parts ? 0x40 : 0));
        entry[11] = IS_LONG_NAME;
        entry[13] = sum;
        for (guint i = 0; i < LONG_NAME_PART; i++) {
            guint at = (part - 1) * LONG_NAME_PART + i;
            put16(entry + places[i], at < n ? (guint8) name[at] : at == n ? 0 : 0xffff);
        }
    }
    return true;
}

static void fill_entry(guint8 *entry, const char short_name[11], guint attributes, guint cluster,
                       gsize n_bytes)
{
    memcpy(entry, short_name, 11);
    entry[11] = (guint8) attributes;
    put16(entry + 16, DATE_1980);
    put16(entry + 18, DATE_1980);
    put16(entry + 24, DATE_1980);
    put16(entry + 26, cluster);
    put32(entry + 28, (guint32) n_bytes);
}

/* Every name is a long one; the short ones are numbers that nobody sees. */
static bool put_entry(Image *image, Folder *folder, const char *name, guint attributes,
                      guint cluster, gsize n_bytes, GError **error)
{
    char short_name[16];
    g_snprintf(short_name, sizeof short_name, "F%07u   ", image->n_names++ % 10000000);
    if (!*name || strlen(name) > FAT_MAX_NAME) {
        err_set(error, ERR_INVALID, "\"%.80s\": no name for a file", name);
        return false;
    }
    if (!put_long_name(image, folder, name, checksum(short_name), error))
        return false;
    guint8 *entry = next_entry(image, folder, error);
    if (entry)
        fill_entry(entry, short_name, attributes, cluster, n_bytes);
    return entry != NULL;
}

/* --- Folders and files --- */

static Folder *folder_add(Image *image, const char *path, guint at, guint end, guint cluster)
{
    Folder *folder = g_new(Folder, 1);
    *folder = (Folder){ g_strdup(path), at, end, cluster };
    g_ptr_array_add(image->folders, folder);
    return folder;
}

static Folder *folder_make(Image *image, Folder *parent, const char *path, const char *name,
                           GError **error)
{
    guint cluster = allocate(image, 1, error);
    if (!cluster || !put_entry(image, parent, name, IS_FOLDER, cluster, 0, error))
        return NULL;
    guint at = offset_of(cluster);
    fill_entry(image->bytes + at, ".          ", IS_FOLDER, cluster, 0);
    fill_entry(image->bytes + at + ENTRY, "..         ", IS_FOLDER, parent->cluster, 0);
    return folder_add(image, path, at + 2 * ENTRY, at + CLUSTER, cluster);
}

/* The folder of a path's first `n` bytes ("" is the root), made with its parents. */
static Folder *folder_of(Image *image, const char *whole, gsize n, GError **error)
{
    g_autofree char *path = g_strndup(whole, n);
    for (guint i = 0; i < image->folders->len; i++)
        if (strcmp(((Folder *) image->folders->pdata[i])->path, path) == 0)
            return image->folders->pdata[i];
    const char *slash = strrchr(path, '/');
    Folder *parent = folder_of(image, path, slash ? (gsize) (slash - path) : 0, error);
    return parent ? folder_make(image, parent, path, slash ? slash + 1 : path, error) : NULL;
}

static bool put_file(Image *image, const FatFile *file, GError **error)
{
    const char *slash = strrchr(file->path, '/');
    gsize n = strlen(file->data);
    Folder *folder = folder_of(image, file->path, slash ? (gsize) (slash - file->path) : 0, error);
    if (!folder || n > FAT_IMAGE_BYTES) {
        if (folder)
            err_set(error, ERR_LIMIT, "%s is too large", file->path);
        return false;
    }
    guint cluster = n ? allocate(image, (guint) ((n + CLUSTER - 1) / CLUSTER), error) : 0;
    if (n && !cluster)
        return false;
    if (n)
        memcpy(image->bytes + offset_of(cluster), file->data, n);
    return put_entry(image, folder, slash ? slash + 1 : file->path, 0, cluster, n, error);
}

/* --- The whole --- */

static void put_boot_sector(guint8 *sector, const char label[11])
{
    memcpy(sector,
           "\xeb\x3c\x90"
           "cadenza ",
           11);
    put16(sector + 11, SECTOR);
    sector[13] = PER_CLUSTER;
    put16(sector + 14, 1);
    sector[16] = N_TABLES;
    put16(sector + 17, ROOT_ENTRIES);
    put16(sector + 19, N_SECTORS);
    sector[21] = 0xf8;
    put16(sector + 22, TABLE_SECTORS);
    put16(sector + 24, 32);
    put16(sector + 26, 64);
    sector[36] = 0x80;
    sector[38] = 0x29;
    put32(sector + 39, 0x20261122);
    memcpy(sector + 43, label, 11);
    memcpy(sector + 54, "FAT16   ", 8);
    put16(sector + 510, 0xaa55);
}

GBytes *fat_image(const char *label, const FatFile *files, guint n_files, GError **error)
{
    char padded[16];
    g_snprintf(padded, 12, "%-11s", label);
    Image image = { g_malloc0(FAT_IMAGE_BYTES), FIRST_CLUSTER, 0,
                    g_ptr_array_new_with_free_func(folder_free) };
    put_boot_sector(image.bytes, padded);
    for (guint table = 0; table < N_TABLES; table++)
        put32(image.bytes + (1 + table * TABLE_SECTORS) * SECTOR, 0xfffffff8);
    fill_entry(image.bytes + ROOT_AT, padded, IS_LABEL, 0, 0);
    folder_add(&image, "", ROOT_AT + ENTRY, DATA_AT, 0);
    bool ok = true;
    for (guint i = 0; ok && i < n_files; i++)
        ok = put_file(&image, &files[i], error);
    g_ptr_array_unref(image.folders);
    if (ok)
        return g_bytes_new_take(image.bytes, FAT_IMAGE_BYTES);
    g_free(image.bytes);
    return NULL;
}

/* --- A disk around it --- */

GBytes *fat_disk(GBytes *image)
{
    enum {
        START = (FAT_DISK_BYTES - FAT_IMAGE_BYTES) / SECTOR,
        HIDDEN_SECTORS_AT = 28, /* of the boot sector */
        ENTRY_AT = 446,
        TYPE_FAT16_LBA = 0x0e,
    };
    guint8 *disk = g_malloc0(FAT_DISK_BYTES), *entry = disk + ENTRY_AT;
    guint8 *volume = disk + START * SECTOR;
    memcpy(volume, g_bytes_get_data(image, NULL), FAT_IMAGE_BYTES);
    put32(volume + HIDDEN_SECTORS_AT, START);
    memset(entry + 1, 0xff, 3); /* no cylinders: the numbers of sectors count */
    entry[4] = TYPE_FAT16_LBA;
    memset(entry + 5, 0xff, 3);
    put32(entry + 8, START);
    put32(entry + 12, N_SECTORS);
    put16(disk + SECTOR - 2, 0xaa55);
    return g_bytes_new_take(disk, FAT_DISK_BYTES);
}
