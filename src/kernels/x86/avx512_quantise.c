/* Activations to int8 for AVX-512: two blocks at once, one in each half of a register, by the steps of the contract
   (kernels/linear.h). */
#include "kernels/levels.h"

#include <immintrin.h>

enum { CANDIDATES = 6, PAIRS = CANDIDATES / 2 };

#define UNROLL _Pragma("GCC unroll 6")

static const float ratios[CANDIDATES] = {
    1.0f, 126.0f / 127.0f, 125.0f / 127.0f, 124.0f / 127.0f, 123.0f / 127.0f, 122.0f / 127.0f};

static inline __m512 nearest(__m512 x)
{
    const __m512 magic = _mm512_set1_ps(0x1.8p23f);
    return _mm512_sub_ps(_mm512_add_ps(x, magic), magic);
}

/* a in the lower eight lanes, b in the upper ones. */
static inline __m512 halves(__m512 a, __m512 b)
{
    return _mm512_mask_mov_ps(a, 0xff00, b);
}

/* The largest magnitude of each half, in all lanes of the half. A NaN is not seen. */
static inline __m512 magnitudes(const __m512 x[4])
{
    __m512 m = _mm512_setzero_ps();
    UNROLL for (int i = 0; i < 4; i++) m = _mm512_max_ps(_mm512_abs_ps(x[i]), m);
    m = _mm512_max_ps(m, _mm512_shuffle_f32x4(m, m, 0xb1));
    m = _mm512_max_ps(m, _mm512_permute_ps(m, 0x4e));
    return _mm512_max_ps(m, _mm512_permute_ps(m, 0xb1));
}

/* Adds lanes i+4, i+2, i+1 of both halves of six vectors. Candidate c's sums come to stand in element c/2 of quarter
   2*(c%2) for the first block, of the quarter after it for the second. */
static inline __m512 add_lanes(const __m512 v[CANDIDATES])
{
    __m512 two[PAIRS];
    UNROLL for (int i = 0; i < PAIRS; i++) two[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x88),
                                                                  _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xdd));
    __m512 a = _mm512_add_ps(_mm512_shuffle_ps(two[0], two[1], 0x44), _mm512_shuffle_ps(two[0], two[1], 0xee));
    __m512 b = _mm512_add_ps(_mm512_shuffle_ps(two[2], two[2], 0x44), _mm512_shuffle_ps(two[2], two[2], 0xee));
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd));
}

/* The largest of each block's six, in all lanes of its two quarters. */
static inline __m512 largest(__m512 x)
{
    x = _mm512_max_ps(x, _mm512_shuffle_f32x4(x, x, 0x4e));
    x = _mm512_max_ps(x, _mm512_permute_ps(x, 0x4e));
    return _mm512_max_ps(x, _mm512_permute_ps(x, 0xb1));
}

/* The rounding that explains most of y, for both blocks, and out's scales. Which one wins is a matter of chance, so
   there is no branch on it. */
static inline void choose(const __m512 y[4], __m512 amax, act_block out[2], float ratio[2])
{
    __m512 yq[CANDIDATES], qq[CANDIDATES];
    float a[16], b[16], top[16];
    UNROLL for (int c = 0; c < CANDIDATES; c++)
    {
        yq[c] = qq[c] = _mm512_setzero_ps();
        UNROLL for (int i = 0; i < 4; i++)
        {
            __m512 q = nearest(_mm512_mul_ps(y[i], _mm512_set1_ps(ratios[c])));
            yq[c] = _mm512_fmadd_ps(y[i], q, yq[c]);
            qq[c] = _mm512_fmadd_ps(q, q, qq[c]);
        }
    }
    __m512 sum_a = add_lanes(yq), sum_b = add_lanes(qq);
    __m512 explained = _mm512_div_ps(_mm512_mul_ps(sum_a, sum_a), sum_b);
    unsigned winners = _mm512_cmp_ps_mask(explained, largest(explained), _CMP_EQ_OQ);
    _mm512_storeu_ps(a, sum_a);
    _mm512_storeu_ps(b, sum_b);
    _mm512_storeu_ps(top, amax);
    for (int k = 0; k < 2; k++) {
        /* Bits of the candidates 0, 2, 4 and of 1, 3, 5, put in order; none is set where there is a NaN. */
        unsigned even = winners >> 4 * k & 7, odd = winners >> (8 + 4 * k) & 7;
        unsigned order =
            (even & 1) | (odd & 1) << 1 | (even & 2) << 1 | (odd & 2) << 2 | (even & 4) << 2 | (odd & 4) << 3;
        int best = order ? __builtin_ctz(order) : 0, at = 4 * (2 * (best % 2) + k) + best / 2;
        float step = top[8 * k] / 127.0f;
        out[k].d = order ? step * (a[at] / b[at]) : step;
        ratio[k] = ratios[best];
    }
}

/* The integers of both blocks (NaN as -127), and their sums. */
static inline void store(const __m512 y[4], __m512 ratio, act_block out[2])
{
    const __m512 most = _mm512_set1_ps(127.0f), least = _mm512_set1_ps(-127.0f);
    __m512i w[4];
    UNROLL for (int i = 0; i < 4; i++)
    {
        __m512 q = nearest(_mm512_mul_ps(y[i], ratio));
        w[i] = _mm512_cvtps_epi32(_mm512_min_ps(_mm512_max_ps(q, least), most));
        __m128i bytes = _mm512_cvtepi32_epi8(w[i]);
        _mm_storel_epi64((__m128i *)(void *)(out[0].q + 8 * i), bytes);
        _mm_storel_epi64((__m128i *)(void *)(out[1].q + 8 * i), _mm_unpackhi_epi64(bytes, bytes));
    }
    __m512i low = _mm512_add_epi32(w[0], w[1]), high = _mm512_add_epi32(w[2], w[3]);
    __m512i sum = _mm512_add_epi32(_mm512_shuffle_i32x4(low, high, 0x88), _mm512_shuffle_i32x4(low, high, 0xdd));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, 0x4e));
    sum = _mm512_add_epi32(sum, _mm512_shuffle_epi32(sum, 0xb1));
    int32_t each[16];
    _mm512_storeu_si512(each, sum);
    act_block_sums(&out[0], each[0], each[8]);
    act_block_sums(&out[1], each[4], each[12]);
}

/* Two blocks; false, with nothing written, where one of them is zeros or beyond numbers. */
static inline bool quantise_two(const float *x, act_block out[2])
{
    __m512 y[4];
    float ratio[2];
    UNROLL for (int i = 0; i < 4; i++) y[i] = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(x + 8 * i)),
                                                                 _mm256_loadu_ps(x + ACT_BLOCK + 8 * i), 1);
    __m512 amax = magnitudes(y);
    const __mmask16 fine = _mm512_cmp_ps_mask(amax, _mm512_set1_ps(0x1p-110f), _CMP_GE_OQ) &
                           _mm512_cmp_ps_mask(amax, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ);
    if (fine != 0xffff) return false;
    __m512 inverse = _mm512_div_ps(_mm512_set1_ps(127.0f), amax);
    UNROLL for (int i = 0; i < 4; i++) y[i] = _mm512_mul_ps(y[i], inverse);
    choose(y, amax, out, ratio);
    store(y, halves(_mm512_set1_ps(ratio[0]), _mm512_set1_ps(ratio[1])), out);
    return true;
}

/* Odd ends and odd values. */
static __attribute__((noinline)) void quantise_few(const float *x, int n, act_block *out)
{
    linear_kernels lower;
    linear_init_avx2(&lower);
    lower.quantise(x, n * ACT_BLOCK, out);
}

static void quantise(const float *x, int k, act_block *out)
{
    int n = k / ACT_BLOCK, b = 0;
    for (; b + 2 <= n; b += 2)
        if (!quantise_two(x + b * ACT_BLOCK, out + b)) quantise_few(x + b * ACT_BLOCK, 2, out + b);
    if (b < n) quantise_few(x + b * ACT_BLOCK, 1, out + b);
}

void quantise_init_avx512(linear_kernels *t)
{
    t->quantise = quantise;
}
