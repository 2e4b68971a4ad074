/* Contents of disks and whole machines as streams, both ways: nothing is held, whoever is slow
 * slows the other side down. */
#pragma once

#include "api/rest_request.h"

extern const RestRoute rest_transfer_routes[];
