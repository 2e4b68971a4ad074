/* `cadenza repo list`: VMs, their backups, and the state of each disk by its structures. */
#include "cmd/repo_verb.h"

#include "base/error.h"
#include "base/json_text.h"

#include <glib.h>
#include <string.h>

/* {path, name, virtualSize, state}, state "sound" or what is wrong. */
static json_t *disk_row(Repo *repo, const char *vm, const char *path, json_t *vdi)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Disk) disk = catalog_disk_open(repo->catalog, vm, path, &error);
    json_t *row = json_pack("{s:s,s:s,s:o}", "path", path, "name", repo_text(vdi, "name_label"),
                            "state", json_text_of_bytes(disk ? "sound" : error->message));
    if (disk)
        json_object_set_new(row, "virtualSize", json_integer((json_int_t) disk->info.size_bytes));
    repo->n_problems += !disk;
    return row;
}

static json_t *archive_row(Repo *repo, const char *vm, json_t *point)
{
    g_autoptr(GError) error = NULL;
    RemoteStat st = { 0 };
    const char *stored = repo_text(point, "xva");
    g_autofree char *path = g_strdup_printf("xo-vm-backups/%s/%s", vm,
                                            stored + (g_str_has_prefix(stored, "./") ? 2 : 0));
    bool sound = remote_stat(repo->remote, path, &st, &error);
    json_int_t expected = json_integer_value(json_object_get(point, "size"));
    g_autofree char *state = g_strdup(sound ? "sound" : error->message);
    if (sound && expected && (guint64) expected != st.size_bytes) {
        g_free(state);
        state = g_strdup_printf("%" G_GUINT64_FORMAT " bytes where %" JSON_INTEGER_FORMAT
                                " are expected",
                                st.size_bytes, expected);
        sound = false;
    }
    repo->n_problems += !sound;
    return json_pack("{s:s,s:s,s:s}", "path", stored, "name", "archive", "state", state);
}

static json_t *disks_of(Repo *repo, const char *vm, json_t *point)
{
    json_t *rows = json_array(), *stored;
    const char *ref;
    if (strcmp(repo_text(point, "mode"), "full") == 0)
        json_array_append_new(rows, archive_row(repo, vm, point));
    json_object_foreach (json_object_get(point, "vhds"), ref, stored) {
        json_t *vdi = json_object_get(json_object_get(point, "vdis"), ref);
        json_array_append_new(rows, disk_row(repo, vm, json_string_value(stored), vdi));
    }
    return rows;
}

static const char *kind_of(json_t *point)
{
    const char *ref;
    json_t *differs;
    if (strcmp(repo_text(point, "mode"), "full") == 0)
        return "full";
    json_object_foreach (json_object_get(point, "isVhdDifferencing"), ref, differs)
        if (json_is_true(differs))
            return "delta";
    return "key";
}

static json_t *point_row(Repo *repo, const char *vm, json_t *point)
{
    json_t *row = json_pack("{s:s,s:s,s:s,s:s,s:s}", "path", repo_text(point, "_filename"), "mode",
                            repo_text(point, "mode"), "kind", kind_of(point), "jobId",
                            repo_text(point, "jobId"), "scheduleId",
                            repo_text(point, "scheduleId"));
    json_object_set(row, "timestamp", json_object_get(point, "timestamp"));
    json_object_set(row, "size", json_object_get(point, "size"));
    json_object_set_new(row, "disks", disks_of(repo, vm, point));
    return row;
}

static json_t *vm_row(Repo *repo, const char *vm)
{
    g_autoptr(GError) error = NULL;
    json_t *problems = NULL, *points = catalog_points_afresh(repo->catalog, vm, &problems, &error),
           *rows = json_array(), *point;
    json_t *last = json_array_get(points, json_array_size(points) - 1);
    json_t *row = json_pack("{s:s,s:s}", "uuid", vm, "name",
                            repo_text(json_object_get(last, "vm"), "name_label"));
    gsize i;
    if (!points)
        json_array_append_new(problems, json_text_of_bytes(error->message));
    json_array_foreach (points, i, point)
        json_array_append_new(rows, point_row(repo, vm, point));
    repo->n_problems += (unsigned) json_array_size(problems);
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
        n_sound += strcmp(repo_text(disk, "state"), "sound") == 0;
    repo_say("  %s  %-5s %10s  %zu of %zu disks sound  %s\n", time, repo_text(row, "kind"), size,
             n_sound, json_array_size(disks), repo_text(row, "path"));
    json_array_foreach (disks, i, disk)
        if (strcmp(repo_text(disk, "state"), "sound") != 0)
            repo_say("    BROKEN %s: %s\n", repo_text(disk, "path"), repo_text(disk, "state"));
}

static void print_vm(json_t *row)
{
    gsize i;
    json_t *item, *points = json_object_get(row, "points");
    repo_say("%s  %s  %zu backups\n", repo_text(row, "uuid"), repo_text(row, "name"),
             json_array_size(points));
    json_array_foreach (points, i, item)
        print_point(item);
    json_array_foreach (json_object_get(row, "problems"), i, item)
        repo_say("    PROBLEM %s\n", json_string_value(item));
}

static int list(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) vms = catalog_vms(repo->catalog, &error);
    if (!vms)
        return repo_fail(g_steal_pointer(&error));
    json_t *rows = json_array(), *row;
    gsize i;
    for (guint v = 0; v < vms->len; v++)
        json_array_append_new(rows, vm_row(repo, vms->pdata[v]));
    if (repo->json) {
        repo_print_json(rows);
    } else {
        json_array_foreach (rows, i, row)
            print_vm(row);
        repo_say("%u VMs in %s, %u problems\n", vms->len, remote_name(repo->remote),
                 repo->n_problems);
        json_decref(rows);
    }
    return repo->n_problems ? REPO_PROBLEMS : REPO_SOUND;
}

const struct repo_verb repo_list = {
    .name = "list",
    .words = "DIR",
    .summary = "VMs, backups, the state of their disks",
    .min_words = 1,
    .max_words = 1,
    .run = list,
};
