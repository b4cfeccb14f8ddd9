/* API keys: who may ask. What is kept is shared only with requests of the same key. */
#ifndef KVASIR_SERVER_HTTP_KEYS_H
#define KVASIR_SERVER_HTTP_KEYS_H

#include "base/status.h"

enum { KEY_BYTES = 256, KEYS_MOST = 4096, KEY_FILE_BYTES = 1 << 20 };

typedef struct key {
    char text[KEY_BYTES]; /* padded with zeros, so that every comparison reads the same number of bytes */
    int number;           /* stands for whoever has the key, as long as it is in the file; never given twice */
} key;

/* Starts zeroed. A key keeps its number when the file changes. One that is no longer in the file is forgotten. */
typedef struct keys {
    key *list;
    int n, room, next; /* next: the number of the next new key */
} keys;

/* Reads the keys of a file, one in a line. Spaces around a key and lines that begin with # are left out. On failure
   (KVASIR_E_IO; KVASIR_E_ARGUMENT: no key in it, or one that is too long) the keys stay as they were. */
kvasir_status keys_read(keys *k, const char *path);
void keys_free(keys *k); /* frees the list */

/* The number of a key, or -1. Takes the same time for all texts of one length. */
int keys_find(const keys *k, const char *text);

#endif
