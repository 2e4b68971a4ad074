/* The attachments of a storage to hosts, all at once. */
#pragma once

#include "api/objects.h"

/* Attaches these (references), all that can be; false with the first refusal. */
bool sr_plug(const ApiObject *sr, json_t *pbds, GError **error);
bool sr_plug_all(const ApiObject *sr, GError **error);
/* Detaches it from every host: what was attached, an array of references. When one is refused the
 * others come back, and it is NULL. */
json_t *sr_unplug_all(const ApiObject *sr, GError **error);
/* The reference of a host that has it attached, the first; a copy. */
char *sr_attached_host(const ApiObject *sr, GError **error);
