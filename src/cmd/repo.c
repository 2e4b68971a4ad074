/* `cadenza repo …`: looks into a repository with no server, and changes nothing in it. */
#include "cmd/repo.h"

#include "base/error.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "codec/hash.h"
#include "remote/remote.h"

#include <glib.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SOUND = 0, PROBLEMS = 1, USAGE = 2 };

typedef struct {
    bool json;
    const char *words[3]; /* DIR POINT DISK */
    unsigned n_words;
    Remote *remote;
    Catalog *catalog;
    unsigned n_problems;
} Look;

static const char help[] =
    "usage: cadenza repo list [--json] DIR                  VMs, backups, the state of their "
    "disks\n"
    "       cadenza repo digest [--json] DIR POINT [DISK]   SHA-256 of the whole content of disks\n"
    "       cadenza repo verify [--json] DIR [POINT]        read everything, compare with the "
    "manifests\n"
    "POINT is <vm uuid>/<date>, or its path as listed; DISK is a path as listed.\n"
    "Exit status: 0 all is sound, 1 something is not, 2 wrong usage.\n";

/* Names in a repository are anybody's: no control character reaches the terminal. */
static void say(const char *format, ...) G_GNUC_PRINTF(1, 2);

static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    for (char *at = text; *at; at++)
        if (g_ascii_iscntrl(*at) && *at != '\n')
            *at = '?';
    fputs(text, stdout);
}

static void print_json(json_t *document)
{
    char *text = json_dumps(document, JSON_INDENT(2));
    puts(text ? text : "null");
    free(text);
    json_decref(document);
}

static int fail(GError *error)
{
    fprintf(stderr, "cadenza: %s\n%s\n", error->message, err_remedy(error));
    g_error_free(error);
    return PROBLEMS;
}

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static const char *vm_of(json_t *point, char **holder)
{
    g_auto(GStrv) parts = g_strsplit(text_of(point, "_filename"), "/", -1);
    return *holder = g_strdup(g_strv_length(parts) > 2 ? parts[2] : "");
}

/* --- list --- */

/* {path, name, virtualSize, state}, state "sound" or what is wrong. */
static json_t *disk_row(Look *look, const char *vm, const char *path, json_t *vdi)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Disk) disk = catalog_disk_open(look->catalog, vm, path, &error);
    json_t *row = json_pack("{s:s,s:s,s:s}", "path", path, "name", text_of(vdi, "name_label"),
                            "state", disk ? "sound" : error->message);
    if (disk)
        json_object_set_new(row, "virtualSize", json_integer((json_int_t) disk->info.size_bytes));
    look->n_problems += !disk;
    return row;
}

static json_t *archive_row(Look *look, const char *vm, json_t *point)
{
    g_autoptr(GError) error = NULL;
    RemoteStat st = { 0 };
    const char *stored = text_of(point, "xva");
    g_autofree char *path = g_strdup_printf("xo-vm-backups/%s/%s", vm,
                                            stored + (g_str_has_prefix(stored, "./") ? 2 : 0));
    bool sound = remote_stat(look->remote, path, &st, &error);
    json_int_t expected = json_integer_value(json_object_get(point, "size"));
    g_autofree char *state = g_strdup(sound ? "sound" : error->message);
    if (sound && expected && (guint64) expected != st.size_bytes) {
        g_free(state);
        state = g_strdup_printf("%" G_GUINT64_FORMAT " bytes where %" JSON_INTEGER_FORMAT
                                " are expected",
                                st.size_bytes, expected);
        sound = false;
    }
    look->n_problems += !sound;
    return json_pack("{s:s,s:s,s:s}", "path", stored, "name", "archive", "state", state);
}

static json_t *disks_of(Look *look, const char *vm, json_t *point)
{
    json_t *rows = json_array(), *stored;
    const char *ref;
    if (strcmp(text_of(point, "mode"), "full") == 0)
        json_array_append_new(rows, archive_row(look, vm, point));
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        json_t *vdi = json_object_get(json_object_get(point, "vdis"), ref);
        json_array_append_new(rows, disk_row(look, vm, json_string_value(stored), vdi));
    }
    return rows;
}

static const char *kind_of(json_t *point)
{
    const char *ref;
    json_t *differs;
    if (strcmp(text_of(point, "mode"), "full") == 0)
        return "full";
    json_object_foreach (json_object_get(point, "isVhdDifferencing"), ref, differs)
        if (json_is_true(differs))
            return "delta";
    return "key";
}

static json_t *point_row(Look *look, const char *vm, json_t *point)
{
    json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:s}", "path", text_of(point, "_filename"), "mode",
                            text_of(point, "mode"), "kind", kind_of(point), "jobId",
                            text_of(point, "jobId"), "scheduleId", text_of(point, "scheduleId"));
    json_object_set(row, "timestamp", json_object_get(point, "timestamp"));
    json_object_set(row, "size", json_object_get(point, "size"));
    json_object_set_new(row, "disks", disks_of(look, vm, point));
    return row;
}

static json_t *vm_row(Look *look, const char *vm)
{
    g_autoptr(GError) error = NULL;
    json_t *problems = NULL, *points = catalog_points(look->catalog, vm, &problems, &error),
           *rows = json_array(), *point;
    json_t *last = json_array_get(points, json_array_size(points) - 1);
    json_t *row = json_pack("{s:s,s:s}", "uuid", vm, "name",
                            text_of(json_object_get(last, "vm"), "name_label"));
    gsize i;
    if (!points)
        json_array_append_new(problems, json_string(error->message));
    json_array_foreach (points, i, point)
        json_array_append_new(rows, point_row(look, vm, point));
    look->n_problems += (unsigned) json_array_size(problems);
    json_object_set_new(row, "points", rows);
    json_object_set_new(row, "problems", problems);
    json_decref(points);
    return row;
}

static char *when(json_t *row)
{
    gint64 ms = (gint64) json_number_value(json_object_get(row, "timestamp"));
    g_autoptr(GDateTime) time = g_date_time_new_from_unix_utc(ms / 1000);
    return time ? g_date_time_format(time, "%Y-%m-%d %H:%M:%S") : g_strdup("?");
}

static void print_point(json_t *row)
{
    json_t *disks = json_object_get(row, "disks"), *disk;
    g_autofree char *time = when(row), *size = g_format_size_full((guint64) json_number_value(
                                                                      json_object_get(row, "size")),
                                                                  G_FORMAT_SIZE_IEC_UNITS);
    gsize i, n_sound = 0;
    json_array_foreach (disks, i, disk)
        n_sound += strcmp(text_of(disk, "state"), "sound") == 0;
    say("  %s  %-5s %10s  %zu of %zu disks sound  %s\n", time, text_of(row, "kind"), size, n_sound,
        json_array_size(disks), text_of(row, "path"));
    json_array_foreach (disks, i, disk)
        if (strcmp(text_of(disk, "state"), "sound") != 0)
            say("    BROKEN %s: %s\n", text_of(disk, "path"), text_of(disk, "state"));
}

static void print_vm(json_t *row)
{
    gsize i;
    json_t *item, *points = json_object_get(row, "points");
    say("%s  %s  %zu backups\n", text_of(row, "uuid"), text_of(row, "name"),
        json_array_size(points));
    json_array_foreach (points, i, item)
        print_point(item);
    json_array_foreach (json_object_get(row, "problems"), i, item)
        say("    PROBLEM %s\n", json_string_value(item));
}

static int list(Look *look)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) vms = catalog_vms(look->catalog, &error);
    if (!vms)
        return fail(g_steal_pointer(&error));
    json_t *rows = json_array(), *row;
    gsize i;
    for (guint v = 0; v < vms->len; v++)
        json_array_append_new(rows, vm_row(look, vms->pdata[v]));
    if (look->json) {
        print_json(rows);
    } else {
        json_array_foreach (rows, i, row)
            print_vm(row);
        say("%u VMs in %s, %u problems\n", vms->len, remote_name(look->remote), look->n_problems);
        json_decref(rows);
    }
    return look->n_problems ? PROBLEMS : SOUND;
}

/* --- digest and verify --- */

/* POINT in any of its forms. */
static json_t *find_point(Look *look, const char *word, GError **error)
{
    while (*word == '/')
        word++;
    bool has_root = g_str_has_prefix(word, "xo-vm-backups/"),
         has_end = g_str_has_suffix(word, ".json");
    g_autofree char *path =
        g_strconcat("/", has_root ? "" : "xo-vm-backups/", word, has_end ? "" : ".json", NULL);
    return catalog_point(look->catalog, path, error);
}

static char *digest_disk(Look *look, const char *vm, const char *path, guint64 *size_bytes,
                         GError **error)
{
    g_autoptr(Disk) disk = catalog_disk_open(look->catalog, vm, path, error);
    g_autoptr(Hash) hash = hash_new(HASH_SHA256);
    g_autofree void *buffer = g_malloc(DISK_BLOCK_BYTES);
    if (!disk)
        return NULL;
    *size_bytes = disk->info.size_bytes;
    for (guint64 at = 0; at < *size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, *size_bytes - at);
        if (!disk_read(disk, at, buffer, n, error))
            return NULL;
        hash_add(hash, buffer, n);
    }
    return hash_end_hex(hash);
}

static json_t *digest_row(Look *look, const char *vm, const char *path, json_t *vdi)
{
    g_autoptr(GError) error = NULL;
    guint64 size_bytes = 0;
    g_autofree char *sum = digest_disk(look, vm, path, &size_bytes, &error);
    look->n_problems += !sum;
    if (!sum)
        return json_pack("{s:s,s:s}", "path", path, "error", error->message);
    return json_pack("{s:s,s:s,s:s,s:s,s:I}", "path", path, "sha256", sum, "vdi",
                     text_of(vdi, "$snapshot_of$uuid"), "name", text_of(vdi, "name_label"), "size",
                     (json_int_t) size_bytes);
}

static json_t *verify_row(Look *look, const char *vm, const char *path, json_t *vdi)
{
    g_autoptr(GError) error = NULL;
    CatalogVerified verified;
    if (catalog_verify(look->catalog, vm, path, &verified, &error))
        return json_pack("{s:s,s:i,s:i}", "path", path, "blocks", (int) verified.n_blocks,
                         "verified", (int) verified.n_verified);
    look->n_problems++;
    return json_pack("{s:s,s:s}", "path", path, "error", error->message);
}

typedef json_t *row_func(Look *look, const char *vm, const char *path, json_t *vdi);

static void print_row(json_t *row)
{
    if (json_object_get(row, "error"))
        say("BROKEN  %s: %s\n", text_of(row, "path"), text_of(row, "error"));
    else if (json_object_get(row, "sha256"))
        say("%s  %s\n", text_of(row, "sha256"), text_of(row, "path"));
    else
        say("sound  %s: %d blocks read, %d verified\n", text_of(row, "path"),
            (int) json_integer_value(json_object_get(row, "blocks")),
            (int) json_integer_value(json_object_get(row, "verified")));
    fflush(stdout);
}

/* A row for each disk of the point, or for the one that was asked for. */
static void each_disk(Look *look, json_t *point, row_func *make, json_t *rows)
{
    g_autofree char *vm = NULL;
    const char *ref;
    json_t *stored;
    vm_of(point, &vm);
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        const char *path = json_string_value(stored);
        if (look->n_words > 2 && strcmp(look->words[2], path) != 0)
            continue;
        json_t *row = make(look, vm, path, json_object_get(json_object_get(point, "vdis"), ref));
        if (!look->json)
            print_row(row);
        json_array_append_new(rows, row);
    }
}

static int end_rows(Look *look, json_t *rows)
{
    if (look->json)
        print_json(rows);
    else
        json_decref(rows);
    return look->n_problems ? PROBLEMS : SOUND;
}

static int digest(Look *look)
{
    g_autoptr(GError) error = NULL;
    json_t *point = find_point(look, look->words[1], &error), *rows = json_array();
    if (point && strcmp(text_of(point, "mode"), "full") == 0)
        err_set(&error, ERR_UNSUPPORTED,
                "%s is a full backup: its archive (XVA) cannot be read yet", look->words[1]);
    if (!error)
        each_disk(look, point, digest_row, rows);
    json_decref(point);
    if (!error && json_array_size(rows) == 0)
        err_set(&error, ERR_NOT_FOUND, "%s has no such disk", look->words[1]);
    if (!error)
        return end_rows(look, rows);
    json_decref(rows);
    return fail(g_steal_pointer(&error));
}

static bool verify_vm(Look *look, const char *vm, json_t *rows, GError **error)
{
    json_t *points = catalog_points(look->catalog, vm, NULL, error), *point;
    gsize i;
    json_array_foreach (points, i, point)
        each_disk(look, point, verify_row, rows);
    json_decref(points);
    return points != NULL;
}

static int verify(Look *look)
{
    g_autoptr(GError) error = NULL;
    json_t *rows = json_array();
    if (look->n_words > 1) {
        json_t *point = find_point(look, look->words[1], &error);
        if (point)
            each_disk(look, point, verify_row, rows);
        json_decref(point);
    } else {
        g_autoptr(GPtrArray) vms = catalog_vms(look->catalog, &error);
        for (guint v = 0; vms && !error && v < vms->len; v++)
            verify_vm(look, vms->pdata[v], rows, &error);
    }
    if (!error)
        return end_rows(look, rows);
    json_decref(rows);
    return fail(g_steal_pointer(&error));
}

/* --- the command --- */

static const struct verb {
    const char *name;
    unsigned min_words, max_words;
    int (*run)(Look *look);
} verbs[] = { { "list", 1, 1, list }, { "digest", 2, 3, digest }, { "verify", 1, 2, verify } };

static bool take_words(Look *look, int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--json") == 0)
            look->json = true;
        else if (g_str_has_prefix(argv[i], "--") || look->n_words == G_N_ELEMENTS(look->words))
            return false;
        else
            look->words[look->n_words++] = argv[i];
    }
    return true;
}

static int run(const struct verb *verb, Look *look)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Remote) remote = look->remote = remote_open_folder(look->words[0], &error);
    g_autoptr(Catalog) catalog = look->catalog = remote ? catalog_open(remote, &error) : NULL;
    return catalog ? verb->run(look) : fail(g_steal_pointer(&error));
}

int cmd_repo(int argc, char **argv)
{
    Look look = { 0 };
    log_set_level(LOG_LEVEL_ERROR);
    for (unsigned i = 0; argc > 1 && i < G_N_ELEMENTS(verbs); i++)
        if (strcmp(verbs[i].name, argv[1]) == 0 && take_words(&look, argc, argv) &&
            look.n_words >= verbs[i].min_words && look.n_words <= verbs[i].max_words)
            return run(&verbs[i], &look);
    bool asked = argc > 1 && strcmp(argv[1], "--help") == 0;
    fputs(help, asked ? stdout : stderr);
    return asked ? SOUND : USAGE;
}
