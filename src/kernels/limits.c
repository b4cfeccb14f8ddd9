#include "kernels/limits.h"
#include "kernels/levels.h"

static void fill(limit_kernels *t, cpu_level level)
{
    limits_init_ref(t);
#if defined(__x86_64__)
    if (level < CPU_AVX2 || level > CPU_AVX512BF16) return;
    limits_init_avx2(t);
    if (level < CPU_AVX512VNNI) return;
    limits_init_avx512(t);
#elif defined(__aarch64__)
    if (level < CPU_NEON) return;
    limits_init_neon(t);
    if (level < CPU_DOTPROD) return;
    limits_init_dotprod(t);
#endif
}

void limit_kernels_init(limit_kernels *t, cpu_level level)
{
    limit_kernels best;
    fill(&best, cpu_best());
    fill(t, level);
    t->read = best.read;
}
