/* kcheck: every kernel, at every level that this machine has, against the C reference.

   A check function (kcheck_linear, kcheck_vec, kcheck_attn) is called once per level. It takes the family's
   table for CPU_REF and for k->level, feeds both the same input, and compares with kcheck_same: the contract
   is equal bits. With k->bench set it measures instead of checking. */
#ifndef KCHECK_H
#define KCHECK_H

#include "base/cpu.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the machine can do at one level, with one thread. */
typedef struct kcheck_limits {
    double int8_gops;  /* 2 operations per multiply-add */
    double f32_gflops; /* FMA chains */
    double read_gbs;   /* forward read of memory much larger than the caches */
} kcheck_limits;

typedef struct kcheck {
    cpu_level level;
    bool bench;
    bool is_short;        /* KVASIR_TEST_SHORT: fewer sizes, where a sanitizer makes each access several */
    kcheck_limits limits; /* filled in bench mode */
    uint64_t random;      /* state of the generator; the same sequence in every run */
    unsigned passed, failed;
} kcheck;

/* The check functions; kcheck.c has their table. */
void kcheck_linear(kcheck *k);
/* Checks of kernels/vec.h and kernels/attn.h. */
void kcheck_vec(kcheck *k);
void kcheck_attn(kcheck *k);
void kcheck_bench_linear(kcheck *k); /* speeds of kernels/linear.h */

/* Counts a check; a failure prints the level and the words given (the first 20 of them). Returns `ok`. */
bool kcheck_true(kcheck *k, bool ok, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Checks that two pieces of memory hold the same bytes; a failure also says where they first differ. */
bool kcheck_same(kcheck *k, const void *want, const void *got, size_t bytes, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same for floats: they need equal bits, or NaN on both sides (whatever its payload). */
bool kcheck_same_floats(kcheck *k, const float *want, const float *got, size_t n, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* |got - want| <= tolerance * scale for each, where scale is given per element (or 1 when NULL). */
bool kcheck_near(kcheck *k, const double *want, const float *got, const double *scale, size_t n, double tolerance,
                 const char *format, ...) __attribute__((format(printf, 7, 8)));

/* Random numbers: 32 bits. */
uint32_t kcheck_u32(kcheck *k);
/* Uniform in [lo, hi); about normal with deviation 1; n random bytes. */
float kcheck_uniform(kcheck *k, float lo, float hi);
float kcheck_normal(kcheck *k);
void kcheck_bytes(kcheck *k, void *to, size_t n);

/* Kinds of input. Every one but the last two is finite and does not overflow when squared and summed. */
typedef enum kcheck_input {
    IN_NORMAL,   /* deviation 1 */
    IN_OUTLIERS, /* deviation 1, one in 50 is 50 times larger */
    IN_ZERO,
    IN_CONSTANT, /* one value in all places */
    IN_TINY,     /* denormals and the smallest normals, both signs */
    IN_WIDE,     /* magnitudes 2^-40 .. 2^40 */
    IN_HUGE,     /* near the largest float */
    IN_NAN,      /* deviation 1 with NaN and infinities among them */
    IN_KINDS
} kcheck_input;
const char *kcheck_input_name(kcheck_input kind);                      /* for messages */
void kcheck_floats(kcheck *k, kcheck_input kind, float *to, size_t n); /* n numbers of this kind */

/* Memory for one check: 64-byte aligned, filled with a pattern that is a NaN as f32 and f16, followed by a
   guard that kcheck_free verifies (a failure counts). Ends the program when there is none left. */
void *kcheck_alloc(size_t bytes);
void kcheck_free(kcheck *k, void *p); /* checks the guard */

/* Seconds per call of `run(context)`: the best of many short batches. */
double kcheck_seconds(void (*run)(void *context), void *context);

/* kcheck_limits.c */
kcheck_limits kcheck_measure_limits(cpu_level level);

#endif
