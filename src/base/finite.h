/* Are numbers finite? By their bits, so that compilers make vectors of it. */
#ifndef KVASIR_BASE_FINITE_H
#define KVASIR_BASE_FINITE_H

#include "base/half.h"

#include <stdbool.h>

/* None of the n numbers is NaN or infinite. */
static inline bool is_finite(const float *x, int n)
{
    uint32_t bad = 0;
    for (int i = 0; i < n; i++) bad |= (f32_bits(x[i]) & 0x7f800000u) == 0x7f800000u;
    return bad == 0;
}

/* How many of the n numbers are finite and too large for f16: they round to its infinity (65520 and beyond). */
static inline int beyond_f16(const float *x, int n)
{
    int count = 0;
    for (int i = 0; i < n; i++) {
        uint32_t magnitude = f32_bits(x[i]) & 0x7fffffffu;
        count += magnitude >= 0x477ff000u && magnitude < 0x7f800000u;
    }
    return count;
}

#endif
