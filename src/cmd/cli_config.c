/* {"default": url, "profiles": {name: url},
 *  "servers": {url: {"token", "fingerprint"?, "allowUnauthorized"?}}} */
#include "cmd/cli.h"
#include "base/error.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder(void)
{
    return g_build_filename(g_get_user_config_dir(), "cadenza", NULL);
}

static json_t *load(void)
{
    g_autofree char *place = folder();
    g_autofree char *path = g_build_filename(place, "servers.json", NULL);
    json_t *config = json_load_file(path, 0, NULL);
    return config ? config : json_object();
}

static char *copy_text(json_t *object, const char *key)
{
    return g_strdup(json_string_value(json_object_get(object, key)));
}

/* A token in the address, as xo-cli writes it: https://TOKEN@host/. */
static void take_token_of_url(CliOptions *options)
{
    g_autoptr(GUri) uri = options->url ? g_uri_parse(options->url, G_URI_FLAGS_NONE, NULL) : NULL;
    const char *info = uri ? g_uri_get_userinfo(uri) : NULL;
    if (!info || !*info)
        return;
    if (!options->token)
        options->token = g_strdup(info);
    char *plain = g_uri_join(G_URI_FLAGS_NONE, g_uri_get_scheme(uri), NULL, g_uri_get_host(uri),
                             g_uri_get_port(uri), g_uri_get_path(uri), NULL, NULL);
    g_free(options->url);
    options->url = plain;
}

static void take_stored(CliOptions *options, json_t *stored)
{
    if (!options->token && !options->password)
        options->token = copy_text(stored, "token");
    if (options->trust != HTTP_TRUST_SYSTEM)
        return;
    options->fingerprint = copy_text(stored, "fingerprint");
    if (options->fingerprint)
        options->trust = HTTP_TRUST_FINGERPRINT;
    else if (json_is_true(json_object_get(stored, "allowUnauthorized")))
        options->trust = HTTP_TRUST_ANY;
}

bool cli_config_complete(CliOptions *options, GError **error)
{
    json_t *config = load();
    if (!options->url && options->profile)
        options->url = copy_text(json_object_get(config, "profiles"), options->profile);
    else if (!options->url)
        options->url = copy_text(config, "default");
    take_token_of_url(options);
    if (options->url)
        take_stored(options, json_object_get(json_object_get(config, "servers"), options->url));
    json_decref(config);
    if (!options->url && options->profile)
        err_set(error, ERR_INVALID, "there is no profile %s: `cadenza --profile %s login URL USER`",
                options->profile, options->profile);
    else if (!options->url)
        err_set(error, ERR_INVALID,
                "no server is known: run `cadenza login URL USER`, or give --url or CADENZA_URL");
    return options->url != NULL;
}

static bool write_private(const char *path, const char *text, GError **error)
{
    g_autofree char *temporary = g_strdup_printf("%s.new", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    size_t n = strlen(text);
    bool ok = fd >= 0 && write(fd, text, n) == (ssize_t) n && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    ok = ok && rename(temporary, path) == 0;
    if (!ok)
        err_set_errno(error, errno, "writing %s", path);
    return ok;
}

/* The object under a key, made when it is not there. */
static json_t *part(json_t *config, const char *key)
{
    if (!json_is_object(json_object_get(config, key)))
        json_object_set_new(config, key, json_object());
    return json_object_get(config, key);
}

/* Takes the configuration over. */
static bool store(json_t *config, GError **error)
{
    g_autofree char *place = folder();
    g_autofree char *path = g_build_filename(place, "servers.json", NULL);
    g_autofree char *text = json_dumps(config, JSON_INDENT(2));
    json_decref(config);
    if (g_mkdir_with_parents(place, 0700) != 0) {
        err_set_errno(error, errno, "making %s", place);
        return false;
    }
    return write_private(path, text, error);
}

bool cli_config_save(const CliOptions *options, GError **error)
{
    json_t *config = load();
    if (options->profile)
        json_object_set_new(part(config, "profiles"), options->profile, json_string(options->url));
    else
        json_object_set_new(config, "default", json_string(options->url));
    json_t *kept =
        json_pack("{s:s, s:s*}", "token", options->token, "fingerprint", options->fingerprint);
    if (options->trust == HTTP_TRUST_ANY)
        json_object_set_new(kept, "allowUnauthorized", json_true());
    json_object_set_new(part(config, "servers"), options->url, kept);
    return store(config, error);
}

bool cli_config_forget(const CliOptions *options, GError **error)
{
    json_t *config = load();
    const char *chosen = json_string_value(json_object_get(config, "default"));
    if (g_strcmp0(chosen, options->url) == 0)
        json_object_del(config, "default");
    if (options->profile)
        json_object_del(json_object_get(config, "profiles"), options->profile);
    json_object_del(json_object_get(config, "servers"), options->url);
    return store(config, error);
}
