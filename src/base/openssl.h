/* OpenSSL's headers, in which the name of an internal type gives way to our error code ERR_STATE.
 * Include this instead of <openssl/...> wherever base/error.h is included too. */
#pragma once

#define ERR_STATE OPENSSL_ERR_STATE
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#undef ERR_STATE
