/* Private to bench*.c: how something is measured. */
#ifndef KVASIR_OPS_BENCH_INTERNAL_H
#define KVASIR_OPS_BENCH_INTERNAL_H

#include "base/team.h"
#include "kernels/limits.h"
#include "ops/bench.h"
#include "ops/ops.h"
#include <stdbool.h>

enum {
    BENCH_K = 1536,                                          /* row length of weights and activations */
    BENCH_ROWS = 512,                                        /* activation rows of a GEMM */
    BENCH_TILE_PANELS = 8,                                   /* of a GEMM's tile, as in ops/linear.c */
    BENCH_OUT = BENCH_ROWS * BENCH_TILE_PANELS * PANEL_ROWS, /* floats of one thread's results */
    BENCH_FEW_ROWS = 32, /* activation rows that stay in the second cache and do not fit the first */
    BENCH_CACHED = BENCH_FEW_ROWS * BENCH_K * (int)sizeof(float), /* bytes of them */
    BENCH_KERNEL_ROWS = 3 * PANEL_KINDS + 3 * 7 + 6               /* rows that bench_kernels gives */
};

typedef struct bench {
    team *one, *all; /* the same team when there is one thread */
    kernels kernels;
    limit_kernels loops;
    double row_seconds;
    kvasir_bench_fn on_row;
    void *user;
    void *room; /* what all of these lie in */
    size_t room_bytes;
    unsigned char *memory; /* memory_bytes, more than the caches: what tiles walk through */
    size_t memory_bytes;
    float *x;     /* BENCH_ROWS x BENCH_K */
    act_block *q; /* x as blocks */
    float *out;   /* BENCH_OUT floats for each thread */
    /* The limits: of one thread, of all. Per second: bytes, operations, operations. */
    double read[2], int8[2], f32[2];
    double cached; /* bytes per second that one thread reads again and again in BENCH_CACHED */
    bool stop;     /* nothing more is to be measured: all that is left gives 0 at once */
} bench;

/* What a row measures: pieces of equal work that the threads of a team take in turn. */
typedef struct tiles {
    bench *b;
    team *team;
    /* One piece. `i` counts on from batch to batch, so that pieces which are places in memory have left the
       caches when they come round again. */
    void (*run)(const struct tiles *t, size_t i, int tid);
    double work;     /* of one tile: bytes, operations, elements */
    panel_kind kind; /* what `run` may need to know */
    attn_format format;
    int dim, queries; /* of a head, in one call */
    size_t bytes;
    size_t first; /* of this batch; bench_rate moves it on */
    int count;
} tiles;

/* Makes b->one, b->kernels and b->loops for a level, and what they work on; b->all and b->row_seconds are set.
   bench_release takes a half-made one. */
kvasir_status bench_prepare(bench *b, cpu_level level);
void bench_release(bench *b); /* takes a half-made one, too */

/* Limits of a team that is not larger than b->all. Bytes per second read from memory. */
double bench_read_rate(bench *b, team *who);
double bench_cached_rate(bench *b, team *who);     /* bytes per second from BENCH_CACHED */
double bench_int8_rate(bench *b, team *who);       /* operations per second of b->loops */
double bench_f32_rate(bench *b, team *who);        /* the same in float32 */
double bench_barrier_seconds(bench *b, team *who); /* of a team of more than one */

/* Work per second: the best of many short batches, since others may use the machine, too. */
double bench_rate(tiles *t);

/* Gives the caller of bench_run a row; nothing where there is none (bench_read). */
void bench_row(const bench *b, const team *who, const char *name, const char *unit, double value, double limit);

/* Where tile i lies when tiles of t->bytes fill the first `room` bytes of the memory over and over. */
static inline unsigned char *bench_place(const tiles *t, size_t i, size_t room)
{
    return t->b->memory + i % (room / t->bytes) * t->bytes;
}

/* bench_kernels.c: the rows behind the limits. */
void bench_kernels(bench *b);

#endif
