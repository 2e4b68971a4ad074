/* libcurl's handles: a few per thread, one for each way to trust, and what they share; private to
 * the room. A connection made under one trust is never used under another. */
#pragma once

#include <curl/curl.h>

/* A clean handle for this thread, also from within a callback of another transfer. `trust` names
 * the way to trust, for example "system" or a fingerprint. */
CURL *easy_take(const char *trust);
/* One that is closed, with its connection, when it is given back. */
CURL *easy_take_new(void);
/* Blocks until the transfer is over. */
CURLcode easy_perform(CURL *easy);
/* Its connections stay open for the next call of this thread. */
void easy_give(CURL *easy);
