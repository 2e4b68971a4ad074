/* The first start of a VM that was just created. */
#pragma once

#include "api/objects.h"

/* Starts the VM `ref` (`id`: XO's) in the template's pool when the call says bootAfterCreate.
 * Nobody waits for it, as with XO, unless the call has the parameter below: then a failure is an
 * error, and the VM stays. */
bool vm_start_new(ApiCall *call, const ApiObject *template, const char *ref, json_t *id,
                  GError **error);

/* A parameter of REST's own: the start is waited for. */
#define VM_AWAIT_BOOT "awaitBoot"
