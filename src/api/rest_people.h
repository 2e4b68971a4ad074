/* Users beyond what their methods give: "me", their tokens, groups and members, and signing in for
 * clients that want a cookie. */
#pragma once

#include "api/rest_collection.h"

extern const RestRoute rest_people_routes[];

/* POST /auth/login {username, password}: a token as a cookie. Not in XO, but called by its Go
 * client when it has a password. */
void rest_login(HttpRequest *request, const ApiParts *parts);

/* A user: any for administrators, itself for others. */
char *rest_one_user(RestRequest *request, const char *id, GError **error);
bool rest_each_own_group(RestRequest *request, const RestCollection *collection, RestSeen seen,
                         void *user, GError **error);
bool rest_each_member(RestRequest *request, const RestCollection *collection, RestSeen seen,
                      void *user, GError **error);
