/* sr.probe*: what there is to make a storage of. The drivers of a pool list by failing: the list is
 * the XML in a refusal's third parameter. Source: XenAPI, SR.probe. */
#include "api/method.h"
#include "api/methods/sr_config.h"
#include "api/objects.h"

#include <string.h>

/* --- The XML of a driver --- */

typedef struct {
    const char *element;        /* of an entry: "Export" */
    const char *const *members; /* pairs: element, member of the result; NULL at the end */
    json_t *list, *entry;
    GString *text;
} Listing;

static void on_start(GMarkupParseContext *context, const char *element, const char **names,
                     const char **values, gpointer user, GError **error)
{
    Listing *listing = user;
    g_string_truncate(listing->text, 0);
    if (g_str_equal(element, listing->element)) {
        json_decref(listing->entry);
        listing->entry = json_object();
    }
}

static void on_text(GMarkupParseContext *context, const char *text, gsize n, gpointer user,
                    GError **error)
{
    g_string_append_len(((Listing *) user)->text, text, (gssize) n);
}

static void on_end(GMarkupParseContext *context, const char *element, gpointer user, GError **error)
{
    Listing *listing = user;
    for (const char *const *member = listing->members; listing->entry && *member; member += 2)
        if (g_str_equal(*member, element))
            json_object_set_new(listing->entry, member[1],
                                json_string(g_strstrip(listing->text->str)));
    if (listing->entry && g_str_equal(element, listing->element)) {
        json_array_append_new(listing->list, listing->entry);
        listing->entry = NULL;
    }
    g_string_truncate(listing->text, 0);
}

/* The entries of the XML, an array; NULL when it is none. */
static json_t *read_listing(const char *xml, const char *element, const char *const *members,
                            GError **error)
{
    static const GMarkupParser parser = { on_start, on_end, on_text, NULL, NULL };
    Listing listing = { element, members, json_array(), NULL, g_string_new(NULL) };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &listing, NULL);
    g_autoptr(GError) failure = NULL;
    bool ok = g_markup_parse_context_parse(context, xml, -1, &failure) &&
              g_markup_parse_context_end_parse(context, &failure);
    g_markup_parse_context_free(context);
    json_decref(listing.entry);
    g_string_free(listing.text, TRUE);
    if (ok)
        return listing.list;
    json_decref(listing.list);
    err_set(error, ERR_PROTOCOL, "the host answered the probe with what is no list: %s",
            failure->message);
    return NULL;
}

/* --- Probing --- */

/* What one probe is. */
typedef struct {
    const char *method, *type;
    const SrKey *keys;
    const char *failure; /* whose third parameter is the list; NULL: the answer itself is it */
    const char *element, *members[18];
} Probe;

static const SrKey nfs_server[] = { { "server", "server" },
                                    { "nfsVersion", "nfsversion" },
                                    { NULL } };
static const SrKey none[] = { { NULL } };

/* No target answers: the list is empty. */
#define NOBODY "SR_BACKEND_FAILURE_141"

static const Probe probes[] = {
    { "sr.probeNfs",
      "nfs",
      nfs_server,
      "SR_BACKEND_FAILURE_101",
      "Export",
      { "Path", "path", "Accesslist", "acl" } },
    { "sr.probeNfsExists", "nfs", sr_keys_nfs, NULL, "SR", { "UUID", "uuid" } },
    { "sr.probeIscsiIqns",
      "lvmoiscsi",
      sr_keys_iscsi,
      "SR_BACKEND_FAILURE_96",
      "TGT",
      { "TargetIQN", "iqn", "IPAddress", "ip" } },
    { "sr.probeIscsiLuns",
      "lvmoiscsi",
      sr_keys_iscsi,
      "SR_BACKEND_FAILURE_107",
      "LUN",
      { "LUNid", "id", "vendor", "vendor", "serial", "serial", "size", "size", "SCSIid",
        "scsiId" } },
    { "sr.probeIscsiExists", "lvmoiscsi", sr_keys_iscsi, NULL, "SR", { "UUID", "uuid" } },
    { "sr.probeHba",
      "lvmohba",
      none,
      "SR_BACKEND_FAILURE_107",
      "BlockDevice",
      { "hba", "hba", "id", "id", "lun", "lun", "path", "path", "SCSIid", "scsiId", "serial",
        "serial", "size", "size", "vendor", "vendor" } },
    { "sr.probeHbaExists", "lvmohba", sr_keys_hba, NULL, "SR", { "UUID", "uuid" } },
};

/* The text with the list; NULL with an error, or without one when there is nothing. */
static char *listing_of(const Probe *probe, ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    g_autoptr(GError) failure = NULL;
    g_autofree char *text = xapi_call_string(
        api_object_xapi(host), "SR.probe",
        json_pack("[s, o, s, {}]", host->ref, sr_config(call, probe->keys), probe->type), &failure);
    const char *const *detail = failure ? err_detail(failure) : NULL;
    if (text && !probe->failure)
        return g_steal_pointer(&text);
    if (failure && probe->failure && g_str_equal(err_xapi_code(failure), probe->failure) &&
        g_strv_length((char **) detail) > 3)
        return g_strdup(detail[3]);
    if (failure && !g_str_equal(err_xapi_code(failure), NOBODY))
        g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

static json_t *probe_storage(ApiCall *call, GError **error)
{
    const Probe *probe = probes;
    while (!g_str_equal(probe->method, call_name(call)))
        probe++;
    g_autoptr(GError) failure = NULL;
    g_autofree char *text = listing_of(probe, call, &failure);
    if (text)
        return read_listing(text, probe->element, probe->members, error);
    if (!failure)
        return json_array();
    g_propagate_error(error, g_steal_pointer(&failure));
    return NULL;
}

/* --- sr.probeZfs --- */

static bool is_without(const GError *failure)
{
    const char *const codes[] = { "XENAPI_MISSING_PLUGIN", "UNKNOWN_XENAPI_PLUGIN_FUNCTION", NULL };
    return g_strv_contains(codes, err_xapi_code(failure));
}

/* {pool: {mountpoint}}; nothing on hosts that know no ZFS. */
static json_t *probe_zfs(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    g_autoptr(GError) failure = NULL;
    g_autofree char *text = xapi_call_string(
        api_object_xapi(host), "host.call_plugin",
        json_pack("[s, s, s, {}]", host->ref, "zfs.py", "list_zfs_pools"), &failure);
    json_t *pools = text ? json_loads(text, 0, NULL) : NULL;
    if (pools)
        return pools;
    if (failure && is_without(failure))
        return json_object();
    if (failure)
        g_propagate_error(error, g_steal_pointer(&failure));
    else
        err_set(error, ERR_PROTOCOL, "host %s answered its list of ZFS pools with what is no JSON",
                api_object_text(host, "name_label"));
    return NULL;
}

#define HOST REQ(ID("host", "host", "administrate"))
#define ISCSI                                                                                      \
    REQ(STR("target")), OPT(INT("port")), OPT(STR("chapUser")), OPT(SECRET("chapPassword"))
#define PROBE(name, params, words, shown)                                                          \
    {                                                                                              \
        name, probe_storage, params, .access = ACCESS_USER, .long_running = true,                  \
                                     .example = "host=$HOST" shown, .summary = words               \
    }

const Method methods_sr_probe[] = {
    PROBE("sr.probeNfs", PARAMS(HOST, REQ(STR("server")), OPT(STR("nfsVersion"))),
          "The folders that a file server exports.", " server=nas"),
    PROBE("sr.probeNfsExists",
          PARAMS(HOST, REQ(STR("server")), REQ(STR("serverPath")), OPT(STR("nfsVersion"))),
          "The storages that lie in a folder of a file server.",
          " server=nas serverPath=/exports/one"),
    PROBE("sr.probeIscsiIqns", PARAMS(HOST, ISCSI), "The targets of a disk array.",
          " target=10.0.0.9"),
    PROBE("sr.probeIscsiLuns", PARAMS(HOST, ISCSI, REQ(STR("targetIqn"))), "The disks of a target.",
          " target=10.0.0.9 targetIqn=iqn.2026-01.org.example:open"),
    PROBE("sr.probeIscsiExists", PARAMS(HOST, ISCSI, REQ(STR("targetIqn")), REQ(STR("scsiId"))),
          "The storages that lie on a disk of a target.",
          " target=10.0.0.9 targetIqn=iqn.2026-01.org.example:open scsiId=36001405aaaa1"),
    PROBE("sr.probeHba", PARAMS(HOST), "The disks behind a host's bus adapters.", ""),
    PROBE("sr.probeHbaExists", PARAMS(HOST, REQ(STR("scsiId"))),
          "The storages that lie on a disk behind a bus adapter.", " scsiId=36001405bbbb1"),
    { "sr.probeZfs", probe_zfs, PARAMS(HOST), .access = ACCESS_USER, .long_running = true,
      .example = "host=$HOST", .summary = "The ZFS pools of a host." },
    { NULL },
};
