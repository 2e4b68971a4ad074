/* Killed at every point of writing a backup: earlier points stay, what was begun is swept, and the
 * same backup can be made again. */
#include "history.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define MAX_VISITS 30u

/* In a child that dies while it writes the third point; whether it died. */
static bool writing_dies(History *history, const char *point, unsigned nth)
{
    pid_t pid = fork();
    if (pid == 0) {
        g_autofree char *order = g_strdup_printf("%s:%u", point, nth);
        setenv("CADENZA_CRASH", order, 1);
        history_add(history, "12", false, 5);
        _exit(0);
    }
    int status;
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 99;
}

static bool write_again(const char *options, const char *point, unsigned nth)
{
    History *history = history_new(options, 3);
    RemoteStat st;
    history_add(history, "01", true, 3);
    history_add(history, "2", false, 3);
    bool died = writing_dies(history, point, nth);
    bool committed = remote_stat(history->repo->remote,
                                 "xo-vm-backups/" HISTORY_VM "/20261122T021859Z.json", &st, NULL);
    history_check(history, 0, 2);
    history_clean(history, NULL);
    history_check(history, 0, 2);
    history_no_temporaries(history);
    if (!committed) {
        g_autofree char *listing = history_listing(history, "");
        assert_null(strstr(listing, "021859Z"));
        history_add(history, "12", false, 5);
        history_check(history, 0, 3);
    }
    history_free(history);
    return died;
}

static void test_writing(void **state)
{
    static const char *const points[] = { "catalog_disk_written",    "catalog_disk_named",
                                          "catalog_commit_manifest", "catalog_commit_point",
                                          "remote_put_written",      "remote_put_named",
                                          "remote_chunk_written" };
    static const char *const modes[] = { NULL, "useVhdDirectory=true&compressionType=%22none%22" };
    unsigned n_deaths = 0;
    for (unsigned m = 0; m < G_N_ELEMENTS(modes); m++)
        for (unsigned i = 0; i < G_N_ELEMENTS(points); i++)
            for (unsigned nth = 1; nth < MAX_VISITS && write_again(modes[m], points[i], nth); nth++)
                n_deaths++;
    assert_true(n_deaths > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_writing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
