/* cadenza-sim: a pool in a box. Options in, one line of JSON with the addresses out, then it serves
 * until it is told to stop. */
#include "base/log.h"
#include "http/certificate.h"
#include "sim/sim.h"

#include <glib-unix.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    int hosts, vms, disks, running, boot_delay_ms, login_penalty_ms, op_delay_ms, tls_port;
    char *disk_size, *sr_size, *listen, *control, *data, *name, *username;
    double allocated, change_rate;
    gint64 seed;
    gboolean tls, no_nbd, version;
} Flags;

/* "50GiB", "96M", "1073741824"; 0 when it is no size. */
static gint64 parse_size(const char *text)
{
    char *end;
    guint64 n = g_ascii_strtoull(text, &end, 10);
    static const char units[] = "KMGT";
    const char *unit = *end == '\0' ? NULL : strchr(units, g_ascii_toupper(*end));
    if (end == text || (*end != '\0' && unit == NULL))
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
        { "running", 0, 0, G_OPTION_ARG_INT, &flags->running, "How many of them run", "N" },
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
        { "tls", 0, 0, G_OPTION_ARG_NONE, &flags->tls, "Serve HTTPS too, self-signed", NULL },
        { "tls-port", 0, 0, G_OPTION_ARG_INT, &flags->tls_port, "Port of HTTPS, 0: any", "PORT" },
        { "control", 0, 0, G_OPTION_ARG_STRING, &flags->control, "Address of the control API",
          "ADDR:PORT" },
        { "data", 0, 0, G_OPTION_ARG_FILENAME, &flags->data, "Folder for what guests write",
          "DIR" },
        { "name", 0, 0, G_OPTION_ARG_STRING, &flags->name, "Name of the pool", "TEXT" },
        { "username", 0, 0, G_OPTION_ARG_STRING, &flags->username,
          "The account; its password is CADENZA_SIM_PASSWORD, or \"cadenza\"", "NAME" },
        { "boot-delay", 0, 0, G_OPTION_ARG_INT, &flags->boot_delay_ms,
          "Until the tools of a guest report", "MS" },
        { "login-penalty", 0, 0, G_OPTION_ARG_INT, &flags->login_penalty_ms,
          "After a wrong password", "MS" },
        { "op-delay", 0, 0, G_OPTION_ARG_INT, &flags->op_delay_ms,
          "How long operations of machines take", "MS" },
        { "no-nbd", 0, 0, G_OPTION_ARG_NONE, &flags->no_nbd, "No network serves disks by NBD",
          NULL },
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
                      .running = -1,
                      .boot_delay_ms = (int) o->boot_delay_ms,
                      .login_penalty_ms = (int) o->login_penalty_ms,
                      .allocated = o->allocated,
                      .change_rate = o->change_rate,
                      .seed = (gint64) o->seed };
}

static bool flags_apply(const Flags *flags, SimOptions *o, GError **error)
{
    if (flags->hosts < 1 || flags->vms < 0 || flags->disks < 0 || flags->boot_delay_ms < 0 ||
        flags->login_penalty_ms < 0 || flags->op_delay_ms < 0 || flags->tls_port < 0 ||
        flags->tls_port > 65535 || !(flags->allocated >= 0 && flags->allocated <= 1) ||
        !(flags->change_rate >= 0 && flags->change_rate <= 1)) {
        err_set(error, ERR_INVALID, "a number is out of its range; see --help");
        return false;
    }
    o->n_hosts = (guint) flags->hosts;
    o->n_vms = (guint) flags->vms;
    o->n_disks = (guint) flags->disks;
    o->n_running = flags->running < 0 ? o->n_vms / 2 : MIN((guint) flags->running, o->n_vms);
    o->boot_delay_ms = (guint) flags->boot_delay_ms;
    o->login_penalty_ms = (guint) flags->login_penalty_ms;
    o->op_delay_ms = (guint) flags->op_delay_ms;
    o->tls_port = (guint16) flags->tls_port;
    o->allocated = flags->allocated;
    o->change_rate = flags->change_rate;
    o->seed = (guint64) flags->seed;
    o->nbd = !flags->no_nbd;
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
    o->disk_bytes = flags->disk_size == NULL ? o->disk_bytes : parse_size(flags->disk_size);
    o->sr_bytes = flags->sr_size == NULL ? o->sr_bytes : parse_size(flags->sr_size);
    if (o->disk_bytes > 0 && o->sr_bytes > 0)
        return true;
    err_set(error, ERR_INVALID, "--disk-size, --sr-size: write a size as 50G or 1073741824");
    return false;
}

/* A certificate in the data folder, kept from one start to the next. */
static bool make_certificate(SimOptions *options, GError **error)
{
    if (g_mkdir_with_parents(options->data_dir, 0700) != 0) {
        err_set_errno(error, errno, "the data folder %s", options->data_dir);
        return false;
    }
    options->cert_file = g_build_filename(options->data_dir, "cert.pem", NULL);
    options->key_file = g_build_filename(options->data_dir, "key.pem", NULL);
    return (g_file_test(options->cert_file, G_FILE_TEST_EXISTS) &&
            g_file_test(options->key_file, G_FILE_TEST_EXISTS)) ||
           http_make_certificate(options->cert_file, options->key_file, "cadenza-sim", error);
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
    if (flags_parse(&flags, &argc, &argv, &error) && flags.version) {
        printf("cadenza-sim %s\n", CADENZA_VERSION);
        return EXIT_SUCCESS;
    }
    if (error == NULL && flags_apply(&flags, &options, &error) &&
        (!flags.tls || make_certificate(&options, &error)))
        serve(&options, &error);
    if (error == NULL)
        return EXIT_SUCCESS;
    fprintf(stderr, "cadenza-sim: %s\n", error->message);
    return EXIT_FAILURE;
}
