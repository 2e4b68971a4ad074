/* Short lists, in no order: looked through from the beginning. What is no array has nothing. */
#include "base/json_list.h"

#include <glib.h>

bool json_list_has(json_t *list, json_t *value)
{
    size_t i;
    json_t *each;
    json_array_foreach (list, i, each)
        if (json_equal(each, value))
            return true;
    return false;
}

/* The size of the list when it is not there. */
static size_t find_text(json_t *list, const char *text)
{
    size_t i;
    json_t *each;
    json_array_foreach (list, i, each)
        if (g_strcmp0(json_string_value(each), text) == 0)
            break;
    return i;
}

bool json_list_has_text(json_t *list, const char *text)
{
    return find_text(list, text) < json_array_size(list);
}

bool json_list_take_text(json_t *list, const char *text)
{
    return json_array_remove(list, find_text(list, text)) == 0;
}
