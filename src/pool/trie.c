/* Each level looks at five bits of the key's hash; a node holds only the slots that are used, and a
 * bitmap that says which. A slot is an object, or a deeper node (lowest bit set). Twelve levels use
 * up the hash: a node below them is a plain list. */
#include "pool/trie.h"

#include "base/mutant.h"

#include <stdatomic.h>
#include <string.h>
#include <xxhash.h>

enum { BITS = 5, MASK = 31, LIST_SHIFT = 60 };

struct Trie {
    atomic_int n_refs;
    guint32 bitmap; /* unused in a list */
    guint32 n_slots;
    guintptr slots[];
};

static guint64 hash_of(const char *key)
{
    return XXH3_64bits(key, strlen(key));
}

static bool is_node(guintptr slot)
{
    return slot & 1;
}

static Trie *node_of(guintptr slot)
{
    return (Trie *) (slot & ~(guintptr) 1);
}

static Object *object_of(guintptr slot)
{
    return (Object *) slot;
}

static guintptr slot_of_node(Trie *node)
{
    return (guintptr) node | 1;
}

Trie *trie_ref(Trie *trie)
{
    if (trie)
        atomic_fetch_add(&trie->n_refs, 1);
    return trie;
}

static void slot_ref(guintptr slot)
{
    if (is_node(slot))
        trie_ref(node_of(slot));
    else
        object_ref(object_of(slot));
}

static void slot_unref(guintptr slot)
{
    if (is_node(slot))
        trie_unref(node_of(slot));
    else
        object_unref(object_of(slot));
}

void trie_unref(Trie *trie)
{
    if (!trie || atomic_fetch_sub(&trie->n_refs, 1) != 1)
        return;
    for (guint i = 0; i < trie->n_slots; i++)
        slot_unref(trie->slots[i]);
    g_free(trie);
}

static gsize node_bytes(guint n_slots)
{
    return sizeof(Trie) + n_slots * sizeof(guintptr);
}

/* The same node, held by nobody else. */
static Trie *own(Trie *node)
{
    if (atomic_load(&node->n_refs) == 1 ||
        MUTANT(trie_changes_shared_nodes)) /* mutant: pool_trie */
        return node;
    Trie *copy = g_memdup2(node, node_bytes(node->n_slots));
    atomic_init(&copy->n_refs, 1);
    for (guint i = 0; i < copy->n_slots; i++)
        slot_ref(copy->slots[i]);
    trie_unref(node);
    return copy;
}

static Trie *insert_slot(Trie *node, guint at, guintptr slot)
{
    node = g_realloc(node, node_bytes(node->n_slots + 1));
    memmove(node->slots + at + 1, node->slots + at, (node->n_slots - at) * sizeof(guintptr));
    node->slots[at] = slot;
    node->n_slots++;
    return node;
}

/* NULL when nothing is left. */
static Trie *remove_slot(Trie *node, guint at)
{
    node->n_slots--;
    memmove(node->slots + at, node->slots + at + 1, (node->n_slots - at) * sizeof(guintptr));
    if (node->n_slots)
        return node;
    g_free(node);
    return NULL;
}

static Trie *empty_node(void)
{
    Trie *node = g_malloc0(node_bytes(0));
    atomic_init(&node->n_refs, 1);
    return node;
}

static guint32 bit_of(guint64 hash, guint shift)
{
    return (guint32) 1 << (hash >> shift & MASK);
}

static guint position(const Trie *node, guint32 bit)
{
    return (guint) __builtin_popcount(node->bitmap & (bit - 1));
}

/* --- lists, below the last bits --- */

static guint find_in_list(const Trie *list, TrieKey key_of, const char *key)
{
    guint i = 0;
    while (i < list->n_slots && strcmp(key_of(object_of(list->slots[i])), key) != 0)
        i++;
    return i;
}

static Trie *put_in_list(Trie *list, TrieKey key_of, Object *object)
{
    guint at = find_in_list(list, key_of, key_of(object));
    if (at == list->n_slots)
        return insert_slot(list, at, (guintptr) object);
    object_unref(object_of(list->slots[at]));
    list->slots[at] = (guintptr) object;
    return list;
}

/* --- nodes --- */

static Trie *put(Trie *node, TrieKey key_of, Object *object, guint64 hash, guint shift);

/* Two different objects in one slot: a deeper node takes both. */
static guintptr split(TrieKey key_of, Object *a, Object *b, guint64 hash_b, guint shift)
{
    Trie *node = put(NULL, key_of, a, hash_of(key_of(a)), shift);
    return slot_of_node(put(node, key_of, b, hash_b, shift));
}

static Trie *put(Trie *node, TrieKey key_of, Object *object, guint64 hash, guint shift)
{
    node = node ? own(node) : empty_node();
    if (shift >= LIST_SHIFT)
        return put_in_list(node, key_of, object);
    guint32 bit = bit_of(hash, shift);
    guint at = position(node, bit);
    if (!(node->bitmap & bit)) {
        node->bitmap |= bit;
        return insert_slot(node, at, (guintptr) object);
    }
    guintptr *slot = &node->slots[at];
    if (is_node(*slot)) {
        *slot = slot_of_node(put(node_of(*slot), key_of, object, hash, shift + BITS));
    } else if (strcmp(key_of(object_of(*slot)), key_of(object)) == 0) {
        object_unref(object_of(*slot));
        *slot = (guintptr) object;
    } else {
        *slot = split(key_of, object_of(*slot), object, hash, shift + BITS);
    }
    return node;
}

Trie *trie_put(Trie *trie, TrieKey key_of, Object *object)
{
    return put(trie, key_of, object, hash_of(key_of(object)), 0);
}

static Trie *drop(Trie *node, TrieKey key_of, const char *key, guint64 hash, guint shift)
{
    node = own(node);
    if (shift >= LIST_SHIFT) {
        guint found = find_in_list(node, key_of, key);
        object_unref(object_of(node->slots[found]));
        return remove_slot(node, found);
    }
    guint32 bit = bit_of(hash, shift);
    guint at = position(node, bit);
    guintptr slot = node->slots[at];
    if (is_node(slot)) {
        Trie *child = drop(node_of(slot), key_of, key, hash, shift + BITS);
        if (child) {
            node->slots[at] = slot_of_node(child);
            return node;
        }
    } else {
        object_unref(object_of(slot));
    }
    node->bitmap &= ~bit;
    return remove_slot(node, at);
}

Trie *trie_drop(Trie *trie, TrieKey key_of, const char *key)
{
    return trie_get(trie, key_of, key) ? drop(trie, key_of, key, hash_of(key), 0) : trie;
}

Object *trie_get(const Trie *node, TrieKey key_of, const char *key)
{
    guint64 hash = hash_of(key);
    guint shift = 0;
    for (; node && shift < LIST_SHIFT; shift += BITS) {
        guint32 bit = bit_of(hash, shift);
        if (!(node->bitmap & bit))
            return NULL;
        guintptr slot = node->slots[position(node, bit)];
        if (!is_node(slot))
            return strcmp(key_of(object_of(slot)), key) == 0 ? object_of(slot) : NULL;
        node = node_of(slot);
    }
    guint at = node ? find_in_list(node, key_of, key) : 0;
    return node && at < node->n_slots ? object_of(node->slots[at]) : NULL;
}

void trie_each(const Trie *trie, void (*seen)(Object *object, void *user), void *user)
{
    for (guint i = 0; trie && i < trie->n_slots; i++)
        if (is_node(trie->slots[i]))
            trie_each(node_of(trie->slots[i]), seen, user);
        else
            seen(object_of(trie->slots[i]), user);
}
