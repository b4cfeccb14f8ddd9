/* "linear" with plain NEON. */
#define TILE_ACTS 2
#include "kernels/arm/neon_words.h"
#include "kernels/arm/neon_lanes.h"

/* 16-bit products of the bytes of rows 0-1 and 2-3. A product is at most 128 * 127 in magnitude, two fit. */
typedef int16x8x2_t dots;

INLINE int dots_run(panel_kind kind)
{
    return 2;
}
INLINE dots dots_start(ivec t)
{
    return (dots){{vdupq_n_s16(0), vdupq_n_s16(0)}};
}
INLINE dots dots_add(panel_kind kind, dots s, ivec w, ivec x)
{
    int8x16_t a = vreinterpretq_s8_s32(w), b = vreinterpretq_s8_s32(x);
    s.val[0] = vmlal_s8(s.val[0], vget_low_s8(a), vget_low_s8(b));
    s.val[1] = vmlal_high_s8(s.val[1], a, b);
    return s;
}
/* Adding neighbours twice leaves one sum per row. */
INLINE ivec dots_fold(ivec t, dots s)
{
    return vaddq_s32(t, vpaddq_s32(vpaddlq_s16(s.val[0]), vpaddlq_s16(s.val[1])));
}

#include "kernels/lanes/linear_tile.h"

/* ---- what kernels/lanes/linear_quantise.h asks for ---- */

INLINE ivec i_sub(ivec a, ivec b)
{
    return vsubq_s32(a, b);
}
INLINE ivec i_round(fvec x)
{
    return vcvtnq_s32_f32(x);
}
INLINE ivec i_low_bytes(ivec a, ivec b)
{
    int16x8_t pairs = vreinterpretq_s16_s8(vuzp1q_s8(vreinterpretq_s8_s32(a), vreinterpretq_s8_s32(b)));
    return vreinterpretq_s32_s16(vzip1q_s16(pairs, vextq_s16(pairs, pairs, 4)));
}
/* Twice the product, plus 2^15, over 2^16. */
INLINE ivec h_scale(ivec y, ivec m)
{
    return vreinterpretq_s32_s16(vqrdmulhq_s16(vreinterpretq_s16_s32(y), vreinterpretq_s16_s32(m)));
}
INLINE ivec h_dot(ivec sum, ivec a, ivec b)
{
    int16x8_t x = vreinterpretq_s16_s32(a), y = vreinterpretq_s16_s32(b);
    return vaddq_s32(sum, vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y)));
}
INLINE fvec f_div(fvec a, fvec b)
{
    return vdivq_f32(a, b);
}
INLINE ivec i_bits(fvec x)
{
    return vreinterpretq_s32_f32(x);
}
INLINE fvec f_if_greater(fvec a, fvec b, fvec x, fvec y)
{
    return vbslq_f32(vcgtq_f32(a, b), x, y);
}
INLINE void f_transpose(fvec r[4])
{
    fvec from[4] = {r[0], r[1], r[2], r[3]};
    transpose_four(from, r);
}
INLINE void f_store_n(float *p, fvec x, int n)
{
    float all[4];
    vst1q_f32(all, x);
    memcpy(p, all, (size_t)n * sizeof *p);
}

#include "kernels/lanes/linear_quantise.h"

void linear_init_neon(linear_kernels *t)
{
    set_gemms(t);
    t->quantise = quantise;
}
