/* File servers and disk arrays as the drivers of a host see them: what they offer, what lies on
 * them, and how a driver words it. Source: the drivers' probes, which answer by failing. */
#include "sim/arrays.h"
#include "sim/inner.h"
#include "sim/storage_disk.h"

#include <string.h>

struct Arrays {
    GHashTable *places; /* uuid of an SR → where it lies, "nfs 10.0.0.1 /exports/one" */
};

Arrays *arrays_new(void)
{
    Arrays *arrays = g_new0(Arrays, 1);
    arrays->places = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    return arrays;
}

void arrays_free(Arrays *arrays)
{
    g_hash_table_unref(arrays->places);
    g_free(arrays);
}

static const char *value_of(json_t *config, const char *key)
{
    const char *text = json_string_value(json_object_get(config, key));
    return text == NULL ? "" : text;
}

/* --- Types --- */

/* What a driver must be told, in the order in which it asks; the last says where the storage lies.
 */
static const struct {
    const char *type, *keys[3];
    guint no_answer; /* the failure when the first one, a server, does not answer; 0: it is none */
    bool exclusive;  /* one storage takes all of the device */
} kinds[] = {
    { "nfs", { "server", "serverpath" }, 73, false },
    { "smb", { "server" }, 111, false },
    { "lvmoiscsi", { "target", "targetIQN", "SCSIid" }, 141, true },
    { "lvmohba", { "SCSIid" }, 0, true },
    { "ext", { "device" }, 0, true },
    { "lvm", { "device" }, 0, true },
    { "zfs", { "location" }, 0, false },
    { "file", { "location" }, 0, false },
    { "iso", { "location" }, 222, false },
    { "udev", { "location" }, 0, false },
};

static int kind_of(const char *type)
{
    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++)
        if (strcmp(kinds[i].type, type) == 0)
            return (int) i;
    return -1;
}

static guint n_keys(int kind)
{
    guint n = 0;
    while (n < G_N_ELEMENTS(kinds[kind].keys) && kinds[kind].keys[n] != NULL)
        n++;
    return n;
}

/* "nas.invalid", "nas.invalid:/isos", "\\nas.invalid\isos". */
static bool is_silent(const char *server)
{
    return strstr(server, ".invalid") != NULL;
}

/* One of the two disks of every array wants a login. */
static const char *const iqns[] = { "iqn.2026-01.org.example:open",
                                    "iqn.2026-01.org.example:chap" };

static bool login_check(json_t *config, GError **error)
{
    const char *iqn = value_of(config, "targetIQN");
    bool known = strcmp(iqn, iqns[0]) == 0;
    if (strcmp(iqn, iqns[1]) == 0)
        known = strcmp(value_of(config, "chapuser"), "someone") == 0 &&
                strcmp(value_of(config, "chappassword"), "chap-secret") == 0;
    if (!known)
        storage_backend_error(error, 68, "ISCSI login failed, verify CHAP credentials");
    return known;
}

/* The first `n` parameters are there and the server answers to them. */
static bool check_first(int kind, json_t *config, guint n, GError **error)
{
    guint i = 0;
    for (; i < n && *value_of(config, kinds[kind].keys[i]) != '\0'; i++)
        ;
    if (i < n) {
        g_autofree char *text =
            g_strdup_printf("The request is missing the %s parameter", kinds[kind].keys[i]);
        storage_backend_error(error, 37, text);
        return false;
    }
    if (n > 0 && kinds[kind].no_answer && is_silent(value_of(config, kinds[kind].keys[0]))) {
        storage_backend_error(error, kinds[kind].no_answer, "The server does not answer");
        return false;
    }
    return strcmp(kinds[kind].type, "lvmoiscsi") != 0 || n < 2 || login_check(config, error);
}

bool arrays_check(const char *type, json_t *config, GError **error)
{
    int kind = kind_of(type);
    return kind < 0 || check_first(kind, config, n_keys(kind), error);
}

/* --- What lies there --- */

static char *place_of(const char *type, json_t *config)
{
    int kind = kind_of(type);
    GString *place = g_string_new(type);
    for (guint i = 0; kind >= 0 && i < n_keys(kind); i++)
        g_string_append_printf(place, " %s", value_of(config, kinds[kind].keys[i]));
    return g_string_free(place, FALSE);
}

bool arrays_check_new(Sim *sim, const char *type, json_t *config, GError **error)
{
    int kind = kind_of(type);
    if (!arrays_check(type, config, error))
        return false;
    g_autofree char *place = place_of(type, config);
    GHashTableIter iter;
    gpointer uuid, taken;
    g_hash_table_iter_init(&iter, sim_arrays(sim)->places);
    while (kind >= 0 && kinds[kind].exclusive && g_hash_table_iter_next(&iter, &uuid, &taken))
        if (strcmp(taken, place) == 0 && obj_find_uuid(sim, "SR", uuid) != NULL) {
            sim_error(error, "SR_DEVICE_IN_USE", NULL);
            return false;
        }
    return true;
}

void arrays_put(Sim *sim, const Obj *sr, json_t *config)
{
    g_hash_table_replace(sim_arrays(sim)->places, g_strdup(obj_uuid(sr)),
                         place_of(obj_str(sr, "type"), config));
}

void arrays_wipe(Sim *sim, const char *uuid)
{
    g_hash_table_remove(sim_arrays(sim)->places, uuid);
}

/* --- Probes --- */

static json_t *list_storages(Sim *sim, const char *type, json_t *config)
{
    g_autofree char *place = place_of(type, config);
    GString *xml = g_string_new("<?xml version=\"1.0\" ?>\n<SRlist>\n");
    GHashTableIter iter;
    gpointer uuid, at;
    g_hash_table_iter_init(&iter, sim_arrays(sim)->places);
    while (g_hash_table_iter_next(&iter, &uuid, &at))
        if (strcmp(at, place) == 0)
            g_string_append_printf(xml, "\t<SR>\n\t\t<UUID>\n\t\t\t%s\n\t\t</UUID>\n\t</SR>\n",
                                   (const char *) uuid);
    g_string_append(xml, "</SRlist>\n");
    json_t *text = json_string(xml->str);
    g_string_free(xml, TRUE);
    return text;
}

/* A probe that lists fails, with the list as its third parameter. */
static json_t *list_by_failing(GError **error, const char *code, const char *text, const char *xml)
{
    g_autofree char *page = g_strdup_printf("<?xml version=\"1.0\" ?>\n%s\n", xml);
    sim_error(error, code, "", text, page, NULL);
    return NULL;
}

static json_t *list_exports(GError **error)
{
    return list_by_failing(error, "SR_BACKEND_FAILURE_101",
                           "The request is missing the serverpath parameter",
                           "<nfs-exports>"
                           "<Export><Target>nas</Target><Path>/exports/one</Path>"
                           "<Accesslist>*</Accesslist></Export>"
                           "<Export><Target>nas</Target><Path>/exports/two &amp; more</Path>"
                           "<Accesslist>10.0.0.0/8</Accesslist></Export></nfs-exports>");
}

static json_t *list_iqns(json_t *config, GError **error)
{
    g_autoptr(GString) xml = g_string_new("<iscsi-target-iqns>");
    for (guint i = 0; i < G_N_ELEMENTS(iqns); i++)
        g_string_append_printf(xml,
                               "<TGT><Index>%u</Index><IPAddress>%s</IPAddress>"
                               "<TargetIQN>%s</TargetIQN></TGT>",
                               i, value_of(config, "target"), iqns[i]);
    g_string_append(xml, "</iscsi-target-iqns>");
    return list_by_failing(error, "SR_BACKEND_FAILURE_96",
                           "The request is missing or has an incorrect target IQN parameter",
                           xml->str);
}

static json_t *list_luns(GError **error)
{
    return list_by_failing(error, "SR_BACKEND_FAILURE_107",
                           "The SCSIid parameter is missing or incorrect",
                           "<iscsi-target>"
                           "<LUN><vendor>SIM</vendor><serial>one</serial><LUNid>0</LUNid>"
                           "<size>107374182400</size><SCSIid>36001405aaaa1</SCSIid></LUN>"
                           "<LUN><vendor>SIM</vendor><serial>two</serial><LUNid>1</LUNid>"
                           "<size>214748364800</size><SCSIid>36001405aaaa2</SCSIid></LUN>"
                           "</iscsi-target>");
}

static json_t *list_hba(GError **error)
{
    return list_by_failing(error, "SR_BACKEND_FAILURE_107",
                           "The SCSIid parameter is missing or incorrect",
                           "<Devlist><BlockDevice><hba>qla2xxx</hba><id>0</id><lun>0</lun>"
                           "<path>/dev/disk/by-scsibus/36001405bbbb1-0:0:0:0</path>"
                           "<SCSIid>36001405bbbb1</SCSIid><serial>three</serial>"
                           "<size>322122547200</size><vendor>SIM</vendor></BlockDevice></Devlist>");
}

json_t *arrays_probe(Sim *sim, const char *type, json_t *config, GError **error)
{
    int kind = kind_of(type);
    if (kind < 0 || strcmp(type, "iso") == 0 || strcmp(type, "udev") == 0) {
        sim_error(error, "UNIMPLEMENTED_IN_SM_BACKEND", "SR.probe", NULL);
        return NULL;
    }
    guint known = 0;
    while (known < n_keys(kind) && *value_of(config, kinds[kind].keys[known]) != '\0')
        known++;
    bool lists = kinds[kind].no_answer ? known > 0 : strcmp(type, "lvmohba") == 0;
    if (!check_first(kind, config, lists ? known : n_keys(kind), error))
        return NULL;
    if (known == n_keys(kind))
        return list_storages(sim, type, config);
    if (strcmp(type, "nfs") == 0)
        return list_exports(error);
    if (strcmp(type, "lvmohba") == 0)
        return list_hba(error);
    return known == 1 ? list_iqns(config, error) : list_luns(error);
}
