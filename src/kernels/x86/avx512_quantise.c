/* Activations to int8 for AVX-512: two blocks at once, one in each half of a register, by the steps of the contract
   (kernels/linear.h). Those of a pair are one chain, which waits most of the time; so a few pairs go step by step
   together. */
#include "kernels/levels.h"

#include <immintrin.h>

enum { CANDIDATES = 6, PAIRS = CANDIDATES / 2, GROUP = 4, PAIR = 2 * ACT_BLOCK };

#define UNROLL _Pragma("GCC unroll 6")

#define RATIO(c) ((float)(127 - (c)) / 127.0f)

/* Two blocks on their way. What belongs to one of them is in all lanes of its half. */
typedef struct pair {
    __m512 amax, inverse, ratio;
    __m512 yq, qq; /* of all candidates, as add_lanes leaves them */
} pair;

static inline __m512 nearest(__m512 x)
{
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

/* Of what largest() gives, the first block's in the lower eight lanes, the second one's in the upper ones. */
static inline __m512 to_halves(__m512 x)
{
    return _mm512_shuffle_f32x4(x, x, 0x50);
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

static inline void load(const float *x, __m512 y[4])
{
    UNROLL for (int i = 0; i < 4; i++) y[i] = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(x + 8 * i)),
                                                                 _mm256_loadu_ps(x + ACT_BLOCK + 8 * i), 1);
}

/* False where one of the blocks is zeros or beyond numbers. */
static inline bool measure(const float *x, pair *p)
{
    __m512 y[4];
    load(x, y);
    p->amax = magnitudes(y);
    p->inverse = _mm512_div_ps(_mm512_set1_ps(127.0f), p->amax);
    return (_mm512_cmp_ps_mask(p->amax, _mm512_set1_ps(0x1p-110f), _CMP_GE_OQ) &
            _mm512_cmp_ps_mask(p->amax, _mm512_set1_ps(__builtin_inff()), _CMP_LT_OQ)) == 0xffff;
}

static inline void try_all(const float *x, pair *p)
{
    __m512 y[4], yq[CANDIDATES], qq[CANDIDATES];
    load(x, y);
    UNROLL for (int i = 0; i < 4; i++) y[i] = _mm512_mul_ps(y[i], p->inverse);
    UNROLL for (int c = 0; c < CANDIDATES; c++)
    {
        yq[c] = qq[c] = _mm512_setzero_ps();
        UNROLL for (int i = 0; i < 4; i++)
        {
            __m512 q = nearest(_mm512_mul_ps(y[i], _mm512_set1_ps(RATIO(c))));
            yq[c] = _mm512_fmadd_ps(y[i], q, yq[c]);
            qq[c] = _mm512_fmadd_ps(q, q, qq[c]);
        }
    }
    p->yq = add_lanes(yq);
    p->qq = add_lanes(qq);
}

/* The rounding that explains most of y, for both blocks, and out's scales. Which one wins is a matter of chance, so
   there is no branch on it: of equals the one with the largest ratio is the first. None wins where there is a NaN. */
static inline void choose(pair *p, act_block out[2])
{
    const __m512 one = _mm512_set1_ps(1.0f), zero = _mm512_setzero_ps();
    const __m512 ratio = _mm512_setr_ps(RATIO(0), RATIO(2), RATIO(4), 0, RATIO(0), RATIO(2), RATIO(4), 0, RATIO(1),
                                        RATIO(3), RATIO(5), 0, RATIO(1), RATIO(3), RATIO(5), 0);
    __m512 explained = _mm512_div_ps(_mm512_mul_ps(p->yq, p->yq), p->qq);
    __mmask16 wins = _mm512_cmp_ps_mask(explained, largest(explained), _CMP_EQ_OQ);
    __m512 best = largest(_mm512_mask_mov_ps(zero, wins, ratio));
    wins &= _mm512_cmp_ps_mask(ratio, best, _CMP_EQ_OQ);
    __m512 better = largest(_mm512_maskz_div_ps(wins, p->yq, p->qq));
    __mmask16 none = _mm512_cmp_ps_mask(best, zero, _CMP_EQ_OQ);
    p->ratio = to_halves(_mm512_mask_mov_ps(best, none, one));
    better = to_halves(_mm512_mask_mov_ps(better, none, one));
    __m512 d = _mm512_mul_ps(_mm512_div_ps(p->amax, _mm512_set1_ps(127.0f)), better);
    out[0].d = _mm512_cvtss_f32(d);
    out[1].d = _mm_cvtss_f32(_mm512_extractf32x4_ps(d, 2));
}

/* The integers of both blocks (NaN as -127), and their sums. */
static inline void store(const float *x, const pair *p, act_block out[2])
{
    const __m512 least = _mm512_set1_ps(-127.0f);
    __m512 y[4];
    __m512i w[4];
    load(x, y);
    UNROLL for (int i = 0; i < 4; i++)
    {
        __m512 scaled = _mm512_mul_ps(_mm512_mul_ps(y[i], p->inverse), p->ratio);
        w[i] = _mm512_cvtps_epi32(_mm512_max_ps(scaled, least));
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

/* Odd ends and odd values. */
static __attribute__((noinline)) void quantise_few(const float *x, int n, act_block *out)
{
    linear_kernels lower;
    linear_init_avx2(&lower);
    lower.quantise(x, n * ACT_BLOCK, out);
}

/* n pairs, GROUP at most; false, with nothing written, where one of the blocks is zeros or beyond numbers. */
static bool quantise_pairs(const float *x, int n, act_block *out)
{
    pair p[GROUP];
    bool fine = true;
    for (int i = 0; i < n; i++) fine &= measure(x + i * PAIR, &p[i]);
    if (!fine) return false;
    for (int i = 0; i < n; i++) try_all(x + i * PAIR, &p[i]);
    for (int i = 0; i < n; i++) choose(&p[i], out + 2 * i);
    for (int i = 0; i < n; i++) store(x + i * PAIR, &p[i], out + 2 * i);
    return true;
}

static void quantise(const float *x, int k, act_block *out)
{
    int pairs = k / PAIR, groups = (pairs + GROUP - 1) / GROUP;
    for (int n; pairs > 0; pairs -= n, x += n * PAIR, out += 2 * n) {
        n = (pairs + groups - 1) / groups; /* groups as equal as can be */
        groups--;
        if (quantise_pairs(x, n, out)) continue;
        for (int i = 0; i < n; i++)
            if (!quantise_pairs(x + i * PAIR, 1, out + 2 * i)) quantise_few(x + i * PAIR, 2, out + 2 * i);
    }
    if (k % PAIR) quantise_few(x, 1, out);
}

void quantise_init_avx512(linear_kernels *t)
{
    t->quantise = quantise;
}
