/* "linear" with AVX-512 VNNI: a vector is a whole panel's 16 rows. */
#include <immintrin.h>

#define INLINE       static inline __attribute__((always_inline))
#define ROWS         16
#define TILE_PANELS  2
#define TILE_ACTS    6
#define FLOAT_PANELS 4

#include "kernels/linear.h"
#include "kernels/x86/avx512_lanes.h"

typedef __m512i ivec;
typedef __m512 fvec;
typedef __m512i dots;

INLINE ivec i_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
INLINE ivec i_load_bytes(const void *p)
{
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(p));
}
INLINE void i_store(void *p, ivec x)
{
    _mm512_storeu_si512(p, x);
}
INLINE ivec i_set(int32_t x)
{
    return _mm512_set1_epi32(x);
}
INLINE ivec i_add(ivec a, ivec b)
{
    return _mm512_add_epi32(a, b);
}
INLINE ivec i_sub(ivec a, ivec b)
{
    return _mm512_sub_epi32(a, b);
}
INLINE ivec i_and(ivec a, ivec b)
{
    return _mm512_and_si512(a, b);
}
INLINE ivec i_shr(ivec x, int n)
{
    return _mm512_srli_epi32(x, (unsigned)n);
}
INLINE ivec i_shl(ivec x, int n)
{
    return _mm512_slli_epi32(x, (unsigned)n);
}
INLINE ivec i_sar(ivec x, int n)
{
    return _mm512_srai_epi32(x, (unsigned)n);
}
INLINE ivec i_rotl(ivec x, int n)
{
    return _mm512_rolv_epi32(x, _mm512_set1_epi32(n & 31));
}
INLINE ivec i_merge(ivec a, ivec b, ivec mask)
{
    return _mm512_ternarylogic_epi32(a, b, mask, 0xf8);
}
INLINE ivec i_sub8(ivec a, ivec b)
{
    return _mm512_sub_epi8(a, b);
}
INLINE ivec i_max(ivec a, ivec b)
{
    return _mm512_max_epi32(a, b);
}
INLINE ivec i_table(const int8_t *values)
{
    return _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)values));
}
INLINE ivec i_look_up(ivec table, ivec x)
{
    return _mm512_shuffle_epi8(table, x);
}

/* Four bits become four bytes by a look-up in 16 words; the permutation looks only at an index's low four bits. */
INLINE ivec i_fifth(ivec u, ivec bits, int j)
{
    const __m512i spread =
        _mm512_setr_epi32(0, 0x10, 0x1000, 0x1010, 0x100000, 0x100010, 0x101000, 0x101010, 0x10000000, 0x10000010,
                          0x10001000, 0x10001010, 0x10100000, 0x10100010, 0x10101000, 0x10101010);
    return _mm512_or_si512(u, _mm512_permutexvar_epi32(i_shr(bits, 4 * j), spread));
}

INLINE fvec f_set(float x)
{
    return _mm512_set1_ps(x);
}
INLINE fvec f_mul(fvec a, fvec b)
{
    return _mm512_mul_ps(a, b);
}
INLINE fvec f_fma(fvec a, fvec b, fvec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
INLINE fvec f_neg(fvec a)
{
    return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f));
}
INLINE fvec f_load(const void *p)
{
    return _mm512_loadu_ps(p);
}
INLINE fvec f_load_half(const void *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(p));
}
INLINE fvec f_load_bf16(const void *p)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p)), 16));
}
INLINE fvec f_low_half(ivec x)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(x));
}
INLINE fvec f_high_half(ivec x)
{
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)));
}
INLINE fvec f_from_i(ivec x)
{
    return _mm512_cvtepi32_ps(x);
}
INLINE fvec f_from_bits(ivec x)
{
    return _mm512_castsi512_ps(x);
}
INLINE void f_store(float *p, fvec x)
{
    _mm512_storeu_ps(p, x);
}

/* For kernels/lanes/linear_quantise.h. */
INLINE ivec i_round(fvec x)
{
    return _mm512_cvtps_epi32(x);
}
INLINE ivec i_low_bytes(ivec a, ivec b)
{
    const __m512i even = _mm512_set4_epi32((int)0x80800e0c, (int)0x80800a08, (int)0x80800604, (int)0x80800200);
    return _mm512_or_si512(_mm512_shuffle_epi8(a, even), _mm512_slli_epi32(_mm512_shuffle_epi8(b, even), 16));
}
INLINE ivec h_scale(ivec y, ivec m)
{
    return _mm512_mulhrs_epi16(y, m);
}
INLINE ivec h_dot(ivec sum, ivec a, ivec b)
{
    return _mm512_dpwssd_epi32(sum, a, b);
}
INLINE fvec f_div(fvec a, fvec b)
{
    return _mm512_div_ps(a, b);
}
INLINE ivec i_bits(fvec x)
{
    return _mm512_castps_si512(x);
}
INLINE fvec f_if_greater(fvec a, fvec b, fvec x, fvec y)
{
    return _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ), x);
}
INLINE void f_transpose(fvec r[16])
{
    v16_transpose(r);
}
INLINE void f_store_n(float *p, fvec x, int n)
{
    if (n != 13) {
        v16_store_n(p, x, n);
        return;
    }
    _mm256_storeu_ps(p, _mm512_castps512_ps256(x)); /* faster than a mask */
    __m256 upper = _mm512_extractf32x8_ps(x, 1);
    _mm_storeu_ps(p + 8, _mm256_castps256_ps128(upper));
    _mm_store_ss(p + 12, _mm256_extractf128_ps(upper, 1));
}

INLINE dots dots_start(ivec t)
{
    return t;
}
INLINE dots dots_add(panel_kind kind, dots s, ivec w, ivec x)
{
    return _mm512_dpbusd_epi32(s, w, x);
}
INLINE ivec dots_fold(ivec t, dots s)
{
    return s;
}
INLINE int dots_run(panel_kind kind)
{
    return 8;
}
INLINE int dots_centre(int c)
{
    return c ? 128 : 0;
}
INLINE bool dots_signed(panel_kind kind)
{
    return false;
}

#include "kernels/lanes/linear_tile.h"
#include "kernels/lanes/linear_quantise.h"

#ifdef KERNELS_ZEN4
#define linear_init_avx512 linear_init_zen4
#endif

void linear_init_avx512(linear_kernels *t)
{
    set_gemms(t);
    t->quantise = quantise;
}
