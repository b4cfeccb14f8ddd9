/* qwen3moe: Qwen3 with routed experts instead of the dense feed-forward (arXiv:2505.09388). The router's softmax runs
   over all experts; the chosen weights are normalised to sum 1. */
#include "model/model.h"

static kvasir_status qwen3moe_hparams(const gguf *g, hparams *h)
{
    uint32_t n_ff = 0;
    if (h->n_expert < 1) return fail(KVASIR_E_FORMAT, "key qwen3moe.expert_count is missing");
    TRY(gguf_get_u32(g, "qwen3moe.expert_feed_forward_length", true, 1, MODEL_MAX_FF, &n_ff));
    h->n_ff = (int)n_ff;
    return KVASIR_OK;
}

static kvasir_status qwen3moe_bind(binder *b, weights *w, int il)
{
    TRY(bind_attention(b, w, il));
    TRY(bind_head_norms(b, w, il));
    return bind_routed(b, w, il);
}

static void qwen3moe_forward(const weights *w, step *s, op *t)
{
    const hparams *h = &w->h;
    for (int il = 0; il < h->n_layer && !s->stop; il++) {
        const layer *l = &w->layers[il];
        op_norm(t, s->x, s->ld_x, l->attn_norm, h->eps, s->n_rows, &s->h);
        block_qkv(l, s, t);
        block_attend(w, il, s, t);
        block_attn_out(l, s, t, false);

        op_norm(t, s->x, s->ld_x, l->ffn_norm, h->eps, s->n_rows, &s->h);
        op_moe(t, &s->h, s->n_rows, &l->moe, &s->moe, s->x, s->ld_x);
    }
}

const arch arch_qwen3moe = {
    .name = "qwen3moe", .hparams = qwen3moe_hparams, .bind = qwen3moe_bind, .forward = qwen3moe_forward};
