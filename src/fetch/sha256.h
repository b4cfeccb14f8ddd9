/* SHA-256 of a file, from libcrypto. */
#ifndef KVASIR_FETCH_SHA256_H
#define KVASIR_FETCH_SHA256_H

#include "fetch/fetch.h"

/* The hash of a whole file, in lower-case hexadecimal. Progress counts bytes. */
kvasir_status sha256_file(const char *path, kvasir_progress_fn progress, void *user, char out[FETCH_SHA256_BYTES]);
/* The hash of a short text. */
kvasir_status sha256_text(const char *text, char out[FETCH_SHA256_BYTES]);

#endif
