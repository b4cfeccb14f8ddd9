/* The limit of integers with dot products. */
#include "kernels/levels.h"
#include "kernels/lanes/limits_loop.h"

#include <arm_neon.h>

static uint64_t int8_dot(int steps)
{
    int32x4_t acc[LIMIT_CHAINS];
    const int8x16_t u = vdupq_n_s8(3), q = vdupq_n_s8(-2);
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = vdupq_n_s32(c);
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = vdotq_s32(acc[c], u, q))
    for (int c = 1; c < LIMIT_CHAINS; c++) acc[0] = vaddq_s32(acc[0], acc[c]);
    return (uint64_t)vaddvq_s32(acc[0]);
}

void limits_init_dotprod(limit_kernels *t)
{
    t->int8_ops = 2 * 16 * LIMIT_CHAINS;
    t->int8_dot = int8_dot;
}
