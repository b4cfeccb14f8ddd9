/* A model: hyperparameters from the header, weights bound to tensors and packed, and one forward function
   per architecture family. */
#ifndef KVASIR_MODEL_MODEL_H
#define KVASIR_MODEL_MODEL_H

#include "base/mem.h"
#include "gguf/gguf.h"
#include "kv/kv.h"
#include "ops/ops.h"

/* Limits of hyperparameters: beyond them a file is refused, so that no product of two of them overflows. */
enum {
    MODEL_MAX_LAYERS = KV_MAX_LAYERS,
    MODEL_MAX_EMBD = 1 << 17,
    MODEL_MAX_HEADS = 1 << 10,
    MODEL_MAX_HEAD_DIM = ATTN_MAX_DIM,
    MODEL_MAX_FF = 1 << 20,
    MODEL_MAX_VOCAB = 1 << 22,
    MODEL_MAX_EXPERTS = 1 << 12
};

typedef struct arch arch;
typedef struct binder binder;

/* How a head is rotated by its position: see rope.c. */
typedef struct rope_params {
    int n_rot;
    bool pairs;         /* interleaved pairs instead of halves */
    float base;         /* theta */
    float linear_scale; /* positions are multiplied by this: 1/factor */
    bool yarn;
    float yarn_ext, yarn_attn, yarn_beta_fast, yarn_beta_slow;
    int n_ctx_orig;
} rope_params;

typedef struct hparams {
    const arch *arch;
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx;
    int n_expert, n_expert_used;
    float eps;
    rope_params rope;        /* of full-attention layers */
    rope_params rope_window; /* of sliding-window layers; n_rot 0 where there are none */
    int window;              /* of the layers that slide; 0: none does */
    bool slides[MODEL_MAX_LAYERS];
    float attn_scale, attn_softcap, final_softcap; /* softcaps 0: none */
} hparams;

static inline bool layer_slides(const hparams *h, int il)
{
    return h->window > 0 && h->slides[il];
}

typedef struct layer {
    const float *attn_norm, *q_norm, *k_norm, *post_attn_norm, *ffn_norm, *post_ffn_norm;
    const float *bq, *bk, *bv, *bo, *b_gate, *b_up, *b_down;
    matrix wq, wk, wv, wo;
    matrix gate, up, down;
    moe_weights moe; /* n_expert 0: the dense three above */
} layer;

typedef struct weights {
    hparams h;
    const gguf_tensor *embedding; /* rows are read from the file as tokens ask for them */
    matrix output;                /* the embedding's own tensor when the file has no output.weight */
    const float *output_norm, *output_bias, *rope_freqs;
    layer *layers;
    double *inv_freq, *inv_freq_window; /* n_rot/2 each */
    float rope_magnitude, rope_magnitude_window;
    bool has_raw; /* some matrix is kept in the form of the file */
    arena memory; /* layers, bindings, frequencies */
    struct binding *bindings;
    int n_bindings;
    void *region; /* packed matrices and vectors */
    size_t region_bytes;
} weights;

/* ---- one step of the engine ------------------------------------------------------------------------------------- */

typedef struct step {
    /* set by the engine for each step */
    int n_rows, n_items, n_logits;
    const int32_t *ids;     /* n_rows */
    const int *pos;         /* n_rows */
    const attn_item *items; /* [layer][n_items] */
    const int *logit_rows;  /* n_logits: which rows' logits are wanted */
    float *logits;          /* n_logits rows, ld_logits floats apart */
    size_t ld_logits;
    bool (*cancelled)(void *engine);
    void *engine;
    /* laid out once by step_layout */
    size_t ld_x, ld_q, ld_kv;
    float *x, *y, *q, *k, *v; /* y: rows like x */
    acts h, att, ff;
    float *rope, *rope_window;
    attn_room room;
    moe_room moe;
    unsigned char *raw_rows; /* one embedding row of the file per thread */
    size_t raw_row_bytes;
    /* written by the threads */
    bool stop;            /* cancelled: thread 0 decides in block_attend, all obey before the next layer */
    kvasir_status status; /* of reading embeddings */
    bool not_finite;      /* an embedding, a row of q, k or v, or a logit is NaN or infinite */
    /* The second pass of a step whose logits are not finite: it looks for the layer. */
    bool trace;
    int bad_layer,
        bad_row; /* the first layer after which a row is not finite (-1: the embedding), and that row; n_layer: none */
    bool in_attention; /* it was a row of q, k or v of bad_layer */
    long v_overflows;  /* values of V that are beyond f16's range, where pages hold f16 */
} step;

/* Lays out the step's buffers. With base NULL returns the bytes needed, else sets the pointers into
   base (64-byte aligned). */
size_t step_layout(step *s, const weights *w, int max_rows, int n_threads, unsigned char *base);

/* The op_limits that a model needs. */
op_limits model_limits(const weights *w, int max_rows);

/* What an engine allocates for the steps of one model. */
typedef struct step_workspace {
    op_limits limits;
    size_t step_bytes, scratch_bytes; /* scratch_bytes: of one thread */
    size_t bytes;                     /* step_bytes and all scratch */
    size_t logits_bytes, items;       /* items: attn_items */
} step_workspace;
/* Fills *out. */
void step_workspace_of(const weights *w, int max_batch, int max_logits, int n_threads, step_workspace *out);

/* ---- architectures ---------------------------------------------------------------------------------------------- */

struct arch {
    const char *name; /* general.architecture */
    /* Reads and checks the keys that differ from hparams_read's defaults. */
    kvasir_status (*hparams)(const gguf *g, hparams *h);
    /* Finds and checks one layer's tensors. */
    kvasir_status (*bind)(binder *b, weights *w, int il);
    /* All layers: from s->x (embeddings) to s->x. Every thread runs it. */
    void (*forward)(const weights *w, step *s, op *t);
};

extern const arch arch_llama, arch_qwen2, arch_qwen3, arch_qwen3moe, arch_gemma3;

/* The row of the table with this name, or NULL. arch_names fills `to` with a text such as "gemma3, llama, ...". */
const arch *arch_find(const char *name, size_t n);
const char *arch_names(char *to, size_t room);

/* ---- hparams.c, bind.c, load.c, rope.c, blocks.c ----------------------------------------------------------------- */

/* Reads the keys that all families share, then the family's own. KVASIR_E_UNSUPPORTED names an unknown architecture
   and the known ones; KVASIR_E_FORMAT names the key that is missing or absurd. */
kvasir_status hparams_read(const gguf *g, hparams *h);
/* Describes each layer's KV for kv_layout_make. `out` has n_layer entries. */
void hparams_kv(const hparams *h, kv_layer *out);

/* Finds every tensor and checks type and shape; reads no tensor data. Freed by weights_free. */
kvasir_status weights_bind(const gguf *g, const hparams *h, weights *w);
/* Bytes that the packed weights will take. */
size_t weights_bytes(const weights *w);
/* Of these, the bytes that a step of one token reads: all matrices (of routed experts those that one token uses), the
   vectors, and one row of the embedding. */
uint64_t weights_step_bytes(const weights *w);
/* Reads and packs everything with the team. `progress` is called on the calling thread and may cancel. */
kvasir_status weights_load(weights *w, team *t, kvasir_progress_fn progress, void *user);
void weights_free(weights *w); /* frees what weights_bind and weights_load allocated */
/* The type of the first matrix that is kept in the form of the file; NULL where there is none. */
const char *weights_raw_type(const weights *w);

/* Used by the families' bind functions. The name is a format that takes the layer number. Optional tensors that are
   absent leave NULL, or rows == 0. */
kvasir_status bind_vector(binder *b, const float **to, int n, bool required, const char *name, int il);
kvasir_status bind_matrix(binder *b, matrix *to, int rows, int k, bool required, const char *name, int il);
kvasir_status bind_experts(binder *b, matrix_stack *to, int n, int rows, int k, const char *name, int il);
/* attn_norm, q, k, v (with optional biases), output, ffn_norm and the dense feed-forward, as most
   families name them. */
kvasir_status bind_attention(binder *b, weights *w, int il);
kvasir_status bind_dense(binder *b, weights *w, int il);
/* RMS norms of q's and k's heads; ffn_norm, router and expert stacks (softmax over all, chosen ones normalised). */
kvasir_status bind_head_norms(binder *b, weights *w, int il);
kvasir_status bind_routed(binder *b, weights *w, int il);

/* Frequencies (radians per token) and the factor on cos and sin. */
void rope_frequencies(const rope_params *p, const float *freq_factors, double *inv_freq, float *magnitude);
/* One position's table: cos, sin, cos, sin ... for n_rot/2 frequencies. */
void rope_table(const double *inv_freq, float magnitude, int n_rot, int pos, float *out);

/* The whole step, as each thread runs it: embeddings, rope tables, forward, logits. */
void model_run(const weights *w, step *s, op *t);

/* While s->trace is set: looks for the first row of s->x that is not finite when layer il begins. Every thread calls it;
   nobody writes s->x meanwhile. */
void step_trace(const weights *w, int il, step *s, op *t);
/* The same for the rows of q, k and v, behind op_append. */
void step_trace_attention(const weights *w, int il, step *s, op *t);

/* Pieces of forward functions, which end when s->stop is set. */
/* q, k, v = W h (+ b) */
void block_qkv(const layer *l, step *s, op *t); /* q, k, v = W h (+ b) */
/* Rotates, appends to the KV cache, attends: s->att. */
void block_attend(const weights *w, int il, step *s, op *t);
/* x += W att, or y = W att for families with a norm behind the sublayer. */
void block_attn_out(const layer *l, step *s, op *t, bool to_y);
/* x += or y = down(act(gate h) * up h) */
void block_dense(const layer *l, step *s, op *t, bool gelu, bool to_y);

#endif
