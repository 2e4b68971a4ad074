/* The persistent trie: beside a hash table, with snapshots that must not change. */
#include "pool/packer.h"
#include "pool/trie.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { N_KEYS = 2000, N_STEPS = 20000, N_SNAPSHOTS = 8 };

static Cells *cells;
static Packer *packer;

static Object *make(unsigned key, unsigned version)
{
    static Shape *shape;
    char ref[32], uuid[32];
    g_snprintf(ref, sizeof ref, "OpaqueRef:%u", key);
    g_snprintf(uuid, sizeof uuid, "%u", version);
    json_t *json = json_pack("{s:s}", "uuid", uuid);
    Record *record = record_pack(packer, "VM", ref, json, &shape);
    json_decref(json);
    g_clear_pointer(&shape, shape_unref);
    return object_new(cells, record, NULL, NULL, NULL);
}

static unsigned version_of(const Object *object)
{
    return (unsigned) value_int(record_value(object_record((Object *) object), "uuid"), 0);
}

static void count(Object *object, void *user)
{
    ++*(unsigned *) user;
}

typedef struct {
    Trie *trie;
    unsigned versions[N_KEYS]; /* 0: absent */
} Snapshot;

static void check(const Snapshot *snapshot)
{
    unsigned n = 0, n_seen = 0;
    for (unsigned i = 0; i < N_KEYS; i++) {
        char ref[32];
        g_snprintf(ref, sizeof ref, "OpaqueRef:%u", i);
        Object *object = trie_get(snapshot->trie, object_key, ref);
        assert_int_equal(object ? version_of(object) : 0, snapshot->versions[i]);
        n += object != NULL;
    }
    trie_each(snapshot->trie, count, &n_seen);
    assert_int_equal(n_seen, n);
}

static void step(Snapshot *now, GRand *random, unsigned version)
{
    unsigned key = (unsigned) g_rand_int_range(random, 0, N_KEYS);
    if (g_rand_int_range(random, 0, 3)) {
        now->trie = trie_put(now->trie, object_key, make(key, version));
        now->versions[key] = version;
    } else {
        char ref[32];
        g_snprintf(ref, sizeof ref, "OpaqueRef:%u", key);
        now->trie = trie_drop(now->trie, object_key, ref);
        now->versions[key] = 0;
    }
}

static void test_snapshots_stay(void **state)
{
    g_autoptr(GRand) random = g_rand_new_with_seed(7);
    Snapshot *now = g_new0(Snapshot, 1), *old = g_new0(Snapshot, N_SNAPSHOTS);
    for (unsigned i = 1; i <= N_STEPS; i++) {
        step(now, random, i);
        if (i % 500 == 0) {
            Snapshot *kept = &old[i / 500 % N_SNAPSHOTS];
            if (kept->trie)
                check(kept);
            trie_unref(kept->trie);
            *kept = *now;
            trie_ref(kept->trie);
        }
    }
    check(now);
    for (unsigned i = 0; i < N_SNAPSHOTS; i++) {
        check(&old[i]);
        trie_unref(old[i].trie);
    }
    trie_unref(now->trie);
    g_free(now);
    g_free(old);
}

static void test_emptied(void **state)
{
    Trie *trie = NULL;
    for (unsigned i = 0; i < 100; i++)
        trie = trie_put(trie, object_key, make(i, i + 1));
    assert_null(trie_get(trie, object_key, "OpaqueRef:none"));
    for (unsigned i = 0; i < 100; i++) {
        char ref[32];
        g_snprintf(ref, sizeof ref, "OpaqueRef:%u", i);
        trie = trie_drop(trie, object_key, ref);
    }
    trie = trie_drop(trie, object_key, "OpaqueRef:none");
    assert_null(trie);
}

int main(void)
{
    cells = cells_new();
    packer = packer_new(cells);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshots_stay),
        cmocka_unit_test(test_emptied),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    packer_free(packer);
    cells_unref(cells);
    return failed;
}
