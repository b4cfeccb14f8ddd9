/* The vectors of kernels/lanes/linear_tile.h for ARM: a panel is four vectors of four rows. Weights go into products as
   signed bytes. The including file adds the dots. */
#ifndef KVASIR_KERNELS_ARM_NEON_WORDS_H
#define KVASIR_KERNELS_ARM_NEON_WORDS_H

#include <arm_neon.h>

#define INLINE       static inline __attribute__((always_inline))
#define ROWS         4
#define TILE_PANELS  1
#define FLOAT_PANELS 2

#include "kernels/linear.h"

#include <string.h>

typedef int32x4_t ivec;
typedef float32x4_t fvec;

INLINE ivec i_load(const void *p)
{
    return vreinterpretq_s32_u8(vld1q_u8(p));
}
INLINE ivec i_load_bytes(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, sizeof four);
    return vreinterpretq_s32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
}
INLINE void i_store(void *p, ivec x)
{
    vst1q_u8(p, vreinterpretq_u8_s32(x));
}
INLINE ivec i_set(int32_t x)
{
    return vdupq_n_s32(x);
}
INLINE ivec i_add(ivec a, ivec b)
{
    return vaddq_s32(a, b);
}
INLINE ivec i_and(ivec a, ivec b)
{
    return vandq_s32(a, b);
}
INLINE ivec i_shl(ivec x, int n)
{
    return vshlq_s32(x, vdupq_n_s32(n));
}
INLINE ivec i_sar(ivec x, int n)
{
    return vshlq_s32(x, vdupq_n_s32(-n));
}
INLINE ivec i_shr(ivec x, int n)
{
    return vreinterpretq_s32_u32(vshlq_u32(vreinterpretq_u32_s32(x), vdupq_n_s32(-n)));
}
INLINE ivec i_rotl(ivec x, int n)
{
    return vorrq_s32(i_shl(x, n & 31), i_shr(x, 32 - (n & 31)));
}
INLINE ivec i_merge(ivec a, ivec b, ivec mask)
{
    return vorrq_s32(a, vandq_s32(b, mask));
}
INLINE ivec i_sub8(ivec a, ivec b)
{
    return vreinterpretq_s32_s8(vsubq_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)));
}
INLINE ivec i_max(ivec a, ivec b)
{
    return vmaxq_s32(a, b);
}
INLINE ivec i_table(const int8_t *values)
{
    return vreinterpretq_s32_s8(vld1q_s8(values));
}
INLINE ivec i_look_up(ivec table, ivec x)
{
    return vreinterpretq_s32_s8(vqtbl1q_s8(vreinterpretq_s8_s32(table), vreinterpretq_u8_s32(x)));
}

/* The byte that holds bit 4j+i goes to byte i of each word, where the bit is tested. */
INLINE ivec i_fifth(ivec u, ivec bits, int j)
{
    const uint8x16_t first = vreinterpretq_u8_u32((uint32x4_t){0, 0x04040404, 0x08080808, 0x0c0c0c0c});
    const uint8x16_t mask = vreinterpretq_u8_u32(vdupq_n_u32(j % 2 ? 0x80402010u : 0x08040201u));
    uint8x16_t byte = vqtbl1q_u8(vreinterpretq_u8_s32(bits), vaddq_u8(first, vdupq_n_u8((uint8_t)(j / 2))));
    uint8x16_t set = vandq_u8(vtstq_u8(byte, mask), vdupq_n_u8(0x10));
    return vorrq_s32(u, vreinterpretq_s32_u8(set));
}

INLINE fvec f_set(float x)
{
    return vdupq_n_f32(x);
}
INLINE fvec f_mul(fvec a, fvec b)
{
    return vmulq_f32(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c)
{
    return vfmaq_f32(c, a, b);
}
INLINE fvec f_neg(fvec a)
{
    return vnegq_f32(a);
}
INLINE fvec f_load(const void *p)
{
    return vreinterpretq_f32_u8(vld1q_u8(p));
}
INLINE fvec f_load_half(const void *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p)));
}
INLINE fvec f_load_bf16(const void *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
INLINE fvec f_low_half(ivec x)
{
    return vcvt_f32_f16(vreinterpret_f16_s16(vmovn_s32(x)));
}
INLINE fvec f_high_half(ivec x)
{
    return vcvt_f32_f16(vreinterpret_f16_s16(vshrn_n_s32(x, 16)));
}
INLINE fvec f_from_i(ivec x)
{
    return vcvtq_f32_s32(x);
}
INLINE fvec f_from_bits(ivec x)
{
    return vreinterpretq_f32_s32(x);
}
INLINE void f_store(float *p, fvec x)
{
    vst1q_f32(p, x);
}

INLINE bool dots_signed(panel_kind kind)
{
    return true;
}
INLINE int dots_centre(int c)
{
    return c;
}

#endif
