/* What one thread of this machine can do at best: loops that do nothing else. */
#include "kcheck.h"

#include "base/clock.h"
#include "base/mem.h"

#include <string.h>

enum { CHAINS = 12, STEPS = 4096 };
static const size_t read_bytes = (size_t)96 << 20;

static volatile float float_sink;
static volatile uint64_t int_sink;

#define LOOP(step)                                                                                           \
    for (int i = 0; i < STEPS; i++) {                                                                        \
        _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++)                                            \
        {                                                                                                    \
            step;                                                                                            \
        }                                                                                                    \
    }

#if defined(__x86_64__)
#include <immintrin.h>
#define AVX2   __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

AVX512 static void dot_avx512(void *unused)
{
    __m512i acc[CHAINS], u = _mm512_set1_epi8(3), q = _mm512_set1_epi8(-2);
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_set1_epi32(c);
    LOOP(acc[c] = _mm512_dpbusd_epi32(acc[c], u, q))
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm512_add_epi32(acc[0], acc[c]);
    int_sink = (uint64_t)_mm512_reduce_add_epi32(acc[0]);
}

AVX512 static void fma_avx512(void *unused)
{
    __m512 acc[CHAINS], x = _mm512_set1_ps(0.999f);
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm512_set1_ps((float)c);
    LOOP(acc[c] = _mm512_fmadd_ps(acc[c], x, x))
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm512_add_ps(acc[0], acc[c]);
    float_sink = _mm512_reduce_add_ps(acc[0]);
}

AVX2 static void dot_avx2(void *unused)
{
    __m256i acc[CHAINS], u = _mm256_set1_epi8(3), q = _mm256_set1_epi8(-2), one = _mm256_set1_epi16(1);
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_set1_epi32(c);
    LOOP(__m256i pairs = _mm256_maddubs_epi16(u, q); __asm__(""
                                                             : "+x"(pairs));
         acc[c] = _mm256_add_epi32(acc[c], _mm256_madd_epi16(pairs, one)))
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm256_add_epi32(acc[0], acc[c]);
    int_sink = (uint64_t)_mm256_extract_epi32(acc[0], 0);
}

AVX2 static void fma_avx2(void *unused)
{
    __m256 acc[CHAINS], x = _mm256_set1_ps(0.999f);
    for (int c = 0; c < CHAINS; c++) acc[c] = _mm256_set1_ps((float)c);
    LOOP(acc[c] = _mm256_fmadd_ps(acc[c], x, x))
    for (int c = 1; c < CHAINS; c++) acc[0] = _mm256_add_ps(acc[0], acc[c]);
    float_sink = _mm256_cvtss_f32(acc[0]);
}

AVX2 static void read_memory(void *p)
{
    const char *at = p;
    __m256i s = _mm256_setzero_si256(), t = s;
    for (size_t i = 0; i < read_bytes; i += 128) {
        _mm_prefetch(at + i + 4096, _MM_HINT_T0);
        _mm_prefetch(at + i + 4160, _MM_HINT_T0);
        s = _mm256_add_epi64(_mm256_add_epi64(s, _mm256_load_si256((const __m256i *)(const void *)(at + i))),
                             _mm256_load_si256((const __m256i *)(const void *)(at + i + 32)));
        t = _mm256_add_epi64(
            _mm256_add_epi64(t, _mm256_load_si256((const __m256i *)(const void *)(at + i + 64))),
            _mm256_load_si256((const __m256i *)(const void *)(at + i + 96)));
    }
    int_sink = (uint64_t)_mm256_extract_epi64(_mm256_add_epi64(s, t), 0);
}

static void measure_peaks(cpu_level level, kcheck_limits *to)
{
    const double ops = 2.0 * CHAINS * STEPS;
    if (level >= CPU_AVX512VNNI) {
        to->int8_gops = 64 * ops / kcheck_seconds(dot_avx512, NULL) * 1e-9;
        to->f32_gflops = 16 * ops / kcheck_seconds(fma_avx512, NULL) * 1e-9;
    } else if (level == CPU_AVX2) {
        to->int8_gops = 32 * ops / kcheck_seconds(dot_avx2, NULL) * 1e-9;
        to->f32_gflops = 8 * ops / kcheck_seconds(fma_avx2, NULL) * 1e-9;
    }
}

#elif defined(__aarch64__)
#include <arm_neon.h>

__attribute__((target("arch=armv8.2-a+dotprod"))) static void dot_sdot(void *unused)
{
    int32x4_t acc[CHAINS];
    int8x16_t u = vdupq_n_s8(3), q = vdupq_n_s8(-2);
    for (int c = 0; c < CHAINS; c++) acc[c] = vdupq_n_s32(c);
    LOOP(acc[c] = vdotq_s32(acc[c], u, q))
    for (int c = 1; c < CHAINS; c++) acc[0] = vaddq_s32(acc[0], acc[c]);
    int_sink = (uint64_t)vaddvq_s32(acc[0]);
}

static void dot_neon(void *unused)
{
    int32x4_t acc[CHAINS];
    int8x8_t u = vdup_n_s8(3), q = vdup_n_s8(-2);
    for (int c = 0; c < CHAINS; c++) acc[c] = vdupq_n_s32(c);
    LOOP(acc[c] = vpadalq_s16(acc[c], vmull_s8(u, q)); __asm__("" : "+w"(q)))
    for (int c = 1; c < CHAINS; c++) acc[0] = vaddq_s32(acc[0], acc[c]);
    int_sink = (uint64_t)vaddvq_s32(acc[0]);
}

static void fma_neon(void *unused)
{
    float32x4_t acc[CHAINS], x = vdupq_n_f32(0.999f);
    for (int c = 0; c < CHAINS; c++) acc[c] = vdupq_n_f32((float)c);
    LOOP(acc[c] = vfmaq_f32(acc[c], acc[c], x))
    for (int c = 1; c < CHAINS; c++) acc[0] = vaddq_f32(acc[0], acc[c]);
    float_sink = vaddvq_f32(acc[0]);
}

static void read_memory(void *p)
{
    const uint64_t *at = p;
    uint64x2_t s = vdupq_n_u64(0), t = s;
    for (size_t i = 0; i < read_bytes / 8; i += 4) {
        s = vaddq_u64(s, vld1q_u64(at + i));
        t = vaddq_u64(t, vld1q_u64(at + i + 2));
    }
    int_sink = vaddvq_u64(vaddq_u64(s, t));
}

static void measure_peaks(cpu_level level, kcheck_limits *to)
{
    const double ops = 2.0 * CHAINS * STEPS;
    if (level == CPU_DOTPROD) to->int8_gops = 16 * ops / kcheck_seconds(dot_sdot, NULL) * 1e-9;
    if (level == CPU_NEON) to->int8_gops = 8 * ops / kcheck_seconds(dot_neon, NULL) * 1e-9;
    if (level != CPU_REF) to->f32_gflops = 4 * ops / kcheck_seconds(fma_neon, NULL) * 1e-9;
}

#else

static void read_memory(void *p)
{
    const uint64_t *at = p;
    uint64_t s = 0;
    for (size_t i = 0; i < read_bytes / 8; i++) s += at[i];
    int_sink = s;
}

static void measure_peaks(cpu_level level, kcheck_limits *to) {}

#endif

kcheck_limits kcheck_measure_limits(cpu_level level)
{
    kcheck_limits limits = {0};
    char *memory = region_reserve(read_bytes + 8192, true);
    if (memory) {
        memset(memory, 1, read_bytes);
#if defined(__x86_64__)
        if (cpu_has(CPU_AVX2))
#endif
            limits.read_gbs = (double)read_bytes / kcheck_seconds(read_memory, memory) * 1e-9;
        region_free(memory, read_bytes + 8192);
    }
    measure_peaks(level, &limits);
    return limits;
}
