/* The words of the drivers. Source: XenAPI's drivers, as XO calls them. */
#include "api/methods/sr_config.h"

const SrKey sr_keys_nfs[] = { { "server", "server" },
                              { "serverPath", "serverpath" },
                              { "nfsVersion", "nfsversion" },
                              { "nfsOptions", "options" },
                              { NULL } };
const SrKey sr_keys_iscsi[] = { { "target", "target" },
                                { "port", "port" },
                                { "targetIqn", "targetIQN" },
                                { "scsiId", "SCSIid" },
                                { "chapUser", "chapuser" },
                                { "chapPassword", "chappassword" },
                                { NULL } };
const SrKey sr_keys_hba[] = { { "scsiId", "SCSIid" }, { NULL } };
const SrKey sr_keys_smb[] = {
    { "server", "server" }, { "user", "username" }, { "password", "password" }, { NULL }
};
const SrKey sr_keys_device[] = { { "device", "device" }, { NULL } };
const SrKey sr_keys_location[] = { { "location", "location" }, { NULL } };

json_t *sr_config(ApiCall *call, const SrKey *keys)
{
    json_t *config = json_object();
    for (; keys->param; keys++) {
        json_t *value = call_get(call, keys->param);
        if (json_is_integer(value))
            json_object_set_new(config, keys->key,
                                json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value)));
        else if (json_is_string(value) && *json_string_value(value))
            json_object_set(config, keys->key, value);
    }
    return config;
}
