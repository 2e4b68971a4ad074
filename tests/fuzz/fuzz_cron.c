/* A cron text; its next time is after the reference; in XO's words it means the same. */
#include "base/cron.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(GError) error = NULL;
    g_autoptr(Cron) cron = cron_parse(text, "Europe/Paris", &error);
    gint64 after_ms = 1795313810797;
    gint64 next_ms = cron ? cron_next(cron, after_ms, &error) : 0;
    g_autofree char *made = cron_translate(text);
    g_autoptr(Cron) same = made ? cron_parse(made, "Europe/Paris", NULL) : NULL;
    if (cron && made)
        g_assert(same && cron_next(same, after_ms, NULL) == next_ms);
    g_assert(next_ms ? next_ms > after_ms && !error : error != NULL);
    return 0;
}
