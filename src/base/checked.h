/* Arithmetic on sizes that come from outside: every function returns false instead of wrapping. */
#ifndef KVASIR_BASE_CHECKED_H
#define KVASIR_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool ck_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline bool ck_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* Rounds up to a multiple of `unit`, a power of two. */
static inline bool ck_align(uint64_t a, uint64_t unit, uint64_t *out)
{
    if (!ck_add(a, unit - 1, out)) return false;
    *out &= ~(unit - 1);
    return true;
}

/* Rounds up a size that is already known to be sane. `unit` is a power of two. */
static inline size_t align_up(size_t a, size_t unit)
{
    return (a + unit - 1) & ~(unit - 1);
}

static inline size_t ceil_div(size_t a, size_t b)
{
    return (a + b - 1) / b;
}

static inline size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static inline int min_int(int a, int b)
{
    return a < b ? a : b;
}

static inline int max_int(int a, int b)
{
    return a > b ? a : b;
}

#endif
