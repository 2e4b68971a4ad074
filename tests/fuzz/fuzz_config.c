/* A configuration as a file: taken in with a report, or refused with a reason. */
#include "api/config.h"

#include <glib/gstdio.h>
#include <stdint.h>

static char *folder;
static ApiParts parts;

/* The store stays open until the end of the process; its folder goes then. */
static void sweep(void)
{
    plugins_free(parts.plugins);
    set_leases_free(parts.set_leases);
    servers_free(parts.servers);
    remotes_free(parts.remotes);
    jobs_free(parts.jobs);
    account_free(parts.accounts);
    store_close(parts.store);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
}

static void prepare(void)
{
    char *made = NULL;
    folder = g_dir_make_tmp("cadenza-fuzz-XXXXXX", NULL);
    parts.store = store_open(folder, NULL);
    parts.accounts = account_new(parts.store);
    parts.jobs = jobs_new(parts.store, NULL);
    parts.remotes = remotes_new(parts.store);
    parts.servers = servers_new(parts.store, NULL);
    parts.set_leases = set_leases_new();
    parts.plugins = plugins_new(parts.store, NULL);
    g_assert(account_reset_admin(parts.accounts, "a password", &made, NULL));
    atexit(sweep);
}

/* Nothing is connected: the servers of the input are taken as disabled ones. */
static bool names_servers(const uint8_t *data, size_t size)
{
    return g_strstr_len((const char *) data, (gssize) size, "xenServers") != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    if (!folder)
        prepare();
    if (names_servers(data, size))
        return 0;
    g_autoptr(GBytes) file = g_bytes_new(data, size);
    json_t *report = config_import(&parts, file, "correct horse", &error);
    g_assert((report == NULL) == (error != NULL));
    json_decref(report);
    g_autoptr(GBytes) given = config_export(&parts, NULL, false, NULL, NULL);
    g_assert(given);
    json_t *again = config_import(&parts, given, NULL, NULL);
    g_assert(again);
    json_decref(again);
    return 0;
}
