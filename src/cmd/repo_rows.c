/* What the verbs of `cadenza repo` share: points by their names, and rows of results as text or
 * JSON. */
#include "cmd/repo_verb.h"

#include "base/error.h"
#include "catalog/layout.h"

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *tame(char *text)
{
    for (char *at = text; *at; at++)
        if (g_ascii_iscntrl(*at) && *at != '\n')
            *at = '?';
    return text;
}

void repo_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    fputs(tame(text), stdout);
}

void repo_print_json(json_t *document)
{
    char *text = json_dumps(document, JSON_INDENT(2));
    puts(text ? text : "null");
    free(text);
    json_decref(document);
}

/* The remedies of the error table are about a server's objects; here it is files. */
static const char *remedy_of(const GError *error)
{
    if (err_is(error, ERR_NOT_FOUND))
        return "Check the name; `cadenza repo list DIR` shows what is there.";
    if (err_is(error, ERR_DENIED))
        return "Run it as a user who may read the folder (and write to it, to repair), as its "
               "owner or root.";
    return err_remedy(error);
}

static int fail(GError *error, const char *remedy, int status)
{
    fprintf(stderr, "cadenza: %s\n%s\n", tame(error->message), remedy);
    g_error_free(error);
    return status;
}

int repo_fail(GError *error)
{
    return fail(error, remedy_of(error), REPO_PROBLEMS);
}

int repo_fail_unread(GError *error)
{
    return fail(error, remedy_of(error), REPO_UNREADABLE);
}

int repo_fail_to_open(GError *error)
{
    bool absent = err_is(error, ERR_NOT_FOUND);
    return fail(error,
                absent ? "Check the path: DIR is the folder of a repository, what a remote's URL "
                         "names after file://. Is its storage mounted?"
                       : remedy_of(error),
                REPO_UNREADABLE);
}

const char *repo_text(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

bool repo_has_vm(Repo *repo, const char *vm, GError **error)
{
    RemoteStat st;
    g_autofree char *path = vm ? g_strconcat(LAYOUT_VMS "/", vm, NULL) : NULL;
    return !vm || remote_stat(repo->remote, path, &st, error);
}

const char *repo_vm_of(json_t *point, char **holder)
{
    g_auto(GStrv) parts = g_strsplit(repo_text(point, "_filename"), "/", -1);
    return *holder = g_strdup(g_strv_length(parts) > 2 ? parts[2] : "");
}

static void print_row(json_t *row)
{
    if (json_object_get(row, "error"))
        repo_say("BROKEN  %s: %s\n", repo_text(row, "path"), repo_text(row, "error"));
    else if (json_object_get(row, "sha256"))
        repo_say("%s  %s\n", repo_text(row, "sha256"), repo_text(row, "path"));
    else
        repo_say("sound  %s: %d blocks read, %d verified\n", repo_text(row, "path"),
                 (int) json_integer_value(json_object_get(row, "blocks")),
                 (int) json_integer_value(json_object_get(row, "verified")));
    fflush(stdout);
}

void repo_add_row(Repo *repo, json_t *row, json_t *rows)
{
    if (!repo->json)
        print_row(row);
    json_array_append_new(rows, row);
}

bool repo_each_disk(Repo *repo, json_t *point, RepoRow *make, json_t *rows, GError **error)
{
    json_t *disks = catalog_point_disks(repo->catalog, point, error), *disk;
    gsize i;
    json_array_foreach (disks, i, disk) {
        const char *path = repo_text(disk, "path");
        if (repo->n_words > 2 && strcmp(repo->words[2], path) != 0)
            continue;
        repo_add_row(repo, make(repo, point, path, disk), rows);
    }
    json_decref(disks);
    return disks != NULL;
}

int repo_end_rows(Repo *repo, json_t *rows)
{
    if (repo->json)
        repo_print_json(rows);
    else
        json_decref(rows);
    return repo->n_problems ? REPO_PROBLEMS : REPO_SOUND;
}

json_t *repo_point(Repo *repo, const char *word, GError **error)
{
    while (*word == '/')
        word++;
    bool has_root = g_str_has_prefix(word, "xo-vm-backups/"),
         has_end = g_str_has_suffix(word, ".json");
    g_autofree char *path =
        g_strconcat("/", has_root ? "" : "xo-vm-backups/", word, has_end ? "" : ".json", NULL);
    return catalog_point(repo->catalog, path, error);
}
