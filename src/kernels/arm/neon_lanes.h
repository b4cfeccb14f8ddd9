/* Sixteen float lanes in four NEON registers: what kernels/lanes/lanes.h asks for. */
#ifndef KVASIR_KERNELS_ARM_NEON_LANES_H
#define KVASIR_KERNELS_ARM_NEON_LANES_H

#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec_const.h"

typedef struct v16 {
    float32x4_t a, b, c, d; /* lanes 0..3, 4..7, 8..11, 12..15 */
} v16;

#define LANES static inline __attribute__((always_inline))

#define EACH(operation)                                                                                                \
    (v16)                                                                                                              \
    {                                                                                                                  \
        operation(x.a, y.a), operation(x.b, y.b), operation(x.c, y.c), operation(x.d, y.d)                             \
    }

LANES v16 v16_set(float x)
{
    float32x4_t v = vdupq_n_f32(x);
    return (v16){v, v, v, v};
}

LANES v16 v16_load(const float *p)
{
    return (v16){vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)};
}

LANES void v16_store(float *p, v16 x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}

/* NEON has no masked access: the ends of rows go through a buffer. */
LANES v16 v16_load_n(const float *p, int n)
{
    float some[16] = {0};
    if (n == 16) return v16_load(p);
    memcpy(some, p, (size_t)n * sizeof *p);
    return v16_load(some);
}

LANES void v16_store_n(float *p, v16 x, int n)
{
    float some[16];
    if (n == 16) {
        v16_store(p, x);
    } else {
        v16_store(some, x);
        memcpy(p, some, (size_t)n * sizeof *p);
    }
}

LANES v16 v16_load_f16(const uint16_t *p)
{
    float16x8_t low = vreinterpretq_f16_u16(vld1q_u16(p)), high = vreinterpretq_f16_u16(vld1q_u16(p + 8));
    return (v16){vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                 vcvt_high_f32_f16(high)};
}

LANES void v16_store_f16(uint16_t *p, v16 x)
{
    vst1q_u16(p, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b)));
    vst1q_u16(p + 8, vreinterpretq_u16_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.c), x.d)));
}

LANES v16 v16_load_f16_n(const uint16_t *p, int n)
{
    uint16_t some[16] = {0};
    memcpy(some, p, (size_t)n * sizeof *p);
    return v16_load_f16(some);
}

LANES void v16_store_f16_n(uint16_t *p, v16 x, int n)
{
    uint16_t some[16];
    v16_store_f16(some, x);
    memcpy(p, some, (size_t)n * sizeof *p);
}

LANES v16 v16_add(v16 x, v16 y)
{
    return EACH(vaddq_f32);
}

LANES v16 v16_sub(v16 x, v16 y)
{
    return EACH(vsubq_f32);
}

LANES v16 v16_mul(v16 x, v16 y)
{
    return EACH(vmulq_f32);
}

LANES v16 v16_div(v16 x, v16 y)
{
    return EACH(vdivq_f32);
}

LANES v16 v16_max(v16 x, v16 y)
{
    return EACH(vmaxq_f32);
}

LANES v16 v16_min(v16 x, v16 y)
{
    return EACH(vminq_f32);
}

LANES v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){vfmaq_f32(z.a, x.a, y.a), vfmaq_f32(z.b, x.b, y.b), vfmaq_f32(z.c, x.c, y.c),
                 vfmaq_f32(z.d, x.d, y.d)};
}

LANES v16 v16_neg(v16 x)
{
    return (v16){vnegq_f32(x.a), vnegq_f32(x.b), vnegq_f32(x.c), vnegq_f32(x.d)};
}

LANES float32x4_t zero_below(float32x4_t x, float32x4_t limit, float32x4_t e)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(e), vcltq_f32(x, limit)));
}

LANES v16 v16_zero_below(v16 x, v16 limit, v16 e)
{
    return (v16){zero_below(x.a, limit.a, e.a), zero_below(x.b, limit.b, e.b), zero_below(x.c, limit.c, e.c),
                 zero_below(x.d, limit.d, e.d)};
}

LANES float32x4_t add_exponent(float32x4_t e, float32x4_t z)
{
    return vreinterpretq_f32_u32(vaddq_u32(vreinterpretq_u32_f32(e), vshlq_n_u32(vreinterpretq_u32_f32(z), 23)));
}

LANES v16 v16_add_exponent(v16 x, v16 y)
{
    return EACH(add_exponent);
}

/* Lane i of four from a where bit i of the mask is set, else from b. */
LANES float32x4_t select_four(unsigned mask, float32x4_t a, float32x4_t b)
{
    const uint32x4_t bit = {1, 2, 4, 8};
    return vbslq_f32(vtstq_u32(vdupq_n_u32(mask), bit), a, b);
}

LANES v16 v16_select(unsigned mask, v16 x, v16 y)
{
    return (v16){select_four(mask, x.a, y.a), select_four(mask >> 4, x.b, y.b), select_four(mask >> 8, x.c, y.c),
                 select_four(mask >> 12, x.d, y.d)};
}

LANES float v16_sum(v16 x)
{
    float32x4_t q = vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d)); /* i+8, then i+4 */
    float32x2_t p = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(p, 0) + vget_lane_f32(p, 1);
}

LANES float v16_max_lane(v16 x)
{
    return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.a, x.b), vmaxq_f32(x.c, x.d)));
}

LANES void v16_load_pairs(const float *p, v16 *even, v16 *odd)
{
    float32x4x2_t a = vld2q_f32(p), b = vld2q_f32(p + 8), c = vld2q_f32(p + 16), d = vld2q_f32(p + 24);
    *even = (v16){a.val[0], b.val[0], c.val[0], d.val[0]};
    *odd = (v16){a.val[1], b.val[1], c.val[1], d.val[1]};
}

LANES void v16_store_pairs(float *p, v16 even, v16 odd)
{
    vst2q_f32(p, (float32x4x2_t){{even.a, odd.a}});
    vst2q_f32(p + 8, (float32x4x2_t){{even.b, odd.b}});
    vst2q_f32(p + 16, (float32x4x2_t){{even.c, odd.c}});
    vst2q_f32(p + 24, (float32x4x2_t){{even.d, odd.d}});
}

/* Columns 0..3 of four rows. */
LANES void transpose_four(const float32x4_t r[4], float32x4_t to[4])
{
    float64x2_t t0 = vreinterpretq_f64_f32(vtrn1q_f32(r[0], r[1])), t1 = vreinterpretq_f64_f32(vtrn2q_f32(r[0], r[1]));
    float64x2_t t2 = vreinterpretq_f64_f32(vtrn1q_f32(r[2], r[3])), t3 = vreinterpretq_f64_f32(vtrn2q_f32(r[2], r[3]));
    to[0] = vreinterpretq_f32_f64(vtrn1q_f64(t0, t2));
    to[1] = vreinterpretq_f32_f64(vtrn1q_f64(t1, t3));
    to[2] = vreinterpretq_f32_f64(vtrn2q_f64(t0, t2));
    to[3] = vreinterpretq_f32_f64(vtrn2q_f64(t1, t3));
}

/* By sixteen squares of 4 x 4: square (i, j) goes to (j, i). */
LANES void v16_transpose(v16 r[16])
{
    float32x4_t from[4][16], to[4][16]; /* [column of squares][row] */
    for (int i = 0; i < 16; i++) {
        from[0][i] = r[i].a;
        from[1][i] = r[i].b;
        from[2][i] = r[i].c;
        from[3][i] = r[i].d;
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) transpose_four(&from[j][4 * i], &to[i][4 * j]);
    for (int i = 0; i < 16; i++) r[i] = (v16){to[0][i], to[1][i], to[2][i], to[3][i]};
}

LANES v16 v16_abs(v16 x)
{
    return (v16){vabsq_f32(x.a), vabsq_f32(x.b), vabsq_f32(x.c), vabsq_f32(x.d)};
}

LANES v16 v16_if_greater(v16 a, v16 b, v16 x, v16 y)
{
    return (v16){vbslq_f32(vcgtq_f32(a.a, b.a), x.a, y.a), vbslq_f32(vcgtq_f32(a.b, b.b), x.b, y.b),
                 vbslq_f32(vcgtq_f32(a.c, b.c), x.c, y.c), vbslq_f32(vcgtq_f32(a.d, b.d), x.d, y.d)};
}

LANES float32x4_t swap_two(float32x4_t x)
{
    return vextq_f32(x, x, 2);
}

LANES v16 v16_swap(v16 x, int distance)
{
    switch (distance) {
    case 1:
        return (v16){vrev64q_f32(x.a), vrev64q_f32(x.b), vrev64q_f32(x.c), vrev64q_f32(x.d)};
    case 2:
        return (v16){swap_two(x.a), swap_two(x.b), swap_two(x.c), swap_two(x.d)};
    case 4:
        return (v16){x.b, x.a, x.d, x.c};
    default:
        return (v16){x.c, x.d, x.a, x.b};
    }
}

#undef EACH

LANES v16 v16_split_floor(v16 t, v16 *fraction)
{
    t = v16_max(t, v16_set(WEIGHT_MIN));
    v16 n = {vrndmq_f32(t.a), vrndmq_f32(t.b), vrndmq_f32(t.c), vrndmq_f32(t.d)};
    *fraction = v16_sub(t, n);
    return n;
}

LANES float32x4_t times_power(float32x4_t e, float32x4_t n)
{
    int32x4_t power = vshlq_n_s32(vcvtq_s32_f32(n), 23);
    return vreinterpretq_f32_s32(vaddq_s32(vreinterpretq_s32_f32(e), power));
}

LANES v16 v16_times_power(v16 e, v16 n)
{
    return (v16){times_power(e.a, n.a), times_power(e.b, n.b), times_power(e.c, n.c), times_power(e.d, n.d)};
}

LANES void v16_sum_eight(const float (*x)[16], float *out)
{
    for (int i = 0; i < 8; i++) out[i] = v16_sum(v16_load(x[i]));
}

LANES void v16_max_eight(const float (*x)[16], float *out)
{
    for (int i = 0; i < 8; i++) out[i] = v16_max_lane(v16_load(x[i]));
}

#endif
