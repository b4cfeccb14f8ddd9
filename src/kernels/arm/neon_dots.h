/* Integer products over sixteen lanes for NEON: what kernels/lanes/attn_packed.h asks for. Everything is signed here;
   products are widened to sixteen bits (K) or thirty-two (V) and added in pairs. */
#ifndef KVASIR_KERNELS_ARM_NEON_DOTS_H
#define KVASIR_KERNELS_ARM_NEON_DOTS_H

#include "kernels/arm/neon_lanes.h"
#include <stdbool.h>

typedef struct w16 {
    int32x4_t part[4];
} w16; /* sixteen int32 */
typedef struct words {
    int8x16_t part[4];
} words;
typedef words k_words; /* four channels of sixteen tokens */
typedef words v_words; /* four tokens of sixteen channels */
typedef w16 v_sums;
typedef int16x4_t p_words;
typedef int16_t p_weight;

LANES v16 v16_from_w16(w16 x)
{
    return (v16){vcvtq_f32_s32(x.part[0]), vcvtq_f32_s32(x.part[1]), vcvtq_f32_s32(x.part[2]),
                 vcvtq_f32_s32(x.part[3])};
}

LANES words less(const uint8_t *p, int centre)
{
    words w;
    for (int i = 0; i < 4; i++)
        w.part[i] = vreinterpretq_s8_u8(vsubq_u8(vld1q_u8(p + 16 * i), vdupq_n_u8((uint8_t)centre)));
    return w;
}

LANES k_words k8_load(const uint8_t *p)
{
    return less(p, 128);
}

LANES v_words v8_load(const uint8_t *p)
{
    return less(p, 0);
}

/* Nibbles minus 8. */
LANES words k4_load(const uint8_t *p, bool high)
{
    const uint8x16_t eight = vdupq_n_u8(8);
    words w;
    for (int i = 0; i < 4; i++) {
        uint8x16_t x = vld1q_u8(p + 16 * i);
        w.part[i] = vreinterpretq_s8_u8(vsubq_u8(high ? vshrq_n_u8(x, 4) : vandq_u8(x, vdupq_n_u8(15)), eight));
    }
    return w;
}

LANES words v4_load(const uint8_t *p, bool high)
{
    return k4_load(p, high);
}

LANES w16 w16_zero(void)
{
    int32x4_t zero = vdupq_n_s32(0);
    return (w16){{zero, zero, zero, zero}};
}

LANES w16 k8_start(int32_t minus128)
{
    (void)minus128; /* K is signed here */
    return w16_zero();
}

LANES w16 k4_start(int32_t minus128)
{
    (void)minus128;
    return w16_zero();
}

LANES w16 k8_add(w16 sum, k_words k, int32_t q)
{
    int8x8_t x = vreinterpret_s8_s32(vdup_n_s32(q));
    for (int i = 0; i < 4; i++) {
        int32x4_t low = vpaddlq_s16(vmull_s8(vget_low_s8(k.part[i]), x));
        int32x4_t high = vpaddlq_s16(vmull_s8(vget_high_s8(k.part[i]), x));
        sum.part[i] = vaddq_s32(sum.part[i], vpaddq_s32(low, high));
    }
    return sum;
}

LANES w16 k4_add(w16 sum, k_words k, int32_t q)
{
    return k8_add(sum, k, q);
}

LANES v_sums v_sums_zero(void)
{
    return w16_zero();
}

LANES p_words p_load(const p_weight *four)
{
    return vld1_s16(four);
}

/* Four tokens of two channels each, times the weights. */
LANES int32x4_t two_channels(int8x8_t v, p_words p)
{
    int16x8_t wide = vmovl_s8(v);
    return vpaddq_s32(vmull_s16(vget_low_s16(wide), p), vmull_s16(vget_high_s16(wide), p));
}

LANES v_sums v_sums_add(v_sums sum, p_words p, v_words v)
{
    for (int i = 0; i < 4; i++) {
        int32x4_t low = two_channels(vget_low_s8(v.part[i]), p), high = two_channels(vget_high_s8(v.part[i]), p);
        sum.part[i] = vaddq_s32(sum.part[i], vpaddq_s32(low, high));
    }
    return sum;
}

LANES w16 v_sums_total(v_sums sum)
{
    return sum;
}

LANES uint32x4_t low_byte(float32x4_t x)
{
    return vandq_u32(vreinterpretq_u32_f32(x), vdupq_n_u32(255));
}

LANES int32x4_t store_four_weights(p_weight *p, float32x4_t x)
{
    int32x4_t rounded = vcvtnq_s32_f32(x);
    vst1_s16(p, vmovn_s32(rounded));
    return rounded;
}

LANES v16 v16_store_page_weights(p_weight *p, const v16 x[4])
{
    w16 sum = w16_zero();
    for (int i = 0; i < 4; i++) {
        sum.part[0] = vaddq_s32(sum.part[0], store_four_weights(p + 16 * i, x[i].a));
        sum.part[1] = vaddq_s32(sum.part[1], store_four_weights(p + 16 * i + 4, x[i].b));
        sum.part[2] = vaddq_s32(sum.part[2], store_four_weights(p + 16 * i + 8, x[i].c));
        sum.part[3] = vaddq_s32(sum.part[3], store_four_weights(p + 16 * i + 12, x[i].d));
    }
    return v16_from_w16(sum);
}

LANES void v16_store_bytes(uint8_t *p, v16 x)
{
    uint16x8_t low = vcombine_u16(vmovn_u32(low_byte(x.a)), vmovn_u32(low_byte(x.b)));
    uint16x8_t high = vcombine_u16(vmovn_u32(low_byte(x.c)), vmovn_u32(low_byte(x.d)));
    vst1q_u8(p, vcombine_u8(vmovn_u16(low), vmovn_u16(high)));
}

LANES void store_four(uint8_t *p, float32x4_t x, float32x4_t y, float32x4_t z, float32x4_t t)
{
    uint32x4_t low = vorrq_u32(low_byte(x), vshlq_n_u32(low_byte(y), 8));
    uint32x4_t high = vorrq_u32(low_byte(z), vshlq_n_u32(low_byte(t), 8));
    vst1q_u8(p, vreinterpretq_u8_u32(vorrq_u32(low, vshlq_n_u32(high, 16))));
}

LANES void v16_store_words(uint8_t *p, const v16 byte[4])
{
    store_four(p, byte[0].a, byte[1].a, byte[2].a, byte[3].a);
    store_four(p + 16, byte[0].b, byte[1].b, byte[2].b, byte[3].b);
    store_four(p + 32, byte[0].c, byte[1].c, byte[2].c, byte[3].c);
    store_four(p + 48, byte[0].d, byte[1].d, byte[2].d, byte[3].d);
}

#endif
