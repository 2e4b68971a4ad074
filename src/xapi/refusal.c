/* A refusal of the pool, [CODE, param…], as an error that a person understands. */
#include "xapi/private.h"

#include "base/error.h"

#include <string.h>

enum { MAX_PARAMS = 16, MAX_PARAM_CHARS = 300 };

static const struct {
    const char *code, *words;
} refusals[] = {
#define R(code, words) { #code, words },
#include "xapi/refusals.def"
#undef R
};

bool xapi_is_gone(const GError *error)
{
    const char *code = err_xapi_code(error);
    return strcmp(code, "UUID_INVALID") == 0 || strcmp(code, "HANDLE_INVALID") == 0;
}

static const char *find_words(const char *code)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(refusals); i++)
        if (strcmp(refusals[i].code, code) == 0)
            return refusals[i].words;
    return NULL;
}

/* Parameters are cut: some are whole stack traces. */
static void add_param(GString *out, const char *param)
{
    gsize n = strlen(param);
    g_string_append_len(out, param, (gssize) MIN(n, MAX_PARAM_CHARS));
    if (n > MAX_PARAM_CHARS)
        g_string_append(out, "…");
}

static char *fill_in(const char *words, const char *const *params, guint n_params)
{
    GString *out = g_string_new(NULL);
    for (const char *p = words; *p; p++) {
        if (*p != '$') {
            g_string_append_c(out, *p);
            continue;
        }
        guint i = (guint) (*++p - '1');
        add_param(out, i < n_params ? params[i] : "?");
    }
    return g_string_free(out, FALSE);
}

static char *list_params(const char *const *params, guint n_params)
{
    GString *out = g_string_new(NULL);
    for (guint i = 0; i < n_params; i++) {
        g_string_append(out, i ? ", " : "(");
        add_param(out, params[i]);
    }
    if (n_params)
        g_string_append_c(out, ')');
    return g_string_free(out, FALSE);
}

void xapi_set_refusal(GError **error, const char *method, const char *const *all)
{
    const char *code = all[0];
    const char *only_code[] = { code, NULL };
    if (strcmp(code, "SESSION_INVALID") == 0)
        all = only_code; /* its parameter is a secret */
    guint n_params = g_strv_length((char **) all) - 1;
    const char *words = find_words(code);
    if (words) {
        g_autofree char *text = fill_in(words, all + 1, n_params);
        err_set_detail(error, ERR_XAPI, all, "%s: %s (%s)", method, text, code);
    } else {
        g_autofree char *text = list_params(all + 1, n_params);
        err_set_detail(error, ERR_XAPI, all, "%s: %s %s", method, code, text);
    }
}

void xapi_set_refusal_json(GError **error, const char *method, json_t *all)
{
    const char *texts[MAX_PARAMS + 1] = { "UNKNOWN_ERROR", NULL };
    guint n = 0;
    size_t i;
    json_t *value;
    json_array_foreach (all, i, value)
        if (n < MAX_PARAMS)
            texts[n++] = json_is_string(value) ? json_string_value(value) : "?";
    xapi_set_refusal(error, method, texts);
}
