/* Merges, whole and cut at every write: power fails, any of the writes not yet synced may be lost,
 * and still the chain reads right, and the merge started again ends right. */
#include "sample.h"

#include "disk/merge.h"

/* --- A file whose power can fail --- */

typedef struct {
    guint64 offset;
    GBytes *data; /* NULL: the file was cut to offset */
} Write;

typedef struct {
    Bytes base;
    Bytes *live, *durable;
    GPtrArray *pending; /* Write */
    int ops_left;       /* then every call fails */
} Crash;

static void write_free(gpointer data)
{
    Write *write = data;
    g_clear_pointer(&write->data, g_bytes_unref);
    g_free(write);
}

static bool alive(Crash *crash, GError **error)
{
    if (crash->ops_left-- > 0)
        return true;
    err_set(error, ERR_IO, "power cut");
    return false;
}

static void apply(Bytes *to, const Write *write)
{
    gsize n;
    if (!write->data)
        bytes_resize(to, write->offset, NULL);
    else
        bytes_write(to, write->offset, g_bytes_get_data(write->data, &n),
                    g_bytes_get_size(write->data), NULL);
}

static void remember(Crash *crash, guint64 offset, GBytes *data)
{
    Write *write = g_new0(Write, 1);
    write->offset = offset;
    write->data = data;
    apply(crash->live, write);
    g_ptr_array_add(crash->pending, write);
}

static gssize crash_read(Bytes *b, guint64 offset, void *buffer, gsize n, GError **error)
{
    return ((Crash *) b)->live->ops->read(((Crash *) b)->live, offset, buffer, n, error);
}
static bool crash_write(Bytes *b, guint64 offset, const void *data, gsize n, GError **error)
{
    if (!alive((Crash *) b, error))
        return false;
    remember((Crash *) b, offset, g_bytes_new(data, n));
    return true;
}
static bool crash_resize(Bytes *b, guint64 size, GError **error)
{
    if (!alive((Crash *) b, error))
        return false;
    remember((Crash *) b, size, NULL);
    return true;
}
static gint64 crash_size(Bytes *b, GError **error)
{
    return bytes_size(((Crash *) b)->live, error);
}
static bool crash_sync(Bytes *b, GError **error)
{
    Crash *crash = (Crash *) b;
    if (!alive(crash, error))
        return false;
    for (guint i = 0; i < crash->pending->len; i++)
        apply(crash->durable, crash->pending->pdata[i]);
    g_ptr_array_set_size(crash->pending, 0);
    return true;
}
static void crash_close(Bytes *b)
{
    Crash *crash = (Crash *) b;
    bytes_close(crash->live);
    bytes_close(crash->durable);
    g_ptr_array_unref(crash->pending);
    g_free(crash);
}

static Bytes *copy_of(Bytes *file)
{
    gint64 n = bytes_size(file, NULL);
    g_autofree guint8 *data = g_malloc(n);
    assert_ok(bytes_read(file, 0, data, n, e_));
    return bytes_new_memory(data, n);
}

static Crash *crash_new(Bytes *file, int ops)
{
    static const struct bytes_ops table = { crash_read, crash_write, crash_resize,
                                            crash_size, crash_sync,  crash_close };
    Crash *crash = g_new0(Crash, 1);
    crash->base.ops = &table;
    crash->live = copy_of(file);
    crash->durable = copy_of(file);
    crash->pending = g_ptr_array_new_with_free_func(write_free);
    crash->ops_left = ops;
    return crash;
}

/* What is left on the disk: the synced, and by the bits of `luck` some of the rest. */
static Bytes *after_crash(Crash *crash, guint32 luck)
{
    for (guint i = 0; i < crash->pending->len; i++)
        if (luck >> (i % 32) & 1)
            apply(crash->durable, crash->pending->pdata[i]);
    return g_steal_pointer(&crash->durable);
}

/* --- Disks --- */

#define SMALL (8 * MIB)
#define LARGE (600 * MIB)
static const int in_parent[] = { 0, 2, -1 }, in_middle[] = { 1, 2, -1 },
                 in_newest[] = { 3, 299, 1, -1 };

static Bytes *flat(guint64 size, guint32 seed, const int *list)
{
    Bytes *file = bytes_new_memory(NULL, 0);
    DiskInfo info = sample_info(size, seed);
    sample_write(vhd_create(shared_bytes(file), &info, NULL), seed, list);
    return file;
}

static Disk *children(Bytes *middle, Bytes *last)
{
    Disk *members[] = { vhd_open(shared_bytes(middle), NULL), vhd_open(shared_bytes(last), NULL) };
    Disk *chain = chain_open(members, 2, NULL);
    assert_non_null(chain);
    return chain;
}

static void check_content(Disk *disk)
{
    assert_int_equal(disk->info.size_bytes, LARGE);
    assert_false(disk->info.differencing);
    sample_check(disk, 0, 1);
    sample_check(disk, 1, 3);
    sample_check(disk, 2, 2);
    sample_check(disk, 3, 3);
    sample_check(disk, 4, 0);
    sample_check(disk, 299, 3);
}

static void check_merged(Disk *disk)
{
    DiskUid want = sample_uid(3);
    assert_non_null(disk);
    check_content(disk);
    assert_memory_equal(&disk->info.uid, &want, sizeof want);
    assert_int_equal(disk->info.timestamp_s, 1003);
}

typedef struct {
    guint32 next_block;
    guint64 moved_bytes;
} Mark;

static bool keep_mark(guint32 next_block, guint64 moved_bytes, void *user, GError **error)
{
    *(Mark *) user = (Mark){ next_block, moved_bytes };
    return true;
}

static void test_flat(void **state)
{
    g_autoptr(Bytes) parent = flat(SMALL, 1, in_parent), middle = flat(SMALL, 2, in_middle),
                     last = flat(LARGE, 3, in_newest);
    g_autoptr(Disk) child = children(middle, last);
    Mark mark = { 0 };
    MergeOptions options = { .mark = keep_mark, .user = &mark };
    guint64 stored = 0;
    assert_ok(merge_flat(parent, child, &options, &stored, e_));
    assert_int_equal(stored, bytes_size(parent, NULL));
    assert_int_equal(mark.next_block, 300);
    assert_int_equal(mark.moved_bytes, 4 * (guint64) DISK_BLOCK_BYTES);
    g_autoptr(Disk) disk = vhd_open(shared_bytes(parent), NULL);
    check_merged(disk);
    assert_ok(merge_flat(parent, child, &options, &stored, e_));
    g_autoptr(Disk) again = vhd_open(shared_bytes(parent), NULL);
    check_merged(again);
}

/* The chain is whole as long as the parent does not have the new identity. */
static void check_after_crash(Bytes *parent, Bytes *middle, Bytes *last)
{
    Disk *root = vhd_open_merging(shared_bytes(parent), NULL);
    DiskUid merged = sample_uid(3);
    assert_non_null(root);
    if (!memcmp(&root->info.uid, &merged, sizeof merged)) {
        check_content(root);
        disk_close(root);
        return;
    }
    Disk *members[] = { root, vhd_open(shared_bytes(middle), NULL),
                        vhd_open(shared_bytes(last), NULL) };
    g_autoptr(Disk) chain = chain_open(members, 3, NULL);
    check_content(chain);
}

static bool crash_flat(Bytes *parent, Bytes *middle, Bytes *last, int ops, guint32 luck)
{
    g_autoptr(Disk) child = children(middle, last);
    Mark mark = { 0 };
    MergeOptions options = { .mark = keep_mark, .user = &mark };
    guint64 stored;
    Crash *crash = crash_new(parent, ops);
    bool whole = merge_flat(&crash->base, child, &options, &stored, NULL);
    g_autoptr(Bytes) left = after_crash(crash, luck);
    bytes_close(&crash->base);
    check_after_crash(left, middle, last);
    options.from_block = mark.next_block;
    assert_ok(merge_flat(left, child, &options, &stored, e_));
    g_autoptr(Disk) disk = vhd_open(shared_bytes(left), NULL);
    check_merged(disk);
    return whole;
}

static void test_flat_crash(void **state)
{
    g_autoptr(Bytes) parent = flat(SMALL, 1, in_parent), middle = flat(SMALL, 2, in_middle),
                     last = flat(LARGE, 3, in_newest);
    static const guint32 lucks[] = { 0, 0x55555555, 0xaaaaaaaa, 0xffffffff };
    int ops = 0;
    for (bool whole = false; !whole; ops++)
        for (gsize i = 0; i < G_N_ELEMENTS(lucks); i++)
            whole = crash_flat(parent, middle, last, ops, lucks[i]);
    assert_in_range(ops, 15, 60);
}

static void test_flat_refusals(void **state)
{
    g_autoptr(Bytes) parent = flat(SMALL, 1, in_parent), other = flat(SMALL, 3, in_middle);
    g_autoptr(Disk) stranger = vhd_open(shared_bytes(other), NULL);
    g_autoptr(GError) error = NULL;
    guint64 stored;
    MergeOptions options = { 0 };
    assert_false(merge_flat(parent, stranger, &options, &stored, &error));
    assert_true(err_is(error, ERR_CORRUPT));
    g_autoptr(Bytes) middle = flat(SMALL, 2, in_middle);
    g_autoptr(Disk) child = vhd_open(shared_bytes(middle), NULL);
    g_autoptr(Cancel) cancel = cancel_new();
    cancel_set(cancel);
    options.cancel = cancel;
    g_clear_error(&error);
    assert_false(merge_flat(parent, child, &options, &stored, &error));
    assert_true(err_is(error, ERR_CANCELLED));
}

/* --- Block directories --- */

static Chunks *directory(guint64 size, guint32 seed, const int *list, const char *codec)
{
    Chunks *chunks = chunks_new_memory();
    DiskInfo info = sample_info(size, seed);
    sample_write(vhd_directory_create(shared_chunks(chunks), &info, codec, NULL), seed, list);
    return chunks;
}

/* The memory maker refuses moves after so many, as if the process had died. */
typedef struct {
    SharedChunks shared;
    int ops_left;
} DyingChunks;

static bool dying(Chunks *chunks, GError **error)
{
    if (((DyingChunks *) chunks)->ops_left-- > 0)
        return false;
    err_set(error, ERR_IO, "died");
    return true;
}
static bool dying_put(Chunks *c, const char *name, const void *data, gsize n, GError **error)
{
    return !dying(c, error) && shared_put(c, name, data, n, error);
}
static bool dying_move(Chunks *to, const char *to_name, Chunks *from, const char *name,
                       GError **error)
{
    return !dying(to, error) && shared_move(to, to_name, from, name, error);
}
static Chunks *dying_chunks(Chunks *inner, int ops)
{
    static const struct chunks_ops table = { shared_get,  dying_put,          dying_move,
                                             shared_drop, shared_chunks_sync, shared_chunks_close };
    DyingChunks *dead = g_new0(DyingChunks, 1);
    dead->shared.base.ops = &table;
    dead->shared.inner = inner;
    dead->ops_left = ops;
    return &dead->shared.base;
}

typedef struct {
    Chunks *all[3];
} Trio;

static Trio trio(const char *codec)
{
    return (Trio){ { directory(SMALL, 1, in_parent, codec), directory(SMALL, 2, in_middle, codec),
                     directory(LARGE, 3, in_newest, codec) } };
}

static void trio_close(Trio *three)
{
    for (int i = 0; i < 3; i++)
        chunks_close(three->all[i]);
}

static bool merge_trio(Trio *three, int ops, const MergeOptions *options)
{
    Chunks *proxies[3];
    for (int i = 0; i < 3; i++)
        proxies[i] = dying_chunks(three->all[i], ops);
    guint64 stored = 0;
    bool ok = merge_directory(proxies[0], proxies + 1, 2, options, &stored, NULL);
    if (ok)
        assert_int_equal(stored, 512 + 1024 + 1536 + 5 * 2097664ull + 512);
    for (int i = 0; i < 3; i++)
        chunks_close(proxies[i]);
    return ok;
}

static void check_trio_chain(Trio *three)
{
    Disk *members[3];
    for (int i = 0; i < 3; i++)
        members[i] = vhd_directory_open(shared_chunks(three->all[i]), NULL);
    DiskUid merged = sample_uid(3);
    if (!memcmp(&members[0]->info.uid, &merged, sizeof merged)) {
        check_content(members[0]);
        for (int i = 0; i < 3; i++)
            disk_close(members[i]);
        return;
    }
    g_autoptr(Disk) chain = chain_open_merging(members, 3, 3, NULL);
    check_content(chain);
}

static void test_directory(void **state)
{
    static const char *const codecs[] = { "none", "gzip", "brotli" };
    for (int i = 0; i < 3; i++) {
        Trio three = trio(codecs[i]);
        MergeOptions options = { 0 };
        assert_true(merge_trio(&three, 1000, &options));
        g_autoptr(Disk) disk = vhd_directory_open(shared_chunks(three.all[0]), NULL);
        check_merged(disk);
        trio_close(&three);
    }
}

static void test_directory_crash(void **state)
{
    bool whole = false;
    int ops = 0;
    for (; !whole; ops++) {
        Trio three = trio("none");
        Mark mark = { 0 };
        MergeOptions options = { .mark = keep_mark, .user = &mark };
        whole = merge_trio(&three, ops, &options);
        check_trio_chain(&three);
        options.from_block = mark.next_block;
        assert_true(merge_trio(&three, 1000, &options));
        g_autoptr(Disk) disk = vhd_directory_open(shared_chunks(three.all[0]), NULL);
        check_merged(disk);
        trio_close(&three);
    }
    assert_in_range(ops, 7, 20);
}

/* Mixed codecs are compressed anew; a block that is nowhere is an error, never silently old. */
static void test_directory_mixed(void **state)
{
    Trio three = { { directory(SMALL, 1, in_parent, "gzip"),
                     directory(SMALL, 2, in_middle, "brotli"),
                     directory(LARGE, 3, in_newest, "none") } };
    MergeOptions options = { 0 };
    assert_true(merge_trio(&three, 1000, &options));
    g_autoptr(Disk) disk = vhd_directory_open(shared_chunks(three.all[0]), NULL);
    check_merged(disk);
    trio_close(&three);

    three = trio("gzip");
    assert_ok(chunks_drop(three.all[2], "blocks/0/299", e_));
    assert_false(merge_trio(&three, 1000, &options));
    trio_close(&three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flat),
        cmocka_unit_test(test_flat_crash),
        cmocka_unit_test(test_flat_refusals),
        cmocka_unit_test(test_directory),
        cmocka_unit_test(test_directory_crash),
        cmocka_unit_test(test_directory_mixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
