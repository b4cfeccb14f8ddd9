/* Sixteen float lanes in two AVX registers: what kernels/lanes/lanes.h asks for. */
#ifndef KVASIR_KERNELS_X86_AVX2_LANES_H
#define KVASIR_KERNELS_X86_AVX2_LANES_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "kernels/vec_const.h"

typedef struct v16 {
    __m256 a, b; /* lanes 0..7, 8..15 */
} v16;

#define LANES static inline __attribute__((always_inline))

#define EACH(operation)                                                                                                \
    (v16)                                                                                                              \
    {                                                                                                                  \
        operation(x.a, y.a), operation(x.b, y.b)                                                                       \
    }

/* All bits set in the lanes i of eight with first + i < n. */
LANES __m256i lanes_below(int first, int n)
{
    const __m256i lane = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - first), lane);
}

LANES v16 v16_set(float x)
{
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}

LANES v16 v16_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

LANES v16 v16_load_n(const float *p, int n)
{
    if (n == 16) return v16_load(p);
    return (v16){_mm256_maskload_ps(p, lanes_below(0, n)), _mm256_maskload_ps(p + 8, lanes_below(8, n))};
}

LANES void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}

LANES void v16_store_n(float *p, v16 x, int n)
{
    if (n == 16) {
        v16_store(p, x);
    } else {
        _mm256_maskstore_ps(p, lanes_below(0, n), x.a);
        _mm256_maskstore_ps(p + 8, lanes_below(8, n), x.b);
    }
}

LANES v16 v16_load_f16(const uint16_t *p)
{
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}

LANES void v16_store_f16(uint16_t *p, v16 x)
{
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}

/* 16-bit lanes have no masked access before AVX-512: they go through a buffer. */
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
    return EACH(_mm256_add_ps);
}

LANES v16 v16_sub(v16 x, v16 y)
{
    return EACH(_mm256_sub_ps);
}

LANES v16 v16_mul(v16 x, v16 y)
{
    return EACH(_mm256_mul_ps);
}

LANES v16 v16_div(v16 x, v16 y)
{
    return EACH(_mm256_div_ps);
}

LANES v16 v16_max(v16 x, v16 y)
{
    return EACH(_mm256_max_ps);
}

LANES v16 v16_min(v16 x, v16 y)
{
    return EACH(_mm256_min_ps);
}

LANES v16 v16_fma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}

LANES v16 v16_neg(v16 x)
{
    const v16 y = v16_set(-0.0f);
    return EACH(_mm256_xor_ps);
}

LANES v16 v16_zero_below(v16 x, v16 limit, v16 e)
{
    return (v16){_mm256_andnot_ps(_mm256_cmp_ps(x.a, limit.a, _CMP_LT_OQ), e.a),
                 _mm256_andnot_ps(_mm256_cmp_ps(x.b, limit.b, _CMP_LT_OQ), e.b)};
}

LANES __m256 add_exponent(__m256 e, __m256 z)
{
    __m256i n = _mm256_slli_epi32(_mm256_castps_si256(z), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(e), n));
}

LANES v16 v16_add_exponent(v16 x, v16 y)
{
    return EACH(add_exponent);
}

/* Lane i of eight from a where bit i of the mask is set, else from b. */
LANES __m256 select_eight(unsigned mask, __m256 a, __m256 b)
{
    const __m256i bit = _mm256_set_epi32(128, 64, 32, 16, 8, 4, 2, 1);
    __m256i set = _mm256_and_si256(_mm256_set1_epi32((int)mask), bit);
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(_mm256_cmpeq_epi32(set, bit)));
}

LANES v16 v16_select(unsigned mask, v16 x, v16 y)
{
    return (v16){select_eight(mask, x.a, y.a), select_eight(mask >> 8, x.b, y.b)};
}

LANES float v16_sum(v16 x)
{
    __m256 e = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

LANES float v16_max_lane(v16 x)
{
    __m256 e = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

/* The shuffles work on 128-bit halves, so the 64-bit pairs are put in order afterwards. */
LANES __m256 pairs_in_order(__m256 x)
{
    return _mm256_castpd_ps(_mm256_permute4x64_pd(_mm256_castps_pd(x), 0xd8));
}

LANES void v16_load_pairs(const float *p, v16 *even, v16 *odd)
{
    v16 x = v16_load(p), y = v16_load(p + 16);
    even->a = pairs_in_order(_mm256_shuffle_ps(x.a, x.b, 0x88));
    even->b = pairs_in_order(_mm256_shuffle_ps(y.a, y.b, 0x88));
    odd->a = pairs_in_order(_mm256_shuffle_ps(x.a, x.b, 0xdd));
    odd->b = pairs_in_order(_mm256_shuffle_ps(y.a, y.b, 0xdd));
}

LANES void store_pairs(float *p, __m256 even, __m256 odd)
{
    __m256 low = _mm256_unpacklo_ps(even, odd), high = _mm256_unpackhi_ps(even, odd);
    _mm256_storeu_ps(p, _mm256_permute2f128_ps(low, high, 0x20));
    _mm256_storeu_ps(p + 8, _mm256_permute2f128_ps(low, high, 0x31));
}

LANES void v16_store_pairs(float *p, v16 even, v16 odd)
{
    store_pairs(p, even.a, odd.a);
    store_pairs(p + 16, even.b, odd.b);
}

/* An 8 x 8 matrix: pairs, then fours of rows within the halves, then the halves. */
LANES void transpose_eight(__m256 r[8])
{
    __m256d t[8];
    __m256 u[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_castps_pd(_mm256_unpacklo_ps(r[i], r[i + 1]));
        t[i + 1] = _mm256_castps_pd(_mm256_unpackhi_ps(r[i], r[i + 1]));
    }
    for (int i = 0; i < 8; i += 4) {
        u[i] = _mm256_castpd_ps(_mm256_unpacklo_pd(t[i], t[i + 2]));
        u[i + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(t[i], t[i + 2]));
        u[i + 2] = _mm256_castpd_ps(_mm256_unpacklo_pd(t[i + 1], t[i + 3]));
        u[i + 3] = _mm256_castpd_ps(_mm256_unpackhi_pd(t[i + 1], t[i + 3]));
    }
    for (int j = 0; j < 4; j++) {
        r[j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x20);
        r[4 + j] = _mm256_permute2f128_ps(u[j], u[4 + j], 0x31);
    }
}

/* By quarters: the two on the diagonal turn in place, the other two also change places. */
LANES void v16_transpose(v16 r[16])
{
    __m256 q[4][8];
    for (int i = 0; i < 8; i++) {
        q[0][i] = r[i].a;
        q[1][i] = r[8 + i].a;
        q[2][i] = r[i].b;
        q[3][i] = r[8 + i].b;
    }
    for (int j = 0; j < 4; j++) transpose_eight(q[j]);
    for (int i = 0; i < 8; i++) {
        r[i] = (v16){q[0][i], q[1][i]};
        r[8 + i] = (v16){q[2][i], q[3][i]};
    }
}

LANES v16 v16_abs(v16 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return (v16){_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b)};
}

LANES v16 v16_if_greater(v16 a, v16 b, v16 x, v16 y)
{
    return (v16){_mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_GT_OQ)),
                 _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_GT_OQ))};
}

LANES v16 v16_swap(v16 x, int distance)
{
    switch (distance) {
    case 1:
        return (v16){_mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1)};
    case 2:
        return (v16){_mm256_permute_ps(x.a, 0x4e), _mm256_permute_ps(x.b, 0x4e)};
    case 4:
        return (v16){_mm256_permute2f128_ps(x.a, x.a, 1), _mm256_permute2f128_ps(x.b, x.b, 1)};
    default:
        return (v16){x.b, x.a};
    }
}

#undef EACH

LANES v16 v16_split_floor(v16 t, v16 *fraction)
{
    t = v16_max(t, v16_set(WEIGHT_MIN));
    v16 n = {_mm256_floor_ps(t.a), _mm256_floor_ps(t.b)};
    *fraction = v16_sub(t, n);
    return n;
}

LANES __m256 times_power(__m256 e, __m256 n)
{
    __m256i power = _mm256_slli_epi32(_mm256_cvtps_epi32(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(e), power));
}

LANES v16 v16_times_power(v16 e, v16 n)
{
    return (v16){times_power(e.a, n.a), times_power(e.b, n.b)};
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
