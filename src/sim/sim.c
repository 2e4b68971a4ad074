/* A simulated pool put together: its parts are made in the order in which they need one another,
 * and ended in reverse. */
#include "sim/arrays.h"
#include "sim/inner.h"
#include "sim/task.h"

#include <string.h>

struct Sim {
    SimOptions options;
    GStringChunk *strings;
    Rows *rows;
    Sessions *sessions;
    Faults *faults;
    Storage *storage;
    Arrays *arrays;
    Clock *clock;
    Calls *calls;
    Listeners *listeners;
};

void sim_options_init(SimOptions *options)
{
    *options = (SimOptions){
        .listen = "127.0.10.1:0",
        .control = "127.0.0.1:0",
        .data_dir = "cadenza-sim.data",
        .name = "simulated pool",
        .username = "root",
        .password = "cadenza",
        .n_hosts = 1,
        .n_vms = 4,
        .n_disks = 1,
        .n_running = 2,
        .disk_bytes = (gint64) 1 << 30,
        .allocated = 0.25,
        .change_rate = 0,
        .seed = 1,
        .boot_delay_ms = 1000,
        .event_delay_ms = 50,
        .login_penalty_ms = 500,
        .nbd_purpose = "insecure_nbd",
    };
}

static const char *keep(Sim *sim, const char *text)
{
    return text == NULL ? NULL : g_string_chunk_insert(sim->strings, text);
}

/* Room for all disks twice over, when nobody said how much: they grow and are copied. */
static gint64 roomy(const SimOptions *options)
{
    gint64 disks = (gint64) options->n_vms * options->n_disks;
    gint64 most = disks == 0 ? 0 : MIN(options->disk_bytes, G_MAXINT64 / 4 / disks);
    return MAX((gint64) 4 << 40, disks * most * 2);
}

static void options_copy(Sim *sim, const SimOptions *options)
{
    sim->strings = g_string_chunk_new(1024);
    sim->options = *options;
    if (options->sr_bytes == 0)
        sim->options.sr_bytes = roomy(options);
    const char **texts[] = { &sim->options.listen,     &sim->options.control,
                             &sim->options.data_dir,   &sim->options.name,
                             &sim->options.username,   &sim->options.password,
                             &sim->options.cert_file,  &sim->options.key_file,
                             &sim->options.nbd_purpose };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++)
        *texts[i] = keep(sim, *texts[i]);
}

static bool options_check(const SimOptions *options, GError **error)
{
    unsigned a, b, c, d, port;
    if (sscanf(options->listen, "%u.%u.%u.%u:%u", &a, &b, &c, &d, &port) != 5 || a != 127)
        err_set(error, ERR_INVALID, "--listen %s: must be a loopback address, as 127.0.10.1:0",
                options->listen);
    else if (strchr(options->control, ':') == NULL)
        err_set(error, ERR_INVALID, "--control %s: must be an address and a port",
                options->control);
    else if (options->n_hosts < 1 || options->n_hosts > 64)
        err_set(error, ERR_INVALID, "--hosts %u: must be 1 to 64", options->n_hosts);
    else if (options->n_vms > 50000 || options->n_disks > 16)
        err_set(error, ERR_INVALID, "--vms may be 50000, --disks 16 at most");
    else if (options->disk_bytes < 1 << 20)
        err_set(error, ERR_INVALID, "--disk-size: must be 1 MiB at least");
    else
        return true;
    return false;
}

Sim *sim_new(const SimOptions *options, GError **error)
{
    if (!options_check(options, error))
        return NULL;
    if (g_mkdir_with_parents(options->data_dir, 0700) != 0) {
        err_set_errno(error, errno, "the data folder %s", options->data_dir);
        return NULL;
    }
    Sim *sim = g_new0(Sim, 1);
    options_copy(sim, options);
    sim->rows = rows_new(sim, options->seed);
    sim->sessions = sessions_new(sim);
    sim->faults = faults_new(sim);
    sim->storage = storage_new(sim);
    sim->arrays = arrays_new();
    sim->clock = clock_new(sim);
    sim->calls = calls_new(sim);
    sim->listeners = listeners_new(sim);
    sim_lock(sim);
    bool ok = pool_populate(sim, error);
    rows_populated(sim->rows);
    sim_unlock(sim);
    if (ok)
        return sim;
    sim_free(sim);
    return NULL;
}

void sim_free(Sim *sim)
{
    sim_lock(sim);
    sim_tasks_cancel(sim);
    sessions_drop_all(sim); /* which wakes those who wait for events */
    sim_unlock(sim);
    fault_clear(sim); /* which ends stalls and latencies */
    listeners_free(sim->listeners);
    fault_clear(sim); /* of orders that were under way */
    calls_free(sim->calls);
    clock_free(sim->clock);
    arrays_free(sim->arrays);
    storage_free(sim->storage);
    faults_free(sim->faults);
    sessions_free(sim->sessions);
    rows_free(sim->rows);
    g_string_chunk_free(sim->strings);
    g_free(sim);
}

bool sim_start(Sim *sim, GError **error)
{
    return listeners_start(sim->listeners, error);
}

char *sim_addresses(Sim *sim)
{
    const SimOptions *options = &sim->options;
    bool tls = options->cert_file != NULL;
    json_t *hosts = json_array();
    for (guint i = 0; i < options->n_hosts; i++) {
        g_autofree char *url = listeners_url(sim->listeners, i, tls);
        json_array_append_new(hosts, json_string(url));
    }
    g_autofree char *plain = listeners_url(sim->listeners, 0, false);
    g_autofree char *control = listeners_control_url(sim->listeners);
    json_t *all = json_pack("{sO ss so ss ss ss}", "url", json_array_get(hosts, 0), "plain_url",
                            plain, "hosts", hosts, "control", control, "username",
                            options->username, "password", options->password);
    char *text = json_dumps(all, JSON_COMPACT);
    json_decref(all);
    return text;
}

/* --- The parts --- */

const SimOptions *sim_options(const Sim *sim)
{
    return &sim->options;
}

Rows *sim_rows(Sim *sim)
{
    return sim->rows;
}

Calls *sim_calls(Sim *sim)
{
    return sim->calls;
}

Faults *sim_faults(Sim *sim)
{
    return sim->faults;
}

Listeners *sim_listeners(Sim *sim)
{
    return sim->listeners;
}

Clock *sim_clock(Sim *sim)
{
    return sim->clock;
}

Storage *sim_storage(Sim *sim)
{
    return sim->storage;
}

Arrays *sim_arrays(Sim *sim)
{
    return sim->arrays;
}

/* --- model.h --- */

void sim_lock(Sim *sim)
{
    rows_lock(sim->rows);
}

void sim_unlock(Sim *sim)
{
    rows_unlock(sim->rows);
}

void sim_sleep(Sim *sim, guint ms)
{
    sim_unlock(sim);
    g_usleep((gulong) ms * 1000);
    sim_lock(sim);
}

Obj *sim_pool(Sim *sim)
{
    return obj_first(sim, "pool");
}

Obj *sim_master(Sim *sim)
{
    return obj_follow(sim_pool(sim), "master");
}

Obj *sim_host(Sim *sim, guint number)
{
    const char *address = listeners_address(sim->listeners, number);
    Obj *host = obj_first(sim, "host");
    while (host != NULL && strcmp(obj_str(host, "address"), address) != 0)
        host = obj_next(host);
    return host;
}

gint64 sim_now(Sim *sim)
{
    return g_get_real_time() / G_USEC_PER_SEC;
}

const char *sim_data_dir(Sim *sim)
{
    return sim->options.data_dir;
}

guint64 sim_seed(Sim *sim)
{
    return sim->options.seed;
}

char *sim_new_uuid(Sim *sim)
{
    return rows_uuid(sim->rows);
}
