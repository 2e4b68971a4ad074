/* A pool in a box: what cadenza-sim makes one of. The whole of a simulated pool hangs on a Sim;
 * several may live in one process, as tests do. */
#pragma once

#include "sim/model.h"

typedef struct {
    const char *listen;  /* "127.0.10.1:0": the master's address; each member takes the next one */
    const char *control; /* "127.0.0.1:0", of the control API */
    const char *data_dir;
    const char *name;                 /* of the pool */
    const char *username, *password;  /* of the only account */
    const char *cert_file, *key_file; /* both NULL: no TLS */
    guint16 tls_port;                 /* 0: any free one */
    guint n_hosts, n_vms, n_disks;    /* disks per VM */
    guint n_running;                  /* of the VMs */
    gint64 disk_bytes;
    double allocated, change_rate; /* shares, 0 … 1 */
    guint64 seed;
    guint boot_delay_ms, login_penalty_ms;
    guint event_delay_ms;    /* events are given out so long after the first, so that they group */
    guint op_delay_ms;       /* how long an operation of a VM is seen in progress */
    gint64 sr_bytes;         /* of each storage repository; 0: room for all disks, 4 TiB at least */
    const char *nbd_purpose; /* of the first network: "nbd" (TLS), "insecure_nbd", NULL: none */
    bool old_checksums;      /* chunks of exported VMs with SHA-1 sums, as before XCP-ng 8.1 */
    guint16 nbd_port;        /* where, on each host's address; 0: any free one */
} SimOptions;

void sim_options_init(SimOptions *options);

/* A populated pool, not yet listening; strings of the options are copied. */
Sim *sim_new(const SimOptions *options, GError **error);
/* Stops listening, waits for running calls, frees. */
void sim_free(Sim *sim);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Sim, sim_free)
const SimOptions *sim_options(const Sim *sim);

/* Starts the listeners of every host and of the control API. */
bool sim_start(Sim *sim, GError **error);
/* {"url": the master with TLS if it has, "plain_url": without, "hosts", "control", "username",
 * "password"}, one line. */
char *sim_addresses(Sim *sim);
