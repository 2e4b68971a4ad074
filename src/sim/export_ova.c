/* Which objects go along, and which fields are not told as they are. */
#include "sim/export_ova.h"

#include "sim/inner.h"

#include <string.h>

typedef struct {
    GPtrArray *objects;  /* Obj, in the order in which they are written */
    GHashTable *numbers; /* ref to number + 1 */
    bool metadata;
    Wire *wire;
} Packer;

static void disk_clear(gpointer data)
{
    OvaDisk *disk = data;
    g_free(disk->id);
    g_free(disk->vdi);
}

/* --- What goes along --- */

static void add(Packer *packer, Obj *obj)
{
    if (!obj || g_hash_table_contains(packer->numbers, obj_ref(obj)))
        return;
    g_ptr_array_add(packer->objects, obj);
    g_hash_table_insert(packer->numbers, (char *) obj_ref(obj),
                        GUINT_TO_POINTER(packer->objects->len));
}

/* Of every object of a class so far, what a field of it names. */
static void add_followed(Packer *packer, const char *cls, const char *field)
{
    for (guint i = 0; i < packer->objects->len; i++) {
        Obj *obj = packer->objects->pdata[i];
        if (strcmp(obj_class(obj), cls) == 0)
            add(packer, obj_follow(obj, field));
    }
}

static void add_sets(Packer *packer, const char *field)
{
    for (guint i = 0; i < packer->objects->len; i++) {
        Obj *obj = packer->objects->pdata[i];
        if (strcmp(obj_class(obj), "VM") != 0)
            continue;
        for (guint j = 0; j < obj_set_size(obj, field); j++)
            add(packer, obj_follow_nth(obj, field, j));
    }
}

static void collect(Packer *packer, Obj *vm, bool snapshots)
{
    add(packer, obj_follow(vm, "affinity"));
    add(packer, vm);
    for (guint i = 0; snapshots && i < obj_set_size(vm, "snapshots"); i++)
        add(packer, obj_follow_nth(vm, "snapshots", i));
    add_followed(packer, "VM", "metrics");
    add_followed(packer, "VM", "guest_metrics");
    add_sets(packer, "VBDs");
    add_sets(packer, "VIFs");
    add_followed(packer, "VIF", "network");
    add_followed(packer, "VBD", "VDI");
    add_followed(packer, "VM", "suspend_VDI");
    add_followed(packer, "VDI", "SR");
}

/* --- Records --- */

/* Of an archive that is no mere metadata, whatever the class. */
static const struct {
    const char *cls, *field, *text; /* cls "": any; text NULL: empty; "0", "1": a boolean */
} fixed[] = {
    { "VM", "power_state", "Halted" },
    { "VM", "is_a_snapshot", "0" },
    { "VM", "snapshot_of", REF_NULL },
    { "VM", "parent", REF_NULL },
    { "VM", "snapshots", NULL },
    { "VM", "children", NULL },
    { "VM", "snapshot_info", NULL },
    { "VM", "resident_on", REF_NULL },
    { "VM", "consoles", NULL },
    { "VM", "crash_dumps", NULL },
    { "VM", "blobs", NULL },
    { "VBD", "currently_attached", "0" },
    { "VIF", "currently_attached", "0" },
    { "VDI", "snapshots", NULL },
    { "", "allowed_operations", NULL },
    { "", "current_operations", NULL },
};

static void write_ref(Packer *packer, const char *ref)
{
    char text[32] = REF_NULL;
    guint number = GPOINTER_TO_UINT(g_hash_table_lookup(packer->numbers, ref));
    if (number)
        g_snprintf(text, sizeof text, "Ref:%u", number - 1);
    wire_text_value(packer->wire, text);
}

/* References of objects that do not go along are left out. */
static void write_refs(Packer *packer, const Obj *obj, const char *field)
{
    wire_open_list(packer->wire);
    for (guint i = 0; i < obj_set_size(obj, field); i++)
        if (g_hash_table_contains(packer->numbers, obj_set_nth(obj, field, i)))
            write_ref(packer, obj_set_nth(obj, field, i));
    wire_close(packer->wire);
}

static void write_empty(Packer *packer, const Field *field)
{
    field->kind == SLOT_MAP ? wire_open_map(packer->wire) : wire_open_list(packer->wire);
    wire_close(packer->wire);
}

static bool write_fixed(Packer *packer, const Obj *obj, const Field *field)
{
    for (guint i = 0; !packer->metadata && i < G_N_ELEMENTS(fixed); i++) {
        if (strcmp(fixed[i].field, field->name) != 0 ||
            (*fixed[i].cls && strcmp(fixed[i].cls, obj_class(obj)) != 0))
            continue;
        if (!fixed[i].text)
            write_empty(packer, field);
        else if (field->kind == SLOT_BOOL)
            wire_bool(packer->wire, *fixed[i].text == '1');
        else
            wire_text_value(packer->wire, fixed[i].text);
        return true;
    }
    if (packer->metadata || strcmp(field->name, "snapshot_time") != 0)
        return false;
    wire_date(packer->wire, 0);
    return true;
}

static void write_field(Packer *packer, const Obj *obj, guint i)
{
    const Field *field = &obj_table(obj)->fields[i];
    wire_key(packer->wire, field->name);
    if (write_fixed(packer, obj, field))
        return;
    if (field->is_ref)
        write_ref(packer, obj_str(obj, field->name));
    else if (g_str_has_prefix(field->type, "{@"))
        write_refs(packer, obj, field->name);
    else if (strstr(field->type, ">@"))
        write_empty(packer, field);
    else
        obj_write_field(obj, i, packer->wire);
}

static void write_object(Packer *packer, guint number)
{
    const Obj *obj = packer->objects->pdata[number];
    char id[32];
    g_snprintf(id, sizeof id, "Ref:%u", number);
    wire_open_map(packer->wire);
    wire_key(packer->wire, "class");
    wire_text_value(packer->wire, obj_class(obj));
    wire_key(packer->wire, "id");
    wire_text_value(packer->wire, id);
    wire_key(packer->wire, "snapshot");
    wire_open_map(packer->wire);
    for (guint i = 0; i < obj_table(obj)->n_fields; i++)
        write_field(packer, obj, i);
    wire_close(packer->wire);
    wire_close(packer->wire);
}

static const char *const version_keys[] = { "date",         "product_version", "product_brand",
                                            "build_number", "xapi_major",      "xapi_minor" };

static void write_version(Packer *packer, const Obj *host)
{
    wire_key(packer->wire, "version");
    wire_open_map(packer->wire);
    wire_key(packer->wire, "hostname");
    wire_text_value(packer->wire, obj_str(host, "hostname"));
    for (guint i = 0; i < G_N_ELEMENTS(version_keys); i++) {
        const char *value = obj_map_get(host, "software_version", version_keys[i]);
        wire_key(packer->wire, version_keys[i]);
        wire_text_value(packer->wire, value ? value : "1");
    }
    wire_key(packer->wire, "export_vsn");
    wire_text_value(packer->wire, "2");
    wire_close(packer->wire);
}

static char *write_all(Packer *packer, const Obj *host)
{
    packer->wire = wire_new(true);
    wire_open_map(packer->wire);
    write_version(packer, host);
    wire_key(packer->wire, "objects");
    wire_open_list(packer->wire);
    for (guint i = 0; i < packer->objects->len; i++)
        write_object(packer, i);
    wire_close(packer->wire);
    wire_close(packer->wire);
    return g_string_free(wire_finish(packer->wire), FALSE);
}

/* --- Disks --- */

static int by_id(gconstpointer a, gconstpointer b)
{
    return strcmp(((const OvaDisk *) a)->id, ((const OvaDisk *) b)->id);
}

static void add_disks(const Packer *packer, GArray *disks)
{
    for (guint i = 0; i < packer->objects->len; i++) {
        const Obj *vbd = packer->objects->pdata[i];
        if (strcmp(obj_class(vbd), "VBD") != 0 || strcmp(obj_str(vbd, "type"), "CD") == 0)
            continue;
        const Obj *vdi = obj_follow(vbd, "VDI"), *sr = vdi ? obj_follow(vdi, "SR") : NULL;
        if (!vdi || (sr && strcmp(obj_str(sr, "content_type"), "iso") == 0))
            continue;
        guint number = GPOINTER_TO_UINT(g_hash_table_lookup(packer->numbers, obj_ref(vdi)));
        OvaDisk disk = { .id = g_strdup_printf("Ref:%u", number - 1),
                         .vdi = g_strdup(obj_ref(vdi)),
                         .size_bytes = obj_int(vdi, "virtual_size") };
        g_array_append_val(disks, disk);
    }
    g_array_sort(disks, by_id);
}

Ova *ova_new(Obj *vm, bool metadata, bool snapshots)
{
    Ova *ova = g_new0(Ova, 1);
    Packer packer = { .objects = g_ptr_array_new(),
                      .numbers = g_hash_table_new(g_str_hash, g_str_equal),
                      .metadata = metadata };
    ova->disks = g_array_new(FALSE, TRUE, sizeof(OvaDisk));
    g_array_set_clear_func(ova->disks, disk_clear);
    collect(&packer, vm, snapshots);
    if (!metadata)
        add_disks(&packer, ova->disks);
    ova->xml = write_all(&packer, sim_master(obj_sim(vm)));
    g_ptr_array_unref(packer.objects);
    g_hash_table_unref(packer.numbers);
    return ova;
}

void ova_free(Ova *ova)
{
    if (!ova)
        return;
    g_array_unref(ova->disks);
    g_free(ova->xml);
    g_free(ova);
}
