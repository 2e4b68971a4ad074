/* Disks, drives and network interfaces of VMs, by reference: the steps of vm.create and
 * disk.create. */
#pragma once

#include "api/objects.h"

/* --- Disks --- */

typedef struct {
    const char *name_label, *name_description; /* the latter may be NULL */
    const char *sr;                            /* reference */
    gint64 size_bytes;
    const char *birth_id; /* of the VM being made that it is for (vm_birth.h); NULL: none */
} NewDisk;
/* An empty disk: its reference, or NULL. */
char *disk_create(Xapi *xapi, const NewDisk *disk, GError **error);
/* Destroys a disk that a transfer may still hold for a moment. */
bool disk_drop(Xapi *xapi, const char *vdi, GError **error);
/* A disk leaves the VM being made. */
bool disk_mark(Xapi *xapi, const char *vdi, const char *birth_id, GError **error);
/* A disk with a birth_id belongs to its VM now. */
bool disk_settle(Xapi *xapi, const char *vdi, GError **error);

typedef struct {
    const char *vm, *vdi; /* references */
    const char *position; /* NULL: the first that is free */
    const char *mode;     /* NULL: "RW" */
    const char *type;     /* NULL: "Disk" */
    bool bootable, empty;
    bool plug; /* the VM runs: attach at once */
} NewVbd;
bool vbd_create(Xapi *xapi, const NewVbd *vbd, GError **error);

/* The records of the VM's block devices, each with its reference under "ref"; NULL with an error.
 */
json_t *vm_block_devices(Xapi *xapi, const char *vm, GError **error);
/* The device of that position, borrowed, or NULL. */
json_t *vbd_at(json_t *devices, const char *position);
typedef struct {
    bool bootable; /* boot from it */
    bool keep;     /* refuse (VBD_NOT_EMPTY) when there is an image in it already */
} InsertCd;
/* Puts an image into the VM's drive, which is made when it has none. */
bool vm_insert_cd(Xapi *xapi, const char *vm, const char *vdi, const InsertCd *how, GError **error);

/* Empties it; nothing when it is empty, or when there is none. */
bool vm_eject_cd(Xapi *xapi, const char *vm, GError **error);

/* --- Network interfaces --- */

/* The reference of the network of a pool's management, for interfaces that nothing else is known
 * of.
 */
char *management_network(Xapi *xapi, GError **error);

/* {network, mac?, allowedIpv4Addresses?, allowedIpv6Addresses?} as clients send it, on that device
 * of the VM; `network` has been found by the caller. *ref, its reference, may be NULL. */
bool vif_create(Xapi *xapi, const char *vm, const ApiObject *network, const char *device,
                json_t *wanted, char **ref, GError **error);
