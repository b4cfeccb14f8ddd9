#include "base/cpu.h"

#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(__aarch64__)
#include <sys/auxv.h>
#ifndef HWCAP_ASIMDDP
#define HWCAP_ASIMDDP (1u << 20)
#endif
#endif

static const char *const level_name[CPU_LEVELS] = {
    [CPU_REF] = "ref",   [CPU_AVX2] = "avx2",       [CPU_AVX512VNNI] = "avx512vnni", [CPU_AVX512BF16] = "avx512bf16",
    [CPU_NEON] = "neon", [CPU_DOTPROD] = "dotprod",
};

#if defined(__x86_64__)

/* The register state that the operating system saves (XCR0): AVX needs bits 1-2, AVX-512 bits 5-7 too. */
static unsigned xcr0(void)
{
    unsigned a, d;
    __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
    return a;
}

cpu_level cpu_best(void)
{
    unsigned a, b, c, d, b7, c7, d7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_AVX) || !(c & bit_FMA) || !(c & bit_F16C))
        return CPU_REF;
    unsigned os = xcr0();
    if ((os & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7) || !(b7 & bit_AVX2)) return CPU_REF;
    const unsigned avx512 = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
    if ((os & 0xe0) != 0xe0 || (b7 & avx512) != avx512 || !(c7 & bit_AVX512VNNI)) return CPU_AVX2;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5))) return CPU_AVX512BF16;
    return CPU_AVX512VNNI;
}

int cpu_fetches_to_second(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(0, &a, &b, &c, &d) || b != signature_AMD_ebx || !__get_cpuid(1, &a, &b, &c, &d)) return 0;
    unsigned family = (a >> 8) & 15;
    return family == 15 && family + ((a >> 20) & 255) == 25; /* the extended family counts where the field is full */
}

#elif defined(__aarch64__)

cpu_level cpu_best(void)
{
    return getauxval(AT_HWCAP) & HWCAP_ASIMDDP ? CPU_DOTPROD : CPU_NEON;
}

#else

cpu_level cpu_best(void)
{
    return CPU_REF;
}

#endif

#if !defined(__x86_64__)
int cpu_fetches_to_second(void)
{
    return 0;
}
#endif

int cpu_has(cpu_level level)
{
    cpu_level best = cpu_best();
    if (level == CPU_REF || level == best) return 1;
    return level < best && (level >= CPU_NEON) == (best >= CPU_NEON);
}

const char *cpu_level_name(cpu_level level)
{
    return (unsigned)level < CPU_LEVELS ? level_name[level] : "?";
}

kvasir_status cpu_level_parse(const char *name, cpu_level *out)
{
    char have[128];
    size_t used = 0;
    have[0] = 0;
    if (!name || !strcmp(name, "auto")) {
        *out = cpu_best();
        return KVASIR_OK;
    }
    for (int i = 0; i < CPU_LEVELS; i++) {
        if (!cpu_has((cpu_level)i)) continue;
        if (!strcmp(name, level_name[i])) {
            *out = (cpu_level)i;
            return KVASIR_OK;
        }
        used += (size_t)snprintf(have + used, sizeof have - used, "%s%s", used ? ", " : "", level_name[i]);
    }
    return fail(KVASIR_E_ARGUMENT, "CPU level %s is not one that this machine has: auto, %s",
                quoted(name, strlen(name)), have);
}
