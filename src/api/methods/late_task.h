/* Tasks of a pool that went on though their call was aborted: what they made all the same is taken
 * away again. Named in the store, so that a restart forgets none. */
#pragma once

#include "api/call.h"
#include "api/duties.h"

/* Whether something is left when this method of XAPI ends well. */
bool late_task_matters(const char *method);
/* From now on it is looked after. `pool` is XO's id. */
void late_task_add(ApiCall *call, const char *pool, const char *method, const char *task);

extern const DutyKind late_task_duty;
