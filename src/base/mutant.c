/* Both are steered by one environment variable each. */
#include "base/mutant.h"

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

void crash_visit(const char *name)
{
    static atomic_uint n_visits;
    const char *wanted = g_getenv("CADENZA_CRASH");
    if (!wanted)
        return;
    gsize length = strcspn(wanted, ":");
    if (strlen(name) != length || strncmp(wanted, name, length) != 0)
        return;
    unsigned nth = wanted[length] == ':' ? (unsigned) strtoul(wanted + length + 1, NULL, 10) : 1;
    if (atomic_fetch_add(&n_visits, 1) + 1 == nth)
        _exit(99);
}
