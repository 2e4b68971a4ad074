/* What stands on the far side of the hosts' cables: file servers, disk arrays, local disks, and the
 * storages that lie on them, also those that the pool forgot. With the lock held.
 *
 * Every server answers whose name does not end in ".invalid" (RFC 2606). */
#pragma once

#include "sim/call.h"

typedef struct Arrays Arrays;

Arrays *arrays_new(void);
void arrays_free(Arrays *arrays);
Arrays *sim_arrays(Sim *sim);

/* Whether a storage of this type can be reached with this configuration (values are strings):
 * SR_BACKEND_FAILURE_37 (a parameter is missing), _73, _111, _141 (no answer), _68 (login). */
bool arrays_check(const char *type, json_t *config, GError **error);
/* The same for a new storage: SR_DEVICE_IN_USE when another one lies on the device. */
bool arrays_check_new(Sim *sim, const char *type, json_t *config, GError **error);
/* The storage lies there, or (NULL) was wiped. */
void arrays_put(Sim *sim, const Obj *sr, json_t *config);
void arrays_wipe(Sim *sim, const char *uuid);
/* SR.probe: the text, or the refusal whose third parameter is an XML list. */
json_t *arrays_probe(Sim *sim, const char *type, json_t *config, GError **error);
