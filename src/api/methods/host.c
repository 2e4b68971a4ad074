/* host.*: settings, and in and out of the pool. Up and down is host_power.c's. */
#include "api/method.h"
#include "api/methods/host_clear.h"
#include "api/methods/host_leaving.h"
#include "api/methods/host_multipathing.h"
#include "api/objects.h"

#include <string.h>

static json_t *act(ApiCall *call, const char *method, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (api_object_do(host, method, NULL, error))
        api_object_barrier(host);
    return NULL;
}

/* --- host.set --- */

static bool set_text(ApiCall *call, const char *param, const char *method, GError **error)
{
    return !call_get(call, param) || api_object_do(call_object(call, "id"), method,
                                                   json_pack("[O]", call_get(call, param)), error);
}

static json_t *set(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (set_text(call, "name_label", "host.set_name_label", error) &&
        set_text(call, "name_description", "host.set_name_description", error) &&
        set_text(call, "iscsiIqn", "host.set_iscsi_iqn", error) && call_get(call, "multipathing"))
        host_set_multipathing(host, call_bool(call, "multipathing"), error);
    api_object_barrier(host);
    return NULL;
}

/* --- In and out of service --- */

static json_t *enable(ApiCall *call, GError **error)
{
    return act(call, "host.enable", error);
}

/* Hosts before XAPI 25.31 have no second parameter. */
static json_t *disable(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (call_bool(call, "evacuate") &&
        !host_clear(host, call_get(call, "vmsToForceMigrate"), error))
        return NULL;
    json_t *more = call_get(call, "transient") ? json_pack("[b]", call_bool(call, "transient"))
                                               : NULL;
    if (api_object_do(host, "host.disable", more, error))
        api_object_barrier(host);
    return NULL;
}

static json_t *detach(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    if (host_detach(host, error))
        api_object_barrier(host);
    return NULL;
}

static json_t *forget(ApiCall *call, GError **error)
{
    return act(call, "host.destroy", error);
}

/* --- Other settings --- */

static json_t *set_syslog(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    const char *to = call_string(call, "syslogDestination");
    bool ok = api_object_do(host, "host.remove_from_logging",
                            json_pack("[s]", "syslog_destination"), error) &&
              (!to || api_object_do(host, "host.add_to_logging",
                                    json_pack("[s, s]", "syslog_destination", to), error));
    if (ok)
        api_object_do(host, "host.syslog_reconfigure", NULL, error);
    api_object_barrier(host);
    return NULL;
}

static json_t *get_granularity(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    return xapi_call(api_object_xapi(host), "host.get_sched_gran", json_pack("[s]", host->ref),
                     error);
}

static json_t *set_granularity(ApiCall *call, GError **error)
{
    api_object_do(call_object(call, "host"), "host.set_sched_gran",
                  json_pack("[O]", call_get(call, "schedulerGranularity")), error);
    return NULL;
}

static json_t *scan_pifs(ApiCall *call, GError **error)
{
    return act(call, "PIF.scan", error);
}

static json_t *install_certificate(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "id");
    const char *chain = call_string(call, "chain");
    if (api_object_do(host, "host.install_server_certificate",
                      json_pack("[O, O, s]", call_get(call, "certificate"),
                                call_get(call, "privateKey"), chain ? chain : ""),
                      error))
        api_object_barrier(host);
    return NULL;
}

static json_t *reconfigure_management(ApiCall *call, GError **error)
{
    const ApiObject *pif = call_object(call, "id");
    if (api_object_do(pif, "host.management_reconfigure", NULL, error))
        api_object_barrier(pif);
    return NULL;
}

#define HOST(may) REQ(ID("id", "host", may))

const Method methods_host[] = {
    { "host.set", set,
      PARAMS(HOST("administrate"), OPT(STR("name_label")), OPT(STR0("name_description")),
             OPT(BOOL("multipathing")), OPT(STR("iscsiIqn"))),
      .access = ACCESS_USER, .long_running = true,
      .example = "id=$HOST name_description='first row'", .summary = "Change a host." },
    { "host.enable", enable, PARAMS(HOST("administrate")), .access = ACCESS_USER,
      .example = "id=$DISABLED_HOST", .summary = "Let machines start on a host again." },
    { "host.disable", disable,
      PARAMS(
          HOST("administrate"),
          OPT(BOOL("transient"), .words = "until the host starts again, not for ever"),
          OPT(BOOL("evacuate"), .words = "moves its machines away"),
          OPT(ARR("vmsToForceMigrate", P_STRING), .words = "also when their migration is blocked")),
      .access = ACCESS_USER, .example = "id=$MEMBER",
      .summary = "Let no machine start on a host." },
    { "host.detach", detach, PARAMS(HOST("administrate")), .access = ACCESS_USER,
      .long_running = true, .example = "id=$LEAVING_HOST",
      .summary =
          "Take a host out of its pool, to be a server of its own; its own disks are lost." },
    { "host.forget", forget, PARAMS(HOST("administrate")), .access = ACCESS_USER,
      .example = "id=$LEAVING_HOST",
      .summary = "Forget a host that is down and will not come back." },
    { "host.setRemoteSyslogHost", set_syslog,
      PARAMS(HOST("administrate"),
             REQ(TYPED("syslogDestination", P_STRING | P_NULL), .words = "null: none")),
      .access = ACCESS_USER, .example = "id=$HOST syslogDestination=10.0.0.5",
      .summary = "Send the log of a host elsewhere." },
    { "host.getSchedulerGranularity", get_granularity, PARAMS(REQ(ID("host", "host", "view"))),
      .access = ACCESS_USER, .example = "host=$HOST",
      .summary = "What the host's scheduler shares out: processors, cores or sockets." },
    { "host.setSchedulerGranularity", set_granularity,
      PARAMS(REQ(ID("host", "host", "administrate")),
             REQ(CHOICE("schedulerGranularity", "core|cpu|socket"))),
      .access = ACCESS_USER, .example = "host=$HOST schedulerGranularity=core",
      .summary = "Say what the host's scheduler shares out, from its next start on." },
    { "host.scanPifs", scan_pifs, PARAMS(HOST("administrate")), .access = ACCESS_USER,
      .example = "id=$HOST", .summary = "Look for new interfaces of a host." },
    { "host.installCertificate", install_certificate,
      PARAMS(HOST("administrate"), REQ(STR("certificate")), OPT(STR("chain")),
             REQ(SECRET("privateKey"))),
      .access = ACCESS_USER,
      .example = "id=$HOST certificate=\"$CERTIFICATE\" privateKey=\"$PRIVATE_KEY\"",
      .summary = "Give a host another certificate." },
    { "host.managementReconfigure", reconfigure_management,
      PARAMS(REQ(ID("id", "PIF", "administrate"), .words = "the interface to manage the host by")),
      .access = ACCESS_USER, .example = "id=$PIF",
      .summary = "Manage a host by another interface." },
    { NULL },
};
