/* Measures each kernel beside the limit that bounds it. */
#include "ops/bench_internal.h"

#include <stdio.h>

enum {
    STREAM_PANELS = 16, /* of a GEMV's tile */
    HEAD_DIM = 128,
    SMALL_DIM = 64,
    GROUP = 6,     /* query heads of a kv-head */
    QUERIES = 192, /* of a prompt, in one call */
    FEW_QUERIES = 64,
    MEANS = 16, /* pages whose means are looked at together */
    DECODE_PAGES = 16,
    CACHED_PAGES = 4 /* pages whose K and V stay in the second cache */
};

static float *out_of(const tiles *t, int tid)
{
    return t->b->out + (size_t)tid * BENCH_OUT;
}

/* ---- linear ---- */

static void multiply(const tiles *t, const void *panels, int n_panels, int n_act, int tid)
{
    const bench *b = t->b;
    bool floats = panel_kind_is_float(t->kind);
    b->kernels.linear.gemm[t->kind](panels, n_panels, BENCH_K, floats ? (const void *)b->x : (const void *)b->q,
                                    floats ? BENCH_K : BENCH_K / ACT_BLOCK, n_act, out_of(t, tid),
                                    (size_t)n_panels * PANEL_ROWS, false);
}

static void run_gemv(const tiles *t, size_t i, int tid)
{
    multiply(t, bench_place(t, i, t->b->memory_bytes), STREAM_PANELS, 1, tid);
}

static void run_gemm(const tiles *t, size_t i, int tid)
{
    multiply(t, bench_place(t, i, t->b->memory_bytes), BENCH_TILE_PANELS, BENCH_ROWS, tid);
}

static quant_type type_of(panel_kind kind)
{
    int type = 0;
    while (panel_kind_of((quant_type)type) != (int)kind) type++; /* each kind is some type's */
    return (quant_type)type;
}

static size_t row_bytes(panel_kind kind)
{
    const quant_traits *traits = quant_traits_of(type_of(kind));
    return BENCH_K / (size_t)traits->block_elements * (size_t)traits->block_bytes;
}

/* From the first half of the memory to the second. */
static void run_pack(const tiles *t, size_t i, int tid)
{
    size_t half = t->b->memory_bytes / 2 & ~(size_t)63;
    unsigned char *rows = bench_place(t, i, half);
    panel_pack(t->kind, rows, row_bytes(t->kind), PANEL_ROWS, BENCH_K, rows + half);
}

static void linear_row(bench *b, tiles *t, const char *verb, const char *unit, double limit)
{
    char name[64];
    (void)snprintf(name, sizeof name, "%s %s", verb, panel_kind_name(t->kind));
    bench_row(b, b->all, name, unit, bench_rate(t) * 1e-9, limit * 1e-9);
}

static void bench_linear(bench *b)
{
    for (int kind = 0; kind < PANEL_KINDS; kind++) {
        size_t bytes = panel_bytes((panel_kind)kind, BENCH_K) * STREAM_PANELS;
        tiles t = {
            .b = b, .team = b->all, .run = run_gemv, .work = (double)bytes, .kind = (panel_kind)kind, .bytes = bytes};
        linear_row(b, &t, "gemv", "GB/s", b->read[1]);
    }
    for (int kind = 0; kind < PANEL_KINDS; kind++) {
        bool floats = panel_kind_is_float((panel_kind)kind);
        tiles t = {.b = b,
                   .team = b->all,
                   .run = run_gemm,
                   .work = 2.0 * BENCH_TILE_PANELS * PANEL_ROWS * BENCH_K * BENCH_ROWS,
                   .kind = (panel_kind)kind,
                   .bytes = panel_bytes((panel_kind)kind, BENCH_K) * BENCH_TILE_PANELS};
        linear_row(b, &t, "gemm", floats ? "GFLOP/s" : "Gop/s", floats ? b->f32[1] : b->int8[1]);
    }
    for (int kind = 0; kind < PANEL_KINDS; kind++) {
        size_t bytes = row_bytes((panel_kind)kind) * PANEL_ROWS;
        tiles t = {.b = b,
                   .team = b->all,
                   .run = run_pack,
                   .work = (double)bytes,
                   .kind = (panel_kind)kind,
                   .bytes = panel_bytes((panel_kind)kind, BENCH_K)};
        linear_row(b, &t, "pack", "GB/s", b->read[1]);
    }
}

/* ---- attention ---- */

static size_t half_page(const tiles *t)
{
    return attn_page_bytes(t->format, false, t->dim); /* K's, V's is not larger */
}

/* Where a thread's queries lie turned (attn_kernels.turn), behind its results. */
static float *turned_of(const tiles *t, int tid)
{
    return out_of(t, tid) + (HEAD_DIM + 2) * QUERIES;
}

static bool is_turned(const tiles *t)
{
    return t->b->kernels.attn.turn && t->queries >= ATTN_TURN_FROM && attn_is_packed(t->format);
}

/* What the means of n_pages pages add to the scores. */
static void find_means(const tiles *t, const unsigned char *pages, int n_pages, int tid, float *start)
{
    const void *k[MEANS];
    for (int i = 0; i < n_pages; i++) k[i] = pages + (size_t)i * 2 * half_page(t);
    t->b->kernels.attn.means(turned_of(t, tid), t->queries, t->dim, t->format, k, n_pages, start);
}

/* The queries over a run of pages. The state that they leave is the next tile's start: it only has to be finite. */
static void attend(const tiles *t, const unsigned char *pages, int n_pages, int tid)
{
    static const uint8_t lo[QUERIES];
    const size_t bytes = half_page(t);
    uint8_t hi[QUERIES];
    float *o = out_of(t, tid), *m = o + QUERIES * HEAD_DIM, *s = m + QUERIES;
    for (int i = 0; i < t->queries; i++) {
        hi[i] = KV_PAGE;
        m[i] = s[i] = 0;
    }
    attn_queries a = {.n = t->queries,
                      .head_dim = t->dim,
                      .q = t->b->x,
                      .ldq = (size_t)t->dim,
                      .qi = t->b->q,
                      .lo = lo,
                      .hi = hi,
                      .m = m,
                      .s = s,
                      .o = o,
                      .ldo = (size_t)t->dim,
                      .whole = true};
    float start[MEANS][QUERIES];
    for (int i = 0; i < n_pages; i++, pages += 2 * bytes) {
        const attn_page page = {.k_format = t->format,
                                .v_format = t->format,
                                .k = pages,
                                .v = pages + bytes,
                                .next_k = i + 1 < n_pages ? pages + 2 * bytes : NULL,
                                .next_v = i + 1 < n_pages ? pages + 3 * bytes : NULL};
        if (is_turned(t)) {
            if (i % MEANS == 0) find_means(t, pages, min_int(MEANS, n_pages - i), tid, start[0]);
            a.start = start[0] + i % MEANS * attn_sixteens(t->queries);
        }
        t->b->kernels.attn.fold(&a, &page);
    }
}

static void run_attend(const tiles *t, size_t i, int tid)
{
    attend(t, bench_place(t, i, t->b->memory_bytes), DECODE_PAGES, tid);
}

static void run_attend_cached(const tiles *t, size_t i, int tid)
{
    attend(t, t->b->memory, CACHED_PAGES, tid);
}

/* Bytes of K and V, from memory or from the second cache. */
static void decode_row(bench *b, attn_format format, int dim, bool cached, const char *name)
{
    tiles t = {.b = b,
               .team = b->all,
               .run = cached ? run_attend_cached : run_attend,
               .format = format,
               .dim = dim,
               .queries = GROUP};
    t.bytes = (size_t)(cached ? CACHED_PAGES : DECODE_PAGES) * 2 * half_page(&t);
    t.work = (double)t.bytes;
    bench_row(b, b->all, name, "GB/s", bench_rate(&t) * 1e-9,
              (cached ? b->cached * team_size(b->all) : b->read[1]) * 1e-9);
}

/* Scores and sums of values, a multiply-add as two operations. K and V are in the second cache. */
static void prefill_row(bench *b, attn_format format, int dim, int queries, const char *name)
{
    const bool floats = format == ATTN_F16;
    tiles t = {.b = b,
               .team = b->all,
               .run = run_attend_cached,
               .format = format,
               .dim = dim,
               .queries = queries,
               .work = 4.0 * queries * dim * KV_PAGE * CACHED_PAGES};
    for (int tid = 0; tid < team_size(b->all) && is_turned(&t); tid++)
        b->kernels.attn.turn(b->x, (size_t)dim, queries, dim, turned_of(&t, tid));
    bench_row(b, b->all, name, floats ? "GFLOP/s" : "Gop/s", bench_rate(&t) * 1e-9,
              (floats ? b->f32[1] : b->int8[1]) * 1e-9);
}

/* Rows without "d" and "q" in the name are for heads of 128 and 192 queries. */
static void attention_rows(bench *b, attn_format format, const char *type)
{
    char name[64];
    for (int i = 0; i < 4; i++) {
        int dim = i < 2 ? HEAD_DIM : SMALL_DIM, cached = i % 2;
        (void)snprintf(name, sizeof name, "attention decode %s%s%s", type, dim == SMALL_DIM ? " d64" : "",
                       cached ? " cached" : "");
        decode_row(b, format, dim, cached, name);
    }
    (void)snprintf(name, sizeof name, "attention prefill %s", type);
    prefill_row(b, format, HEAD_DIM, QUERIES, name);
    (void)snprintf(name, sizeof name, "attention prefill %s q64", type);
    prefill_row(b, format, HEAD_DIM, FEW_QUERIES, name);
    (void)snprintf(name, sizeof name, "attention prefill %s d64 q64", type);
    prefill_row(b, format, SMALL_DIM, FEW_QUERIES, name);
}

static void bench_attention(bench *b)
{
    /* The results of the products above may be huge; states go on from finite numbers. */
    for (size_t i = 0; i < (size_t)team_size(b->all) * BENCH_OUT; i++) b->out[i] = 0;
    attention_rows(b, ATTN_F16, "f16");
    attention_rows(b, ATTN_Q8, "q8");
    attention_rows(b, ATTN_Q4, "q4");
}

/* ---- rows ---- */

/* The row operations take BENCH_FEW_ROWS rows of BENCH_K activations to as many rows of the results, or
   change those in place. They run on one thread. */
static const float *x_row(const tiles *t, int i)
{
    return t->b->x + i % BENCH_FEW_ROWS * BENCH_K;
}

static float *out_row(const tiles *t, int i)
{
    return t->b->out + i * BENCH_K;
}

static void run_quantise(const tiles *t, size_t i, int tid)
{
    t->b->kernels.linear.quantise(x_row(t, 0), BENCH_K, BENCH_FEW_ROWS, BENCH_K, (act_block *)(void *)out_row(t, 0),
                                  BENCH_K / ACT_BLOCK);
}

static void run_rmsnorm(const tiles *t, size_t i, int tid)
{
    for (int r = 0; r < BENCH_FEW_ROWS; r++)
        t->b->kernels.vec.rmsnorm(x_row(t, r), x_row(t, 0), 1e-6f, BENCH_K, out_row(t, r));
}

static void run_silu(const tiles *t, size_t i, int tid)
{
    for (int r = 0; r < BENCH_FEW_ROWS; r++)
        t->b->kernels.vec.silu_mul(x_row(t, r), x_row(t, r + 1), out_row(t, r), BENCH_K);
}

static void run_gelu(const tiles *t, size_t i, int tid)
{
    for (int r = 0; r < BENCH_FEW_ROWS; r++)
        t->b->kernels.vec.gelu_mul(x_row(t, r), x_row(t, r + 1), out_row(t, r), BENCH_K);
}

static void run_softmax(const tiles *t, size_t i, int tid)
{
    for (int r = 0; r < BENCH_FEW_ROWS; r++) t->b->kernels.vec.softmax(out_row(t, r), BENCH_K);
}

/* A cosine of 0.8 and a sine of 0.6: turned again and again, a row keeps its length. */
static void run_rope(const tiles *t, size_t i, int tid)
{
    const float *table = out_row(t, BENCH_FEW_ROWS);
    for (int r = 0; r < BENCH_FEW_ROWS; r++)
        t->b->kernels.vec.rope_half(out_row(t, r), BENCH_K / HEAD_DIM, HEAD_DIM, HEAD_DIM, table);
}

/* Bytes that must be read, once each (what is written goes the other way); all of them are in the second cache. */
static void bench_small(bench *b)
{
    static const struct {
        const char *name;
        void (*run)(const tiles *t, size_t i, int tid);
        int inputs;
    } list[] = {
        {"quantise", run_quantise, 1}, {"rmsnorm", run_rmsnorm, 1}, {"silu_mul", run_silu, 2},
        {"gelu_mul", run_gelu, 2},     {"softmax", run_softmax, 1}, {"rope", run_rope, 1},
    };
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        tiles t = {.b = b, .team = b->one, .run = list[i].run, .work = (double)list[i].inputs * BENCH_CACHED};
        for (int j = 0; j < BENCH_FEW_ROWS * BENCH_K; j++) b->out[j] = b->x[j];
        for (int j = 0; j < HEAD_DIM; j++) b->out[BENCH_FEW_ROWS * BENCH_K + j] = j % 2 ? 0.6f : 0.8f;
        bench_row(b, b->one, list[i].name, "GB/s", bench_rate(&t) * 1e-9, b->cached * 1e-9);
    }
}

void bench_kernels(bench *b)
{
    bench_linear(b);
    bench_attention(b);
    bench_small(b);
}
