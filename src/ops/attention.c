/* Attention over KV pages. Two ways to share the work, one order of summation (kernels/attn.h):
   - prefill: a unit is one kv-head and a block of query rows; it walks the pages span by span and merges as it goes;
   - decoding at depth: a unit is one kv-head and one span of pages; the partial states are merged
     in order afterwards. */
#include "ops/attention.h"
#include "base/checked.h"
#include "ops/linear.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

enum { SPAN_TOKENS = OPS_SPAN_PAGES * KV_PAGE, FEW_ROWS = 16, SCRATCH_ALIGN = 64 };

/* A set of queries with their states: rows of one kv-head's group, one behind the other. */
typedef struct queries {
    int n, group, first_pos;
    float *q, *m, *s, *o;  /* o and q: n rows of head_dim */
    float *turned, *start; /* see attn_kernels.means: a row for each page of a span; NULL where K does not pack */
    act_block *qi;
    uint8_t *lo, *hi;
    float *total_m, *total_s, *total_o;
} queries;

static size_t attention_scratch_bytes(const op_limits *l)
{
    size_t n = (size_t)attn_sixteens(OPS_QUERY_BLOCK * l->max_group), blocks = (size_t)attn_blocks(l->max_head_dim);
    size_t each = 4 * (size_t)l->max_head_dim * sizeof(float) + blocks * sizeof(act_block) +
                  (4 + OPS_SPAN_PAGES) * sizeof(float) + 2;
    return align_up(n * each + 12 * SCRATCH_ALIGN, SCRATCH_ALIGN);
}

size_t op_scratch_bytes(const op_limits *l)
{
    return max_size(linear_scratch_bytes(l), attention_scratch_bytes(l));
}

size_t attn_open_bytes(int max_rows, int n_head_kv, int head_dim)
{
    return (size_t)(max_rows / PAGE) * (size_t)n_head_kv * 2 * attn_page_bytes(ATTN_F32, false, head_dim);
}

static void *take(unsigned char **at, size_t bytes)
{
    void *p = *at;
    *at += align_up(bytes, SCRATCH_ALIGN);
    return p;
}

/* Lays the arrays out in the thread's scratch and copies rows row..row+n_rows-1 of the item. */
static queries gather(const op *t, const attn_shape *sh, const attn_item *it, int head_kv, int row, int n_rows,
                      const float *q, size_t ld, const attn_room *room)
{
    unsigned char *at = t->scratch;
    int group = sh->n_head / sh->n_head_kv, n = n_rows * group, blocks = attn_blocks(sh->head_dim);
    size_t d = (size_t)sh->head_dim, bytes = (size_t)n * d * sizeof(float), few = (size_t)n * sizeof(float);
    queries u = {.n = n, .group = group, .first_pos = it->pos0 + row};
    u.q = take(&at, bytes);
    u.o = take(&at, bytes);
    u.total_o = take(&at, bytes);
    u.qi = take(&at, (size_t)n * (size_t)blocks * sizeof *u.qi);
    u.m = take(&at, few);
    u.s = take(&at, few);
    u.total_m = take(&at, few);
    u.total_s = take(&at, few);
    u.lo = take(&at, (size_t)n);
    u.hi = take(&at, (size_t)n);
    for (int i = 0; i < n_rows; i++) {
        int from = it->row0 + row + i;
        memcpy(u.q + (size_t)(i * group) * d, q + (size_t)from * ld + (size_t)(head_kv * group) * d,
               (size_t)group * d * sizeof *q);
        if (meets_closed(&it->pages.k, u.first_pos + i))
            memcpy(u.qi + i * group * blocks, query_blocks(sh, room, from, head_kv * group),
                   (size_t)(group * blocks) * sizeof *u.qi);
    }
    if (n >= ATTN_TURN_FROM && meets_closed(&it->pages.k, u.first_pos + n_rows - 1) && t->kernels->attn.turn) {
        u.turned = take(&at, (size_t)attn_sixteens(n) * d * sizeof(float));
        u.start = take(&at, OPS_SPAN_PAGES * (size_t)attn_sixteens(n) * sizeof(float));
        t->kernels->attn.turn(u.q, d, n, sh->head_dim, u.turned);
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

static void *page_in(unsigned char *block, const op_stream *s, op_form form, int head_kv)
{
    return block + s->offset[form] + (size_t)head_kv * s->head_stride[form];
}

/* The open form of a page that is begun and filled in this step. */
static void *step_page(const attn_shape *sh, const attn_item *it, const attn_room *room, int page, int head_kv,
                       bool is_v)
{
    size_t index = (size_t)(it->open0 + page - (it->pos0 + PAGE - 1) / PAGE);
    size_t bytes = attn_page_bytes(ATTN_F32, false, sh->head_dim);
    return room->open + ((index * (size_t)sh->n_head_kv + (size_t)head_kv) * 2 + is_v) * bytes;
}

attn_page page_of(const attn_shape *sh, const attn_item *it, const attn_room *room, int page, int head_kv, bool own)
{
    const op_pages *p = &it->pages;
    const bool closes = p->closing && page == it->pos0 / PAGE;
    const op_form form = own ? OP_OPEN : closes ? OP_CLOSED : (op_form)p->closed[page];
    unsigned char *block = closes && !own ? p->closing : p->block[page];
    attn_page out = {.k_format = p->k.format[form], .v_format = p->v.format[form]};
    if (own && p->closed[page]) {
        out.k = step_page(sh, it, room, page, head_kv, false);
        out.v = step_page(sh, it, room, page, head_kv, true);
    } else {
        out.k = page_in(block, &p->k, form, head_kv);
        out.v = page_in(block, &p->v, form, head_kv);
    }
    return out;
}

/* Sets what the queries see of a page: those that lie in it (own), those after it (later), or both. Returns whether any
   of them sees anything. */
static bool look(const attn_shape *sh, const queries *u, int page, bool own, bool later, attn_queries *a)
{
    const int last = u->first_pos + u->n / u->group - 1;
    bool any = false;
    if (page < u->first_pos / PAGE && first_visible(sh, last) <= page * PAGE) { /* nearly every page at depth */
        memset(u->lo, 0, (size_t)u->n);
        memset(u->hi, later ? PAGE : 0, (size_t)u->n);
        a->whole = later;
        return later;
    }
    a->whole = false;
    for (int i = 0; i < u->n; i++) {
        int pos = u->first_pos + i / u->group, base = page * PAGE;
        bool takes_part = pos / PAGE == page ? own : later;
        u->lo[i] = (uint8_t)min_int(max_int(first_visible(sh, pos) - base, 0), PAGE);
        u->hi[i] = takes_part ? (uint8_t)min_int(max_int(pos + 1 - base, 0), PAGE) : 0;
        any |= u->lo[i] < u->hi[i];
    }
    return any;
}

/* How an item's work is cut. Entries of the partial results: [kv-head][span][row][head of the group]. */
typedef struct cut {
    bool by_span;
    int first_span, n_spans, n_units, entry;
    int base; /* of its units among the call's */
} cut;

static int unit_head(const attn_shape *sh, int unit)
{
    return unit % sh->n_head_kv;
}

static int unit_span(const attn_shape *sh, const cut *c, int unit)
{
    return c->first_span + unit / sh->n_head_kv;
}

static int span_start(const attn_shape *sh, int span, int pos)
{
    return max_int(span * OPS_SPAN_PAGES, first_visible(sh, pos) / PAGE);
}

/* Says which page to fetch next. This is the next page of the head; or, at the end of a span, the first page of the
   unit that this thread will most likely take. A page that was not fetched takes more than three times as long. */
static void name_next(const op *t, const attn_shape *sh, const attn_item *it, const attn_room *room, const cut *c,
                      const queries *u, int head_kv, int page, attn_page *p)
{
    const int own = u->first_pos / PAGE, last = (u->first_pos + u->n / u->group - 1) / PAGE;
    int next = page + 1;
    if (c->by_span && (next % OPS_SPAN_PAGES == 0 || next > last)) {
        int unit = team_peek(t->team) - c->base;
        if (unit >= c->n_units) return;
        head_kv = unit_head(sh, unit);
        next = span_start(sh, unit_span(sh, c, unit), u->first_pos);
    }
    if (next > last) return;
    attn_page n = page_of(sh, it, room, next, head_kv, next >= own);
    p->next_k = n.k;
    p->next_v = n.v;
}

/* What the means of the pages from..to-1 add to the scores. All of them are closed and within one span. */
static void span_means(const op *t, const attn_shape *sh, const attn_item *it, const attn_room *room, int head_kv,
                       const queries *u, int from, int to)
{
    const void *k[OPS_SPAN_PAGES];
    for (int page = from; page < to; page++) k[page - from] = page_of(sh, it, room, page, head_kv, false).k;
    t->kernels->attn.means(u->turned, u->n, sh->head_dim, it->pages.k.format[OP_CLOSED], k, to - from, u->start);
}

/* Folds one span's pages into the queries' states, which start empty. */
static void fold_span(const op *t, const attn_shape *sh, const attn_item *it, const attn_room *room, const cut *c,
                      int head_kv, int span, const queries *u)
{
    const int first_own = u->first_pos / PAGE, last_own = (u->first_pos + u->n / u->group - 1) / PAGE;
    const int from = span_start(sh, span, u->first_pos);
    const int to = min_int((span + 1) * OPS_SPAN_PAGES, last_own + 1);
    const bool two_forms = packs(&it->pages.k) || packs(&it->pages.v);
    attn_queries a = {.n = u->n,
                      .head_dim = sh->head_dim,
                      .softcap = sh->softcap,
                      .q = u->q,
                      .ldq = (size_t)sh->head_dim,
                      .qi = u->qi,
                      .lo = u->lo,
                      .hi = u->hi,
                      .m = u->m,
                      .s = u->s,
                      .o = u->o,
                      .ldo = (size_t)sh->head_dim};
    const int first_mean = max_int(from, 1); /* page 0 is open */
    if (u->turned && first_mean < min_int(to, first_own))
        span_means(t, sh, it, room, head_kv, u, first_mean, min_int(to, first_own));
    empty(u->m, u->s, u->o, u->n, sh->head_dim);
    for (int page = from; page < to; page++) {
        bool own = page >= first_own;
        attn_page stored = page_of(sh, it, room, page, head_kv, own && !two_forms);
        name_next(t, sh, it, room, c, u, head_kv, page, &stored);
        bool known = u->turned && page >= first_mean && !own;
        a.start = known ? u->start + (size_t)(page - first_mean) * (size_t)attn_sixteens(u->n) : NULL;
        if (look(sh, u, page, !two_forms, true, &a)) t->kernels->attn.fold(&a, &stored);
        if (!own || !two_forms) continue;
        attn_page open = page_of(sh, it, room, page, head_kv, true);
        if (look(sh, u, page, true, false, &a)) t->kernels->attn.fold(&a, &open);
    }
}

/* Whether heads are quantised as soon as they are finished: those of whole blocks are. */
static bool by_head(const attn_shape *sh, const acts *out)
{
    return out->q && sh->head_dim % ACT_BLOCK == 0;
}

/* Quantises n heads from `head` on, of some rows. */
static void quantise_heads(const op *t, const attn_shape *sh, int row, int rows, int head, int n, acts *out)
{
    const size_t at = (size_t)row * out->ld + (size_t)head * (size_t)sh->head_dim, ldq = out->ld / ACT_BLOCK;
    if (by_head(sh, out))
        t->kernels->linear.quantise(out->x + at, out->ld, rows, n * sh->head_dim, out->q + at / ACT_BLOCK, ldq);
}

/* Finishes n heads of a row from `head` on, whose states lie one behind the other. */
static void write_heads(const op *t, const attn_shape *sh, const float *m, const float *s, const float *o, bool rotated,
                        int row, int head, int n, acts *out)
{
    const int d = sh->head_dim;
    const size_t at = (size_t)row * out->ld + (size_t)head * (size_t)d;
    for (int i = 0; i < n; i++) {
        float *to = out->x + at + i * d;
        t->kernels->attn.finish(m[i], s[i], o + i * d, sh->sinks ? sh->sinks + head + i : NULL, d, to);
        if (rotated) t->kernels->vec.hadamard(to, d);
    }
}

static void attend_block(const op *t, const attn_shape *sh, const attn_item *it, const cut *c, int head_kv, int row,
                         int n_rows, const float *q, size_t ld, const attn_room *room, acts *out)
{
    queries u = gather(t, sh, it, head_kv, row, n_rows, q, ld, room);
    int last = u.first_pos + n_rows - 1;
    size_t d = (size_t)sh->head_dim;
    empty(u.total_m, u.total_s, u.total_o, u.n, sh->head_dim);
    for (int span = first_visible(sh, u.first_pos) / SPAN_TOKENS; span <= last / SPAN_TOKENS; span++) {
        fold_span(t, sh, it, room, c, head_kv, span, &u);
        for (int i = 0; i < u.n; i++)
            if (u.s[i] > 0)
                t->kernels->attn.merge(&u.total_m[i], &u.total_s[i], u.total_o + (size_t)i * d, u.m[i], u.s[i],
                                       u.o + (size_t)i * d, sh->head_dim);
    }
    for (int i = 0; i < u.n; i += u.group)
        write_heads(t, sh, &u.total_m[i], &u.total_s[i], u.total_o + (size_t)i * d, rotates(&it->pages.v),
                    it->row0 + row + i / u.group, head_kv * u.group, u.group, out);
    quantise_heads(t, sh, it->row0 + row, n_rows, head_kv * u.group, u.group, out);
}

/* One span for all rows of an item. Its states go into the partial results from entry `at` on: [row][head
   of the group]. */
static void attend_span(const op *t, const attn_shape *sh, const attn_item *it, const cut *c, int head_kv, int span,
                        const float *q, size_t ld, const attn_room *p, int at)
{
    queries u = gather(t, sh, it, head_kv, 0, it->n, q, ld, p);
    size_t d = (size_t)sh->head_dim;
    fold_span(t, sh, it, p, c, head_kv, span, &u);
    memcpy(p->m + at, u.m, (size_t)u.n * sizeof *u.m);
    memcpy(p->s + at, u.s, (size_t)u.n * sizeof *u.s);
    memcpy(p->o + (size_t)at * d, u.o, (size_t)u.n * d * sizeof *u.o);
}

/* Blocks of query rows are cut at multiples of OPS_QUERY_BLOCK positions, so that each lies in one page. */
static int n_blocks(const attn_item *it)
{
    return (it->pos0 + it->n - 1) / OPS_QUERY_BLOCK - it->pos0 / OPS_QUERY_BLOCK + 1;
}

static cut cut_item(const attn_shape *sh, const attn_item *it, const attn_room *p, int *entries)
{
    cut c = {.first_span = first_visible(sh, it->pos0) / SPAN_TOKENS};
    c.n_spans = (it->pos0 + it->n - 1) / SPAN_TOKENS - c.first_span + 1;
    int need = c.n_spans * it->n * sh->n_head;
    c.by_span = it->n <= FEW_ROWS && c.n_spans > 1 && need <= p->entries - *entries;
    c.entry = *entries;
    if (c.by_span) *entries += need;
    c.n_units = sh->n_head_kv * (c.by_span ? c.n_spans : n_blocks(it));
    return c;
}

static void attend_unit(const op *t, const attn_shape *sh, const attn_item *it, const cut *c, int unit, const float *q,
                        size_t ld, const attn_room *p, acts *out)
{
    int head_kv = unit_head(sh, unit), part = unit / sh->n_head_kv, group = sh->n_head / sh->n_head_kv;
    if (c->by_span) {
        int entry = c->entry + (head_kv * c->n_spans + part) * it->n * group;
        attend_span(t, sh, it, c, head_kv, unit_span(sh, c, unit), q, ld, p, entry);
    } else {
        /* The last rows see the most: they go first, so that the threads finish together. */
        int block = it->pos0 / OPS_QUERY_BLOCK + n_blocks(it) - 1 - part;
        int from = max_int(block * OPS_QUERY_BLOCK, it->pos0),
            to = min_int((block + 1) * OPS_QUERY_BLOCK, it->pos0 + it->n);
        attend_block(t, sh, it, c, head_kv, from - it->pos0, to - from, q, ld, p, out);
    }
}

/* Merges the spans of one head of one row, in order. */
static void merge_spans(const op *t, const attn_shape *sh, const attn_item *it, const cut *c, int row, int head,
                        const attn_room *p, acts *out)
{
    int group = sh->n_head / sh->n_head_kv, stride = it->n * group;
    int entry = c->entry + head / group * c->n_spans * stride + row * group + head % group;
    size_t d = (size_t)sh->head_dim;
    float m, s, *o = (float *)(void *)t->scratch;
    empty(&m, &s, o, 1, sh->head_dim);
    for (int i = 0; i < c->n_spans; i++, entry += stride)
        if (p->s[entry] > 0)
            t->kernels->attn.merge(&m, &s, o, p->m[entry], p->s[entry], p->o + (size_t)entry * d, sh->head_dim);
    write_heads(t, sh, &m, &s, o, rotates(&it->pages.v), it->row0 + row, head, 1, out);
}

/* Merges every item that was cut by span. The cuts are computed again, and come out as they did when the work was
   shared out. Each thread has one run of heads; the heads of a row follow those of the row before it. */
static void merge_items(const op *t, const attn_shape *sh, const attn_item *items, int n_items, const attn_room *p,
                        acts *out)
{
    int total = 0, entries = 0, base = 0;
    for (int i = 0; i < n_items; i++)
        if (cut_item(sh, &items[i], p, &entries).by_span) total += items[i].n * sh->n_head;
    const int from = total * t->tid / t->n_threads, to = total * (t->tid + 1) / t->n_threads;
    entries = 0;
    for (int i = 0; i < n_items; i++) {
        cut c = cut_item(sh, &items[i], p, &entries);
        for (int row = 0; c.by_span && row < items[i].n; row++, base += sh->n_head) {
            int head = max_int(from - base, 0), end = min_int(to - base, sh->n_head);
            if (head >= end) continue;
            for (int h = head; h < end; h++) merge_spans(t, sh, &items[i], &c, row, h, p, out);
            quantise_heads(t, sh, items[i].row0 + row, 1, head, end - head, out);
        }
    }
}

void op_attend(op *t, const attn_shape *sh, const attn_item *items, int n_items, const float *q, size_t ld_q,
               const attn_room *room, acts *out)
{
    int base = 0, entries = 0, unit = team_next(t->team);
    for (int i = 0; i < n_items; i++) {
        cut c = cut_item(sh, &items[i], room, &entries);
        c.base = base;
        for (; unit < base + c.n_units; unit = team_next(t->team))
            attend_unit(t, sh, &items[i], &c, unit - base, q, ld_q, room, out);
        base += c.n_units;
    }
    team_barrier(t->team);
    if (entries > 0) {
        merge_items(t, sh, items, n_items, room, out);
        team_barrier(t->team);
    }
    if (!by_head(sh, out)) op_quantise(t, out, n_items ? items[n_items - 1].row0 + items[n_items - 1].n : 0);
}
