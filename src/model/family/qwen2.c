/* qwen2: Qwen2 and Qwen2.5 (Yang et al. 2024, arXiv:2407.10671). As llama, with biases on q, k and v and the rotary
   embedding over half-split pairs. */
#include "model/model.h"

static kvasir_status qwen2_hparams(const gguf *g, hparams *h)
{
    (void)g;
    if (h->n_expert > 0) return fail(KVASIR_E_UNSUPPORTED, "key qwen2.expert_count: qwen2 has no experts");
    return KVASIR_OK;
}

static kvasir_status qwen2_bind(binder *b, weights *w, int il)
{
    TRY(bind_attention(b, w, il));
    return bind_dense(b, w, il);
}

static void qwen2_forward(const weights *w, step *s, op *t)
{
    const hparams *h = &w->h;
    for (int il = 0; il < h->n_layer && !s->stop; il++) {
        const layer *l = &w->layers[il];
        op_norm(t, s->x, s->ld_x, l->attn_norm, h->eps, s->n_rows, &s->h);
        block_qkv(l, s, t);
        block_attend(w, il, s, t);
        block_attn_out(l, s, t, false);

        op_norm(t, s->x, s->ld_x, l->ffn_norm, h->eps, s->n_rows, &s->h);
        block_dense(l, s, t, false, false);
    }
}

const arch arch_qwen2 = {.name = "qwen2", .hparams = qwen2_hparams, .bind = qwen2_bind, .forward = qwen2_forward};
