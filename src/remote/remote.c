/* The gate: the only caller of a place's table. It checks the path, calls, prefixes the error with
 * the name of the remote, and traces what was done and how long it took. */
#include "remote/patience.h"
#include "remote/place.h"

#include "base/error.h"
#include "base/log.h"
#include "base/mutant.h"

#include <string.h>

#define PATH_MAX_BYTES 4096u
#define NAME_MAX_BYTES 255u

#define P(ops) extern const struct remote_ops ops;
#include "remote/places.def"
#undef P

static const struct remote_ops *const places[] = {
#define P(ops) &ops,
#include "remote/places.def"
#undef P
};

struct Remote {
    Place *place;
    char *name;
    json_t *options;
};

/* --- opening --- */

static const struct remote_ops *place_find(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++)
        if (strcmp(places[i]->type, type) == 0)
            return places[i];
    return NULL;
}

/* XO's rules for a record, then what we cannot do yet. The first two texts are XO's. */
static bool url_check(const RemoteUrl *url, GError **error)
{
    g_autofree char *last = g_path_get_basename(url->path);
    bool sealed = json_object_get(url->options, "encryptionKey") != NULL;
    if (strcmp(last, "xo-vm-backups") == 0)
        err_set(error, ERR_INVALID, "remote url should not end with xo-vm-backups");
    else if (sealed && !json_is_true(json_object_get(url->options, "useVhdDirectory")))
        err_set(error, ERR_INVALID, "Encryption must be used with VHD directory (data blocks)");
    else if (sealed)
        err_set(error, ERR_UNSUPPORTED,
                "encrypted remotes cannot be used yet: remove encryptionKey");
    else if (!place_find(url->scheme))
        err_set(error, ERR_UNSUPPORTED, "remotes of type %s cannot be used yet: use file://",
                url->scheme);
    else
        return true;
    return false;
}

bool remote_check_url(const char *url, GError **error)
{
    g_autoptr(RemoteUrl) parsed = remote_url_parse(url, error);
    return parsed && url_check(parsed, error);
}

char *remote_redact_url(const char *url)
{
    g_autoptr(RemoteUrl) parsed = remote_url_parse(url, NULL);
    if (!parsed) /* whatever it holds may be a secret */
        return g_strdup(REMOTE_OBFUSCATED);
    remote_url_obfuscate(parsed);
    return remote_url_format(parsed);
}

Remote *remote_new(Place *place, const char *name, json_t *options)
{
    Remote *remote = g_new0(Remote, 1);
    remote->place = place;
    remote->name = g_strdup(name);
    remote->options = options ? json_incref(options) : json_object();
    return remote;
}

Place *remote_place(Remote *remote)
{
    return remote->place;
}

/* A repository that XO encrypts must not get plain files among the sealed ones. */
static bool refuse_sealed(Remote *remote, GError **error)
{
    g_autoptr(GError) absent = NULL;
    g_autoptr(GBytes) text = remote_get(remote, "encryption.json", 64u << 10, &absent);
    if (!text && err_is(absent, ERR_NOT_FOUND))
        return true;
    if (!text) {
        g_propagate_error(error, g_steal_pointer(&absent));
        return false;
    }
    gsize n;
    const char *data = g_bytes_get_data(text, &n);
    json_t *parsed = json_loadb(data, n, 0, NULL);
    const char *algorithm = json_string_value(json_object_get(parsed, "algorithm"));
    bool plain = algorithm && strcmp(algorithm, "none") == 0;
    if (!plain)
        err_set(error, ERR_UNSUPPORTED,
                "%s: the repository is encrypted (%.64s), which is not supported yet", remote->name,
                algorithm ? algorithm : "encryption.json is not readable");
    json_decref(parsed);
    return plain;
}

/* patience_ms 0: without end. */
static Place *open_place(const RemoteUrl *parsed, unsigned patience_ms, GError **error)
{
    const struct remote_ops *ops = place_find(parsed->scheme);
    return patience_ms ? patience_open(ops, parsed, patience_ms, error) : ops->open(parsed, error);
}

static Remote *open_parsed(const RemoteUrl *parsed, unsigned patience_ms, GError **error)
{
    if (!url_check(parsed, error))
        return NULL;
    g_autofree char *name = g_strdup_printf("%s:%s", parsed->scheme, parsed->path);
    Place *place = open_place(parsed, patience_ms, error);
    if (!place) {
        g_prefix_error(error, "%s: ", name);
        return NULL;
    }
    g_autoptr(Remote) remote = remote_new(place, name, parsed->options);
    return refuse_sealed(remote, error) ? g_steal_pointer(&remote) : NULL;
}

Remote *remote_open(const char *url, GError **error)
{
    return remote_open_patient(url, 0, error);
}

Remote *remote_open_patient(const char *url, unsigned patience_ms, GError **error)
{
    g_autoptr(RemoteUrl) parsed = remote_url_parse(url, error);
    return parsed ? open_parsed(parsed, patience_ms, error) : NULL;
}

void remote_read_unwatched(Remote *remote)
{
    patience_pass_reads(remote->place);
}

bool remote_is_stuck(Remote *remote)
{
    return patience_is_stuck(remote->place);
}

void remote_on_giving_up(Remote *remote, RemoteGaveUp *tell, void *user)
{
    patience_on_giving_up(remote->place, tell, user);
}

static Remote *open_folder(const char *folder, bool read_only, unsigned patience_ms, GError **error)
{
    g_autofree char *absolute = g_canonicalize_filename(folder, NULL);
    RemoteUrl url = {
        .scheme = "file", .path = absolute, .read_only = read_only, .options = json_object()
    };
    Remote *remote = open_parsed(&url, patience_ms, error);
    json_decref(url.options);
    return remote;
}

Remote *remote_open_folder(const char *folder, unsigned patience_ms, GError **error)
{
    return open_folder(folder, true, patience_ms, error);
}

Remote *remote_open_own_folder(const char *folder, unsigned patience_ms, GError **error)
{
    Remote *there = open_folder(folder, true, patience_ms, error); /* which makes nothing */
    remote_close(there);
    return there ? open_folder(folder, false, patience_ms, error) : NULL;
}

void remote_close(Remote *remote)
{
    if (!remote)
        return;
    remote->place->ops->close(remote->place);
    json_decref(remote->options);
    g_free(remote->name);
    g_free(remote);
}

json_t *remote_option(const Remote *remote, const char *name)
{
    json_t *value = json_object_get(remote->options, name);
    return value ? json_incref(value) : NULL;
}

const char *remote_name(const Remote *remote)
{
    return remote->name;
}

/* --- the gate --- */

typedef struct {
    Remote *remote;
    const char *verb, *path;
    gint64 started_us;
} Pass;

static bool part_is_sound(const char *part, gsize n)
{
    bool dots = (n == 1 && part[0] == '.') || (n == 2 && part[0] == '.' && part[1] == '.');
    if (MUTANT(remote_path_dots)) /* mutant: remote_file */
        dots = false;
    return n > 0 && n <= NAME_MAX_BYTES && !dots;
}

static bool path_is_sound(const char *path)
{
    if (strlen(path) > PATH_MAX_BYTES)
        return false;
    while (*path) {
        gsize n = strcspn(path, "/");
        if (!part_is_sound(path, n))
            return false;
        path += n;
        if (*path == '/' && !*++path)
            return false;
    }
    return true;
}

static bool pass_in(Pass *pass, Remote *remote, const char *verb, const char *path, GError **error)
{
    *pass = (Pass){ remote, verb, path, g_get_monotonic_time() };
    if (path_is_sound(path))
        return true;
    err_set(error, ERR_INVALID, "%s: \"%.300s\" is not a path inside the remote", remote->name,
            path);
    return false;
}

/* For what changes a file: the root is none. */
static bool pass_in_file(Pass *pass, Remote *remote, const char *verb, const char *path,
                         GError **error)
{
    if (!pass_in(pass, remote, verb, path, error))
        return false;
    if (*path)
        return true;
    err_set(error, ERR_INVALID, "%s: the root itself is not a file", remote->name);
    return false;
}

static bool pass_out(const Pass *pass, bool ok, GError **error)
{
    double ms = (double) (g_get_monotonic_time() - pass->started_us) / 1000;
    log_debug("remote", "%s: %s %s %s %.1f ms", pass->remote->name, pass->verb, pass->path,
              ok ? "ok" : "failed", ms);
    if (!ok)
        g_prefix_error(error, "%s: ", pass->remote->name);
    return ok;
}

#define CALL(verb, ...) (remote->place->ops->verb(remote->place, __VA_ARGS__))

GBytes *remote_get(Remote *remote, const char *path, gsize max, GError **error)
{
    Pass pass;
    if (!pass_in_file(&pass, remote, "get", path, error))
        return NULL;
    GBytes *data = CALL(get, path, max, error);
    pass_out(&pass, data != NULL, error);
    return data;
}

bool remote_put(Remote *remote, const char *path, const void *data, gsize n, RemotePut how,
                GError **error)
{
    Pass pass;
    return pass_in_file(&pass, remote, "put", path, error) &&
           pass_out(&pass, CALL(put, path, data, n, how, error), error);
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *remote_list(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    if (!pass_in(&pass, remote, "list", path, error))
        return NULL;
    GPtrArray *names = CALL(list, path, error);
    if (names)
        g_ptr_array_sort(names, by_name);
    pass_out(&pass, names != NULL, error);
    return names;
}

bool remote_stat(Remote *remote, const char *path, RemoteStat *stat, GError **error)
{
    Pass pass;
    return pass_in(&pass, remote, "stat", path, error) &&
           pass_out(&pass, CALL(stat, path, stat, error), error);
}

bool remote_rename(Remote *remote, const char *from, const char *to, GError **error)
{
    Pass pass;
    return pass_in_file(&pass, remote, "rename", to, error) &&
           pass_in_file(&pass, remote, "rename", from, error) &&
           pass_out(&pass, CALL(rename, from, to, error), error);
}

bool remote_drop(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    return pass_in_file(&pass, remote, "drop", path, error) &&
           pass_out(&pass, CALL(drop, path, error), error);
}

bool remote_drop_tree(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    return pass_in_file(&pass, remote, "drop tree", path, error) &&
           pass_out(&pass, CALL(drop_tree, path, error), error);
}

bool remote_make_folder(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    return pass_in(&pass, remote, "make folder", path, error) &&
           pass_out(&pass, CALL(make_folder, path, 0755, error), error);
}

bool remote_make_private_folder(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    return pass_in(&pass, remote, "make folder", path, error) &&
           pass_out(&pass, CALL(make_folder, path, 0700, error), error);
}

bool remote_space(Remote *remote, RemoteSpace *space, GError **error)
{
    Pass pass;
    *space = (RemoteSpace){ 0 };
    return pass_in(&pass, remote, "space", "", error) &&
           pass_out(&pass, CALL(space, space, error), error);
}

bool remote_sync_folder(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    return pass_in(&pass, remote, "sync folder", path, error) &&
           pass_out(&pass, CALL(sync_folder, path, error), error);
}

Bytes *remote_bytes(Remote *remote, const char *path, RemoteMode mode, GError **error)
{
    Pass pass;
    if (!pass_in_file(&pass, remote, "bytes", path, error))
        return NULL;
    Bytes *bytes = CALL(bytes, path, mode, error);
    pass_out(&pass, bytes != NULL, error);
    return bytes;
}

Chunks *remote_chunks(Remote *remote, const char *path, GError **error)
{
    Pass pass;
    if (!pass_in_file(&pass, remote, "chunks", path, error))
        return NULL;
    Chunks *chunks = CALL(chunks, path, error);
    pass_out(&pass, chunks != NULL, error);
    return chunks;
}

void remote_forget(Remote *remote, const char *path)
{
    Pass pass;
    if (!remote->place->ops->forget || !pass_in_file(&pass, remote, "forget", path, NULL))
        return;
    CALL(forget, path);
    pass_out(&pass, true, NULL);
}
