/* Both are steered by environment variables. */
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool mutant_is(const char *name)
{
    const char *wanted = g_getenv("CADENZA_MUTANT");
    return wanted && strcmp(wanted, name) == 0;
}

/* What CADENZA_CRASH wants now: its value, or the first line of the file that it names; *rest is
 * what follows that line. */
static char *wanted_crash(const char **file, char **rest)
{
    const char *wanted = g_getenv("CADENZA_CRASH");
    char *text = NULL;
    *file = wanted && *wanted == '@' ? wanted + 1 : NULL;
    if (!*file)
        return g_strdup(wanted);
    if (!g_file_get_contents(*file, &text, NULL, NULL))
        return NULL;
    char *end = strchr(text, '\n');
    *rest = g_strdup(end ? end + 1 : "");
    return g_strdelimit(text, "\n", '\0');
}

static void note_visit(const char *name)
{
    const char *file = g_getenv("CADENZA_CRASH_VISITS");
    g_autofree char *line = g_strconcat(name, "\n", NULL);
    int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd >= 0 && write(fd, line, strlen(line)) < 0)
        g_printerr("crash visits: %s: %s\n", file, g_strerror(errno));
    if (fd >= 0)
        close(fd);
}

void crash_visit(const char *name)
{
    static atomic_uint n_visits;
    const char *file;
    g_autofree char *rest = NULL;
    note_visit(name);
    g_autofree char *wanted = wanted_crash(&file, &rest);
    if (!wanted)
        return;
    gsize length = strcspn(wanted, ":");
    if (strlen(name) != length || strncmp(wanted, name, length) != 0)
        return;
    unsigned nth = wanted[length] == ':' ? (unsigned) strtoul(wanted + length + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&n_visits, 1) + 1 != nth)
        return;
    if (file && (*rest ? !g_file_set_contents(file, rest, -1, NULL) : unlink(file) != 0))
        g_printerr("crash %s: %s stays as it was\n", name, file);
    _exit(99);
}
