/* The text of a remote URL. Nothing is opened here. Only file:// has a place of its own yet; the
 * others are parsed far enough to hide their secrets and to say what they are. */
#include "remote/url.h"

#include "base/error.h"

#include <string.h>

#define URL_MAX_BYTES (64u << 10)

enum secrets { NO_SECRETS, PLAIN_SECRETS, ENCODED_SECRETS };

static const struct scheme {
    const char *name;
    enum secrets secrets;
} schemes[] = {
    { "file", NO_SECRETS },
    { "local", NO_SECRETS },
    { "nfs", NO_SECRETS },
    { "smb", PLAIN_SECRETS },
    { "s3", ENCODED_SECRETS },
    { "s3+http", ENCODED_SECRETS },
    { "azure", ENCODED_SECRETS },
    { "azurite", ENCODED_SECRETS },
    { "azurite+http", ENCODED_SECRETS },
};

/* Never options of a URL, whatever old records hold. */
static const char *const stray_options[] = { "benchmarks", "id",    "info", "name", "proxy",
                                             "enabled",    "error", "url",  NULL };

static const struct scheme *scheme_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(schemes); i++)
        if (strcmp(schemes[i].name, name) == 0)
            return &schemes[i];
    return NULL;
}

void remote_url_free(RemoteUrl *url)
{
    if (!url)
        return;
    g_free(url->scheme);
    g_free(url->username);
    g_free(url->password);
    g_free(url->path);
    g_free(url->region);
    json_decref(url->options);
    g_free(url);
}

static bool option_add(json_t *options, const char *pair, GError **error)
{
    const char *equals = strchr(pair, '=');
    g_autofree char *raw_name = equals ? g_strndup(pair, (gsize) (equals - pair)) : g_strdup(pair);
    g_autofree char *name = g_uri_unescape_string(raw_name, NULL);
    g_autofree char *value = g_uri_unescape_string(equals ? equals + 1 : "", NULL);
    if (!name || !*name || !value || !g_utf8_validate(name, -1, NULL)) {
        err_set(error, ERR_INVALID, "remote url: an option is not well encoded");
        return false;
    }
    if (g_strv_contains(stray_options, name))
        return true;
    json_t *parsed = *value ? json_loads(value, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL)
                            : json_false();
    if (!parsed) {
        err_set(error, ERR_INVALID, "remote url: the value of option \"%s\" is not JSON", name);
        return false;
    }
    return json_object_set_new(options, name, parsed) == 0;
}

static bool options_parse(const char *text, json_t *options, GError **error)
{
    g_auto(GStrv) pairs = g_strsplit(text, "&", -1);
    for (unsigned i = 0; pairs[i]; i++)
        if (*pairs[i] && !option_add(options, pairs[i], error))
            return false;
    return true;
}

/* Segments trimmed, empty ones dropped, one leading slash. */
static char *clean_path(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    GString *clean = g_string_new(NULL);
    for (unsigned i = 0; parts[i]; i++)
        if (*g_strstrip(parts[i]))
            g_string_append_printf(clean, "/%s", parts[i]);
    if (!clean->len)
        g_string_append_c(clean, '/');
    return g_string_free(clean, FALSE);
}

/* Splits "<user>:<password>@" off what follows the scheme. The password may hold ':' and '@' where
 * it is not encoded. */
static bool secrets_parse(RemoteUrl *url, enum secrets how, char **rest, GError **error)
{
    gsize limit = how == ENCODED_SECRETS ? strcspn(*rest, "/") : strlen(*rest);
    char *at = g_strrstr_len(*rest, (gssize) limit, "@");
    if (!at)
        return true;
    *at = '\0';
    char *colon = strchr(*rest, ':');
    if (colon)
        *colon = '\0';
    bool encoded = how == ENCODED_SECRETS;
    url->username = encoded ? g_uri_unescape_string(*rest, NULL) : g_strdup(*rest);
    if (colon)
        url->password = encoded ? g_uri_unescape_string(colon + 1, NULL) : g_strdup(colon + 1);
    *rest = at + 1;
    if (url->username && (!colon || url->password))
        return true;
    err_set(error, ERR_INVALID, "remote url: the credentials are not well encoded");
    return false;
}

static bool parse_into(RemoteUrl *url, char *text, GError **error)
{
    char *rest = strstr(text, "://");
    if (!rest) {
        err_set(error, ERR_INVALID, "remote url: must begin with <type>://");
        return false;
    }
    *rest = '\0';
    rest += strlen("://");
    const struct scheme *scheme = scheme_find(text);
    if (!scheme) {
        err_set(error, ERR_INVALID, "remote url: unknown type \"%.32s\"", text);
        return false;
    }
    url->scheme = g_strdup(strcmp(scheme->name, "local") == 0 ? "file" : scheme->name);
    char *region = scheme->secrets == ENCODED_SECRETS ? strchr(rest, '#') : NULL;
    if (region) {
        *region++ = '\0';
        url->region = *region ? g_strdup(region) : NULL;
    }
    char *query = strchr(rest, '?');
    if (query)
        *query++ = '\0';
    if (query && !options_parse(query, url->options, error))
        return false;
    if (scheme->secrets != NO_SECRETS && !secrets_parse(url, scheme->secrets, &rest, error))
        return false;
    url->path = strcmp(url->scheme, "file") == 0 ? clean_path(rest) : g_strdup(rest);
    if (*url->path && strcmp(url->path, "/") != 0)
        return true;
    err_set(error, ERR_INVALID, "remote url: it names no path");
    return false;
}

RemoteUrl *remote_url_parse(const char *text, GError **error)
{
    if (strlen(text) > URL_MAX_BYTES || !g_utf8_validate(text, -1, NULL)) {
        err_set(error, ERR_INVALID, "remote url: longer than %u bytes, or not UTF-8",
                URL_MAX_BYTES);
        return NULL;
    }
    g_autoptr(RemoteUrl) url = g_new0(RemoteUrl, 1);
    url->options = json_object();
    g_autofree char *copy = g_strdup(text);
    return parse_into(url, copy, error) ? g_steal_pointer(&url) : NULL;
}

RemoteUrl *remote_url_copy(const RemoteUrl *url)
{
    RemoteUrl *copy = g_new0(RemoteUrl, 1);
    *copy = (RemoteUrl){ .scheme = g_strdup(url->scheme),
                         .username = g_strdup(url->username),
                         .password = g_strdup(url->password),
                         .path = g_strdup(url->path),
                         .region = g_strdup(url->region),
                         .read_only = url->read_only,
                         .options = json_deep_copy(url->options) };
    return copy;
}

/* As encodeURIComponent. */
static char *encode(const char *text)
{
    return g_uri_escape_string(text, "!~*'()", FALSE);
}

static void append_options(GString *out, json_t *options)
{
    const char *name;
    json_t *value;
    char separator = '?';
    json_object_foreach (options, name, value) {
        char *dumped = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        g_autofree char *key = encode(name);
        g_autofree char *text = encode(dumped ? dumped : "null");
        g_string_append_printf(out, "%c%s=%s", separator, key, text);
        free(dumped);
        separator = '&';
    }
}

char *remote_url_format(const RemoteUrl *url)
{
    const struct scheme *scheme = scheme_find(url->scheme);
    bool encoded = scheme && scheme->secrets == ENCODED_SECRETS;
    GString *out = g_string_new(url->scheme);
    g_string_append(out, "://");
    if (url->username) {
        g_autofree char *user = encoded ? encode(url->username) : g_strdup(url->username);
        g_string_append(out, user);
        if (url->password) {
            g_autofree char *word = encoded ? encode(url->password) : g_strdup(url->password);
            g_string_append_printf(out, ":%s", word);
        }
        g_string_append_c(out, '@');
    }
    g_string_append(out, url->path);
    append_options(out, url->options);
    if (url->region)
        g_string_append_printf(out, "#%s", url->region);
    return g_string_free(out, FALSE);
}

void remote_url_obfuscate(RemoteUrl *url)
{
    if (url->password) {
        g_free(url->password);
        url->password = g_strdup(REMOTE_OBFUSCATED);
    }
    if (json_object_get(url->options, "encryptionKey")) /* keeps its place in the order */
        json_object_set_new(url->options, "encryptionKey", json_string(REMOTE_OBFUSCATED));
}
