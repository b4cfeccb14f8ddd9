/* API keys: who may ask, and who shares what is kept with whom. */
#ifndef KVASIR_SERVER_KEYS_H
#define KVASIR_SERVER_KEYS_H

#include "base/status.h"

enum { KEY_BYTES = 256, KEYS_MOST = 4096, KEY_FILE_BYTES = 1 << 20 };

typedef struct key {
    char text[KEY_BYTES]; /* padded with zeros, so that all comparisons read the same */
    int active;           /* 0: it was in an earlier file */
} key;

/* Zeroed before. A key keeps its place when files change, so that the place stands for whoever has the key. */
typedef struct keys {
    key *list;
    int n, room, n_active;
} keys;

/* Takes the keys of a file: one a line, spaces around it and lines that begin with # left out. On failure (KVASIR_E_IO,
   KVASIR_E_ARGUMENT: no key in it, or one that is too long) the keys stay as they were. */
kvasir_status keys_read(keys *k, const char *path);
void keys_free(keys *k);

/* The place of an active key, or -1. Takes the same time for every text of a length. */
int keys_find(const keys *k, const char *text);

#endif
