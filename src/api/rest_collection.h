/* The collections of the REST API: where their items come from. A collection is one row of a table
 * in rest_collections.c; listing, filtering, single items and paths follow from it. */
#pragma once

#include "api/rest_request.h"

typedef struct RestCollection RestCollection;

/* One item: its id, and its JSON text. False: enough. */
typedef bool (*RestSeen)(const char *id, const char *text, size_t n, void *user);

struct RestCollection {
    const char *name; /* in paths: "vms" */
    const char *type; /* of its items; of objects of pools XO's type, else for errors alone */
    /* Every item that the caller may see. */
    bool (*each)(RestRequest *request, const RestCollection *collection, RestSeen seen, void *user,
                 GError **error);
    const char *methods[3];                              /* of rest_each_record: what lists them */
    void (*adapt)(RestRequest *request, json_t *record); /* to XO's REST shape; may be NULL */
    /* One item as text, where that is quicker than looking through all; may be NULL. */
    char *(*one)(RestRequest *request, const char *id, GError **error);
    const char *leads_to; /* the collection of the paths, when it is another */
    const char *subs;     /* A alarms, M messages, K tasks: "<name>/{id}/alarms" … */
    bool long_ids;        /* ids contain slashes */
    const char *summary;
    const char *example; /* what {id} stands for: "$VM" */
};

void rest_collections_add(RestRouter *router);
const RestCollection *rest_collection_find(const char *name);
/* By XO's type of an object of a pool; NULL when it has no collection. */
const RestCollection *rest_collection_of_type(const char *type);
/* Answers with a list. */
void rest_list_items(RestRequest *request, const RestCollection *collection);
/* The item that {id} of the route names exists and may be seen; false with an error. */
bool rest_check_item(RestRequest *request, const RestCollection *collection, GError **error);

/* Whether a message's text is of an alarm, and that as XO shows it (caller frees). */
bool rest_is_alarm(const char *text, size_t n);
char *rest_alarm_text(const ApiParts *parts, const char *text, size_t n);

/* --- Sources --- */

bool rest_each_object(RestRequest *request, const RestCollection *collection, RestSeen seen,
                      void *user, GError **error);
bool rest_each_message(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error);
bool rest_each_alarm(RestRequest *request, const RestCollection *collection, RestSeen seen,
                     void *user, GError **error);
/* Of the object {id} of the route. */
bool rest_each_own_message(RestRequest *request, const RestCollection *collection, RestSeen seen,
                           void *user, GError **error);
bool rest_each_own_alarm(RestRequest *request, const RestCollection *collection, RestSeen seen,
                         void *user, GError **error);
bool rest_each_own_vdi(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error);
/* The results of the collection's methods, arrays or objects of records. */
bool rest_each_record(RestRequest *request, const RestCollection *collection, RestSeen seen,
                      void *user, GError **error);
bool rest_each_backup_log(RestRequest *request, const RestCollection *collection, RestSeen seen,
                          void *user, GError **error);
bool rest_each_archive(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error);
bool rest_each_own_job(RestRequest *request, const RestCollection *collection, RestSeen seen,
                       void *user, GError **error);
bool rest_each_none(RestRequest *request, const RestCollection *collection, RestSeen seen,
                    void *user, GError **error);
/* Of rest_roles.c; role_subject: those that the collection's method lists. */
bool rest_each_role(RestRequest *request, const RestCollection *collection, RestSeen seen,
                    void *user, GError **error);
bool rest_each_privilege(RestRequest *request, const RestCollection *collection, RestSeen seen,
                         void *user, GError **error);
bool rest_each_role_privilege(RestRequest *request, const RestCollection *collection, RestSeen seen,
                              void *user, GError **error);
bool rest_each_own_privilege(RestRequest *request, const RestCollection *collection, RestSeen seen,
                             void *user, GError **error);
bool rest_each_own_role(RestRequest *request, const RestCollection *collection, RestSeen seen,
                        void *user, GError **error);
bool rest_each_role_subject(RestRequest *request, const RestCollection *collection, RestSeen seen,
                            void *user, GError **error);
void rest_adapt_user(RestRequest *request, json_t *record);
void rest_adapt_group(RestRequest *request, json_t *record);
char *rest_one_log(RestRequest *request, const char *id, GError **error);
