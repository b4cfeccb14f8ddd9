/* Integer products over sixteen lanes for AVX-512 VNNI: what kernels/lanes/attn_packed.h asks for. vpdpbusd takes an
   unsigned and a signed operand: K is stored unsigned, with the query signed; V signed, with the weights unsigned. */
#ifndef KVASIR_KERNELS_X86_AVX512_DOTS_H
#define KVASIR_KERNELS_X86_AVX512_DOTS_H

#include "kernels/x86/avx512_lanes.h"
#include <stdbool.h>
#include <string.h>

typedef __m512i w16;     /* sixteen int32 */
typedef __m512i k_words; /* four channels of sixteen tokens */
typedef __m512i v_words; /* four tokens of sixteen channels */
typedef __m512i v_sums;
typedef __m512i p_words; /* the weights of four tokens, in every lane */
typedef uint8_t p_weight;

LANES v16 v16_from_w16(w16 x)
{
    return _mm512_cvtepi32_ps(x);
}

LANES __m512i nibbles(__m512i x, bool high)
{
    return _mm512_and_si512(high ? _mm512_srli_epi16(x, 4) : x, _mm512_set1_epi8(15));
}

LANES k_words k8_load(const uint8_t *p)
{
    return _mm512_load_si512((const void *)p);
}

LANES k_words k4_load(const uint8_t *p, bool high)
{
    return nibbles(_mm512_load_si512((const void *)p), high);
}

/* GCC 12 copies the accumulator of the intrinsic before and after every use; tied to one register here, it stays. */
LANES __m512i dot_add(__m512i sum, __m512i u, __m512i s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(u), "v"(s));
    return sum;
}

LANES w16 k8_start(int32_t minus128)
{
    return _mm512_set1_epi32(minus128);
}

LANES w16 k4_start(int32_t minus128)
{
    return _mm512_set1_epi32(minus128 / 16);
}

LANES w16 k8_add(w16 sum, k_words k, int32_t q)
{
    return dot_add(sum, k, _mm512_set1_epi32(q));
}

LANES w16 k4_add(w16 sum, k_words k, int32_t q)
{
    return k8_add(sum, k, q);
}

LANES v_words v8_load(const uint8_t *p)
{
    return _mm512_load_si512((const void *)p);
}

LANES v_words v4_load(const uint8_t *p, bool high)
{
    return _mm512_sub_epi8(nibbles(_mm512_load_si512((const void *)p), high), _mm512_set1_epi8(8));
}

LANES v_sums v_sums_zero(void)
{
    return _mm512_setzero_si512();
}

LANES p_words p_load(const p_weight *four)
{
    int32_t word;
    memcpy(&word, four, sizeof word);
    return _mm512_set1_epi32(word);
}

LANES v_sums v_sums_add(v_sums sum, p_words p, v_words v)
{
    return dot_add(sum, p, v);
}

LANES w16 v_sums_total(v_sums sum)
{
    return sum;
}

LANES void v16_store_bytes(uint8_t *p, v16 x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_castps_si512(x)));
}

/* Sums of four bytes each. */
LANES v16 byte_sums(__m512i bytes)
{
    return _mm512_cvtepi32_ps(dot_add(_mm512_setzero_si512(), bytes, _mm512_set1_epi8(1)));
}

/* The packs work within quarters of a register: double words are put in order afterwards. */
LANES v16 v16_store_page_weights(p_weight *p, const v16 x[4])
{
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    __m512i a = _mm512_packus_epi32(_mm512_cvtps_epi32(x[0]), _mm512_cvtps_epi32(x[1]));
    __m512i b = _mm512_packus_epi32(_mm512_cvtps_epi32(x[2]), _mm512_cvtps_epi32(x[3]));
    __m512i all = _mm512_packus_epi16(a, b);
    _mm512_store_si512(p, _mm512_permutexvar_epi32(order, all));
    return byte_sums(all);
}

/* A masked token's NaN converts to the lowest integer, which would become 255 without the maximum. */
LANES void v16_store_weights(p_weight *p, v16 x)
{
    __m512i weight = _mm512_max_epi32(_mm512_cvtps_epi32(x), _mm512_setzero_si512());
    _mm_store_si128((__m128i *)(void *)p, _mm512_cvtusepi32_epi8(weight));
}

LANES v16 v16_page_weights_sum(const p_weight *p)
{
    return byte_sums(_mm512_load_si512(p));
}

LANES void v16_store_words(uint8_t *p, const v16 byte[4])
{
    const __m512i low = _mm512_set1_epi32(255);
    __m512i word = _mm512_slli_epi32(_mm512_castps_si512(byte[3]), 24);
    for (int i = 0; i < 3; i++)
        word = _mm512_or_si512(word, _mm512_slli_epi32(_mm512_and_si512(_mm512_castps_si512(byte[i]), low),
                                                       (unsigned)(8 * i)));
    _mm512_storeu_si512((void *)p, word);
}

#endif
