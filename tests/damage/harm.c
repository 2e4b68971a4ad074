/* Damage as storage does it: times of files stay as they were. */
#include "harm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SECTOR = 512,
    HEAD_BYTES = 1536,
    BLOCK_BYTES = 2 << 20,
    STORED_BYTES = SECTOR + BLOCK_BYTES
};

/* --- the files --- */

static void list_into(Repository *repository, const char *relative)
{
    g_autofree char *path = g_build_filename(repository->root, relative, NULL);
    g_autoptr(GDir) folder = g_dir_open(path, 0, NULL);
    const char *name;
    while (folder && (name = g_dir_read_name(folder))) {
        char *child = *relative ? g_build_filename(relative, name, NULL) : g_strdup(name);
        g_ptr_array_add(repository->all, child);
        list_into(repository, child);
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

Repository *repository_open(const char *root, guint32 seed)
{
    Repository *repository = g_new0(Repository, 1);
    repository->root = g_strdup(root);
    repository->aside = g_strconcat(root, ".aside", NULL);
    repository->all = g_ptr_array_new_with_free_func(g_free);
    repository->random = g_rand_new_with_seed(seed);
    g_mkdir_with_parents(repository->aside, 0755);
    list_into(repository, "");
    g_ptr_array_sort(repository->all, by_name);
    return repository;
}

void repository_close(Repository *repository)
{
    rmdir(repository->aside);
    g_ptr_array_unref(repository->all);
    g_rand_free(repository->random);
    g_free(repository->root);
    g_free(repository->aside);
    g_free(repository);
}

static char *whole(Repository *repository, const char *relative)
{
    return g_build_filename(repository->root, relative, NULL);
}

static bool is_folder(Repository *repository, const char *relative)
{
    g_autofree char *path = whole(repository, relative);
    return g_file_test(path, G_FILE_TEST_IS_DIR);
}

/* Kinds of files, so that the many blocks do not draw all of the damage. */
static const char *class_of(Repository *repository, const char *path)
{
    g_autofree char *name = g_path_get_basename(path);
    if (is_folder(repository, path))
        return strstr(path, "/vdis/") ? "folder" : "top";
    if (strstr(path, "/blocks/"))
        return "block";
    if (g_str_has_prefix(path, ".cadenza"))
        return "ours";
    static const char *const suffixes[] = { ".alias.vhd", ".vhd", ".json", ".gz", ".xva" };
    for (gsize i = 0; i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(name, suffixes[i]))
            return strcmp(name, "chunk-filters.json") == 0 ? "chunk" : suffixes[i];
    return "chunk";
}

/* A file or folder of one class; the class is drawn first when `class` is NULL. */
static const char *draw(Repository *repository, const char *class)
{
    static const char *const classes[] = { "folder", "block", "ours", "chunk", ".alias.vhd",
                                           ".vhd",   ".json", ".gz",  ".xva" };
    if (!class)
        class = classes[g_rand_int_range(repository->random, 0, G_N_ELEMENTS(classes))];
    g_autoptr(GPtrArray) found = g_ptr_array_new();
    for (guint i = 0; i < repository->all->len; i++)
        if (strcmp(class_of(repository, repository->all->pdata[i]), class) == 0)
            g_ptr_array_add(found, repository->all->pdata[i]);
    return found->len ? found->pdata[g_rand_int_range(repository->random, 0, (gint32) found->len)]
                      : NULL;
}

/* --- undo --- */

typedef struct {
    char *path;    /* to write to, or to rename to */
    char *from;    /* of a rename, else NULL */
    GBytes *bytes; /* what was there */
    gint64 at;     /* where */
    struct timespec times[2];
} Step;

static void step_free(gpointer data)
{
    Step *step = data;
    g_free(step->path);
    g_free(step->from);
    if (step->bytes)
        g_bytes_unref(step->bytes);
    g_free(step);
}

static Harm *harm_new(const char *kind, const char *first, const char *second)
{
    Harm *harm = g_new0(Harm, 1);
    harm->kind = g_strdup(kind);
    harm->paths[0] = g_strdup(first);
    harm->paths[1] = g_strdup(second);
    harm->undo = g_ptr_array_new_with_free_func(step_free);
    return harm;
}

static void move(Harm *harm, const char *from, const char *to)
{
    Step *step = g_new0(Step, 1);
    if (rename(from, to) != 0)
        g_error("rename %s: %m", from);
    step->path = g_strdup(from);
    step->from = g_strdup(to);
    g_ptr_array_add(harm->undo, step);
}

/* Bytes from `at` are replaced by `data`, or cut when it is NULL. */
static void replace(Harm *harm, const char *path, gint64 at, const void *data, gsize n)
{
    Step *step = g_new0(Step, 1);
    struct stat st;
    int fd = open(path, O_RDWR);
    if (fd < 0 || fstat(fd, &st) != 0)
        g_error("open %s: %m", path);
    gsize n_old = data ? n : (gsize) (st.st_size - at);
    guint8 *old = g_malloc(n_old + 1);
    if (pread(fd, old, n_old, at) != (gssize) n_old)
        g_error("read %s: %m", path);
    step->path = g_strdup(path);
    step->at = at;
    step->bytes = g_bytes_new_take(old, n_old);
    step->times[0] = st.st_atim;
    step->times[1] = st.st_mtim;
    g_ptr_array_add(harm->undo, step);
    bool ok = data ? pwrite(fd, data, n, at) == (gssize) n : ftruncate(fd, at) == 0;
    if (!ok || futimens(fd, step->times) != 0)
        g_error("write %s: %m", path);
    close(fd);
}

static void undo_step(const Step *step)
{
    gsize n;
    const void *data = step->bytes ? g_bytes_get_data(step->bytes, &n) : NULL;
    if (step->from) {
        if (rename(step->from, step->path) != 0)
            g_error("rename %s: %m", step->from);
        return;
    }
    int fd = open(step->path, O_WRONLY);
    if (fd < 0 || (n && pwrite(fd, data, n, step->at) != (gssize) n) ||
        futimens(fd, step->times) != 0)
        g_error("undo %s: %m", step->path);
    close(fd);
}

void harm_undo(Repository *repository, Harm *harm)
{
    for (guint i = harm->undo->len; i-- > 0;)
        undo_step(harm->undo->pdata[i]);
    g_ptr_array_unref(harm->undo);
    g_free(harm->kind);
    g_free(harm->paths[0]);
    g_free(harm->paths[1]);
    g_free(harm->words);
    g_free(harm);
}

/* --- the damages --- */

static gint64 size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_size : 0;
}

static bool is_flat(const char *path)
{
    return g_str_has_suffix(path, ".vhd") && !g_str_has_suffix(path, ".alias.vhd");
}

static guint32 be32(const guint8 *at)
{
    return (guint32) at[0] << 24 | (guint32) at[1] << 16 | (guint32) at[2] << 8 | at[3];
}

/* Where the blocks of a flat VHD lie, by its table; empty when it is no VHD. */
static GArray *blocks_of(const char *path)
{
    GArray *starts = g_array_new(FALSE, FALSE, sizeof(gint64));
    g_autofree char *data = NULL;
    gsize n;
    if (!g_file_get_contents(path, &data, &n, NULL) || n < HEAD_BYTES)
        return starts;
    guint32 n_entries = be32((guint8 *) data + SECTOR + 28);
    for (guint32 i = 0; i < n_entries && HEAD_BYTES + 4 * (i + 1ull) <= n; i++) {
        guint32 sector = be32((guint8 *) data + HEAD_BYTES + 4 * i);
        gint64 at = sector * (gint64) SECTOR;
        if (sector != G_MAXUINT32 && at + STORED_BYTES <= (gint64) n)
            g_array_append_val(starts, at);
    }
    return starts;
}

/* Heads and tables are small, and would never be hit: a part is drawn first. */
static gint64 draw_byte(Repository *repository, const char *path, gint64 size, HarmPlace *place)
{
    g_autoptr(GArray) starts = is_flat(path) ? blocks_of(path) : NULL;
    int part = starts && starts->len ? g_rand_int_range(repository->random, 0, 4) : 3;
    gint64 at = (gint64) (g_rand_double(repository->random) * (double) size);
    if (part == 0) /* footer copy, header, table */
        at = g_rand_int_range(repository->random, 0, (gint32) MIN(size, 2048));
    else if (part == 1) /* footer */
        at = size - g_rand_int_range(repository->random, 1, SECTOR + 1);
    else if (part == 2) /* a bitmap */
        at = g_array_index(starts, gint64,
                           (guint) g_rand_int_range(repository->random, 0, (gint32) starts->len)) +
             g_rand_int_range(repository->random, 0, SECTOR);
    for (guint i = 0; starts && i < starts->len; i++) {
        gint64 in_block = at - g_array_index(starts, gint64, i);
        if (in_block >= SECTOR && in_block < STORED_BYTES)
            *place = PLACE_FLAT_DATA;
    }
    return at;
}

static Harm *flip(Repository *repository)
{
    const char *path = draw(repository, NULL);
    g_autofree char *file = path ? whole(repository, path) : NULL;
    gint64 size = path && !is_folder(repository, path) ? size_of(file) : 0;
    if (size == 0)
        return NULL;
    Harm *harm = harm_new("flip", path, NULL);
    harm->place = strstr(path, "/blocks/") ? PLACE_PACKED_BLOCK : PLACE_OTHER;
    gint64 at = draw_byte(repository, file, size, &harm->place);
    guint8 byte;
    int fd = open(file, O_RDONLY), bit = g_rand_int_range(repository->random, 0, 8);
    if (fd < 0 || pread(fd, &byte, 1, at) != 1)
        g_error("read %s: %m", file);
    close(fd);
    byte ^= (guint8) (1 << bit);
    replace(harm, file, at, &byte, 1);
    harm->words = g_strdup_printf("bit %d of byte %" G_GINT64_FORMAT " of %s", bit, at, path);
    return harm;
}

static Harm *cut(Repository *repository)
{
    const char *path = draw(repository, NULL);
    g_autofree char *file = path ? whole(repository, path) : NULL;
    gint64 size = path && !is_folder(repository, path) ? size_of(file) : 0;
    if (size == 0)
        return NULL;
    Harm *harm = harm_new("truncate", path, NULL);
    gint64 at = g_rand_int_range(repository->random, 0, 4) == 0
                    ? 0
                    : (gint64) (g_rand_double(repository->random) * (double) size);
    replace(harm, file, at, NULL, 0);
    harm->words = g_strdup_printf("%s cut to %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " bytes",
                                  path, at, size);
    return harm;
}

static bool same_content(const char *a, const char *b)
{
    g_autofree char *x = NULL, *y = NULL;
    gsize n, m;
    return g_file_get_contents(a, &x, &n, NULL) && g_file_get_contents(b, &y, &m, NULL) && n == m &&
           memcmp(x, y, n) == 0;
}

static Harm *swap(Repository *repository)
{
    const char *first = draw(repository, NULL);
    const char *second = first ? draw(repository, class_of(repository, first)) : NULL;
    g_autofree char *a = first ? whole(repository, first) : NULL;
    g_autofree char *b = second ? whole(repository, second) : NULL;
    g_autofree char *aside = g_build_filename(repository->aside, "swap", NULL);
    if (!first || first == second || g_str_has_prefix(first, second) ||
        g_str_has_prefix(second, first) || same_content(a, b))
        return NULL;
    Harm *harm = harm_new("swap", first, second);
    harm->place = strstr(first, "/blocks/") ? PLACE_PACKED_BLOCK : PLACE_OTHER;
    move(harm, a, aside);
    move(harm, b, a);
    move(harm, aside, b);
    harm->words = g_strdup_printf("%s and %s swapped", first, second);
    return harm;
}

static Harm *swap_blocks(Repository *repository)
{
    const char *path = draw(repository, ".vhd");
    g_autofree char *file = path ? whole(repository, path) : NULL;
    g_autoptr(GArray) starts = path && is_flat(path) ? blocks_of(file) : NULL;
    g_autofree char *data = NULL;
    if (!starts || starts->len < 2 || !g_file_get_contents(file, &data, NULL, NULL))
        return NULL;
    guint i = (guint) g_rand_int_range(repository->random, 0, (gint32) starts->len);
    guint k = (guint) g_rand_int_range(repository->random, 0, (gint32) starts->len);
    gint64 x = g_array_index(starts, gint64, i), y = g_array_index(starts, gint64, k);
    if (memcmp(data + x, data + y, STORED_BYTES) == 0)
        return NULL;
    Harm *harm = harm_new("swap blocks", path, NULL);
    harm->place = PLACE_FLAT_DATA;
    replace(harm, file, x, data + y, STORED_BYTES);
    replace(harm, file, y, data + x, STORED_BYTES);
    harm->words = g_strdup_printf("stored blocks %u and %u of %s swapped", i, k, path);
    return harm;
}

static Harm *take_away(Repository *repository, const char *kind, const char *to)
{
    const char *path = draw(repository, NULL);
    if (!path)
        return NULL;
    g_autofree char *file = whole(repository, path),
                    *target = to ? g_strdup(to) : g_strconcat(file, ".old", NULL);
    Harm *harm = harm_new(kind, path, NULL);
    move(harm, file, target);
    harm->words = g_strdup_printf("%s %sd", path, kind);
    return harm;
}

static Harm *rename_one(Repository *repository)
{
    return take_away(repository, "rename", NULL);
}

static Harm *delete_one(Repository *repository)
{
    g_autofree char *aside = g_build_filename(repository->aside, "deleted", NULL);
    return take_away(repository, "delete", aside);
}

Harm *harm_do(Repository *repository)
{
    static Harm *(*const kinds[])(Repository *) = { flip,        flip,       cut,       swap,
                                                    swap_blocks, rename_one, delete_one };
    return kinds[g_rand_int_range(repository->random, 0, G_N_ELEMENTS(kinds))](repository);
}
