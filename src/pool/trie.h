/* A persistent hash trie from text to object: a snapshot shares with the next one every node that
 * did not change. Nodes are counted; those that only the writer holds are changed in place, so that
 * filling an empty trie costs no copies. One writer; any number of readers of a root they hold. */
#pragma once

#include "pool/object.h"

typedef struct Trie Trie; /* NULL is the empty trie */

/* The key of an object in this trie. */
typedef const char *(*TrieKey)(const Object *object);

Trie *trie_ref(Trie *trie);
void trie_unref(Trie *trie);
/* Take `trie`, give its successor. The object's reference is taken; its key replaces an equal one.
 */
Trie *trie_put(Trie *trie, TrieKey key_of, Object *object);
Trie *trie_drop(Trie *trie, TrieKey key_of, const char *key);
/* Borrowed, or NULL. */
Object *trie_get(const Trie *trie, TrieKey key_of, const char *key);
/* In no particular order; the callback must not change the trie. */
void trie_each(const Trie *trie, void (*seen)(Object *object, void *user), void *user);
