/* OVF, the description of a machine in an OVA (DMTF DSP0243), as VMware and VirtualBox write it:
 * read, and written for machines that leave. */
#pragma once

#include <glib.h>
#include <stdbool.h>

enum { OVF_MAX_BYTES = 8 << 20, OVF_MAX_DISKS = 256, OVF_MAX_NICS = 64 };

typedef struct {
    char *path;             /* of its file in the archive; "" for an empty disk */
    char *name;             /* may be "" */
    guint64 capacity_bytes; /* of the disk, 0: not told */
    guint position;         /* among the machine's disks */
    bool gzip;              /* its file is in gzip */
} OvfDisk;

typedef struct {
    char *network, *mac; /* may be "" */
} OvfNic;

typedef struct {
    char *name, *description; /* may be "" */
    guint n_cpus;             /* 0: not told, as the memory */
    guint64 memory_bytes;
    bool efi;
    GArray *disks; /* OvfDisk, by position */
    GArray *nics;  /* OvfNic */
} Ovf;

Ovf *ovf_new(void);
void ovf_free(Ovf *ovf);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Ovf, ovf_free)
OvfDisk *ovf_disk(const Ovf *ovf, guint i);
OvfNic *ovf_nic(const Ovf *ovf, guint i);
/* Takes the texts over; false beyond OVF_MAX_DISKS, OVF_MAX_NICS. */
bool ovf_add_disk(Ovf *ovf, const OvfDisk *disk);
bool ovf_add_nic(Ovf *ovf, const OvfNic *nic);

/* CORRUPT names what is wrong, LIMIT. */
Ovf *ovf_parse(const char *text, gsize n, GError **error);
/* The text that says the same; the lengths of the disks' files by position. Caller frees. */
char *ovf_write(const Ovf *ovf, const guint64 *file_bytes);
