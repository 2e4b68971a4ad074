/* The description of the REST API (OpenAPI 3.0), made from the tables that the API itself is made
 * from, and a page to read and try it. Both are for anybody. */
#pragma once

#include "api/rest_request.h"

extern const RestRoute rest_openapi_routes[];

/* The whole document; a new reference. */
json_t *rest_openapi(const RestRouter *router);

/* --- rest_page.c --- */

extern const char rest_page[];
