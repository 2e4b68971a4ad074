/* usage: repo_damage FOLDER SEED N
 *
 * Does N random damages to a repository, one after the other, each undone before the next, and
 * reads all of it each time: the list, and every disk strictly. Prints one JSON object:
 *   {"points": [{"path", "disks": [{"vdi", "sha256"}]}], of the sound repository
 *    "told": n, "harmless": n, "unknowable": {reason: n}, "failures": [text, …]}
 * told: a disk or a listing failed, and a message names what was harmed; harmless: every disk reads
 * as before; unknowable: other bytes were read, and nothing in the format could tell. Anything else
 * is a failure: wrong bytes that could be told, damage without its name, a sound VM that suffers, a
 * read that takes too long. */
#include "harm.h"

#include "base/log.h"
#include "catalog/catalog.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MAX_SECONDS = 60,
    MAX_DRAWS = 1000,
    SOUND_EVERY = 5, /* VMs that were not harmed are read after every fifth damage */
};

typedef struct {
    char *point, *vm, *path; /* the point's "_filename"; its VM; the disk's path */
    char *vdi, *sha256;
    char *sum;         /* of the content */
    bool is_verified;  /* all of it by manifests */
    const char *codec; /* "flat", or of the block directory's: of the format alone */
} Known;

typedef struct {
    Remote *remote;
    Catalog *catalog;
    GPtrArray *known;
    GString *said; /* messages while reading a harmed repository */
    unsigned n_tried;
} Reader;

/* Of what is not zeros: blocks that are absent and blocks of zeros are the same. */
static char *content(Disk *disk, Hash *sha256, GError **error)
{
    static const guint8 zeros[DISK_BLOCK_BYTES];
    g_autoptr(Hash) sum = hash_new(HASH_XXH3);
    g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
    hash_add(sum, &disk->info.size_bytes, sizeof disk->info.size_bytes);
    for (guint32 block = 0; block < disk->info.n_blocks; block++) {
        guint64 at = block * (guint64) DISK_BLOCK_BYTES;
        gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - at);
        bool there = disk_has(disk, block);
        if (there && !disk_read_block(disk, block, buffer, error))
            return NULL;
        const guint8 *data = there ? buffer : zeros;
        if (sha256)
            hash_add(sha256, data, n);
        if (memcmp(data, zeros, n) == 0)
            continue;
        hash_add(sum, &block, sizeof block);
        hash_add(sum, data, n);
    }
    return hash_end_hex(sum);
}

static void learn_disk(Reader *reader, json_t *point, json_t *row)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Hash) sha256 = hash_new(HASH_SHA256);
    Known *known = g_new0(Known, 1);
    known->point = g_strdup(json_string_value(json_object_get(point, "_filename")));
    known->path = g_strdup(json_string_value(json_object_get(row, "path")));
    known->vdi = g_strdup(json_string_value(json_object_get(row, "vdi")));
    known->vm = g_strdup(json_string_value(json_object_get(json_object_get(point, "vm"), "uuid")));
    g_autoptr(Disk) disk = catalog_point_disk_open(reader->catalog, point, known->path, &error);
    known->sum = disk ? content(disk, sha256, &error) : NULL;
    if (!known->sum)
        g_error("%s before any damage: %s", known->point, error->message);
    known->sha256 = hash_end_hex(sha256);
    CatalogVerified verified = catalog_disk_verified(disk);
    known->is_verified = verified.n_blocks && verified.n_blocks == verified.n_verified;
    g_ptr_array_add(reader->known, known);
}

static void each_point(Reader *reader, void (*each)(Reader *, json_t *point))
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) vms = catalog_vms(reader->catalog, &error);
    for (guint i = 0; vms && i < vms->len; i++) {
        json_t *problems = NULL, *points, *item;
        gsize k;
        points = catalog_points_afresh(reader->catalog, vms->pdata[i], &problems, &error);
        json_array_foreach (points, k, item)
            each(reader, item);
        json_array_foreach (problems, k, item)
            g_string_append_printf(reader->said, "%s\n", json_string_value(item));
        json_decref(points);
        json_decref(problems);
        if (error)
            g_string_append_printf(reader->said, "%s\n", error->message);
        g_clear_error(&error);
    }
    if (error)
        g_string_append_printf(reader->said, "%s\n", error->message);
}

static void learn_point(Reader *reader, json_t *point)
{
    json_t *rows = catalog_point_disks(reader->catalog, point, NULL), *row;
    gsize i;
    json_array_foreach (rows, i, row)
        learn_disk(reader, point, row);
    json_decref(rows);
}

/* As a list does: heads and links of every disk that the points name. */
static void list_point(Reader *reader, json_t *point)
{
    g_autoptr(GError) failure = NULL;
    json_t *rows = catalog_point_disks(reader->catalog, point, &failure), *row;
    gsize i;
    if (!rows)
        g_string_append_printf(reader->said, "%s\n", failure->message);
    bool is_full = g_strcmp0(json_string_value(json_object_get(point, "mode")), "full") == 0;
    json_array_foreach (rows, i, row) {
        if (is_full) /* all of an archive would be read to open it */
            break;
        g_autoptr(GError) error = NULL;
        const char *path = json_string_value(json_object_get(row, "path"));
        g_autoptr(Disk) disk = catalog_point_disk_open(reader->catalog, point, path, &error);
        if (!disk)
            g_string_append_printf(reader->said, "%s\n", error->message);
    }
    json_decref(rows);
}

/* Reads a disk of the harmed repository: NULL with its complaint in reader->said, or the sum. */
static char *read_known(Reader *reader, const Known *known)
{
    g_autoptr(GError) error = NULL;
    json_t *point = catalog_point(reader->catalog, known->point, &error);
    g_autoptr(Disk)
        disk = point ? catalog_point_disk_open(reader->catalog, point, known->path, &error) : NULL;
    char *sum = disk ? content(disk, NULL, &error) : NULL;
    json_decref(point);
    if (!sum)
        g_string_append_printf(reader->said, "%s\n", error->message);
    return sum;
}

/* --- one damage --- */

typedef struct {
    Reader *reader;
    const Harm *harm;
    bool failed, wrong, wrong_verified;
    GString *defects;
} Trial;

static bool concerns(const Harm *harm, const Known *known)
{
    for (int i = 0; i < 2; i++)
        if (harm->paths[i] &&
            (strstr(harm->paths[i], known->vm) || !strstr(harm->paths[i], "xo-vm-backups/")))
            return true;
    return false;
}

static void try_disk(Trial *trial, const Known *known)
{
    g_autofree char *sum = read_known(trial->reader, known);
    bool same = g_strcmp0(sum, known->sum) == 0;
    if (!sum)
        trial->failed = true;
    else if (!same)
        trial->wrong = true;
    if (sum && !same && known->is_verified)
        trial->wrong_verified = true;
    if (!same && !concerns(trial->harm, known))
        g_string_append_printf(trial->defects, "%s suffers; ", known->point);
}

/* "block 1007, in <folder>" for <folder>/blocks/1/7. */
static char *block_words(const char *path, const char *blocks)
{
    unsigned group, number;
    if (sscanf(blocks, "blocks/%u/%u", &group, &number) != 2)
        return g_strdup(path);
    return g_strdup_printf("block %u, in %.*s", group * 1000 + number, (int) (blocks - path - 1),
                           path);
}

/* By its name, or its place in "blocks/"; a block, too, by its number and its disk. */
static bool is_named(const Harm *harm, const char *said)
{
    for (int i = 0; i < 2; i++) {
        g_autofree char *name = harm->paths[i] ? g_path_get_basename(harm->paths[i]) : NULL;
        const char *block = harm->paths[i] ? strstr(harm->paths[i], "blocks/") : NULL;
        g_autofree char *words = block ? block_words(harm->paths[i], block) : NULL;
        if ((name && strstr(said, block ? block : name)) || (words && strstr(said, words)))
            return true;
    }
    return false;
}

/* Why nobody could have told; NULL when somebody could. */
static const char *excuse(const Trial *trial)
{
    if (trial->wrong_verified)
        return NULL;
    if (trial->harm->place == PLACE_FLAT_DATA)
        return "content of a flat VHD without a manifest: the format has no checksums";
    if (trial->harm->place == PLACE_PACKED_BLOCK && strcmp(trial->harm->kind, "swap") == 0)
        return "blocks swapped in directories without a manifest: a block file has no number in it";
    if (trial->harm->place == PLACE_PACKED_BLOCK)
        return "a block packed with brotli without a manifest: brotli has no checksums";
    return NULL;
}

static void judge(Trial *trial, json_t *result)
{
    const char *why = trial->wrong ? excuse(trial) : NULL;
    const char *counted = NULL;
    if (trial->wrong && !why)
        g_string_append(trial->defects, "wrong bytes are given as good; ");
    if (trial->failed && !is_named(trial->harm, trial->reader->said->str))
        g_string_append_printf(trial->defects, "what was harmed is not named: %s; ",
                               trial->reader->said->str);
    if (trial->defects->len) {
        json_array_append_new(json_object_get(result, "failures"),
                              json_sprintf("%s: %s", trial->harm->words, trial->defects->str));
    } else if (why) {
        json_t *reasons = json_object_get(result, "unknowable");
        json_object_set_new(reasons, why,
                            json_integer(json_integer_value(json_object_get(reasons, why)) + 1));
    } else {
        counted = trial->failed ? "told" : "harmless";
        json_object_set_new(result, counted,
                            json_integer(json_integer_value(json_object_get(result, counted)) + 1));
    }
}

static void try_harm(Reader *reader, const Harm *harm, json_t *result)
{
    Trial trial = { .reader = reader, .harm = harm, .defects = g_string_new(NULL) };
    g_string_truncate(reader->said, 0);
    fprintf(stderr, "%s\n", harm->words);
    alarm(MAX_SECONDS); /* a hang ends the program: the last line says in what */
    each_point(reader, list_point);
    for (guint i = 0; i < reader->known->len; i++) {
        const Known *known = reader->known->pdata[i];
        if (concerns(harm, known) || reader->n_tried % SOUND_EVERY == 0)
            try_disk(&trial, known);
    }
    reader->n_tried++;
    alarm(0);
    judge(&trial, result);
    g_string_free(trial.defects, TRUE);
}

/* --- the program --- */

static json_t *points_of(const Reader *reader)
{
    json_t *rows = json_array();
    for (guint i = 0; i < reader->known->len; i++) {
        const Known *known = reader->known->pdata[i];
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:b}", "path", known->point, "vdi",
                                              known->vdi, "sha256", known->sha256, "verified",
                                              known->is_verified));
    }
    return rows;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return fputs("usage: repo_damage FOLDER SEED N\n", stderr), 2;
    g_autoptr(GError) error = NULL;
    Reader reader = { .known = g_ptr_array_new(), .said = g_string_new(NULL) };
    log_set_level(LOG_LEVEL_ERROR);
    reader.remote = remote_open_folder(argv[1], 0, &error);
    reader.catalog = reader.remote ? catalog_open(reader.remote, &error) : NULL;
    if (!reader.catalog)
        g_error("%s", error->message);
    each_point(&reader, learn_point);
    json_t *result = json_pack("{s:o,s:i,s:i,s:{},s:[]}", "points", points_of(&reader), "told", 0,
                               "harmless", 0, "unknowable", "failures");
    Repository *repository =
        repository_open(argv[1], (guint32) g_ascii_strtoull(argv[2], NULL, 10));
    int n_wanted = atoi(argv[3]);
    for (int n = 0, draws = 0; n < n_wanted && draws < MAX_DRAWS * n_wanted; draws++) {
        Harm *harm = harm_do(repository);
        if (!harm)
            continue;
        try_harm(&reader, harm, result);
        harm_undo(repository, harm);
        n++;
    }
    repository_close(repository);
    json_dumpf(result, stdout, JSON_INDENT(1));
    puts("");
    json_decref(result);
    catalog_close(reader.catalog);
    remote_close(reader.remote);
    exit(0);
}
