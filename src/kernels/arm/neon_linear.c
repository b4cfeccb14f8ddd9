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

INLINE float add_lanes(float32x4_t low, float32x4_t high)
{
    float32x4_t sum = vaddq_f32(low, high);
    float32x2_t half = vadd_f32(vget_low_f32(sum), vget_high_f32(sum));
    return vget_lane_f32(half, 0) + vget_lane_f32(half, 1);
}

/* One rounding's sums of y*q and q*q. */
INLINE void try_rounding(const float32x4_t y[8], float ratio, float *a, float *b)
{
    float32x4_t yq[2] = {vdupq_n_f32(0), vdupq_n_f32(0)}, qq[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
    for (int i = 0; i < 8; i++) {
        float32x4_t q = vrndnq_f32(vmulq_n_f32(y[i], ratio));
        yq[i % 2] = vfmaq_f32(yq[i % 2], y[i], q);
        qq[i % 2] = vfmaq_f32(qq[i % 2], q, q);
    }
    *a = add_lanes(yq[0], yq[1]);
    *b = add_lanes(qq[0], qq[1]);
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

enum { CANDIDATES = 6 };

static void quantise_block(const float *values, act_block *out)
{
    float32x4_t y[8];
    for (int i = 0; i < 8; i++) y[i] = vld1q_f32(values + 4 * i);
    float amax = max_magnitude(y), most = 0, best = 1;
    memset(out, 0, sizeof *out);
    if (!(amax >= 0x1p-110f && amax < __builtin_inff())) return;
    for (int i = 0; i < 8; i++) y[i] = vmulq_n_f32(y[i], 127.0f / amax);
    for (int c = 0; c < CANDIDATES; c++) {
        float a, b, ratio = (127.0f - (float)c) / 127.0f;
        try_rounding(y, ratio, &a, &b);
        float explained = a * a / b;
        if (c > 0 && !(explained > most)) continue;
        most = explained;
        best = ratio;
        out->d = amax / 127.0f * (a / b);
    }
    if (!(most >= 0)) out->d = amax / 127.0f; /* a NaN among the values */
    int low = store_bytes(y, best, out->q), high = store_bytes(y + 4, best, out->q + 16);
    act_block_sums(out, low, high);
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
