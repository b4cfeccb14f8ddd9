/* Writes GGUF files byte by byte, in memory or on disk, honest ones and liars. Header only, for any test:

       gguf_builder b = gb_new();
       gb_string(&b, "general.architecture", "llama");
       gb_u32(&b, "llama.block_count", 2);
       gb_tensor(&b, "output.weight", QUANT_F32, 2, (uint64_t[]){64, 8}, NULL);   -- NULL: zeros
       unsigned char *bytes = gb_finish(&b, &n);                                   -- free() it

   Lies: set claim_kv, claim_tensors, version or alignment; the functions ending in _claim write a count or
   length that the bytes after it do not keep; gb_info writes any tensor info at all. */
#ifndef KVASIR_GGUF_BUILDER_H
#define KVASIR_GGUF_BUILDER_H

#include "gguf/gguf.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct gb_bytes {
    unsigned char *data;
    size_t n, room;
} gb_bytes;

typedef struct gguf_builder {
    gb_bytes kv, infos, data;
    uint64_t n_kv, n_tensors;
    uint64_t claim_kv, claim_tensors; /* written in place of the counts unless GB_HONEST */
    uint32_t version;
    uint64_t alignment;  /* of the data; does not write general.alignment */
    size_t header_bytes; /* set by gb_finish: where the infos end */
} gguf_builder;

#define GB_HONEST UINT64_MAX

static inline void gb_put(gb_bytes *b, const void *from, size_t n)
{
    if (b->n + n > b->room) {
        b->room = 2 * (b->n + n) + 256;
        b->data = realloc(b->data, b->room);
        if (!b->data) abort();
    }
    if (!n) return;
    if (from)
        memcpy(b->data + b->n, from, n);
    else
        memset(b->data + b->n, 0, n);
    b->n += n;
}

static inline void gb_put32(gb_bytes *b, uint32_t v)
{
    gb_put(b, &v, sizeof v);
}

static inline void gb_put64(gb_bytes *b, uint64_t v)
{
    gb_put(b, &v, sizeof v);
}

/* A string whose length field says `claim`. */
static inline void gb_put_text(gb_bytes *b, uint64_t claim, const char *s, size_t n)
{
    gb_put64(b, claim);
    gb_put(b, s, n);
}

static inline gguf_builder gb_new(void)
{
    return (gguf_builder){.claim_kv = GB_HONEST, .claim_tensors = GB_HONEST, .version = 3, .alignment = 32};
}

static inline void gb_free(gguf_builder *b)
{
    free(b->kv.data);
    free(b->infos.data);
    free(b->data.data);
    *b = gb_new();
}

/* A key of any bytes, with a value type of any number. The value's bytes come next, through gb_put on b->kv. */
static inline void gb_key_claim(gguf_builder *b, uint64_t claim, const char *key, size_t n, uint32_t type)
{
    gb_put_text(&b->kv, claim, key, n);
    gb_put32(&b->kv, type);
    b->n_kv++;
}

static inline void gb_key(gguf_builder *b, const char *key, uint32_t type)
{
    gb_key_claim(b, strlen(key), key, strlen(key), type);
}

/* A scalar of any type, from its bytes. */
static inline void gb_scalar(gguf_builder *b, const char *key, gguf_value_type type, const void *value, size_t n)
{
    gb_key(b, key, (uint32_t)type);
    gb_put(&b->kv, value, n);
}

static inline void gb_u32(gguf_builder *b, const char *key, uint32_t v)
{
    gb_scalar(b, key, GGUF_U32, &v, sizeof v);
}

static inline void gb_i32(gguf_builder *b, const char *key, int32_t v)
{
    gb_scalar(b, key, GGUF_I32, &v, sizeof v);
}

static inline void gb_u64(gguf_builder *b, const char *key, uint64_t v)
{
    gb_scalar(b, key, GGUF_U64, &v, sizeof v);
}

static inline void gb_f32(gguf_builder *b, const char *key, float v)
{
    gb_scalar(b, key, GGUF_F32, &v, sizeof v);
}

static inline void gb_f64(gguf_builder *b, const char *key, double v)
{
    gb_scalar(b, key, GGUF_F64, &v, sizeof v);
}

static inline void gb_bool(gguf_builder *b, const char *key, unsigned char v)
{
    gb_scalar(b, key, GGUF_BOOL, &v, sizeof v);
}

static inline void gb_string_claim(gguf_builder *b, const char *key, uint64_t claim, const char *s, size_t n)
{
    gb_key(b, key, GGUF_STRING);
    gb_put_text(&b->kv, claim, s, n);
}

static inline void gb_string(gguf_builder *b, const char *key, const char *s)
{
    gb_string_claim(b, key, strlen(s), s, strlen(s));
}

/* An array of scalars: `n` bytes of elements, a count of `claim`. */
static inline void gb_array_claim(gguf_builder *b, const char *key, uint32_t element, uint64_t claim, const void *data,
                                  size_t n)
{
    gb_key(b, key, GGUF_ARRAY);
    gb_put32(&b->kv, element);
    gb_put64(&b->kv, claim);
    gb_put(&b->kv, data, n);
}

static inline void gb_strings(gguf_builder *b, const char *key, const char *const *list, size_t n)
{
    gb_array_claim(b, key, GGUF_STRING, n, NULL, 0);
    for (size_t i = 0; i < n; i++) gb_put_text(&b->kv, strlen(list[i]), list[i], strlen(list[i]));
}

/* A tensor info without any data for it. */
static inline void gb_info(gguf_builder *b, const char *name, uint32_t n_dims, const uint64_t *dims,
                           size_t dims_written, uint32_t type, uint64_t offset)
{
    gb_put_text(&b->infos, strlen(name), name, strlen(name));
    gb_put32(&b->infos, n_dims);
    for (size_t i = 0; i < dims_written; i++) gb_put64(&b->infos, dims[i]);
    gb_put32(&b->infos, type);
    gb_put64(&b->infos, offset);
    b->n_tensors++;
}

static inline void gb_pad(gb_bytes *b, uint64_t alignment)
{
    gb_put(b, NULL, (size_t)((alignment - b->n % alignment) % alignment));
}

/* An honest tensor; its data (as many bytes as type and shape ask for) is copied, NULL means zeros. */
static inline void gb_tensor(gguf_builder *b, const char *name, quant_type type, uint32_t n_dims, const uint64_t *dims,
                             const void *data)
{
    const quant_traits *q = quant_traits_of((uint32_t)type);
    uint64_t elements = 1;
    if (!q) abort();
    for (uint32_t i = 0; i < n_dims; i++) elements *= dims[i];
    gb_pad(&b->data, b->alignment);
    gb_info(b, name, n_dims, dims, n_dims, (uint32_t)type, b->data.n);
    gb_put(&b->data, data, (size_t)(elements / (uint64_t)q->block_elements * (uint64_t)q->block_bytes));
}

/* The file's bytes, in an allocation of exactly their size, so that a sanitizer sees every step past the end. The
   builder is empty afterwards, except for header_bytes. */
static inline unsigned char *gb_finish(gguf_builder *b, size_t *n)
{
    gb_bytes f = {0};
    gb_put(&f, "GGUF", 4);
    gb_put32(&f, b->version);
    gb_put64(&f, b->claim_tensors == GB_HONEST ? b->n_tensors : b->claim_tensors);
    gb_put64(&f, b->claim_kv == GB_HONEST ? b->n_kv : b->claim_kv);
    gb_put(&f, b->kv.data, b->kv.n);
    gb_put(&f, b->infos.data, b->infos.n);
    size_t header = f.n;
    if (b->data.n) gb_pad(&f, b->alignment);
    gb_put(&f, b->data.data, b->data.n);
    unsigned char *exact = malloc(f.n);
    if (!exact) abort();
    memcpy(exact, f.data, f.n);
    *n = f.n;
    free(f.data);
    gb_free(b);
    b->header_bytes = header;
    return exact;
}

/* The same into a file. */
static inline void gb_write(gguf_builder *b, const char *path)
{
    size_t n;
    unsigned char *bytes = gb_finish(b, &n);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) abort();
    free(bytes);
}

#endif
