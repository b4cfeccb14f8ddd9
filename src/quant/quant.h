/* ggml's tensor types: block sizes, and the exact scalar decode of each (equal bit for bit to gguf-py and to ggml's own
   to_float; products in ggml's order, no contraction). Formats: ggml's ggml-common.h and ggml-quants.c. */
#ifndef KVASIR_QUANT_QUANT_H
#define KVASIR_QUANT_QUANT_H

#include "base/status.h"

#include <stdbool.h>

/* X(name, id in GGUF files, elements per block, bytes per block): one row per type, the traits table. The
   integer types carry ids only (deepseek4's tid2eid), not weights. */
#define QUANT_TYPE_MAP(X)                                                                                              \
    X(F32, 0, 1, 4)                                                                                                    \
    X(F16, 1, 1, 2)                                                                                                    \
    X(Q4_0, 2, 32, 18)                                                                                                 \
    X(Q4_1, 3, 32, 20)                                                                                                 \
    X(Q5_0, 6, 32, 22)                                                                                                 \
    X(Q5_1, 7, 32, 24)                                                                                                 \
    X(Q8_0, 8, 32, 34)                                                                                                 \
    X(Q2_K, 10, 256, 84)                                                                                               \
    X(Q3_K, 11, 256, 110)                                                                                              \
    X(Q4_K, 12, 256, 144)                                                                                              \
    X(Q5_K, 13, 256, 176)                                                                                              \
    X(Q6_K, 14, 256, 210)                                                                                              \
    X(IQ2_XXS, 16, 256, 66)                                                                                            \
    X(IQ2_XS, 17, 256, 74)                                                                                             \
    X(IQ3_XXS, 18, 256, 98)                                                                                            \
    X(IQ1_S, 19, 256, 50)                                                                                              \
    X(IQ4_NL, 20, 32, 18)                                                                                              \
    X(IQ3_S, 21, 256, 110)                                                                                             \
    X(IQ2_S, 22, 256, 82)                                                                                              \
    X(IQ4_XS, 23, 256, 136)                                                                                            \
    X(I8, 24, 1, 1)                                                                                                    \
    X(I16, 25, 1, 2)                                                                                                   \
    X(I32, 26, 1, 4)                                                                                                   \
    X(I64, 27, 1, 8)                                                                                                   \
    X(F64, 28, 1, 8)                                                                                                   \
    X(IQ1_M, 29, 256, 56)                                                                                              \
    X(BF16, 30, 1, 2)                                                                                                  \
    X(TQ1_0, 34, 256, 54)                                                                                              \
    X(TQ2_0, 35, 256, 66)                                                                                              \
    X(MXFP4, 39, 32, 17)                                                                                               \
    X(NVFP4, 40, 64, 36)                                                                                               \
    X(Q1_0, 41, 128, 18)

typedef enum quant_type {
#define X(name, id, elements, bytes) QUANT_##name = id,
    QUANT_TYPE_MAP(X)
#undef X
        QUANT_TYPES = 64 /* ids are below this */
} quant_type;

typedef struct quant_traits {
    const char *name; /* "Q4_K" */
    int block_elements, block_bytes;
    /* Decodes n elements (a multiple of block_elements) of the blocks at `raw` into `out`. NULL for integer types. */
    void (*decode)(const void *raw, float *out, size_t n);
} quant_traits;

/* Are all numbers that n blocks stand for finite? Looks at scales, where a type has them. */
bool quant_is_finite(quant_type type, const void *raw, size_t n_blocks);

/* NULL for an id that is not in the table. */
const quant_traits *quant_traits_of(uint32_t id);

#endif
