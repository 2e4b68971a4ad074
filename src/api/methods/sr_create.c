/* sr.create*: storages of all kinds, new ones or, with srUuid, one that lies there already. */
#include "api/method.h"
#include "api/methods/sr_config.h"
#include "api/objects.h"

#include <string.h>

typedef struct {
    const char *method, *type;
    const SrKey *keys;
    bool shared;
} Kind;

static const Kind kinds[] = {
    { "sr.createNfs", "nfs", sr_keys_nfs, true },
    { "sr.createSmb", "smb", sr_keys_smb, true },
    { "sr.createIscsi", "lvmoiscsi", sr_keys_iscsi, true },
    { "sr.createHba", "lvmohba", sr_keys_hba, true },
    { "sr.createLvm", "lvm", sr_keys_device, false },
    { "sr.createExt", "ext", sr_keys_device, false },
    { "sr.createZfs", "zfs", sr_keys_location, false },
};

/* --- A new one --- */

static char *create_sr(ApiCall *call, const Kind *kind, const char *content, json_t *config,
                       GError **error)
{
    const ApiObject *host = call_object(call, "host");
    return api_object_task(host, "SR.create",
                           json_pack("[s, O, i, s, s, s, s, b, {}]", host->ref, config, 0,
                                     call_string(call, "nameLabel"),
                                     call_string(call, "nameDescription"), kind->type, content,
                                     kind->shared),
                           error);
}

/* --- One that lies there --- */

static bool attach(Xapi *xapi, const char *sr, json_t *host, json_t *config, GError **error)
{
    g_autofree char *pbd =
        xapi_call_string(xapi, "PBD.create",
                         json_pack("[{s:s, s:O, s:O, s:{}}]", "SR", sr, "host", host,
                                   "device_config", config, "other_config"),
                         error);
    return pbd && xapi_do(xapi, "PBD.plug", json_pack("[s]", pbd), error);
}

/* Nothing stays of one that could not be attached; what lies there is not touched. */
static void give_up(Xapi *xapi, const char *sr)
{
    size_t i;
    json_t *pbds = xapi_call(xapi, "SR.get_PBDs", json_pack("[s]", sr), NULL), *pbd;
    json_array_foreach (pbds, i, pbd)
        xapi_do(xapi, "PBD.unplug", json_pack("[O]", pbd), NULL);
    json_decref(pbds);
    xapi_do(xapi, "SR.forget", json_pack("[s]", sr), NULL);
}

static json_t *hosts_of(ApiCall *call, const Kind *kind, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    return kind->shared ? xapi_call(api_object_xapi(host), "host.get_all", NULL, error)
                        : json_pack("[s]", host->ref);
}

static char *reattach(ApiCall *call, const Kind *kind, const char *content, json_t *config,
                      GError **error)
{
    Xapi *xapi = api_object_xapi(call_object(call, "host"));
    json_t *hosts = hosts_of(call, kind, error), *host;
    g_autofree char *sr =
        hosts ? xapi_call_string(xapi, "SR.introduce",
                                 json_pack("[s, s, s, s, s, b, {}]", call_string(call, "srUuid"),
                                           call_string(call, "nameLabel"),
                                           call_string(call, "nameDescription"), kind->type,
                                           content, kind->shared),
                                 error)
              : NULL;
    size_t i;
    bool ok = sr != NULL;
    json_array_foreach (hosts, i, host)
        ok = ok && attach(xapi, sr, host, config, error);
    json_decref(hosts);
    if (sr && !ok)
        give_up(xapi, sr);
    return ok ? g_steal_pointer(&sr) : NULL;
}

/* --- All of them --- */

/* The reference of `config` is taken. */
static json_t *make(ApiCall *call, const Kind *kind, const char *content, json_t *config,
                    GError **error)
{
    const ApiObject *host = call_object(call, "host");
    g_autofree char *ref = call_get(call, "srUuid") ? reattach(call, kind, content, config, error)
                                                    : create_sr(call, kind, content, config, error);
    json_decref(config);
    if (!ref)
        return NULL;
    xapi_do(api_object_xapi(host), "SR.add_to_other_config",
            json_pack("[s, s, s]", ref, "auto-scan", "true"), NULL);
    return api_object_made(host, "SR", ref, error);
}

static json_t *create(ApiCall *call, GError **error)
{
    const Kind *kind = kinds;
    while (!g_str_equal(kind->method, call_name(call)))
        kind++;
    json_t *config = sr_config(call, kind->keys);
    const char *format = call_string(call, "preferredImageFormat");
    if (format)
        json_object_set_new(config, "preferred-image-formats", json_string(format));
    return make(call, kind, "user", config, error);
}

/* --- sr.createIso --- */

/* A folder of a host, of a file server, or a share: "\\server\share". */
static json_t *iso_config(ApiCall *call)
{
    const char *type = call_string(call, "type");
    g_autofree char *path = g_strdup(call_string(call, "path"));
    static const SrKey nfs[] = { { "nfsVersion", "nfsversion" },
                                 { "nfsOptions", "options" },
                                 { NULL } };
    static const SrKey smb[] = { { "user", "username" }, { "password", "cifspassword" }, { NULL } };
    static const SrKey local[] = { { NULL } };
    bool is_smb = g_str_equal(type, "smb"), is_local = g_str_equal(type, "local");
    json_t *config = sr_config(call, is_smb ? smb : is_local ? local : nfs);
    if (is_smb) {
        g_strdelimit(path, "\\", '/');
        json_object_set_new(config, "type", json_string("cifs"));
    }
    if (is_local)
        json_object_set_new(config, "legacy_mode", json_string("true"));
    json_object_set_new(config, "location", json_string(path));
    return config;
}

static json_t *create_iso(ApiCall *call, GError **error)
{
    Kind kind = { call_name(call), "iso", NULL, !g_str_equal(call_string(call, "type"), "local") };
    return make(call, &kind, "iso", iso_config(call), error);
}

/* --- sr.create --- */

/* What all hosts can reach: file servers, disk arrays, and libraries that are no folder of a host.
 */
static bool is_shared(const char *type, json_t *config)
{
    static const char *const shared[] = { "nfs",     "smb",       "lvmoiscsi", "lvmohba", "cephfs",
                                          "moosefs", "glusterfs", "linstor",   NULL };
    return g_strv_contains(shared, type) ||
           (g_str_equal(type, "iso") && !json_object_get(config, "legacy_mode"));
}

static bool check_config(json_t *config, GError **error)
{
    const char *key;
    json_t *value;
    json_object_foreach (config, key, value)
        if (!json_is_string(value)) {
            api_error_invalid(error, "device_config: %s must be a text", key);
            return false;
        }
    return true;
}

static json_t *create_any(ApiCall *call, GError **error)
{
    const ApiObject *host = call_object(call, "host");
    json_t *config = call_get(call, "device_config");
    const char *type = call_string(call, "SR_type");
    if (!check_config(config, error))
        return NULL;
    g_autofree char *ref = api_object_task(
        host, "SR.create",
        json_pack("[s, O, I, O, O, s, s, b, {}]", host->ref, config,
                  (json_int_t) call_integer(call, "size"), call_get(call, "name_label"),
                  call_get(call, "name_description"), type,
                  g_str_equal(type, "iso") ? "iso" : "user", is_shared(type, config)),
        error);
    return ref ? api_object_made(host, "SR", ref, error) : NULL;
}

#define NAMED                                                                                      \
    REQ(ID("host", "host", "administrate")), REQ(STR("nameLabel")), REQ(STR0("nameDescription"))
#define EXISTING OPT(STR("srUuid"), .words = "attaches the storage that lies there")
#define LOGIN    OPT(STR0("user")), OPT(STR0("password"), .secret = true)
#define FORMAT   OPT(STR("preferredImageFormat"))
#define CREATE(name, params, words, shown)                                                         \
    {                                                                                              \
        name, create, params, .access = ACCESS_USER, .long_running = true,                         \
                              .example = "host=$HOST nameLabel=new nameDescription=made " shown,   \
                              .summary = words                                                     \
    }

const Method methods_sr_create[] = {
    CREATE("sr.createNfs",
           PARAMS(NAMED, REQ(STR("server")), REQ(STR("serverPath")), OPT(STR0("nfsVersion")),
                  OPT(STR0("nfsOptions")), EXISTING, FORMAT),
           "Make a storage in a folder of a file server.", "server=nas serverPath=/exports/one"),
    CREATE("sr.createSmb", PARAMS(NAMED, REQ(STR("server")), LOGIN, EXISTING, FORMAT),
           "Make a storage in a share of a file server.",
           "server='\\\\nas\\share' user=me password=secret"),
    CREATE("sr.createIscsi",
           PARAMS(NAMED, REQ(STR("target")), OPT(INT("port")), REQ(STR("targetIqn")),
                  REQ(STR("scsiId")), OPT(STR("chapUser")), OPT(SECRET("chapPassword")), EXISTING),
           "Make a storage on a disk of a disk array.",
           "target=10.0.0.9 targetIqn=iqn.2026-01.org.example:open scsiId=36001405aaaa1"),
    CREATE("sr.createHba", PARAMS(NAMED, REQ(STR("scsiId")), EXISTING),
           "Make a storage on a disk behind a bus adapter.", "scsiId=36001405bbbb1"),
    CREATE("sr.createLvm", PARAMS(NAMED, REQ(STR("device")), EXISTING),
           "Make a storage of volumes on a disk of a host.", "device=/dev/sde"),
    CREATE("sr.createExt", PARAMS(NAMED, REQ(STR("device")), EXISTING, FORMAT),
           "Make a storage of files on a disk of a host.", "device=/dev/sde"),
    CREATE("sr.createZfs", PARAMS(NAMED, REQ(STR("location")), EXISTING),
           "Make a storage in a ZFS pool of a host.", "location=/tank"),
    { "sr.create", create_any,
      PARAMS(REQ(ID("host", "host", "administrate")), REQ(STR("SR_type")), REQ(STR("name_label")),
             DEF("\"\"", STR0("name_description")),
             REQ(OBJ("device_config"), .secret = true, .words = "in the driver's own words"),
             DEF("0", INT("size"), .words = "bytes, of the drivers that want to be told")),
      .access = ACCESS_USER, .long_running = true,
      .example = "host=$HOST SR_type=nfs name_label=new "
                 "device_config=json:'{\"server\":\"nas\",\"serverpath\":\"/exports/one\"}'",
      .summary = "Make a storage of any type, in the words of the pool." },
    { "sr.createIso", create_iso,
      PARAMS(NAMED, REQ(STR("path")), REQ(CHOICE("type", "local|nfs|smb")), LOGIN,
             OPT(STR0("nfsVersion")), OPT(STR0("nfsOptions")), EXISTING),
      .access = ACCESS_USER, .long_running = true,
      .example = "host=$HOST nameLabel=isos nameDescription=images type=nfs path=nas:/isos",
      .summary = "Make a library of ISO images of a folder or a share." },
    { NULL },
};
