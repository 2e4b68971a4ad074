/* Every damage is found and named, by path and block; the dry run of a repair changes nothing and
 * plans what the repair then does; and afterwards every backup that can be restored still is. */
#include "history.h"

#include "base/error.h"
#include "catalog/check.h"
#include "remote/fault.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

/* Where the first block of a small flat disk lies, and how far the next is. */
enum { FIRST_BLOCK = 512 + 1024 + 512, STORED_BLOCK = 512 + (2 << 20) };
#define P0       "20261122T021659Z"
#define P1       "20261122T021759Z"
#define P2       "20261122T021859Z"
#define VM       "xo-vm-backups/" HISTORY_VM "/"
#define LINEAGE  VM HISTORY_LINEAGE "/"
#define MANIFEST ".cadenza/manifests/" HISTORY_VM "/"

/* --- how to harm --- */

static char *whole(History *history, const char *path)
{
    return g_build_filename(history->repo->folder, path, NULL);
}

static void overwrite(History *history, const char *path, gint64 at, const char *text)
{
    g_autofree char *file = whole(history, path);
    int fd = open(file, O_RDWR);
    assert_true(fd >= 0);
    if (at < 0)
        at += lseek(fd, 0, SEEK_END);
    assert_int_equal(pwrite(fd, text, strlen(text), at), strlen(text));
    close(fd);
}

static void cut(History *history, const char *path, gint64 n)
{
    g_autofree char *file = whole(history, path);
    int fd = open(file, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, lseek(fd, 0, SEEK_END) - n), 0);
    close(fd);
}

static void shell(History *history, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* In the folder of the repository; L is that of the disks. */
static void shell(History *history, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *words = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *command =
        g_strdup_printf("cd '%s' && L='" LINEAGE "' && %s", history->repo->folder, words);
    assert_int_equal(system(command), 0);
}

static void put_text(History *history, const char *path, const char *text)
{
    g_autofree char *file = whole(history, path);
    assert_true(g_file_set_contents(file, text, -1, NULL));
}

static void flip_tip_block(History *history)
{
    overwrite(history, LINEAGE P1 ".vhd", FIRST_BLOCK + 512 + 1000, "?");
}

static void flip_hidden_block(History *history)
{
    overwrite(history, LINEAGE P0 ".vhd", FIRST_BLOCK + STORED_BLOCK + 512 + 1000, "?");
}

static void swap_flat(History *history)
{
    shell(history,
          "f=${L}" P2 ".vhd && dd if=$f of=x bs=1 skip=%d count=2097152 status=none"
          " iflag=skip_bytes,count_bytes ibs=64k obs=64k",
          FIRST_BLOCK + 512);
    shell(history,
          "f=${L}" P2 ".vhd && dd if=$f of=y skip=%d count=2097152 status=none"
          " iflag=skip_bytes,count_bytes ibs=64k obs=64k",
          FIRST_BLOCK + STORED_BLOCK + 512);
    shell(history,
          "f=${L}" P2
          ".vhd && dd if=y of=$f conv=notrunc oflag=seek_bytes seek=%d status=none bs=64k"
          " && dd if=x of=$f conv=notrunc oflag=seek_bytes seek=%d status=none bs=64k && rm x y",
          FIRST_BLOCK + 512, FIRST_BLOCK + STORED_BLOCK + 512);
}

static void swap_files(History *history)
{
    shell(history, "cd ${L}data/" P2 ".vhd/blocks/0 && mv 2 x && mv 3 2 && mv x 3");
}

static void flip_file(History *history)
{
    overwrite(history, LINEAGE "data/" P2 ".vhd/blocks/0/3", -7, "??");
}

static void truncate_block(History *history)
{
    cut(history, LINEAGE P2 ".vhd", 700);
}

static void cut_footer(History *history)
{
    cut(history, LINEAGE P2 ".vhd", 400);
}

static void harm_first_footer(History *history)
{
    overwrite(history, LINEAGE P1 ".vhd", 30, "????");
}

static void harm_header(History *history)
{
    overwrite(history, LINEAGE P2 ".vhd", 512 + 40, "????");
}

static void lose_root(History *history)
{
    shell(history, "rm ${L}" P0 ".vhd");
}

static void other_under_name(History *history)
{
    shell(history, "cp ${L}" P0 ".vhd ${L}" P1 ".vhd");
}

static void wrong_alias(History *history)
{
    put_text(history, LINEAGE P1 ".alias.vhd", "data/" P0 ".vhd");
}

static void broken_alias(History *history)
{
    put_text(history, LINEAGE P2 ".alias.vhd", "?");
}

static void lose_data(History *history)
{
    shell(history, "rm -r ${L}data/" P0 ".vhd");
}

static void lose_block(History *history)
{
    shell(history, "rm ${L}data/" P0 ".vhd/blocks/0/3");
}

static void harm_cache(History *history)
{
    put_text(history, VM "cache.json.gz", "no gzip");
}

static void lose_cache(History *history)
{
    shell(history, "rm " VM "cache.json.gz");
}

static void old_cache(History *history)
{
    shell(history, "cp " VM "cache.json.gz kept");
    history_delete(history, 2);
    shell(history, "mv kept " VM "cache.json.gz && rm ${L}" P2 ".vhd " MANIFEST P2 ".json");
}

static void leave_temporary(History *history)
{
    shell(history, "echo x > ${L}.1795314017213.20261122T022017Z.vhd");
}

static void leave_data(History *history)
{
    shell(history, "mkdir ${L}data/20261122T040000Z.vhd && echo x > "
                   "${L}data/20261122T040000Z.vhd/bat");
}

static void leave_archive(History *history)
{
    shell(history, "echo x > " VM "20261122T040000Z.xva");
}

static void leave_disk(History *history)
{
    shell(history, "cp ${L}" P0 ".vhd ${L}20261122T010000Z.vhd");
}

static void harm_manifest(History *history)
{
    overwrite(history, MANIFEST P1 ".json", 40, "?");
}

static void manifest_of_another(History *history)
{
    shell(history, "cp " MANIFEST P0 ".json " MANIFEST P1 ".json");
}

static void link_to_nothing(History *history)
{
    shell(history, "ln -sf /nonexistent " LINEAGE P2 ".vhd");
}

static void folder_as_metadata(History *history)
{
    shell(history, "rm " VM P1 ".json; mkdir " VM P1 ".json");
}

static void names_of_bytes(History *history)
{
    shell(history, "printf x > $(printf '" LINEAGE "\\377.vhd')");
    shell(history, "cp " VM P1 ".json $(printf '" VM "\\377.json')");
}

static void leave_manifest(History *history)
{
    shell(history, "cp " MANIFEST P1 ".json " MANIFEST "20251122T000000Z.json");
}

static void harm_metadata(History *history)
{
    cut(history, VM P1 ".json", 20);
}

static void harm_metadata_and_cache(History *history)
{
    harm_metadata(history);
    lose_cache(history);
}

static void harm_size(History *history)
{
    shell(history, "sed -i 's/\"size\":[0-9]*/\"size\":1/' " VM P1 ".json");
}

static void harm_merge_note(History *history)
{
    put_text(history, LINEAGE "." P0 ".vhd.merge.json", "{\"chain\":[\"../../x.vhd\"]}");
}

/* XO merged the first into the second: our manifest knows nothing of it. */
static void merge_elsewhere(History *history)
{
    shell(history, "cp " MANIFEST P1 ".json kept");
    history_delete(history, 0);
    history_clean(history, NULL);
    shell(history, "mv kept " MANIFEST P1 ".json");
}

static void crash_merge(History *history)
{
    history_delete(history, 0);
    pid_t pid = fork();
    if (pid == 0) {
        CatalogCleaned cleaned;
        setenv("CADENZA_CRASH", "merge_blocks_done", 1);
        catalog_clean(history->repo->catalog, HISTORY_VM, true, true, &cleaned, NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_int_equal(WEXITSTATUS(status), 99);
}

/* --- what is found --- */

enum { UNCHECKED = -1 };

static const struct damage {
    const char *name;
    bool directory;
    void (*harm)(History *history);
    FindingKind kind;
    const char *path; /* part of it */
    gint64 block;
    FindingGrade after; /* the repair */
    int n_left;         /* points that then read as they were written */
    bool shallow;       /* found without reading the blocks */
} damages[] = {
    { "flip", false, flip_tip_block, FINDING_BLOCK_DAMAGED, P1 ".vhd", 1, GRADE_NOTE, 1, false },
    { "flip, hidden", false, flip_hidden_block, FINDING_BLOCK_DAMAGED, P0 ".vhd", 1, GRADE_DAMAGED,
      2, false },
    { "flip, file", true, flip_file, FINDING_BLOCK_DAMAGED, P2 ".alias.vhd", 3, GRADE_NOTE, 2,
      false },
    { "swap", false, swap_flat, FINDING_BLOCK_SWAPPED, P2 ".vhd", 2, GRADE_NOTE, 2, false },
    { "swap, files", true, swap_files, FINDING_BLOCK_SWAPPED, P2 ".alias.vhd", 3, GRADE_NOTE, 2,
      false },
    { "truncated", false, truncate_block, FINDING_DISK_TRUNCATED, P2 ".vhd", -1, GRADE_NOTE, 2,
      true },
    { "last footer", false, cut_footer, FINDING_FOOTER_DAMAGED, P2 ".vhd", -1, GRADE_NOTE, 3,
      true },
    { "first footer", false, harm_first_footer, FINDING_FOOTER_DAMAGED, P1 ".vhd", -1, GRADE_NOTE,
      3, true },
    { "header", false, harm_header, FINDING_DISK_DAMAGED, P2 ".vhd", -1, GRADE_NOTE, 2, true },
    { "no parent", false, lose_root, FINDING_PARENT_MISSING, P1 ".vhd", -1, GRADE_NOTE, 0, true },
    { "no disk", false, lose_root, FINDING_DISK_MISSING, P0 ".vhd", -1, GRADE_NOTE, 0, true },
    { "other disk", false, other_under_name, FINDING_DISK_WRONG, P1 ".vhd", -1, GRADE_NOTE, 1,
      true },
    { "wrong alias", true, wrong_alias, FINDING_ALIAS_WRONG, P1 ".alias.vhd", -1, GRADE_NOTE, 3,
      true },
    { "broken alias", true, broken_alias, FINDING_ALIAS_BROKEN, P2 ".alias.vhd", -1, GRADE_NOTE, 3,
      true },
    { "no data", true, lose_data, FINDING_ALIAS_BROKEN, P0 ".alias.vhd", -1, GRADE_NOTE, 0, true },
    { "no block", true, lose_block, FINDING_BLOCK_MISSING, P0 ".alias.vhd", 3, GRADE_DAMAGED, 1,
      true },
    { "cache", false, harm_cache, FINDING_CACHE_STALE, "cache.json.gz", -1, GRADE_NOTE, 3, true },
    { "old cache", false, old_cache, FINDING_CACHE_STALE, "cache.json.gz", -1, GRADE_NOTE, 2,
      true },
    { "no cache", false, lose_cache, FINDING_CACHE_ABSENT, "cache.json.gz", -1, GRADE_NOTE, 3,
      true },
    { "temporary", false, leave_temporary, FINDING_TEMPORARY, ".1795314017213", -1, GRADE_NOTE, 3,
      true },
    { "data", true, leave_data, FINDING_ORPHAN_DATA, "data/20261122T04", -1, GRADE_NOTE, 3, true },
    { "archive", false, leave_archive, FINDING_ORPHAN_ARCHIVE, "20261122T040000Z.xva", -1,
      GRADE_NOTE, 3, true },
    { "orphan", false, leave_disk, FINDING_ORPHAN_DISK, "20261122T010000Z.vhd", -1, GRADE_NOTE, 3,
      true },
    { "manifest", false, harm_manifest, FINDING_MANIFEST_DAMAGED, MANIFEST P1, -1, GRADE_NOTE,
      UNCHECKED, true },
    { "manifest of another", false, manifest_of_another, FINDING_MANIFEST_DAMAGED, MANIFEST P1, -1,
      GRADE_NOTE, UNCHECKED, true },
    { "link to nothing", false, link_to_nothing, FINDING_DISK_DAMAGED, P2 ".vhd", -1, GRADE_NOTE, 2,
      true },
    { "folder as metadata", false, folder_as_metadata, FINDING_METADATA_DAMAGED, P1 ".json", -1,
      GRADE_NOTE, 3, true },
    { "names of bytes", false, names_of_bytes, FINDING_METADATA_DAMAGED, "\377.json", -1,
      GRADE_NOTE, 3, true },
    { "old manifest", false, leave_manifest, FINDING_MANIFEST_ORPHAN, "20251122T000000Z.json", -1,
      GRADE_NOTE, 3, true },
    { "metadata", false, harm_metadata, FINDING_METADATA_DAMAGED, P1 ".json", -1, GRADE_NOTE, 3,
      true },
    { "metadata for good", false, harm_metadata_and_cache, FINDING_METADATA_DAMAGED, P1 ".json", -1,
      GRADE_NOTE, 2, true },
    { "size", false, harm_size, FINDING_METADATA_STALE, P1 ".json", -1, GRADE_NOTE, 3, true },
    { "merge note", false, harm_merge_note, FINDING_MERGE_NOTE_DAMAGED, "merge.json", -1,
      GRADE_DAMAGED, 3, true },
    { "merged elsewhere", false, merge_elsewhere, FINDING_CHANGED_ELSEWHERE, P1 ".vhd", -1,
      GRADE_NOTE, UNCHECKED, true },
    { "merge, flat", false, crash_merge, FINDING_MERGE_UNFINISHED, "merge.json", -1, GRADE_NOTE, 2,
      true },
    { "merge, directory", true, crash_merge, FINDING_MERGE_UNFINISHED, "merge.json", -1, GRADE_NOTE,
      2, true },
};

static History *three_points(bool directory)
{
    History *history = history_new(directory ? "useVhdDirectory=true" : NULL, 5);
    history_add(history, "0123", true, 5);
    history_add(history, "1", false, 5);
    history_add(history, "23", false, 5);
    return history;
}

static const CatalogFinding *find(const CatalogReport *report, const struct damage *damage)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const CatalogFinding *finding = report->findings->pdata[i];
        if (finding->kind == damage->kind && strstr(finding->path, damage->path) &&
            finding->block == damage->block)
            return finding;
    }
    return NULL;
}

static void explain(const CatalogReport *report)
{
    for (guint i = 0; i < report->findings->len; i++) {
        const CatalogFinding *finding = report->findings->pdata[i];
        print_message("  %s %s %" G_GINT64_FORMAT ": %s (%s)\n", finding_name(finding),
                      finding->path, finding->block, finding->words, finding_fix(finding));
    }
}

static void assert_found(History *history, const struct damage *damage, bool deep)
{
    g_autoptr(CatalogReport) report = catalog_check(history->repo->catalog, NULL, deep);
    const CatalogFinding *finding = find(report, damage);
    bool expected = deep || damage->shallow;
    if ((finding != NULL) == expected)
        return;
    explain(report);
    fail_msg("%s: %s %s", damage->name,
             expected ? "not found:" : "found without looking:", damage->path);
}

/* All that there is, with its content. */
static char *digest(History *history)
{
    g_autofree char *command = g_strdup_printf(
        "sh -c \"cd '%s' && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum\"",
        history->repo->folder);
    char *text = NULL;
    assert_true(g_spawn_command_line_sync(command, &text, NULL, NULL, NULL));
    return text;
}

static void repair_dry(History *history, const struct damage *damage, guint *n_planned)
{
    g_autofree char *before = digest(history);
    g_autoptr(CatalogRepaired) plan = catalog_repair(history->repo->catalog, NULL, true, true);
    g_autofree char *after = digest(history);
    if (strcmp(before, after) != 0)
        fail_msg("%s: the dry run changed something", damage->name);
    *n_planned = plan->done->len;
}

static void repair_really(History *history, const struct damage *damage, guint n_planned)
{
    g_autoptr(CatalogRepaired) repaired = catalog_repair(history->repo->catalog, NULL, true, false);
    for (guint i = 0; i < repaired->failed->len; i++)
        print_message("  %s\n", (char *) repaired->failed->pdata[i]);
    assert_int_equal(repaired->failed->len, 0);
    assert_true(repaired->done->len >= n_planned);
    g_autoptr(CatalogReport) report = catalog_check(history->repo->catalog, NULL, true);
    if (catalog_report_worst(report) == damage->after)
        return;
    explain(report);
    fail_msg("%s: grade %u after the repair", damage->name, catalog_report_worst(report));
}

static void test_damages(void **state)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(damages); i++) {
        const struct damage *damage = &damages[i];
        History *history = three_points(damage->directory);
        guint n_planned;
        damage->harm(history);
        assert_found(history, damage, true);
        assert_found(history, damage, false);
        repair_dry(history, damage, &n_planned);
        repair_really(history, damage, n_planned);
        if (damage->n_left >= 0)
            history_check(history, 0, (unsigned) damage->n_left);
        history_free(history);
    }
}

static void test_sound(void **state)
{
    for (unsigned m = 0; m < 2; m++) {
        History *history = three_points(m);
        g_autoptr(CatalogReport) report = catalog_check(history->repo->catalog, NULL, true);
        explain(report);
        assert_int_equal(report->findings->len, 0);
        assert_int_equal(report->n_points, 3);
        assert_int_equal(report->n_disks, 3);
        assert_int_equal(report->n_blocks, 7);
        assert_int_equal(report->n_verified, 7);
        g_autoptr(CatalogReport) one = catalog_check(history->repo->catalog, HISTORY_VM, false);
        assert_int_equal(one->n_vms, 1);
        assert_int_equal(one->n_blocks, 0);
        history_free(history);
    }
}

/* Storage that does not answer is no damage, and nothing is repaired on its word. */
static void test_unreadable(void **state)
{
    static const char *const verbs[] = { "list", "get", "bytes.read" };
    for (unsigned i = 0; i < G_N_ELEMENTS(verbs); i++) {
        History *history = three_points(false);
        leave_disk(history);
        leave_temporary(history);
        RemoteFault plan = { .verb = verbs[i], .nth = 5, .for_good = true, .room_bytes = -1 };
        g_autofree char *url = g_strdup_printf("file://%s", history->repo->folder);
        Remote *faulty = remote_new_faulty(remote_open(url, NULL), &plan);
        Catalog *catalog = catalog_open(faulty, NULL);
        g_autoptr(CatalogReport) report = catalog_check(catalog, NULL, true);
        if (catalog_report_worst(report) != GRADE_UNREADABLE) {
            explain(report);
            fail_msg("%s: grade %u", verbs[i], catalog_report_worst(report));
        }
        plan.n_seen = 0;
        g_autofree char *before = digest(history);
        g_autoptr(CatalogRepaired) plan_only = catalog_repair(catalog, HISTORY_VM, true, true);
        assert_int_equal(plan_only->done->len, 0);
        assert_int_equal(plan_only->failed->len, 1);
        g_autofree char *after = digest(history);
        assert_string_equal(before, after);
        catalog_close(catalog);
        remote_close(faulty);
        history_free(history);
    }
}

/* What another holds is neither judged nor touched. */
static void test_in_use(void **state)
{
    History *history = three_points(false);
    leave_temporary(history);
    g_autoptr(RemoteLock) lock = catalog_lock(history->repo->catalog, HISTORY_VM, 0, NULL);
    g_autoptr(CatalogReport) report = catalog_check(history->repo->catalog, NULL, true);
    assert_int_equal(report->findings->len, 1);
    assert_int_equal(((CatalogFinding *) report->findings->pdata[0])->kind, FINDING_IN_USE);
    g_autoptr(CatalogRepaired) plan = catalog_repair(history->repo->catalog, NULL, false, true);
    assert_int_equal(plan->done->len, 0);
    remote_unlock(g_steal_pointer(&lock));
    history_free(history);
}

/* What is moved lies under its own name, with a note that says from where and why. */
static void test_quarantine(void **state)
{
    History *history = three_points(true);
    flip_file(history);
    guint n;
    repair_dry(history, &damages[2], &n);
    repair_really(history, &damages[2], n);
    shell(history,
          "cd .cadenza/quarantine/" HISTORY_VM " && test -f " P2 ".json && test -f " HISTORY_LINEAGE
          "/" P2 ".alias.vhd && test -d " HISTORY_LINEAGE "/data/" P2
          ".vhd && test -f manifests/" P2 ".json && grep -q 'cannot be restored' " P2
          ".json.note && test ! -e " HISTORY_LINEAGE "/" P1 ".alias.vhd");
    history_free(history);
}

static void test_fixtures(void **state)
{
    static const struct {
        const char *name;
        FindingGrade grade;
        guint n_points;
    } rows[] = { { "flat", GRADE_NOTE, 4 },
                 { "flat-unmerged", GRADE_NOTE, 6 },
                 { "directory", GRADE_NOTE, 4 },
                 { "full", GRADE_NOTE, 6 },
                 { "interrupted", GRADE_UNTIDY, 1 } };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(Repo) repo = repo_fixture(rows[i].name);
        g_autoptr(CatalogReport) report = catalog_check(repo->catalog, NULL, true);
        if (catalog_report_worst(report) != rows[i].grade)
            explain(report);
        assert_int_equal(catalog_report_worst(report), rows[i].grade);
        assert_int_equal(report->n_points, rows[i].n_points);
        assert_int_equal(report->n_verified, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),      cmocka_unit_test(test_damages),
        cmocka_unit_test(test_unreadable), cmocka_unit_test(test_in_use),
        cmocka_unit_test(test_quarantine), cmocka_unit_test(test_fixtures)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
