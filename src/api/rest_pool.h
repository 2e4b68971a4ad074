/* What is asked about a whole pool: the figures of its page, what its hosts used, which updates
 * wait for them. */
#pragma once

#include "api/rest_request.h"

extern const RestRoute rest_pool_routes[];
