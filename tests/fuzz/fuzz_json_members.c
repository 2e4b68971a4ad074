/* The members of any text; of a JSON object, the same that jansson finds. */
#include "base/json_members.h"

#include <glib.h>
#include <jansson.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *object = json_loadb((const char *) data, size, JSON_ALLOW_NUL, NULL);
    size_t n = 0;
    JsonMembers members;
    JsonMember member;
    json_members_init(&members, (const char *) data, size);
    while (json_members_next(&members, &member)) {
        g_assert((const uint8_t *) member.value + member.n_value <= data + size);
        n++;
    }
    if (json_is_object(object))
        g_assert_cmpuint(n, >=, json_object_size(object));
    json_decref(object);
    return 0;
}
