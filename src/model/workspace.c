/* The buffers of a step. They are laid out before they are allocated, so that their size is known before
   anything is loaded. */
#include "base/checked.h"
#include "model/model.h"

enum { BUFFER_ALIGN = 64, LD_UNIT = ACT_BLOCK, PARTIAL_TOKENS = 1 << 17, PARTIAL_ROWS = 4, PAGE_BYTES = 4096 };

/* Lays buffers out one behind the other. With base NULL only the size grows. */
typedef struct drawing {
    unsigned char *base;
    size_t used;
} drawing;

static void *draw(drawing *d, size_t count, size_t size)
{
    void *p = d->base ? d->base + d->used : NULL;
    d->used += align_up(count * size, BUFFER_ALIGN);
    return p;
}

static acts draw_acts(drawing *d, int rows, int k)
{
    acts a = {.ld = align_up((size_t)k, LD_UNIT), .k = k};
    a.x = draw(d, (size_t)rows * a.ld, sizeof *a.x);
    a.q = draw(d, (size_t)rows * (a.ld / ACT_BLOCK), sizeof *a.q);
    if (k % ACT_BLOCK) a.q = NULL; /* no integer kind has such rows */
    return a;
}

/* Partial results for a few rows at the longest context, or for more at shorter ones. */
static int partial_entries(const hparams *h)
{
    int tokens = min_int(h->n_ctx, PARTIAL_TOKENS);
    return PARTIAL_ROWS * (tokens / (OPS_SPAN_PAGES * KV_PAGE) + 1) * h->n_head;
}

static void draw_room(drawing *d, attn_room *r, const hparams *h, int max_rows)
{
    r->entries = partial_entries(h);
    r->m = draw(d, (size_t)r->entries, sizeof *r->m);
    r->s = draw(d, (size_t)r->entries, sizeof *r->s);
    r->o = draw(d, (size_t)r->entries * (size_t)h->head_dim, sizeof *r->o);
    r->qi = draw(d, (size_t)max_rows * (size_t)(h->n_head * attn_blocks(h->head_dim)), sizeof *r->qi);
    r->open = draw(d, attn_open_bytes(max_rows, h->n_head_kv, h->head_dim), 1);
}

static void draw_moe(drawing *d, step *s, const hparams *h, int n)
{
    int grouped = n * h->n_expert_used;
    moe_room *m = &s->moe;
    m->router = draw(d, (size_t)n * align_up((size_t)h->n_expert, PANEL_ROWS), sizeof(float));
    m->weight = draw(d, (size_t)grouped, sizeof(float));
    m->expert = draw(d, (size_t)grouped, sizeof(int));
    m->slot = draw(d, (size_t)grouped, sizeof(int));
    m->row_of = draw(d, (size_t)grouped, sizeof(int));
    m->first = draw(d, (size_t)h->n_expert + 1, sizeof(int));
    m->in = draw_acts(d, grouped, h->n_embd);
    m->mid = draw_acts(d, grouped, h->n_ff);
    m->ld_out = align_up((size_t)h->n_embd, LD_UNIT);
    m->out = draw(d, (size_t)grouped * m->ld_out, sizeof(float));
}

size_t step_layout(step *s, const weights *w, int max_rows, int n_threads, unsigned char *base)
{
    const hparams *h = &w->h;
    drawing d = {.base = base};
    size_t n = (size_t)max_rows;
    s->ld_x = align_up((size_t)h->n_embd, LD_UNIT);
    s->ld_q = align_up((size_t)(h->n_head * h->head_dim), LD_UNIT);
    s->ld_kv = align_up((size_t)(h->n_head_kv * h->head_dim), LD_UNIT);
    s->x = draw(&d, n * s->ld_x, sizeof(float));
    s->y = draw(&d, n * s->ld_x, sizeof(float));
    s->q = draw(&d, n * s->ld_q, sizeof(float));
    s->k = draw(&d, n * s->ld_kv, sizeof(float));
    s->v = draw(&d, n * s->ld_kv, sizeof(float));
    s->h = draw_acts(&d, max_rows, h->n_embd);
    s->att = draw_acts(&d, max_rows, h->n_head * h->head_dim);
    s->rope = draw(&d, n * (size_t)h->rope.n_rot, sizeof(float));
    s->rope_window = draw(&d, n * (size_t)h->rope_window.n_rot, sizeof(float));
    draw_room(&d, &s->room, h, max_rows);
    s->raw_row_bytes = align_up((size_t)w->embedding->row_bytes, BUFFER_ALIGN);
    s->raw_rows = draw(&d, (size_t)n_threads, s->raw_row_bytes);
    if (h->n_expert > 0)
        draw_moe(&d, s, h, max_rows);
    else
        s->ff = draw_acts(&d, max_rows, h->n_ff);
    return d.used;
}

op_limits model_limits(const weights *w, int max_rows)
{
    const hparams *h = &w->h;
    return (op_limits){.max_rows = max_rows,
                       .max_k = max_int(max_int(h->n_embd, h->n_ff), h->n_head * h->head_dim),
                       .max_group = h->n_head / h->n_head_kv,
                       .max_head_dim = h->head_dim,
                       .raw = w->has_raw};
}

void step_workspace_of(const weights *w, int max_batch, int max_logits, int n_threads, step_workspace *out)
{
    step s = {0};
    *out = (step_workspace){.limits = model_limits(w, max_batch)};
    out->scratch_bytes = align_up(op_scratch_bytes(&out->limits), PAGE_BYTES);
    out->step_bytes = align_up(step_layout(&s, w, max_batch, n_threads, NULL), PAGE_BYTES);
    out->bytes = out->step_bytes + (size_t)n_threads * out->scratch_bytes;
    out->logits_bytes = (size_t)max_logits * align_up((size_t)w->h.n_vocab, PANEL_ROWS) * sizeof(float);
    out->items = (size_t)w->h.n_layer * (size_t)max_batch;
}
