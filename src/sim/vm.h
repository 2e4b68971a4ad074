/* What the files about VMs share. */
#pragma once

#include "sim/model.h"

/* Drops the VM with its devices, consoles and metrics; its disks stay. */
void vm_forget(Obj *vm);
