/* Trust in one certificate by its SHA-256 fingerprint; private to the room. */
#pragma once

#include <curl/curl.h>
#include <stdbool.h>

enum { PIN_TEXT = 96 }; /* "aa:bb:…" and NUL */

typedef struct {
    const char *wanted; /* hex, colons allowed; NULL: any certificate, only noted */
    char seen[PIN_TEXT];
    bool refused;
} HttpPin;

/* The handshake of easy accepts exactly the wanted certificate; pin lives as long as the transfer.
 */
void pin_set(CURL *easy, HttpPin *pin);
/* What it does to a context, for who has a context function of his own; user is the pin. */
CURLcode pin_context(CURL *easy, void *context, void *user);
/* Two fingerprints in any case, with or without colons. */
bool pin_equal(const char *a, const char *b);
