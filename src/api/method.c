/* All method tables as one. */
#include "api/method.h"

#include <string.h>

#define C(class) extern const Method methods_##class[];
#include "api/methods.def"
#undef C

static const Method *const tables[] = {
#define C(class) methods_##class,
#include "api/methods.def"
#undef C
};

const Method *method_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const Method *method = tables[i]; method->name; method++)
            if (g_str_equal(method->name, name))
                return method;
    return NULL;
}

static const struct {
    const char *space, *names, *reason;
} absent[] = {
#define N(space, names, reason) { space, names, reason },
#include "api/absent.def"
#undef N
};

const char *method_why_absent(const char *name)
{
    const char *dot = strrchr(name, '.');
    for (unsigned i = 0; dot && i < G_N_ELEMENTS(absent); i++) {
        bool is_space = strlen(absent[i].space) == (size_t) (dot - name) &&
                        g_str_has_prefix(name, absent[i].space);
        g_auto(GStrv) names = g_strsplit(absent[i].names, " ", -1);
        if (is_space && g_strv_contains((const char *const *) names, dot + 1))
            return absent[i].reason;
    }
    return NULL;
}

static int by_name(const void *a, const void *b)
{
    return g_strcmp0((*(const Method *const *) a)->name, (*(const Method *const *) b)->name);
}

void method_each(void (*seen)(const Method *method, void *user), void *user)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();
    for (unsigned i = 0; i < G_N_ELEMENTS(tables); i++)
        for (const Method *method = tables[i]; method->name; method++)
            g_ptr_array_add(all, (void *) method);
    g_ptr_array_sort(all, by_name);
    for (unsigned i = 0; i < all->len; i++)
        seen(all->pdata[i], user);
}

/* XO says permission null for methods that need no sign-in, and nothing for those that need one. */
json_t *method_info(const Method *method)
{
    json_t *info = json_pack("{s:s*, s:o}", "description", method->summary, "params",
                             params_schema(method->params));
    if (method->example)
        json_object_set_new(info, "example",
                            json_sprintf("cadenza %s%s%s", method->name,
                                         *method->example ? " " : "", method->example));
    if (method->access == ACCESS_ADMIN)
        json_object_set_new(info, "permission", json_string("admin"));
    else if (method->access == ACCESS_ANYONE)
        json_object_set_new(info, "permission", json_null());
    return info;
}
