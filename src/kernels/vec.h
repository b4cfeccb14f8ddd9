/* Family "vec": the small row operations. Every level gives the SAME BITS as the C reference: the order of
   operations is the contract (fma exactly where written). Sums run in 16 lanes (lane j takes elements j,
   j+16, ... in order; lanes past the end take nothing) and are then added i+8, i+4, i+2, i+1. */
#ifndef KVASIR_KERNELS_VEC_H
#define KVASIR_KERNELS_VEC_H

#include "base/cpu.h"
#include <stddef.h>
#include <stdint.h>

/* exp(x) within 1.5 ulp for x in [-87, 88]; x above 88 counts as 88, x below -87 (and -inf) gives 0, NaN
   gives NaN. x*log2(e) is rounded to an integer n by adding and taking off 1.5*2^23, the remainder is reduced
   in two fma steps (Cody-Waite), a polynomial in fma follows, and n is added to the exponent bits. The exact
   steps are in kernels/ref/vec.c, which every level follows. */
float vec_exp_ref(float x);

/* tanh(x) within 3 ulp, from exp(2x) - 1 so that small x keep their relative accuracy; |x| above 15 counts as 15. */
float vec_tanh_ref(float x);

/* NaN in an input gives NaN or an unspecified number in the outputs that depend on it. n = 0 is allowed
   everywhere except in max. */
typedef struct vec_kernels {
    /* out[i] = x[i] * (1 / sqrt(sum(x^2)/n + eps)) * w[i]; the lane sums by fma(x, x, lane). w may be NULL.
       out may be x. */
    void (*rmsnorm)(const float *x, const float *w, float eps, int n, float *out);
    /* x[i] += y[i] */
    void (*add)(float *x, const float *y, int n);
    /* x[i] = fma(s, y[i], x[i]) */
    void (*add_scaled)(float *x, const float *y, float s, int n);
    void (*scale)(float *x, float s, int n);
    /* out[i] = gate[i] / (1 + exp(-gate[i])) * up[i]. out may be gate or up. */
    void (*silu_mul)(const float *gate, const float *up, float *out, int n);
    /* tanh form of GELU: 0.5*g*(1 + tanh(u)) * up with u = sqrt(2/pi)*(g + 0.044715 g^3), computed as the
       equal g / (1 + exp(-2u)) * up: t = fma(g*g, 0.044715f, 1), then exp((g * -2*sqrt(2/pi)) * t). out may
       be gate or up. */
    void (*gelu_mul)(const float *gate, const float *up, float *out, int n);
    /* x[i] = cap * tanh(x[i] * (1 / cap)), cap > 0 */
    void (*softcap)(float *x, float cap, int n);
    /* In place: e = exp(x - max), x = e * (1 / sum of e). -inf is allowed in x as long as one element is finite. */
    void (*softmax)(float *x, int n);
    /* n >= 1. The zero of either sign comes back as +0. */
    float (*max)(const float *x, int n);
    /* Rotates n_heads heads, head_dim apart, by one position's table: cs[2*i] = cos, cs[2*i+1] = sin, i <
       n_rot/2. Half-split (NeoX): pairs (i, i + n_rot/2). x0' = x0*c - x1*s as fma(x0, c, -(x1*s)); x1' =
       fma(x0, s, x1*c). Elements from n_rot on stay as they are. */
    void (*rope_half)(float *x, int n_heads, int head_dim, int n_rot, const float *cs);
    /* Interleaved (original llama): pairs (2i, 2i+1). */
    void (*rope_pairs)(float *x, int n_heads, int head_dim, int n_rot, const float *cs);
    /* The orthonormal Walsh-Hadamard transform in place, its own inverse: n (a multiple of 16) elements in pieces, each
       the largest power of two that is left (80 = 64 + 16). In a piece of p, for h = 1, 2, 4, ..., p/2: (a, b) at
       distance h become (a + b, a - b); then all are multiplied by (float)(1 / sqrt(p)). It spreads what stands out in
       a few channels over all channels, which is why q4 rows are stored this way. */
    void (*hadamard)(float *x, int n);
    /* Round to nearest even, as in base/half.h. */
    void (*to_f16)(const float *x, uint16_t *out, int n);
    void (*from_f16)(const uint16_t *x, float *out, int n);
} vec_kernels;

/* The table for a level. What a level does not override comes from the levels below it. */
void vec_kernels_init(vec_kernels *t, cpu_level level);

#endif
