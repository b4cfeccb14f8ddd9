/* The limits with AVX2. */
#include "kernels/levels.h"
#include "kernels/lanes/limits_loop.h"

#include <immintrin.h>

/* Keeps the compiler from moving what is computed from x out of a loop. */
static inline __m256i changed(__m256i x)
{
    __asm__ volatile("" : "+x"(x));
    return x;
}

/* An addition takes one cycle, so few sums do; all is in registers. */
enum { SUMS = 6 };

static uint64_t int8_dot(int steps)
{
    __m256i acc[SUMS], u = _mm256_set1_epi8(3);
    const __m256i q = _mm256_set1_epi8(-2);
    for (int c = 0; c < SUMS; c++) acc[c] = _mm256_set1_epi16((short)c);
    LIMIT_LOOP(SUMS, steps, u = changed(u); acc[c] = _mm256_add_epi16(acc[c], _mm256_maddubs_epi16(u, q)))
    for (int c = 1; c < SUMS; c++) acc[0] = _mm256_add_epi16(acc[0], acc[c]);
    return (uint64_t)_mm256_extract_epi64(acc[0], 0);
}

static float f32_fma(int steps)
{
    __m256 acc[LIMIT_CHAINS], x = _mm256_set1_ps(0.999f);
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = _mm256_set1_ps((float)c);
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = _mm256_fmadd_ps(acc[c], x, x))
    for (int c = 1; c < LIMIT_CHAINS; c++) acc[0] = _mm256_add_ps(acc[0], acc[c]);
    return _mm256_cvtss_f32(acc[0]);
}

static inline __m256i load(const char *p)
{
    return _mm256_load_si256((const __m256i *)(const void *)p);
}

static uint64_t read_memory(const void *p, size_t bytes)
{
    enum { AHEAD = 4096 }; /* a prefetch beyond the end does no harm */
    const char *at = p;
    __m256i s = _mm256_setzero_si256(), t = s;
    for (size_t i = 0; i < bytes; i += 128) {
        _mm_prefetch(at + i + AHEAD, _MM_HINT_T0);
        _mm_prefetch(at + i + AHEAD + 64, _MM_HINT_T0);
        s = _mm256_add_epi64(_mm256_add_epi64(s, load(at + i)), load(at + i + 32));
        t = _mm256_add_epi64(_mm256_add_epi64(t, load(at + i + 64)), load(at + i + 96));
    }
    return (uint64_t)_mm256_extract_epi64(_mm256_add_epi64(s, t), 0);
}

void limits_init_avx2(limit_kernels *t)
{
    t->int8_ops = 2 * 32 * SUMS;
    t->int8_dot = int8_dot;
    t->f32_ops = 2 * 8 * LIMIT_CHAINS;
    t->f32_fma = f32_fma;
    t->read = read_memory;
}
