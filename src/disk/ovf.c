/* Read by GMarkup: no entities of its own, no network. Prefixes of names are passed over: producers
 * choose them freely. What hangs together by ids is put together at the end. */
#include "disk/ovf.h"

#include "base/error.h"

#include <string.h>

/* rasd:ResourceType */
enum { CPU = 3, MEMORY = 4, NIC = 10, DISK = 17, MAX_DEPTH = 32 };

/* --- The description --- */

static void disk_clear(void *data)
{
    g_free(((OvfDisk *) data)->path);
    g_free(((OvfDisk *) data)->name);
}

static void nic_clear(void *data)
{
    g_free(((OvfNic *) data)->network);
    g_free(((OvfNic *) data)->mac);
}

Ovf *ovf_new(void)
{
    Ovf *ovf = g_new0(Ovf, 1);
    ovf->name = g_strdup("");
    ovf->description = g_strdup("");
    ovf->disks = g_array_new(FALSE, TRUE, sizeof(OvfDisk));
    ovf->nics = g_array_new(FALSE, TRUE, sizeof(OvfNic));
    g_array_set_clear_func(ovf->disks, disk_clear);
    g_array_set_clear_func(ovf->nics, nic_clear);
    return ovf;
}

void ovf_free(Ovf *ovf)
{
    if (!ovf)
        return;
    g_free(ovf->name);
    g_free(ovf->description);
    g_array_unref(ovf->disks);
    g_array_unref(ovf->nics);
    g_free(ovf);
}

OvfDisk *ovf_disk(const Ovf *ovf, guint i)
{
    return &g_array_index(ovf->disks, OvfDisk, i);
}

OvfNic *ovf_nic(const Ovf *ovf, guint i)
{
    return &g_array_index(ovf->nics, OvfNic, i);
}

bool ovf_add_disk(Ovf *ovf, const OvfDisk *disk)
{
    if (ovf->disks->len < OVF_MAX_DISKS)
        g_array_append_vals(ovf->disks, disk, 1);
    else
        disk_clear((void *) disk);
    return ovf->disks->len < OVF_MAX_DISKS;
}

bool ovf_add_nic(Ovf *ovf, const OvfNic *nic)
{
    if (ovf->nics->len < OVF_MAX_NICS)
        g_array_append_vals(ovf->nics, nic, 1);
    else
        nic_clear((void *) nic);
    return ovf->nics->len < OVF_MAX_NICS;
}

/* --- Reading --- */

typedef struct {
    Ovf *ovf;
    GHashTable *files; /* id → its attributes, a GHashTable */
    GHashTable *disks; /* id → the same */
    GHashTable *item;  /* texts of the present <Item>, NULL outside */
    GPtrArray *drives; /* items that are disks */
    char *path[MAX_DEPTH];
    guint depth;
    GString *text;
} Reader;

static const char *local(const char *name)
{
    const char *colon = strrchr(name, ':');
    return colon ? colon + 1 : name;
}

static const char *get(GHashTable *table, const char *key)
{
    const char *text = table ? g_hash_table_lookup(table, key) : NULL;
    return text ? text : "";
}

static GHashTable *texts_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
}

static GHashTable *attributes(const char **names, const char **values)
{
    GHashTable *table = texts_new();
    for (guint i = 0; names[i]; i++)
        g_hash_table_insert(table, g_strdup(local(names[i])), g_strdup(values[i]));
    return table;
}

static bool is_in(const Reader *reader, const char *parent)
{
    return reader->depth >= 2 && strcmp(reader->path[reader->depth - 2], parent) == 0;
}

static void see_config(Reader *reader, GHashTable *table)
{
    if (strcmp(get(table, "key"), "firmware") == 0 && strcmp(get(table, "value"), "efi") == 0)
        reader->ovf->efi = true;
}

static void on_start(GMarkupParseContext *context, const char *element, const char **names,
                     const char **values, gpointer user, GError **error)
{
    Reader *reader = user;
    const char *name = local(element);
    if (reader->depth == MAX_DEPTH) {
        err_set(error, ERR_CORRUPT, "the OVF is damaged: its elements are too deep");
        return;
    }
    reader->path[reader->depth++] = g_strdup(name);
    g_string_truncate(reader->text, 0);
    GHashTable *table = attributes(names, values);
    if (strcmp(name, "File") == 0 && g_hash_table_size(reader->files) < OVF_MAX_DISKS)
        g_hash_table_insert(reader->files, g_strdup(get(table, "id")), g_hash_table_ref(table));
    else if (strcmp(name, "Disk") == 0 && g_hash_table_size(reader->disks) < OVF_MAX_DISKS)
        g_hash_table_insert(reader->disks, g_strdup(get(table, "diskId")), g_hash_table_ref(table));
    else if (strcmp(name, "Config") == 0)
        see_config(reader, table);
    else if (strcmp(name, "Firmware") == 0 && g_ascii_strcasecmp(get(table, "type"), "EFI") == 0)
        reader->ovf->efi = true; /* VirtualBox */
    else if (strcmp(name, "Item") == 0 && !reader->item)
        reader->item = texts_new();
    g_hash_table_unref(table);
}

static void on_text(GMarkupParseContext *context, const char *text, gsize n, gpointer user,
                    GError **error)
{
    g_string_append_len(((Reader *) user)->text, text, (gssize) n);
}

static guint64 number(const char *text)
{
    return g_ascii_strtoull(text, NULL, 10);
}

/* "byte * 2^20", "MegaBytes", "KB", …: how many bytes one is. */
static guint64 unit_bytes(const char *unit, guint64 otherwise)
{
    static const struct {
        const char *letters;
        guint shift;
    } words[] = { { "K", 10 }, { "M", 20 }, { "G", 30 }, { "T", 40 } };
    const char *power = strstr(unit, "2^");
    if (power)
        return (guint64) 1 << MIN(number(power + 2), 40);
    for (guint i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_ascii_toupper(*unit) == *words[i].letters)
            return (guint64) 1 << words[i].shift;
    return *unit ? 1 : otherwise;
}

static guint64 times(guint64 a, guint64 b)
{
    guint64 product;
    return g_uint64_checked_mul(&product, a, b) ? product : 0;
}

static void end_item(Reader *reader)
{
    GHashTable *item = g_steal_pointer(&reader->item);
    guint64 type = number(get(item, "ResourceType")), n = number(get(item, "VirtualQuantity"));
    Ovf *ovf = reader->ovf;
    if (type == CPU && !ovf->n_cpus)
        ovf->n_cpus = (guint) MIN(n, G_MAXINT32);
    else if (type == MEMORY && !ovf->memory_bytes)
        ovf->memory_bytes = times(n, unit_bytes(get(item, "AllocationUnits"), 1 << 20));
    else if (type == DISK && reader->drives->len < OVF_MAX_DISKS)
        g_ptr_array_add(reader->drives, g_hash_table_ref(item));
    else if (type == NIC)
        ovf_add_nic(ovf,
                    &(OvfNic){ g_strdup(get(item, "Connection")), g_strdup(get(item, "Address")) });
    g_hash_table_unref(item);
}

static void on_end(GMarkupParseContext *context, const char *element, gpointer user, GError **error)
{
    Reader *reader = user;
    const char *name = local(element);
    g_autofree char *text = g_strstrip(g_strdup(reader->text->str));
    if (strcmp(name, "Item") == 0 && reader->item)
        end_item(reader);
    else if (reader->item && is_in(reader, "Item"))
        g_hash_table_insert(reader->item, g_strdup(name), g_steal_pointer(&text));
    else if (strcmp(name, "Name") == 0 && is_in(reader, "VirtualSystem")) {
        g_free(reader->ovf->name);
        reader->ovf->name = g_steal_pointer(&text);
    } else if (strcmp(name, "Annotation") == 0) {
        g_free(reader->ovf->description);
        reader->ovf->description = g_steal_pointer(&text);
    }
    g_free(reader->path[--reader->depth]);
    g_string_truncate(reader->text, 0);
}

/* "ovf:/disk/vmdisk1", "/disk/vmdisk1": the disk; "ovf:/file/file1": a file without one. */
static void add_drive(Reader *reader, GHashTable *item)
{
    const char *resource = get(item, "HostResource");
    const char *id = strrchr(resource, '/') ? strrchr(resource, '/') + 1 : resource;
    GHashTable *disk = g_hash_table_lookup(reader->disks, id);
    const char *file_id = disk ? get(disk, "fileRef") : id;
    GHashTable *file = g_hash_table_lookup(reader->files, file_id);
    guint64 unit = unit_bytes(get(disk, "capacityAllocationUnits"), 1);
    if (!disk && !file)
        return;
    ovf_add_disk(reader->ovf,
                 &(OvfDisk){ .path = g_strdup(get(file, "href")),
                             .name = g_strdup(get(item, "ElementName")),
                             .capacity_bytes = times(number(get(disk, "capacity")), unit),
                             .position = reader->ovf->disks->len,
                             .gzip = strcmp(get(file, "compression"), "gzip") == 0 });
}

static void reader_clear(Reader *reader)
{
    while (reader->depth > 0)
        g_free(reader->path[--reader->depth]);
    g_hash_table_unref(reader->files);
    g_hash_table_unref(reader->disks);
    g_clear_pointer(&reader->item, g_hash_table_unref);
    g_ptr_array_unref(reader->drives);
    g_string_free(reader->text, TRUE);
}

static GHashTable *tables_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                 (GDestroyNotify) g_hash_table_unref);
}

Ovf *ovf_parse(const char *text, gsize n, GError **error)
{
    static const GMarkupParser parser = { .start_element = on_start,
                                          .end_element = on_end,
                                          .text = on_text };
    g_autoptr(GError) cause = NULL;
    g_autoptr(Ovf) ovf = ovf_new();
    Reader reader = { .ovf = ovf,
                      .files = tables_new(),
                      .disks = tables_new(),
                      .drives = g_ptr_array_new_with_free_func((GDestroyNotify) g_hash_table_unref),
                      .text = g_string_new(NULL) };
    GMarkupParseContext *context = g_markup_parse_context_new(&parser, 0, &reader, NULL);
    bool ok = n <= OVF_MAX_BYTES &&
              g_markup_parse_context_parse(context, text, (gssize) n, &cause) &&
              g_markup_parse_context_end_parse(context, &cause);
    g_markup_parse_context_free(context);
    for (guint i = 0; ok && i < reader.drives->len; i++)
        add_drive(&reader, reader.drives->pdata[i]);
    reader_clear(&reader);
    if (n > OVF_MAX_BYTES)
        err_set(error, ERR_LIMIT, "the OVF has more than %d bytes", OVF_MAX_BYTES);
    else if (!ok && cause->domain == ERR)
        g_propagate_error(error, g_steal_pointer(&cause));
    else if (!ok)
        err_set(error, ERR_CORRUPT, "the OVF is no XML: %s", cause->message);
    return ok ? g_steal_pointer(&ovf) : NULL;
}
