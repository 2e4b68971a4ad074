/* `cadenza repo repair`: fixes what can be fixed, moves the rest out of the way. */
#include "cmd/repo_verb.h"

#include "base/error.h"
#include "base/json_text.h"
#include "catalog/check.h"

#include <glib.h>

static json_t *texts(const GPtrArray *lines)
{
    json_t *array = json_array();
    for (guint i = 0; i < lines->len; i++)
        json_array_append_new(array, json_text_of_bytes(lines->pdata[i]));
    return array;
}

static void print_lines(const char *word, const GPtrArray *lines)
{
    for (guint i = 0; i < lines->len; i++)
        repo_say("%s: %s\n", word, (const char *) lines->pdata[i]);
}

static int repair(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    bool dry_run = repo_option(repo, "--dry-run") != NULL;
    const char *vm = repo_option(repo, "--vm");
    if (!repo_has_vm(repo, vm, &error)) /* taking its lock would make the folder */
        return repo_fail_unread(g_steal_pointer(&error));
    g_autoptr(CatalogRepaired)
        repaired = catalog_repair(repo->catalog, vm, repo_option(repo, "--deep") != NULL, dry_run);
    if (repo->json) {
        repo_print_json(json_pack("{s:b,s:o,s:o}", "dryRun", dry_run, "done", texts(repaired->done),
                                  "failed", texts(repaired->failed)));
    } else {
        print_lines(dry_run ? "would" : "done", repaired->done);
        print_lines("FAILED", repaired->failed);
        repo_say("%u steps %s, %u failed\n", repaired->done->len,
                 dry_run ? "planned; more may follow from them" : "done", repaired->failed->len);
    }
    return repaired->failed->len ? REPO_PROBLEMS : REPO_SOUND;
}

const struct repo_verb repo_repair = {
    .name = "repair",
    .words = "DIR",
    .summary = "fix what verify found; move what cannot be fixed to .cadenza/quarantine",
    .min_words = 1,
    .max_words = 1,
    .options = { { "--dry-run", NULL }, { "--deep", NULL }, { "--vm", "UUID" } },
    .writes = true,
    .run = repair,
};
