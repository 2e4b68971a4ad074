/* `cadenza repo extract`: a disk of a backup, its whole chain in one, as an image in a file or a
 * pipe. What the manifests know is compared on the way. */
#include "cmd/repo_verb.h"

#include "base/error.h"
#include "base/sigpipe.h"
#include "cmd/output.h"
#include "disk/image.h"

#include <glib.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PROGRESS_US = 500000 };

typedef struct {
    Repo *repo;
    const char *point, *disk, *output; /* words; disk may be NULL */
    char *path;                        /* of the disk that was found */
    const char *format;
    guint64 size_bytes, image_bytes;
    CatalogVerified verified;
    bool shows_progress, is_terminal;
    gint64 started_us, shown_us;
} Extract;

static void extract_clear(Extract *extract)
{
    g_free(extract->path);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Extract, extract_clear)

/* --- which disk --- */

static bool is_meant(const char *word, json_t *disk)
{
    static const char *const keys[] = { "path", "vdi", "snapshot", "name" };
    bool meant = !word;
    for (gsize i = 0; i < G_N_ELEMENTS(keys) && !meant; i++)
        meant = strcmp(word, repo_text(disk, keys[i])) == 0;
    return meant;
}

static bool find_disk(Extract *extract, json_t *point, GError **error)
{
    g_autoptr(GString) found = g_string_new(NULL);
    json_t *disks = catalog_point_disks(extract->repo->catalog, point, error), *disk;
    unsigned n_found = 0;
    gsize i;
    json_array_foreach (disks, i, disk) {
        if (!is_meant(extract->disk, disk))
            continue;
        g_free(extract->path);
        extract->path = g_strdup(repo_text(disk, "path"));
        g_string_append_printf(found, "%s%s", n_found++ ? ", " : "", extract->path);
    }
    bool known = disks != NULL;
    json_decref(disks);
    if (!known || n_found == 1)
        return known;
    if (n_found == 0)
        err_set(error, ERR_NOT_FOUND, "%s has no %s%s", extract->point,
                extract->disk ? "disk " : "disks", extract->disk ? extract->disk : "");
    else
        err_set(error, ERR_INVALID, "%s has %u such disks, name one: %s", extract->point, n_found,
                found->str);
    return false;
}

static Disk *open_disk(Extract *extract, GError **error)
{
    Catalog *catalog = extract->repo->catalog;
    Disk *disk = NULL;
    g_autofree char *vm = NULL;
    json_t *point = repo_point(extract->repo, extract->point, error);
    bool is_full = point && strcmp(repo_text(point, "mode"), "full") == 0;
    if (point && find_disk(extract, point, error))
        disk = repo_option(extract->repo, "--unverified") && !is_full
                   ? catalog_disk_open(catalog, repo_vm_of(point, &vm), extract->path, error)
                   : catalog_point_disk_open(catalog, point, extract->path, error);
    json_decref(point);
    return disk;
}

/* --- which format --- */

static const struct {
    const char *suffix, *format;
} suffixes[] = { { ".raw", "raw" },
                 { ".img", "raw" },
                 { ".vhd", "vhd" },
                 { ".qcow2", "qcow2" },
                 { ".vmdk", "vmdk" } };

/* As asked for, else as the name of the file says. */
static const char *format_of(const Extract *extract)
{
    const char *asked = repo_option(extract->repo, "--format");
    for (gsize i = 0; !asked && i < G_N_ELEMENTS(suffixes); i++)
        if (g_str_has_suffix(extract->output, suffixes[i].suffix))
            return suffixes[i].format;
    return asked ? asked : "raw";
}

/* --- the copy --- */

static void show_progress(Extract *extract, guint64 done_bytes)
{
    gint64 now_us = g_get_monotonic_time();
    bool is_end = done_bytes == extract->image_bytes;
    if (!extract->shows_progress || (now_us - extract->shown_us < PROGRESS_US && !is_end))
        return;
    extract->shown_us = now_us;
    double seconds = MAX(now_us - extract->started_us, 1) / 1e6;
    double percent = 100.0 * (double) done_bytes / (double) MAX(extract->image_bytes, 1);
    g_autofree char *size = g_format_size_full(extract->image_bytes, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *rate =
        g_format_size_full((guint64) ((double) done_bytes / seconds), G_FORMAT_SIZE_IEC_UNITS);
    fprintf(stderr, "%s%5.1f %% of %s, %s/s%s", extract->is_terminal ? "\r" : "",
            extract->image_bytes ? percent : 100.0, size, rate,
            extract->is_terminal && !is_end ? "   " : "\n");
}

static bool copy(Extract *extract, Image *image, Output *output, GError **error)
{
    guint64 done_bytes = 0;
    extract->started_us = extract->shown_us = g_get_monotonic_time();
    for (;;) {
        ImagePiece piece;
        if (!image_next(image, &piece, error))
            return false;
        if (piece.n_bytes == 0)
            return true;
        bool ok = piece.data ? output_write(output, piece.data, piece.n_bytes, error)
                             : output_zeros(output, piece.n_bytes, error);
        if (!ok)
            return false;
        done_bytes += piece.n_bytes;
        show_progress(extract, done_bytes);
    }
}

static bool extract_disk(Extract *extract, GError **error)
{
    g_autoptr(Disk) disk = open_disk(extract, error);
    g_autoptr(Image) image = disk ? image_new(extract->format, disk, error) : NULL;
    bool force = repo_option(extract->repo, "--force");
    g_autoptr(Output) output = image ? output_open(extract->output, force, error) : NULL;
    if (!output)
        return false;
    extract->size_bytes = disk->info.size_bytes;
    extract->image_bytes = image_bytes(image);
    if (!copy(extract, image, output, error) || !output_finish(output, error))
        return false;
    extract->verified = catalog_disk_verified(disk);
    return true;
}

/* --- the command --- */

static void print_result(const Extract *extract)
{
    if (strcmp(extract->output, "-") == 0)
        return;
    if (extract->repo->json)
        repo_print_json(json_pack(
            "{s:s,s:s,s:s,s:I,s:I,s:i,s:i}", "path", extract->path, "output", extract->output,
            "format", extract->format, "size", (json_int_t) extract->size_bytes, "imageSize",
            (json_int_t) extract->image_bytes, "blocks", (int) extract->verified.n_blocks,
            "verified", (int) extract->verified.n_verified));
    else
        repo_say("%s: %s of %" G_GUINT64_FORMAT " bytes, %u blocks read, %u verified\n",
                 extract->output, extract->format, extract->size_bytes, extract->verified.n_blocks,
                 extract->verified.n_verified);
}

static int run(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    g_auto(Extract) extract = { .repo = repo,
                                .point = repo->words[1],
                                .disk = repo->n_words > 3 ? repo->words[2] : NULL,
                                .output = repo->words[repo->n_words - 1] };
    extract.format = format_of(&extract);
    extract.is_terminal = isatty(STDERR_FILENO);
    extract.shows_progress = extract.is_terminal || repo_option(repo, "--progress");
    sigpipe_ignore();
    if (!extract_disk(&extract, &error))
        return repo_fail(g_steal_pointer(&error));
    print_result(&extract);
    return REPO_SOUND;
}

const struct repo_verb repo_extract = {
    .name = "extract",
    .words = "DIR POINT [DISK] OUTPUT",
    .summary = "a disk as an image (raw, vhd, qcow2, vmdk) in a file, or - for a pipe",
    .min_words = 3,
    .max_words = 4,
    .options = { { "--format", "FORMAT" },
                 { "--force", NULL },
                 { "--progress", NULL },
                 { "--unverified", NULL } },
    .run = run,
};
