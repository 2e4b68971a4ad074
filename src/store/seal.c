/* Secrets at rest: XChaCha20-Poly1305 under a random key in the data folder's file "key" (0600), as
 * "sealed:1:" + base64 of nonce and ciphertext. Whoever takes only the databases learns nothing. */
#include "store/private.h"

#include "base/error.h"
#include "base/mutant.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
    TAG_BYTES = crypto_aead_xchacha20poly1305_ietf_ABYTES,
    MAX_SECRET_BYTES = 1 << 20,
};
#define PREFIX "sealed:1:"

static bool sync_folder(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool make_key(const char *folder, const char *path, guint8 *key, GError **error)
{
    g_autofree char *temporary = g_strconcat(path, ".new", NULL);
    randombytes_buf(key, KEY_BYTES);
    unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok = fd >= 0 && write(fd, key, KEY_BYTES) == KEY_BYTES && fsync(fd) == 0;
    ok = ok && rename(temporary, path) == 0 && sync_folder(folder);
    if (!ok)
        err_set_errno(error, errno, "key file %s", path);
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool read_key(int fd, const char *path, guint8 *key, GError **error)
{
    struct stat stat;
    if (fstat(fd, &stat) != 0 || (stat.st_mode & 077)) {
        err_set(error, ERR_DENIED, "key file %s can be read by others: set its mode to 0600", path);
        return false;
    }
    if (stat.st_size == KEY_BYTES && read(fd, key, KEY_BYTES) == KEY_BYTES)
        return true;
    err_set(error, ERR_CORRUPT, "key file %s does not have %d bytes: put back the right one", path,
            KEY_BYTES);
    return false;
}

static bool load_key(const char *folder, guint8 *key, GError **error)
{
    g_autofree char *path = g_build_filename(folder, "key", NULL);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return make_key(folder, path, key, error);
    if (fd < 0) {
        err_set_errno(error, errno, "key file %s", path);
        return false;
    }
    bool ok = read_key(fd, path, key, error);
    close(fd);
    return ok;
}

static const guint8 *key_of(Store *store, GError **error)
{
    pthread_mutex_lock(&store->key_lock);
    if (!store->key) {
        guint8 *key = g_malloc0(KEY_BYTES);
        if (sodium_init() >= 0 && load_key(store->folder, key, error))
            store->key = key;
        else
            g_free(key);
    }
    pthread_mutex_unlock(&store->key_lock);
    return store->key;
}

char *store_seal(Store *store, const char *secret, GError **error)
{
    const guint8 *key = key_of(store, error);
    gsize n = strlen(secret);
    if (!key)
        return NULL;
    if (n > MAX_SECRET_BYTES) {
        err_set(error, ERR_LIMIT, "a secret of %zu bytes is longer than %d", n, MAX_SECRET_BYTES);
        return NULL;
    }
    if (MUTANT(store_seal_skipped)) /* mutant: store */
        return g_strdup(secret);
    g_autofree guint8 *box = g_malloc(NONCE_BYTES + n + TAG_BYTES);
    randombytes_buf(box, NONCE_BYTES);
    crypto_aead_xchacha20poly1305_ietf_encrypt(box + NONCE_BYTES, NULL, (const guint8 *) secret, n,
                                               NULL, 0, NULL, box, key);
    g_autofree char *text = g_base64_encode(box, NONCE_BYTES + n + TAG_BYTES);
    return g_strconcat(PREFIX, text, NULL);
}

char *store_unseal(Store *store, const char *sealed, GError **error)
{
    if (!g_str_has_prefix(sealed, PREFIX))
        return g_strdup(sealed);
    const guint8 *key = key_of(store, error);
    gsize n = 0;
    g_autofree guint8 *box = g_base64_decode(sealed + strlen(PREFIX), &n);
    if (!key)
        return NULL;
    if (n >= NONCE_BYTES + TAG_BYTES) {
        g_autofree char *secret = g_malloc0(n - NONCE_BYTES - TAG_BYTES + 1);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt((guint8 *) secret, NULL, NULL,
                                                       box + NONCE_BYTES, n - NONCE_BYTES, NULL, 0,
                                                       box, key) == 0)
            return g_steal_pointer(&secret);
    }
    err_set(
        error, ERR_CORRUPT,
        "a stored secret cannot be opened: the file \"key\" of the data folder %s is not the one "
        "it was sealed with",
        store->folder);
    return NULL;
}
