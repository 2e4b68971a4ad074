/* `cadenza repo verify`: is everything there, and (deep) what was backed up? */
#include "cmd/repo_verb.h"

#include "base/error.h"
#include "base/json_text.h"
#include "catalog/check.h"

#include <glib.h>

static const struct {
    const char *word;
    int status;
} grades[] = {
    [GRADE_NOTE] = { "note", REPO_SOUND },
    [GRADE_UNTIDY] = { "untidy", REPO_UNTIDY },
    [GRADE_UNREADABLE] = { "UNREADABLE", REPO_UNREADABLE },
    [GRADE_DAMAGED] = { "DAMAGED", REPO_PROBLEMS },
};

static json_t *finding_row(const CatalogFinding *finding)
{
    json_t *row = json_pack("{s:s,s:s,s:s,s:o,s:o,s:s,s:b}", "kind", finding_name(finding), "grade",
                            grades[finding_grade(finding)].word, "vm", finding->vm, "path",
                            json_text_of_bytes(finding->path), "words",
                            json_text_of_bytes(finding->words), "remedy", finding_remedy(finding),
                            "fixable", finding->fix != FIX_NONE);
    if (finding->block >= 0)
        json_object_set_new(row, "block", json_integer(finding->block));
    return row;
}

static json_t *report_json(const CatalogReport *report)
{
    json_t *rows = json_array();
    for (guint i = 0; i < report->findings->len; i++)
        json_array_append_new(rows, finding_row(report->findings->pdata[i]));
    return json_pack("{s:s,s:i,s:i,s:i,s:I,s:I,s:o}", "verdict",
                     report->findings->len ? grades[catalog_report_worst(report)].word : "sound",
                     "vms", (int) report->n_vms, "backups", (int) report->n_points, "disks",
                     (int) report->n_disks, "blocks", (json_int_t) report->n_blocks, "verified",
                     (json_int_t) report->n_verified, "findings", rows);
}

static void print_finding(const CatalogFinding *finding)
{
    repo_say("%-10s %s: %s: %s\n           %s%s\n", grades[finding_grade(finding)].word,
             finding_name(finding), finding->path, finding->words,
             finding->fix != FIX_NONE || finding_grade(finding) == GRADE_NOTE ? "" : "by hand: ",
             finding_remedy(finding));
}

static void print_report(const Repo *repo, const CatalogReport *report)
{
    unsigned counts[G_N_ELEMENTS(grades)] = { 0 };
    for (guint i = 0; i < report->findings->len; i++) {
        print_finding(report->findings->pdata[i]);
        counts[finding_grade(report->findings->pdata[i])]++;
    }
    repo_say("%s: %u VMs, %u backups, %u disks; %" G_GUINT64_FORMAT
             " blocks read, %" G_GUINT64_FORMAT " of them verified\n",
             remote_name(repo->remote), report->n_vms, report->n_points, report->n_disks,
             report->n_blocks, report->n_verified);
    repo_say("%u damaged, %u unreadable, %u untidy, %u notes\n", counts[GRADE_DAMAGED],
             counts[GRADE_UNREADABLE], counts[GRADE_UNTIDY], counts[GRADE_NOTE]);
}

static int verify(Repo *repo)
{
    g_autoptr(GError) error = NULL;
    const char *vm = repo_option(repo, "--vm");
    if (!repo_has_vm(repo, vm, &error))
        return repo_fail_unread(g_steal_pointer(&error));
    g_autoptr(CatalogReport)
        report = catalog_check(repo->catalog, vm, repo_option(repo, "--deep") != NULL);
    if (repo->json)
        repo_print_json(report_json(report));
    else
        print_report(repo, report);
    return grades[catalog_report_worst(report)].status;
}

const struct repo_verb repo_verify = {
    .name = "verify",
    .words = "DIR",
    .summary = "is everything there? --deep: and is every block what was backed up?",
    .min_words = 1,
    .max_words = 1,
    .options = { { "--deep", NULL }, { "--vm", "UUID" } },
    .run = verify,
};
