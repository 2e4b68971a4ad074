/* The parts of a pool that is made from nothing. */
#pragma once

#include "sim/model.h"

/* Sets the fields that a JSON object names; a mistake in it is a programming error. */
void population_fill(Obj *obj, const char *json);
/* Built-in templates; and n VMs with disks and interfaces, the first n_running of them running. */
void population_templates(Sim *sim);
void population_vms(Sim *sim);
/* A host, up and in service, with its control domain; a new uuid when that is NULL. */
Obj *population_host(Sim *sim, const char *uuid, const char *name, const char *address);
/* A physical interface; the management has the host's address. */
Obj *population_pif(Obj *host, Obj *network, const char *device, bool management);
/* A VM with its metrics; all else has default values. */
Obj *population_vm(Sim *sim, const char *name_label);
