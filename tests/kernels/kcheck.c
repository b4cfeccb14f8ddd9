#include "kcheck.h"

#include "base/clock.h"
#include "base/half.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    void (*run)(kcheck *k);
} families[] = {
    {"linear", kcheck_linear},
    {"vec", kcheck_vec},
    {"attn", kcheck_attn},
};

enum { MAX_REPORTS = 20, GUARD = 64, HEADER = 64, FILL = 0xFF };

/* ---- counting ---- */

static void report(kcheck *k, const char *format, va_list args)
{
    if (k->failed > MAX_REPORTS) return;
    printf("FAIL [%s] ", cpu_level_name(k->level));
    vprintf(format, args);
}

static bool count(kcheck *k, bool ok)
{
    if (ok)
        k->passed++;
    else
        k->failed++;
    return ok;
}

bool kcheck_true(kcheck *k, bool ok, const char *format, ...)
{
    if (count(k, ok)) return true;
    va_list args;
    va_start(args, format);
    report(k, format, args);
    va_end(args);
    if (k->failed <= MAX_REPORTS) printf("\n");
    return false;
}

bool kcheck_same(kcheck *k, const void *want, const void *got, size_t bytes, const char *format, ...)
{
    const unsigned char *w = want, *g = got;
    if (count(k, memcmp(want, got, bytes) == 0)) return true;
    va_list args;
    va_start(args, format);
    report(k, format, args);
    va_end(args);
    size_t i = 0;
    while (w[i] == g[i]) i++;
    if (k->failed <= MAX_REPORTS) printf(": byte %zu of %zu is 0x%02x, not 0x%02x\n", i, bytes, g[i], w[i]);
    return false;
}

bool kcheck_same_floats(kcheck *k, const float *want, const float *got, size_t n, const char *format, ...)
{
    size_t i = 0;
    while (i < n && (f32_bits(want[i]) == f32_bits(got[i]) || (isnan(want[i]) && isnan(got[i])))) i++;
    if (count(k, i == n)) return true;
    va_list args;
    va_start(args, format);
    report(k, format, args);
    va_end(args);
    if (k->failed <= MAX_REPORTS)
        printf(": element %zu of %zu is %.9g (%a), not %.9g (%a)\n", i, n, (double)got[i], (double)got[i],
               (double)want[i], (double)want[i]);
    return false;
}

bool kcheck_near(kcheck *k, const double *want, const float *got, const double *scale, size_t n, double tolerance,
                 const char *format, ...)
{
    size_t i = 0;
    while (i < n && fabs((double)got[i] - want[i]) <= tolerance * (scale ? scale[i] : 1.0)) i++;
    if (count(k, i == n)) return true;
    va_list args;
    va_start(args, format);
    report(k, format, args);
    va_end(args);
    if (k->failed <= MAX_REPORTS)
        printf(": element %zu of %zu is %.9g, not %.9g (allowed %.3g)\n", i, n, (double)got[i], want[i],
               tolerance * (scale ? scale[i] : 1.0));
    return false;
}

/* ---- input ---- */

uint32_t kcheck_u32(kcheck *k)
{
    /* xorshift64* (Marsaglia; Vigna) */
    k->random ^= k->random >> 12;
    k->random ^= k->random << 25;
    k->random ^= k->random >> 27;
    return (uint32_t)((k->random * 0x2545F4914F6CDD1Dull) >> 32);
}

float kcheck_uniform(kcheck *k, float lo, float hi)
{
    return lo + (hi - lo) * (float)(kcheck_u32(k) >> 8) * 0x1p-24f;
}

float kcheck_normal(kcheck *k)
{
    float sum = 0;
    for (int i = 0; i < 4; i++) sum += kcheck_uniform(k, -1, 1);
    return sum * 0.8660254f;
}

void kcheck_bytes(kcheck *k, void *to, size_t n)
{
    unsigned char *p = to;
    for (size_t i = 0; i < n; i++) p[i] = (unsigned char)(kcheck_u32(k) >> 24);
}

static const char *const input_names[IN_KINDS] = {"normal", "outliers", "zero", "constant",
                                                  "tiny",   "wide",     "huge", "nan"};

const char *kcheck_input_name(kcheck_input kind)
{
    return input_names[kind];
}

static float one_input(kcheck *k, kcheck_input kind)
{
    float x = kcheck_normal(k);
    uint32_t dice = kcheck_u32(k);
    switch (kind) {
    case IN_OUTLIERS:
        return dice % 50 ? x : x * 50;
    case IN_TINY:
        return f32_from_bits((dice & 0x80000000u) | (dice & 0x00ffffffu));
    case IN_WIDE:
        return ldexpf(x, (int)(dice % 81) - 40);
    case IN_HUGE:
        return f32_from_bits((dice & 0x80000000u) | (0x7f000000u + (dice & 0x7fffffu)));
    case IN_NAN:
        return dice % 8 == 0 ? NAN : dice % 8 == 1 ? INFINITY : dice % 8 == 2 ? -INFINITY : x;
    default:
        return x;
    }
}

void kcheck_floats(kcheck *k, kcheck_input kind, float *to, size_t n)
{
    float constant = kcheck_normal(k);
    for (size_t i = 0; i < n; i++) {
        if (kind == IN_ZERO)
            to[i] = 0;
        else if (kind == IN_CONSTANT)
            to[i] = constant;
        else
            to[i] = one_input(k, kind);
    }
}

/* ---- memory and time ---- */

void *kcheck_alloc(size_t bytes)
{
    size_t padded = (bytes + 63) / 64 * 64;
    unsigned char *p = aligned_alloc(64, HEADER + padded + GUARD);
    if (!p) {
        (void)fprintf(stderr, "kcheck: out of memory\n");
        exit(2);
    }
    memset(p, FILL, HEADER + padded + GUARD);
    memcpy(p, &bytes, sizeof bytes);
    return p + HEADER;
}

void kcheck_free(kcheck *k, void *p)
{
    size_t bytes;
    unsigned char *data = p, *block = data - HEADER;
    memcpy(&bytes, block, sizeof bytes);
    for (size_t i = bytes; i < (bytes + 63) / 64 * 64 + GUARD; i++) {
        if (data[i] == FILL) continue;
        (void)kcheck_true(k, false, "byte %zu after a buffer of %zu was written", i - bytes, bytes);
        break;
    }
    free(block);
}

/* Short batches, so that some run undisturbed on a machine that others use too. */
double kcheck_seconds(void (*run)(void *context), void *context)
{
    double best = 1e9, total = 0;
    int batch = 1;
    run(context);
    for (int round = 0; round < 5 || total < 0.1; round++) {
        double start = clock_now();
        for (int i = 0; i < batch; i++) run(context);
        double taken = clock_now() - start;
        total += taken;
        if (taken / batch < best) best = taken / batch;
        if (taken < 2e-4) batch *= 2;
    }
    return best;
}

/* ---- the program ---- */

static void run_level(kcheck *k, const char *only)
{
    if (k->bench) {
        k->limits = kcheck_measure_limits(k->level);
        printf("%s: limits of one thread: int8 %.0f G op/s, f32 %.0f GFLOP/s, read %.1f GB/s\n",
               cpu_level_name(k->level), k->limits.int8_gops, k->limits.f32_gflops, k->limits.read_gbs);
    }
    for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
        unsigned passed = k->passed, failed = k->failed;
        if (only && strcmp(only, families[i].name)) continue;
        k->random = 0x9E3779B97F4A7C15ull;
        families[i].run(k);
        if (!k->bench)
            printf("%-11s %-8s %u passed, %u failed\n", cpu_level_name(k->level), families[i].name, k->passed - passed,
                   k->failed - failed);
    }
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: kcheck [--level NAME] [--only FAMILY] [--bench]\n");
    return 2;
}

int main(int argc, char **argv)
{
    kcheck k = {.level = CPU_LEVELS, .is_short = getenv("KVASIR_TEST_SHORT") != NULL};
    const char *only = NULL, *level = NULL;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--bench"))
            k.bench = true;
        else if (!strcmp(argv[i], "--level") && i + 1 < argc)
            level = argv[++i];
        else if (!strcmp(argv[i], "--only") && i + 1 < argc)
            only = argv[++i];
        else
            return usage();
    }
    for (int i = 0; i < CPU_LEVELS; i++) {
        if (level && strcmp(level, cpu_level_name((cpu_level)i))) continue;
        if (level && !cpu_has((cpu_level)i)) {
            printf("this machine does not have %s\n", level);
            return 77; /* meson: skipped */
        }
        if (!cpu_has((cpu_level)i)) continue;
        k.level = (cpu_level)i;
        run_level(&k, only);
    }
    if (k.level == CPU_LEVELS) return usage();
    if (!k.bench) printf("%u passed, %u failed\n", k.passed, k.failed);
    return k.failed ? 1 : 0;
}
