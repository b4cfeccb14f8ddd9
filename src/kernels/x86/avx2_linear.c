/* "linear" with AVX2: a panel is two vectors of eight rows. Products of bytes are summed in pairs to 16 bits
   (vpmaddubsw), which saturates: how many pairs fit is worked out per kind below. */
#include <immintrin.h>

#define INLINE       static inline __attribute__((always_inline))
#define ROWS         8
#define TILE_PANELS  1
#define TILE_ACTS    3
#define FLOAT_PANELS 4

#include "kernels/linear.h"
#include "kernels/x86/avx2_lanes.h"

#include <string.h>

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
INLINE ivec i_sub(ivec a, ivec b)
{
    return _mm256_sub_epi32(a, b);
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

/* The byte that holds bit 4j+i goes to byte i of each word; comparing with the bit's own mask makes it 0 or 255. */
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

/* For kernels/lanes/linear_quantise.h. */
INLINE ivec i_round(fvec x)
{
    return _mm256_cvtps_epi32(x);
}
INLINE ivec i_low_bytes(ivec a, ivec b)
{
    const __m256i even = _mm256_setr_epi32((int)0x80800200, (int)0x80800604, (int)0x80800a08, (int)0x80800e0c,
                                           (int)0x80800200, (int)0x80800604, (int)0x80800a08, (int)0x80800e0c);
    return _mm256_or_si256(_mm256_shuffle_epi8(a, even), _mm256_slli_epi32(_mm256_shuffle_epi8(b, even), 16));
}
INLINE ivec h_scale(ivec y, ivec m)
{
    return _mm256_mulhrs_epi16(y, m);
}
INLINE ivec h_dot(ivec sum, ivec a, ivec b)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
INLINE fvec f_div(fvec a, fvec b)
{
    return _mm256_div_ps(a, b);
}
INLINE ivec i_bits(fvec x)
{
    return _mm256_castps_si256(x);
}
INLINE fvec f_if_greater(fvec a, fvec b, fvec x, fvec y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
INLINE void f_transpose(fvec r[8])
{
    transpose_eight(r);
}
INLINE void f_store_n(float *p, fvec x, int n)
{
    float all[8];
    _mm256_storeu_ps(all, x);
    memcpy(p, all, (size_t)n * sizeof *p);
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

#include "kernels/lanes/linear_tile.h"
#include "kernels/lanes/linear_quantise.h"

void linear_init_avx2(linear_kernels *t)
{
    set_gemms(t);
    t->quantise = quantise;
}
