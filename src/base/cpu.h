/* What the processor can do, and which of it we use. */
#ifndef KVASIR_BASE_CPU_H
#define KVASIR_BASE_CPU_H

#include "base/status.h"
#include <stdint.h>

/* Levels from lowest to highest; each x86 level includes those before it, likewise each ARM level. */
typedef enum cpu_level {
    CPU_REF,        /* plain C */
    CPU_AVX2,       /* AVX2, FMA, F16C */
    CPU_AVX512VNNI, /* AVX-512 F, BW, VL, DQ, VNNI */
    CPU_AVX512BF16, /* and BF16 dot products */
    CPU_NEON,       /* ARMv8 with FP16 conversion */
    CPU_DOTPROD,    /* and sdot/udot */
    CPU_LEVELS
} cpu_level;

/* The highest level of this machine (operating-system support included). cpu_has tells whether it has `level`. */
cpu_level cpu_best(void);
int cpu_has(cpu_level level);

/* "ref", "avx2", "avx512vnni", "avx512bf16", "neon", "dotprod". */
const char *cpu_level_name(cpu_level level);

/* Reads a level's name; "auto" and NULL mean cpu_best(). KVASIR_E_ARGUMENT lists the names that this machine has. */
kvasir_status cpu_level_parse(const char *name, cpu_level *out);

/* Whether prefetches are better made into the second-level cache than into the first. By measurement they are on AMD's
   family 25 (Zen 3 and 4): its first-level cache waits for few lines at a time, and memory is far away. */
int cpu_fetches_to_second(void);

#endif
