/* The table of REST routes that are calls of methods. A row whose method does not exist here is
 * left out. */
#include "api/error.h"
#include "api/method.h"
#include "api/rest_call.h"
#include "api/rest_collection.h"
#include "base/error.h"

#include <string.h>

/* --- What no renaming can do --- */

/* The snapshot must be one of the machine that the path names. */
static bool check_snapshot(RestRequest *request, json_t *params, GError **error)
{
    const char *id = json_string_value(json_object_get(params, "snapshot"));
    json_t *snapshot = id ? servers_object(request->parts->servers, id) : NULL;
    const char *of = json_string_value(json_object_get(snapshot, "$snapshot_of"));
    bool ok = !of || g_strcmp0(of, rest_arg(request, "id")) == 0;
    if (!ok)
        api_error_invalid(error, "%s is no snapshot of %s", id, rest_arg(request, "id"));
    json_decref(snapshot);
    return ok;
}

/* Clones are named after their origin, unless told otherwise. */
static void name_clone(RestRequest *request, json_t *params)
{
    json_t *vm = servers_object(request->parts->servers, rest_arg(request, "id"));
    const char *name = json_string_value(json_object_get(vm, "name_label"));
    if (!json_object_get(params, "name") && name)
        json_object_set_new(params, "name", json_sprintf("%s_clone", name));
    json_decref(vm);
}

/* XO's clones are quick ones. */
static bool complete_clone(RestRequest *request, json_t *params, GError **error)
{
    if (!json_object_get(params, "full_copy"))
        json_object_set_new(params, "full_copy", json_false());
    name_clone(request, params);
    return true;
}

static bool complete_copy(RestRequest *request, json_t *params, GError **error)
{
    json_object_del(params, "fast");
    name_clone(request, params);
    return true;
}

/* The members of an entry of REST, in the method's words: "sr" is "SR" there. */
static void rename_member(json_t *entry, const char *from, const char *to)
{
    json_t *value = json_object_get(entry, from);
    if (value)
        json_object_set(entry, to, value);
    json_object_del(entry, from);
}

/* The template must be one of the pool that the path names. */
static bool check_template(RestRequest *request, json_t *params, GError **error)
{
    size_t i;
    json_t *entry;
    json_array_foreach (json_object_get(params, "VDIs"), i, entry) {
        rename_member(entry, "sr", "SR");
        if (!json_object_get(entry, "type"))
            json_object_set_new(entry, "type", json_string("user"));
    }
    json_array_foreach (json_object_get(params, "VIFs"), i, entry) {
        rename_member(entry, "ipv4_allowed", "allowedIpv4Addresses");
        rename_member(entry, "ipv6_allowed", "allowedIpv6Addresses");
    }
    const char *id = json_string_value(json_object_get(params, "template"));
    json_t *template = id ? servers_object(request->parts->servers, id) : NULL;
    const char *pool = json_string_value(json_object_get(template, "$pool"));
    bool ok = !pool || g_strcmp0(pool, rest_arg(request, "id")) == 0;
    if (!ok)
        api_error_invalid(error, "the template %s is in another pool", id);
    else if (template) /* by its plain uuid, too */
        json_object_set(params, "template", json_object_get(template, "id"));
    json_decref(template);
    return ok;
}

/* The host is named; its pool is what is merged. */
static bool add_host(RestRequest *request, json_t *params, GError **error)
{
    const char *id = json_string_value(json_object_get(params, "host"));
    json_t *host = id ? servers_object(request->parts->servers, id) : NULL;
    json_t *pool = json_object_get(host, "$pool");
    bool ok = pool && g_strcmp0(json_string_value(json_object_get(host, "type")), "host") == 0;
    if (ok)
        json_object_set(params, "source", pool);
    else if (!id)
        api_error_invalid(error, "host: expected the id of a host");
    else
        api_error_no_such(error, id, "host");
    json_object_del(params, "host");
    json_decref(host);
    return ok;
}

/* XO's JSON-RPC has no number for a name that is taken; REST has a status. */
static bool check_name(RestRequest *request, json_t *params, GError **error)
{
    const char *name = json_string_value(json_object_get(params, "email"));
    json_t *users = name && request->is_admin ? account_users(request->parts->accounts, NULL)
                                              : NULL,
           *user;
    bool is_free = true;
    size_t i;
    json_array_foreach (users, i, user)
        if (g_ascii_strcasecmp(json_string_value(json_object_get(user, "email")), name) == 0)
            is_free = false;
    json_decref(users);
    if (!is_free)
        err_set(error, ERR_EXISTS, "the user %s already exists", name);
    return is_free;
}

/* A schedule knows its job. */
static bool add_job(RestRequest *request, json_t *params, GError **error)
{
    g_autoptr(GError) failure = NULL;
    const char *id = rest_arg(request, "id");
    json_t *schedule = request->is_admin ? jobs_get_schedule(request->parts->jobs, id, &failure)
                                         : NULL;
    json_object_set(params, "id", json_object_get(schedule, "jobId"));
    if (!request->is_admin)
        api_error_unauthorized(error, "admin", NULL);
    else if (!schedule)
        api_error_no_such(error, id, "schedule");
    json_decref(schedule);
    return schedule != NULL;
}

/* --- The table --- */

#define VM_CHANGES                                                                                 \
    "nameLabel:name_label nameDescription:name_description autoPoweron:auto_poweron cpus:CPUs "    \
    "cpusStaticMax:cpusMax highAvailability:high_availability"
#define NEW_VM                                                                                     \
    "id: affinity:affinityHost autoPoweron:auto_poweron boot:bootAfterCreate "                     \
    "cloud_config:cloudConfig network_config:networkConfig "                                       \
    "destroy_cloud_config_vdi:destroyCloudConfigVdiAfterBoot install:installation vdis:VDIs "      \
    "vifs:VIFs"
#define TAGS(of, one)                                                                              \
    { "PUT", of "/{id}/tags/{tag*}", "tag.add", .example = one " production" },                    \
    {                                                                                              \
        "DELETE", of "/{id}/tags/{tag*}", "tag.remove", .example = one " production"               \
    }
#define ACTION(path, of) "POST", path "/{id}/actions/" of

/* A clone that names storage is a full copy there. */
static const RestCall clone_to = { ACTION("vms", "clone"), "vm.copy",
                                   .renames = "id:vm name_label:name srId:sr", .makes = "vms",
                                   .prepare = complete_copy };

static const RestCall calls[] = {
    { ACTION("vms", "start"), "vm.start", .renames = "hostId:host" },
    { ACTION("vms", "clean_shutdown"), "vm.stop" },
    { ACTION("vms", "hard_shutdown"), "vm.stop", .fixed = "{\"force\":true}",
      .summary = "Switch a virtual machine off." },
    { ACTION("vms", "clean_reboot"), "vm.restart" },
    { ACTION("vms", "hard_reboot"), "vm.restart", .fixed = "{\"force\":true}",
      .summary = "Reset a virtual machine." },
    { ACTION("vms", "pause"), "vm.pause" },
    { ACTION("vms", "suspend"), "vm.suspend" },
    { ACTION("vms", "resume"), "vm.resume" },
    { ACTION("vms", "unpause"), "vm.resume", .summary = "Let a paused virtual machine go on.",
      .example = "$PAUSED_VM" },
    { ACTION("vms", "snapshot"), "vm.snapshot", .renames = "name_label:name",
      .makes = "vm-snapshots" },
    { ACTION("vms", "revert_snapshot"), "vm.revert", .renames = "id: snapshotId:snapshot",
      .check = check_snapshot, .example = "$VM snapshotId=$SNAPSHOT" },
    { ACTION("vms", "clone"), "vm.clone", .renames = "name_label:name fast:!full_copy",
      .makes = "vms", .prepare = complete_clone, .when = "srId", .instead = &clone_to,
      .example = "$VM name_label='a copy'" },
    { ACTION("vms", "migrate"), "vm.migrate",
      .renames = "id:vm hostId:targetHost srId:sr srIdByVdiId:mapVdisSrs "
                 "networkIdByVifId:mapVifsNetworks migrationNetworkId:migrationNetwork",
      .example = "$RUNNING_VM hostId=$OTHER_HOST" },
    { "PATCH", "vms/{id}", "vm.set", .renames = VM_CHANGES },
    { "DELETE", "vms/{id}", "vm.delete" },
    { "DELETE", "vm-templates/{id}", "vm.delete", .summary = "Delete a template and its disks.",
      .example = "$SPARE_TEMPLATE" },
    { "DELETE", "vm-snapshots/{id}", "vm.delete", .summary = "Delete a snapshot and its disks.",
      .example = "$SPARE_SNAPSHOT" },
    { "PUT", "vms/{id}/stats/data_source/{ds}", "vm.addDataSource", .renames = "ds:dataSource" },
    { "DELETE", "vms/{id}/stats/data_source/{ds}", "vm.removeDataSource",
      .renames = "ds:dataSource" },
    { ACTION("hosts", "start"), "host.start" },
    { ACTION("hosts", "enable"), "host.enable" },
    { ACTION("hosts", "disable"), "host.disable",
      .renames = "autoEnable:transient vmIdsToForceMigrate:vmsToForceMigrate" },
    { ACTION("hosts", "clean_shutdown"), "host.stop" },
    { ACTION("hosts", "clean_reboot"), "host.restart" },
    { ACTION("hosts", "smart_reboot"), "host.restart", .fixed = "{\"suspendResidentVms\":true}" },
    { ACTION("hosts", "restart_toolstack"), "host.restartAgent" },
    { ACTION("hosts", "emergency_shutdown"), "host.emergencyShutdownHost", .renames = "id:host" },
    { ACTION("hosts", "detach"), "host.detach" },
    { ACTION("hosts", "forget"), "host.forget" },
    { ACTION("hosts", "management_reconfigure"), "host.managementReconfigure",
      .renames = "id: pif:id", .example = "$HOST pif=$PIF" },
    { "GET", "hosts/{id}/missing_patches", "pool.listMissingPatches", .renames = "id:host" },
    { ACTION("hosts", "scan_pifs"), "host.scanPifs" },
    { "GET", "hosts/{id}/smt", "host.isHyperThreadingEnabled", .wraps = "enabled" },
    { ACTION("pools", "management_reconfigure"), "pool.managementReconfigure",
      .renames = "id:pool" },
    { ACTION("pools", "create_vm"), "vm.create", .renames = NEW_VM, .makes = "vms",
      .fixed = "{\"keepTemplateVifs\":true,\"awaitBoot\":true}", .prepare = check_template,
      .example = "$POOL template=$TEMPLATE name_label=web" },
    { ACTION("pools", "create_network"), "network.create", .renames = "id:pool",
      .makes = "networks" },
    { ACTION("pools", "create_internal_network"), "network.create", .renames = "id:pool",
      .makes = "networks" },
    { ACTION("pools", "create_bonded_network"), "network.createBonded",
      .renames = "id:pool pifIds:pifs", .makes = "networks" },
    { ACTION("pools", "emergency_shutdown"), "pool.emergencyShutdown", .renames = "id:pool" },
    { ACTION("pools", "management_reconfigure"), "pool.managementReconfigure",
      .renames = "id:pool" },
    { ACTION("pools", "add_host"), "pool.mergeInto", .renames = "id:target", .prepare = add_host,
      .summary = "Make a host that is a pool of its own a member of this pool.",
      .example = "$POOL host=$LONE_HOST" },
    { ACTION("pools", "rolling_reboot"), "pool.rollingReboot", .renames = "id:pool" },
    { ACTION("pools", "rolling_update"), "pool.rollingUpdate", .renames = "id:pool" },
    { "POST", "srs", "sr.create", .renames = "hostId:host", .makes = "srs",
      .example = "hostId=$HOST SR_type=nfs name_label=new "
                 "device_config=json:'{\"server\":\"nas\",\"serverpath\":\"/exports/one\"}'" },
    { ACTION("srs", "scan"), "sr.scan" },
    { ACTION("srs", "reclaim_space"), "sr.reclaimSpace" },
    { ACTION("srs", "forget"), "sr.forget" },
    { "DELETE", "srs/{id}", "sr.destroy" },
    { "POST", "vdis", "vdi.create", .renames = "srId:sr", .makes = "vdis",
      .example = "srId=$SR virtual_size='1 GiB'" },
    { "POST", "vbds", "vbd.create", .makes = "vbds" },
    { "PATCH", "vdis/{id}", "vdi.set" },
    { "DELETE", "vdis/{id}", "vdi.delete" },
    { "DELETE", "vdi-snapshots/{id}", "vdi.delete", .example = "$SPARE_DISK_SNAPSHOT" },
    { ACTION("vdis", "migrate"), "vdi.migrate", .renames = "srId:sr_id", .makes = "vdis",
      .example = "$SPARE_DISK srId=$SR" },
    { "DELETE", "vbds/{id}", "vbd.delete" },
    { ACTION("vbds", "connect"), "vbd.connect" },
    { ACTION("vbds", "disconnect"), "vbd.disconnect" },
    { "POST", "vifs", "vm.createInterface", .renames = "vmId:vm networkId:network MAC:mac",
      .makes = "vifs" },
    { "PATCH", "vifs/{id}", "vif.set" },
    { "DELETE", "vifs/{id}", "vif.delete" },
    { ACTION("vifs", "connect"), "vif.connect" },
    { ACTION("vifs", "disconnect"), "vif.disconnect" },
    { "DELETE", "networks/{id}", "network.delete" },
    { ACTION("pbds", "plug"), "pbd.connect" },
    { ACTION("pbds", "unplug"), "pbd.disconnect" },
    TAGS("vms", "$VM"),
    TAGS("vm-templates", "$TEMPLATE"),
    TAGS("vm-snapshots", "$SNAPSHOT"),
    TAGS("vm-controllers", "$CONTROL_DOMAIN"),
    TAGS("hosts", "$HOST"),
    TAGS("pools", "$POOL"),
    TAGS("srs", "$SR"),
    TAGS("vdis", "$DISK"),
    TAGS("vdi-snapshots", "$DISK_SNAPSHOT"),
    TAGS("networks", "$NETWORK"),
    { "GET", "vms/{id}/stats", "vm.stats" },
    { "GET", "hosts/{id}/stats", "host.stats", .renames = "id:host" },
    { "POST", "servers", "server.add", .makes = "servers" },
    { "DELETE", "servers/{id}", "server.remove" },
    { ACTION("servers", "connect"), "server.enable" },
    { ACTION("servers", "disconnect"), "server.disable" },
    { "POST", "users", "user.create", .renames = "name:email", .makes = "users",
      .check = check_name, .example = "name=bob password='of his choice'" },
    { "PATCH", "users/{id}", "user.set", .renames = "name:email" },
    { "DELETE", "users/{id}", "user.delete" },
    { "POST", "groups", "group.create", .makes = "groups" },
    { "PATCH", "groups/{id}", "group.set" },
    { "DELETE", "groups/{id}", "group.delete" },
    { "PUT", "groups/{id}/users/{userId}", "group.addUser" },
    { "DELETE", "groups/{id}/users/{userId}", "group.removeUser" },
    { "POST", "acl-roles", "role.create", .makes = "acl-roles" },
    { "PATCH", "acl-roles/{id}", "role.set" },
    { "DELETE", "acl-roles/{id}", "role.delete" },
    { ACTION("acl-roles", "copy"), "role.copy", .makes = "acl-roles" },
    { "PUT", "acl-roles/{id}/users/{userId}", "role.addUser" },
    { "DELETE", "acl-roles/{id}/users/{userId}", "role.removeUser" },
    { "PUT", "acl-roles/{id}/groups/{groupId}", "role.addGroup" },
    { "DELETE", "acl-roles/{id}/groups/{groupId}", "role.removeGroup" },
    { "POST", "acl-privileges", "role.addPrivilege", .makes = "acl-privileges" },
    { "PATCH", "acl-privileges/{id}", "role.setPrivilege" },
    { "DELETE", "acl-privileges/{id}", "role.removePrivilege" },
    { ACTION("schedules", "run"), "backupNg.runJob", .renames = "id:schedule", .prepare = add_job,
      .summary = "Run the job of a schedule now.", .example = "$SCHEDULE" },
    { "POST", "backup-repositories", "remote.create", .makes = "backup-repositories" },
    { "PATCH", "backup-repositories/{id}", "remote.set" },
    { ACTION("backup-repositories", "forget"), "remote.delete" },
    { ACTION("backup-repositories", "benchmark"), "remote.test" },
    { "GET", "backup-repositories/{id}/health", "remote.test",
      .summary = "Whether a backup repository can be written and read." },
};

/* --- Routes --- */

char *rest_call_name(const RestCall *call, const char *name)
{
    g_auto(GStrv) rules = g_strsplit(call->renames ? call->renames : "", " ", -1);
    for (unsigned i = 0; rules[i]; i++) {
        g_auto(GStrv) sides = g_strsplit(rules[i], ":", 2);
        if (sides[0] && sides[1] && g_str_equal(sides[1] + (*sides[1] == '!'), name))
            return g_strdup(sides[0]);
    }
    json_t *fixed = call->fixed ? json_loads(call->fixed, 0, NULL) : NULL;
    bool implied = json_object_get(fixed, name) != NULL;
    json_decref(fixed);
    return g_strdup(implied ? "" : name);
}

static void add(RestRouter *router, const RestCall *call, const Method *method)
{
    RestRoute route = { call->verb,
                        NULL,
                        rest_call_serve,
                        call,
                        call->summary ? call->summary : method->summary,
                        false,
                        REST_CALLS,
                        NULL };
    rest_router_add(router, &route, call->path);
}

/* "POST /vms/{id}/actions/start" of a method itself, when nobody has that route. */
static void add_of_method(const Method *method, void *user)
{
    RestRouter *router = user;
    g_auto(GStrv) words = method->rest ? g_strsplit(method->rest, " /", 2) : NULL;
    if (!words || !words[1])
        return;
    for (unsigned i = 0; i < rest_router_n(router); i++) {
        const RestRoute *route = rest_router_nth(router, i);
        if (g_str_equal(route->verb, words[0]) && g_str_equal(route->path, words[1]))
            return;
    }
    RestCall *call = rest_router_keep(router, g_new0(RestCall, 1));
    call->verb = rest_router_keep(router, g_steal_pointer(&words[0]));
    call->path = rest_router_keep(router, g_steal_pointer(&words[1]));
    call->method = method->name;
    add(router, call, method);
}

void rest_calls_add(RestRouter *router)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(calls); i++)
        if (method_find(calls[i].method))
            add(router, &calls[i], method_find(calls[i].method));
    method_each(add_of_method, router);
}
