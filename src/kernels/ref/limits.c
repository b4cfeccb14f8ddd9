/* The limits of plain C: what the compiler makes of these loops for the oldest processor of the family. */
#include "kernels/levels.h"
#include "kernels/lanes/limits_loop.h"

#include <math.h>
#include <string.h>

enum { LANES = 64 };

static uint64_t int8_dot(int steps)
{
    int8_t u[LANES], q[LANES];
    int32_t acc[LANES] = {0};
    memset(u, 3, sizeof u);
    memset(q, -2, sizeof q);
    for (int i = 0; i < steps; i++) {
        __asm__ volatile("" : "+m"(u), "+m"(q)); /* as far as the compiler can tell, each step has other products */
        for (int j = 0; j < LANES; j++) acc[j] += u[j] * q[j];
    }
    uint64_t sum = 0;
    for (int j = 0; j < LANES; j++) sum += (uint64_t)acc[j];
    return sum;
}

static float f32_fma(int steps)
{
    float acc[LIMIT_CHAINS], sum = 0;
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = (float)c;
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = fmaf(acc[c], 0.999f, 0.999f))
    for (int c = 0; c < LIMIT_CHAINS; c++) sum += acc[c];
    return sum;
}

static uint64_t read_memory(const void *p, size_t bytes)
{
    const uint64_t *at = p;
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes / sizeof *at; i++) sum += at[i];
    return sum;
}

void limits_init_ref(limit_kernels *t)
{
    *t = (limit_kernels){.int8_ops = 2 * LANES,
                         .int8_dot = int8_dot,
                         .f32_ops = 2 * LIMIT_CHAINS,
                         .f32_fma = f32_fma,
                         .read = read_memory};
}
