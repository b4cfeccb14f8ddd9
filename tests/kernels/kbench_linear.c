/* Speeds of kernels/linear.h: quantise and pack; per kind one row of activations (GB/s of weights, from
   memory, one and two threads) and many (G op/s). */
#include "kcheck.h"

#include "base/mem.h"
#include "kernels/linear.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

enum { WEIGHT_BYTES = 96 << 20, CALL_PANELS = 16 };

typedef struct job {
    const linear_kernels *kernels;
    panel_kind kind;
    int k, n_act, first, last; /* panels first..last-1 */
    const uint8_t *panels;
    const void *acts;
    float *out;
} job;

static void run_job(void *p)
{
    const job *j = p;
    size_t bytes = panel_bytes(j->kind, j->k), ld_out = CALL_PANELS * PANEL_ROWS;
    size_t ld = panel_kind_is_float(j->kind) ? (size_t)j->k : (size_t)j->k / ACT_BLOCK;
    for (int i = j->first; i < j->last; i += CALL_PANELS) {
        int n = j->last - i < CALL_PANELS ? j->last - i : CALL_PANELS;
        j->kernels->gemm[j->kind](j->panels + (size_t)i * bytes, n, j->k, j->acts, ld, j->n_act, j->out, ld_out, false);
    }
}

static void *thread_job(void *p)
{
    run_job(p);
    return NULL;
}

/* The second half of the panels on a second thread. */
static void run_pair(void *p)
{
    job *both = p, second = both[1];
    pthread_t thread;
    if (pthread_create(&thread, NULL, thread_job, &second)) return;
    run_job(&both[0]);
    pthread_join(thread, NULL);
}

/* Fills valid blocks. Any bytes are valid. Of the scales only those matter that would be slow: MXFP4's (bytes) must not
   be so small that the products are denormal. */
static void fill(uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) to[i] = (uint8_t)(64 + i * 7 % 61);
}

static double gemv_gbs(const job *one, int n_panels, float *out2)
{
    job both[2] = {*one, *one};
    double bytes = (double)panel_bytes(one->kind, one->k) * n_panels;
    if (!out2) {
        both[0].last = n_panels;
        return bytes / kcheck_seconds(run_job, both) * 1e-9;
    }
    both[0].last = both[1].first = n_panels / 2;
    both[1].last = n_panels;
    both[1].out = out2;
    return bytes / kcheck_seconds(run_pair, both) * 1e-9;
}

static double gemm_gops(const job *one, int n_act)
{
    job j = *one;
    j.n_act = n_act;
    j.last = CALL_PANELS;
    return 2.0 * CALL_PANELS * PANEL_ROWS * j.k * n_act / kcheck_seconds(run_job, &j) * 1e-9;
}

static void bench_kind(const kcheck *k, job *j, float *out2)
{
    int n_panels = (int)(WEIGHT_BYTES / panel_bytes(j->kind, j->k));
    bool floats = panel_kind_is_float(j->kind);
    double peak = floats ? k->limits.f32_gflops : k->limits.int8_gops;
    double one = gemv_gbs(j, n_panels, NULL), two = gemv_gbs(j, n_panels, out2);
    double cached = gemv_gbs(j, (int)((512 << 10) / panel_bytes(j->kind, j->k)) + 1, NULL);
    double many = gemm_gops(j, 512);
    printf("  %-6s k %4d  1 row: %5.1f GB/s (%3.0f%%), 2 threads %5.1f, cached %5.1f;  G op/s at 2: %5.0f, "
           "6: %5.0f, 12: "
           "%5.0f, "
           "16: %5.0f, 512: %5.0f (%.0f%% of peak)\n",
           panel_kind_name(j->kind), j->k, one, 100 * one / k->limits.read_gbs, two, cached, gemm_gops(j, 2),
           gemm_gops(j, 6), gemm_gops(j, 12), gemm_gops(j, 16), many, peak > 0 ? 100 * many / peak : 0);
}

typedef struct rows_job {
    const linear_kernels *kernels;
    panel_kind kind;
    int k;
    const uint8_t *file;
    uint8_t *panels;
    size_t bytes;
    float *x;
    act_block *q;
} rows_job;

static void run_pack(void *p)
{
    const rows_job *j = p;
    size_t bytes = panel_bytes(j->kind, j->k);
    for (size_t at = 0; at + bytes <= j->bytes; at += bytes)
        panel_pack(j->kind, j->file + at, bytes / PANEL_ROWS, PANEL_ROWS, j->k, j->panels + at);
}

static void run_quantise(void *p)
{
    const rows_job *j = p;
    j->kernels->quantise(j->x, 0, 1, j->k, j->q, 0);
}

static void bench_rows(const linear_kernels *t, uint8_t *memory, float *x, act_block *q)
{
    rows_job j = {.kernels = t, .k = 1536, .file = memory, .x = x, .q = q};
    double seconds = kcheck_seconds(run_quantise, &j);
    printf("  quantise k 1536: %.2f us, %.2f ns an element\n  panel_pack, GB/s of rows:", seconds * 1e6,
           seconds * 1e9 / j.k);
    j.bytes = WEIGHT_BYTES / 2;
    j.panels = memory + j.bytes;
    for (int kind = 0; kind < PANEL_KINDS; kind++) {
        j.kind = (panel_kind)kind;
        printf(" %s %.1f", panel_kind_name(j.kind), (double)j.bytes / kcheck_seconds(run_pack, &j) * 1e-9);
    }
    printf("\n");
}

/* The number of elements in a block of the kind's type. */
static int unit_of(panel_kind kind)
{
    uint32_t type = 0;
    while (panel_kind_of((quant_type)type) != (int)kind) type++;
    return quant_traits_of(type)->block_elements;
}

void kcheck_bench_linear(kcheck *k)
{
    static const int widths[] = {576, 1536, 8960};
    const size_t most = 512 * 8960;
    linear_kernels t;
    linear_kernels_init(&t, k->level);
    uint8_t *memory = region_reserve(WEIGHT_BYTES, true);
    float *x = kcheck_alloc(most * sizeof(float)), *out2 = kcheck_alloc(512 * 4 * CALL_PANELS * PANEL_ROWS);
    float *out = kcheck_alloc(512 * 4 * CALL_PANELS * PANEL_ROWS);
    act_block *q = kcheck_alloc(most / ACT_BLOCK * sizeof *q);
    if (!memory) return;
    fill(memory, WEIGHT_BYTES);
    kcheck_floats(k, IN_NORMAL, x, most);
    t.quantise(x, 0, 1, (int)most, q, 0);
    bench_rows(&t, memory, x, q);
    fill(memory, WEIGHT_BYTES);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
        for (int kind = 0; kind < PANEL_KINDS; kind++) {
            if (widths[w] % unit_of((panel_kind)kind) || (k->level == CPU_REF && widths[w] != 576)) continue;
            bool floats = panel_kind_is_float((panel_kind)kind);
            job j = {.kernels = &t,
                     .kind = (panel_kind)kind,
                     .k = widths[w],
                     .n_act = 1,
                     .panels = memory,
                     .acts = floats ? (const void *)x : (const void *)q,
                     .out = out};
            bench_kind(k, &j, out2);
        }
    }
    region_free(memory, WEIGHT_BYTES);
    kcheck_free(k, x);
    kcheck_free(k, out);
    kcheck_free(k, out2);
    kcheck_free(k, q);
}
