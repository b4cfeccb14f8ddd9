/* Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434), with the sparse indexer of DeepSeek-V3.2, and the
   compressed rows of DeepSeek-V4. */
#include "plan/bytes/arch.h"

enum { RATIO_DENSE = 4, RATIO_MAX = 1 << 12 }; /* RATIO_DENSE: of the layers with an indexer and overlapping windows */

/* Rows of kv_lora_rank + rope elements, of which V is a part; files without key_length_mla hold whole heads. */
kvasir_status arch_read_mla(const reading *r)
{
    TRY(read_gqa(r));
    if (!has_key(r, "attention.key_length_mla")) return KVASIR_OK;
    int dim = 0;
    TRY(read_count(r, "attention.key_length_mla", true, 1, PLAN_MAX_DIM, &dim)); /* checked like every other key */
    for (int i = 0; i < r->shape->n_layer; i++) r->shape->layer[i].v_dim = 0;
    return KVASIR_OK;
}

/* Where the file lists indexers, only layers that have one keep its rows: GLM 5.2 shares an indexer's choice between
   several layers. */
kvasir_status arch_read_dsa(const reading *r)
{
    int dim = 0, listed = 0;
    TRY(arch_read_mla(r));
    TRY(read_count(r, "attention.indexer.key_length", true, 1, PLAN_MAX_DIM, &dim));
    for (int i = 0; i < r->n_main; i++) listed += has_tensor(r, "blk.%d.indexer.proj.weight", i);
    for (int i = 0; i < r->n_main; i++) {
        if (listed > 0 && !has_tensor(r, "blk.%d.indexer.proj.weight", i)) continue;
        r->shape->layer[i].index_dim = dim;
        r->shape->layer[i].index_ratio = 1;
    }
    return KVASIR_OK;
}

/* Every layer keeps the rows of a window; those with a ratio also compressed rows and what the compressor is working on:
   values and gates of `ratio` tokens, twice over in width and length where windows overlap. K is V. */
kvasir_status arch_read_deepseek4(const reading *r)
{
    int ratio[MODEL_MAX_LAYERS], window = 0, index = 0;
    TRY(read_gqa(r));
    TRY(read_count(r, "attention.sliding_window", true, 1, KV_MAX_CONTEXT, &window));
    TRY(read_count(r, "attention.indexer.key_length", true, 1, PLAN_MAX_DIM, &index));
    TRY(read_per_layer(r, "attention.compress_ratios", 0, RATIO_MAX, -1, ratio));
    for (int i = 0; i < r->shape->n_layer; i++) {
        plan_layer *l = &r->shape->layer[i];
        uint64_t d = (uint64_t)l->k_dim, twice = ratio[i] == RATIO_DENSE ? 2 : 1;
        l->v_dim = 0;
        l->window = window;
        l->ratio = ratio[i];
        if (ratio[i] == 0) continue;
        uint64_t slots = 2 * twice * twice * (uint64_t)ratio[i];
        l->state[0] = (plan_state){twice == 2 ? "CSA compressor" : "HCA compressor", slots * d};
        if (ratio[i] != RATIO_DENSE) continue;
        l->index_dim = index;
        l->index_ratio = ratio[i];
        l->state[1] = (plan_state){"indexer compressor", slots * (uint64_t)index};
    }
    return KVASIR_OK;
}
