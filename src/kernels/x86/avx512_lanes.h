/* Sixteen float lanes in one AVX-512 register: what kernels/lanes/lanes.h asks for. */
#ifndef KVASIR_KERNELS_X86_AVX512_LANES_H
#define KVASIR_KERNELS_X86_AVX512_LANES_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 v16;

#define LANES static inline __attribute__((always_inline))

LANES __mmask16 first_lanes(int n)
{
    return (__mmask16)((1u << n) - 1u);
}

LANES v16 v16_set(float x)
{
    return _mm512_set1_ps(x);
}

LANES v16 v16_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

LANES v16 v16_load_n(const float *p, int n)
{
    return n == 16 ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(first_lanes(n), p);
}

LANES void v16_store(float *p, v16 x)
{
    _mm512_storeu_ps(p, x);
}

LANES void v16_store_n(float *p, v16 x, int n)
{
    if (n == 16) {
        _mm512_storeu_ps(p, x);
    } else {
        _mm512_mask_storeu_ps(p, first_lanes(n), x);
    }
}

LANES v16 v16_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}

LANES v16 v16_load_f16_n(const uint16_t *p, int n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}

LANES void v16_store_f16(uint16_t *p, v16 x)
{
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

LANES void v16_store_f16_n(uint16_t *p, v16 x, int n)
{
    _mm256_mask_storeu_epi16(p, first_lanes(n), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

LANES v16 v16_add(v16 a, v16 b)
{
    return _mm512_add_ps(a, b);
}

LANES v16 v16_sub(v16 a, v16 b)
{
    return _mm512_sub_ps(a, b);
}

LANES v16 v16_mul(v16 a, v16 b)
{
    return _mm512_mul_ps(a, b);
}

LANES v16 v16_div(v16 a, v16 b)
{
    return _mm512_div_ps(a, b);
}

LANES v16 v16_fma(v16 a, v16 b, v16 c)
{
    return _mm512_fmadd_ps(a, b, c);
}

LANES v16 v16_neg(v16 a)
{
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}

LANES v16 v16_max(v16 a, v16 b)
{
    return _mm512_max_ps(a, b);
}

LANES v16 v16_min(v16 a, v16 b)
{
    return _mm512_min_ps(a, b);
}

LANES v16 v16_zero_below(v16 x, v16 limit, v16 e)
{
    return _mm512_mask_mov_ps(e, _mm512_cmp_ps_mask(x, limit, _CMP_LT_OQ), _mm512_setzero_ps());
}

LANES v16 v16_add_exponent(v16 e, v16 z)
{
    __m512i n = _mm512_slli_epi32(_mm512_castps_si512(z), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(e), n));
}

LANES v16 v16_select(unsigned mask, v16 a, v16 b)
{
    return _mm512_mask_mov_ps(b, (__mmask16)mask, a);
}

LANES float v16_sum(v16 x)
{
    __m256 e = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}

LANES float v16_max_lane(v16 x)
{
    __m256 e = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(e), _mm256_extractf128_ps(e, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

LANES void v16_load_pairs(const float *p, v16 *even, v16 *odd)
{
    const __m512i pick = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    v16 x = v16_load(p), y = v16_load(p + 16);
    *even = _mm512_permutex2var_ps(x, pick, y);
    *odd = _mm512_permutex2var_ps(x, _mm512_add_epi32(pick, _mm512_set1_epi32(1)), y);
}

LANES void v16_store_pairs(float *p, v16 even, v16 odd)
{
    const __m512i mix = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    v16_store(p, _mm512_permutex2var_ps(even, mix, odd));
    v16_store(p + 16, _mm512_permutex2var_ps(even, _mm512_add_epi32(mix, _mm512_set1_epi32(8)), odd));
}

/* In three steps: within 128-bit quarters pairs, then fours of rows; then the quarters themselves. */
LANES void v16_transpose(v16 r[16])
{
    __m512d t[16];
    v16 u[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_castps_pd(_mm512_unpacklo_ps(r[i], r[i + 1]));
        t[i + 1] = _mm512_castps_pd(_mm512_unpackhi_ps(r[i], r[i + 1]));
    }
    for (int i = 0; i < 16; i += 4) {
        u[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i], t[i + 2]));
        u[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i], t[i + 2]));
        u[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t[i + 1], t[i + 3]));
        u[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t[i + 1], t[i + 3]));
    }
    for (int j = 0; j < 4; j++) {
        v16 a = _mm512_shuffle_f32x4(u[j], u[4 + j], 0x88), b = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0x88);
        v16 c = _mm512_shuffle_f32x4(u[j], u[4 + j], 0xdd), d = _mm512_shuffle_f32x4(u[8 + j], u[12 + j], 0xdd);
        r[j] = _mm512_shuffle_f32x4(a, b, 0x88);
        r[4 + j] = _mm512_shuffle_f32x4(c, d, 0x88);
        r[8 + j] = _mm512_shuffle_f32x4(a, b, 0xdd);
        r[12 + j] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

LANES v16 v16_abs(v16 x)
{
    return _mm512_abs_ps(x);
}

LANES v16 v16_if_greater(v16 a, v16 b, v16 x, v16 y)
{
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), x);
}

LANES v16 v16_swap(v16 x, int distance)
{
    switch (distance) {
    case 1:
        return _mm512_permute_ps(x, 0xb1);
    case 2:
        return _mm512_permute_ps(x, 0x4e);
    case 4:
        return _mm512_shuffle_f32x4(x, x, 0xb1);
    default:
        return _mm512_shuffle_f32x4(x, x, 0x4e);
    }
}

/* No clamp: vscalefps makes 0 of what is far below. The fraction of -infinity is NaN, which becomes 0 when it
   is turned into integers and packed. vreduceps would do both steps, in no less time on Zen 4, but it rounds
   the fraction down. */
LANES v16 v16_split_floor(v16 t, v16 *fraction)
{
    *fraction = _mm512_sub_ps(t, _mm512_roundscale_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
    return t;
}

LANES v16 v16_times_power(v16 e, v16 t)
{
    return _mm512_scalef_ps(e, t);
}

/* Eight vectors to eight numbers in 24 operations instead of 56: halves of two are put side by side and combined, then
   quarters of four, then pairs and singles of eight. */
#define REDUCE_EIGHT(name, combine)                                                                                    \
    LANES void name(const float(*x)[16], float *out)                                                                   \
    {                                                                                                                  \
        const __m512i order = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 13, 9, 5, 1, 12, 8, 4, 0);                      \
        v16 z[4], w[2];                                                                                                \
        for (int i = 0; i < 4; i++) {                                                                                  \
            v16 a = v16_load(x[2 * i]), b = v16_load(x[2 * i + 1]);                                                    \
            z[i] = combine(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));                        \
        }                                                                                                              \
        for (int i = 0; i < 2; i++)                                                                                    \
            w[i] = combine(_mm512_shuffle_f32x4(z[2 * i], z[2 * i + 1], 0x88),                                         \
                           _mm512_shuffle_f32x4(z[2 * i], z[2 * i + 1], 0xdd));                                        \
        v16 v = combine(_mm512_shuffle_ps(w[0], w[1], 0x44), _mm512_shuffle_ps(w[0], w[1], 0xee));                     \
        v = combine(_mm512_shuffle_ps(v, v, 0x88), _mm512_shuffle_ps(v, v, 0xdd));                                     \
        _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, v)));                                \
    }
REDUCE_EIGHT(v16_sum_eight, v16_add)
REDUCE_EIGHT(v16_max_eight, v16_max)
#undef REDUCE_EIGHT

#endif
