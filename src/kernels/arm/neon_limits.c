/* The limits with NEON. */
#include "kernels/levels.h"
#include "kernels/lanes/limits_loop.h"

#include <arm_neon.h>

static uint64_t int8_dot(int steps)
{
    int16x8_t acc[LIMIT_CHAINS];
    const int8x8_t u = vdup_n_s8(3), q = vdup_n_s8(-2);
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = vdupq_n_s16((int16_t)c);
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = vmlal_s8(acc[c], u, q))
    for (int c = 1; c < LIMIT_CHAINS; c++) acc[0] = vaddq_s16(acc[0], acc[c]);
    return (uint64_t)vaddlvq_s16(acc[0]);
}

static float f32_fma(int steps)
{
    float32x4_t acc[LIMIT_CHAINS], x = vdupq_n_f32(0.999f);
    for (int c = 0; c < LIMIT_CHAINS; c++) acc[c] = vdupq_n_f32((float)c);
    LIMIT_LOOP(LIMIT_CHAINS, steps, acc[c] = vfmaq_f32(acc[c], x, x))
    for (int c = 1; c < LIMIT_CHAINS; c++) acc[0] = vaddq_f32(acc[0], acc[c]);
    return vaddvq_f32(acc[0]);
}

static uint64_t read_memory(const void *p, size_t bytes)
{
    const uint64_t *at = p;
    uint64x2_t s = vdupq_n_u64(0), t = s;
    for (size_t i = 0; i < bytes / sizeof *at; i += 4) {
        s = vaddq_u64(s, vld1q_u64(at + i));
        t = vaddq_u64(t, vld1q_u64(at + i + 2));
    }
    return vaddvq_u64(vaddq_u64(s, t));
}

void limits_init_neon(limit_kernels *t)
{
    t->int8_ops = 2 * 8 * LIMIT_CHAINS;
    t->int8_dot = int8_dot;
    t->f32_ops = 2 * 4 * LIMIT_CHAINS;
    t->f32_fma = f32_fma;
    t->read = read_memory;
}
