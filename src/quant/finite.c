/* Whether blocks hold finite numbers: a block does when its scales are finite. */
#include "base/half.h"
#include "quant/blocks.h"

#include <stddef.h>

/* Where a type's f16 scales are in its block. */
typedef struct halves {
    unsigned char n, offset[2];
} halves;

#define ONE(type)  [QUANT_##type] = {1, {offsetof(block_##type, d)}}
#define BOTH(type) [QUANT_##type] = {2, {offsetof(block_##type, d), offsetof(block_##type, m)}}
static const halves scales[QUANT_TYPES] = {
    [QUANT_F16] = {1, {0}},
    ONE(Q4_0),
    BOTH(Q4_1),
    ONE(Q5_0),
    BOTH(Q5_1),
    ONE(Q8_0),
    ONE(Q1_0),
    BOTH(Q2_K),
    ONE(Q3_K),
    BOTH(Q4_K),
    BOTH(Q5_K),
    ONE(Q6_K),
    ONE(IQ4_NL),
    ONE(IQ4_XS),
    ONE(IQ2_XXS),
    ONE(IQ2_XS),
    ONE(IQ2_S),
    ONE(IQ3_XXS),
    ONE(IQ3_S),
    ONE(IQ1_S),
    ONE(TQ1_0),
    ONE(TQ2_0),
};

enum { F16_EXPONENT = 0x7c00, BF16_EXPONENT = 0x7f80, E8M0_NAN = 0xff, UE4M3_NAN = 0x7f };

static bool halves_are_finite(const halves *h, size_t block_bytes, const uint8_t *p, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++, p += block_bytes)
        for (int j = 0; j < h->n; j++) bad |= (load_u16(p + h->offset[j]) & F16_EXPONENT) == F16_EXPONENT;
    return !bad;
}

static bool floats_are_finite(const uint8_t *p, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (load_u32(p + 4 * i) & 0x7f800000u) == 0x7f800000u;
    return !bad;
}

static bool bf16_are_finite(const uint8_t *p, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) bad |= (load_u16(p + 2 * i) & BF16_EXPONENT) == BF16_EXPONENT;
    return !bad;
}

/* The scale's bits are the upper four of each of the four 16-bit words of scales. */
static bool iq1_m_is_finite(const block_IQ1_M *b, size_t n)
{
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++, b++) {
        unsigned d = 0;
        for (int j = 0; j < 4; j++) d |= (unsigned)(load_u16(b->scales + 2 * j) >> 12) << (4 * j);
        bad |= (d & F16_EXPONENT) == F16_EXPONENT;
    }
    return !bad;
}

static bool fp4_is_finite(quant_type type, const uint8_t *p, size_t n)
{
    const size_t bytes = type == QUANT_MXFP4 ? QUANT_MXFP4_BYTES : QUANT_NVFP4_BYTES;
    const int n_scales = type == QUANT_MXFP4 ? 1 : 4, none = type == QUANT_MXFP4 ? E8M0_NAN : UE4M3_NAN;
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++, p += bytes)
        for (int j = 0; j < n_scales; j++) bad |= (type == QUANT_MXFP4 ? p[j] : p[j] & 0x7f) == none;
    return !bad;
}

bool quant_is_finite(quant_type type, const void *raw, size_t n)
{
    if (scales[type].n) return halves_are_finite(&scales[type], (size_t)quant_traits_of(type)->block_bytes, raw, n);
    switch (type) {
    case QUANT_F32:
        return floats_are_finite(raw, n);
    case QUANT_BF16:
        return bf16_are_finite(raw, n);
    case QUANT_IQ1_M:
        return iq1_m_is_finite(raw, n);
    case QUANT_MXFP4:
    case QUANT_NVFP4:
        return fp4_is_finite(type, raw, n);
    default: /* F64: no published weights have it, and what is decoded is looked at when it is used */
        return true;
    }
}
