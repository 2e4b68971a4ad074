/* The records of an ova.xml made in the pool: a VM with its disks, devices and networks. */
#pragma once

#include "disk/xva.h"
#include "sim/model.h"

typedef struct {
    const char *sr;   /* ref: where the disks go; NULL: they are there already (metadata) */
    const char *task; /* shown as the VM's current operation */
    bool restore;     /* keep uuid and MAC addresses, take the place of a halted VM */
    bool force;       /* metadata: disks that are not there are left out */
    /* The uuid of the disk to take for a disk of the archive, NULL: its own; may be NULL. */
    const char *(*vdi_for)(const char *uuid, void *user);
    void *user;
} OvaImport;

typedef struct {
    Sim *sim;
    char *vm;        /* ref */
    GPtrArray *vdis; /* of each disk of the info: ref or NULL */
    bool made_disks;
} OvaMade;

/* With the lock, which it keeps. NULL with an error of XAPI, and nothing left. */
OvaMade *ova_make(Sim *sim, const XvaInfo *info, const OvaImport *import, GError **error);
/* Takes all of it away again. */
void ova_unmake(OvaMade *made);
void ova_made_free(OvaMade *made);
