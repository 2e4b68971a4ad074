/* How a host reaches a storage: a PBD's device_config, from parameters of a method. */
#pragma once

#include "api/call.h"

/* A parameter of the API and the driver's word for it. */
typedef struct {
    const char *param, *key;
} SrKey;

extern const SrKey sr_keys_nfs[], sr_keys_iscsi[], sr_keys_hba[], sr_keys_smb[], sr_keys_device[],
    sr_keys_location[];

/* Of those parameters that were given; a new object of texts. */
json_t *sr_config(ApiCall *call, const SrKey *keys);
