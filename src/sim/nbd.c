/* VDI.get_nbd_info, and the service behind it. */
#include "sim/nbd_parts.h"

#include "base/log.h"
#include "sim/storage_disk.h"

#include <glib/gstdio.h>
#include <string.h>

struct Nbd {
    char *folder, *path;
    NbdSocket *socket;
    NbdChildren *children;
};

Nbd *sim_nbd_new(Sim *sim, GError **error)
{
    g_autofree char *folder = g_dir_make_tmp("cadenza-sim-XXXXXX", error);
    if (!folder)
        return NULL;
    g_autofree char *path = g_build_filename(folder, "nbd", NULL);
    NbdSocket *socket = nbd_socket_new(sim, path, error);
    if (!socket) {
        g_rmdir(folder);
        return NULL;
    }
    Nbd *nbd = g_new0(Nbd, 1);
    nbd->socket = socket;
    nbd->children = nbd_children_new(sim, folder, path);
    nbd->folder = g_steal_pointer(&folder);
    nbd->path = g_steal_pointer(&path);
    return nbd;
}

void sim_nbd_free(Nbd *nbd)
{
    static const char *const names[] = { "nbd", "server-cert.pem", "server-key.pem",
                                         "ca-cert.pem" };
    if (!nbd)
        return;
    nbd_children_free(nbd->children);
    nbd_socket_free(nbd->socket);
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(nbd->folder, names[i], NULL);
        g_unlink(path);
    }
    g_rmdir(nbd->folder);
    g_free(nbd->folder);
    g_free(nbd->path);
    g_free(nbd);
}

guint16 sim_nbd_serve(Nbd *nbd, const char *address, bool tls, GError **error)
{
    return nbd_children_serve(nbd->children, address, tls, error);
}

const char *sim_nbd_cert_file(const Nbd *nbd)
{
    return nbd_children_cert_file(nbd->children);
}

/* --- The call --- */

/* Whether any network of the pool serves NBD, and how; both at once are refused, as by a host. */
static bool choose_mode(Sim *sim, bool *tls)
{
    bool secure = false, insecure = false;
    for (Obj *network = obj_first(sim, "network"); network; network = obj_next(network)) {
        secure |= obj_set_has(network, "purpose", "nbd");
        insecure |= obj_set_has(network, "purpose", "insecure_nbd");
    }
    *tls = secure;
    return secure != insecure;
}

static bool host_has_sr(const Obj *host, const char *sr)
{
    for (guint i = 0; i < obj_set_size(host, "PBDs"); i++) {
        const Obj *pbd = obj_follow_nth(host, "PBDs", i);
        if (pbd && obj_bool(pbd, "currently_attached") && strcmp(obj_str(pbd, "SR"), sr) == 0)
            return true;
    }
    return false;
}

/* The addresses under which the disks of an SR are served; with the lock. */
static GPtrArray *addresses_of(Sim *sim, const char *sr, bool tls)
{
    const char *purpose = tls ? "nbd" : "insecure_nbd";
    GPtrArray *addresses = g_ptr_array_new_with_free_func(g_free);
    for (Obj *pif = obj_first(sim, "PIF"); pif; pif = obj_next(pif)) {
        const Obj *network = obj_follow(pif, "network"), *host = obj_follow(pif, "host");
        if (network && host && obj_set_has(network, "purpose", purpose) && *obj_str(pif, "IP") &&
            obj_bool(pif, "currently_attached") && host_has_sr(host, sr))
            g_ptr_array_add(addresses, g_strdup(obj_str(pif, "IP")));
    }
    return addresses;
}

/* Without the lock. */
static json_t *serve_all(Nbd *nbd, const GPtrArray *addresses, bool tls, const char *export_name)
{
    json_t *infos = json_array();
    for (guint i = 0; i < addresses->len; i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *cert = NULL;
        guint16 port = sim_nbd_serve(nbd, addresses->pdata[i], tls, &error);
        if (!port) {
            log_warning("sim", "%s", error->message);
            continue;
        }
        if (tls)
            g_file_get_contents(sim_nbd_cert_file(nbd), &cert, NULL, NULL);
        json_array_append_new(infos,
                              json_pack("{ss ss si ss ss}", "exportname", export_name, "address",
                                        (const char *) addresses->pdata[i], "port", (int) port,
                                        "cert", cert ? cert : "", "subject",
                                        tls ? (const char *) addresses->pdata[i] : ""));
    }
    return infos;
}

static json_t *vdi_get_nbd_info(Call *call, GError **error)
{
    Sim *sim = call_sim(call);
    const Obj *vdi = call_obj(call, 0, "VDI", error);
    if (!vdi || !storage_disk_with_data(sim, obj_ref(vdi), error))
        return NULL;
    bool tls;
    if (!choose_mode(sim, &tls))
        return json_array();
    Nbd *nbd = sim_nbd(sim, error);
    if (!nbd)
        return NULL;
    g_autoptr(GPtrArray) addresses = addresses_of(sim, obj_str(vdi, "SR"), tls);
    g_autofree char *name = g_strdup_printf("/%s?session_id=%s", obj_uuid(vdi), call_session(call));
    sim_unlock(sim);
    json_t *infos = serve_all(nbd, addresses, tls, name);
    sim_lock(sim);
    return infos;
}

const Method nbd_methods[] = {
    { "VDI.get_nbd_info", vdi_get_nbd_info },
    { NULL, NULL },
};
