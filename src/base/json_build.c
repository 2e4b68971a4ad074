/* A stack of the containers that are open; each finished value goes into the topmost. */
#include "base/json_build.h"

#include "base/error.h"

#include <math.h>

typedef struct {
    json_t *value;
    char *key; /* of the member being built, in an object */
} Level;

struct JsonBuild {
    GArray *levels;
};

JsonBuild *json_build_new(void)
{
    JsonBuild *build = g_new0(JsonBuild, 1);
    build->levels = g_array_new(FALSE, TRUE, sizeof(Level));
    return build;
}

void json_build_reset(JsonBuild *build)
{
    for (guint i = 0; i < build->levels->len; i++) {
        Level *level = &g_array_index(build->levels, Level, i);
        g_free(level->key);
        json_decref(level->value);
    }
    g_array_set_size(build->levels, 0);
}

void json_build_free(JsonBuild *build)
{
    if (!build)
        return;
    json_build_reset(build);
    g_array_free(build->levels, TRUE);
    g_free(build);
}

bool json_build_is_open(const JsonBuild *build)
{
    return build->levels->len > 0;
}

static Level *top(JsonBuild *build)
{
    guint n = build->levels->len;
    return n ? &g_array_index(build->levels, Level, n - 1) : NULL;
}

static json_t *make_scalar(const JsonToken *token)
{
    switch (token->kind) {
    case JSON_TOKEN_STRING:
        return json_stringn_nocheck(token->text, token->n);
    case JSON_TOKEN_INT:
        return json_integer(token->integer);
    case JSON_TOKEN_REAL:
        return isfinite(token->real) ? json_real(token->real) : json_null();
    case JSON_TOKEN_TRUE:
        return json_true();
    case JSON_TOKEN_FALSE:
        return json_false();
    default:
        return json_null();
    }
}

/* Puts a finished value into its container, or gives it out. */
static void put(JsonBuild *build, json_t *value, json_t **done)
{
    Level *level = top(build);
    if (!level) {
        *done = value;
    } else if (level->key) {
        json_object_set_new_nocheck(level->value, level->key, value);
        g_clear_pointer(&level->key, g_free);
    } else {
        json_array_append_new(level->value, value);
    }
}

static bool close_level(JsonBuild *build, json_t **done, GError **error)
{
    Level *level = top(build);
    if (!level) {
        err_set(error, ERR_INVALID, "a JSON value ends that never began");
        return false;
    }
    json_t *value = level->value;
    g_free(level->key);
    g_array_set_size(build->levels, build->levels->len - 1);
    put(build, value, done);
    return true;
}

bool json_build_add(JsonBuild *build, const JsonToken *token, json_t **done, GError **error)
{
    *done = NULL;
    switch (token->kind) {
    case JSON_TOKEN_OBJECT:
    case JSON_TOKEN_ARRAY: {
        bool is_object = token->kind == JSON_TOKEN_OBJECT;
        Level level = { .value = is_object ? json_object() : json_array() };
        g_array_append_val(build->levels, level);
        return true;
    }
    case JSON_TOKEN_OBJECT_END:
    case JSON_TOKEN_ARRAY_END:
        return close_level(build, done, error);
    case JSON_TOKEN_KEY:
        if (!top(build)) {
            err_set(error, ERR_INVALID, "a JSON key outside an object");
            return false;
        }
        g_free(top(build)->key);
        top(build)->key = g_strndup(token->text, token->n);
        return true;
    default:
        put(build, make_scalar(token), done);
        return true;
    }
}
