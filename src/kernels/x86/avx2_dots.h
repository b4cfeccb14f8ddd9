/* Integer products over sixteen lanes for AVX2: what kernels/lanes/attn_packed.h asks for. vpmaddubsw adds pairs into
   sixteen bits: for 8-bit K the sign moves from K to the query, so that a pair stays below 2 * 127 * 127; weights go up
   to 255 and meet V in sixteen bits. */
#ifndef KVASIR_KERNELS_X86_AVX2_DOTS_H
#define KVASIR_KERNELS_X86_AVX2_DOTS_H

#include "kernels/x86/avx2_lanes.h"
#include <stdbool.h>

typedef struct w16 {
    __m256i a, b;
} w16; /* sixteen int32 */
typedef struct k_words {
    __m256i a, b;                     /* the values; 8-bit ones signed */
    __m256i magnitude_a, magnitude_b; /* 8-bit only */
} k_words;
typedef struct v_words {
    __m256i part[4]; /* four channels each, four tokens of sixteen bits a channel */
} v_words;
typedef v_words v_sums; /* two int32 a channel */
typedef __m256i p_words;
typedef int16_t p_weight;

LANES v16 v16_from_w16(w16 x)
{
    return (v16){_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)};
}

LANES __m256i load_half(const uint8_t *p)
{
    return _mm256_load_si256((const __m256i *)(const void *)p);
}

LANES __m256i nibbles(__m256i x, bool high)
{
    return _mm256_and_si256(high ? _mm256_srli_epi16(x, 4) : x, _mm256_set1_epi8(15));
}

LANES k_words k8_load(const uint8_t *p)
{
    const __m256i top = _mm256_set1_epi8(-128);
    k_words k = {.a = _mm256_xor_si256(load_half(p), top), .b = _mm256_xor_si256(load_half(p + 32), top)};
    k.magnitude_a = _mm256_abs_epi8(k.a);
    k.magnitude_b = _mm256_abs_epi8(k.b);
    return k;
}

LANES k_words k4_load(const uint8_t *p, bool high)
{
    return (k_words){.a = nibbles(load_half(p), high), .b = nibbles(load_half(p + 32), high)};
}

LANES w16 k8_start(int32_t minus128)
{
    (void)minus128; /* K is signed here */
    return (w16){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

LANES w16 k4_start(int32_t minus128)
{
    __m256i x = _mm256_set1_epi32(minus128 / 16);
    return (w16){x, x};
}

LANES __m256i add_pairs(__m256i sum, __m256i pairs)
{
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

LANES w16 k8_add(w16 sum, k_words k, int32_t q)
{
    __m256i x = _mm256_set1_epi32(q);
    return (w16){add_pairs(sum.a, _mm256_maddubs_epi16(k.magnitude_a, _mm256_sign_epi8(x, k.a))),
                 add_pairs(sum.b, _mm256_maddubs_epi16(k.magnitude_b, _mm256_sign_epi8(x, k.b)))};
}

LANES w16 k4_add(w16 sum, k_words k, int32_t q)
{
    __m256i x = _mm256_set1_epi32(q);
    return (w16){add_pairs(sum.a, _mm256_maddubs_epi16(k.a, x)), add_pairs(sum.b, _mm256_maddubs_epi16(k.b, x))};
}

LANES v_words widen(__m256i a, __m256i b)
{
    return (v_words){
        {_mm256_cvtepi8_epi16(_mm256_castsi256_si128(a)), _mm256_cvtepi8_epi16(_mm256_extracti128_si256(a, 1)),
         _mm256_cvtepi8_epi16(_mm256_castsi256_si128(b)), _mm256_cvtepi8_epi16(_mm256_extracti128_si256(b, 1))}};
}

LANES v_words v8_load(const uint8_t *p)
{
    return widen(load_half(p), load_half(p + 32));
}

LANES v_words v4_load(const uint8_t *p, bool high)
{
    const __m256i eight = _mm256_set1_epi8(8);
    return widen(_mm256_sub_epi8(nibbles(load_half(p), high), eight),
                 _mm256_sub_epi8(nibbles(load_half(p + 32), high), eight));
}

LANES v_sums v_sums_zero(void)
{
    __m256i zero = _mm256_setzero_si256();
    return (v_sums){{zero, zero, zero, zero}};
}

LANES p_words p_load(const p_weight *four)
{
    int64_t word;
    memcpy(&word, four, sizeof word);
    return _mm256_set1_epi64x(word);
}

LANES v_sums v_sums_add(v_sums sum, p_words p, v_words v)
{
    for (int i = 0; i < 4; i++) sum.part[i] = _mm256_add_epi32(sum.part[i], _mm256_madd_epi16(v.part[i], p));
    return sum;
}

/* vphaddd works within 128-bit halves, so the 64-bit pairs are put in order afterwards. */
LANES __m256i eight_sums(__m256i x, __m256i y)
{
    return _mm256_permute4x64_epi64(_mm256_hadd_epi32(x, y), 0xd8);
}

LANES w16 v_sums_total(v_sums sum)
{
    return (w16){eight_sums(sum.part[0], sum.part[1]), eight_sums(sum.part[2], sum.part[3])};
}

LANES __m256i words_of(__m256 x)
{
    return _mm256_and_si256(_mm256_castps_si256(x), _mm256_set1_epi32(255));
}

LANES __m256i narrow(v16 x)
{
    return _mm256_permute4x64_epi64(_mm256_packus_epi32(words_of(x.a), words_of(x.b)), 0xd8);
}

LANES v16 v16_store_page_weights(p_weight *p, const v16 x[4])
{
    __m256i sum = _mm256_setzero_si256();
    for (int i = 0; i < 4; i++) {
        __m256i both = _mm256_packus_epi32(_mm256_cvtps_epi32(x[i].a), _mm256_cvtps_epi32(x[i].b));
        _mm256_storeu_si256((__m256i *)(void *)(p + 16 * i), _mm256_permute4x64_epi64(both, 0xd8));
        sum = _mm256_add_epi16(sum, both);
    }
    return (v16){_mm256_cvtepi32_ps(add_pairs(_mm256_setzero_si256(), sum)), _mm256_setzero_ps()};
}

LANES void v16_store_bytes(uint8_t *p, v16 x)
{
    __m256i n = narrow(x);
    _mm_storeu_si128((__m128i *)(void *)p, _mm_packus_epi16(_mm256_castsi256_si128(n), _mm256_extracti128_si256(n, 1)));
}

LANES __m256i four_bytes(__m256 x, __m256 y, __m256 z, __m256 t)
{
    __m256i low = _mm256_or_si256(words_of(x), _mm256_slli_epi32(words_of(y), 8));
    __m256i high = _mm256_or_si256(words_of(z), _mm256_slli_epi32(words_of(t), 8));
    return _mm256_or_si256(low, _mm256_slli_epi32(high, 16));
}

LANES void v16_store_words(uint8_t *p, const v16 byte[4])
{
    _mm256_storeu_si256((__m256i *)(void *)p, four_bytes(byte[0].a, byte[1].a, byte[2].a, byte[3].a));
    _mm256_storeu_si256((__m256i *)(void *)(p + 32), four_bytes(byte[0].b, byte[1].b, byte[2].b, byte[3].b));
}

#endif
