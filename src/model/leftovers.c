/* Names of keys and tensors: the ggml project's gguf.md, llama.cpp's gguf-py constants. */
#include "model/leftovers.h"

#include "model/bind.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- keys ---------------------------------------------------------------------------------------------------------- */

/* What a key that nobody read must hold so that the result is the same without it. */
typedef enum effect {
    NO_EFFECT,
    IF_ZERO,    /* 0 or false; of an array all of them */
    IF_ONE,     /* 0, 1 or true */
    IF_TRUE,    /* not false */
    IF_SCALE,   /* 0, or the scale of attention that is used */
    IF_BEYOND,  /* 0, or no less than the context that the model was trained for */
    IF_N_FF,    /* the width of the feed-forward */
    IF_HEAD_DIM /* the size of a head */
} effect;

typedef struct known_key {
    const char *name; /* behind the architecture's prefix; one that ends with "." stands for all that begin so */
    effect effect;
} known_key;

static const known_key known[] = {
    /* what a file says of itself */
    {"vocab_size", NO_EFFECT},
    {"tensor_data_layout", NO_EFFECT},
    {"rope.scaling.finetuned", NO_EFFECT},
    {"attention.layer_norm_epsilon", NO_EFFECT}, /* of norms that these families do not have */
    {"feed_forward_length", NO_EFFECT},          /* of dense layers, where all have experts */
    {"rope.scaling.original_context_length", NO_EFFECT},
    {"rope.dimension_count_swa", IF_HEAD_DIM},
    {"attention.key_length_swa", IF_HEAD_DIM},
    {"attention.value_length_swa", IF_HEAD_DIM},
    {"expert_feed_forward_length", IF_N_FF},
    /* scales and caps of other families */
    {"logit_scale", IF_ONE},
    {"residual_scale", IF_ONE},
    {"embedding_scale", IF_ONE},
    {"attention.scale", IF_SCALE},
    {"attn_logit_softcapping", IF_ZERO},
    {"final_logit_softcapping", IF_ZERO},
    {"router_logit_softcapping", IF_ZERO},
    {"attention.clamp_kqv", IF_ZERO},
    {"attention.max_alibi_bias", IF_ZERO},
    {"attention.temperature_length", IF_ZERO},
    {"attention.temperature_scale", IF_ZERO},
    {"attention.value_scale", IF_ONE},
    {"attention.causal", IF_TRUE},
    {"use_parallel_residual", IF_ZERO},
    {"rope.scaling.yarn_log_multiplier", IF_ZERO},
    {"rope.dimension_sections", IF_ZERO},
    {"attention.sliding_window", IF_BEYOND},
    {"attention.sliding_window_pattern", NO_EFFECT}, /* the window is judged */
    {"attention.chunk_size", IF_BEYOND},
    {"attention.shared_kv_layers", IF_ZERO},
    {"embedding_length_per_layer_input", IF_ZERO},
    {"full_attention_interval", IF_ONE},
    /* experts */
    {"expert_shared_count", IF_ZERO},
    {"expert_shared_feed_forward_length", IF_ZERO},
    {"expert_weights_scale", IF_ONE},
    {"expert_weights_norm", IF_TRUE},
    {"expert_gating_func", IF_ONE}, /* 1: softmax */
    {"expert_group_count", IF_ONE},
    {"expert_group_used_count", IF_ONE},
    {"leading_dense_block_count", IF_ZERO},
    {"interleave_moe_layer_step", IF_ONE},
    {"moe_every_n_layers", IF_ONE},
    /* other kinds of layers */
    {"attention.q_lora_rank", IF_ZERO},
    {"attention.kv_lora_rank", IF_ZERO},
    {"attention.indexer.", IF_ZERO},
    {"ssm.", IF_ZERO},
    {"wkv.", IF_ZERO},
    {"shortconv.", IF_ZERO},
    {"hyper_connection.", IF_ZERO},
    {"altup.", IF_ZERO},
};

static const known_key *find_known(const char *name)
{
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        size_t n = strlen(known[i].name);
        if (known[i].name[n - 1] == '.' ? !strncmp(name, known[i].name, n) : !strcmp(name, known[i].name))
            return &known[i];
    }
    return NULL;
}

static bool is_close(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fabs(b);
}

static bool changes_nothing(effect e, double v, const hparams *h)
{
    switch (e) {
    case NO_EFFECT:
        return true;
    case IF_ZERO:
        return v == 0;
    case IF_ONE:
        return v == 0 || v == 1;
    case IF_TRUE:
        return v == 1;
    case IF_SCALE:
        return v == 0 || is_close(v, (double)h->attn_scale);
    case IF_BEYOND:
        return v == 0 || v >= h->n_ctx;
    case IF_N_FF:
        return v == h->n_ff;
    case IF_HEAD_DIM:
        return v == h->head_dim;
    }
    return false;
}

static kvasir_status judge_key(const gguf_kv *kv, const char *name, const hparams *h, notes *to)
{
    const known_key *k = find_known(name);
    const char *key = quoted(kv->key.s, kv->key.n);
    if (!k) return note_add(to, "key %s is not known and was not used", key);
    if (k->effect == NO_EFFECT) return KVASIR_OK;
    for (size_t i = 0; i < kv->count; i++) {
        double v = gguf_number(kv, i);
        if (changes_nothing(k->effect, v, h)) continue;
        if (!gguf_is_number(kv->element)) /* never what changes nothing */
            return fail(KVASIR_E_UNSUPPORTED, "key %s is no number, which %s does not support", key, h->arch->name);
        return fail(KVASIR_E_UNSUPPORTED, "key %s is %g, which changes the result and which %s does not support here",
                    key, v, h->arch->name);
    }
    return KVASIR_OK;
}

kvasir_status leftover_keys(const gguf *g, const hparams *h, notes *to)
{
    const size_t n = strlen(h->arch->name);
    for (int i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (gguf_was_asked(g, i) || kv->key.n <= n || memcmp(kv->key.s, h->arch->name, n) != 0 || kv->key.s[n] != '.')
            continue;
        TRY(judge_key(kv, kv->key.s + n + 1, h, to));
    }
    return KVASIR_OK;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------- */

typedef enum part { PART_NONE, PART_HARMLESS, PART_VISION, PART_MTP, PARTS } part;

static bool begins(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

static bool ends(const char *s, const char *with)
{
    size_t n = strlen(s), w = strlen(with);
    return n >= w && strcmp(s + n - w, with) == 0;
}

static part part_of(const char *name, const hparams *h, bool predicts)
{
    int il = -1, used = 0;
    if (sscanf(name, "blk.%9d.%n", &il, &used) != 1 || used == 0) il = -1;
    /* Frequencies that follow from the keys, as files of 2023 carry them for each layer. */
    if (ends(name, ".attn_rot_embd.weight") || ends(name, ".attn_rot_embd") || ends(name, ".rope_freqs.weight") ||
        strcmp(name, "rope_freqs.weight") == 0)
        return PART_HARMLESS;
    /* How activations were rounded to FP4 elsewhere; here they are not. */
    if (ends(name, ".input_scale")) return PART_HARMLESS;
    if (begins(name, "v.") || begins(name, "mm.") || begins(name, "a.") || begins(name, "vision_")) return PART_VISION;
    if (strstr(name, ".nextn.") || (predicts && il >= h->n_layer)) return PART_MTP;
    return PART_NONE;
}

kvasir_status leftover_tensors(const gguf *g, const weights *w, notes *to)
{
    static const char *const says[PARTS] = {
        [PART_VISION] = "for images or sound were not loaded: text alone is computed",
        [PART_MTP] = "for predicting several tokens at once were not loaded: the result is the same without them",
    };
    const int n = gguf_n_tensors(g);
    int count[PARTS] = {0};
    char key[128];
    (void)snprintf(key, sizeof key, "%s.nextn_predict_layers", w->h.arch->name);
    const bool predicts = gguf_find(g, key) != NULL;
    arena scratch = {0};
    bool *bound = arena_alloc(&scratch, (size_t)n, sizeof *bound);
    if (!bound) return fail_memory((size_t)n);
    for (int i = 0; i < w->n_bindings; i++) bound[w->bindings[i].tensor->index] = true;
    bound[w->embedding->index] = true;
    kvasir_status status = KVASIR_OK;
    for (int i = 0; i < n && status == KVASIR_OK; i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (bound[i]) continue;
        part p = part_of(t->name.s, &w->h, predicts);
        count[p]++;
        if (p == PART_NONE)
            status = fail(KVASIR_E_UNSUPPORTED,
                          "tensor %s has no use in %s as it is known here: without it this would be another model",
                          quoted(t->name.s, t->name.n), w->h.arch->name);
    }
    arena_free(&scratch);
    for (part p = PART_VISION; p < PARTS && status == KVASIR_OK; p++)
        if (count[p]) status = note_add(to, "%d tensors %s", count[p], says[p]);
    return status;
}
