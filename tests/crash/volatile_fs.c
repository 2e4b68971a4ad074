/* A file system for tests of power cuts, in memory. What is written, created, renamed, deleted is
 * volatile until fsync: of the file for its bytes, of its folder for its name. At the cut a random
 * part of what was volatile survives: each change of a name or not, each 512 bytes of a file or
 * not.
 *
 *   volatile_fs MOUNTPOINT FOLDER    starts with what is in FOLDER; stays in the foreground
 *   mkdir MOUNTPOINT/.cut-SEED-PERCENT    writes what survives to FOLDER.after, then fails every
 * call
 *   mkdir MOUNTPOINT/.stall-CALL    (which fails) the next such call, "fsync", and all that follow
 * it wait until SIGUSR1 */
#define FUSE_USE_VERSION 35
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <glib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { SECTOR_BYTES = 512, CUT_PREFIX = 6, STALL_PREFIX = 8 };

typedef struct {
    guint64 number;
    mode_t mode;
    struct timespec mtime;
    unsigned n_links;
    GByteArray *now, *durable;             /* of a file */
    GHashTable *names_now, *names_durable; /* of a folder: name → Node */
} Node;

/* A change of names, one for the disk whatever it touches; `node` NULL: the name goes. */
typedef struct {
    Node *folder[2];
    char *name[2];
    Node *node[2];
    unsigned n;
} Change;

typedef struct {
    Node *root;
    GQueue changes; /* volatile, oldest first */
    guint64 last_number;
    const char *place;
    char *stall; /* the call that does not come back: "fsync"; NULL: all do */
    bool is_cut;
} Disk;

static volatile sig_atomic_t released;

static Disk *the_disk(void)
{
    return fuse_get_context()->private_data;
}

/* --- Nodes and names --- */

static Node *node_new(Disk *disk, mode_t mode)
{
    Node *node = g_new0(Node, 1);
    node->number = ++disk->last_number;
    node->mode = mode;
    node->n_links = 1;
    clock_gettime(CLOCK_REALTIME, &node->mtime);
    if (S_ISDIR(mode)) {
        node->names_now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
        node->names_durable = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    } else {
        node->now = g_byte_array_new();
        node->durable = g_byte_array_new();
    }
    return node;
}

static Node *find(Disk *disk, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    Node *node = disk->root;
    for (unsigned i = 0; node && parts[i]; i++)
        if (*parts[i])
            node = node->names_now ? g_hash_table_lookup(node->names_now, parts[i]) : NULL;
    return node;
}

static Node *find_folder(Disk *disk, const char *path, char **name)
{
    g_autofree char *folder = g_path_get_dirname(path);
    *name = g_path_get_basename(path);
    return find(disk, folder);
}

static void set_name(GHashTable *names, const char *name, Node *node)
{
    if (node)
        g_hash_table_replace(names, g_strdup(name), node);
    else
        g_hash_table_remove(names, name);
}

static Change *change_new(Disk *disk)
{
    Change *change = g_new0(Change, 1);
    g_queue_push_tail(&disk->changes, change);
    return change;
}

/* The name and its reference are taken. */
static void change_add(Change *change, Node *folder, char *name, Node *node)
{
    change->folder[change->n] = folder;
    change->name[change->n] = name;
    change->node[change->n++] = node;
    set_name(folder->names_now, name, node);
    clock_gettime(CLOCK_REALTIME, &folder->mtime);
}

static void apply(Change *change)
{
    for (unsigned i = 0; i < change->n; i++) {
        set_name(change->folder[i]->names_durable, change->name[i], change->node[i]);
        g_free(change->name[i]);
    }
    g_free(change);
}

/* --- The cut --- */

static GByteArray *surviving(const Node *node, GRand *chance, double part)
{
    GByteArray *bytes = g_byte_array_new();
    guint size = g_rand_double(chance) < part ? node->now->len : node->durable->len;
    g_byte_array_set_size(bytes, size);
    if (size)
        memset(bytes->data, 0, size);
    for (guint at = 0; at < size; at += SECTOR_BYTES) {
        GByteArray *from = g_rand_double(chance) < part ? node->now : node->durable;
        if (from->len > at)
            memcpy(bytes->data + at, from->data + at, MIN(SECTOR_BYTES, MIN(size, from->len) - at));
    }
    return bytes;
}

static void write_out(const Node *node, const char *path, GRand *chance, double part)
{
    GHashTableIter iter;
    gpointer name, child;
    if (!node->names_durable) {
        bool settled =
            node->now->len == node->durable->len &&
            (!node->now->len || memcmp(node->now->data, node->durable->data, node->now->len) == 0);
        GByteArray *bytes = settled ? g_byte_array_ref(node->now) : surviving(node, chance, part);
        if (!g_file_set_contents(path, (char *) bytes->data, bytes->len, NULL))
            g_error("%s cannot be written", path);
        g_byte_array_unref(bytes);
    } else {
        g_mkdir_with_parents(path, 0755);
        g_hash_table_iter_init(&iter, node->names_durable);
        while (g_hash_table_iter_next(&iter, &name, &child)) {
            g_autofree char *below = g_build_filename(path, name, NULL);
            write_out(child, below, chance, part);
        }
    }
    struct timespec times[2] = { node->mtime, node->mtime };
    chmod(path, node->mode & 07777);
    utimensat(AT_FDCWD, path, times, 0);
}

static int cut(Disk *disk, const char *order)
{
    unsigned seed = 0, percent = 0;
    if (sscanf(order, "/.cut-%u-%u", &seed, &percent) != 2)
        return -EINVAL;
    GRand *chance = g_rand_new_with_seed(seed);
    for (Change *change; (change = g_queue_pop_head(&disk->changes));)
        if (g_rand_double(chance) < percent / 100.0)
            apply(change);
    g_autofree char *after = g_strconcat(disk->place, ".after", NULL);
    write_out(disk->root, after, chance, percent / 100.0);
    g_rand_free(chance);
    disk->is_cut = true;
    return 0;
}

/* --- Stalls --- */

static void on_release(int signal)
{
    released = 1;
}

/* The next call of this name does not come back before SIGUSR1, nor does any that follows it: there
 * is one thread. */
static int order_stall(Disk *disk, const char *order)
{
    g_free(disk->stall);
    disk->stall = g_strdup(order + STALL_PREFIX);
    released = 0;
    return -ECANCELED; /* a folder that is made is looked at */
}

static void stall(Disk *disk, const char *call)
{
    if (!disk->stall || strcmp(disk->stall, call) != 0)
        return;
    while (!released)
        g_usleep(10000);
    g_clear_pointer(&disk->stall, g_free);
}

/* --- Calls --- */

#define DISK_OR_FAIL(disk)                                                                         \
    Disk *disk = the_disk();                                                                       \
    stall(disk, __func__ + strlen("fs_"));                                                         \
    if (disk->is_cut)                                                                              \
    return -EIO

static Node *node_of(Disk *disk, const char *path, struct fuse_file_info *info)
{
    return info && info->fh ? (Node *) (gsize) info->fh : find(disk, path);
}

static int fs_getattr(const char *path, struct stat *st, struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    if (!node)
        return -ENOENT;
    *st = (struct stat){ .st_ino = node->number,
                         .st_mode = node->mode,
                         .st_nlink = node->n_links,
                         .st_size = node->now ? node->now->len : 4096,
                         .st_mtim = node->mtime,
                         .st_blksize = 4096 };
    st->st_blocks = (st->st_size + SECTOR_BYTES - 1) / SECTOR_BYTES;
    return 0;
}

static int fs_readdir(const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset,
                      struct fuse_file_info *info, enum fuse_readdir_flags flags)
{
    DISK_OR_FAIL(disk);
    Node *node = find(disk, path);
    GHashTableIter iter;
    gpointer name;
    if (!node || !node->names_now)
        return -ENOTDIR;
    fill(buffer, ".", NULL, 0, 0);
    fill(buffer, "..", NULL, 0, 0);
    g_hash_table_iter_init(&iter, node->names_now);
    while (g_hash_table_iter_next(&iter, &name, NULL))
        fill(buffer, name, NULL, 0, 0);
    return 0;
}

static int make(Disk *disk, const char *path, mode_t mode, Node **made)
{
    char *name;
    Node *folder = find_folder(disk, path, &name);
    if (!folder || !folder->names_now || g_hash_table_contains(folder->names_now, name)) {
        int failed = folder ? -EEXIST : -ENOENT;
        g_free(name);
        return failed;
    }
    *made = node_new(disk, mode);
    change_add(change_new(disk), folder, name, *made);
    return 0;
}

static int fs_mkdir(const char *path, mode_t mode)
{
    Node *made;
    DISK_OR_FAIL(disk);
    if (strncmp(path, "/.cut-", CUT_PREFIX) == 0)
        return cut(disk, path);
    if (strncmp(path, "/.stall-", STALL_PREFIX) == 0)
        return order_stall(disk, path);
    return make(disk, path, S_IFDIR | mode, &made);
}

static int fs_create(const char *path, mode_t mode, struct fuse_file_info *info)
{
    Node *made = NULL;
    DISK_OR_FAIL(disk);
    int failed = make(disk, path, S_IFREG | mode, &made);
    info->fh = (gsize) made;
    return failed;
}

static int fs_open(const char *path, struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = find(disk, path);
    if (!node || !node->now)
        return node ? -EISDIR : -ENOENT;
    if (info->flags & O_TRUNC)
        g_byte_array_set_size(node->now, 0);
    info->fh = (gsize) node;
    return 0;
}

static int take_away(const char *path, bool is_folder)
{
    char *name;
    DISK_OR_FAIL(disk);
    Node *node = find(disk, path), *folder = find_folder(disk, path, &name);
    int failed = !node                           ? -ENOENT
                 : !node->names_now == is_folder ? (is_folder ? -ENOTDIR : -EISDIR)
                                                 : 0;
    if (!failed && is_folder && g_hash_table_size(node->names_now))
        failed = -ENOTEMPTY;
    if (failed)
        g_free(name);
    else
        change_add(change_new(disk), folder, name, NULL);
    if (!failed)
        node->n_links--;
    return failed;
}

static int fs_unlink(const char *path)
{
    return take_away(path, false);
}

static int fs_rmdir(const char *path)
{
    return take_away(path, true);
}

static int fs_rename(const char *from, const char *to, unsigned flags)
{
    char *name, *new_name;
    DISK_OR_FAIL(disk);
    Node *node = find(disk, from), *there = find(disk, to);
    if (!node || (flags & ~1u))
        return node ? -EINVAL : -ENOENT;
    if (there && (flags || (there->names_now && g_hash_table_size(there->names_now))))
        return flags ? -EEXIST : -ENOTEMPTY;
    Node *folder = find_folder(disk, from, &name), *new_folder = find_folder(disk, to, &new_name);
    if (!new_folder || !new_folder->names_now) {
        g_free(name);
        g_free(new_name);
        return -ENOENT;
    }
    Change *change = change_new(disk);
    change_add(change, folder, name, NULL);
    change_add(change, new_folder, new_name, node);
    return 0;
}

static int fs_link(const char *from, const char *to)
{
    char *name;
    DISK_OR_FAIL(disk);
    Node *node = find(disk, from), *folder = find_folder(disk, to, &name);
    if (!node || !folder || find(disk, to)) {
        g_free(name);
        return node && folder ? -EEXIST : -ENOENT;
    }
    change_add(change_new(disk), folder, name, node);
    node->n_links++;
    return 0;
}

static int fs_read(const char *path, char *buffer, size_t n, off_t offset,
                   struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    guint64 at = (guint64) offset, size = node->now->len;
    if (at >= size)
        return 0;
    n = MIN(n, size - at);
    memcpy(buffer, node->now->data + at, n);
    return (int) n;
}

static void resize(Node *node, guint64 size)
{
    guint old = node->now->len;
    g_byte_array_set_size(node->now, (guint) size);
    if (size > old)
        memset(node->now->data + old, 0, size - old);
    clock_gettime(CLOCK_REALTIME, &node->mtime);
}

static int fs_write(const char *path, const char *data, size_t n, off_t offset,
                    struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    guint64 end = (guint64) offset + n;
    if (end > G_MAXINT)
        return -EFBIG;
    resize(node, MAX(end, node->now->len));
    memcpy(node->now->data + offset, data, n);
    return (int) n;
}

static int fs_truncate(const char *path, off_t size, struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    if (!node || !node->now || size > G_MAXINT)
        return node ? -EINVAL : -ENOENT;
    resize(node, (guint64) size);
    return 0;
}

static int fs_fsync(const char *path, int only_data, struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    g_byte_array_set_size(node->durable, node->now->len);
    if (node->now->len)
        memcpy(node->durable->data, node->now->data, node->now->len);
    return 0;
}

static int fs_fsyncdir(const char *path, int only_data, struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *folder = find(disk, path);
    for (GList *each = disk->changes.head, *next; each; each = next) {
        Change *change = each->data;
        next = each->next;
        if (change->folder[0] != folder && change->folder[1] != folder)
            continue;
        apply(change);
        g_queue_delete_link(&disk->changes, each);
    }
    return 0;
}

static int fs_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    if (!node)
        return -ENOENT;
    if (!times || times[1].tv_nsec == UTIME_NOW)
        clock_gettime(CLOCK_REALTIME, &node->mtime);
    else if (times[1].tv_nsec != UTIME_OMIT)
        node->mtime = times[1];
    return 0;
}

static int fs_chmod(const char *path, mode_t mode, struct fuse_file_info *info)
{
    DISK_OR_FAIL(disk);
    Node *node = node_of(disk, path, info);
    if (node)
        node->mode = (node->mode & S_IFMT) | (mode & 07777);
    return node ? 0 : -ENOENT;
}

static int fs_statfs(const char *path, struct statvfs *st)
{
    *st = (struct statvfs){ .f_bsize = 4096,
                            .f_frsize = 4096,
                            .f_blocks = 1 << 20,
                            .f_bfree = 1 << 19,
                            .f_bavail = 1 << 19,
                            .f_namemax = 255 };
    return 0;
}

static void *fs_init(struct fuse_conn_info *connection, struct fuse_config *config)
{
    config->hard_remove = 1;
    config->use_ino = 1;
    config->entry_timeout = config->attr_timeout = config->negative_timeout = 0;
    puts("ready");
    fflush(stdout);
    return the_disk();
}

static const struct fuse_operations calls = {
    .getattr = fs_getattr,
    .readdir = fs_readdir,
    .mkdir = fs_mkdir,
    .rmdir = fs_rmdir,
    .create = fs_create,
    .open = fs_open,
    .unlink = fs_unlink,
    .rename = fs_rename,
    .link = fs_link,
    .read = fs_read,
    .write = fs_write,
    .truncate = fs_truncate,
    .fsync = fs_fsync,
    .fsyncdir = fs_fsyncdir,
    .utimens = fs_utimens,
    .chmod = fs_chmod,
    .statfs = fs_statfs,
    .init = fs_init,
};

/* --- The start --- */

static Node *load(Disk *disk, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return NULL;
    Node *node = node_new(disk, st.st_mode);
    node->mtime = st.st_mtim;
    if (!node->names_now) {
        g_autofree char *data = NULL;
        gsize n = 0;
        if (!g_file_get_contents(path, &data, &n, NULL))
            g_error("%s cannot be read", path);
        g_byte_array_append(node->now, (guint8 *) data, (guint) n);
        g_byte_array_append(node->durable, (guint8 *) data, (guint) n);
        return node;
    }
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    for (const char *name; folder && (name = g_dir_read_name(folder));) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        Node *child = load(disk, below);
        if (child) {
            set_name(node->names_now, name, child);
            set_name(node->names_durable, name, child);
        }
    }
    return node;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: volatile_fs MOUNTPOINT FOLDER\n");
        return 2;
    }
    Disk disk = { .place = argv[2] };
    signal(SIGUSR1, on_release);
    disk.root = load(&disk, disk.place);
    if (!disk.root)
        return 2;
    char *fuse_argv[] = { argv[0],       argv[1],       (char *) "-f",
                          (char *) "-s", (char *) "-o", (char *) "default_permissions,allow_other",
                          NULL };
    return fuse_main(6, fuse_argv, &calls, &disk);
}
