/* Records of pools, jobs, logs: most of what is read of them is one of their texts. */
#include "base/json_text.h"

#include <glib.h>

const char *json_text(json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

json_t *json_text_of_bytes(const char *bytes)
{
    g_autofree char *valid = g_utf8_make_valid(bytes, -1);
    return json_string(valid);
}
