/* The blocks as they lie in memory and in GGUF files, little-endian, without padding. Layouts: ggml's
   ggml-common.h. `d` and `m` are f16 scales and minima. Packed, so that a block may stand at any byte. */
#ifndef KVASIR_QUANT_BLOCKS_H
#define KVASIR_QUANT_BLOCKS_H

#include "quant/quant.h"
#include <stdbool.h>
#include <string.h>

#define BLOCK(type, ...)                                                                                               \
    typedef struct __attribute__((packed)) block_##type {                                                              \
        __VA_ARGS__                                                                                                    \
    } block_##type;                                                                                                    \
    _Static_assert(sizeof(block_##type) == QUANT_##type##_BYTES, #type);

enum {
#define X(type, id, elements, bytes) QUANT_##type##_BYTES = bytes, QUANT_##type##_ELEMENTS = elements,
    QUANT_TYPE_MAP(X)
#undef X
};

/* clang-format off */
/* 32 elements; byte i holds elements i (low nibble) and i + 16. The fifth bits: bit i of qh. */
BLOCK(Q4_0, uint16_t d; uint8_t qs[16];)
BLOCK(Q4_1, uint16_t d, m; uint8_t qs[16];)
BLOCK(Q5_0, uint16_t d; uint8_t qh[4]; uint8_t qs[16];)
BLOCK(Q5_1, uint16_t d, m; uint8_t qh[4]; uint8_t qs[16];)
BLOCK(Q8_0, uint16_t d; int8_t qs[32];)
BLOCK(IQ4_NL, uint16_t d; uint8_t qs[16];)
BLOCK(MXFP4, uint8_t e; uint8_t qs[16];)
/* Four groups of 16, each like the above with 8 bytes. */
BLOCK(NVFP4, uint8_t d[4]; uint8_t qs[32];)
/* 128 signs, lowest bit first. */
BLOCK(Q1_0, uint16_t d; uint8_t qs[16];)

/* 256 elements in groups of 16 or 32 that have scales of their own. */
BLOCK(Q2_K, uint8_t scales[16]; uint8_t qs[64]; uint16_t d, m;)
BLOCK(Q3_K, uint8_t hmask[32]; uint8_t qs[64]; uint8_t scales[12]; uint16_t d;)
BLOCK(Q4_K, uint16_t d, m; uint8_t scales[12]; uint8_t qs[128];)
BLOCK(Q5_K, uint16_t d, m; uint8_t scales[12]; uint8_t qh[32]; uint8_t qs[128];)
BLOCK(Q6_K, uint8_t ql[128]; uint8_t qh[64]; int8_t scales[16]; uint16_t d;)

/* Groups of 8 (IQ2, IQ1) or 4 (IQ3) elements are rows of a grid (iq_tables.h). */
BLOCK(IQ2_XXS, uint16_t d; uint8_t qs[8][8];)
BLOCK(IQ2_XS, uint16_t d; uint8_t qs[64]; uint8_t scales[8];)
BLOCK(IQ2_S, uint16_t d; uint8_t qs[32]; uint8_t signs[32]; uint8_t qh[8]; uint8_t scales[8];)
BLOCK(IQ3_XXS, uint16_t d; uint8_t qs[64]; uint8_t scales_signs[32];)
BLOCK(IQ3_S, uint16_t d; uint8_t qs[64]; uint8_t qh[8]; uint8_t signs[32]; uint8_t scales[4];)
BLOCK(IQ1_S, uint16_t d; uint8_t qs[32]; uint8_t qh[16];)
BLOCK(IQ1_M, uint8_t qs[32]; uint8_t qh[16]; uint8_t scales[8];)
BLOCK(IQ4_XS, uint16_t d; uint8_t scales_h[2]; uint8_t scales_l[4]; uint8_t qs[128];)

/* -1, 0, 1: five to a byte in base 3, or four to a byte. */
BLOCK(TQ1_0, uint8_t qs[48]; uint8_t qh[4]; uint16_t d;)
BLOCK(TQ2_0, uint8_t qs[64]; uint16_t d;)
/* clang-format on */
#undef BLOCK

static inline uint16_t load_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline uint32_t load_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

#endif
