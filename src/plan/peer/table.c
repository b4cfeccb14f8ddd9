/* llama.cpp's caches, by its own rules (0.6.0): cells rounded up to 256, windows of window + ubatch cells, K alone where
   V is a part of it, states in f32. The formulas were checked against what it logs. */
#include "plan/peer/peer.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

enum { CELLS = 256, BLOCK = 32 };

static const peer_type types[] = {
    {"f32", "f32", 128, 1, KV_F32},   {"f16", "f16", 64, 1, KV_F16},    {"bf16", NULL, 64, 1, KV_F16},
    {"q8_0", "q8", 34, BLOCK, KV_Q8}, {"q5_1", NULL, 24, BLOCK, KV_Q8}, {"q5_0", NULL, 22, BLOCK, KV_Q8},
    {"q4_1", NULL, 20, BLOCK, KV_Q4}, {"q4_0", "q4", 18, BLOCK, KV_Q4}, {"iq4_nl", NULL, 18, BLOCK, KV_Q4},
};
enum { N_TYPES = sizeof types / sizeof *types };

const peer_type *peer_type_find(const char *name, size_t n)
{
    for (int i = 0; i < N_TYPES; i++) {
        const char *const names[] = {types[i].name, types[i].other};
        for (int j = 0; j < 2; j++)
            if (names[j] && strlen(names[j]) == n && !memcmp(names[j], name, n)) return &types[i];
    }
    return NULL;
}

const peer_type *peer_type_for(kv_type type)
{
    const char *name = kv_type_name(type);
    return peer_type_find(name, strlen(name));
}

const char *peer_type_names(char *to, size_t room)
{
    size_t used = 0;
    to[0] = 0;
    for (int i = 0; i < N_TYPES && used < room; i++)
        used += (size_t)snprintf(to + used, room - used, "%s%s", i ? ", " : "", types[i].name);
    return to;
}

int peer_context(int n_ctx)
{
    return (int)align_up((size_t)n_ctx, CELLS);
}

/* Adds a layer's bytes to the buffer of its kind. */
static void add(peer_table *t, const char *name, int64_t cells, uint64_t k_bytes, uint64_t v_bytes, bool is_state)
{
    int i = 0;
    while (i < t->n_buffers && (strcmp(t->buffer[i].name, name) != 0 || t->buffer[i].cells != cells)) i++;
    if (i == PEER_BUFFERS) i--; /* more kinds than any model has: the last one takes them */
    if (i == t->n_buffers)
        t->buffer[t->n_buffers++] = (peer_buffer){.name = name, .cells = cells, .is_state = is_state};
    peer_buffer *b = &t->buffer[i];
    b->layers++;
    b->k_bytes += k_bytes;
    b->v_bytes += v_bytes;
    t->bytes += k_bytes + v_bytes;
    if (is_state) t->state_bytes += k_bytes;
}

static uint64_t row_bytes(int n_heads, int dim, const peer_type *type)
{
    return (uint64_t)n_heads * (uint64_t)dim * (uint64_t)type->bytes_of_32;
}

static kvasir_status check_type(int dim, const peer_type *type, const char *what, int il)
{
    if (dim % type->block == 0) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT,
                "llama.cpp refuses %s for %s: its blocks of %d elements do not divide the heads of %d in layer %d",
                type->name, what, type->block, dim, il);
}

typedef struct request {
    int64_t ctx, ubatch, users;
    const peer_type *k, *v;
} request;

static void add_rows(peer_table *t, const request *q, const plan_layer *l)
{
    static const char full[] = "KV", window[] = "KV (SWA)", dense[] = "compressed KV (CSA)",
                      sparse[] = "compressed KV (HCA)", index[] = "indexer";
    int64_t cells = q->ctx;
    if (l->window && l->window + q->ubatch < cells) cells = peer_context((int)(l->window + q->ubatch));
    uint64_t k = row_bytes(l->n_head_kv, l->k_dim, q->k), v = row_bytes(l->n_head_kv, l->v_dim, q->v);
    uint64_t n = (uint64_t)(cells * q->users);
    if (l->n_head_kv) add(t, l->window ? window : full, cells * q->users, n * k / BLOCK, n * v / BLOCK, false);
    if (l->ratio) {
        cells = peer_context((int)((q->ctx + l->ratio - 1) / l->ratio));
        n = (uint64_t)(cells * q->users);
        add(t, l->index_ratio ? dense : sparse, cells * q->users, n * k / BLOCK, 0, false);
    }
    if (l->index_ratio) {
        cells = peer_context((int)((q->ctx + l->index_ratio - 1) / l->index_ratio));
        n = (uint64_t)(cells * q->users);
        add(t, index, cells * q->users, n * row_bytes(1, l->index_dim, q->k) / BLOCK, 0, false);
    }
}

kvasir_status peer_table_make(const plan_shape *s, int n_ctx, int ubatch, int users, const peer_type *k,
                              const peer_type *v, peer_table *out)
{
    const request q = {peer_context(n_ctx), ubatch, users, k, v};
    *out = (peer_table){0};
    for (int i = 0; i < s->n_layer; i++) {
        const plan_layer *l = &s->layer[i];
        if (l->n_head_kv) {
            TRY(check_type(l->k_dim, k, "K", i));
            if (l->v_dim) TRY(check_type(l->v_dim, v, "V", i));
            if (l->index_dim) TRY(check_type(l->index_dim, k, "the indexer", i));
        }
        add_rows(out, &q, l);
    }
    for (int i = 0; i < s->n_layer; i++)
        for (int j = 0; j < PLAN_STATES; j++) {
            const plan_state *state = &s->layer[i].state[j];
            if (state->name) add(out, state->name, users, (uint64_t)users * state->floats * sizeof(float), 0, true);
        }
    return KVASIR_OK;
}
