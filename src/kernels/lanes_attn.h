/* Family "attn" over sixteen lanes (kernels/lanes.h). Included by one file per instruction set, which defines
   before it ATTN_QK_COLS(n)   registers of tokens beside n queries in the score loop (1, 2 or 4)
     ATTN_PV_COLS(n)   registers of channels beside n queries in the output loop (1, 2, 4 or 8)
   so that n * cols accumulators stay in registers, and calls lanes_attn_init from its own init function.

   The visible queries of a call go through the page in blocks of up to six. Within a block every element of K
   and V is loaded and widened once for all its queries: with six (prefill) the loops are bound by arithmetic,
   with a few (decoding) by memory. A query's own sums are in the contract's order whatever the block. */
#include "base/half.h"
#include "kernels/attn.h"
#include "kernels/lanes.h"
#include "kernels/levels.h"

#include <math.h>
#include <stdbool.h>

/* A loop over registers: always unrolled, so that arrays of v16 are registers. */
#define foreach(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

enum { BLOCK = 6, MAX_COLS = 8, LINE = 64 };

/* The page of one call. f16 is a constant wherever it is looked at. */
typedef struct page {
    bool f16;
    const void *k, *v;
    const char *next_k; /* fetched while V is at work; NULL: nothing to fetch */
    bool fetch_v;       /* fetch V while K is at work */
} page;

/* The queries of one block, and what the page gives them. */
typedef struct block {
    _Alignas(64) float p[BLOCK][KV_PAGE]; /* scores, then weights */
    const float *q[BLOCK];
    float *o[BLOCK];
    int index[BLOCK];
    uint64_t visible[BLOCK]; /* bit t: token t is visible */
    float old[BLOCK], new[BLOCK];
    int lo, hi;         /* tokens that any query sees lie in lo..hi-1 */
    int all_lo, all_hi; /* tokens that every query sees are all_lo..all_hi-1; lo <= all_lo <= all_hi <= hi */
} block;

LANES v16 page_load(const void *data, size_t i, bool f16)
{
    return f16 ? v16_load_f16((const uint16_t *)data + i) : v16_load((const float *)data + i);
}

/* acc[i][c] += w[i][j] * x[c] for n queries and cols registers of x, which start at element `at` of the page:
   the heart of both loops. Whichever side is shorter waits in registers. Where the queries differ in what
   they see, `visible` says who takes part (bit j); the others must not even multiply: 0 times what an unseen
   row holds may be NaN. */
LANES void add_products(int n, int cols, const float *const *w, int j, const void *data, size_t at, bool f16,
                        const uint64_t *visible, v16 acc[BLOCK][MAX_COLS])
{
    v16 x[MAX_COLS], weight[BLOCK];
    if (n < cols) {
        foreach (i, n) weight[i] = v16_set(w[i][j]);
        foreach (c, cols) {
            x[0] = page_load(data, at + 16 * (size_t)c, f16);
            foreach (i, n) {
                if (!visible || (visible[i] >> j & 1)) acc[i][c] = v16_fma(weight[i], x[0], acc[i][c]);
            }
        }
    } else {
        foreach (c, cols) x[c] = page_load(data, at + 16 * (size_t)c, f16);
        foreach (i, n) {
            if (visible && !(visible[i] >> j & 1)) continue;
            weight[0] = v16_set(w[i][j]);
            foreach (c, cols) acc[i][c] = v16_fma(weight[0], x[c], acc[i][c]);
        }
    }
}

/* Scores of n queries for 16*cols tokens from t0 on. */
LANES void score_tile(int n, int cols, block *b, const page *pg, int dim, int t0)
{
    v16 acc[BLOCK][MAX_COLS];
    foreach (i, n) {
        foreach (c, cols) acc[i][c] = v16_set(0);
    }
    for (int d = 0; d < dim; d++) {
        add_products(n, cols, b->q, d, pg->k, (size_t)d * KV_PAGE + (size_t)t0, pg->f16, NULL, acc);
        if (pg->f16 && pg->fetch_v) {
            /* V has as many bytes as K: two lines per channel, half a line per 16 tokens of it. */
            const char *v = (const char *)pg->v + (size_t)d * 2 * LINE + (size_t)t0 * 2;
            for (int c = 0; c < cols; c += 2) __builtin_prefetch(v + c * LINE / 2);
        }
    }
    foreach (i, n) {
        foreach (c, cols) v16_store(&b->p[i][t0 + 16 * c], acc[i][c]);
    }
}

/* Scores to weights. Fills *max and *sum, the page's maximum and sum of weights. */
LANES void weigh(float *p, uint64_t visible, float softcap, float *max, float *sum)
{
    v16 x[4], top;
    foreach (c, 4) {
        x[c] = v16_load(p + 16 * c);
        if (softcap > 0) x[c] = v16_mul(v16_set(softcap), v16_tanh(v16_mul(x[c], v16_set(1.0f / softcap))));
        x[c] = v16_select((unsigned)(visible >> (16 * c)) & 0xffffu, x[c], v16_set(-INFINITY));
    }
    top = v16_max(v16_max(x[0], x[1]), v16_max(x[2], x[3]));
    *max = v16_max_lane(top) + 0.0f; /* -0 becomes +0 */
    foreach (c, 4) {
        x[c] = v16_exp(v16_sub(x[c], v16_set(*max)));
        v16_store(p + 16 * c, x[c]);
    }
    *sum = v16_sum(v16_add(v16_add(x[0], x[1]), v16_add(x[2], x[3])));
}

/* Weights of the block's queries, and their states' m and s moved to the new maximum. */
LANES void weigh_block(int n, block *b, const attn_queries *a)
{
    float away[16] = {0}, factor[16], sum[BLOCK];
    for (int i = 0; i < n; i++) {
        float *m = &a->m[b->index[i]], max, new_m;
        weigh(b->p[i], b->visible[i], a->softcap, &max, &sum[i]);
        new_m = *m > max ? *m : max;
        away[i] = *m - new_m;
        away[8 + i] = max - new_m;
        *m = new_m;
    }
    v16_store(factor, v16_exp(v16_load(away)));
    for (int i = 0; i < n; i++) {
        float *s = &a->s[b->index[i]];
        b->old[i] = factor[i];
        b->new[i] = factor[8 + i];
        *s = fmaf(*s, b->old[i], sum[i] * b->new[i]);
    }
}

/* Output of n queries for 16*cols channels from d0 on, folded into their states. */
LANES void output_tile(int n, int cols, const block *b, const page *pg, int dim, int d0)
{
    const float *const w[BLOCK] = {b->p[0], b->p[1], b->p[2], b->p[3], b->p[4], b->p[5]};
    v16 acc[BLOCK][MAX_COLS];
    foreach (i, n) {
        foreach (c, cols) acc[i][c] = v16_set(0);
    }
    int t = b->lo;
    size_t at = (size_t)t * (size_t)dim + (size_t)d0;
    const char *next = pg->f16 && pg->next_k ? pg->next_k + d0 * 2 * LINE : NULL;
    for (; t < b->all_lo; t++, at += (size_t)dim) add_products(n, cols, w, t, pg->v, at, pg->f16, b->visible, acc);
    for (; t < b->all_hi; t++, at += (size_t)dim) {
        add_products(n, cols, w, t, pg->v, at, pg->f16, NULL, acc);
        if (next) {
            /* This tile's part of the next K: two lines for each of its channels, spread over 64 tokens. */
            for (int j = 0; j < 32 * cols; j += LINE) __builtin_prefetch(next + t * 32 * cols + j);
        }
    }
    for (; t < b->hi; t++, at += (size_t)dim) add_products(n, cols, w, t, pg->v, at, pg->f16, b->visible, acc);
    foreach (i, n) {
        v16 old = v16_set(b->old[i]), new = v16_set(b->new[i]);
        foreach (c, cols) {
            float *o = b->o[i] + d0 + 16 * c;
            v16_store(o, v16_fma(v16_load(o), old, v16_mul(acc[i][c], new)));
        }
    }
}

/* A block of n queries through the page; n and pg->f16 are constants here. */
LANES void fold_block(int n, block *b, const attn_queries *a, const page *pg)
{
    const int dim = a->head_dim, wide = ATTN_PV_COLS(n);
    int d = 0;
    for (int t = 0; t < KV_PAGE; t += 16 * ATTN_QK_COLS(n)) score_tile(n, ATTN_QK_COLS(n), b, pg, dim, t);
    weigh_block(n, b, a);
    if (wide >= 8)
        for (; d + 128 <= dim; d += 128) output_tile(n, 8, b, pg, dim, d);
    if (wide >= 4)
        for (; d + 64 <= dim; d += 64) output_tile(n, 4, b, pg, dim, d);
    if (wide >= 2)
        for (; d + 32 <= dim; d += 32) output_tile(n, 2, b, pg, dim, d);
    for (; d < dim; d += 16) output_tile(n, 1, b, pg, dim, d);
}

#define FOLD(n)                                                                                                        \
    static void fold_f16_##n(block *b, const attn_queries *a, page pg)                                                 \
    {                                                                                                                  \
        pg.f16 = true;                                                                                                 \
        fold_block(n, b, a, &pg);                                                                                      \
    }                                                                                                                  \
    static void fold_f32_##n(block *b, const attn_queries *a, page pg)                                                 \
    {                                                                                                                  \
        pg.f16 = false;                                                                                                \
        fold_block(n, b, a, &pg);                                                                                      \
    }
FOLD(1)
FOLD(2)
FOLD(3)
FOLD(4)
FOLD(5)
FOLD(6)
#undef FOLD

typedef void (*fold)(block *b, const attn_queries *a, page pg);
static const fold fold_f16[BLOCK] = {fold_f16_1, fold_f16_2, fold_f16_3, fold_f16_4, fold_f16_5, fold_f16_6};
static const fold fold_f32[BLOCK] = {fold_f32_1, fold_f32_2, fold_f32_3, fold_f32_4, fold_f32_5, fold_f32_6};

/* Fills b with the next n visible queries from *at on. */
static void next_block(block *b, const attn_queries *a, int *at, int n)
{
    b->lo = b->all_hi = KV_PAGE;
    b->hi = b->all_lo = 0;
    for (int i = 0; i < n; (*at)++) {
        int lo = a->lo[*at], hi = a->hi[*at];
        if (lo >= hi) continue;
        b->index[i] = *at;
        b->q[i] = a->q + (size_t)*at * a->ldq;
        b->o[i] = a->o + (size_t)*at * a->ldo;
        b->visible[i] = (~(uint64_t)0 >> (KV_PAGE - hi)) & (~(uint64_t)0 << lo);
        if (lo < b->lo) b->lo = lo;
        if (hi > b->hi) b->hi = hi;
        if (lo > b->all_lo) b->all_lo = lo;
        if (hi < b->all_hi) b->all_hi = hi;
        i++;
    }
    if (b->all_lo > b->all_hi) b->all_lo = b->all_hi = b->hi;
}

/* Blocks as equal as can be: seven queries are 4 and 3, not 6 and 1. */
static void fold_page(const attn_queries *a, page pg, const fold *kernels)
{
    block b;
    int left = 0, at = 0;
    for (int i = 0; i < a->n; i++) left += a->lo[i] < a->hi[i];
    pg.fetch_v = true;
    pg.next_k = a->next_k;
    while (left > 0) {
        int blocks = (left + BLOCK - 1) / BLOCK, n = (left + blocks - 1) / blocks;
        next_block(&b, a, &at, n);
        kernels[n - 1](&b, a, pg);
        left -= n;
        pg.fetch_v = false; /* once is enough */
        pg.next_k = NULL;
    }
}

static attn_kernels reference(void)
{
    attn_kernels t;
    attn_init_ref(&t);
    return t;
}

static void page_f16(const attn_queries *a, const uint16_t *k, const uint16_t *v)
{
    if (a->head_dim % 16) {
        reference().page_f16(a, k, v);
        return;
    }
    fold_page(a, (page){.f16 = true, .k = k, .v = v}, fold_f16);
}

static void page_f32(const attn_queries *a, const float *k, const float *v)
{
    if (a->head_dim % 16) {
        reference().page_f32(a, k, v);
        return;
    }
    fold_page(a, (page){.f16 = false, .k = k, .v = v}, fold_f32);
}

static void merge(float *m, float *s, float *o, float m2, float s2, const float *o2, int head_dim)
{
    if (m2 == -INFINITY) return;
    float max = (*m > m2 ? *m : m2) + 0.0f, away[16] = {*m - max, m2 - max}, factor[16];
    v16_store(factor, v16_exp(v16_load(away)));
    v16 old = v16_set(factor[0]), new = v16_set(factor[1]);
    for (int d = 0; d < head_dim; d += 16) {
        int c = head_dim - d < 16 ? head_dim - d : 16;
        v16 x = v16_mul(v16_load_n(o2 + d, c), new);
        v16_store_n(o + d, v16_fma(v16_load_n(o + d, c), old, x), c);
    }
    *s = fmaf(*s, factor[0], s2 * factor[1]);
    *m = max;
}

static void finish(float m, float s, const float *o, const float *sink, int head_dim, float *out)
{
    float inv = s > 0 ? 1.0f / s : 0.0f;
    if (sink) {
        float max = m > *sink ? m : *sink, away[16] = {m - max, *sink - max}, factor[16];
        v16_store(factor, v16_exp(v16_load(away)));
        inv = factor[0] * (1.0f / fmaf(s, factor[0], factor[1]));
    }
    v16 scale = v16_set(inv);
    for (int d = 0; d < head_dim; d += 16) {
        int c = head_dim - d < 16 ? head_dim - d : 16;
        v16_store_n(out + d, v16_mul(v16_load_n(o + d, c), scale), c);
    }
}

/* K in squares of 16 tokens by 16 channels, turned in registers; the tokens that do not fill a square one by
 * one. */
static void append_f16(const float *k, size_t ldk, const float *v, size_t ldv, int n, int at, int head_dim,
                       uint16_t *k_page, uint16_t *v_page)
{
    if (head_dim % 16) {
        reference().append_f16(k, ldk, v, ldv, n, at, head_dim, k_page, v_page);
        return;
    }
    int t = 0;
    v16 r[16];
    for (; t + 16 <= n; t += 16) {
        for (int d = 0; d < head_dim; d += 16) {
            foreach (i, 16) r[i] = v16_load(k + (size_t)(t + i) * ldk + (size_t)d);
            v16_transpose(r);
            foreach (i, 16) v16_store_f16(k_page + (d + i) * KV_PAGE + at + t, r[i]);
        }
    }
    for (; t < n; t++) {
        for (int d = 0; d < head_dim; d += 16) {
            uint16_t few[16];
            v16_store_f16(few, v16_load(k + (size_t)t * ldk + (size_t)d));
            for (int i = 0; i < 16; i++) k_page[(d + i) * KV_PAGE + at + t] = few[i];
        }
    }
    for (t = 0; t < n; t++)
        for (int d = 0; d < head_dim; d += 16)
            v16_store_f16(v_page + (size_t)(at + t) * (size_t)head_dim + (size_t)d,
                          v16_load(v + (size_t)t * ldv + (size_t)d));
}

/* append_f32 is for tests and stays the reference's. */
static void lanes_attn_init(attn_kernels *t)
{
    t->page_f16 = page_f16;
    t->page_f32 = page_f32;
    t->merge = merge;
    t->finish = finish;
    t->append_f16 = append_f16;
}
