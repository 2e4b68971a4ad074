/* Records of a hostile pool, {"class": {"ref": record}}, into an inventory: packing loses nothing,
 * views are JSON, ids are found again. */
#include "pool/writer.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void check(bool ok)
{
    if (!ok)
        abort();
}

static void put_all(InventoryWriter *writer, json_t *classes)
{
    const char *name, *ref;
    json_t *records, *record;
    json_object_foreach (classes, name, records) {
        const char *cls = inventory_class(name);
        json_object_foreach (records, ref, record)
            if (cls && json_is_object(record))
                inventory_writer_put(writer, cls, ref, record);
    }
}

static void check_text(const char *id, const char *type, GBytes *text, void *user)
{
    json_t *object = json_loads(g_bytes_get_data(text, NULL), JSON_ALLOW_NUL, NULL);
    check(object != NULL);
    json_decref(object);
    json_t *found = inventory_object(user, id);
    json_decref(found);
}

static void check_records(Inventory *inventory, json_t *classes)
{
    const char *name, *ref;
    json_t *records, *record;
    json_object_foreach (classes, name, records)
        json_object_foreach (records, ref, record) {
            json_t *back = inventory_record(inventory, name, ref);
            json_decref(back);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *classes = json_loadb((const char *) data, size, 0, NULL);
    if (!classes)
        return 0;
    g_autoptr(InventoryWriter) writer = inventory_writer_new();
    g_autoptr(GPtrArray) entered = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) left = g_ptr_array_new_with_free_func(g_free);
    put_all(writer, classes);
    g_autoptr(Inventory) inventory = inventory_writer_commit(writer, entered, left);
    inventory_each(inventory, NULL, check_text, inventory);
    check_records(inventory, classes);
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    inventory_writer_keep_only(writer, inventory_class("VM"), none);
    g_autoptr(Inventory) later = inventory_writer_commit(writer, entered, left);
    inventory_each(later, NULL, check_text, later);
    json_decref(classes);
    return 0;
}
