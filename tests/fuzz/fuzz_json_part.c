/* Any bytes, in parts: what jansson reads is read alike when all is wanted, and its parts always.
 */
#include "base/json_part.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const JsonWant all[] = { { "*" }, { NULL } };
static const JsonWant inner[] = { { "a" }, { NULL } };
static const JsonWant some[] = { { "a" }, { "b", inner }, { NULL } };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data;
    json_t *theirs = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    json_t *ours = json_part(text, size, all, NULL), *parts = json_part(text, size, some, NULL);
    bool known = size > JSON_PART_MAX_DEPTH || memchr(data, 0, size);
    if (theirs && !known && (!ours || !parts || !json_equal(ours, theirs)))
        abort();
    if (ours && !known && !theirs)
        abort();
    json_decref(theirs);
    json_decref(ours);
    json_decref(parts);
    return 0;
}
