/* A name and a text: what is picked from an object that jansson understands is what jansson says.
 */
#include "base/json_pick.h"

#include <glib.h>
#include <jansson.h>
#include <stdint.h>
#include <string.h>

/* jansson keeps the last of repeated names, the picker the first: such texts are not compared. */
static void compare(const char *text, size_t n, const JsonPick *pick)
{
    json_t *whole = json_loadb(text, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(whole) || memchr(text, '\\', n)) {
        json_decref(whole);
        return;
    }
    json_t *expected = json_object_get(whole, pick->name);
    g_assert((expected != NULL) == (pick->value != NULL));
    if (expected) {
        json_t *value = json_loadb(pick->value, pick->n, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        g_assert(json_equal(value, expected));
        json_decref(value);
    }
    json_decref(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *) data;
    size_t n_name = strnlen(bytes, size);
    if (n_name == size)
        return 0;
    g_autofree char *name = g_strndup(bytes, n_name);
    size_t n = size - n_name - 1;
    g_autofree char *text = n ? g_memdup2(bytes + n_name + 1, n)
                              : g_strdup(""); /* its end is guarded */
    JsonPick pick = { name };
    json_pick(text, n, &pick, 1);
    compare(text, n, &pick);
    const char *item;
    for (size_t at = 0, n_item; json_pick_text(&pick, &at, &item, &n_item);)
        g_assert(item >= text && item + n_item <= text + n);
    return 0;
}
