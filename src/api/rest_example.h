/* The example of a route: a line of the command line, as the reference shows it and
 * tests/system/test_examples.py runs it. */
#pragma once

#include "api/rest_router.h"

/* "cadenza rest get vms/$VM"; NULL when the tables give none. Caller frees. */
char *rest_example(const RestRoute *route);
