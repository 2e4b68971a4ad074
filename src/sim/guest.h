/* What happens inside and around a virtual machine: domains built and destroyed, devices attached,
 * guest tools that report. No checks: the callers have made them. With the lock. */
#pragma once

#include "sim/model.h"

/* The VM runs on the host: devices attached, metrics, console, guest metrics linked at once, its
 * tools seen after the boot delay. */
void guest_boot(Obj *vm, Obj *host, bool paused);
/* The same for a VM that has been running for long, without a delay. */
void guest_was_booted(Obj *vm, Obj *host);
/* The domain goes; the VM gets the state ("Halted", "Suspended"). */
void guest_stop(Obj *vm, const char *state);
/* Live to another host: it runs throughout, its console goes along. */
void guest_move(Obj *vm, Obj *host);
/* A new domain on the same host; guest metrics start anew. */
void guest_reboot(Obj *vm);
/* A VBD or VIF of a running VM. */
void guest_attach(Obj *device);
void guest_detach(Obj *device);
/* Allowed operations of a VBD or VIF. */
void guest_refresh_device(Obj *device);
/* A message about the VM: name "VM_STARTED", body. */
void message_about(Obj *vm, const char *name, gint64 priority, const char *body);
/* The host with the most free memory that may run the VM; NO_HOSTS_AVAILABLE, VM_REQUIRES_SR,
 * HOST_NOT_ENOUGH_FREE_MEMORY. `host` NULL: any; otherwise only that one. */
Obj *guest_place(Obj *vm, Obj *host, GError **error);
