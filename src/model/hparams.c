/* Hyperparameters: keys of the form ARCHITECTURE.name. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { KEY_ROOM = 160 };

static const char *key_of(const hparams *h, const char *name, char *room)
{
    (void)snprintf(room, KEY_ROOM, "%s.%s", h->arch->name, name);
    return room;
}

static kvasir_status read_int(const gguf *g, const hparams *h, const char *name, bool required, int min, int max,
                              int *out)
{
    char key[KEY_ROOM];
    uint32_t v = (uint32_t)*out;
    TRY(gguf_get_u32(g, key_of(h, name, key), required, (uint32_t)min, (uint32_t)max, &v));
    *out = (int)v;
    return KVASIR_OK;
}

static kvasir_status read_float(const gguf *g, const hparams *h, const char *name, bool required, float min, float max,
                                float *out)
{
    char key[KEY_ROOM];
    return gguf_get_f32(g, key_of(h, name, key), required, min, max, out);
}

/* A count that is given once or for each layer. The values of all layers must agree: layers of different widths belong
   to families of their own. */
static kvasir_status read_uniform(const gguf *g, const hparams *h, const char *name, bool required, int min, int max,
                                  int *out)
{
    char key[KEY_ROOM];
    const gguf_kv *kv = gguf_find(g, key_of(h, name, key));
    if (!kv || kv->type != GGUF_ARRAY) return read_int(g, h, name, required, min, max, out);
    if ((kv->element != GGUF_I32 && kv->element != GGUF_U32) || kv->count < (size_t)h->n_layer)
        return fail(KVASIR_E_FORMAT, "key %s: an array of at least %d 32-bit integers is expected", key, h->n_layer);
    const uint32_t *v = kv->data;
    for (int i = 1; i < h->n_layer; i++)
        if (v[i] != v[0])
            return fail(KVASIR_E_UNSUPPORTED, "key %s: layers differ (%u and %u), which %s does not support here", key,
                        v[0], v[i], h->arch->name);
    if (v[0] < (uint32_t)min || v[0] > (uint32_t)max)
        return fail(KVASIR_E_FORMAT, "key %s: %u is not between %d and %d", key, v[0], min, max);
    *out = (int)v[0];
    return KVASIR_OK;
}

static kvasir_status read_rope(const gguf *g, hparams *h)
{
    rope_params *r = &h->rope;
    char key[KEY_ROOM];
    gguf_string type = {"", 0};
    float factor = 0;
    *r = (rope_params){.n_rot = h->head_dim,
                       .base = 10000.0f,
                       .linear_scale = 1,
                       .yarn_ext = 1,
                       .yarn_attn = 1,
                       .yarn_beta_fast = 32,
                       .yarn_beta_slow = 1,
                       .n_ctx_orig = h->n_ctx};
    TRY(read_int(g, h, "rope.dimension_count", false, 2, h->head_dim, &r->n_rot));
    if (r->n_rot % 2) return fail(KVASIR_E_FORMAT, "key %s.rope.dimension_count: %d is odd", h->arch->name, r->n_rot);
    TRY(read_float(g, h, "rope.freq_base", false, 1.0f, 1e12f, &r->base));
    TRY(gguf_get_string(g, key_of(h, "rope.scaling.type", key), false, &type));
    TRY(read_float(g, h, "rope.scale_linear", false, 0.0f, 1e6f, &factor)); /* older files */
    TRY(read_float(g, h, "rope.scaling.factor", false, 0.0f, 1e6f, &factor));
    TRY(read_int(g, h, "rope.scaling.original_context_length", false, 1, KV_MAX_CONTEXT, &r->n_ctx_orig));
    TRY(read_float(g, h, "rope.scaling.attn_factor", false, 0.0f, 1e3f, &r->yarn_attn));
    TRY(read_float(g, h, "rope.scaling.yarn_ext_factor", false, 0.0f, 1e3f, &r->yarn_ext));
    TRY(read_float(g, h, "rope.scaling.yarn_attn_factor", false, 0.0f, 1e3f, &r->yarn_attn));
    TRY(read_float(g, h, "rope.scaling.yarn_beta_fast", false, 0.0f, 1e6f, &r->yarn_beta_fast));
    TRY(read_float(g, h, "rope.scaling.yarn_beta_slow", false, 0.0f, 1e6f, &r->yarn_beta_slow));
    if (type.n && strcmp(type.s, "none") && strcmp(type.s, "linear") && strcmp(type.s, "yarn"))
        return fail(KVASIR_E_UNSUPPORTED, "key %s.rope.scaling.type: %s is not one of none, linear, yarn",
                    h->arch->name, quoted(type.s, type.n));
    if (factor > 0 && strcmp(type.s, "none")) r->linear_scale = 1.0f / factor;
    r->yarn = !strcmp(type.s, "yarn");
    return KVASIR_OK;
}

static kvasir_status read_vocab(const gguf *g, hparams *h)
{
    const gguf_kv *tokens = gguf_find(g, "tokenizer.ggml.tokens");
    if (tokens && tokens->type == GGUF_ARRAY && tokens->count >= 1 && tokens->count <= MODEL_MAX_VOCAB)
        h->n_vocab = (int)tokens->count;
    else
        TRY(read_int(g, h, "vocab_size", true, 1, MODEL_MAX_VOCAB, &h->n_vocab));
    return KVASIR_OK;
}

static kvasir_status read_architecture(const gguf *g, hparams *h)
{
    char names[256];
    gguf_string name;
    TRY(gguf_get_string(g, "general.architecture", true, &name));
    h->arch = arch_find(name.s, name.n);
    if (!h->arch)
        return fail(KVASIR_E_UNSUPPORTED, "architecture %s is not supported; supported: %s", quoted(name.s, name.n),
                    arch_names(names, sizeof names));
    return KVASIR_OK;
}

kvasir_status hparams_read(const gguf *g, hparams *h)
{
    int v_dim;
    *h = (hparams){0};
    TRY(read_architecture(g, h));
    TRY(read_int(g, h, "block_count", true, 1, MODEL_MAX_LAYERS, &h->n_layer));
    TRY(read_int(g, h, "embedding_length", true, 1, MODEL_MAX_EMBD, &h->n_embd));
    TRY(read_int(g, h, "context_length", true, 1, KV_MAX_CONTEXT, &h->n_ctx));
    TRY(read_uniform(g, h, "attention.head_count", true, 1, MODEL_MAX_HEADS, &h->n_head));
    h->n_head_kv = h->n_head;
    TRY(read_uniform(g, h, "attention.head_count_kv", false, 1, h->n_head, &h->n_head_kv));
    if (h->n_head % h->n_head_kv)
        return fail(KVASIR_E_FORMAT, "key %s.attention.head_count_kv: %d does not divide head_count %d", h->arch->name,
                    h->n_head_kv, h->n_head);
    h->head_dim = h->n_embd / h->n_head;
    TRY(read_int(g, h, "attention.key_length", false, 2, MODEL_MAX_HEAD_DIM, &h->head_dim));
    if (h->head_dim < 2 || h->head_dim > MODEL_MAX_HEAD_DIM || h->head_dim % 2)
        return fail(KVASIR_E_FORMAT,
                    "head size %d (embedding_length %d over head_count %d) is not an even number up to %d", h->head_dim,
                    h->n_embd, h->n_head, (int)MODEL_MAX_HEAD_DIM);
    v_dim = h->head_dim;
    TRY(read_int(g, h, "attention.value_length", false, 2, MODEL_MAX_HEAD_DIM, &v_dim));
    if (v_dim != h->head_dim)
        return fail(KVASIR_E_UNSUPPORTED,
                    "key %s.attention.value_length: %d differs from key_length %d, which %s does not support here",
                    h->arch->name, v_dim, h->head_dim, h->arch->name);
    TRY(read_float(g, h, "attention.layer_norm_rms_epsilon", true, 0.0f, 1.0f, &h->eps));
    TRY(read_uniform(g, h, "feed_forward_length", false, 1, MODEL_MAX_FF, &h->n_ff));
    TRY(read_int(g, h, "expert_count", false, 0, MODEL_MAX_EXPERTS, &h->n_expert));
    TRY(read_int(g, h, "expert_used_count", h->n_expert > 0, 0, MODEL_MAX_EXPERTS, &h->n_expert_used));
    if (h->n_expert > 0 && (h->n_expert_used < 1 || h->n_expert_used > h->n_expert))
        return fail(KVASIR_E_FORMAT, "key %s.expert_used_count: %d of %d experts", h->arch->name, h->n_expert_used,
                    h->n_expert);
    h->attn_scale = 1.0f / sqrtf((float)h->head_dim);
    TRY(read_vocab(g, h));
    TRY(read_rope(g, h));
    TRY(h->arch->hparams(g, h));
    if (h->n_ff < 1) return fail(KVASIR_E_FORMAT, "key %s.feed_forward_length is missing", h->arch->name);
    return KVASIR_OK;
}

void hparams_kv(const hparams *h, kv_layer *out)
{
    for (int il = 0; il < h->n_layer; il++)
        out[il] = (kv_layer){.n_head_kv = h->n_head_kv,
                             .k_dim = h->head_dim,
                             .v_dim = h->head_dim,
                             .window = layer_slides(h, il) ? h->window : 0};
}
