/* The catalog without a server, for tests that take turns with XO's libraries: one request as JSON
 * on stdin, one JSON document a line on stdout. It does what a run does, in the same order, on
 * disks that the test holds as raw files.
 *
 * {"command":"run","url":…,"vm":…,"timeMs":…,"keep":…,"metadata":{…},
 *  "disks":[{"ref":…,"vdi":…,"uid":…,"base":<uuid or null>,"size":…,"raw":<file>,
 *            "changed":[blocks],"allocated":[blocks]}]}      → {"exported":true}
 * {"path":…,"full":…}
 * {"command":"clean","url":…,"vm":…}                         → {"warnings":[…],"merges":…}
 * {"command":"read","url":…}                                 → {"points":[…],"problems":[…]}
 * Commands may be an array of these names. */
#include "base/error.h"
#include "base/log.h"
#include "catalog/catalog.h"
#include "codec/hash.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOCK_WAIT_MS = 15000 };

typedef struct {
    json_t *request;
    Remote *remote;
    Catalog *catalog;
} Engine;

static const char *text(json_t *object, const char *key)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value ? value : "";
}

static void say(json_t *document)
{
    char *line = json_dumps(document, JSON_COMPACT);
    puts(line);
    fflush(stdout);
    free(line);
    json_decref(document);
}

/* --- a run --- */

static char *base_of(Engine *engine, json_t *disk, GError **error)
{
    DiskUid base;
    const char *uuid = json_string_value(json_object_get(disk, "base"));
    g_autoptr(GError) why = NULL;
    if (!uuid || !disk_uid_parse(uuid, &base))
        return NULL;
    char *parent = catalog_base(engine->catalog, text(engine->request, "vm"),
                                text(json_object_get(engine->request, "metadata"), "jobId"),
                                text(disk, "vdi"), &base, &why);
    if (!parent && !err_is(why, ERR_NO_BASE))
        g_propagate_error(error, g_steal_pointer(&why));
    else if (!parent)
        say(json_pack("{s:s}", "noBase", why->message));
    return parent;
}

static bool copy_blocks(json_t *disk, json_t *blocks, DiskWriter *writer, GError **error)
{
    g_autofree guint8 *buffer = g_malloc(DISK_BLOCK_BYTES);
    int file = open(text(disk, "raw"), O_RDONLY | O_CLOEXEC);
    gsize i;
    json_t *item;
    bool ok = file >= 0;
    if (!ok)
        err_set(error, ERR_IO, "cannot open %s", text(disk, "raw"));
    json_array_foreach (blocks, i, item) {
        guint32 block = (guint32) json_integer_value(item);
        memset(buffer, 0, DISK_BLOCK_BYTES);
        ok = ok &&
             pread(file, buffer, DISK_BLOCK_BYTES, (off_t) block * (off_t) DISK_BLOCK_BYTES) > 0 &&
             disk_put_block(writer, block, buffer, error);
    }
    if (!ok && error && !*error)
        err_set(error, ERR_IO, "cannot read %s", text(disk, "raw"));
    if (file >= 0)
        close(file);
    return ok;
}

static bool write_disk(Engine *engine, json_t *disk, json_t *metadata, GError **error)
{
    gint64 time_ms = json_integer_value(json_object_get(engine->request, "timeMs"));
    GError *why = NULL;
    g_autofree char *parent = base_of(engine, disk, &why);
    if (why) {
        g_propagate_error(error, why);
        return false;
    }
    DiskInfo info = { .size_bytes = (guint64) json_integer_value(json_object_get(disk, "size")),
                      .timestamp_s = time_ms / 1000 };
    guint64 size_bytes = 0;
    json_t *blocks = json_object_get(disk, parent ? "changed" : "allocated");
    disk_uid_parse(text(disk, "uid"), &info.uid);
    g_autoptr(CatalogDisk) written =
        catalog_disk_begin(engine->catalog, text(engine->request, "vm"), text(metadata, "jobId"),
                           text(disk, "vdi"), time_ms, &info, parent, error);
    if (!written || !copy_blocks(disk, blocks, written->writer, error) ||
        !catalog_disk_finish(written, &size_bytes, error))
        return false;
    json_t *sum = json_object_get(metadata, "size");
    json_object_set_new(json_object_get(metadata, "vhds"), text(disk, "ref"),
                        json_string(written->path));
    json_object_set_new(json_object_get(metadata, "isVhdDifferencing"), text(disk, "ref"),
                        json_boolean(parent != NULL));
    json_object_set_new(metadata, "size",
                        json_integer(json_integer_value(sum) + (json_int_t) size_bytes));
    return true;
}

static bool clean(Engine *engine, CatalogCleaned *cleaned, GError **error)
{
    bool ok =
        catalog_clean(engine->catalog, text(engine->request, "vm"), true, true, cleaned, error);
    gsize i;
    json_t *warning;
    json_array_foreach (cleaned->warnings, i, warning)
        say(json_pack("{s:O}", "warning", warning));
    json_decref(cleaned->warnings);
    return ok;
}

static bool retain(Engine *engine, GError **error)
{
    const char *vm = text(engine->request, "vm");
    json_t *points = catalog_points(engine->catalog, vm, NULL, error);
    if (!points)
        return false;
    g_auto(GStrv) old =
        catalog_retention(points, text(json_object_get(engine->request, "metadata"), "scheduleId"),
                          (unsigned) json_integer_value(json_object_get(engine->request, "keep")));
    json_decref(points);
    return !old[0] || catalog_delete(engine->catalog, vm, (const char *const *) old, false, error);
}

/* The test is told "exported" when a run would mark the snapshot as the next base. */
static bool run_locked(Engine *engine, GError **error)
{
    CatalogCleaned cleaned;
    json_t *metadata = json_object_get(engine->request, "metadata"), *disk;
    const char *ref;
    json_t *differs;
    bool full = true;
    gsize i;
    if (!clean(engine, &cleaned, error))
        return false;
    json_object_set_new(metadata, "vhds", json_object());
    json_object_set_new(metadata, "isVhdDifferencing", json_object());
    json_array_foreach (json_object_get(engine->request, "disks"), i, disk)
        if (!write_disk(engine, disk, metadata, error))
            return false;
    say(json_pack("{s:b}", "exported", true));
    g_autofree char *path = catalog_commit(
        engine->catalog, text(engine->request, "vm"),
        json_integer_value(json_object_get(engine->request, "timeMs")), metadata, error);
    if (!path || !retain(engine, error) || !clean(engine, &cleaned, error))
        return false;
    json_object_foreach (json_object_get(metadata, "isVhdDifferencing"), ref, differs)
        full = full && json_is_false(differs);
    say(json_pack("{s:s,s:b}", "path", path, "full", full));
    return true;
}

static bool run(Engine *engine, GError **error)
{
    g_autoptr(RemoteLock)
        lock = catalog_lock(engine->catalog, text(engine->request, "vm"), LOCK_WAIT_MS, error);
    return lock && run_locked(engine, error);
}

static bool clean_alone(Engine *engine, GError **error)
{
    CatalogCleaned cleaned;
    g_autoptr(RemoteLock)
        lock = catalog_lock(engine->catalog, text(engine->request, "vm"), LOCK_WAIT_MS, error);
    if (!lock || !clean(engine, &cleaned, error))
        return false;
    say(json_pack("{s:i,s:i}", "merges", (int) cleaned.n_merges, "dropped",
                  (int) cleaned.n_dropped));
    return true;
}

/* --- reading --- */

static char *digest(Disk *disk, GError **error)
{
    g_autoptr(Hash) hash = hash_new(HASH_SHA256);
    g_autofree void *buffer = g_malloc(DISK_BLOCK_BYTES);
    for (guint64 at = 0; at < disk->info.size_bytes; at += DISK_BLOCK_BYTES) {
        gsize n = MIN(DISK_BLOCK_BYTES, disk->info.size_bytes - at);
        if (!disk_read(disk, at, buffer, n, error))
            return NULL;
        hash_add(hash, buffer, n);
    }
    return hash_end_hex(hash);
}

static json_t *disk_row(Engine *engine, const char *vm, const char *path, const char *vdi)
{
    g_autoptr(GError) error = NULL;
    CatalogVerified verified = { 0 };
    g_autoptr(Disk) disk = catalog_disk_open(engine->catalog, vm, path, &error);
    g_autofree char *sum = disk ? digest(disk, &error) : NULL;
    if (sum && catalog_verify(engine->catalog, vm, path, &verified, &error))
        return json_pack("{s:s,s:s,s:s,s:i,s:i}", "path", path, "vdi", vdi, "sha256", sum, "blocks",
                         (int) verified.n_blocks, "verified", (int) verified.n_verified);
    return json_pack("{s:s,s:s,s:s}", "path", path, "vdi", vdi, "error", error->message);
}

static void read_point(Engine *engine, const char *vm, json_t *point, json_t *rows)
{
    json_t *disks = json_array(), *stored, *vdis = json_object_get(point, "vdis");
    const char *ref;
    json_object_foreach (json_object_get(point, "vhds"), ref, stored)
        json_array_append_new(disks,
                              disk_row(engine, vm, json_string_value(stored),
                                       text(json_object_get(vdis, ref), "$snapshot_of$uuid")));
    json_t *row =
        json_pack("{s:s,s:s,s:o}", "vm", vm, "path", text(point, "_filename"), "disks", disks);
    json_object_set(row, "timestamp", json_object_get(point, "timestamp"));
    json_object_set(row, "mode", json_object_get(point, "mode"));
    json_object_set(row, "size", json_object_get(point, "size"));
    json_object_set(row, "isVhdDifferencing", json_object_get(point, "isVhdDifferencing"));
    json_array_append_new(rows, row);
}

static bool read_all(Engine *engine, GError **error)
{
    g_autoptr(GPtrArray) vms = catalog_vms(engine->catalog, error);
    json_t *rows = json_array(), *problems = json_array(), *point;
    gsize i;
    bool ok = vms != NULL;
    for (guint v = 0; ok && v < vms->len; v++) {
        json_t *of_vm = NULL,
               *points = catalog_points(engine->catalog, vms->pdata[v], &of_vm, error);
        ok = points != NULL;
        json_array_foreach (points, i, point)
            read_point(engine, vms->pdata[v], point, rows);
        json_array_extend(problems, of_vm);
        json_decref(of_vm);
        json_decref(points);
    }
    if (ok)
        say(json_pack("{s:O,s:O}", "points", rows, "problems", problems));
    json_decref(rows);
    json_decref(problems);
    return ok;
}

/* --- the request --- */

static const struct {
    const char *name;
    bool (*run)(Engine *engine, GError **error);
} commands[] = { { "run", run }, { "clean", clean_alone }, { "read", read_all } };

static bool obey(Engine *engine, const char *command, GError **error)
{
    for (unsigned i = 0; command && i < G_N_ELEMENTS(commands); i++)
        if (strcmp(commands[i].name, command) == 0)
            return commands[i].run(engine, error);
    err_set(error, ERR_INVALID, "there is no such command");
    return false;
}

static bool serve(Engine *engine, GError **error)
{
    json_t *command = json_object_get(engine->request, "command"), *item;
    g_autoptr(Remote) remote = engine->remote = remote_open(text(engine->request, "url"), error);
    g_autoptr(Catalog) catalog = engine->catalog = remote ? catalog_open(remote, error) : NULL;
    gsize i;
    if (!catalog || !json_is_array(command))
        return catalog && obey(engine, json_string_value(command), error);
    json_array_foreach (command, i, item)
        if (!obey(engine, json_string_value(item), error))
            return false;
    return true;
}

int main(void)
{
    Engine engine = { 0 };
    json_error_t where;
    GError *error = NULL;
    log_set_level(LOG_LEVEL_ERROR);
    engine.request = json_loadf(stdin, 0, &where);
    bool ok = engine.request && serve(&engine, &error);
    json_decref(engine.request);
    if (ok)
        return 0;
    fprintf(stderr, "engine: %s\n", error ? error->message : where.text);
    g_clear_error(&error);
    return 1;
}
