/* Files that a host gives out of its own: passed on as they come. */
#pragma once

#include "api/rest_request.h"

extern const RestRoute rest_host_routes[];
