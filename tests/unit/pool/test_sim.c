/* The pool client against the simulator, over real sockets: every object is shown, operations are
 * seen, tasks end, disks travel there and back. */
#include "base/error.h"
#include "http/certificate.h"
#include "pool/pool.h"
#include "sim/sim.h"
#include "scratch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { N_HOSTS = 2, N_VMS = 12, DISK_BYTES = 16 << 20, BARRIER_MS = 20000 };

typedef struct {
    Sim *sim;
    Pool *pool;
    char *data_dir;
} Test;

static char *sim_url(Sim *sim, const char *which)
{
    g_autofree char *text = sim_addresses(sim);
    json_t *addresses = json_loads(text, 0, NULL);
    char *url = g_strdup(json_string_value(json_object_get(addresses, which)));
    json_decref(addresses);
    return url;
}

static int set_up(void **state)
{
    Test *test = g_new0(Test, 1);
    g_autoptr(GError) error = NULL;
    SimOptions options;
    sim_options_init(&options);
    test->data_dir = scratch_new();
    options.data_dir = test->data_dir;
    options.listen = "127.0.20.1:0";
    options.n_hosts = N_HOSTS;
    options.n_vms = N_VMS;
    options.n_running = N_VMS / 2;
    options.disk_bytes = DISK_BYTES;
    options.boot_delay_ms = 100;
    g_autofree char *cert = g_build_filename(test->data_dir, "cert.pem", NULL);
    g_autofree char *key = g_build_filename(test->data_dir, "key.pem", NULL);
    if (!http_make_certificate(cert, key, "pool", &error))
        fail_msg("%s", error->message);
    options.cert_file = cert;
    options.key_file = key;
    test->sim = sim_new(&options, &error);
    if (!test->sim || !sim_start(test->sim, &error))
        fail_msg("%s", error->message);
    g_autofree char *url = sim_url(test->sim, "plain_url");
    XapiConfig config = { .host = url, .username = options.username, .password = options.password };
    test->pool = pool_new(&config, NULL);
    if (!pool_connect(test->pool, false, &error))
        fail_msg("%s", error->message);
    *state = test;
    return 0;
}

static int tear_down(void **state)
{
    Test *test = *state;
    pool_free(test->pool);
    sim_free(test->sim);
    scratch_drop(test->data_dir);
    g_free(test);
    return 0;
}

static bool try_tls(Test *test, HttpTrust trust, const char *fingerprint, GError **error)
{
    const SimOptions *options = sim_options(test->sim);
    g_autofree char *url = sim_url(test->sim, "url");
    XapiConfig config = { .host = url,
                          .username = options->username,
                          .password = options->password,
                          .trust = trust,
                          .fingerprint = fingerprint };
    g_autoptr(Pool) pool = pool_new(&config, NULL);
    assert_true(g_str_has_prefix(url, "https://"));
    return pool_connect(pool, false, error);
}

static void test_certificates(void **state)
{
    Test *test = *state;
    g_autoptr(GError) shown = NULL, wrong = NULL, error = NULL;
    assert_false(try_tls(test, HTTP_TRUST_SYSTEM, NULL, &shown));
    assert_true(err_is(shown, ERR_TLS));
    const char *fingerprint = err_detail(shown)[0]; /* for the person to confirm */
    assert_int_equal(strlen(fingerprint), 32 * 3 - 1);
    if (!try_tls(test, HTTP_TRUST_FINGERPRINT, fingerprint, &error) ||
        !try_tls(test, HTTP_TRUST_ANY, NULL, &error))
        fail_msg("%s", error->message);
    g_autofree char *other = g_strdup(fingerprint);
    other[0] = other[0] == '0' ? '1' : '0';
    assert_false(try_tls(test, HTTP_TRUST_FINGERPRINT, other, &wrong));
    assert_true(err_is(wrong, ERR_TLS));
    assert_string_equal(err_detail(wrong)[0], fingerprint);
}

static void count(const char *id, const char *type, GBytes *text, void *user)
{
    json_error_t error;
    json_t *object = json_loads(g_bytes_get_data(text, NULL), 0, &error);
    assert_non_null(object);
    assert_string_equal(json_string_value(json_object_get(object, "id")), id);
    json_decref(object);
    ++*(unsigned *) user;
}

static unsigned count_type(Test *test, const char *type)
{
    unsigned n = 0;
    g_autoptr(Inventory) now = pool_inventory(test->pool);
    inventory_each(now, type, count, &n);
    return n;
}

static guint sim_count(Test *test, const char *cls)
{
    sim_lock(test->sim);
    guint n = obj_count(test->sim, cls);
    sim_unlock(test->sim);
    return n;
}

static void test_every_object_is_shown(void **state)
{
    Test *test = *state;
    assert_int_equal(count_type(test, "host"), N_HOSTS);
    assert_int_equal(count_type(test, "VM-controller"), N_HOSTS);
    assert_int_equal(count_type(test, "VM"), N_VMS);
    assert_int_equal(count_type(test, "VBD"), sim_count(test, "VBD"));
    assert_int_equal(count_type(test, "VIF"), sim_count(test, "VIF"));
    assert_int_equal(count_type(test, "SR"), sim_count(test, "SR"));
    assert_int_equal(count_type(test, "PIF"), sim_count(test, "PIF"));
    assert_int_equal(count_type(test, "network"), sim_count(test, "network"));
}

typedef struct {
    const char *state;
    char *id, *ref;
} Wanted;

static void find_by_state(const char *id, const char *type, GBytes *text, void *user)
{
    Wanted *wanted = user;
    json_t *object = json_loads(g_bytes_get_data(text, NULL), 0, NULL);
    const char *state = json_string_value(json_object_get(object, "power_state"));
    if (!wanted->id && strcmp(state, wanted->state) == 0) {
        wanted->id = g_strdup(id);
        wanted->ref = g_strdup(json_string_value(json_object_get(object, "_xapiRef")));
    }
    json_decref(object);
}

static Wanted find_vm_if_any(Test *test, const char *state)
{
    Wanted wanted = { .state = state };
    g_autoptr(Inventory) now = pool_inventory(test->pool);
    inventory_each(now, "VM", find_by_state, &wanted);
    return wanted;
}

static Wanted find_vm(Test *test, const char *state)
{
    Wanted wanted = find_vm_if_any(test, state);
    assert_non_null(wanted.id);
    return wanted;
}

static void wanted_clear(Wanted *wanted)
{
    g_free(wanted->id);
    g_free(wanted->ref);
}

static char *field(Test *test, const char *id, const char *name)
{
    g_autoptr(GError) error = NULL;
    if (!pool_barrier(test->pool, BARRIER_MS, &error))
        fail_msg("%s", error->message);
    g_autoptr(Inventory) now = pool_inventory(test->pool);
    json_t *object = inventory_object(now, id);
    char *text = g_strdup(json_string_value(json_object_get(object, name)));
    json_decref(object);
    return text;
}

static void test_operations_are_seen(void **state)
{
    Test *test = *state;
    g_autoptr(GError) error = NULL;
    Xapi *xapi = pool_xapi(test->pool);
    Wanted vm = find_vm(test, "Halted");
    g_autofree char *result = xapi_call_task(xapi, "VM.start", json_pack("[s,b,b]", vm.ref, 0, 0),
                                             NULL, NULL, NULL, &error);
    if (!result)
        fail_msg("%s", error->message);
    g_autofree char *running = field(test, vm.id, "power_state");
    assert_string_equal(running, "Running");
    assert_null(xapi_call_task(xapi, "VM.start", json_pack("[s,b,b]", vm.ref, 0, 0), NULL, NULL,
                               NULL, &error));
    assert_string_equal(err_xapi_code(error), "VM_BAD_POWER_STATE");
    assert_true(xapi_do(xapi, "VM.hard_shutdown", json_pack("[s]", vm.ref), NULL));
    g_autofree char *halted = field(test, vm.id, "power_state");
    assert_string_equal(halted, "Halted");
    assert_true(xapi_do(xapi, "VM.set_name_label", json_pack("[s,s]", vm.ref, "named"), NULL));
    g_autofree char *name = field(test, vm.id, "name_label");
    assert_string_equal(name, "named");
    wanted_clear(&vm);
}

static void test_snapshot_comes_and_goes(void **state)
{
    Test *test = *state;
    g_autoptr(GError) error = NULL;
    Xapi *xapi = pool_xapi(test->pool);
    Wanted vm = find_vm(test, "Running");
    unsigned n_disks = count_type(test, "VDI-snapshot");
    g_autofree char *ref = xapi_call_task(xapi, "VM.snapshot", json_pack("[s,s]", vm.ref, "snap"),
                                          NULL, NULL, NULL, &error);
    if (!ref)
        fail_msg("%s", error->message);
    g_autofree char *name = field(test, ref, "name_label");
    assert_string_equal(name, "snap");
    g_autofree char *of = field(test, ref, "$snapshot_of");
    assert_string_equal(of, vm.id);
    assert_int_equal(count_type(test, "VM-snapshot"), 1);
    assert_true(count_type(test, "VDI-snapshot") > n_disks);
    assert_true(xapi_do(xapi, "VM.destroy", json_pack("[s]", ref), NULL));
    g_autofree char *gone = field(test, ref, "name_label");
    assert_null(gone);
    wanted_clear(&vm);
}

/* --- what was followed is what is --- */

static void step(Test *test, GRand *random, unsigned i)
{
    static const struct {
        const char *state, *method;
        bool force;
    } moves[] = {
        { "Halted", "VM.start", true },           { "Running", "VM.hard_shutdown", false },
        { "Running", "VM.hard_reboot", false },   { "Halted", "VM.clone", false },
        { "Running", "VM.snapshot", false },      { "Halted", "VM.destroy", false },
        { "Halted", "VM.set_name_label", false },
    };
    unsigned move = (unsigned) g_rand_int_range(random, 0, G_N_ELEMENTS(moves));
    Wanted vm = find_vm_if_any(test, moves[move].state);
    if (!vm.ref)
        return;
    const char *method = moves[move].method;
    g_autofree char *name = g_strdup_printf("step %u", i);
    json_t *params = json_pack("[s]", vm.ref);
    if (moves[move].force) {
        json_array_append_new(params, json_false());
        json_array_append_new(params, json_false());
    } else if (strstr(method, "clone") || strstr(method, "snapshot") || strstr(method, "set_"))
        json_array_append_new(params, json_string(name));
    xapi_do(pool_xapi(test->pool), method, params, NULL);
    wanted_clear(&vm);
}

typedef struct {
    const Inventory *other;
    unsigned n, n_different;
} Comparing;

static void show_difference(GBytes *text, GBytes *other)
{
    json_t *a = json_loads(g_bytes_get_data(text, NULL), 0, NULL), *value;
    json_t *b = other ? json_loads(g_bytes_get_data(other, NULL), 0, NULL) : json_object();
    const char *name;
    json_object_foreach (a, name, value)
        if (!json_equal(value, json_object_get(b, name)))
            print_message("%s: %s differs\n", json_string_value(json_object_get(a, "type")), name);
    json_decref(a);
    json_decref(b);
}

static void compare(const char *id, const char *type, GBytes *text, void *user)
{
    Comparing *comparing = user;
    GBytes *other = inventory_text(comparing->other, id);
    comparing->n++;
    if (!other || !g_bytes_equal(text, other)) {
        comparing->n_different++;
        show_difference(text, other);
    }
    if (other)
        g_bytes_unref(other);
}

/* A second client that reads everything now must see, to the byte, what the first one has followed
 * through all the changes. */
static void test_followed_equals_fresh(void **state)
{
    Test *test = *state;
    g_autoptr(GRand) random = g_rand_new_with_seed(3);
    g_autoptr(GError) error = NULL;
    const SimOptions *options = sim_options(test->sim);
    g_autofree char *url = sim_url(test->sim, "plain_url");
    XapiConfig config = { .host = url,
                          .username = options->username,
                          .password = options->password };
    for (unsigned i = 0; i < 60; i++) {
        step(test, random, i);
        assert_true(pool_barrier(test->pool, BARRIER_MS, NULL));
    }
    g_usleep(1000 * 1000); /* guests boot, storage is tidied */
    g_autoptr(Pool) fresh = pool_new(&config, NULL);
    if (!pool_connect(fresh, false, &error) || !pool_barrier(fresh, BARRIER_MS, &error) ||
        !pool_barrier(test->pool, BARRIER_MS, &error))
        fail_msg("%s", error->message);
    g_autoptr(Inventory) followed = pool_inventory(test->pool), now = pool_inventory(fresh);
    Comparing comparing = { .other = now };
    inventory_each(followed, NULL, compare, &comparing);
    assert_int_equal(comparing.n_different, 0);
    assert_int_equal(inventory_n_objects(followed), inventory_n_objects(now));
    assert_true(comparing.n > 100);
}

/* --- disks --- */

static bool collect(const void *data, size_t n, void *user, GError **error)
{
    g_byte_array_append(user, data, (guint) n);
    return true;
}

typedef struct {
    const GByteArray *data;
    size_t at;
} Reading;

static ssize_t give(void *data, size_t n, void *user, GError **error)
{
    Reading *reading = user;
    n = MIN(n, reading->data->len - reading->at);
    memcpy(data, reading->data->data + reading->at, n);
    reading->at += n;
    return (ssize_t) n;
}

/* The first disk of a machine that does not run, and its storage. */
static Wanted find_disk(Test *test)
{
    Wanted vm = find_vm(test, "Halted"), disk = { 0 };
    g_autoptr(Inventory) now = pool_inventory(test->pool);
    json_t *object = inventory_object(now, vm.id), *id;
    size_t i;
    json_array_foreach (json_object_get(object, "$VBDs"), i, id) {
        json_t *vbd = inventory_object(now, json_string_value(id));
        const char *vdi = json_string_value(json_object_get(vbd, "VDI"));
        json_t *found = vdi && !disk.ref ? inventory_object(now, vdi) : NULL;
        if (found && json_is_false(json_object_get(vbd, "is_cd_drive"))) {
            disk.id = g_strdup(json_string_value(json_object_get(found, "$SR")));
            disk.ref = g_strdup(json_string_value(json_object_get(found, "_xapiRef")));
        }
        json_decref(found);
        json_decref(vbd);
    }
    json_decref(object);
    wanted_clear(&vm);
    assert_non_null(disk.ref);
    return disk;
}

static GByteArray *export_disk(Xapi *xapi, const char *ref, const char *format)
{
    g_autoptr(GError) error = NULL;
    GByteArray *data = g_byte_array_new();
    if (!xapi_export_vdi(xapi, ref, NULL, format, collect, data, NULL, &error))
        fail_msg("%s", error->message);
    return data;
}

static char *create_disk(Test *test, const char *sr)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Inventory) now = pool_inventory(test->pool);
    json_t *storage = inventory_object(now, sr);
    json_t *record = json_pack(
        "{s:s, s:s, s:s, s:I, s:s, s:b, s:b, s:{}, s:{}, s:{}, s:[]}", "name_label", "copy",
        "name_description", "", "SR", json_string_value(json_object_get(storage, "_xapiRef")),
        "virtual_size", (json_int_t) DISK_BYTES, "type", "user", "sharable", 0, "read_only", 0,
        "other_config", "xenstore_data", "sm_config", "tags");
    json_decref(storage);
    char *ref =
        xapi_call_string(pool_xapi(test->pool), "VDI.create", json_pack("[o]", record), &error);
    if (!ref)
        fail_msg("%s", error->message);
    return ref;
}

static void test_disks_travel(void **state)
{
    Test *test = *state;
    Xapi *xapi = pool_xapi(test->pool);
    static const struct {
        const char *format;
        bool known_length;
    } ways[] = { { "vhd", true }, { "vhd", false }, { "raw", true } };
    Wanted disk = find_disk(test);
    g_autoptr(GByteArray) raw = export_disk(xapi, disk.ref, "raw");
    assert_int_equal(raw->len, DISK_BYTES);
    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autoptr(GError) error = NULL;
        g_autofree char *copy = create_disk(test, disk.id);
        g_autoptr(GByteArray) data = export_disk(xapi, disk.ref, ways[i].format);
        Reading reading = { .data = data };
        gint64 length = ways[i].known_length ? (gint64) data->len : -1;
        if (!xapi_import_vdi(xapi, copy, ways[i].format, give, length, &reading, NULL, &error))
            fail_msg("%s %d: %s", ways[i].format, ways[i].known_length, error->message);
        g_autoptr(GByteArray) back = export_disk(xapi, copy, "raw");
        assert_int_equal(back->len, raw->len);
        assert_memory_equal(back->data, raw->data, raw->len);
    }
    wanted_clear(&disk);
}

static void test_wrong_import_is_refused(void **state)
{
    Test *test = *state;
    g_autoptr(GError) error = NULL;
    Wanted disk = find_disk(test);
    g_autofree char *copy = create_disk(test, disk.id);
    g_autoptr(GByteArray) data = g_byte_array_new();
    g_byte_array_set_size(data, 4096);
    memset(data->data, 'x', data->len);
    Reading reading = { .data = data };
    assert_false(xapi_import_vdi(pool_xapi(test->pool), copy, "vhd", give, data->len, &reading,
                                 NULL, &error));
    assert_non_null(strstr(error->message, copy));
    assert_null(strstr(error->message, "session"));
    wanted_clear(&disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_object_is_shown, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_certificates, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_operations_are_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_snapshot_comes_and_goes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_followed_equals_fresh, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_disks_travel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_import_is_refused, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
