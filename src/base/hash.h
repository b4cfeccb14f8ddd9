/* FNV-1a, 64 bits. It tells files apart, but does not protect against somebody who makes two of them collide.
   Source: Fowler, Noll, Vo; draft-eastlake-fnv. */
#ifndef KVASIR_BASE_HASH_H
#define KVASIR_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HASH_START 0xcbf29ce484222325u

static inline uint64_t hash_bytes(uint64_t h, const void *data, size_t n)
{
    const unsigned char *s = data;
    for (size_t i = 0; i < n; i++) h = (h ^ s[i]) * 0x100000001b3u;
    return h;
}

/* Hashes a text with the NUL at its end; NULL leaves the hash as it is. */
static inline uint64_t hash_text(uint64_t h, const char *s)
{
    return s ? hash_bytes(h, s, strlen(s) + 1) : h;
}

#endif
