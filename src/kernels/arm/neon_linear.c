/* "linear" with plain NEON. */
#define TILE_ACTS 2
#include "kernels/arm/neon_words.h"

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

#include "kernels/linear_tile.h"

/* ---- activations to int8: the steps of ref/linear.c; the eight lanes are two vectors ---- */

INLINE float max_magnitude(const float32x4_t x[8])
{
    float32x4_t most = vdupq_n_f32(0);
    for (int i = 0; i < 8; i++) most = vmaxnmq_f32(most, vabsq_f32(x[i]));
    return vmaxnmvq_f32(most);
}

/* The sum of squared errors at one scale. */
INLINE float error_at(const float32x4_t x[8], float d, float inverse)
{
    float32x4_t low = vdupq_n_f32(0), high = low;
    for (int i = 0; i < 8; i += 2) {
        float32x4_t e = vfmsq_n_f32(x[i], vrndnq_f32(vmulq_n_f32(x[i], inverse)), d);
        low = vfmaq_f32(low, e, e);
        e = vfmsq_n_f32(x[i + 1], vrndnq_f32(vmulq_n_f32(x[i + 1], inverse)), d);
        high = vfmaq_f32(high, e, e);
    }
    float32x4_t sum = vaddq_f32(low, high);
    float32x2_t half = vadd_f32(vget_low_f32(sum), vget_high_f32(sum));
    return vget_lane_f32(half, 0) + vget_lane_f32(half, 1);
}

/* 16 values to bytes within -127..127; a NaN becomes 0. Returns their sum. */
INLINE int store_bytes(const float32x4_t x[4], float inverse, int8_t *to)
{
    int16x4_t w[4];
    for (int i = 0; i < 4; i++) {
        float32x4_t q = vminq_f32(vmaxq_f32(vmulq_n_f32(x[i], inverse), vdupq_n_f32(-127)), vdupq_n_f32(127));
        w[i] = vmovn_s32(vcvtnq_s32_f32(q));
    }
    int8x16_t bytes = vcombine_s8(vmovn_s16(vcombine_s16(w[0], w[1])), vmovn_s16(vcombine_s16(w[2], w[3])));
    vst1q_s8(to, bytes);
    return vaddlvq_s8(bytes);
}

static void quantise_block(const float *values, act_block *out)
{
    static const float steps[4] = {127.0f, 125.5f, 124.0f, 122.5f};
    float32x4_t x[8];
    for (int i = 0; i < 8; i++) x[i] = vld1q_f32(values + 4 * i);
    float amax = max_magnitude(x), best = 0, inverse = 0;
    memset(out, 0, sizeof *out);
    if (!(amax >= 0x1p-110f && amax < __builtin_inff())) return;
    for (int c = 0; c < 4; c++) {
        float error = error_at(x, amax / steps[c], steps[c] / amax);
        if (c > 0 && !(error < best)) continue;
        best = error;
        out->d = amax / steps[c];
        inverse = steps[c] / amax;
    }
    out->sum[0] = store_bytes(x, inverse, out->q);
    out->sum[1] = store_bytes(x + 4, inverse, out->q + 16);
    out->ds = out->d * (float)(out->sum[0] + out->sum[1]);
}

static void quantise(const float *x, int k, act_block *out)
{
    for (int b = 0; b < k / ACT_BLOCK; b++) quantise_block(x + b * ACT_BLOCK, out + b);
}

void linear_init_neon(linear_kernels *t)
{
    set_gemms(t);
    t->quantise = quantise;
}
