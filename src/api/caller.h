/* How jobs call methods: the API as the room of runs sees it. */
#pragma once

#include "api/parts.h"

/* Gives the runs their caller; the parts must outlive them. */
void caller_install(const ApiParts *parts);
