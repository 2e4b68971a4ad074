/* Records packed and back; views written again when what they use changes, and only then; snapshots
 * that keep what they saw; the memory an object takes. */
#include "pool/packer.h"
#include "pool/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define POOL  "OpaqueRef:00000000-0000-4000-8000-000000000001"
#define HOST  "OpaqueRef:00000000-0000-4000-8000-000000000002"
#define VM    "OpaqueRef:00000000-0000-4000-8000-000000000003"
#define STATS "OpaqueRef:00000000-0000-4000-8000-000000000004"
#define TASK  "OpaqueRef:00000000-0000-4000-8000-000000000005"

typedef struct {
    InventoryWriter *writer;
    GPtrArray *entered, *left;
    Inventory *now;
} World;

static void put(World *world, const char *cls, const char *ref, const char *text)
{
    json_error_t error;
    json_t *record = json_loads(text, 0, &error);
    if (!record)
        fail_msg("%s in %s", error.text, text);
    inventory_writer_put(world->writer, inventory_class(cls), ref, record);
    json_decref(record);
}

static void commit(World *world)
{
    g_ptr_array_set_size(world->entered, 0);
    g_ptr_array_set_size(world->left, 0);
    inventory_unref(world->now);
    world->now = inventory_writer_commit(world->writer, world->entered, world->left);
}

static void put_vm(World *world, const char *name, const char *more)
{
    g_autofree char *text = g_strdup_printf(
        "{\"uuid\":\"vm\",\"name_label\":\"%s\",\"power_state\":\"Running\",\"metrics\":\"" STATS
        "\",\"resident_on\":\"" HOST "\",\"memory_dynamic_max\":1000,\"is_a_template\":false,"
        "\"current_operations\":{%s}}",
        name, more);
    put(world, "VM", VM, text);
}

static int set_up(void **state)
{
    World *world = g_new0(World, 1);
    world->writer = inventory_writer_new();
    world->entered = g_ptr_array_new_with_free_func(g_free);
    world->left = g_ptr_array_new_with_free_func(g_free);
    put(world, "pool", POOL,
        "{\"uuid\":\"pool\",\"name_label\":\"\",\"master\":\"" HOST "\",\"restrictions\":{}}");
    put(world, "host", HOST, "{\"uuid\":\"host\",\"name_label\":\"h0\",\"software_version\":{}}");
    put_vm(world, "one", "");
    commit(world);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    World *world = *state;
    inventory_writer_free(world->writer);
    g_ptr_array_unref(world->entered);
    g_ptr_array_unref(world->left);
    inventory_unref(world->now);
    g_free(world);
    return 0;
}

static json_t *field(World *world, const char *id, const char *name)
{
    json_t *object = inventory_object(world->now, id);
    json_t *value = json_incref(json_object_get(object, name));
    json_decref(object);
    return value;
}

static void assert_text(World *world, const char *id, const char *name, const char *expected)
{
    json_t *value = field(world, id, name);
    assert_string_equal(json_string_value(value), expected);
    json_decref(value);
}

static void test_first_look(void **state)
{
    World *world = *state;
    assert_int_equal(world->entered->len, 3);
    assert_int_equal(world->left->len, 0);
    assert_string_equal(inventory_pool_id(world->now), "pool");
    assert_text(world, "pool", "name_label", "h0");
    assert_text(world, VM, "$container", "host");
    assert_string_equal(inventory_type(world->now, "vm"), "VM");
    assert_null(inventory_type(world->now, "nothing"));
    json_t *record = inventory_record(world->now, "vm", VM);
    assert_string_equal(json_string_value(json_object_get(record, "metrics")), STATS);
    json_decref(record);
    assert_null(inventory_record(world->now, "host", VM));
}

/* Whoever reads them pastes them into JSON. */
static void test_ids_are_plain(void **state)
{
    World *world = *state;
    put(world, "SR", TASK, "{\"uuid\":\"\\n\\\"}\\\\\",\"name_label\":\"odd\"}");
    commit(world);
    assert_int_equal(world->entered->len, 1);
    assert_string_equal(world->entered->pdata[0], "__}_");
    assert_text(world, "__}_", "id", "__}_");
    assert_text(world, "__}_", "uuid", "\n\"}\\");
}

static gint64 memory_size(World *world)
{
    json_t *memory = field(world, "vm", "memory");
    gint64 size = json_integer_value(json_object_get(memory, "size"));
    json_decref(memory);
    return size;
}

static void test_metrics_renew_their_vm(void **state)
{
    World *world = *state;
    assert_int_equal(memory_size(world), 1000);
    for (unsigned size = 2000; size < 2003; size++) {
        g_autofree char *text = g_strdup_printf("{\"uuid\":\"stats\",\"memory_actual\":%u}", size);
        put(world, "vm_metrics", STATS, text);
        commit(world);
        assert_int_equal(world->entered->len, 1);
        assert_string_equal(world->entered->pdata[0], "vm");
        assert_int_equal(memory_size(world), size);
    }
    inventory_writer_drop(world->writer, STATS);
    commit(world);
    assert_int_equal(memory_size(world), 1000);
}

static void test_unchanged_is_not_told(void **state)
{
    World *world = *state;
    put_vm(world, "one", "");
    commit(world);
    assert_int_equal(world->entered->len, 0);
    put_vm(world, "one", "\"OpaqueRef:unknown\":\"start\""); /* an unknown task is not shown */
    commit(world);
    assert_int_equal(world->entered->len, 0);
}

static void test_a_task_comes_late(void **state)
{
    World *world = *state;
    put_vm(world, "one", "\"" TASK "\":\"start\"");
    commit(world);
    assert_int_equal(world->entered->len, 0);
    put(world, "task", TASK, "{\"uuid\":\"task\",\"status\":\"pending\",\"other_config\":{}}");
    commit(world);
    assert_int_equal(world->entered->len, 2);
    json_t *operations = field(world, "vm", "current_operations");
    assert_string_equal(json_string_value(json_object_get(operations, "task")), "start");
    json_decref(operations);
}

static void test_snapshots_keep_what_they_saw(void **state)
{
    World *world = *state;
    g_autoptr(Inventory) before = inventory_ref(world->now);
    put_vm(world, "two", "");
    inventory_writer_drop(world->writer, HOST);
    commit(world);
    assert_text(world, "vm", "name_label", "two");
    assert_null(inventory_type(world->now, "host"));
    assert_int_equal(world->left->len, 1);
    assert_string_equal(world->left->pdata[0], "host");
    assert_string_equal(inventory_type(before, "host"), "host");
    json_t *object = inventory_object(before, "vm");
    assert_string_equal(json_string_value(json_object_get(object, "name_label")), "one");
    json_decref(object);
}

static void test_gone_and_back_is_no_leave(void **state)
{
    World *world = *state;
    inventory_writer_drop(world->writer, VM);
    put(world, "VM", TASK, "{\"uuid\":\"vm\",\"name_label\":\"again\"}");
    commit(world);
    assert_int_equal(world->left->len, 0);
    assert_int_equal(world->entered->len, 1);
    assert_text(world, "vm", "name_label", "again");
}

static void test_default_template_has_the_pools_id(void **state)
{
    World *world = *state;
    put(world, "VM", TASK,
        "{\"uuid\":\"tpl\",\"is_a_template\":true,\"is_default_template\":true}");
    commit(world);
    assert_string_equal(inventory_type(world->now, "pool-tpl"), "VM-template");
    assert_string_equal(inventory_type(world->now, "tpl"), "VM-template");
    put(world, "VM", TASK,
        "{\"uuid\":\"tpl\",\"is_a_template\":true,\"is_default_template\":false}");
    commit(world);
    assert_string_equal(world->left->pdata[0], "pool-tpl");
    assert_string_equal(inventory_type(world->now, "tpl"), "VM-template");
}

static void test_keep_only_and_clear(void **state)
{
    World *world = *state;
    g_autoptr(GHashTable) none = g_hash_table_new(g_str_hash, g_str_equal);
    assert_int_equal(inventory_writer_count(world->writer, inventory_class("vm")), 1);
    inventory_writer_keep_only(world->writer, inventory_class("vm"), none);
    assert_int_equal(inventory_writer_count(world->writer, inventory_class("vm")), 0);
    inventory_writer_clear(world->writer);
    commit(world);
    assert_int_equal(world->left->len, 3);
    assert_int_equal(inventory_n_objects(world->now), 0);
}

static void put_vdi(World *world, const char *uuid, const char *parent, unsigned bytes)
{
    g_autofree char *ref = g_strconcat("OpaqueRef:", uuid, NULL);
    g_autofree char *text = g_strdup_printf("{\"uuid\":\"%s\",\"managed\":%s,"
                                            "\"physical_utilisation\":%u,\"sm_config\":{"
                                            "\"vhd-parent\":\"%s\"}}",
                                            uuid, *parent ? "true" : "false", bytes, parent);
    put(world, "VDI", ref, text);
}

static gint64 chain_usage(World *world, const char *id)
{
    json_t *value = field(world, id, "chainPhysicalUsage");
    gint64 usage = json_integer_value(value);
    json_decref(value);
    return usage;
}

static void test_chain_is_summed(void **state)
{
    World *world = *state;
    put_vdi(world, "leaf", "middle", 1);
    put_vdi(world, "circle", "circle2", 1);
    put_vdi(world, "circle2", "circle", 1);
    commit(world);
    assert_int_equal(chain_usage(world, "leaf"), 1);
    put_vdi(world, "middle", "root", 10);
    put_vdi(world, "root", "", 100);
    commit(world);
    assert_int_equal(chain_usage(world, "leaf"), 111);
    put_vdi(world, "root", "", 200);
    commit(world);
    assert_int_equal(chain_usage(world, "leaf"), 211);
    assert_string_equal(inventory_type(world->now, "root"), "VDI-unmanaged");
    inventory_writer_drop(world->writer, "OpaqueRef:root");
    commit(world);
    assert_int_equal(chain_usage(world, "leaf"), 11);
}

static void test_vain_waiting_is_bounded(void **state)
{
    World *world = *state;
    unsigned most = 0;
    for (unsigned i = 0; i < 20000; i++) { /* a task that was never seen, each time another */
        g_autofree char *operation = g_strdup_printf("\"OpaqueRef:task%u\":\"start\"", i);
        put_vm(world, "one", operation);
        commit(world);
        most = MAX(most, inventory_writer_waiting(world->writer));
    }
    assert_true(most < 6000);
    put(world, "vm_metrics", STATS, "{\"uuid\":\"stats\",\"memory_actual\":77}");
    commit(world);
    assert_int_equal(memory_size(world), 77);
}

static void test_any_json_comes_back(void **state)
{
    static const char *const texts[] = {
        "{\"a\":null,\"b\":true,\"c\":false,\"d\":0,\"e\":127,\"f\":128,\"g\":-1,\"h\":1.5}",
        "{\"a\":9223372036854775807,\"b\":-9223372036854775808}",
        "{\"a\":\"OpaqueRef:NULL\",\"b\":\"OpaqueRef:01234567-89ab-cdef-0123-456789abcdef\"}",
        "{\"a\":\"01234567-89ab-cdef-0123-456789abcdef\",\"b\":\"01234567-89AB-cdef-0123-"
        "456789abcdef\",\"c\":\"01234567-89ab-cdef-0123-456789abcde\",\"d\":\"OpaqueRef:\"}",
        "{\"a\":[],\"b\":{},\"c\":[[{\"true\":[\"x\",\"\"]}]],\"true\":\"hvm\",\"\":\"()\"}",
        "{\"a\":\"a long text that is shared between the records that have it, of 64 bytes or "
        "more\",\"b\":[\"a long text that is shared between the records that have it, of 64 "
        "bytes or more\"],\"c\":\"\\u0000 inside\"}",
    };
    g_autoptr(Cells) cells = cells_new();
    g_autoptr(Packer) packer = packer_new(cells);
    Shape *shape = NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        json_t *json = json_loads(texts[i], JSON_ALLOW_NUL, NULL);
        assert_non_null(json);
        Record *record = record_pack(packer, "VM", "OpaqueRef:1", json, &shape);
        Record *again = record_pack(packer, "VM", "OpaqueRef:1", json, &shape);
        json_t *back = record_unpack(record);
        assert_true(json_equal(back, json));
        assert_true(record_equal(record, again));
        assert_string_equal(record_key(record), "OpaqueRef:1");
        json_decref(back);
        json_decref(json);
        record_unref(record);
        record_unref(again);
    }
    shape_unref(shape);
}

/* Read from its text, a record is the same to the byte as one that was built; cut short anywhere,
 * it is not taken. */
static void test_texts(void **state)
{
    static const char *const texts[] = {
        "{\"a\":0,\"b\":127,\"c\":128,\"d\":-1,\"e\":true,\"f\":false,\"g\":null,\"h\":-0}",
        "{ \"a\" : 1.5 , \"b\":[ ] ,\"c\":{ },\"d\":-2e-3,\"e\":1E5,\"f\":123456789012345678 }",
        "{\"a\":\"OpaqueRef:NULL\",\"b\":\"OpaqueRef:01234567-89ab-cdef-0123-456789abcdef\"}",
        "{\"a\":\"01234567-89ab-cdef-0123-456789abcdef\",\"b\":\"01234567-89AB-cdef-0123-"
        "456789abcdef\",\"c\":\"01234567-89ab-cdef-0123-456789abcde\",\"d\":\"OpaqueRef:\"}",
        "{\"a\":{\"true\":[\"x\",\"\",[{\"Running\":1}]],\"é\":\"ü\"},\"true\":\"hvm\",\"\":\"()"
        "\"}",
        "{\"a\":\"a long text that is shared between the records that have it, of 64 bytes or "
        "more\",\"b\":\"with \\\"quotes\\\" and \\\\ and \\n\",\"c\":{\"k\":\"\\/\"}}",
    };
    g_autoptr(Cells) cells = cells_new();
    g_autoptr(Packer) packer = packer_new(cells);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        Shape *shape = NULL;
        json_t *json = json_loads(texts[i], 0, NULL);
        Record *built = record_pack(packer, "VM", "OpaqueRef:1", json, &shape);
        for (gsize n = 0; n <= strlen(texts[i]); n++) {
            g_autofree char *part = g_memdup2(texts[i], n);
            gsize taken = n;
            Record *read = record_take(packer, "OpaqueRef:1", part, &taken, shape);
            assert_true(!read == (n < strlen(texts[i])));
            assert_true(!read || (taken == n && record_equal(read, built)));
            record_unref(read);
        }
        json_decref(json);
        record_unref(built);
        shape_unref(shape);
    }
}

/* What only the tokenizer knows to judge, or what is of another shape. */
static void test_texts_that_are_not_taken(void **state)
{
    static const char *const texts[] = {
        "{\"a\":1,\"b\":2,\"c\":3}", "{\"a\":1}",
        "{\"b\":1,\"a\":2}",         "{\"a\":1,\"b\":{\"k\":1,\"k\":2}}",
        "{\"a\":01,\"b\":2}",        "{\"a\":1,\"b\":\"\\u00e9\"}",
        "{\"a\":1,\"b\":\"\xff\"}",  "{\"a\":1,\"b\":\"\n\"}",
        "{\"a\":1,\"b\":NaN}",       "{\"a\":1,\"b\":1e999}",
        "{\"a\":1,\"b\":1.}",        "{\"a\":1,\"b\":1234567890123456789}",
        "{\"a\":1,\"b\":[1,]}",      "{\"a\":1,\"b\":{,}}",
        "{\"a\":1,\"\\b\":2}",       "{\"a\":1 \"b\":2}",
    };
    g_autoptr(Cells) cells = cells_new();
    g_autoptr(Packer) packer = packer_new(cells);
    Shape *shape = NULL;
    json_t *json = json_pack("{s:i, s:i}", "a", 1, "b", 2);
    record_unref(record_pack(packer, "VM", "OpaqueRef:1", json, &shape));
    json_decref(json);
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        gsize n = strlen(texts[i]);
        if (record_take(packer, "OpaqueRef:1", texts[i], &n, shape))
            fail_msg("taken: %s", texts[i]);
    }
    shape_unref(shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_first_look, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ids_are_plain, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_metrics_renew_their_vm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unchanged_is_not_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_task_comes_late, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_snapshots_keep_what_they_saw, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gone_and_back_is_no_leave, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_default_template_has_the_pools_id, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_keep_only_and_clear, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_chain_is_summed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_vain_waiting_is_bounded, set_up, tear_down),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_texts_that_are_not_taken),
        cmocka_unit_test(test_any_json_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
