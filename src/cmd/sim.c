/* cadenza-sim: a pool in a box. Options in, one line of JSON with the addresses out, then it serves
 * until it is told to stop. */
#include "base/log.h"
#include "http/certificate.h"
#include "sim/sim.h"

#include <glib-unix.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int hosts, vms, disks, tls_port, nbd_port;
    char *disk_size, *sr_size, *listen, *control, *data, *name, *username, *nbd, *sums;
    double allocated, change_rate, running, boot_delay_s, login_penalty_s, op_delay_s,
        event_delay_s;
    gint64 seed;
    gboolean no_tls, version;
} Flags;

/* "50GiB", "96M", "1073741824"; 0 when it is no size. */
static gint64 parse_size(const char *text)
{
    char *end;
    guint64 n = g_ascii_strtoull(text, &end, 10);
    static const char units[] = "KMGT";
    const char *unit = *end == '\0' ? NULL : strchr(units, g_ascii_toupper(*end));
    if (end == text || (*end != '\0' && unit == NULL) ||
        (unit != NULL && end[1] != '\0' && strcmp(end + 1, "iB") != 0))
        return 0;
    guint shift = unit == NULL ? 0 : 10 * (guint) (unit - units + 1);
    return n > (guint64) G_MAXINT64 >> shift ? 0 : (gint64) (n << shift);
}

static bool flags_parse(Flags *flags, int *argc, char ***argv, GError **error)
{
    const GOptionEntry entries[] = {
        { "hosts", 0, 0, G_OPTION_ARG_INT, &flags->hosts, "Hosts of the pool", "N" },
        { "vms", 0, 0, G_OPTION_ARG_INT, &flags->vms, "Virtual machines", "N" },
        { "disks", 0, 0, G_OPTION_ARG_INT, &flags->disks, "Disks of each machine", "N" },
        { "running", 0, 0, G_OPTION_ARG_DOUBLE, &flags->running, "Share of them that runs",
          "0..1" },
        { "disk-size", 0, 0, G_OPTION_ARG_STRING, &flags->disk_size, "Size of a disk", "SIZE" },
        { "sr-size", 0, 0, G_OPTION_ARG_STRING, &flags->sr_size, "Size of a storage", "SIZE" },
        { "allocated", 0, 0, G_OPTION_ARG_DOUBLE, &flags->allocated,
          "Share of a disk that holds data", "0..1" },
        { "change-rate", 0, 0, G_OPTION_ARG_DOUBLE, &flags->change_rate,
          "Share of the data that a running machine rewrites after each snapshot", "0..1" },
        { "seed", 0, 0, G_OPTION_ARG_INT64, &flags->seed, "Number that the content comes from",
          "N" },
        { "listen", 0, 0, G_OPTION_ARG_STRING, &flags->listen,
          "Address of the master, loopback; members take the next ones", "ADDR:PORT" },
        { "no-tls", 0, 0, G_OPTION_ARG_NONE, &flags->no_tls, "Serve plain HTTP only", NULL },
        { "tls-port", 0, 0, G_OPTION_ARG_INT, &flags->tls_port, "Port of HTTPS, 0: any", "PORT" },
        { "control", 0, 0, G_OPTION_ARG_STRING, &flags->control, "Address of the control API",
          "ADDR:PORT" },
        { "data", 0, 0, G_OPTION_ARG_FILENAME, &flags->data, "Folder for what guests write",
          "DIR" },
        { "name", 0, 0, G_OPTION_ARG_STRING, &flags->name, "Name of the pool", "TEXT" },
        { "username", 0, 0, G_OPTION_ARG_STRING, &flags->username,
          "The account; its password is CADENZA_SIM_PASSWORD, or \"cadenza\"", "NAME" },
        { "boot-delay", 0, 0, G_OPTION_ARG_DOUBLE, &flags->boot_delay_s,
          "Until the tools of a guest report", "SECONDS" },
        { "login-penalty", 0, 0, G_OPTION_ARG_DOUBLE, &flags->login_penalty_s,
          "After a wrong password", "SECONDS" },
        { "op-delay", 0, 0, G_OPTION_ARG_DOUBLE, &flags->op_delay_s,
          "How long operations of machines take", "SECONDS" },
        { "event-delay", 0, 0, G_OPTION_ARG_DOUBLE, &flags->event_delay_s,
          "How long events gather before they are given out", "SECONDS" },
        { "nbd", 0, 0, G_OPTION_ARG_STRING, &flags->nbd,
          "How the first network serves disks by NBD", "insecure|secure|off" },
        { "nbd-port", 0, 0, G_OPTION_ARG_INT, &flags->nbd_port,
          "Port of NBD on each host's address, 0: any", "PORT" },
        { "checksums", 0, 0, G_OPTION_ARG_STRING, &flags->sums,
          "Of the chunks in exported machines", "xxhash|sha1" },
        { "version", 0, 0, G_OPTION_ARG_NONE, &flags->version, "Print the version", NULL },
        { NULL },
    };
    g_autoptr(GOptionContext) context = g_option_context_new("- a simulated XAPI pool");
    g_option_context_add_main_entries(context, entries, NULL);
    return g_option_context_parse(context, argc, argv, error);
}

static void flags_init(Flags *flags, const SimOptions *o)
{
    *flags = (Flags){ .hosts = (int) o->n_hosts,
                      .vms = (int) o->n_vms,
                      .disks = (int) o->n_disks,
                      .running = 0.5,
                      .boot_delay_s = o->boot_delay_ms / 1000.0,
                      .login_penalty_s = o->login_penalty_ms / 1000.0,
                      .event_delay_s = o->event_delay_ms / 1000.0,
                      .allocated = o->allocated,
                      .change_rate = o->change_rate,
                      .seed = (gint64) o->seed };
}

static void flags_clear(Flags *flags)
{
    char *texts[] = { flags->disk_size, flags->sr_size,  flags->listen, flags->control, flags->data,
                      flags->name,      flags->username, flags->nbd,    flags->sums };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(texts[i]);
}

static bool is_share(double value)
{
    return value >= 0 && value <= 1;
}

static bool is_delay(double seconds)
{
    return seconds >= 0 && seconds <= 3600;
}

static bool flags_check(const Flags *flags, GError **error)
{
    bool nbd = flags->nbd == NULL || strcmp(flags->nbd, "insecure") == 0 ||
               strcmp(flags->nbd, "secure") == 0 || strcmp(flags->nbd, "off") == 0;
    bool sums = flags->sums == NULL || strcmp(flags->sums, "xxhash") == 0 ||
                strcmp(flags->sums, "sha1") == 0;
    if (flags->hosts >= 1 && flags->vms >= 0 && flags->disks >= 0 && flags->tls_port >= 0 &&
        flags->nbd_port >= 0 && flags->nbd_port <= 65535 && flags->tls_port <= 65535 &&
        is_share(flags->allocated) && is_share(flags->change_rate) && is_share(flags->running) &&
        is_delay(flags->boot_delay_s) && is_delay(flags->login_penalty_s) &&
        is_delay(flags->op_delay_s) && is_delay(flags->event_delay_s) && nbd && sums &&
        (flags->disk_size == NULL || parse_size(flags->disk_size) > 0) &&
        (flags->sr_size == NULL || parse_size(flags->sr_size) > 0))
        return true;
    err_set(error, ERR_INVALID, "an option is out of its range; see --help");
    return false;
}

static void flags_apply(const Flags *flags, SimOptions *o)
{
    const struct {
        const char *flag, **option;
    } texts[] = { { flags->listen, &o->listen },
                  { flags->control, &o->control },
                  { flags->data, &o->data_dir },
                  { flags->name, &o->name },
                  { flags->username, &o->username } };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        if (texts[i].flag != NULL)
            *texts[i].option = texts[i].flag;
    o->n_hosts = (guint) flags->hosts;
    o->n_vms = (guint) flags->vms;
    o->n_disks = (guint) flags->disks;
    o->n_running = (guint) (flags->running * o->n_vms + 0.5);
    o->boot_delay_ms = (guint) (flags->boot_delay_s * 1000);
    o->login_penalty_ms = (guint) (flags->login_penalty_s * 1000);
    o->event_delay_ms = (guint) (flags->event_delay_s * 1000);
    o->op_delay_ms = (guint) (flags->op_delay_s * 1000);
    o->tls_port = (guint16) flags->tls_port;
    o->nbd_port = (guint16) flags->nbd_port;
    o->allocated = flags->allocated;
    o->change_rate = flags->change_rate;
    o->seed = (guint64) flags->seed;
    o->disk_bytes = flags->disk_size == NULL ? o->disk_bytes : parse_size(flags->disk_size);
    o->sr_bytes = flags->sr_size == NULL ? o->sr_bytes : parse_size(flags->sr_size);
    o->old_checksums = g_strcmp0(flags->sums, "sha1") == 0;
    if (flags->nbd != NULL)
        o->nbd_purpose = strcmp(flags->nbd, "off") == 0      ? NULL
                         : strcmp(flags->nbd, "secure") == 0 ? "nbd"
                                                             : "insecure_nbd";
}

/* A certificate in the data folder, kept from one start to the next. */
static bool make_certificate(SimOptions *options, char *files[2], GError **error)
{
    if (g_mkdir_with_parents(options->data_dir, 0700) != 0) {
        err_set_errno(error, errno, "the data folder %s", options->data_dir);
        return false;
    }
    options->cert_file = files[0] = g_build_filename(options->data_dir, "cert.pem", NULL);
    options->key_file = files[1] = g_build_filename(options->data_dir, "key.pem", NULL);
    return (g_file_test(options->cert_file, G_FILE_TEST_EXISTS) &&
            g_file_test(options->key_file, G_FILE_TEST_EXISTS)) ||
           http_make_certificate(options->cert_file, options->key_file, "cadenza-sim", error);
}

static void remove_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir != NULL && (name = g_dir_read_name(dir)) != NULL;) {
        g_autofree char *inner = g_build_filename(path, name, NULL);
        if (g_file_test(inner, G_FILE_TEST_IS_DIR) && !g_file_test(inner, G_FILE_TEST_IS_SYMLINK))
            remove_tree(inner);
        else
            g_unlink(inner);
    }
    g_rmdir(path);
}

static gboolean on_signal(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_CONTINUE;
}

static bool serve(const SimOptions *options, GError **error)
{
    gint64 began = g_get_monotonic_time();
    g_autoptr(Sim) sim = sim_new(options, error);
    if (sim == NULL || !sim_start(sim, error))
        return false;
    log_info("sim", "%u machines, ready after %d ms", options->n_vms,
             (int) ((g_get_monotonic_time() - began) / 1000));
    g_autofree char *addresses = sim_addresses(sim);
    printf("%s\n", addresses);
    fflush(stdout);
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    g_unix_signal_add(SIGTERM, on_signal, loop);
    g_unix_signal_add(SIGINT, on_signal, loop);
    g_main_loop_run(loop);
    return true;
}

/* Runs with a folder of its own when none was given, and leaves nothing behind then. */
static bool run(Flags *flags, SimOptions *options, GError **error)
{
    g_autofree char *folder = NULL;
    char *files[2] = { NULL, NULL };
    if (!flags_check(flags, error))
        return false;
    if (flags->data == NULL) {
        folder = g_dir_make_tmp("cadenza-sim-XXXXXX", error);
        if (folder == NULL)
            return false;
        flags->data = g_strdup(folder);
    }
    flags_apply(flags, options);
    bool ok = (flags->no_tls || make_certificate(options, files, error)) && serve(options, error);
    g_free(files[0]);
    g_free(files[1]);
    if (folder != NULL)
        remove_tree(folder);
    return ok;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    SimOptions options;
    Flags flags;
    sim_options_init(&options);
    flags_init(&flags, &options);
    const char *password = g_getenv("CADENZA_SIM_PASSWORD");
    if (password != NULL)
        options.password = password;
    bool ok = flags_parse(&flags, &argc, &argv, &error);
    if (ok && flags.version)
        printf("cadenza-sim %s\n", CADENZA_VERSION);
    else if (ok)
        ok = run(&flags, &options, &error);
    if (!ok)
        fprintf(stderr, "cadenza-sim: %s\n", error->message);
    flags_clear(&flags);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
