#include "kernels/linear.h"
#include "kernels/levels.h"

void linear_kernels_init(linear_kernels *t, cpu_level level)
{
    linear_init_ref(t);
#if defined(__x86_64__)
    if (level < CPU_AVX2 || level > CPU_AVX512BF16) return;
    linear_init_avx2(t);
    if (level < CPU_AVX512VNNI) return;
    if (cpu_fetches_to_second())
        linear_init_zen4(t);
    else
        linear_init_avx512(t);
#elif defined(__aarch64__)
    if (level < CPU_NEON) return;
    linear_init_neon(t);
    if (level < CPU_DOTPROD) return;
    linear_init_dotprod(t);
#endif
}
