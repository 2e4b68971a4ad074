/* Both walk through a whole value; places are told as paths ("/transport/password"). */
#include "plugin/secrets.h"

#include "base/error.h"
#include "base/mutant.h"
#include "remote/url.h"

#include <stdbool.h>
#include <string.h>

static bool is_secret(const char *name, json_t *value)
{
    const char *const names[] = { "token", "passphrase", "encryptionKey", NULL };
    g_autofree char *folded = g_ascii_strdown(name, -1);
    return json_is_string(value) && (strstr(folded, "password") || g_strv_contains(names, name));
}

json_t *secrets_hide(json_t *value)
{
    json_t *shown = json_is_object(value) || json_is_array(value) ? json_copy(value) : value, *each;
    const char *name;
    size_t i;
    json_array_foreach (value, i, each)
        json_array_set_new(shown, i, secrets_hide(each));
    json_object_foreach (value, name, each)
        json_object_set_new(shown, name,
                            is_secret(name, each) ? json_string(REMOTE_OBFUSCATED)
                                                  : secrets_hide(each));
    return shown == value ? json_deep_copy(value) : shown;
}

static json_t *restore(json_t *sent, json_t *kept, const char *path, GError **error);

/* What a member becomes, a new reference. */
static json_t *restore_member(const char *name, json_t *sent, json_t *kept, const char *path,
                              GError **error)
{
    g_autofree char *at = g_strdup_printf("%s/%s", path, name);
    if (!is_secret(name, sent) || strcmp(json_string_value(sent), REMOTE_OBFUSCATED) != 0)
        return restore(sent, kept, at, error);
    if (json_is_string(kept))
        return json_incref(MUTANT(secrets_restore) ? sent : kept); /* mutant: plugin_frame */
    err_set(error, ERR_INVALID, "%s is hidden, and none is kept: give it in clear", at);
    return NULL;
}

static json_t *restore_object(json_t *sent, json_t *kept, const char *path, GError **error)
{
    json_t *whole = json_object(), *each;
    const char *name;
    json_object_foreach (sent, name, each) {
        json_t *member = restore_member(name, each, json_object_get(kept, name), path, error);
        if (member) {
            json_object_set_new(whole, name, member);
            continue;
        }
        json_decref(whole);
        return NULL;
    }
    return whole;
}

/* Elements are those before by their position. */
static json_t *restore_array(json_t *sent, json_t *kept, const char *path, GError **error)
{
    json_t *whole = json_array(), *each;
    size_t i;
    json_array_foreach (sent, i, each) {
        g_autofree char *at = g_strdup_printf("%s/%zu", path, i);
        json_t *item = restore(each, json_array_get(kept, i), at, error);
        if (item) {
            json_array_append_new(whole, item);
            continue;
        }
        json_decref(whole);
        return NULL;
    }
    return whole;
}

static json_t *restore(json_t *sent, json_t *kept, const char *path, GError **error)
{
    if (json_is_object(sent))
        return restore_object(sent, kept, path, error);
    if (json_is_array(sent))
        return restore_array(sent, kept, path, error);
    return json_deep_copy(sent);
}

json_t *secrets_restore(json_t *sent, json_t *kept, GError **error)
{
    return restore(sent, kept, "", error);
}
