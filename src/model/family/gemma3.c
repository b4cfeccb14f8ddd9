/* gemma3: Gemma 3 text models (Gemma Team 2025, arXiv:2503.19786). Five sliding-window layers to one with full
   attention, each kind with a rotary base of its own; norms on both sides of every sublayer; GELU gate; embeddings
   scaled by sqrt(n_embd). */
#include "model/model.h"

#include <math.h>

enum { GEMMA3_PERIOD = 6, GEMMA3_27B_LAYERS = 62 };

/* Which layers slide: all but each n-th, or as an array says; without a window none. */
static kvasir_status read_pattern(const gguf *g, hparams *h)
{
    static const char key[] = "gemma3.attention.sliding_window_pattern";
    const gguf_kv *kv = gguf_find(g, key);
    uint32_t period = GEMMA3_PERIOD;
    const void *each = NULL;
    size_t n = 0;
    if (kv && kv->type == GGUF_ARRAY) {
        if (kv->element != GGUF_BOOL && kv->element != GGUF_I32 && kv->element != GGUF_U32)
            return fail(KVASIR_E_FORMAT, "key %s: an array of booleans is expected", key);
        TRY(gguf_get_array(g, key, true, kv->element, &each, &n));
        if (n < (size_t)h->n_layer)
            return fail(KVASIR_E_FORMAT, "key %s: %zu entries for %d layers", key, n, h->n_layer);
    } else {
        TRY(gguf_get_u32(g, key, false, 0, MODEL_MAX_LAYERS, &period));
    }
    for (int il = 0; il < h->n_layer; il++) {
        if (!each)
            h->slides[il] = period == 0 || (uint32_t)(il + 1) % period != 0;
        else
            h->slides[il] = kv->element == GGUF_BOOL ? ((const uint8_t *)each)[il] : ((const uint32_t *)each)[il];
    }
    return KVASIR_OK;
}

static kvasir_status gemma3_hparams(const gguf *g, hparams *h)
{
    uint32_t window = 0;
    float base = 10000.0f;
    TRY(gguf_get_u32(g, "gemma3.attention.sliding_window", false, 0, KV_MAX_CONTEXT, &window));
    TRY(gguf_get_f32(g, "gemma3.rope.freq_base_swa", false, 1.0f, 1e12f, &base));
    TRY(gguf_get_f32(g, "gemma3.attn_logit_softcapping", false, 0, 1e6f, &h->attn_softcap));
    TRY(gguf_get_f32(g, "gemma3.final_logit_softcapping", false, 0, 1e6f, &h->final_softcap));
    TRY(read_pattern(g, h));
    if (!gguf_find(g, "gemma3.rope.freq_base")) h->rope.base = 1000000.0f;
    h->window = (int)window;
    /* Linear scaling is for the full-attention layers only. */
    if (window > 0) h->rope_window = (rope_params){.n_rot = h->rope.n_rot, .base = base, .linear_scale = 1};
    /* The 27B model scales by its embedding width per head, which no key says. */
    if (h->n_layer == GEMMA3_27B_LAYERS) h->attn_scale = 1.0f / sqrtf((float)h->n_embd / (float)h->n_head);
    return KVASIR_OK;
}

static kvasir_status gemma3_bind(binder *b, weights *w, int il)
{
    layer *l = &w->layers[il];
    TRY(bind_attention(b, w, il));
    TRY(bind_head_norms(b, w, il));
    TRY(bind_vector(b, &l->post_attn_norm, w->h.n_embd, true, "blk.%d.post_attention_norm.weight", il));
    TRY(bind_vector(b, &l->post_ffn_norm, w->h.n_embd, true, "blk.%d.post_ffw_norm.weight", il));
    return bind_dense(b, w, il);
}

static void gemma3_forward(const weights *w, step *s, op *t)
{
    const hparams *h = &w->h;
    op_scale(t, s->x, s->ld_x, sqrtf((float)h->n_embd), h->n_embd, s->n_rows);
    for (int il = 0; il < h->n_layer && !s->stop; il++) {
        const layer *l = &w->layers[il];
        op_norm(t, s->x, s->ld_x, l->attn_norm, h->eps, s->n_rows, &s->h);
        block_qkv(l, s, t);
        block_attend(w, il, s, t);
        block_attn_out(l, s, t, true);
        op_norm_add(t, s->x, s->y, s->ld_x, l->post_attn_norm, h->eps, h->n_embd, s->n_rows);

        op_norm(t, s->x, s->ld_x, l->ffn_norm, h->eps, s->n_rows, &s->h);
        block_dense(l, s, t, true, true);
        op_norm_add(t, s->x, s->y, s->ld_x, l->post_ffn_norm, h->eps, h->n_embd, s->n_rows);
    }
}

const arch arch_gemma3 = {.name = "gemma3", .hparams = gemma3_hparams, .bind = gemma3_bind, .forward = gemma3_forward};
