/* Rows of the object store: fields, relations, generations, and the tables that they come from. */
#include "sim/inner.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static char *folder;

static int set_up(void **state)
{
    SimOptions options;
    sim_options_init(&options);
    folder = g_dir_make_tmp("sim-model-XXXXXX", NULL);
    options.data_dir = folder;
    options.n_vms = 0;
    *state = sim_new(&options, NULL);
    assert_non_null(*state);
    sim_lock(*state);
    return 0;
}

static int tear_down(void **state)
{
    sim_unlock(*state);
    sim_free(*state);
    g_rmdir(folder);
    g_free(folder);
    return 0;
}

static void test_defaults(void **state)
{
    Obj *vm = obj_new(*state, "VM");
    assert_string_equal(obj_str(vm, "power_state"), "Halted");
    assert_string_equal(obj_str(vm, "suspend_VDI"), REF_NULL);
    assert_string_equal(obj_str(vm, "snapshot_metadata"), "");
    assert_int_equal(obj_set_size(vm, "VBDs"), 0);
    assert_int_equal(obj_int(obj_new(*state, "network"), "MTU"), 1500);
    assert_string_equal(obj_map_get(sim_pool(*state), "license_server", "port"), "27000");
    assert_int_equal(strlen(obj_uuid(vm)), 36);
    assert_ptr_equal(obj_find_uuid(*state, "VM", obj_uuid(vm)), vm);
    assert_ptr_equal(obj_find_any(*state, "VM", obj_ref(vm)), vm);
    assert_null(obj_find(*state, "VDI", obj_ref(vm)));
}

static void test_relations(void **state)
{
    Obj *a = obj_new(*state, "VM"), *b = obj_new(*state, "VM"), *vbd = obj_new(*state, "VBD");
    obj_put_ref(vbd, "VM", a);
    assert_int_equal(obj_set_size(a, "VBDs"), 1);
    assert_ptr_equal(obj_follow_nth(a, "VBDs", 0), vbd);
    obj_put_ref(vbd, "VM", b);
    assert_int_equal(obj_set_size(a, "VBDs"), 0);
    assert_true(obj_set_has(b, "VBDs", obj_ref(vbd)));
    obj_drop(vbd);
    assert_int_equal(obj_set_size(b, "VBDs"), 0);
    Obj *snapshot = obj_new(*state, "VM");
    obj_put_ref(snapshot, "snapshot_of", b);
    g_autofree char *ref = g_strdup(obj_ref(b));
    obj_drop(b);
    assert_string_equal(obj_str(snapshot, "snapshot_of"), ref); /* dangles, as in a real pool */
    assert_null(obj_follow(snapshot, "snapshot_of"));
}

static void test_sets_and_maps(void **state)
{
    Obj *vm = obj_new(*state, "VM"), *copy = obj_new(*state, "VM");
    obj_set_add(vm, "tags", "a");
    obj_set_add(vm, "tags", "b");
    obj_set_add(vm, "tags", "a");
    assert_int_equal(obj_set_size(vm, "tags"), 2);
    obj_map_put(vm, "other_config", "k", "1");
    obj_map_put(vm, "other_config", "l", "2");
    obj_copy_field(copy, vm, "other_config");
    obj_map_put(vm, "other_config", "k", "3");
    assert_string_equal(obj_map_get(copy, "other_config", "k"), "1");
    assert_string_equal(obj_map_get(vm, "other_config", "k"), "3");
    obj_map_remove(vm, "other_config", "k");
    assert_null(obj_map_get(vm, "other_config", "k"));
    assert_int_equal(obj_map_size(vm, "other_config"), 1);
    obj_set_clear(vm, "tags");
    assert_int_equal(obj_set_size(vm, "tags"), 0);
}

static void test_generations(void **state)
{
    Obj *vm = obj_new(*state, "VM"), *other = obj_new(*state, "VM");
    Rows *rows = sim_rows(*state);
    assert_ptr_equal(rows_latest(rows, obj_table(vm)), other);
    obj_put_str(vm, "name_label", "x");
    assert_ptr_equal(rows_latest(rows, obj_table(vm)), vm);
    assert_ptr_equal(obj_earlier(vm), other);
    guint64 before = rows_generation(rows);
    obj_put_str(vm, "name_label", "x");
    obj_put_int(vm, "order", 0);
    obj_set_remove(vm, "tags", "none");
    assert_int_equal(rows_generation(rows), before); /* nothing changed */
    assert_true(obj_created(vm) < obj_changed(vm));
    g_autofree char *ref = g_strdup(obj_ref(vm));
    obj_drop(vm);
    const Gone *gone = rows_gone(rows)->data;
    assert_string_equal(gone->ref, ref);
    assert_int_equal(gone->dropped, before + 1);
    assert_ptr_equal(rows_latest(rows, obj_table(other)), other);
}

static void put(Obj *obj, const char *field, json_t *value, const char *code)
{
    g_autoptr(GError) error = NULL;
    assert_int_equal(obj_put_json(obj, field, value, &error), code == NULL);
    if (code != NULL)
        assert_string_equal(err_xapi_code(error), code);
    json_decref(value);
}

static void test_from_json(void **state)
{
    Obj *vm = obj_new(*state, "VM");
    put(vm, "VCPUs_max", json_string("12"), NULL);
    assert_int_equal(obj_int(vm, "VCPUs_max"), 12);
    put(vm, "VCPUs_max", json_real(3), NULL);
    put(vm, "VCPUs_max", json_real(3.5), "FIELD_TYPE_ERROR");
    put(vm, "VCPUs_max", json_string("many"), "FIELD_TYPE_ERROR");
    put(vm, "HVM_shadow_multiplier", json_integer(2), NULL);
    put(vm, "is_a_template", json_string("true"), "FIELD_TYPE_ERROR");
    put(vm, "power_state", json_string("Asleep"), "INVALID_VALUE");
    put(vm, "affinity", json_string(""), NULL);
    assert_string_equal(obj_str(vm, "affinity"), REF_NULL);
    put(vm, "other_config", json_pack("{ss}", "a", "b"), NULL);
    put(vm, "other_config", json_pack("{si}", "a", 1), "FIELD_TYPE_ERROR");
    put(vm, "tags", json_pack("[i]", 1), "FIELD_TYPE_ERROR");
    put(vm, "snapshot_time", json_string("20260821T02:00:00Z"), NULL);
    json_t *record = obj_json(vm);
    assert_int_equal(json_object_size(record), obj_table(vm)->n_fields);
    assert_string_equal(json_string_value(json_object_get(record, "snapshot_time")),
                        "20260821T02:00:00Z");
    json_decref(record);
}

/* The facts: classes, fields and messages of the datamodel. */
static void test_datamodel(void **state)
{
    const Datamodel *model = rows_datamodel(sim_rows(*state));
    static const struct {
        const char *cls;
        guint n_fields;
    } classes[] = {
        { "VM", 91 }, { "VDI", 32 },  { "VBD", 22 }, { "SR", 21 },
        { "PBD", 6 }, { "task", 17 }, { "PIF", 35 }, { "session", 16 },
    };
    for (guint i = 0; i < G_N_ELEMENTS(classes); i++)
        assert_int_equal(datamodel_class(model, classes[i].cls)->n_fields, classes[i].n_fields);
    const Message *message = datamodel_message(model, "VM.snapshot");
    assert_int_equal(message->n_min, 2);
    assert_int_equal(message->n_max, 3);
    assert_non_null(datamodel_message(model, "VM.add_to_other_config"));
    assert_null(datamodel_message(model, "VM.set_uuid"));
    assert_null(datamodel_message(model, "message.get_body"));
    assert_true(datamodel_message(model, "VMPP.get_all_records")->flags & REMOVED);
    assert_true(enum_has("a bc d", "bc"));
    assert_false(enum_has("a bc d", "b"));
    assert_false(enum_has("a bc d", ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_defaults, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_relations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_sets_and_maps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_generations, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from_json, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_datamodel, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
