/* The limits with AVX-512 and VNNI. Reading is AVX2's: memory is slower than either. */
#include "kernels/levels.h"
#include "kernels/lanes/limits_loop.h"

#include <immintrin.h>

static uint64_t int8_dot(int steps)
{
    __m512i acc[LIMIT_CHAINS], u = _mm512_set1_epi8(3), q = _mm512_set1_epi8(-2);
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = _mm512_set1_epi32(c);
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = _mm512_dpbusd_epi32(acc[c], u, q))
    for (int c = 1; c < LIMIT_CHAINS; c++) acc[0] = _mm512_add_epi32(acc[0], acc[c]);
    return (uint64_t)_mm512_reduce_add_epi32(acc[0]);
}

static float f32_fma(int steps)
{
    __m512 acc[LIMIT_CHAINS], x = _mm512_set1_ps(0.999f);
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = _mm512_set1_ps((float)c);
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = _mm512_fmadd_ps(acc[c], x, x))
    for (int c = 1; c < LIMIT_CHAINS; c++) acc[0] = _mm512_add_ps(acc[0], acc[c]);
    return _mm512_reduce_add_ps(acc[0]);
}

void limits_init_avx512(limit_kernels *t)
{
    t->int8_ops = 2 * 64 * LIMIT_CHAINS;
    t->int8_dot = int8_dot;
    t->f32_ops = 2 * 16 * LIMIT_CHAINS;
    t->f32_fma = f32_fma;
}
