/* What the machine can do at best: loops that do nothing but read memory, multiply integers or multiply floats.
   Benchmarks compare the kernels with them. Each loop returns something that depends on all of its work, so that the
   compiler cannot leave any of it out; the value means nothing. */
#ifndef KVASIR_KERNELS_LIMITS_H
#define KVASIR_KERNELS_LIMITS_H

#include "base/cpu.h"
#include <stddef.h>
#include <stdint.h>

typedef struct limit_kernels {
    /* Products of int8 summed in integers, by the instructions that "linear" uses at this level; what it adds
       for unpacking, scales and (where sums are of 16 bits) widening is left out. int8_ops: operations of one
       step, a multiplication and an addition are two. */
    int int8_ops;
    uint64_t (*int8_dot)(int steps);
    /* Chains of float32 fused multiply-adds, enough of them to hide their latency. */
    int f32_ops;
    float (*f32_fma)(int steps);
    /* Reads forward, 64-byte aligned, bytes a multiple of 128. Memory does not get faster with a higher
       level, so this is the machine's best at every level. */
    uint64_t (*read)(const void *p, size_t bytes);
} limit_kernels;

/* The table for a level. */
void limit_kernels_init(limit_kernels *t, cpu_level level);

#endif
