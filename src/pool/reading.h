/* Reads the classes of a pool into its writer. For the thread of the pool. */
#pragma once

#include "pool/follow.h"

/* All objects of a class; those that are no more there go. A class that this version of the pool
 * does not have is an empty one. */
bool pool_read_class(Pool *pool, const char *cls, GError **error);
/* Every class, some at a time: while a host writes one, another is taken in. */
bool pool_read_classes(Pool *pool, GError **error);
