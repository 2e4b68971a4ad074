/* The table of collections, and what is common to all of them. */
#include "api/rest_collection.h"
#include "api/error.h"
#include "api/rest_list.h"
#include "api/rest_people.h"
#include "api/rest_tasks.h"

#include <string.h>

#define OBJECTS(path, xo_type, more, one, words)                                                   \
    {                                                                                              \
        path, xo_type, rest_each_object, .subs = more, .example = one, .summary = words            \
    }

static const RestCollection collections[] = {
    OBJECTS("vms", "VM", "AMK", "$VM", "Virtual machines."),
    OBJECTS("vm-templates", "VM-template", "AMK", "$TEMPLATE", "Templates of virtual machines."),
    OBJECTS("vm-snapshots", "VM-snapshot", "AMK", "$SNAPSHOT", "Snapshots of virtual machines."),
    OBJECTS("vm-controllers", "VM-controller", "AMK", "$CONTROL_DOMAIN",
            "Control domains of hosts."),
    OBJECTS("hosts", "host", "AMK", "$HOST", "Hosts."),
    OBJECTS("pools", "pool", "AMK", "$POOL", "Pools."),
    OBJECTS("srs", "SR", "AMK", "$SR", "Storage repositories."),
    OBJECTS("vdis", "VDI", "AMK", "$DISK", "Virtual disks."),
    OBJECTS("vdi-snapshots", "VDI-snapshot", "AMK", "$DISK_SNAPSHOT",
            "Snapshots of virtual disks."),
    OBJECTS("vbds", "VBD", "AMK", "$VBD", "Connections of disks to virtual machines."),
    OBJECTS("vifs", "VIF", "AMK", "$VIF", "Network interfaces of virtual machines."),
    OBJECTS("networks", "network", "AMK", "$NETWORK", "Networks."),
    OBJECTS("pifs", "PIF", "AMK", "$PIF", "Network interfaces of hosts."),
    OBJECTS("pbds", "PBD", NULL, "$PBD", "Connections of storage to hosts."),
    OBJECTS("pcis", "PCI", NULL, "$PCI", "PCI devices of hosts."),
    OBJECTS("pgpus", "PGPU", NULL, "$PGPU", "Graphics processors of hosts."),
    OBJECTS("sms", "SM", NULL, "$SM", "Kinds of storage."),
    { "messages", "message", rest_each_message, .example = "$MESSAGE",
      .summary = "Messages of pools, without alarms." },
    { "alarms", "alarm", rest_each_alarm, .example = "$ALARM", .summary = "Alarms of pools." },
    { "servers", "xenServer", rest_each_record, .methods = { "server.getAll" }, .subs = "K",
      .example = "$SERVER", .summary = "The pools to manage." },
    { "users", "user", rest_each_record, .methods = { "user.getAll" }, .adapt = rest_adapt_user,
      .one = rest_one_user, .subs = "K", .example = "$USER", .summary = "Users." },
    { "groups", "group", rest_each_record, .methods = { "group.getAll" }, .subs = "K",
      .adapt = rest_adapt_group, .example = "$GROUP", .summary = "Groups of users." },
    { "acl-roles", "acl-role", rest_each_role, .example = "viewer",
      .summary = "Roles that access rules give on objects." },
    { "acl-privileges", "acl-privilege", rest_each_privilege, .example = "viewer-vm-read",
      .summary = "Privileges of roles." },
    { "plugins/audit/records", "audit-record", rest_each_record, .methods = { "audit.getRecords" },
      .example = "$RECORD", .summary = "The audit log, the newest first." },
    { "schedules", "schedule", rest_each_record, .methods = { "schedule.getAll" },
      .example = "$SCHEDULE", .summary = "Schedules of jobs." },
    { "backup-jobs", "backup-job", rest_each_record,
      .methods = { "backupNg.getAllJobs", "metadataBackup.getAllJobs", "mirrorBackup.getAllJobs" },
      .example = "$JOB", .summary = "Backup jobs of every kind." },
    { "backup/jobs/vm", "backup-job", rest_each_record, .methods = { "backupNg.getAllJobs" },
      .leads_to = "backup-jobs", .example = "$JOB", .summary = "Backup jobs of virtual machines." },
    { "backup/jobs/metadata", "backup-job", rest_each_record,
      .methods = { "metadataBackup.getAllJobs" }, .leads_to = "backup-jobs",
      .example = "$METADATA_JOB", .summary = "Backup jobs of metadata." },
    { "backup/jobs/mirror", "backup-job", rest_each_record,
      .methods = { "mirrorBackup.getAllJobs" }, .leads_to = "backup-jobs", .example = "$MIRROR_JOB",
      .summary = "Jobs that mirror backup repositories." },
    { "backup-logs", "backup-log", rest_each_backup_log, .one = rest_one_log, .example = "$RUN",
      .summary = "Logs of backup runs." },
    { "backup/logs", "backup-log", rest_each_backup_log, .one = rest_one_log,
      .leads_to = "backup-logs", .example = "$RUN", .summary = "Logs of backup runs." },
    { "restore-logs", "restore-log", rest_each_backup_log, .one = rest_one_log,
      .example = "$RESTORE", .summary = "Logs of restores." },
    { "restore/logs", "restore-log", rest_each_backup_log, .one = rest_one_log,
      .leads_to = "restore-logs", .example = "$RESTORE", .summary = "Logs of restores." },
    { "backup-repositories", "backup-repository", rest_each_record, .methods = { "remote.getAll" },
      .example = "$REPOSITORY", .summary = "Backup repositories." },
    { "backup-archives", "backup-archive", rest_each_archive, .long_ids = true,
      .example = "$BACKUP",
      .summary = "Backups in the repositories that backup-repository names (repeatable)." },
    { "tasks", "task", rest_each_task, .one = rest_one_task, .example = "$TASK",
      .summary = "What lasts: actions and runs." },
    { "proxies", "proxy", rest_each_none, .example = "$PROXY",
      .summary = "Proxies; there are none here." },
};

static const RestCollection own_messages = { "messages", "message", rest_each_own_message,
                                             .summary = "Messages about one object." };
static const RestCollection own_alarms = { "alarms", "alarm", rest_each_own_alarm,
                                           .summary = "Alarms of one object." };
static const RestCollection own_tasks = { "tasks", "task", rest_each_own_task,
                                          .summary = "Tasks about one object." };
static const RestCollection own_vdis = { "vdis", "VDI", rest_each_own_vdi,
                                         .summary = "The disks of one virtual machine." };
static const RestCollection own_snapshot_vdis = { "vdi-snapshots", "VDI-snapshot",
                                                  rest_each_own_vdi,
                                                  .summary = "The disks of one snapshot." };
static const RestCollection own_groups = { "groups", "group", rest_each_own_group,
                                           .summary = "The groups of one user." };
static const RestCollection members = { "users", "user", rest_each_member,
                                        .summary = "The users of one group." };
static const RestCollection own_jobs = { "backup-jobs", "backup-job", rest_each_own_job,
                                         .summary = "The backup jobs of one virtual machine." };

static const RestCollection own_privileges = { "acl-privileges", "acl-privilege",
                                               rest_each_own_privilege,
                                               .summary = "What rules let one user do." };
static const RestCollection own_roles = { "acl-roles", "acl-role", rest_each_own_role,
                                          .summary = "The roles that rules give one group." };
static const RestCollection role_privileges = { "acl-privileges", "acl-privilege",
                                                rest_each_role_privilege,
                                                .summary = "The privileges of one role." };
static const RestCollection role_users = { "users",
                                           "user",
                                           rest_each_role_subject,
                                           .methods = { "user.getAll" },
                                           .adapt = rest_adapt_user,
                                           .summary = "The users who have one role somewhere." };
static const RestCollection role_groups = { "groups",
                                            "group",
                                            rest_each_role_subject,
                                            .methods = { "group.getAll" },
                                            .adapt = rest_adapt_group,
                                            .summary = "The groups that have one role somewhere." };

const RestCollection *rest_collection_find(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(collections); i++)
        if (g_str_equal(collections[i].name, name))
            return &collections[i];
    return NULL;
}

const RestCollection *rest_collection_of_type(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(collections); i++)
        if (collections[i].each == rest_each_object && g_str_equal(collections[i].type, type))
            return &collections[i];
    return NULL;
}

/* --- Lists --- */

static bool add_item(const char *id, const char *text, size_t n, void *user)
{
    return rest_list_add(user, id, text, n);
}

/* Who may see none sees an empty list. */
void rest_list_items(RestRequest *request, const RestCollection *collection)
{
    g_auto(RestQuery) query = { .limit = -1 };
    if (!rest_query_read(request, &query))
        return;
    g_autoptr(GError) error = NULL;
    RestList *list = rest_list_new(request, &query,
                                   collection->leads_to ? collection->leads_to : collection->name);
    if (collection->each(request, collection, add_item, list, &error) ||
        api_error_is(error, API_UNAUTHORIZED)) {
        rest_list_end(list);
        return;
    }
    rest_list_drop(list);
    rest_fail(request, error);
}

static void list_all(RestRequest *request)
{
    rest_list_items(request, request->route->with);
}

/* --- Single items --- */

typedef struct {
    const char *id;
    char *text;
} Wanted;

static bool keep_wanted(const char *id, const char *text, size_t n, void *user)
{
    Wanted *wanted = user;
    if (!g_str_equal(id, wanted->id))
        return true;
    wanted->text = g_strndup(text, n);
    return false;
}

static char *object_text(RestRequest *request, const RestCollection *collection, const char *id,
                         GError **error)
{
    Inventory *inventory = NULL;
    g_autoptr(Link) link = servers_find(request->parts->servers, id, &inventory);
    const char *type = inventory ? inventory_type(inventory, id) : NULL;
    g_autoptr(GBytes) text = type ? inventory_text(inventory, id) : NULL;
    bool shown = text && rest_may_view(request, id, type, text);
    g_clear_pointer(&inventory, inventory_unref);
    if (g_strcmp0(type, collection->type) != 0)
        api_error_no_such(error, id, collection->type);
    else if (!shown)
        api_error_unauthorized(error, "view", id);
    return shown && g_strcmp0(type, collection->type) == 0
               ? g_strndup(g_bytes_get_data(text, NULL), g_bytes_get_size(text))
               : NULL;
}

static char *item_text(RestRequest *request, const RestCollection *collection, GError **error)
{
    const char *id = rest_arg(request, "id");
    if (collection->each == rest_each_object)
        return object_text(request, collection, id, error);
    if (collection->one)
        return collection->one(request, id, error);
    Wanted wanted = { id, NULL };
    GError *failure = NULL;
    if (!collection->each(request, collection, keep_wanted, &wanted, &failure))
        g_propagate_error(error, failure);
    else if (!wanted.text)
        api_error_no_such(error, id, collection->type);
    return wanted.text;
}

static void get_one(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = item_text(request, request->route->with, &error);
    if (text)
        http_reply_text(request->http, 200, "application/json; charset=utf-8", text);
    else
        rest_fail(request, error);
}

bool rest_check_item(RestRequest *request, const RestCollection *collection, GError **error)
{
    g_autofree char *text = item_text(request, collection, error);
    return text != NULL;
}

/* --- Lists below single items --- */

static void list_own(RestRequest *request)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *owner =
        g_strndup(request->route->path, strcspn(request->route->path, "{") - 1);
    if (rest_check_item(request, rest_collection_find(owner), &error))
        rest_list_items(request, request->route->with);
    else
        rest_fail(request, error);
}

static void add_own(RestRouter *router, const char *owner, const char *name,
                    const RestCollection *items)
{
    g_autofree char *path = g_strdup_printf("%s/{id}/%s", owner, name);
    RestRoute route = { "GET",          NULL,  list_own,  items,
                        items->summary, false, REST_LIST, rest_collection_find(owner)->example };
    rest_router_add(router, &route, path);
}

static void add_collection(RestRouter *router, const RestCollection *row)
{
    RestRoute all = { "GET", NULL, list_all, row, row->summary, false, REST_LIST, "limit=2" };
    RestRoute one = { "GET", NULL, get_one, row, row->summary, false, REST_PLAIN, row->example };
    g_autofree char *path = g_strdup_printf("%s/{id%s}", row->name, row->long_ids ? "*" : "");
    if (row->subs && strchr(row->subs, 'A'))
        add_own(router, row->name, "alarms", &own_alarms);
    if (row->subs && strchr(row->subs, 'M'))
        add_own(router, row->name, "messages", &own_messages);
    if (row->subs && strchr(row->subs, 'K'))
        add_own(router, row->name, "tasks", &own_tasks);
    rest_router_add(router, &all, row->name);
    rest_router_add(router, &one, path);
}

void rest_collections_add(RestRouter *router)
{
    add_own(router, "users", "groups", &own_groups);
    add_own(router, "users", "acl-privileges", &own_privileges);
    add_own(router, "groups", "acl-roles", &own_roles);
    add_own(router, "acl-roles", "privileges", &role_privileges);
    add_own(router, "acl-roles", "users", &role_users);
    add_own(router, "acl-roles", "groups", &role_groups);
    add_own(router, "groups", "users", &members);
    add_own(router, "vms", "vdis", &own_vdis);
    add_own(router, "vms", "backup-jobs", &own_jobs);
    add_own(router, "vm-templates", "vdis", &own_vdis);
    add_own(router, "vm-controllers", "vdis", &own_vdis);
    add_own(router, "vm-snapshots", "vdis", &own_snapshot_vdis);
    for (unsigned i = 0; i < G_N_ELEMENTS(collections); i++)
        add_collection(router, &collections[i]);
}
