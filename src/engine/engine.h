/* The engine's objects, shared by its files. */
#ifndef KVASIR_ENGINE_ENGINE_H
#define KVASIR_ENGINE_ENGINE_H

#include "engine/model.h"

#include <stdatomic.h>

enum {
    ENGINE_DEFAULT_BATCH = 512,
    ENGINE_DEFAULT_LOGITS = 64,
    ENGINE_MAX_BATCH = 1 << 14,
    ENGINE_MAX_LOGITS = 1 << 14
};

/* A model whose weights are in memory, with the buffers of its steps. */
typedef struct loaded {
    struct loaded *next;
    const kvasir_model *model;
    weights weights;
    step step;
    attn_item *items; /* [layer][max_batch] */
    unsigned char *workspace;
    size_t workspace_bytes;
    float *logits; /* max_logits rows of whole panels; becomes memory only as far as rows are asked for */
    size_t logits_bytes;
    op_limits limits;
    size_t scratch_bytes; /* of one thread, inside the workspace */
    unsigned char *scratch;
    kv_layout *layout[KV_TYPES][KV_TYPES]; /* made when first asked for */
    long v_overflows;                      /* values of V beyond f16's range so far */
    bool said_overflows;
} loaded;

/* The positions of one work item that are still to be computed: first those whose KV a cut has discarded, then
   the new ones. */
typedef struct pending {
    int from, to; /* first one to compute, one past the last */
} pending;

struct kvasir_engine {
    team *team;
    int max_threads; /* the workspace has room for this many */
    kernels kernels;
    kv_pool *pool;
    int max_batch, max_logits;
    loaded *models;
    int32_t *ids; /* max_batch each: the rows of a piece */
    int *pos, *logit_rows;
    pending *todo; /* max_batch each: the items of a step */
    int *taken;
    atomic_bool cancel;
    unsigned allocations; /* attempts to allocate inside a step: must stay 0 */
    kvasir_log_fn log;
    void *log_user;
    int n_seqs;
};

struct kvasir_seq {
    kvasir_engine *engine;
    loaded *loaded;
    kv_seq *kv;
    kv_type type_k, type_v;
    int32_t *ids; /* room for n_ctx entries */
    int n_ids;    /* after a cut kv_seq_length may be less: the difference is computed again */
    int n_ctx;
    bool in_step;
};

#endif
