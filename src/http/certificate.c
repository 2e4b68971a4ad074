/* Key and certificate by OpenSSL, written beside their places and renamed into them. */
#include "http/certificate.h"

#include "base/error.h"
#include "base/openssl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { VALID_S = 10 * 365 * 24 * 3600 };

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool added = extension && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return added;
}

static bool is_ip(const char *name)
{
    char binary[16];
    return inet_pton(AF_INET, name, binary) == 1 || inet_pton(AF_INET6, name, binary) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key, const char *name)
{
    guint8 serial[16];
    RAND_bytes(serial, sizeof serial);
    serial[0] &= 0x7f;
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert));
    BN_free(number);
    X509_set_version(cert, X509_VERSION_3);
    X509_gmtime_adj(X509_getm_notBefore(cert), -24 * 3600); /* clocks that are a little behind */
    X509_gmtime_adj(X509_getm_notAfter(cert), VALID_S);
    X509_NAME *subject = X509_get_subject_name(cert);
    bool named = X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                                            (const unsigned char *) name, -1, -1, 0) == 1;
    g_autofree char *names =
        g_strdup_printf("DNS:localhost,IP:127.0.0.1,%s:%s", is_ip(name) ? "IP" : "DNS", name);
    return named && X509_set_issuer_name(cert, subject) == 1 && X509_set_pubkey(cert, key) == 1 &&
           add_extension(cert, NID_basic_constraints, "critical,CA:TRUE") &&
           add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
           add_extension(cert, NID_ext_key_usage, "serverAuth") &&
           add_extension(cert, NID_subject_key_identifier, "hash") &&
           add_extension(cert, NID_subject_alt_name, names) && X509_sign(cert, key, EVP_sha256());
}

static bool write_all(int fd, const char *data, size_t n)
{
    while (n) {
        ssize_t put = write(fd, data, n);
        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0) {
            data += put;
            n -= (size_t) put;
        }
    }
    return fsync(fd) == 0;
}

/* The file appears whole or not at all. */
static bool put_file(const char *path, BIO *content, GError **error)
{
    char *data;
    long n = BIO_get_mem_data(content, &data);
    g_autofree char *part = g_strconcat(path, ".XXXXXX", NULL);
    int fd = g_mkstemp_full(part, O_WRONLY | O_CLOEXEC, 0600);
    bool written = fd >= 0 && write_all(fd, data, (size_t) n) && rename(part, path) == 0;
    if (!written) {
        err_set_errno(error, errno, "cannot write %s", path);
        if (fd >= 0)
            unlink(part);
    }
    if (fd >= 0)
        close(fd);
    return written;
}

bool http_make_certificate(const char *cert_file, const char *key_file, const char *common_name,
                           GError **error)
{
    EVP_PKEY *key = EVP_EC_gen("P-256"); /* a hundredth of what RSA takes */
    X509 *cert = X509_new();
    BIO *cert_pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
    bool made = key && fill(cert, key, common_name) && PEM_write_bio_X509(cert_pem, cert) &&
                PEM_write_bio_PKCS8PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL);
    if (!made) {
        ERR_clear_error();
        err_set(error, ERR_INVALID, "cannot make a certificate for the name \"%s\"", common_name);
    }
    bool stored = made && put_file(key_file, key_pem, error) &&
                  put_file(cert_file, cert_pem, error);
    BIO_free(cert_pem);
    BIO_free(key_pem);
    X509_free(cert);
    EVP_PKEY_free(key);
    return stored;
}
