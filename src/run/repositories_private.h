/* The call behind all others, for tests with their own deadline. */
#pragma once

#include "run/repositories.h"

/* `fields` is taken. */
json_t *repositories_call(Repositories *repositories, json_t *remote, const char *name,
                          json_t *fields, int deadline_ms, GError **error);
