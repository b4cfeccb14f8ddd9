/* vec and attn are written once over sixteen float lanes, v16, and compiled once per instruction set: the file of an
   instruction set includes its own lanes header (x86/avx512_lanes.h, x86/avx2_lanes.h, arm/neon_lanes.h) and then vec.h
   or attn.h. So all levels follow the same steps by construction; only the making of v16 differs.

   A lanes header gives
     v16                                     sixteen floats, in one, two or four registers
     LANES                                   static inline, always inlined
     v16_set(x)                              x in every lane
     v16_load(p), v16_store(p, x)            unaligned
     v16_load_n(p, n), v16_store_n           the first n lanes (1..16), nothing else is touched; the others load as 0
     v16_load_f16, v16_store_f16, _n         the same from and to f16, rounding to nearest even
     v16_add, _sub, _mul, _div, _neg
     v16_fma(a, b, c)                        a*b + c rounded once
     v16_max(a, b), v16_min(a, b)            where a or b is NaN: b on x86, NaN on ARM; zeros of different sign: either
     v16_zero_below(x, limit, e)             x < limit ? 0 : e
     v16_add_exponent(e, z)                  bits of e + (bits of z << 23)
     v16_select(mask, a, b)                  lanes whose bit is set from a, the others from b
     v16_sum(x)                              lanes i+8, i+4, i+2, i+1 added, in this order
     v16_max_lane(x)                         the largest lane
     v16_load_pairs(p, &even, &odd)          p[0], p[2], ... and p[1], p[3], ... of 32 floats
     v16_store_pairs(p, even, odd)           the same back
     v16_transpose(r)                        r[16] as a 16 x 16 matrix, in place
     v16_split_floor(t, &fraction)           the fraction of t above its floor, and something that stands for the floor
     v16_times_power(e, that)                e * 2^floor; what is far below 1 may become anything far below 1
     v16_sum_eight(x, out), v16_max_eight    v16_sum and v16_max_lane of x[0] to x[7] at once
     v16_abs(x)
     v16_if_greater(a, b, x, y)              a > b ? x : y
     v16_swap(x, distance)                   lane i from lane i ^ distance; 1, 2, 4 or 8

   This file adds the functions that are made of these: the steps of kernels/ref/vec.c. */
#ifndef KVASIR_KERNELS_LANES_LANES_H
#define KVASIR_KERNELS_LANES_LANES_H

#include "kernels/vec_const.h"

/* See exp_reduce in kernels/ref/vec.c; *z holds n in its low bits. */
LANES v16 v16_exp_reduce(v16 x, v16 *r, v16 *z)
{
    *z = v16_fma(x, v16_set(EXP_LOG2E), v16_set(EXP_MAGIC));
    v16 n = v16_sub(*z, v16_set(EXP_MAGIC));
    v16 rem = v16_fma(n, v16_set(-EXP_LN2_HI), x);
    rem = v16_fma(n, v16_set(-EXP_LN2_LO), rem);
    v16 q = v16_set(EXP_C6);
    q = v16_fma(q, rem, v16_set(EXP_C5));
    q = v16_fma(q, rem, v16_set(EXP_C4));
    q = v16_fma(q, rem, v16_set(EXP_C3));
    q = v16_fma(q, rem, v16_set(EXP_C2));
    *r = rem;
    return v16_fma(q, rem, v16_set(1.0f));
}

/* exp of what is not above EXP_MAX. */
LANES v16 v16_exp_low(v16 x)
{
    v16 r, z, q = v16_exp_reduce(x, &r, &z);
    v16 e = v16_add_exponent(v16_fma(q, r, v16_set(1.0f)), z);
    return v16_zero_below(x, v16_set(EXP_MIN), e);
}

LANES v16 v16_exp(v16 x)
{
    return v16_exp_low(v16_min(v16_set(EXP_MAX), x));
}

/* The weight of a score that lies x (not above 0) from its page's maximum, as kernels/attn.h defines it for V in q8,
   before it is rounded. */
LANES v16 v16_weight(v16 x)
{
    v16 f, t = v16_mul(x, v16_set(EXP_LOG2E));
    t = v16_split_floor(t, &f);
    v16 e = v16_fma(v16_set(WEIGHT_C3), f, v16_set(WEIGHT_C2));
    e = v16_fma(e, f, v16_set(WEIGHT_C1));
    e = v16_fma(e, f, v16_set(WEIGHT_C0));
    return v16_times_power(e, t);
}

LANES v16 v16_tanh(v16 x)
{
    v16 r, z, y = v16_max(v16_set(-TANH_MAX), v16_min(v16_set(TANH_MAX), x));
    v16 q = v16_exp_reduce(v16_add(y, y), &r, &z);
    v16 one = v16_set(1.0f), two_n = v16_add_exponent(one, z);
    v16 e = v16_fma(v16_mul(q, r), two_n, v16_sub(two_n, one));
    return v16_div(e, v16_add(e, v16_set(2.0f)));
}

#endif
