/* Logins: one account, many sessions, each a row of class session that makes no events. */
#include "sim/inner.h"

#include <string.h>

enum { MAX_SESSIONS = 500, IDLE_S = 24 * 3600 };

struct Sessions {
    Sim *sim;
};

Sessions *sessions_new(Sim *sim)
{
    Sessions *sessions = g_new0(Sessions, 1);
    sessions->sim = sim;
    return sessions;
}

void sessions_free(Sessions *sessions)
{
    g_free(sessions);
}

bool sim_session_password_is(Sim *sim, const char *username, const char *password)
{
    const SimOptions *options = sim_options(sim);
    return strcmp(username, options->username) == 0 && strcmp(password, options->password) == 0;
}

const char *sim_session_open(Sim *sim, const char *username, const char *originator)
{
    if (obj_count(sim, "session") >= MAX_SESSIONS)
        obj_drop(obj_first(sim, "session"));
    Obj *session = obj_new(sim, "session");
    obj_put_ref(session, "this_host", sim_master(sim));
    obj_put_int(session, "last_active", sim_now(sim));
    obj_put_int(session, "validation_time", sim_now(sim));
    obj_put_bool(session, "is_local_superuser", true);
    obj_put_str(session, "auth_user_name", username);
    obj_put_str(session, "originator", originator);
    return obj_ref(session);
}

bool sim_session_check(Sim *sim, const char *ref, GError **error)
{
    Obj *session = obj_find(sim, "session", ref);
    if (session != NULL && sim_now(sim) - obj_int(session, "last_active") > IDLE_S) {
        obj_drop(session);
        session = NULL;
    }
    if (session == NULL) {
        sim_error(error, "SESSION_INVALID", ref == NULL ? "" : ref, NULL);
        return false;
    }
    obj_put_int(session, "last_active", sim_now(sim));
    return true;
}

void sessions_drop_all(Sim *sim)
{
    while (obj_first(sim, "session") != NULL)
        obj_drop(obj_first(sim, "session"));
    rows_wake(sim_rows(sim));
}

/* --- The methods of class session --- */

static json_t *session_login(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    g_autofree char *username = g_strdup(call_str(call, 0));
    if (!sim_session_password_is(sim, username, call_str(call, 1))) {
        sim_sleep(sim, sim_options(sim)->login_penalty_ms);
        sim_error(error, "SESSION_AUTHENTICATION_FAILED", username, "Authentication failure", NULL);
        return NULL;
    }
    return json_string(sim_session_open(sim, username, call_str(call, 3)));
}

static json_t *session_logout(Call *call, GError **error)
{
    Obj *session = obj_find(call_sim(call), "session", call_session(call));
    if (session != NULL)
        obj_drop(session);
    rows_wake(sim_rows(call_sim(call)));
    return call_void();
}

static json_t *session_get_all_subjects(Call *call, GError **error)
{
    return json_array();
}

static json_t *system_list_methods(Call *call, GError **error)
{
    const GPtrArray *names = datamodel_methods(rows_datamodel(sim_rows(call_sim(call))));
    json_t *list = json_array();
    for (guint i = 0; i < names->len; i++)
        json_array_append_new(list, json_string(names->pdata[i]));
    return list;
}

const Method session_methods[] = {
    { "session.login_with_password", session_login },
    { "session.slave_local_login_with_password", session_login },
    { "session.logout", session_logout },
    { "session.local_logout", session_logout },
    { "session.get_all_subject_identifiers", session_get_all_subjects },
    { "system.listMethods", system_list_methods },
    { NULL, NULL },
};
