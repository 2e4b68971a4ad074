/* Disks through the API's own calls: the records and the tree after snapshots, clones, deletions
 * and merging; space; change tracking; content. */
#include "sim/fault_rules.h"
#include "sim/inner.h"
#include "sim/storage_disk.h"
#include "sim/storage_io.h"

#include <glib/gstdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { MIB = 1 << 20, DISK_BYTES = 64 * MIB };

typedef struct {
    Sim *sim;
    char *folder, *session, *vdi, *sr;
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);
    SimOptions options;
    sim_options_init(&options);
    f->folder = g_dir_make_tmp("sim-storage-XXXXXX", NULL);
    options.data_dir = f->folder;
    options.disk_bytes = DISK_BYTES;
    options.n_vms = 1;
    options.n_running = 0;
    f->sim = sim_new(&options, NULL);
    assert_non_null(f->sim);
    fault_set_coalesce_delay(f->sim, 0.02);
    sim_lock(f->sim);
    f->session = g_strdup(sim_session_open(f->sim, "root", "test"));
    for (Obj *vdi = obj_first(f->sim, "VDI"); vdi && !f->vdi; vdi = obj_next(vdi))
        if (obj_set_size(vdi, "VBDs") && obj_int(vdi, "virtual_size") == DISK_BYTES) {
            f->vdi = g_strdup(obj_ref(vdi));
            f->sr = g_strdup(obj_str(vdi, "SR"));
        }
    sim_unlock(f->sim);
    assert_non_null(f->vdi);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;
    sim_free(f->sim);
    g_rmdir(f->folder);
    g_free(f->folder);
    g_free(f->session);
    g_free(f->vdi);
    g_free(f->sr);
    g_free(f);
    return 0;
}

/* The result of a call, as text: "!CODE" when it fails. Parameters are packed as jansson does. */
static char *call(Fixture *f, const char *method, json_t *params)
{
    g_autoptr(GError) error = NULL;
    Wire *out = wire_new(false);
    json_array_insert_new(params, 0, json_string(f->session));
    bool ok = call_dispatch(f->sim, 0, NULL, method, params, out, &error);
    g_autoptr(GString) text = wire_finish(out);
    json_decref(params);
    if (!ok)
        return g_strdup_printf("!%s", err_xapi_code(error));
    json_t *value = json_loads(text->str, JSON_DECODE_ANY, NULL);
    char *result = json_is_string(value) ? g_strdup(json_string_value(value)) : g_strdup(text->str);
    json_decref(value);
    return result;
}

static char *call1(Fixture *f, const char *method, const char *ref)
{
    return call(f, method, json_pack("[s]", ref));
}

static char *digest(Fixture *f, const char *vdi)
{
    sim_lock(f->sim);
    char *sum = storage_vdi_digest(f->sim, vdi, NULL);
    sim_unlock(f->sim);
    assert_non_null(sum);
    return sum;
}

static void guest_write(Fixture *f, guint32 block)
{
    sim_lock(f->sim);
    assert_true(storage_guest_write(f->sim, f->vdi, 0, &block, 1, 0, NULL));
    sim_unlock(f->sim);
}

/* A field of a record as text; map fields as "field/key". */
static char *field(Fixture *f, const char *vdi, const char *name)
{
    sim_lock(f->sim);
    const Obj *record = obj_find(f->sim, "VDI", vdi);
    g_auto(GStrv) parts = g_strsplit(name, "/", 2);
    char *text = NULL;
    if (record && parts[1])
        text = g_strdup(obj_map_get(record, parts[0], parts[1]));
    else if (record) {
        json_t *value = obj_field_json(record, name);
        text = json_is_string(value) ? g_strdup(json_string_value(value))
                                     : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        json_decref(value);
    }
    sim_unlock(f->sim);
    return text;
}

static void check_field(Fixture *f, const char *vdi, const char *name, const char *expected)
{
    g_autofree char *text = field(f, vdi, name);
    if (g_strcmp0(text, expected) != 0)
        print_error("%s is %s, not %s\n", name, text, expected);
    assert_int_equal(g_strcmp0(text, expected), 0);
}

static guint n_hidden(Fixture *f)
{
    sim_lock(f->sim);
    guint n = 0;
    const Obj *sr = obj_find(f->sim, "SR", f->sr);
    for (guint i = 0; i < obj_set_size(sr, "VDIs"); i++)
        n += !obj_bool(obj_follow_nth(sr, "VDIs", i), "managed");
    sim_unlock(f->sim);
    return n;
}

static void wait_for_hidden(Fixture *f, guint expected)
{
    for (guint i = 0; i < 200 && n_hidden(f) != expected; i++)
        g_usleep(20000);
    assert_int_equal(n_hidden(f), expected);
}

static void test_snapshot_records(void **state)
{
    Fixture *f = *state;
    g_free(call(f, "VDI.add_to_other_config", json_pack("[sss]", f->vdi, "xo:mark", "7")));
    g_autofree char *snapshot = call1(f, "VDI.snapshot", f->vdi);
    check_field(f, snapshot, "is_a_snapshot", "true");
    check_field(f, snapshot, "snapshot_of", f->vdi);
    check_field(f, snapshot, "managed", "true");
    check_field(f, snapshot, "other_config/xo:mark", "7");
    g_autofree char *a = field(f, f->vdi, "sm_config/vhd-parent");
    g_autofree char *b = field(f, snapshot, "sm_config/vhd-parent");
    assert_non_null(a);
    assert_string_equal(a, b);
    g_autofree char *base = call1(f, "VDI.get_by_uuid", a);
    check_field(f, base, "managed", "false");
    check_field(f, base, "name_label", "base copy");
    assert_int_equal(n_hidden(f), 1);
    g_autofree char *use = field(f, snapshot, "physical_utilisation");
    assert_true(g_ascii_strtoll(use, NULL, 10) < MIB);
    g_autofree char *snapshots = field(f, f->vdi, "snapshots");
    assert_non_null(strstr(snapshots, snapshot));
    g_autofree char *second = call1(f, "VDI.snapshot", f->vdi); /* nothing was written */
    assert_int_equal(n_hidden(f), 1);
    check_field(f, second, "sm_config/vhd-parent", a);
    g_autofree char *clone = call1(f, "VDI.clone", snapshot);
    check_field(f, clone, "is_a_snapshot", "false");
    check_field(f, clone, "snapshot_of", REF_NULL);
}

static void test_content_and_merge(void **state)
{
    Fixture *f = *state;
    g_autofree char *d0 = digest(f, f->vdi);
    g_autofree char *s1 = call1(f, "VDI.snapshot", f->vdi);
    guest_write(f, 0);
    guest_write(f, 3);
    g_autofree char *d1 = digest(f, f->vdi);
    g_autofree char *s2 = call1(f, "VDI.snapshot", f->vdi);
    guest_write(f, 3);
    g_autofree char *d2 = digest(f, f->vdi), *ds1 = digest(f, s1), *ds2 = digest(f, s2);
    assert_string_not_equal(d0, d1);
    assert_string_not_equal(d1, d2);
    assert_string_equal(ds1, d0);
    assert_string_equal(ds2, d1);
    assert_int_equal(n_hidden(f), 2);
    g_usleep(200000);
    g_free(call1(f, "SR.scan", f->sr)); /* two children each: nothing may be merged */
    g_usleep(200000);
    assert_int_equal(n_hidden(f), 2);
    g_free(call1(f, "VDI.destroy", s1));
    wait_for_hidden(f, 1);
    g_autofree char *d2_merged = digest(f, f->vdi), *ds2_merged = digest(f, s2);
    assert_string_equal(d2_merged, d2);
    assert_string_equal(ds2_merged, d1);
    g_free(call1(f, "VDI.destroy", s2));
    wait_for_hidden(f, 0);
    check_field(f, f->vdi, "sm_config/vhd-parent", NULL);
    g_autofree char *d2_alone = digest(f, f->vdi);
    assert_string_equal(d2_alone, d2);
}

static void test_refusals(void **state)
{
    Fixture *f = *state;
    GError *error = NULL;
    g_autofree char *vbd = storage_attach(f->sim, f->vdi, true, &error);
    assert_non_null(vbd);
    const struct {
        const char *method, *code;
    } cases[] = { { "VDI.destroy", "!VDI_IN_USE" },
                  { "VDI.data_destroy", "!VDI_NO_CBT_METADATA" } };
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *result = call1(f, cases[i].method, f->vdi);
        assert_string_equal(result, cases[i].code);
    }
    g_autofree char *grown =
        call(f, "VDI.resize", json_pack("[sI]", f->vdi, (json_int_t) DISK_BYTES * 2));
    assert_string_equal(grown, "!VDI_IN_USE");
    storage_detach(f->sim, vbd, 0);
    g_autofree char *shrunk = call(f, "VDI.resize", json_pack("[sI]", f->vdi, (json_int_t) MIB));
    assert_string_equal(shrunk, "!SR_BACKEND_FAILURE_79");
    g_free(call(f, "VDI.resize", json_pack("[sI]", f->vdi, (json_int_t) DISK_BYTES + 1)));
    check_field(f, f->vdi, "virtual_size", "69206016"); /* rounded up to 2 MiB */
    g_autofree char *snapshot = call1(f, "VDI.snapshot", f->vdi);
    g_autofree char *parent = field(f, snapshot, "sm_config/vhd-parent");
    g_autofree char *base = call1(f, "VDI.get_by_uuid", parent);
    g_autofree char *destroyed = call1(f, "VDI.destroy", base);
    assert_string_equal(destroyed, "!VDI_NOT_MANAGED");
    g_autofree char *tracked = call1(f, "VDI.enable_cbt", snapshot);
    assert_string_equal(tracked, "!OPERATION_NOT_ALLOWED");
}

static void test_chain_limit(void **state)
{
    Fixture *f = *state;
    for (guint i = 0; i < 29; i++) {
        guest_write(f, i);
        g_autofree char *snapshot = call1(f, "VDI.snapshot", f->vdi);
        assert_true(*snapshot != '!');
    }
    guest_write(f, 0);
    g_autofree char *refused = call1(f, "VDI.snapshot", f->vdi);
    assert_string_equal(refused, "!SR_BACKEND_FAILURE_109");
}

static void test_full_sr(void **state)
{
    Fixture *f = *state;
    const guint32 all[] = { 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31 };
    g_autoptr(GError) error = NULL;
    g_autofree char *snapshot = call1(f, "VDI.snapshot", f->vdi);
    sim_lock(f->sim);
    assert_true(storage_sr_fill(f->sim, f->sr, 10 * MIB, NULL));
    assert_false(storage_guest_write(f->sim, f->vdi, 0, all, G_N_ELEMENTS(all), 0, &error));
    assert_string_equal(err_xapi_code(error), "SR_BACKEND_FAILURE_44");
    assert_true(storage_sr_fill(f->sim, f->sr, 0, NULL));
    sim_unlock(f->sim);
    g_autofree char *refused = call1(f, "VDI.snapshot", f->vdi);
    assert_string_equal(refused, "!SR_BACKEND_FAILURE_44");
    sim_lock(f->sim);
    assert_true(storage_sr_fill(f->sim, f->sr, -1, NULL));
    assert_true(storage_guest_write(f->sim, f->vdi, 0, all, G_N_ELEMENTS(all), 0, NULL));
    sim_unlock(f->sim);
}

static void test_cbt(void **state)
{
    Fixture *f = *state;
    g_free(call1(f, "VDI.enable_cbt", f->vdi));
    guest_write(f, 9);
    g_autofree char *s1 = call1(f, "VDI.snapshot", f->vdi);
    check_field(f, s1, "cbt_enabled", "true");
    guest_write(f, 1);
    g_autofree char *s2 = call1(f, "VDI.snapshot", f->vdi);
    guest_write(f, 2);
    g_autofree char *s3 = call1(f, "VDI.snapshot", f->vdi);
    gsize n;
    g_autofree char *one = call(f, "VDI.list_changed_blocks", json_pack("[ss]", s1, s2));
    g_autofree guchar *one_bits = g_base64_decode(one, &n);
    assert_int_equal(n, DISK_BYTES / 65536 / 8);
    const guint8 expected[] = { 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0 };
    assert_memory_equal(one_bits, expected, sizeof expected);
    g_free(call1(f, "VDI.data_destroy", s1));
    check_field(f, s1, "type", "cbt_metadata");
    check_field(f, s1, "sm_config/vhd-parent", NULL);
    g_free(call1(f, "VDI.destroy", s2));
    g_autofree char *both = call(f, "VDI.list_changed_blocks", json_pack("[ss]", s1, s3));
    g_autofree guchar *bits = g_base64_decode(both, &n);
    for (guint i = 0; i < 20; i++)
        assert_int_equal(bits[i], i >= 4 && i < 12 ? 0xff : 0);
    g_autofree char *other = call(f, "VDI.list_changed_blocks", json_pack("[ss]", s3, s1));
    assert_string_equal(other, "!SR_BACKEND_FAILURE_460");
    g_autofree char *nbd = call1(f, "VDI.get_nbd_info", s1);
    assert_string_equal(nbd, "!VDI_INCOMPATIBLE_TYPE");
}

static void test_write_and_copy(void **state)
{
    Fixture *f = *state;
    g_autofree guint8 *data = g_malloc(3 * MIB), *back = g_malloc(3 * MIB);
    for (guint i = 0; i < 3 * MIB; i++)
        data[i] = (guint8) (i * 7 + i / 4096);
    g_free(call1(f, "VDI.snapshot", f->vdi));
    assert_true(storage_write(f->sim, f->vdi, 5 * MIB + 1000, data, 3 * MIB, NULL));
    assert_true(storage_read(f->sim, f->vdi, 5 * MIB + 1000, back, 3 * MIB, NULL));
    assert_memory_equal(back, data, 3 * MIB);
    assert_false(storage_write(f->sim, f->vdi, DISK_BYTES - 100, data, 200, NULL));
    g_autofree char *copy = call(f, "VDI.copy", json_pack("[ss]", f->vdi, f->sr));
    check_field(f, copy, "sm_config/vhd-parent", NULL);
    g_autofree char *a = digest(f, f->vdi), *b = digest(f, copy);
    assert_string_equal(a, b);
    guest_write(f, 0);
    g_autofree char *c = digest(f, copy);
    assert_string_equal(c, b);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = { T(test_snapshot_records), T(test_content_and_merge),
                                        T(test_refusals),         T(test_chain_limit),
                                        T(test_full_sr),          T(test_cbt),
                                        T(test_write_and_copy) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
