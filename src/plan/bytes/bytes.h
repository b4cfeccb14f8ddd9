/* Planning: from a file's header to bytes, without reading a weight. Pure functions; plan/plan.c makes a plan of them.
   What the engine allocates comes from the same functions that it calls itself (kv_layout_make, weights_bytes,
   step_workspace_of), so a number is never computed twice. */
#ifndef KVASIR_PLAN_BYTES_BYTES_H
#define KVASIR_PLAN_BYTES_BYTES_H

#include "base/mem.h"
#include "gguf/gguf.h"
#include "kv/kv.h"
#include "model/model.h"

/* Beyond these a header is refused, so that no product of them overflows. */
enum {
    PLAN_MAX_DIM = 1 << 12,   /* of a head, an indexer's row, a recurrent state */
    PLAN_MAX_WIDTH = 1 << 17, /* heads times dimension; a recurrent layer's inner size */
    PLAN_MAX_CONV = 1 << 8,
    PLAN_STATES = 2
};

/* ---- shape.c, arch_*.c: what a header says about memory that grows with use ---------------------------------------- */

/* A piece of memory of fixed size that a sequence has in a layer. */
typedef struct plan_state {
    const char *name; /* NULL: none */
    uint64_t floats;
} plan_state;

typedef struct plan_layer {
    int n_head_kv, k_dim, v_dim; /* a row of K and of V for each token; no heads: neither; v_dim 0: V is a part of K */
    int window;                  /* 0: of all tokens */
    int ratio;                   /* besides: one row of k_dim elements for every `ratio` tokens; 0: none */
    int index_dim, index_ratio;  /* besides: one row of an indexer for every index_ratio tokens; 0: none */
    plan_state state[PLAN_STATES];
} plan_layer;

typedef struct plan_shape {
    int n_layer, n_ctx; /* n_ctx: trained for */
    bool assumed;       /* plain attention, since the header's keys are those of it; nobody knows the architecture */
    bool counts_all;    /* of an assumed one: it has a window, and in which layers is not said: all tokens count */
    plan_layer *layer;  /* in the arena that it was read into */
} plan_shape;

/* Reads the keys of an architecture that is known here (those that run and those that can only be planned), or of one that looks
   like plain attention (`assumed`). KVASIR_E_UNSUPPORTED for others says what is in the way; KVASIR_E_FORMAT names the key
   that is missing or absurd. */
kvasir_status plan_shape_read(const gguf *g, arena *memory, plan_shape *out);
/* The same from the hyperparameters of a model that runs. */
kvasir_status plan_shape_of(const hparams *h, arena *memory, plan_shape *out);

/* ---- kv.c: KV in this program's own formats ----------------------------------------------------------------------- */

typedef struct plan_stream {
    int layer, n_heads, dim, window, ratio; /* one row for every `ratio` tokens */
    const char *name;                       /* "k", "v", "kv" (K, V is a part of it), "compressed", "index" */
    kv_type type;
    size_t page_bytes[KV_FORMATS]; /* 64 rows of one head */
} plan_stream;

typedef struct plan_kv {
    kv_type type_k, type_v;
    plan_stream *stream;
    int n_streams;
    bool has_layout; /* the pool's own layout; false where it has none yet for these streams: then pages alone count */
    kv_layout layout;
} plan_kv;

/* KVASIR_E_ARGUMENT when a type cannot hold a row. Freed by plan_kv_free; the streams are in the arena. */
kvasir_status plan_kv_make(const plan_shape *s, kv_type k, kv_type v, arena *memory, plan_kv *out);
void plan_kv_free(plan_kv *kv);
/* Bytes of a sequence of n tokens that are of its first n_shared tokens only (n_shared n: all its bytes). */
uint64_t plan_kv_bytes(const plan_kv *kv, int n, int n_shared);
uint64_t plan_stream_bytes(const plan_kv *kv, const plan_stream *s, int n);
/* Bytes of `users` sequences of n tokens that share their first n_shared. */
uint64_t plan_kv_total(const plan_kv *kv, int n, int users, int n_shared);
/* The most that a mark of each of them adds (kvasir_seq_mark). */
uint64_t plan_kv_marks(const plan_kv *kv, int n, int users);
/* The most that they and n_marks of each hold for a moment while they grow to that, all at the same pace: a page that packs
   needs its open and its closed form. */
uint64_t plan_kv_peak(const plan_kv *kv, int n, int users, int n_shared, int n_marks);
/* The longest context with which that stays within `room` all the way; 0: none. */
int plan_kv_max_tokens(const plan_kv *kv, uint64_t room, int users, int n_shared, int n_marks);

/* ---- weights.c: weights ------------------------------------------------------------------------------------------- */

typedef struct plan_weights_row {
    quant_type type;
    bool in_memory; /* false: stays in the file and is read from it as tokens ask */
    int n_tensors;
    uint64_t file_bytes, bytes; /* bytes: in memory */
} plan_weights_row;

enum { PLAN_WEIGHTS_ROWS = 2 * 64 };

/* Tensors by type. With `w` (bound) in memory as packed, without as they are in the file. Returns the number of rows. */
int plan_weights_by_type(const gguf *g, const weights *w, plan_weights_row *rows);

#endif
