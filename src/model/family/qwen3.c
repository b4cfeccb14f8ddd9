/* qwen3: dense Qwen3 (Yang et al. 2025, arXiv:2505.09388). As qwen2 without biases, with an RMS norm on every head of
   q and k before the rotation. */
#include "model/model.h"

static kvasir_status qwen3_hparams(const gguf *g, hparams *h)
{
    (void)g;
    if (h->n_expert > 0)
        return fail(KVASIR_E_UNSUPPORTED, "key qwen3.expert_count: qwen3 has no experts, qwen3moe has");
    return KVASIR_OK;
}

static kvasir_status qwen3_bind(binder *b, weights *w, int il)
{
    TRY(bind_attention(b, w, il));
    TRY(bind_head_norms(b, w, il));
    return bind_dense(b, w, il);
}

static void qwen3_forward(const weights *w, step *s, op *t)
{
    const hparams *h = &w->h;
    for (int il = 0; il < h->n_layer && !s->stop; il++) {
        const layer *l = &w->layers[il];
        op_norm(t, s->x, s->ld_x, l->attn_norm, h->eps, s->n_rows, &s->h);
        block_qkv(l, s, t);
        block_attend(w, il, s, t); /* q_norm and k_norm are applied there, head by head */
        block_attn_out(l, s, t, false);

        op_norm(t, s->x, s->ld_x, l->ffn_norm, h->eps, s->n_rows, &s->h);
        block_dense(l, s, t, false, false);
    }
}

const arch arch_qwen3 = {.name = "qwen3", .hparams = qwen3_hparams, .bind = qwen3_bind, .forward = qwen3_forward};
