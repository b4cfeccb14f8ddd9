/* "linear" with AVX2: a panel is two vectors of eight rows. Products of bytes are summed in pairs to 16 bits
   (vpmaddubsw), which saturates: how many pairs fit is worked out per kind below. */
#include <immintrin.h>

#define INLINE       static inline __attribute__((always_inline))
#define ROWS         8
#define TILE_PANELS  1
#define TILE_ACTS    3
#define FLOAT_PANELS 4

#include "kernels/linear.h"

typedef __m256i ivec;
typedef __m256 fvec;
typedef __m256i dots; /* 16 sums of 16 bits */

INLINE ivec i_load(const void *p)
{
    return _mm256_loadu_si256(p);
}
INLINE ivec i_load_bytes(const void *p)
{
    return _mm256_cvtepu8_epi32(_mm_loadu_si64(p));
}
INLINE void i_store(void *p, ivec x)
{
    _mm256_storeu_si256(p, x);
}
INLINE ivec i_set(int32_t x)
{
    return _mm256_set1_epi32(x);
}
INLINE ivec i_add(ivec a, ivec b)
{
    return _mm256_add_epi32(a, b);
}
INLINE ivec i_and(ivec a, ivec b)
{
    return _mm256_and_si256(a, b);
}
INLINE ivec i_shr(ivec x, int n)
{
    return _mm256_srli_epi32(x, n);
}
INLINE ivec i_shl(ivec x, int n)
{
    return _mm256_slli_epi32(x, n);
}
INLINE ivec i_sar(ivec x, int n)
{
    return _mm256_srai_epi32(x, n);
}
INLINE ivec i_rotl(ivec x, int n)
{
    return _mm256_or_si256(_mm256_slli_epi32(x, n & 31), _mm256_srli_epi32(x, 32 - (n & 31)));
}
INLINE ivec i_merge(ivec a, ivec b, ivec mask)
{
    return _mm256_or_si256(a, _mm256_and_si256(b, mask));
}
INLINE ivec i_sub8(ivec a, ivec b)
{
    return _mm256_sub_epi8(a, b);
}
INLINE ivec i_max(ivec a, ivec b)
{
    return _mm256_max_epi32(a, b);
}
INLINE ivec i_table(const int8_t *values)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)values));
}
INLINE ivec i_look_up(ivec table, ivec x)
{
    return _mm256_shuffle_epi8(table, x);
}

/* The byte that holds bit 4j+i goes to byte i of each word; comparing with the bit's own mask makes it 0 or
 * 255. */
INLINE ivec i_fifth(ivec u, ivec bits, int j)
{
    const __m256i first =
        _mm256_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c, 0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    const __m256i mask = _mm256_set1_epi32(j % 2 ? (int)0x80402010u : 0x08040201);
    __m256i byte = _mm256_shuffle_epi8(bits, _mm256_add_epi8(first, _mm256_set1_epi8((char)(j / 2))));
    __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(byte, mask), mask);
    return _mm256_or_si256(u, _mm256_and_si256(set, _mm256_set1_epi8(0x10)));
}

INLINE fvec f_set(float x)
{
    return _mm256_set1_ps(x);
}
INLINE fvec f_mul(fvec a, fvec b)
{
    return _mm256_mul_ps(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE fvec f_neg(fvec a)
{
    return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f));
}
INLINE fvec f_load(const void *p)
{
    return _mm256_loadu_ps(p);
}
INLINE fvec f_load_half(const void *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128(p));
}
INLINE fvec f_load_bf16(const void *p)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(p)), 16));
}
INLINE fvec f_high_half(ivec x)
{
    __m256i halves = _mm256_srli_epi32(x, 16);
    return _mm256_cvtph_ps(_mm_packus_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}
INLINE fvec f_low_half(ivec x)
{
    return f_high_half(_mm256_slli_epi32(x, 16));
}
INLINE fvec f_from_i(ivec x)
{
    return _mm256_cvtepi32_ps(x);
}
INLINE fvec f_from_bits(ivec x)
{
    return _mm256_castsi256_ps(x);
}
INLINE void f_store(float *p, fvec x)
{
    _mm256_storeu_ps(p, x);
}

INLINE bool dots_signed(panel_kind kind)
{
    return kind == PANEL_Q8_0 || kind == PANEL_IQ4_NL || kind == PANEL_IQ4_XS;
}

/* A pair is at most 7874 in magnitude with 5 bits and in MXFP4, whose u are 4 to 28 (four: 31496), 16002 with 6
   (two: 32004), 2 * 128 * 127 = 32512 with signed bytes (one); 32767 is the limit. Of 4 bits eight would fit, but
   shorter chains are faster. */
INLINE int dots_run(panel_kind kind)
{
    switch (kind) {
    case PANEL_Q6_K:
        return 2;
    case PANEL_Q8_0:
    case PANEL_IQ4_NL:
    case PANEL_IQ4_XS:
        return 1;
    default:
        return 4;
    }
}

INLINE int dots_centre(int c)
{
    return c;
}

INLINE dots dots_start(ivec t)
{
    return _mm256_setzero_si256();
}

/* The instruction takes unsigned by signed bytes: signed weights go in as |w| and sign(w) * x. */
INLINE dots dots_add(panel_kind kind, dots s, ivec w, ivec x)
{
    if (dots_signed(kind)) return _mm256_add_epi16(s, _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w)));
    return _mm256_add_epi16(s, _mm256_maddubs_epi16(w, x));
}

INLINE ivec dots_fold(ivec t, dots s)
{
    return _mm256_add_epi32(t, _mm256_madd_epi16(s, _mm256_set1_epi16(1)));
}

#include "kernels/linear_tile.h"

/* ---- activations to int8: the steps of ref/linear.c, eight lanes at a time ---- */

INLINE float max_magnitude(const __m256 x[4])
{
    /* A NaN as first operand is dropped, as the reference does. */
    const __m256 magnitude = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    __m256 most = _mm256_setzero_ps();
    for (int i = 0; i < 4; i++) most = _mm256_max_ps(_mm256_and_ps(x[i], magnitude), most);
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(most), _mm256_extractf128_ps(most, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
}

INLINE __m256 nearest(__m256 x)
{
    const __m256 magic = _mm256_set1_ps(0x1.8p23f);
    return _mm256_sub_ps(_mm256_add_ps(x, magic), magic);
}

/* Adds lanes i+4, i+2, i+1 of each of four vectors: sum n in lane n. */
INLINE __m128 add_lanes(const __m256 v[4])
{
    __m128 h[4];
    for (int i = 0; i < 4; i++) h[i] = _mm_add_ps(_mm256_castps256_ps128(v[i]), _mm256_extractf128_ps(v[i], 1));
    __m128 a = _mm_add_ps(_mm_movelh_ps(h[0], h[1]), _mm_movehl_ps(h[1], h[0]));
    __m128 b = _mm_add_ps(_mm_movelh_ps(h[2], h[3]), _mm_movehl_ps(h[3], h[2]));
    return _mm_add_ps(_mm_shuffle_ps(a, b, 0x88), _mm_shuffle_ps(a, b, 0xdd));
}

/* 32 floats that are integers to bytes within -127..127 (NaN to -127), and what goes with them; out->d is there. */
INLINE void store_bytes(const __m256 x[4], float inverse, act_block *out)
{
    const __m256 most = _mm256_set1_ps(127.0f), least = _mm256_set1_ps(-127.0f);
    __m256i w[4];
    for (int i = 0; i < 4; i++) {
        __m256 q = nearest(_mm256_mul_ps(x[i], _mm256_set1_ps(inverse)));
        w[i] = _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(q, least), most));
    }
    /* packing works in 128-bit halves: words come out as 0 2 4 6 | 1 3 5 7 */
    __m256i bytes = _mm256_packs_epi16(_mm256_packs_epi32(w[0], w[1]), _mm256_packs_epi32(w[2], w[3]));
    bytes = _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)out->q, bytes);

    const __m256i ones = _mm256_set1_epi8(1);
    __m256i sums = _mm256_madd_epi16(_mm256_maddubs_epi16(ones, bytes), _mm256_set1_epi16(1));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4e));
    sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xb1));
    act_block_sums(out, _mm256_cvtsi256_si32(sums), _mm_cvtsi128_si32(_mm256_extracti128_si256(sums, 1)));
}

enum { CANDIDATES = 6, CANDIDATE_ROOM = 8 };

static void quantise_block(const float *values, act_block *out)
{
    static const float ratio[CANDIDATES] = {
        1.0f, 126.0f / 127.0f, 125.0f / 127.0f, 124.0f / 127.0f, 123.0f / 127.0f, 122.0f / 127.0f};
    float a[CANDIDATE_ROOM], b[CANDIDATE_ROOM];
    __m256 y[4], yq[CANDIDATE_ROOM], qq[CANDIDATE_ROOM];
    for (int i = 0; i < 4; i++) y[i] = _mm256_loadu_ps(values + 8 * i);
    float amax = max_magnitude(y);
    if (!(amax >= 0x1p-110f && amax < __builtin_inff())) {
        memset(out, 0, sizeof *out);
        return;
    }
    for (int i = 0; i < 4; i++) y[i] = _mm256_mul_ps(y[i], _mm256_set1_ps(127.0f / amax));
    for (int c = 0; c < CANDIDATE_ROOM; c++) yq[c] = qq[c] = _mm256_setzero_ps();
#pragma GCC unroll 6
    for (int c = 0; c < CANDIDATES; c++)
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256 q = nearest(_mm256_mul_ps(y[i], _mm256_set1_ps(ratio[c])));
            yq[c] = _mm256_fmadd_ps(y[i], q, yq[c]);
            qq[c] = _mm256_fmadd_ps(q, q, qq[c]);
        }
    for (int c = 0; c < CANDIDATE_ROOM; c += 4) {
        _mm_storeu_ps(a + c, add_lanes(yq + c));
        _mm_storeu_ps(b + c, add_lanes(qq + c));
    }
    /* Which one wins is a matter of chance, so there is no branch on it. None does where there is a NaN. */
    __m256 va = _mm256_loadu_ps(a), vb = _mm256_loadu_ps(b);
    __m256 explained = _mm256_div_ps(_mm256_mul_ps(va, va), _mm256_blend_ps(vb, _mm256_set1_ps(1), 0xc0));
    __m256 top = _mm256_max_ps(explained, _mm256_permute2f128_ps(explained, explained, 1));
    top = _mm256_max_ps(top, _mm256_permute_ps(top, 0x4e));
    top = _mm256_max_ps(top, _mm256_permute_ps(top, 0xb1));
    int winners = _mm256_movemask_ps(_mm256_cmp_ps(explained, top, _CMP_EQ_OQ)) & ((1 << CANDIDATES) - 1);
    int best = winners ? __builtin_ctz((unsigned)winners) : 0;
    out->d = winners ? amax / 127.0f * (a[best] / b[best]) : amax / 127.0f;
    store_bytes(y, ratio[best], out);
}

static void quantise(const float *x, int k, act_block *out)
{
    for (int b = 0; b < k / ACT_BLOCK; b++) quantise_block(x + b * ACT_BLOCK, out + b);
}

void linear_init_avx2(linear_kernels *t)
{
    set_gemms(t);
    t->quantise = quantise;
}
