/* A filter, and a value to match after a NUL byte. */
#include "base/filter.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *) data, size);
    size_t n = strlen(text) + 1;
    json_t *value = n < size ? json_loadb((const char *) data + n, size - n, JSON_DECODE_ANY, NULL)
                             : NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(Filter) filter = filter_parse(text, &error);
    if (filter)
        filter_match(filter, value);
    else
        g_assert(error);
    json_decref(value);
    return 0;
}
