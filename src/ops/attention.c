/* Attention over KV pages. Two ways to share the work, one order of summation (kernels/attn.h):
   - prefill: a unit is one kv-head and a block of query rows; it walks the pages span by span and merges as
   it goes;
   - decoding at depth: a unit is one kv-head and one span of pages; the partial states are merged in order
   afterwards. */
#include "base/checked.h"
#include "ops/linear.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

enum { PAGE = KV_PAGE, SPAN_TOKENS = OPS_SPAN_PAGES * KV_PAGE, FEW_ROWS = 4, SCRATCH_ALIGN = 64 };

/* A set of queries with their states: rows of one kv-head's group, one behind the other. */
typedef struct queries {
    int n, group, first_pos;
    float *q, *m, *s, *o; /* o and q: n rows of head_dim */
    uint8_t *lo, *hi;
    float *total_m, *total_s, *total_o;
} queries;

static size_t attention_scratch_bytes(const op_limits *l)
{
    size_t n = (size_t)OPS_QUERY_BLOCK * (size_t)l->max_group;
    return align_up(n * (3 * (size_t)l->max_head_dim * sizeof(float) + 4 * sizeof(float) + 2) + 8 * SCRATCH_ALIGN,
                    SCRATCH_ALIGN);
}

size_t op_scratch_bytes(const op_limits *l)
{
    return max_size(linear_scratch_bytes(l), attention_scratch_bytes(l));
}

static void *take(unsigned char **at, size_t bytes)
{
    void *p = *at;
    *at += align_up(bytes, SCRATCH_ALIGN);
    return p;
}

/* Lays the arrays out in the thread's scratch and copies rows row..row+n_rows-1 of the item, scaled. */
static queries gather(const op *t, const attn_shape *sh, const attn_item *it, int head_kv, int row, int n_rows,
                      const float *q, size_t ld)
{
    unsigned char *at = t->scratch;
    int group = sh->n_head / sh->n_head_kv, n = n_rows * group;
    size_t d = (size_t)sh->head_dim, bytes = (size_t)n * d * sizeof(float), few = (size_t)n * sizeof(float);
    queries u = {.n = n, .group = group, .first_pos = it->pos0 + row};
    u.q = take(&at, bytes);
    u.o = take(&at, bytes);
    u.total_o = take(&at, bytes);
    u.m = take(&at, few);
    u.s = take(&at, few);
    u.total_m = take(&at, few);
    u.total_s = take(&at, few);
    u.lo = take(&at, (size_t)n);
    u.hi = take(&at, (size_t)n);
    for (int i = 0; i < n_rows; i++) {
        float *to = u.q + (size_t)(i * group) * d;
        memcpy(to, q + (size_t)(it->row0 + row + i) * ld + (size_t)(head_kv * group) * d,
               (size_t)group * d * sizeof *to);
        t->kernels->vec.scale(to, sh->scale, group * sh->head_dim);
    }
    return u;
}

static void empty(float *m, float *s, float *o, int n, int head_dim)
{
    for (int i = 0; i < n; i++) m[i] = -INFINITY, s[i] = 0;
    memset(o, 0, (size_t)n * (size_t)head_dim * sizeof *o);
}

static int first_visible(const attn_shape *sh, int pos)
{
    return sh->window > 0 && pos >= sh->window ? pos - sh->window + 1 : 0;
}

static void *k_page(const op_pages *p, int page, int head_kv)
{
    return p->block[page] + p->k_offset + (size_t)head_kv * p->k_page;
}

static void *v_page(const op_pages *p, int page, int head_kv)
{
    return p->block[page] + p->v_offset + (size_t)head_kv * p->v_page;
}

/* Folds one span's pages into the queries' states, which start empty. */
static void fold_span(const op *t, const attn_shape *sh, const op_pages *pages, int head_kv, int span, const queries *u)
{
    const int last_pos = u->first_pos + u->n / u->group - 1;
    const int from = max_int(span * OPS_SPAN_PAGES, first_visible(sh, u->first_pos) / PAGE);
    const int to = min_int((span + 1) * OPS_SPAN_PAGES, last_pos / PAGE + 1);
    attn_queries a = {.n = u->n,
                      .head_dim = sh->head_dim,
                      .softcap = sh->softcap,
                      .q = u->q,
                      .ldq = (size_t)sh->head_dim,
                      .lo = u->lo,
                      .hi = u->hi,
                      .m = u->m,
                      .s = u->s,
                      .o = u->o,
                      .ldo = (size_t)sh->head_dim};
    empty(u->m, u->s, u->o, u->n, sh->head_dim);
    for (int page = from; page < to; page++) {
        for (int i = 0; i < u->n; i++) {
            int pos = u->first_pos + i / u->group, base = page * PAGE;
            u->lo[i] = (uint8_t)min_int(max_int(first_visible(sh, pos) - base, 0), PAGE);
            u->hi[i] = (uint8_t)min_int(max_int(pos + 1 - base, 0), PAGE);
        }
        const void *k = k_page(pages, page, head_kv), *v = v_page(pages, page, head_kv);
        a.next_k = page + 1 < to ? k_page(pages, page + 1, head_kv) : NULL;
        if (pages->f32)
            t->kernels->attn.page_f32(&a, k, v);
        else
            t->kernels->attn.page_f16(&a, k, v);
    }
}

static void write_out(const op *t, const attn_shape *sh, const float *m, const float *s, const float *o, int row,
                      int head, acts *out)
{
    t->kernels->attn.finish(*m, *s, o, sh->sinks ? sh->sinks + head : NULL, sh->head_dim,
                            out->x + (size_t)row * out->ld + (size_t)head * (size_t)sh->head_dim);
}

static void attend_block(const op *t, const attn_shape *sh, const attn_item *it, int head_kv, int row, int n_rows,
                         const float *q, size_t ld, acts *out)
{
    queries u = gather(t, sh, it, head_kv, row, n_rows, q, ld);
    int last = u.first_pos + n_rows - 1;
    size_t d = (size_t)sh->head_dim;
    empty(u.total_m, u.total_s, u.total_o, u.n, sh->head_dim);
    for (int span = first_visible(sh, u.first_pos) / SPAN_TOKENS; span <= last / SPAN_TOKENS; span++) {
        fold_span(t, sh, &it->pages, head_kv, span, &u);
        for (int i = 0; i < u.n; i++)
            if (u.s[i] > 0)
                t->kernels->attn.merge(&u.total_m[i], &u.total_s[i], u.total_o + (size_t)i * d, u.m[i], u.s[i],
                                       u.o + (size_t)i * d, sh->head_dim);
    }
    for (int i = 0; i < u.n; i++)
        write_out(t, sh, &u.total_m[i], &u.total_s[i], u.total_o + (size_t)i * d, it->row0 + row + i / u.group,
                  head_kv * u.group + i % u.group, out);
}

/* One span for all rows of an item, into the partial results from entry `at` on: [row][head of the group]. */
static void attend_span(const op *t, const attn_shape *sh, const attn_item *it, int head_kv, int span, const float *q,
                        size_t ld, const attn_partial *p, int at)
{
    queries u = gather(t, sh, it, head_kv, 0, it->n, q, ld);
    size_t d = (size_t)sh->head_dim;
    fold_span(t, sh, &it->pages, head_kv, span, &u);
    memcpy(p->m + at, u.m, (size_t)u.n * sizeof *u.m);
    memcpy(p->s + at, u.s, (size_t)u.n * sizeof *u.s);
    memcpy(p->o + (size_t)at * d, u.o, (size_t)u.n * d * sizeof *u.o);
}

/* How an item's work is cut. Entries of the partial results: [kv-head][span][row][head of the group]. */
typedef struct cut {
    bool by_span;
    int first_span, n_spans, n_units, entry;
} cut;

static cut cut_item(const attn_shape *sh, const attn_item *it, const attn_partial *p, int *entries)
{
    cut c = {.first_span = first_visible(sh, it->pos0) / SPAN_TOKENS};
    c.n_spans = (it->pos0 + it->n - 1) / SPAN_TOKENS - c.first_span + 1;
    int need = c.n_spans * it->n * sh->n_head;
    c.by_span = it->n <= FEW_ROWS && c.n_spans > 1 && need <= p->room - *entries;
    c.entry = *entries;
    if (c.by_span) *entries += need;
    c.n_units = sh->n_head_kv * (c.by_span ? c.n_spans : (it->n + OPS_QUERY_BLOCK - 1) / OPS_QUERY_BLOCK);
    return c;
}

static void attend_unit(const op *t, const attn_shape *sh, const attn_item *it, const cut *c, int unit, const float *q,
                        size_t ld, const attn_partial *p, acts *out)
{
    int head_kv = unit % sh->n_head_kv, part = unit / sh->n_head_kv, group = sh->n_head / sh->n_head_kv;
    if (c->by_span) {
        int entry = c->entry + (head_kv * c->n_spans + part) * it->n * group;
        attend_span(t, sh, it, head_kv, c->first_span + part, q, ld, p, entry);
    } else {
        /* The last rows see the most: they go first, so that the threads finish together. */
        int blocks = c->n_units / sh->n_head_kv, row = (blocks - 1 - part) * OPS_QUERY_BLOCK;
        attend_block(t, sh, it, head_kv, row, min_int(OPS_QUERY_BLOCK, it->n - row), q, ld, out);
    }
}

/* Merges the spans of one head of one row, in order. */
static void merge_spans(const op *t, const attn_shape *sh, const attn_item *it, const cut *c, int row, int head,
                        const attn_partial *p, acts *out)
{
    int group = sh->n_head / sh->n_head_kv, stride = it->n * group;
    int entry = c->entry + head / group * c->n_spans * stride + row * group + head % group;
    size_t d = (size_t)sh->head_dim;
    float m, s, *o = (float *)(void *)t->scratch;
    empty(&m, &s, o, 1, sh->head_dim);
    for (int i = 0; i < c->n_spans; i++, entry += stride)
        if (p->s[entry] > 0)
            t->kernels->attn.merge(&m, &s, o, p->m[entry], p->s[entry], p->o + (size_t)entry * d, sh->head_dim);
    write_out(t, sh, &m, &s, o, it->row0 + row, head, out);
}

/* Merges every item that was cut by span; the cuts come out as they did when the work was shared out. */
static void merge_items(const op *t, const attn_shape *sh, const attn_item *items, int n_items, const attn_partial *p,
                        acts *out)
{
    int entries = 0, work = 0;
    for (int i = 0; i < n_items; i++) {
        cut c = cut_item(sh, &items[i], p, &entries);
        for (int j = 0; c.by_span && j < items[i].n * sh->n_head; j++, work++)
            if (work % t->n_threads == t->tid)
                merge_spans(t, sh, &items[i], &c, j / sh->n_head, j % sh->n_head, p, out);
    }
}

void op_attend(op *t, const attn_shape *sh, const attn_item *items, int n_items, const float *q, size_t ld_q,
               const attn_partial *partial, acts *out)
{
    int base = 0, entries = 0, unit = team_next(t->team);
    for (int i = 0; i < n_items; i++) {
        cut c = cut_item(sh, &items[i], partial, &entries);
        for (; unit < base + c.n_units; unit = team_next(t->team))
            attend_unit(t, sh, &items[i], &c, unit - base, q, ld_q, partial, out);
        base += c.n_units;
    }
    team_barrier(t->team);
    if (entries > 0) {
        merge_items(t, sh, items, n_items, partial, out);
        team_barrier(t->team);
    }
    op_quantise(t, out, n_items ? items[n_items - 1].row0 + items[n_items - 1].n : 0);
}

/* Rows row..row+n-1 of an item, which lie in one page, for one kv-head and its group of query heads. */
static void append_piece(const op *t, const attn_shape *sh, const attn_item *it, int head_kv, int row, int n, float *q,
                         size_t ld_q, float *k, const float *v, size_t ld_kv)
{
    const vec_kernels *vec = &t->kernels->vec;
    void (*rope)(float *, int, int, int, const float *) = sh->rope_pairs ? vec->rope_pairs : vec->rope_half;
    const int d = sh->head_dim, group = sh->n_head / sh->n_head_kv, pos = it->pos0 + row, first = it->row0 + row;
    const op_pages *p = &it->pages;
    float *kh = k + (size_t)first * ld_kv + (size_t)head_kv * (size_t)d;
    for (int i = 0; i < n; i++) {
        const float *cs = sh->rope + (size_t)(first + i) * (size_t)sh->n_rot;
        float *qh = q + (size_t)(first + i) * ld_q + (size_t)(head_kv * group) * (size_t)d,
              *ki = kh + (size_t)i * ld_kv;
        for (int g = 0; sh->q_norm && g < group; g++) vec->rmsnorm(qh + g * d, sh->q_norm, sh->eps, d, qh + g * d);
        if (sh->k_norm) vec->rmsnorm(ki, sh->k_norm, sh->eps, d, ki);
        if (sh->n_rot > 0) {
            rope(qh, group, d, sh->n_rot, cs);
            rope(ki, 1, d, sh->n_rot, cs);
        }
    }
    void *to_k = k_page(p, pos / PAGE, head_kv), *to_v = v_page(p, pos / PAGE, head_kv);
    const float *vh = v + (size_t)first * ld_kv + (size_t)head_kv * (size_t)d;
    if (p->f32)
        t->kernels->attn.append_f32(kh, ld_kv, vh, ld_kv, n, pos % PAGE, d, to_k, to_v);
    else
        t->kernels->attn.append_f16(kh, ld_kv, vh, ld_kv, n, pos % PAGE, d, to_k, to_v);
}

void op_append(op *t, const attn_shape *sh, const attn_item *items, int n_items, float *q, size_t ld_q, float *k,
               const float *v, size_t ld_kv)
{
    int base = 0, unit = team_next(t->team);
    for (int i = 0; i < n_items; i++) {
        const attn_item *it = &items[i];
        int first_page = it->pos0 / PAGE, pages = (it->pos0 + it->n - 1) / PAGE - first_page + 1;
        int units = pages * sh->n_head_kv;
        for (; unit < base + units; unit = team_next(t->team)) {
            int page = first_page + (unit - base) / sh->n_head_kv;
            int from = max_int(page * PAGE, it->pos0), to = min_int((page + 1) * PAGE, it->pos0 + it->n);
            append_piece(t, sh, it, (unit - base) % sh->n_head_kv, from - it->pos0, to - from, q, ld_q, k, v, ld_kv);
        }
        base += units;
    }
    team_barrier(t->team);
}
