/* A snapshot: two tries, by opaque reference and by XO's id. Everything it holds is immutable, so
 * readers need no lock. */
#include "pool/inventory.h"

#include <stdatomic.h>
#include <string.h>

struct Inventory {
    atomic_int n_refs;
    Trie *by_ref, *by_id;
    char *pool_id;
    unsigned n_objects;
};

const char *inventory_key_ref(const Object *object)
{
    return object_key(object);
}

const char *inventory_key_id(const Object *object)
{
    return object_id(object);
}

Inventory *inventory_new(Trie *by_ref, Trie *by_id, const char *pool_id, unsigned n_objects)
{
    Inventory *inventory = g_new0(Inventory, 1);
    atomic_init(&inventory->n_refs, 1);
    inventory->by_ref = trie_ref(by_ref);
    inventory->by_id = trie_ref(by_id);
    inventory->pool_id = g_strdup(pool_id);
    inventory->n_objects = n_objects;
    return inventory;
}

Inventory *inventory_ref(Inventory *inventory)
{
    atomic_fetch_add(&inventory->n_refs, 1);
    return inventory;
}

void inventory_unref(Inventory *inventory)
{
    if (!inventory || atomic_fetch_sub(&inventory->n_refs, 1) != 1)
        return;
    trie_unref(inventory->by_ref);
    trie_unref(inventory->by_id);
    g_free(inventory->pool_id);
    g_free(inventory);
}

const char *inventory_pool_id(const Inventory *inventory)
{
    return inventory->pool_id;
}

unsigned inventory_n_objects(const Inventory *inventory)
{
    return inventory->n_objects;
}

/* By reference, id, or the plain uuid of a default template. */
static Object *find(const Inventory *inventory, const char *id)
{
    if (strchr(id, ':'))
        return trie_get(inventory->by_ref, inventory_key_ref, id);
    Object *object = trie_get(inventory->by_id, inventory_key_id, id);
    if (object)
        return object;
    g_autofree char *template = g_strdup_printf("%s-%s", inventory->pool_id, id);
    return trie_get(inventory->by_id, inventory_key_id, template);
}

GBytes *inventory_text(const Inventory *inventory, const char *id)
{
    Object *object = find(inventory, id);
    GBytes *text = object ? object_text(object) : NULL;
    return text ? g_bytes_ref(text) : NULL;
}

json_t *inventory_object(const Inventory *inventory, const char *id)
{
    Object *object = find(inventory, id);
    GBytes *text = object ? object_text(object) : NULL;
    return text ? json_loads(g_bytes_get_data(text, NULL), JSON_ALLOW_NUL, NULL) : NULL;
}

const char *inventory_type(const Inventory *inventory, const char *id)
{
    Object *object = find(inventory, id);
    return object && object_text(object) ? object_type(object) : NULL;
}

json_t *inventory_record(const Inventory *inventory, const char *cls, const char *ref)
{
    Object *object = trie_get(inventory->by_ref, inventory_key_ref, ref);
    if (!object || g_ascii_strcasecmp(record_class(object_record(object)), cls) != 0)
        return NULL;
    return record_unpack(object_record(object));
}

typedef struct {
    const char *type;
    void (*seen)(const char *id, const char *type, GBytes *text, void *user);
    void *user;
} Walk;

static void walk(Object *object, void *user)
{
    Walk *each = user;
    GBytes *text = object_text(object);
    if (text && (!each->type || strcmp(each->type, object_type(object)) == 0))
        each->seen(object_id(object), object_type(object), text, each->user);
}

void inventory_each(const Inventory *inventory, const char *type,
                    void (*seen)(const char *id, const char *type, GBytes *text, void *user),
                    void *user)
{
    Walk each = { type, seen, user };
    trie_each(inventory->by_id, walk, &each);
}
