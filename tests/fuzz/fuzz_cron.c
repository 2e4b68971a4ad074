/* A cron text; its next time is after the reference. */
#include "base/cron.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Cron) cron = cron_parse(text, "Europe/Paris", &error);
    gint64 after_ms = 1795313810797;
    gint64 next_ms = cron ? cron_next(cron, after_ms, &error) : 0;
    g_assert(next_ms ? next_ms > after_ms && !error : error != NULL);
    return 0;
}
