#include "kernels/vec.h"
#include "kernels/levels.h"

void vec_kernels_init(vec_kernels *t, cpu_level level)
{
    vec_init_ref(t);
#if defined(__x86_64__)
    if (level < CPU_AVX2 || level > CPU_AVX512BF16) return;
    vec_init_avx2(t);
    if (level < CPU_AVX512VNNI) return;
    vec_init_avx512(t);
#elif defined(__aarch64__)
    if (level < CPU_NEON) return;
    vec_init_neon(t);
#endif
}
