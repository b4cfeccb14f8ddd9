/* Measures the machine's limits, and the kernels beside them. This file has the way of measuring and the limits. */
#include "ops/bench_internal.h"

#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

enum {
    LIMIT_ROWS = 8,
    STEPS = 4096,          /* of an arithmetic loop in one tile */
    READ_TILE = 256 << 10, /* bytes */
    MAX_TILES = 1 << 24,   /* in a batch */
    FILL = 0x3a,           /* 0x3a3a is 0.78 as f16: valid scales, keys and values */
    ALIGN = 4096
};
/* A batch is long compared with waking the team's threads, and short compared with the scheduler's time slices. */
static const double batch_seconds = 3e-4, team_batch_seconds = 2e-3;
static const size_t least_memory = (size_t)64 << 20, most_memory = (size_t)1 << 30;

/* ---- measuring ---- */

static void take_tiles(void *arg, int tid)
{
    const tiles *t = arg;
    for (int i = team_next(t->team); i < t->count; i = team_next(t->team)) t->run(t, t->first + (size_t)i, tid);
}

/* The best seconds for one of t->count tiles, where region(t) does all of them. `one` is roughly what a tile takes
   alone; it gives the length of a batch. A time that the team took must not give it, since the team may have waited for
   a thread that another program had pushed aside. */
static double best_seconds(tiles *t, void (*region)(void *arg, int tid), double one)
{
    int n = team_size(t->team);
    double batch = n > 1 ? team_batch_seconds : batch_seconds, best = INFINITY, start = clock_now(), now = start;
    t->count = (int)fmin(fmax(batch * n / fmax(one, 1e-12), n), MAX_TILES);
    if (t->b->stop) return INFINITY;
    do {
        double began = now;
        team_run(t->team, region, t);
        now = clock_now();
        t->first += (size_t)t->count;
        best = fmin(best, (now - began) / t->count);
    } while (now - start < t->b->row_seconds);
    return best;
}

/* Seconds of one tile on this thread alone, roughly: the first tries also bring in what was never touched. */
static double tile_seconds(tiles *t)
{
    enum { MOST = 1 << 16 };
    if (t->b->stop) return 1;
    for (int n = 1;; n *= 8) {
        double start = clock_now();
        for (int i = 0; i < n; i++) t->run(t, t->first++, 0);
        double taken = clock_now() - start;
        if ((n > 1 && taken > batch_seconds / 10) || taken > team_batch_seconds || n >= MOST) return taken / n;
    }
}

double bench_rate(tiles *t)
{
    return t->work / best_seconds(t, take_tiles, tile_seconds(t));
}

void bench_row(const bench *b, const team *who, const char *name, const char *unit, double value, double limit)
{
    if (!b->on_row) return;
    const kvasir_bench_row row = {
        .name = name, .unit = unit, .value = value, .limit = limit, .threads = team_size(who)};
    b->on_row(b->user, &row);
}

/* ---- limits ---- */

static void run_read(const tiles *t, size_t i, int tid)
{
    (void)t->b->loops.read(bench_place(t, i, t->b->memory_bytes), t->bytes);
}

static void run_read_cached(const tiles *t, size_t i, int tid)
{
    (void)t->b->loops.read(t->b->x, t->bytes);
}

static void run_int8(const tiles *t, size_t i, int tid)
{
    (void)t->b->loops.int8_dot(STEPS);
}

static void run_f32(const tiles *t, size_t i, int tid)
{
    (void)t->b->loops.f32_fma(STEPS);
}

static void meet(void *arg, int tid)
{
    const tiles *t = arg;
    for (int i = 0; i < t->count; i++) team_barrier(t->team);
}

double bench_read_rate(bench *b, team *who)
{
    tiles t = {.b = b, .team = who, .run = run_read, .work = READ_TILE, .bytes = READ_TILE};
    return bench_rate(&t);
}

double bench_cached_rate(bench *b, team *who)
{
    tiles t = {.b = b, .team = who, .run = run_read_cached, .work = BENCH_CACHED, .bytes = BENCH_CACHED};
    return bench_rate(&t);
}

double bench_int8_rate(bench *b, team *who)
{
    tiles t = {.b = b, .team = who, .run = run_int8, .work = (double)b->loops.int8_ops * STEPS};
    return bench_rate(&t);
}

double bench_f32_rate(bench *b, team *who)
{
    tiles t = {.b = b, .team = who, .run = run_f32, .work = (double)b->loops.f32_ops * STEPS};
    return bench_rate(&t);
}

double bench_barrier_seconds(bench *b, team *who)
{
    tiles t = {.b = b, .team = who};
    return best_seconds(&t, meet, 1e-6);
}

/* One limit with one thread and with all of them. */
static void limit_pair(bench *b, double (*rate)(bench *b, team *who), const char *name, const char *unit, double to[2])
{
    for (int i = 0; i < 2; i++) {
        team *who = i ? b->all : b->one;
        if (i && b->all == b->one) {
            to[1] = to[0];
            return;
        }
        to[i] = rate(b, who);
        bench_row(b, who, name, unit, to[i] * 1e-9, 0);
    }
    to[1] = fmax(to[0], to[1]); /* on a busy machine a team may get less than one thread did: no limit then */
}

static void bench_limits(bench *b)
{
    limit_pair(b, bench_read_rate, "read", "GB/s", b->read);
    b->cached = bench_cached_rate(b, b->one);
    bench_row(b, b->one, "read cached", "GB/s", b->cached * 1e-9, 0);
    limit_pair(b, bench_int8_rate, "int8 dot", "Gop/s", b->int8);
    limit_pair(b, bench_f32_rate, "f32 fma", "GFLOP/s", b->f32);
    if (b->all != b->one) bench_row(b, b->all, "barrier", "us", bench_barrier_seconds(b, b->all) * 1e6, 0);
}

/* ---- setting up ---- */

/* Twice the last cache, so that what was read a round ago is no longer in it. */
static size_t memory_wanted(void)
{
    long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    size_t wanted = cache > 0 ? 2 * (size_t)cache : 0;
    return min_size(max_size(wanted, least_memory), most_memory);
}

/* Written by the threads that will read it: on some machines that decides which memory is near. */
static void fill_memory(void *arg, int tid)
{
    bench *b = arg;
    size_t n = (size_t)team_size(b->all), at = b->memory_bytes / n * (size_t)tid;
    memset(b->memory + at, FILL, (size_t)tid + 1 == n ? b->memory_bytes - at : b->memory_bytes / n);
}

kvasir_status bench_prepare(bench *b, cpu_level level)
{
    const size_t n_x = (size_t)BENCH_ROWS * BENCH_K, n = (size_t)team_size(b->all);
    b->kernels.level = level;
    linear_kernels_init(&b->kernels.linear, level);
    vec_kernels_init(&b->kernels.vec, level);
    attn_kernels_init(&b->kernels.attn, level);
    limit_kernels_init(&b->loops, level);
    if (n == 1)
        b->one = b->all;
    else
        TRY(team_create(1, &b->one));

    size_t x_bytes = align_up(n_x * sizeof *b->x, ALIGN), q_bytes = align_up(n_x / ACT_BLOCK * sizeof *b->q, ALIGN);
    b->memory_bytes = align_up(memory_wanted(), ALIGN);
    b->room_bytes = b->memory_bytes + x_bytes + q_bytes + n * BENCH_OUT * sizeof *b->out;
    b->room = region_reserve(b->room_bytes, true);
    if (!b->room) return fail_memory(b->room_bytes);
    b->memory = b->room;
    b->x = (float *)(void *)(b->memory + b->memory_bytes);
    b->q = (act_block *)(void *)(b->memory + b->memory_bytes + x_bytes);
    b->out = (float *)(void *)(b->memory + b->memory_bytes + x_bytes + q_bytes);
    team_run(b->all, fill_memory, b);
    for (size_t i = 0; i < n_x; i++) b->x[i] = (float)(i * 7 % 61) * 0.01f - 0.3f;
    b->kernels.linear.quantise(b->x, BENCH_K, BENCH_ROWS, BENCH_K, b->q, BENCH_K / ACT_BLOCK);
    return KVASIR_OK;
}

void bench_release(bench *b)
{
    if (b->room) region_free(b->room, b->room_bytes);
    if (b->one != b->all) team_free(b->one);
}

kvasir_status bench_run(team *all, cpu_level level, double seconds, kvasir_bench_fn on_row, void *user)
{
    bench b = {.all = all, .row_seconds = seconds / (LIMIT_ROWS + BENCH_KERNEL_ROWS), .on_row = on_row, .user = user};
    kvasir_status status = bench_prepare(&b, level);
    if (status == KVASIR_OK) {
        bench_limits(&b);
        bench_kernels(&b);
    }
    bench_release(&b);
    return status;
}

kvasir_status bench_read(team *all, cpu_level level, double seconds, double *bytes_per_s)
{
    bench b = {.all = all, .row_seconds = team_size(all) > 1 ? seconds / 2 : seconds};
    kvasir_status status = bench_prepare(&b, level);
    if (status == KVASIR_OK) {
        limit_pair(&b, bench_read_rate, "read", "GB/s", b.read);
        *bytes_per_s = b.read[1];
    }
    bench_release(&b);
    return status;
}
