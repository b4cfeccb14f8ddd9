/* The sublayers that families are put together from. */
#include "model/model.h"

void block_qkv(const layer *l, step *s, op *t)
{
    const linear_job jobs[] = {
        {.w = &l->wq, .bias = l->bq, .out = s->q, .ld_out = s->ld_q},
        {.w = &l->wk, .bias = l->bk, .out = s->k, .ld_out = s->ld_kv},
        {.w = &l->wv, .bias = l->bv, .out = s->v, .ld_out = s->ld_kv},
    };
    op_linear(t, &s->h, s->n_rows, jobs, 3);
}

void block_attend(const weights *w, int il, step *s, op *t)
{
    const hparams *h = &w->h;
    const layer *l = &w->layers[il];
    bool slides = layer_slides(h, il), own_rope = slides && h->rope_window.n_rot > 0;
    const rope_params *r = own_rope ? &h->rope_window : &h->rope;
    const attn_item *items = s->items + (size_t)il * (size_t)s->n_items;
    const attn_shape sh = {
        .n_head = h->n_head,
        .n_head_kv = h->n_head_kv,
        .head_dim = h->head_dim,
        .window = slides ? h->window : 0,
        .scale = h->attn_scale,
        .softcap = h->attn_softcap,
        .n_rot = r->n_rot,
        .rope_pairs = r->pairs,
        .rope = own_rope ? s->rope_window : s->rope,
        .q_norm = l->q_norm,
        .k_norm = l->k_norm,
        .eps = h->eps,
    };
    /* The flag is set here because every thread has read it since it was last set, and a barrier follows before
       the next layer. */
    if (t->tid == 0) s->stop = s->cancelled && s->cancelled(s->engine);
    step_trace(w, il, s, t);
    op_append(t, &sh, items, s->n_items, s->q, s->ld_q, s->k, s->v, s->ld_kv, &s->room);
    step_trace_attention(w, il, s, t);
    op_attend(t, &sh, items, s->n_items, s->q, s->ld_q, &s->room, &s->att);
}

void block_attn_out(const layer *l, step *s, op *t, bool to_y)
{
    const linear_job job = {.w = &l->wo, .bias = l->bo, .out = to_y ? s->y : s->x, .ld_out = s->ld_x, .add = !to_y};
    op_linear(t, &s->att, s->n_rows, &job, 1);
}

void block_dense(const layer *l, step *s, op *t, bool gelu, bool to_y)
{
    const linear_job half = {.w = &l->gate,
                             .up = &l->up,
                             .bias = l->b_gate,
                             .up_bias = l->b_up,
                             .gelu = gelu,
                             .out = s->ff.x,
                             .q = s->ff.q,
                             .ld_out = s->ff.ld};
    const linear_job down = {
        .w = &l->down, .bias = l->b_down, .out = to_y ? s->y : s->x, .ld_out = s->ld_x, .add = !to_y};
    op_linear(t, &s->h, s->n_rows, &half, 1);
    op_linear(t, &s->ff, s->n_rows, &down, 1);
}
