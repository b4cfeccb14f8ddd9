/* llama: Llama 1 to 3, Mistral, SmolLM and many others (Touvron et al. 2023, arXiv:2302.13971; grouped-query
   attention as in Llama 2). Pre-norm blocks, rotary embedding over interleaved pairs, SwiGLU. Mixtral's routed
   experts come under the same name. */
#include "model/model.h"

static kvasir_status llama_hparams(const gguf *g, hparams *h)
{
    (void)g;
    h->rope.pairs = true;
    return KVASIR_OK;
}

static kvasir_status llama_bind(binder *b, weights *w, int il)
{
    TRY(bind_attention(b, w, il));
    return w->h.n_expert > 0 ? bind_routed(b, w, il) : bind_dense(b, w, il);
}

static void llama_forward(const weights *w, step *s, op *t)
{
    const hparams *h = &w->h;
    for (int il = 0; il < h->n_layer && !s->stop; il++) {
        const layer *l = &w->layers[il];
        op_norm(t, s->x, s->ld_x, l->attn_norm, h->eps, s->n_rows, &s->h);
        block_qkv(l, s, t);
        block_attend(w, il, s, t);
        block_attn_out(l, s, t, false);

        op_norm(t, s->x, s->ld_x, l->ffn_norm, h->eps, s->n_rows, &s->h);
        if (h->n_expert > 0)
            op_moe(t, &s->h, s->n_rows, &l->moe, &s->moe, s->x, s->ld_x);
        else
            block_dense(l, s, t, false, false);
    }
}

const arch arch_llama = {.name = "llama", .hparams = llama_hparams, .bind = llama_bind, .forward = llama_forward};
