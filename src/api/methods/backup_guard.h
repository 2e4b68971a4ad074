/* What would cut a backup short asks here first. */
#pragma once

#include "api/objects.h"

/* Whether no backup runs on machines of the pool; FORBIDDEN_OPERATION names the job. The parameter
 * bypassBackupCheck, when true, lets everything pass. */
bool backup_guard(ApiCall *call, const ApiObject *of_pool, GError **error);
