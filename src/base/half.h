/* f16, bf16 and E8M0 <-> f32 in plain C, exact; conversion to f16/bf16 rounds to nearest even, NaN stays NaN. */
#ifndef KVASIR_BASE_HALF_H
#define KVASIR_BASE_HALF_H

#include <stdint.h>
#include <string.h>

static inline float f32_from_bits(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static inline uint32_t f32_bits(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

static inline float f32_from_bf16(uint16_t h)
{
    return f32_from_bits((uint32_t)h << 16);
}

/* IEEE 754 binary16. The magnitude's exponent and fraction are moved to their places in f32, and a multiplication by
   2^112 corrects the bias, denormals included. Infinity and NaN are handled separately. */
static inline float f32_from_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = (uint32_t)(h & 0x7fffu) << 13;
    if (magnitude >= 0x0f800000u) return f32_from_bits(sign | magnitude | 0x7f800000u);
    return f32_from_bits(sign | f32_bits(f32_from_bits(magnitude) * 0x1p112f));
}

static inline uint16_t f16_from_f32(float f)
{
    uint32_t bits = f32_bits(f), sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((magnitude >> 13) & 0x1ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to 65536 or is larger */
    if (magnitude < 0x38800000u) {                                   /* denormal: let the adder round */
        return (uint16_t)(sign | (f32_bits(f32_from_bits(magnitude) + 0.5f) - 0x3f000000u));
    }
    magnitude += 0xfffu + ((magnitude >> 13) & 1u);
    return (uint16_t)(sign | ((magnitude - 0x38000000u) >> 13));
}

/* Half of an E8M0 scale 2^(e-127) (OCP Microscaling Formats 1.0), because the tables that it multiplies hold doubled
   values. Exact down to the denormals of f32. */
static inline float f32_from_e8m0_half(uint8_t e)
{
    return f32_from_bits(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

static inline uint16_t bf16_from_f32(float f)
{
    uint32_t bits = f32_bits(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#endif
