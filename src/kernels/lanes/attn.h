/* Family "attn" over sixteen lanes (kernels/lanes/lanes.h, and the integer products of x86/avx512_dots.h and
   the like). Included by one file per instruction set, which first defines
     ATTN_QK_COLS(n), ATTN_PV_COLS(n)     registers of tokens beside n queries in the score loop (1, 2 or 4), of
                                          channels in the output loop (1, 2, 4 or 8), for f16 and f32
     ATTN_K_COLS(n), ATTN_V8_COLS(n), ATTN_V4_COLS(n)     the same for q8 and q4
     ATTN_BLOCK, ATTN_PACKED_BLOCK        queries in a block: at most 6, at most 8 where K and V are q8 or q4
     ATTN_SCORES_STAY(n)                  whether the scores of n queries and ATTN_K_COLS(n) registers of tokens fit
                                          beside as many sums
     ATTN_BESIDE                          1: weights for q8 are made between the products of other queries' outputs
     ATTN_MEAN_PAGES                      pages whose means meet the queries together
   so that n * cols accumulators stay in registers, and calls lanes_attn_init from its own init function.

   The visible queries of a call go through the page in blocks. Within a block every element of K and V is loaded and
   widened once for all its queries: with six (prefill) the loops are bound by arithmetic, with a few (decoding) by
   memory. A query's own sums are in the contract's order whatever the block. */
#include "base/half.h"
#include "kernels/attn.h"
#include "kernels/fetch.h"
#include "kernels/lanes/lanes.h"
#include "kernels/levels.h"

#include <math.h>
#include <stdbool.h>

/* A loop over registers: always unrolled, so that arrays of v16 are registers. */
#define foreach(i, n) _Pragma("GCC unroll 16") for (int i = 0; i < (n); i++)

enum { BLOCK = 8, MAX_COLS = 8, LINE = 64, MEAN_PAGES = ATTN_MEAN_PAGES };

/* Lines that are fetched before integer weights are made. Making them takes a third of a small page's time, in which
   nothing else would be fetched. As many as a core can wait for at once. */
enum { FLYING = 24 };

/* Memory that is wanted soon. */
typedef struct wanted {
    const char *at, *end; /* at == end: nothing is wanted */
} wanted;

/* Wanted memory that is fetched a little at a time while the loops do other work */
typedef struct fetcher {
    wanted rest;
    int step; /* bytes for each call of fetch */
} fetcher;

LANES wanted want(const void *p, size_t bytes)
{
    return p ? (wanted){p, (const char *)p + bytes} : (wanted){0};
}

LANES fetcher fetch_over(wanted w, int calls)
{
    unsigned lines = ((unsigned)(w.end - w.at) + LINE - 1) / LINE,
             each = (lines + (unsigned)calls - 1) / (unsigned)calls;
    return (fetcher){w, (int)each * LINE};
}

LANES void fetch(fetcher *f)
{
    if (f->rest.at >= f->rest.end) return;
    for (int i = 0; i < f->step; i += LINE) FETCH(f->rest.at + i);
    f->rest.at += f->step;
}

/* The first FLYING lines at once. */
static void fetch_first(wanted *w)
{
    for (int i = 0; i < FLYING && w->at < w->end; i++, w->at += LINE) FETCH(w->at);
}

/* The page of one call of fold. */
typedef struct page_job {
    const void *k, *v;
    wanted with_k, with_v; /* what is fetched while K, while V is at work */
    attn_format k_format, v_format;
    const float *start;   /* what the page's mean gives to the scores of the call's queries; NULL: not computed yet */
    struct block *beside; /* its weights are made while the outputs of the block before it are at work; or NULL */
    int n_beside;         /* its queries */
} page_job;

/* The queries of one block, and what the page gives them. */
typedef struct block {
    _Alignas(64) float p[BLOCK][KV_PAGE];            /* scores, then weights */
    _Alignas(64) p_weight weight[2][BLOCK][KV_PAGE]; /* the same as integers; [1] is used by q4 only */
    const float *q[BLOCK];
    const act_block *qi[BLOCK];
    float *o[BLOCK];
    int index[BLOCK];
    uint64_t visible[BLOCK];                      /* bit t: token t is visible */
    _Alignas(64) float top[16], old[16], new[16]; /* of BLOCK */
    int weighed;        /* sixteens of tokens, query after query, whose integer weights are done */
    bool in_row;        /* index[i] is index[0] + i */
    bool whole;         /* all of the page is visible to all, and scores are what they are: no soft cap */
    bool has_top;       /* the score loop has found the largest scores */
    int lo, hi;         /* tokens that any query sees lie in lo..hi-1 */
    int all_lo, all_hi; /* tokens that every query sees are all_lo..all_hi-1; lo <= all_lo <= all_hi <= hi */
} block;

LANES v16 page_load(const void *data, size_t i, bool f16)
{
    return f16 ? v16_load_f16((const uint16_t *)data + i) : v16_load((const float *)data + i);
}

/* acc[i][c] += w[i][j] * x[c] for n queries and cols registers of x, which start at element `at` of the page: the heart
   of both loops. Whichever side is shorter waits in registers. Where the queries differ in what they see, `visible`
   says who takes part (bit j). The others must not even multiply by 0: an unseen row may hold NaN. */
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
LANES void score_tile(int n, int cols, bool f16, block *b, const page_job *pg, int dim, int t0, fetcher *ahead)
{
    v16 acc[BLOCK][MAX_COLS];
    foreach (i, n) {
        foreach (c, cols) acc[i][c] = v16_set(0);
    }
    for (int d = 0; d < dim; d++) {
        add_products(n, cols, b->q, d, pg->k, (size_t)d * KV_PAGE + (size_t)t0, f16, NULL, acc);
        fetch(ahead);
    }
    foreach (i, n) {
        foreach (c, cols) v16_store(&b->p[i][t0 + 16 * c], acc[i][c]);
    }
}

LANES void score_plain(int n, bool f16, block *b, const page_job *pg, int dim)
{
    const int cols = ATTN_QK_COLS(n);
    fetcher ahead = fetch_over(pg->with_k, dim * (KV_PAGE / 16 / cols));
    for (int t = 0; t < KV_PAGE; t += 16 * cols) score_tile(n, cols, f16, b, pg, dim, t, &ahead);
}

/* Soft cap and mask of one query's scores. Not inlined, so that pages that everybody sees do not carry this code. */
static __attribute__((noinline)) void settle_scores(float *p, uint64_t visible, float softcap)
{
    foreach (c, 4) {
        v16 x = v16_load(p + 16 * c);
        if (softcap > 0) x = v16_mul(v16_set(softcap), v16_tanh(v16_mul(x, v16_set(1.0f / softcap))));
        v16_store(p + 16 * c, v16_select((unsigned)(visible >> (16 * c)) & 0xffffu, x, v16_set(-INFINITY)));
    }
}

/* Turns one query's scores, of which `max` is the largest, into weights; where V is q8 they go to `weight` as integers.
   Returns their sums in lanes. */
LANES v16 weigh(float *p, attn_format v, p_weight *weight, float max)
{
    v16 x[4];
    foreach (c, 4) x[c] = v16_sub(v16_load(p + 16 * c), v16_set(max));
    if (v == ATTN_Q8) {
        foreach (c, 4) x[c] = v16_weight(x[c]);
        return v16_store_page_weights(weight, x);
    }
    foreach (c, 4) {
        x[c] = v == ATTN_Q4 ? v16_zero_below(x[c], v16_set(ATTN_Y_LEAST), v16_weight(x[c])) : v16_exp_low(x[c]);
        v16_store(p + 16 * c, x[c]);
    }
    return v16_add(v16_add(x[0], x[1]), v16_add(x[2], x[3]));
}

/* Finds the largest score of each query. This has a long latency and little work, so other work should follow it. */
LANES void find_tops(int n, block *b, float softcap)
{
    float lane[8][16];
    if (b->has_top) return;
    for (int i = 0; i < n; i++) {
        float *p = b->p[i];
        if (softcap > 0 || ~b->visible[i]) settle_scores(p, b->visible[i], softcap);
        v16 low = v16_max(v16_load(p), v16_load(p + 16)), high = v16_max(v16_load(p + 32), v16_load(p + 48));
        v16_store(lane[i], v16_max(low, high));
    }
    foreach (i, 8 - n) v16_store(lane[n + i], v16_set(0));
    v16_max_eight(lane, b->top);
}

/* n floats of the block's queries, as a register. */
LANES v16 load_states(int n, const block *b, const float *p)
{
    if (b->in_row) return v16_load_n(p + b->index[0], n);
    float x[16] = {0};
    foreach (i, n) x[i] = p[b->index[i]];
    return v16_load(x);
}

LANES void store_states(int n, const block *b, float *p, v16 x)
{
    float lane[16];
    if (b->in_row) {
        v16_store_n(p + b->index[0], x, n);
        return;
    }
    v16_store(lane, x);
    foreach (i, n) p[b->index[i]] = lane[i];
}

#if ATTN_BESIDE
/* Makes the integer weights of the next sixteen tokens of the block that waits for them. Exponentials need units that
   products do not need: done between products they cost less than by themselves. */
LANES void weigh_beside(const page_job *pg)
{
    block *b = pg->beside;
    const int at = b ? b->weighed : 0;
    if (__builtin_expect(!b || at == pg->n_beside * (KV_PAGE / 16), 1)) return;
    v16 x = v16_sub(v16_load(b->p[0] + 16 * at), v16_set(b->top[at / (KV_PAGE / 16)]));
    v16_store_weights(b->weight[0][0] + 16 * at, v16_weight(x));
    b->weighed++;
}

/* The sums of query i's weights in lanes; makes the weights first if that has not been done. */
LANES v16 weigh_query(attn_format v, block *b, int i)
{
    if (v == ATTN_Q8 && b->weighed >= (i + 1) * (KV_PAGE / 16)) return v16_page_weights_sum(b->weight[0][i]);
    return weigh(b->p[i], v, b->weight[0][i], b->top[i]);
}
#else
LANES void weigh_beside(const page_job *pg) {}

LANES v16 weigh_query(attn_format v, block *b, int i)
{
    return weigh(b->p[i], v, b->weight[0][i], b->top[i]);
}
#endif

/* The factors by which two parts with maxima m and m2 (not -infinity) are multiplied when they are merged: exp(m - max)
   and exp(m2 - max). One of them is 1. */
LANES void scale_states(v16 m, v16 m2, v16 *old, v16 *new)
{
    v16 one = v16_set(1), less = v16_exp_low(v16_neg(v16_abs(v16_sub(m, m2))));
    *old = v16_if_greater(m2, m, less, one);
    *new = v16_if_greater(m2, m, one, less);
}

/* Weights of the block's queries; moves m and s of their states to the new maximum. Operations across lanes are done
   for all queries together: one by one they would take half of the time. */
LANES void weigh_block(int n, attn_format v, block *b, const attn_queries *a)
{
    float lane[8][16], sum[16];
    foreach (i, n) v16_store(lane[i], weigh_query(v, b, i));
    foreach (i, 8 - n) v16_store(lane[n + i], v16_set(0));
    v16_sum_eight(lane, sum);
    v16 top = v16_add(v16_load_n(b->top, 8), v16_set(0)); /* -0 becomes +0 */
    v16 m = load_states(n, b, a->m), old, new;
    scale_states(m, top, &old, &new);
    if (attn_is_packed(v)) new = v16_mul(new, v16_set(1.0f / 255.0f));
    v16_store(b->old, old);
    v16_store(b->new, new);
    store_states(n, b, a->m, v16_max(m, top));
    store_states(n, b, a->s, v16_fma(load_states(n, b, a->s), old, v16_mul(v16_load_n(sum, 8), new)));
}

/* acc, the outputs of n queries for 16*cols channels from d0 on, folded into their states. */
LANES void fold_outputs(int n, int cols, const block *b, int d0, v16 acc[BLOCK][MAX_COLS], const float *new)
{
    foreach (i, n) {
        v16 old = v16_set(b->old[i]), factor = v16_set(new[i]);
        foreach (c, cols) {
            float *o = b->o[i] + d0 + 16 * c;
            v16_store(o, v16_fma(v16_load(o), old, v16_mul(acc[i][c], factor)));
        }
    }
}

LANES void output_tile(int n, int cols, bool f16, block *b, const page_job *pg, int dim, int d0, fetcher *ahead)
{
    const float *const w[BLOCK] = {b->p[0], b->p[1], b->p[2], b->p[3], b->p[4], b->p[5], b->p[6], b->p[7]};
    v16 acc[BLOCK][MAX_COLS];
    foreach (i, n) {
        foreach (c, cols) acc[i][c] = v16_set(0);
    }
    int t = b->lo;
    size_t at = (size_t)t * (size_t)dim + (size_t)d0;
    for (; t < b->all_lo; t++, at += (size_t)dim) add_products(n, cols, w, t, pg->v, at, f16, b->visible, acc);
    for (; t < b->all_hi; t++, at += (size_t)dim) {
        add_products(n, cols, w, t, pg->v, at, f16, NULL, acc);
        fetch(ahead);
    }
    for (; t < b->hi; t++, at += (size_t)dim) add_products(n, cols, w, t, pg->v, at, f16, b->visible, acc);
    fold_outputs(n, cols, b, d0, acc, b->new);
}

LANES void output_plain(int n, bool f16, block *b, const page_job *pg, int dim)
{
    const int wide = ATTN_PV_COLS(n);
    fetcher ahead = fetch_over(pg->with_v, KV_PAGE * max_int(dim / 16 / wide, 1));
    int d = 0;
    if (wide >= 8)
        for (; d + 128 <= dim; d += 128) output_tile(n, 8, f16, b, pg, dim, d, &ahead);
    if (wide >= 4)
        for (; d + 64 <= dim; d += 64) output_tile(n, 4, f16, b, pg, dim, d, &ahead);
    if (wide >= 2)
        for (; d + 32 <= dim; d += 32) output_tile(n, 2, f16, b, pg, dim, d, &ahead);
    for (; d < dim; d += 16) output_tile(n, 1, f16, b, pg, dim, d, &ahead);
}

#include "kernels/lanes/attn_packed.h"

/* One small function for each format and number of queries, in which both are constants. */
typedef void weighing(block *b, const attn_queries *a);
typedef void half_fold(block *b, const page_job *pg, int dim);
#define HALVES(n)                                                                                                      \
    static void score_f32_##n(block *b, const page_job *pg, int dim)                                                   \
    {                                                                                                                  \
        score_plain(n, false, b, pg, dim);                                                                             \
    }                                                                                                                  \
    static void score_f16_##n(block *b, const page_job *pg, int dim)                                                   \
    {                                                                                                                  \
        score_plain(n, true, b, pg, dim);                                                                              \
    }                                                                                                                  \
    static void score_q8_##n(block *b, const page_job *pg, int dim)                                                    \
    {                                                                                                                  \
        score_packed(n, false, b, pg, dim);                                                                            \
    }                                                                                                                  \
    static void score_q4_##n(block *b, const page_job *pg, int dim)                                                    \
    {                                                                                                                  \
        score_packed(n, true, b, pg, dim);                                                                             \
    }                                                                                                                  \
    static void tops_##n(block *b, const attn_queries *a)                                                              \
    {                                                                                                                  \
        find_tops(n, b, a->softcap);                                                                                   \
    }                                                                                                                  \
    static void weigh_##n(block *b, const attn_queries *a)                                                             \
    {                                                                                                                  \
        weigh_block(n, ATTN_F16, b, a);                                                                                \
    }                                                                                                                  \
    static void weigh_q8_##n(block *b, const attn_queries *a)                                                          \
    {                                                                                                                  \
        weigh_block(n, ATTN_Q8, b, a);                                                                                 \
    }                                                                                                                  \
    static void weigh_q4_##n(block *b, const attn_queries *a)                                                          \
    {                                                                                                                  \
        weigh_block(n, ATTN_Q4, b, a);                                                                                 \
    }                                                                                                                  \
    static void output_f32_##n(block *b, const page_job *pg, int dim)                                                  \
    {                                                                                                                  \
        output_plain(n, false, b, pg, dim);                                                                            \
    }                                                                                                                  \
    static void output_f16_##n(block *b, const page_job *pg, int dim)                                                  \
    {                                                                                                                  \
        output_plain(n, true, b, pg, dim);                                                                             \
    }                                                                                                                  \
    static void output_q8_##n(block *b, const page_job *pg, int dim)                                                   \
    {                                                                                                                  \
        output_q8(n, b, pg, dim);                                                                                      \
    }                                                                                                                  \
    static void output_q4_##n(block *b, const page_job *pg, int dim)                                                   \
    {                                                                                                                  \
        output_q4(n, b, pg, dim);                                                                                      \
    }
HALVES(1)
HALVES(2)
HALVES(3)
HALVES(4)
HALVES(5)
HALVES(6)
#if ATTN_PACKED_BLOCK > 6
HALVES(7)
HALVES(8)
#endif
#undef HALVES

#if ATTN_PACKED_BLOCK > 6
#define EACH_N(name)                                                                                                   \
    {                                                                                                                  \
        name##_1, name##_2, name##_3, name##_4, name##_5, name##_6, name##_7, name##_8                                 \
    }
#else
#define EACH_N(name)                                                                                                   \
    {                                                                                                                  \
        name##_1, name##_2, name##_3, name##_4, name##_5, name##_6                                                     \
    }
#endif
static half_fold *const scores[ATTN_FORMATS][BLOCK] = {EACH_N(score_f32), EACH_N(score_f16), EACH_N(score_q8),
                                                       EACH_N(score_q4)};
static half_fold *const outputs[ATTN_FORMATS][BLOCK] = {EACH_N(output_f32), EACH_N(output_f16), EACH_N(output_q8),
                                                        EACH_N(output_q4)};
static weighing *const tops[BLOCK] = EACH_N(tops);
static weighing *const weighings[ATTN_FORMATS][BLOCK] = {EACH_N(weigh), EACH_N(weigh), EACH_N(weigh_q8),
                                                         EACH_N(weigh_q4)};
#undef EACH_N

/* The same where every query sees the whole page. */
static void next_whole_block(block *b, const attn_queries *a, int at, int n)
{
    const size_t blocks = (size_t)attn_blocks(a->head_dim);
    const float *q = a->q + (size_t)at * a->ldq;
    const act_block *qi = a->qi ? a->qi + (size_t)at * blocks : NULL;
    float *o = a->o + (size_t)at * a->ldo;
    for (int i = 0; i < n; i++, q += a->ldq, o += a->ldo) {
        b->index[i] = at + i;
        b->q[i] = q;
        b->o[i] = o;
        b->visible[i] = ~(uint64_t)0;
        b->qi[i] = qi;
        if (qi) qi += blocks;
    }
    b->lo = b->all_lo = 0;
    b->hi = b->all_hi = KV_PAGE;
    b->in_row = true;
    b->whole = a->softcap <= 0;
}

/* Fills b with the next n visible queries from *at on. */
static void next_block(block *b, const attn_queries *a, int *at, int n)
{
    b->has_top = false;
    if (a->whole) {
        next_whole_block(b, a, *at, n);
        *at += n;
        return;
    }
    b->whole = false;
    b->lo = b->all_hi = KV_PAGE;
    b->hi = b->all_lo = 0;
    for (int i = 0; i < n; (*at)++) {
        int lo = a->lo[*at], hi = a->hi[*at];
        if (lo >= hi) continue;
        b->index[i] = *at;
        b->q[i] = a->q + (size_t)*at * a->ldq;
        if (a->qi) b->qi[i] = a->qi + (size_t)*at * (size_t)attn_blocks(a->head_dim);
        b->o[i] = a->o + (size_t)*at * a->ldo;
        b->visible[i] = (~(uint64_t)0 >> (KV_PAGE - hi)) & (~(uint64_t)0 << lo);
        if (lo < b->lo) b->lo = lo;
        if (hi > b->hi) b->hi = hi;
        if (lo > b->all_lo) b->all_lo = lo;
        if (hi < b->all_hi) b->all_hi = hi;
        i++;
    }
    if (b->all_lo > b->all_hi) b->all_lo = b->all_hi = b->hi;
    b->in_row = b->index[n - 1] - b->index[0] == n - 1;
}

/* The queries are cut into blocks that are as equal as can be: seven are 4 and 3, not 6 and 1. Maxima and sums go
   across lanes and take long to come out. So after the scores of a block come the outputs of the block before it, and
   only then its own weights; its outputs need them after the next block's scores. */
static void fold_page(const attn_queries *a, page_job pg)
{
    const int packed = attn_is_packed(pg.k_format) + attn_is_packed(pg.v_format);
    const int most = packed == 0   ? ATTN_BLOCK
                     : packed == 2 ? ATTN_PACKED_BLOCK
                                   : min_int(ATTN_BLOCK, ATTN_PACKED_BLOCK);
    block room[2];
    int left = a->whole ? a->n : 0, at = 0, before = 0; /* queries of the block before */
    for (int i = 0; !a->whole && i < a->n; i++) left += a->lo[i] < a->hi[i];
    for (int turn = 0; left > 0 || before > 0; turn ^= 1) {
        block *b = &room[turn];
        const int blocks = (left + most - 1) / most, n = left > 0 ? (left + blocks - 1) / blocks : 0;
        if (n > 0) {
            next_block(b, a, &at, n);
            scores[pg.k_format][n - 1](b, &pg, a->head_dim);
            tops[n - 1](b, a);
            pg.with_k = (wanted){0}; /* fetching it once is enough */
        }
        b->weighed = 0;
        pg.beside = n > 0 ? b : NULL;
        pg.n_beside = n;
        if (before > 0) {
            outputs[pg.v_format][before - 1](&room[turn ^ 1], &pg, a->head_dim);
            pg.with_v = (wanted){0};
        }
        if (n > 0 && pg.v_format == ATTN_Q8) fetch_first(&pg.with_v);
        if (n > 0) weighings[pg.v_format][n - 1](b, a);
        left -= n;
        before = n;
    }
}

static attn_kernels reference(void)
{
    attn_kernels t;
    attn_init_ref(&t);
    return t;
}

/* V is fetched while K is at work, and the next K while V is. Where pages are so small that memory would answer too
   late, the next K is fetched while K is at work, and the next V while V is. */
static void fold(const attn_queries *a, const attn_page *pg)
{
    if (a->head_dim % ATTN_LANES) {
        reference().fold(a, pg);
        return;
    }
    size_t k_bytes = attn_page_bytes(pg->k_format, false, a->head_dim);
    size_t v_bytes = attn_page_bytes(pg->v_format, true, a->head_dim);
    page_job job = {.k = pg->k, .v = pg->v, .k_format = pg->k_format, .v_format = pg->v_format};
    bool far = pg->next_k && k_bytes <= FETCH_PAGE && v_bytes <= FETCH_PAGE;
    job.with_k = far ? want(pg->next_k, k_bytes) : want(pg->v, v_bytes);
    job.with_v = far ? want(pg->next_v, v_bytes) : want(pg->next_k, k_bytes);
    if (attn_is_packed(pg->k_format)) job.start = a->start;
    fold_page(a, job);
}

static void turn(const float *q, size_t ld, int n, int head_dim, float *turned)
{
    for (int g = 0; g < n; g += ATTN_LANES, q += ATTN_LANES * ld) {
        for (int d = 0; d < head_dim; d += 16, turned += 16 * ATTN_LANES) {
            v16 r[16];
            foreach (i, 16) r[i] = g + i < n ? v16_load(q + (size_t)i * ld + d) : v16_set(0);
            v16_transpose(r);
            foreach (i, 16) v16_store(turned + i * ATTN_LANES, r[i]);
        }
    }
}

static void merge(float *m, float *s, float *o, float m2, float s2, const float *o2, int head_dim)
{
    if (m2 == -INFINITY) return;
    v16 old, new;
    scale_states(v16_set(*m), v16_set(m2), &old, &new);
    for (int d = 0; d < head_dim; d += 16) {
        int c = head_dim - d < 16 ? head_dim - d : 16;
        v16 x = v16_mul(v16_load_n(o2 + d, c), new);
        v16_store_n(o + d, v16_fma(v16_load_n(o + d, c), old, x), c);
    }
    v16_store_n(s, v16_fma(v16_set(*s), old, v16_mul(v16_set(s2), new)), 1);
    *m = (*m > m2 ? *m : m2) + 0.0f;
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

#include "kernels/lanes/attn_pack.h"

static void lanes_attn_init(attn_kernels *t)
{
    t->fold = fold;
    t->turn = turn;
    t->means = means;
    t->merge = merge;
    t->finish = finish;
    t->append_k = append_k;
    t->append_v = append_v;
    t->close_k = close_k;
    t->close_v = close_v;
}
