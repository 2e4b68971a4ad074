/* A pattern, and a value to match after a NUL byte: what is refused says why, what is not matches
 * or does not, and never both it and its opposite. */
#include "base/pattern.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    size_t n = strnlen(text, size);
    json_t *pattern = json_loadb(text, n, JSON_DECODE_ANY, NULL);
    json_t *value = n < size ? json_loadb(text + n + 1, size - n - 1, JSON_DECODE_ANY, NULL) : NULL;
    g_autoptr(GError) error = NULL;
    if (pattern && value && pattern_check(pattern, &error)) {
        json_t *opposite = json_pack("{s:O}", "__not", pattern);
        if (pattern_check(opposite, NULL) &&
            pattern_match(pattern, value) == pattern_match(opposite, value))
            abort();
        json_decref(opposite);
    } else if (pattern && value && !error) {
        abort();
    }
    json_decref(pattern);
    json_decref(value);
    return 0;
}
