/* What comes before attention: queries are prepared, and new rows of K and V go into the pages. A unit is one kv-head and
   one page. */
#include "ops/attention.h"
#include "base/checked.h"
#include "base/finite.h"

#include <string.h>

/* Norm, rope and scale of one row's query heads of a group. */
static void prepare_queries(const op *t, const attn_shape *sh, const attn_item *it, float *q, const float *cs)
{
    const vec_kernels *vec = &t->kernels->vec;
    const int d = sh->head_dim, group = sh->n_head / sh->n_head_kv;
    for (int g = 0; sh->q_norm && g < group; g++) vec->rmsnorm(q + g * d, sh->q_norm, sh->eps, d, q + g * d);
    if (sh->n_rot > 0) (sh->rope_pairs ? vec->rope_pairs : vec->rope_half)(q, group, d, sh->n_rot, cs);
    vec->scale(q, sh->scale, group * d);
    for (int g = 0; rotates(&it->pages.k) && g < group; g++) vec->hadamard(q + g * d, d);
}

/* n rows' query heads of a group as integers; a head that is not whole blocks is padded with zeros. */
static void quantise_queries(const op *t, const attn_shape *sh, int row, int n, int head, const float *q, size_t ld,
                             const attn_room *room)
{
    const int d = sh->head_dim, group = sh->n_head / sh->n_head_kv, blocks = attn_blocks(d);
    const linear_kernels *linear = &t->kernels->linear;
    float padded[ATTN_MAX_DIM];
    if (d % ACT_BLOCK == 0) {
        linear->quantise(q, ld, n, group * d, query_blocks(sh, room, row, head), (size_t)(sh->n_head * blocks));
        return;
    }
    for (int i = 0; i < n * group; i++) {
        memset(padded, 0, sizeof padded);
        memcpy(padded, q + (size_t)(i / group) * ld + i % group * d, (size_t)d * sizeof *q);
        linear->quantise(padded, 0, 1, blocks * ACT_BLOCK, query_blocks(sh, room, row + i / group, head + i % group),
                         0);
    }
}

static void prepare_key(const op *t, const attn_shape *sh, const attn_item *it, float *k, const float *cs)
{
    const vec_kernels *vec = &t->kernels->vec;
    if (sh->k_norm) vec->rmsnorm(k, sh->k_norm, sh->eps, sh->head_dim, k);
    if (sh->n_rot > 0) (sh->rope_pairs ? vec->rope_pairs : vec->rope_half)(k, 1, sh->head_dim, sh->n_rot, cs);
    if (rotates(&it->pages.k)) vec->hadamard(k, sh->head_dim);
}

/* One stream's full open page in its closed form; where only the other stream packs, the form is the same. */
static void close_page(const op_stream *s, void (*pack)(attn_format, const uint16_t *, int, void *), const void *open,
                       int head_dim, void *closed)
{
    if (packs(s))
        pack(s->format[OP_CLOSED], open, head_dim, closed);
    else
        memcpy(closed, open, s->page_bytes[OP_CLOSED]);
}

/* Scores against NaN, and rounding to integers, hide what is not a number: here it would be seen last. */
static void watch_numbers(const attn_shape *sh, const attn_room *room, attn_format v_format, int n, const float *q,
                          size_t ld_q, const float *k, const float *v, size_t ld_kv)
{
    const int d = sh->head_dim, group = sh->n_head / sh->n_head_kv;
    bool finite = true;
    int beyond = 0;
    for (int i = 0; i < n; i++, q += ld_q, k += ld_kv, v += ld_kv) {
        finite = is_finite(q, group * d) && is_finite(k, d) && is_finite(v, d) && finite;
        if (v_format == ATTN_F16) beyond += beyond_f16(v, d);
    }
    if (!finite && room->not_finite) __atomic_store_n(room->not_finite, true, __ATOMIC_RELAXED);
    if (beyond && room->v_overflows) __atomic_fetch_add(room->v_overflows, beyond, __ATOMIC_RELAXED);
}

/* Rows row..row+n-1 of an item, which lie in one page, for one kv-head and its group of query heads. */
static void append_piece(const op *t, const attn_shape *sh, const attn_item *it, int head_kv, int row, int n, float *q,
                         size_t ld_q, float *k, float *v, size_t ld_kv, const attn_room *room)
{
    const attn_kernels *attn = &t->kernels->attn;
    const int d = sh->head_dim, group = sh->n_head / sh->n_head_kv, pos = it->pos0 + row, first = it->row0 + row;
    const int page = pos / PAGE;
    const op_pages *p = &it->pages;
    float *qh = q + (size_t)first * ld_q + (size_t)(head_kv * group) * (size_t)d;
    float *kh = k + (size_t)first * ld_kv + (size_t)head_kv * (size_t)d;
    float *vh = v + (size_t)first * ld_kv + (size_t)head_kv * (size_t)d;
    for (int i = 0; i < n; i++) {
        const float *cs = sh->rope + (size_t)(first + i) * (size_t)sh->n_rot;
        prepare_queries(t, sh, it, qh + (size_t)i * ld_q, cs);
        prepare_key(t, sh, it, kh + (size_t)i * ld_kv, cs);
        if (rotates(&p->v)) t->kernels->vec.hadamard(vh + (size_t)i * ld_kv, d);
    }
    if (meets_closed(&p->k, pos)) quantise_queries(t, sh, first, n, head_kv * group, qh, ld_q, room);
    attn_page open = page_of(sh, it, room, page, head_kv, true);
    watch_numbers(sh, room, open.v_format, n, qh, ld_q, kh, vh, ld_kv);
    attn->append_k(open.k_format, kh, ld_kv, n, pos % PAGE, d, (void *)open.k);
    attn->append_v(open.v_format, vh, ld_kv, n, pos % PAGE, d, (void *)open.v);
    if (p->closed[page] || (p->closing && page == it->pos0 / PAGE && (pos + n) % PAGE == 0)) {
        attn_page closed = page_of(sh, it, room, page, head_kv, false);
        close_page(&p->k, attn->close_k, open.k, d, (void *)closed.k);
        close_page(&p->v, attn->close_v, open.v, d, (void *)closed.v);
    }
}

void op_append(op *t, const attn_shape *sh, const attn_item *items, int n_items, float *q, size_t ld_q, float *k,
               float *v, size_t ld_kv, const attn_room *room)
{
    int base = 0, unit = team_next(t->team);
    for (int i = 0; i < n_items; i++) {
        const attn_item *it = &items[i];
        int first_page = it->pos0 / PAGE, pages = (it->pos0 + it->n - 1) / PAGE - first_page + 1;
        int units = pages * sh->n_head_kv;
        for (; unit < base + units; unit = team_next(t->team)) {
            int page = first_page + (unit - base) / sh->n_head_kv;
            int from = max_int(page * PAGE, it->pos0), to = min_int((page + 1) * PAGE, it->pos0 + it->n);
            append_piece(t, sh, it, (unit - base) % sh->n_head_kv, from - it->pos0, to - from, q, ld_q, k, v, ld_kv,
                         room);
        }
        base += units;
    }
    team_barrier(t->team);
}
