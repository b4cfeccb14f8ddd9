/* API keys: who may ask. What is kept is shared only with requests of the same key. */
#ifndef KVASIR_SERVER_HTTP_KEYS_H
#define KVASIR_SERVER_HTTP_KEYS_H

#include "base/status.h"

enum { KEY_BYTES = 256, KEYS_MOST = 4096, KEY_FILE_BYTES = 1 << 20 };

typedef struct key {
    char text[KEY_BYTES]; /* padded with zeros, so that every comparison reads the same number of bytes */
    int active;           /* 0: only an earlier file had it */
} key;

/* Starts zeroed. A key keeps its place when the file changes, so that the place stands for whoever has the key. */
typedef struct keys {
    key *list;
    int n, room, n_active;
} keys;

/* Reads the keys of a file, one in a line. Spaces around a key and lines that begin with # are left out. On failure
   (KVASIR_E_IO; KVASIR_E_ARGUMENT: no key in it, or one that is too long) the keys stay as they were. */
kvasir_status keys_read(keys *k, const char *path);
void keys_free(keys *k); /* frees the list */

/* The place of an active key, or -1. Takes the same time for all texts of one length. */
int keys_find(const keys *k, const char *text);

#endif
