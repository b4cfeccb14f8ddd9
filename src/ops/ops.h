/* What a transformer is written in: operations over row-major float matrices, each called by every thread of the team
   with the same arguments (one program, many threads). An operation splits its work over the threads and ends in a
   barrier, so the next one may read what it wrote. How the work is split never changes a bit of the result. */
#ifndef KVASIR_OPS_OPS_H
#define KVASIR_OPS_OPS_H

#include "base/team.h"
#include "kernels/attn.h"
#include "kernels/linear.h"
#include "kernels/vec.h"
#include "ops/matrix.h"
#include <stdbool.h>

enum { OPS_QUERY_BLOCK = 16, OPS_SPAN_PAGES = 16, OPS_MAX_JOBS = 4 };

typedef struct kernels {
    cpu_level level;
    linear_kernels linear;
    vec_kernels vec;
    attn_kernels attn;
} kernels;

/* What the scratch of each thread must suffice for: see op_scratch_bytes. */
typedef struct op_limits {
    int max_rows;  /* token rows of one step */
    int max_k;     /* longest weight row */
    int max_group; /* query heads per kv-head */
    int max_head_dim;
    bool raw; /* some matrix is kept as raw rows */
} op_limits;
/* Bytes of scratch that each thread needs. */
size_t op_scratch_bytes(const op_limits *l);

/* A thread inside a parallel region. */
typedef struct op {
    team *team;
    const kernels *kernels;
    int tid, n_threads;
    unsigned char *scratch; /* op_scratch_bytes, 64-byte aligned */
    const op_limits *limits;
} op;

/* Activations that a linear operation reads: float rows, and the same rows as int8 blocks where some weight
   multiplies in integers. */
typedef struct acts {
    float *x;     /* n rows, ld floats apart */
    act_block *q; /* n rows, ld/32 blocks apart; NULL where only floats are needed */
    size_t ld;    /* a multiple of 32 */
    int k;        /* row length in use */
} acts;

/* ---- rows.c ---- */

/* out = rmsnorm(x) * w for n rows, and quantises it. ld of x as of out. */
void op_norm(op *t, const float *x, size_t ld, const float *w, float eps, int n, acts *out);
/* x += rmsnorm(y) * w: the norm behind a sublayer (gemma). */
void op_norm_add(op *t, float *x, const float *y, size_t ld, const float *w, float eps, int k, int n);
/* Quantises rows that were written as floats. */
void op_quantise(op *t, acts *a, int n);
void op_scale(op *t, float *x, size_t ld, float s, int k, int n); /* x *= s */
/* x = cap * tanh(x / cap), n rows of k */
void op_softcap(op *t, float *x, size_t ld, float cap, int k, int n);
/* out row i = x row index[i], for i < n. */
void op_gather(op *t, const float *x, size_t ld, const int *index, int n, float *out);

/* ---- linear.c ---- */

typedef struct linear_job {
    const matrix *w;
    const matrix *up;            /* with `up`, out = activation(w x) * (up x): a gated feed-forward half */
    const float *bias, *up_bias; /* added to the products of w and of up, NULL: none */
    float *out;
    size_t ld_out; /* at least the rows of w rounded up to 16 */
    act_block *q;  /* NULL, or out as blocks too, ld_out/32 apart; the rows of w are then a multiple of 32 */
    bool add;      /* out += instead of out = */
    bool gelu;     /* the gate's activation: GELU (tanh) instead of SiLU */
} linear_job;

/* out = W a for up to OPS_MAX_JOBS matrices over the same n activation rows. */
void op_linear(op *t, const acts *a, int n, const linear_job *jobs, int n_jobs);

/* ---- moe.c ---- */

typedef struct moe_room { /* buffers of a step, for n rows and `used` experts per row */
    float *router;        /* n x experts rounded up to 16 */
    float *weight;        /* n x used */
    int *expert, *slot;   /* n x used: the chosen expert; the row in grouped order */
    int *row_of;          /* n*used grouped rows: which token row */
    int *first;           /* experts + 1: first grouped row of each expert */
    acts in, mid;         /* n*used rows */
    float *out;           /* n*used rows, ld_out apart */
    size_t ld_out;
} moe_room;

typedef struct moe_weights {
    matrix router;
    matrix_stack gate, up, down; /* one matrix per expert */
    int n_expert, n_used;
    bool normalise; /* the chosen weights are divided by their sum */
    float scale;    /* then multiplied by this; 1: none */
} moe_weights;

/* x += sum over the chosen experts of weight * down(silu(gate a) * up a). Rows are grouped by expert, so that
   each expert's weights are read once. Weights are softmax probabilities over all experts. The sum runs in order
   of decreasing probability. */
void op_moe(op *t, const acts *a, int n, const moe_weights *w, const moe_room *room, float *x, size_t ld);

/* ---- append.c and attention.c ---- */

/* Where the pages of one stream lie in a block, and what they are, in either form. */
typedef enum op_form { OP_OPEN, OP_CLOSED, OP_FORMS } op_form;
typedef struct op_stream {
    size_t offset[OP_FORMS];      /* of head 0's page in a block */
    size_t page_bytes[OP_FORMS];  /* one head's page */
    size_t head_stride[OP_FORMS]; /* from one head's page to the next head's */
    attn_format format[OP_FORMS];
} op_stream;

/* One layer's pages of one sequence, as the KV cache hands them out (kv/kv.h fills it). Pages that are full at the end
   of the step have the closed form where the KV type packs; a query reads the rows of its own page from an open one
   all the same, see attn_room. */
typedef struct op_pages {
    unsigned char *const *block; /* by page number */
    const unsigned char *closed; /* by page number: the block's op_form */
    unsigned char *closing;      /* the closed form of the item's first page, which is open and becomes full; or NULL */
    op_stream k, v;
} op_pages;

typedef struct attn_item { /* consecutive rows of one sequence */
    op_pages pages;
    int row0, n, pos0; /* rows row0.. of the step are tokens pos0.. of the sequence */
    int open0;         /* index in attn_room.open of the first page that begins within the item */
} attn_item;

typedef struct attn_shape {
    int n_head, n_head_kv, head_dim;
    int window; /* 0: all tokens */
    float scale, softcap;
    int n_rot;                    /* rotated part of a head, 0: no rope */
    bool rope_pairs;              /* interleaved instead of half-split */
    const float *rope;            /* n_rot floats for each row of the step: cos, sin, cos, sin ... */
    const float *q_norm, *k_norm; /* RMS norm of each head before the rope, NULL: none */
    float eps;
    const float *sinks; /* n_head, NULL: none */
} attn_shape;

/* What attention needs besides its inputs and outputs, for one layer at a time. */
typedef struct attn_room {
    act_block *qi; /* the step's query heads as integers: rows of n_head * attn_blocks(head_dim) */
    /* The open form of pages that are begun and filled within the step, [page][kv-head], K and then V: their blocks
       have the closed form already. */
    unsigned char *open;
    bool *not_finite;  /* set where a row of q, k or v is not finite, which attention would hide; may be NULL */
    long *v_overflows; /* counts values of V that are beyond f16's range; may be NULL */
    /* Partial results of decoding rows, one per (row, head, span). */
    float *m, *s, *o;
    int entries; /* how many of head_dim floats fit */
} attn_room;

/* Bytes of attn_room.open for steps of max_rows rows. */
size_t attn_open_bytes(int max_rows, int n_head_kv, int head_dim);

/* Norms and rotates q and k in place, scales q, and writes k and v into the pages; closes those that become full. Where
   K or V is q4, its rows (and q for K) also go through vec.hadamard. q: rows of n_head*head_dim, k and v: rows of
   n_head_kv*head_dim, ld_* floats apart. */
void op_append(op *t, const attn_shape *sh, const attn_item *items, int n_items, float *q, size_t ld_q, float *k,
               float *v, size_t ld_kv, const attn_room *room);

/* out row = attention of the row's query (as op_append left it) over everything that it may see: the pages before its
   own as they are stored, the rows of its own page as f16 (or f32). Within a page the order of summation is that of
   kernels/attn.h; pages are folded in order within a span of 16, and spans are merged in order. So the result does not
   depend on the threads, on the other rows, or on whether the row was decoded or prefilled. */
void op_attend(op *t, const attn_shape *sh, const attn_item *items, int n_items, const float *q, size_t ld_q,
               const attn_room *room, acts *out);

#endif
