#include "kernels/attn.h"
#include "kernels/levels.h"

void attn_kernels_init(attn_kernels *t, cpu_level level)
{
    attn_init_ref(t);
#if defined(__x86_64__)
    if (level < CPU_AVX2 || level > CPU_AVX512BF16) return;
    attn_init_avx2(t);
    if (level < CPU_AVX512VNNI) return;
    if (cpu_fetches_to_second())
        attn_init_zen4(t);
    else
        attn_init_avx512(t);
#elif defined(__aarch64__)
    if (level < CPU_NEON) return;
    attn_init_neon(t);
#endif
}
