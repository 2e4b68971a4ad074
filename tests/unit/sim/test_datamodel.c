/* The simulator's classes against XAPI's own datamodel (the JSON file that xapi's build makes,
 * named by CADENZA_DATAMODEL; skipped without): every class, every field, its type, and a fresh
 * record of each whose values have these types. What XAPI has learned since that file is listed
 * here. */
#include "sim/inner.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* Fields of newer versions than the file (24.10). */
static const struct {
    const char *cls, *fields;
} newer[] = {
    { "VM", "groups secureboot_certificates_state" },
    { "VM_metrics", "numa_optimised numa_nodes numa_node_memory" },
    { "VM_guest_metrics", "netbios_name services" },
    { "VIF", "trunks" },
    { "SM", "host_pending_features supported_image_formats" },
    { "host",
      "ssh_enabled ssh_enabled_timeout ssh_expiry console_idle_timeout ssh_auto_mode max_cstate "
      "secure_boot ntp_mode ntp_custom_servers timezone" },
    { "pool", "recommendations license_server ext_auth_cache_enabled ext_auth_cache_size "
              "ext_auth_cache_expiry ha_reboot_vm_on_internal_shutdown limit_console_sessions "
              "vm_console_idle_timeout auto_update_vm_secureboot_certificates" },
    { "Certificate", "fingerprint_sha256 fingerprint_sha1 purpose" },
    { "Repository", "origin certificate" },
    { "Cluster", "cluster_stack_version expected_hosts" },
};
static const char *const newer_classes[] = { "VM_group", "Host_driver", "Driver_variant",
                                             "Caller",   "Rate_limit",  NULL };

static const char *text_of(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_newer(const char *cls, const char *field)
{
    for (gsize i = 0; i < G_N_ELEMENTS(newer); i++) {
        g_auto(GStrv) fields = g_strsplit(newer[i].fields, " ", -1);
        if (g_str_equal(newer[i].cls, cls) && g_strv_contains((const char *const *) fields, field))
            return true;
    }
    return false;
}

/* Whether a value is of a datamodel's type: "string", "int", "VM ref", "VBD ref set", "(string ->
 * string) map", "enum vm_power_state". */
static bool fits(json_t *value, const char *type, const char *values)
{
    if (g_str_has_suffix(type, " set"))
        return json_is_array(value);
    if (g_str_has_suffix(type, " map"))
        return json_is_object(value);
    if (g_str_has_suffix(type, " ref"))
        return json_is_string(value) && g_str_has_prefix(json_string_value(value), "OpaqueRef:");
    if (g_str_equal(type, "bool"))
        return json_is_boolean(value);
    if (g_str_equal(type, "int"))
        return json_is_integer(value);
    if (g_str_equal(type, "float"))
        return json_is_number(value);
    if (g_str_has_prefix(type, "enum "))
        return json_is_string(value) && values && enum_has(values, json_string_value(value));
    return json_is_string(value); /* text, dates */
}

/* The values of an enumeration of the file, separated by spaces; caller frees. */
static char *enumeration(json_t *model, const char *type)
{
    size_t i, k, n;
    json_t *cls, *each, *value;
    if (!g_str_has_prefix(type, "enum "))
        return NULL;
    GString *text = g_string_new(NULL);
    json_array_foreach (model, i, cls)
        json_array_foreach (json_object_get(cls, "enums"), k, each)
            if (text->len == 0 && g_str_equal(text_of(each, "name"), type + 5))
                json_array_foreach (json_object_get(each, "values"), n, value)
                    g_string_append_printf(text, "%s%s", text->len ? " " : "",
                                           text_of(value, "name"));
    return g_string_free(text, FALSE);
}

static unsigned check_field(json_t *model, const char *cls, json_t *record, json_t *field)
{
    const char *name = text_of(field, "name"), *type = text_of(field, "type");
    json_t *value = json_object_get(record, name);
    g_autofree char *values = enumeration(model, type);
    bool removed = g_str_equal(text_of(json_object_get(field, "lifecycle"), "state"), "Removed_s");
    if (!value && removed)
        return 0;
    if (value && fits(value, type, values))
        return 0;
    char *shown = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    print_message("%s.%s: %s is not of type %s\n", cls, name, shown ? shown : "nothing", type);
    free(shown);
    return 1;
}

/* Some classes are names for calls or for the shape of answers. */
static bool has_objects(json_t *cls)
{
    size_t i;
    json_t *message;
    json_array_foreach (json_object_get(cls, "messages"), i, message)
        if (g_str_equal(text_of(message, "name"), "get_record"))
            return true;
    return false;
}

static unsigned check_class(json_t *model, Sim *sim, json_t *theirs)
{
    const char *name = text_of(theirs, "name"), *field_name;
    json_t *fields = json_object_get(theirs, "fields"), *field, *value;
    const Class *ours = datamodel_class(rows_datamodel(sim_rows(sim)), name);
    unsigned n = 0;
    size_t i;
    if (!ours && !has_objects(theirs))
        return 0;
    if (!ours || (ours->flags & (NO_FIELDS | REMOVED))) {
        if (!ours)
            print_message("class %s is missing\n", name);
        return ours == NULL;
    }
    json_t *record = obj_json(obj_new(sim, name)), *known = json_object();
    json_array_foreach (fields, i, field) {
        n += check_field(model, name, record, field);
        json_object_set_new(known, text_of(field, "name"), json_true());
    }
    json_object_foreach (record, field_name, value)
        if (!json_object_get(known, field_name) && !is_newer(name, field_name)) {
            print_message("%s.%s is not in the datamodel\n", name, field_name);
            n++;
        }
    json_decref(known);
    json_decref(record);
    return n;
}

static void test_every_class(void **state)
{
    const char *path = g_getenv("CADENZA_DATAMODEL");
    json_t *model = path ? json_load_file(path, 0, NULL) : NULL, *cls;
    if (!model) {
        print_message("no datamodel: set CADENZA_DATAMODEL to xapi's xenapi.json\n");
        skip();
    }
    SimOptions options;
    sim_options_init(&options);
    g_autofree char *folder = g_dir_make_tmp("sim-datamodel-XXXXXX", NULL);
    options.data_dir = folder;
    options.n_vms = 0;
    Sim *sim = sim_new(&options, NULL);
    sim_lock(sim);
    unsigned n_wrong = 0;
    size_t i;
    json_array_foreach (model, i, cls)
        n_wrong += check_class(model, sim, cls);
    const Datamodel *ours = rows_datamodel(sim_rows(sim));
    for (guint k = 0; k < datamodel_n_classes(ours); k++) {
        const char *name = datamodel_nth_class(ours, k)->name;
        bool known = g_strv_contains(newer_classes, name);
        json_array_foreach (model, i, cls)
            known = known || g_str_equal(text_of(cls, "name"), name);
        if (!known)
            print_message("class %s is not in the datamodel\n", name);
        n_wrong += !known;
    }
    print_message("%zu classes compared\n", json_array_size(model));
    sim_unlock(sim);
    sim_free(sim);
    g_rmdir(folder);
    json_decref(model);
    assert_int_equal(n_wrong, 0);
}

/* Without the file: a fresh record of each class has the fields of the tables, of their kinds. */
static void test_own_tables(void **state)
{
    SimOptions options;
    sim_options_init(&options);
    g_autofree char *folder = g_dir_make_tmp("sim-datamodel-XXXXXX", NULL);
    options.data_dir = folder;
    options.n_vms = 0;
    Sim *sim = sim_new(&options, NULL);
    sim_lock(sim);
    const Datamodel *model = rows_datamodel(sim_rows(sim));
    for (guint i = 0; i < datamodel_n_classes(model); i++) {
        const Class *cls = datamodel_nth_class(model, i);
        if (cls->flags & (NO_FIELDS | REMOVED))
            continue;
        json_t *record = obj_json(obj_new(sim, cls->name));
        assert_int_equal(json_object_size(record), cls->n_fields);
        for (guint k = 0; k < cls->n_fields; k++) {
            const Field *field = &cls->fields[k];
            json_t *value = json_object_get(record, field->name);
            static const json_type types[] = {
                [SLOT_TEXT] = JSON_STRING, [SLOT_INT] = JSON_INTEGER, [SLOT_FLOAT] = JSON_REAL,
                [SLOT_BOOL] = JSON_TRUE,   [SLOT_SET] = JSON_ARRAY,   [SLOT_MAP] = JSON_OBJECT
            };
            bool same = json_typeof(value) == (field->is_date ? JSON_STRING : types[field->kind]) ||
                        (field->kind == SLOT_BOOL && json_is_boolean(value)) ||
                        (field->kind == SLOT_FLOAT && json_is_number(value));
            if (!same)
                fail_msg("%s.%s", cls->name, field->name);
            if (field->values && field->kind == SLOT_TEXT && *json_string_value(value))
                assert_true(enum_has(field->values, json_string_value(value)));
        }
        json_decref(record);
    }
    sim_unlock(sim);
    sim_free(sim);
    g_rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_tables),
        cmocka_unit_test(test_every_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
