/* Grouped-query attention (Ainslie et al. 2023, arXiv:2305.13245), with and without sliding windows. */
#include "plan/bytes/arch.h"

#include <stdio.h>
#include <string.h>

enum { GEMMA3_PERIOD = 6, GPT_OSS_PERIOD = 2 };

static kvasir_status check_width(const reading *r, const plan_layer *l, int il)
{
    int64_t wide = (int64_t)l->n_head_kv * (l->k_dim > l->v_dim ? l->k_dim : l->v_dim);
    if (wide <= PLAN_MAX_WIDTH) return KVASIR_OK;
    return fail(KVASIR_E_FORMAT, "key %s.attention.head_count_kv: %d heads of layer %d make rows of %lld, beyond %d",
                r->arch, l->n_head_kv, il, (long long)wide, (int)PLAN_MAX_WIDTH);
}

kvasir_status read_gqa(const reading *r)
{
    int heads[MODEL_MAX_LAYERS], n_embd = 0, k_dim, v_dim;
    plan_shape *s = r->shape;
    TRY(read_per_layer(r, "attention.head_count", 0, MODEL_MAX_HEADS, -1, heads));
    TRY(read_count(r, "embedding_length", true, 1, MODEL_MAX_EMBD, &n_embd));
    k_dim = v_dim = heads[0] > 0 ? n_embd / heads[0] : 0;
    TRY(read_count(r, "attention.key_length", k_dim == 0, 1, PLAN_MAX_DIM, &k_dim));
    TRY(read_count(r, "attention.value_length", v_dim == 0, 1, PLAN_MAX_DIM, &v_dim));
    if (has_key(r, "attention.head_count_kv"))
        TRY(read_per_layer(r, "attention.head_count_kv", 0, MODEL_MAX_HEADS, -1, heads));
    for (int i = 0; i < s->n_layer; i++) {
        s->layer[i] = (plan_layer){.n_head_kv = heads[i], .k_dim = k_dim, .v_dim = v_dim};
        TRY(check_width(r, &s->layer[i], i));
    }
    return KVASIR_OK;
}

kvasir_status arch_read_gqa(const reading *r)
{
    return read_gqa(r);
}

static kvasir_status read_window(const reading *r, int *out)
{
    return read_count(r, "attention.sliding_window", true, 1, KV_MAX_CONTEXT, out);
}

kvasir_status arch_read_gemma3(const reading *r)
{
    int window = 0;
    TRY(read_gqa(r));
    TRY(read_window(r, &window));
    for (int i = 0; i < r->shape->n_layer; i++)
        if ((i + 1) % GEMMA3_PERIOD != 0) r->shape->layer[i].window = window;
    return KVASIR_OK;
}

/* Windows in every second layer, the first included (OpenAI 2025, arXiv:2508.10925). */
kvasir_status arch_read_gpt_oss(const reading *r)
{
    int window = 0;
    TRY(read_gqa(r));
    TRY(read_window(r, &window));
    for (int i = 0; i < r->shape->n_layer; i++)
        if (i % GPT_OSS_PERIOD == 0) r->shape->layer[i].window = window;
    return KVASIR_OK;
}

/* Heads of windowed layers have a size of their own; the last shared_kv_layers read the rows of layers before them. */
kvasir_status arch_read_gemma4(const reading *r)
{
    int slides[MODEL_MAX_LAYERS], window = 0, k_dim, v_dim, shared = 0;
    plan_shape *s = r->shape;
    TRY(read_gqa(r));
    TRY(read_window(r, &window));
    TRY(read_per_layer(r, "attention.sliding_window_pattern", 0, 1, -1, slides));
    k_dim = s->layer[0].k_dim;
    v_dim = s->layer[0].v_dim;
    TRY(read_count(r, "attention.key_length_swa", false, 1, PLAN_MAX_DIM, &k_dim));
    TRY(read_count(r, "attention.value_length_swa", false, 1, PLAN_MAX_DIM, &v_dim));
    TRY(read_count(r, "attention.shared_kv_layers", false, 0, s->n_layer, &shared));
    for (int i = 0; i < s->n_layer; i++) {
        plan_layer *l = &s->layer[i];
        if (slides[i]) {
            *l = (plan_layer){.n_head_kv = l->n_head_kv, .k_dim = k_dim, .v_dim = v_dim, .window = window};
            TRY(check_width(r, l, i));
        }
        if (i >= s->n_layer - shared) *l = (plan_layer){0};
    }
    return KVASIR_OK;
}
