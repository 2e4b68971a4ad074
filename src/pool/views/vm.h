/* The parts of the VM's table that have their own files. */
#pragma once

#include "pool/view.h"

bool vm_is_running(View *view); /* Paused counts */

/* vm_guest.c: what the guest says of itself */
void vm_addresses(View *view, const ViewField *field);
void vm_main_address(View *view, const ViewField *field);
void vm_os_version(View *view, const ViewField *field);
void vm_tools(View *view, const ViewField *field); /* xenTools and the four fields after it */
void vm_vulnerabilities(View *view, const ViewField *field);
Record *vm_guest_metrics(View *view);

/* vm_template.c: what is written as XML or JSON inside a record */
void vm_template_info(View *view, const ViewField *field);
void vm_firmware_supported(View *view, const ViewField *field);
void vm_creation(View *view, const ViewField *field);
void vm_resource_set(View *view, const ViewField *field);
