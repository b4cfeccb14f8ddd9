/* A forward cursor over an untrusted file with a buffered window: small fields come from the window, large
   runs go straight to their place. Every read is bounded by the file's size. */
#ifndef KVASIR_GGUF_READER_H
#define KVASIR_GGUF_READER_H

#include "base/file.h"
#include <string.h>

/* Bytes. A fuzz build may make it small, so that small inputs cross its edges. */
#ifndef READER_WINDOW
#define READER_WINDOW (256u << 10)
#endif

typedef struct reader {
    const file *f;
    unsigned char *window;
    size_t room;       /* bytes of it: READER_WINDOW, or the whole file */
    uint64_t size;     /* of the file */
    uint64_t start;    /* file offset of window[0] */
    size_t have, used; /* bytes in the window, and how many of them are consumed */
} reader;

/* Starts at byte 0. reader_close frees the window, not the file. */
kvasir_status reader_open(reader *r, const file *f);
void reader_close(reader *r);

/* Offset of the next byte, and how many bytes the file holds from there on. */
static inline uint64_t reader_at(const reader *r)
{
    return r->start + r->used;
}

static inline uint64_t reader_left(const reader *r)
{
    return r->size - reader_at(r);
}

/* Reads exactly n bytes; KVASIR_E_FORMAT naming the byte where the file ends. */
kvasir_status reader_bytes(reader *r, void *to, size_t n);

static inline kvasir_status reader_u32(reader *r, uint32_t *out)
{
    return reader_bytes(r, out, sizeof *out);
}

/* Inline, since a vocabulary has very many string lengths and nearly all of them lie in the window. */
static inline kvasir_status reader_u64(reader *r, uint64_t *out)
{
    if (r->have - r->used < sizeof *out) return reader_bytes(r, out, sizeof *out);
    memcpy(out, r->window + r->used, sizeof *out);
    r->used += sizeof *out;
    return KVASIR_OK;
}

/* Moves to a byte that the caller knows to be inside the file. */
void reader_seek(reader *r, uint64_t at);

#endif
