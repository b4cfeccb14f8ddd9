/* Finds tensors and checks them against the hyperparameters. Nothing is read here; the list of bindings tells load.c
   what to read and where it goes. */
#include "model/bind.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

enum { NAME_ROOM = 128, FIRST_BINDINGS = 64, VECTOR_ALIGN = 64 };

static kvasir_status add(binder *b, binding item)
{
    if (b->w->n_bindings == b->room) {
        int room = b->room ? 2 * b->room : FIRST_BINDINGS;
        binding *more = arena_alloc(&b->w->memory, (size_t)room, sizeof *more);
        if (!more) return fail_memory((size_t)room * sizeof *more);
        if (b->room) memcpy(more, b->w->bindings, (size_t)b->room * sizeof *more);
        b->w->bindings = more;
        b->room = room;
    }
    b->w->bindings[b->w->n_bindings++] = item;
    return KVASIR_OK;
}

static kvasir_status find(binder *b, bool required, const char *format, int il, const gguf_tensor **out)
{
    char name[NAME_ROOM];
    (void)snprintf(name, sizeof name, format, il); // NOLINT: the formats are literals in the families' files
    *out = gguf_find_tensor(b->g, name);
    if (!*out && required) return fail(KVASIR_E_FORMAT, "tensor %s is missing", name);
    return KVASIR_OK;
}

static kvasir_status check(const gguf_tensor *t, int64_t d0, int64_t d1, int64_t d2)
{
    if (!quant_traits_of((uint32_t)t->type) || !quant_traits_of((uint32_t)t->type)->decode)
        return fail(KVASIR_E_FORMAT, "tensor %s: type %s holds no weights", quoted(t->name.s, t->name.n),
                    quant_traits_of((uint32_t)t->type) ? quant_traits_of((uint32_t)t->type)->name : "?");
    if (t->shape[0] == d0 && t->shape[1] == d1 && t->shape[2] == d2 && t->shape[3] == 1) return KVASIR_OK;
    return fail(KVASIR_E_FORMAT, "tensor %s: shape [%lld, %lld, %lld, %lld] where [%lld, %lld, %lld, 1] is expected",
                quoted(t->name.s, t->name.n), (long long)t->shape[0], (long long)t->shape[1], (long long)t->shape[2],
                (long long)t->shape[3], (long long)d0, (long long)d1, (long long)d2);
}

kvasir_status bind_vector(binder *b, const float **to, int n, bool required, const char *name, int il)
{
    const gguf_tensor *t;
    TRY(find(b, required, name, il, &t));
    if (!t) return KVASIR_OK;
    TRY(check(t, n, 1, 1));
    return add(b, (binding){.tensor = t, .vector = to});
}

/* NVFP4 weights have a factor for the whole tensor (of experts one each) in a tensor beside them: NAME.scale. */
static kvasir_status bind_factor(binder *b, const gguf_tensor *t, matrix *to, int n)
{
    static const char from[] = ".weight", with[] = ".scale";
    char name[NAME_ROOM];
    const size_t stem = t->name.n - strlen(from);
    if (t->name.n <= strlen(from) || stem + sizeof with > sizeof name || strcmp(t->name.s + stem, from) != 0)
        return KVASIR_OK;
    (void)snprintf(name, sizeof name, "%.*s%s", (int)stem, t->name.s, with);
    const gguf_tensor *factor = gguf_find_tensor(b->g, name);
    if (!factor) return KVASIR_OK;
    if (t->type != QUANT_NVFP4 || t == b->w->embedding)
        return fail(KVASIR_E_UNSUPPORTED,
                    "tensor %s: a factor is supported beside NVFP4 matrices of layers only, and %s is %s", name,
                    quoted(t->name.s, t->name.n), quant_traits_of((uint32_t)t->type)->name);
    TRY(check(factor, n, 1, 1));
    return add(b, (binding){.tensor = factor, .vector = &to->factor});
}

static kvasir_status bind_tensor(binder *b, const gguf_tensor *t, matrix *to, int rows, int k, int n)
{
    TRY(check(t, k, rows, n));
    matrix_shape(to, t->type, rows, k);
    if (to->kind < 0) b->w->has_raw = true;
    TRY(add(b, (binding){.tensor = t, .matrix = to, .n = n}));
    return bind_factor(b, t, to, n);
}

kvasir_status bind_matrix(binder *b, matrix *to, int rows, int k, bool required, const char *name, int il)
{
    const gguf_tensor *t;
    TRY(find(b, required, name, il, &t));
    return t ? bind_tensor(b, t, to, rows, k, 1) : KVASIR_OK;
}

kvasir_status bind_experts(binder *b, matrix_stack *to, int n, int rows, int k, const char *name, int il)
{
    const gguf_tensor *t;
    TRY(find(b, true, name, il, &t));
    to->n = n;
    return bind_tensor(b, t, &to->first, rows, k, n);
}

kvasir_status bind_attention(binder *b, weights *w, int il)
{
    const hparams *h = &w->h;
    layer *l = &w->layers[il];
    int n_q = h->n_head * h->head_dim, n_kv = h->n_head_kv * h->head_dim;
    TRY(bind_vector(b, &l->attn_norm, h->n_embd, true, "blk.%d.attn_norm.weight", il));
    TRY(bind_matrix(b, &l->wq, n_q, h->n_embd, true, "blk.%d.attn_q.weight", il));
    TRY(bind_matrix(b, &l->wk, n_kv, h->n_embd, true, "blk.%d.attn_k.weight", il));
    TRY(bind_matrix(b, &l->wv, n_kv, h->n_embd, true, "blk.%d.attn_v.weight", il));
    TRY(bind_matrix(b, &l->wo, h->n_embd, n_q, true, "blk.%d.attn_output.weight", il));
    TRY(bind_vector(b, &l->bq, n_q, false, "blk.%d.attn_q.bias", il));
    TRY(bind_vector(b, &l->bk, n_kv, false, "blk.%d.attn_k.bias", il));
    TRY(bind_vector(b, &l->bv, n_kv, false, "blk.%d.attn_v.bias", il));
    return bind_vector(b, &l->bo, h->n_embd, false, "blk.%d.attn_output.bias", il);
}

kvasir_status bind_dense(binder *b, weights *w, int il)
{
    const hparams *h = &w->h;
    layer *l = &w->layers[il];
    TRY(bind_vector(b, &l->ffn_norm, h->n_embd, true, "blk.%d.ffn_norm.weight", il));
    TRY(bind_matrix(b, &l->gate, h->n_ff, h->n_embd, true, "blk.%d.ffn_gate.weight", il));
    TRY(bind_matrix(b, &l->up, h->n_ff, h->n_embd, true, "blk.%d.ffn_up.weight", il));
    TRY(bind_matrix(b, &l->down, h->n_embd, h->n_ff, true, "blk.%d.ffn_down.weight", il));
    TRY(bind_vector(b, &l->b_gate, h->n_ff, false, "blk.%d.ffn_gate.bias", il));
    TRY(bind_vector(b, &l->b_up, h->n_ff, false, "blk.%d.ffn_up.bias", il));
    return bind_vector(b, &l->b_down, h->n_embd, false, "blk.%d.ffn_down.bias", il);
}

kvasir_status bind_head_norms(binder *b, weights *w, int il)
{
    TRY(bind_vector(b, &w->layers[il].q_norm, w->h.head_dim, true, "blk.%d.attn_q_norm.weight", il));
    return bind_vector(b, &w->layers[il].k_norm, w->h.head_dim, true, "blk.%d.attn_k_norm.weight", il);
}

kvasir_status bind_routed(binder *b, weights *w, int il)
{
    const hparams *h = &w->h;
    layer *l = &w->layers[il];
    moe_weights *m = &l->moe;
    m->n_expert = h->n_expert;
    m->n_used = h->n_expert_used;
    m->normalise = true;
    m->scale = 1;
    TRY(bind_vector(b, &l->ffn_norm, h->n_embd, true, "blk.%d.ffn_norm.weight", il));
    TRY(bind_matrix(b, &m->router, h->n_expert, h->n_embd, true, "blk.%d.ffn_gate_inp.weight", il));
    TRY(bind_experts(b, &m->gate, h->n_expert, h->n_ff, h->n_embd, "blk.%d.ffn_gate_exps.weight", il));
    TRY(bind_experts(b, &m->up, h->n_expert, h->n_ff, h->n_embd, "blk.%d.ffn_up_exps.weight", il));
    return bind_experts(b, &m->down, h->n_expert, h->n_embd, h->n_ff, "blk.%d.ffn_down_exps.weight", il);
}

static kvasir_status bind_all(binder *b, weights *w)
{
    const hparams *h = &w->h;
    const gguf_tensor *output;
    TRY(find(b, true, "token_embd.weight", 0, &w->embedding));
    TRY(check(w->embedding, h->n_embd, h->n_vocab, 1));
    TRY(find(b, false, "output.weight", 0, &output));
    TRY(bind_tensor(b, output ? output : w->embedding, &w->output, h->n_vocab, h->n_embd, 1));
    TRY(bind_vector(b, &w->output_norm, h->n_embd, true, "output_norm.weight", 0));
    TRY(bind_vector(b, &w->output_bias, h->n_vocab, false, "output.bias", 0));
    TRY(bind_vector(b, &w->rope_freqs, h->rope.n_rot / 2, false, "rope_freqs.weight", 0));
    for (int il = 0; il < h->n_layer; il++) TRY(h->arch->bind(b, w, il));
    return KVASIR_OK;
}

kvasir_status weights_bind(const gguf *g, const hparams *h, weights *w)
{
    binder b = {.g = g, .w = w};
    *w = (weights){.h = *h};
    w->layers = arena_alloc(&w->memory, (size_t)h->n_layer, sizeof *w->layers);
    w->inv_freq = arena_alloc(&w->memory, (size_t)h->head_dim, sizeof *w->inv_freq);
    w->inv_freq_window = arena_alloc(&w->memory, (size_t)h->head_dim, sizeof *w->inv_freq_window);
    kvasir_status status =
        w->layers && w->inv_freq && w->inv_freq_window ? bind_all(&b, w) : fail_memory(sizeof(layer));
    if (status != KVASIR_OK) weights_free(w);
    return status;
}

size_t binding_bytes(const binding *b)
{
    if (b->matrix) return (size_t)b->n * matrix_bytes(b->matrix);
    return align_up((size_t)b->tensor->shape[0] * sizeof(float), VECTOR_ALIGN) + VECTOR_ALIGN;
}

size_t weights_bytes(const weights *w)
{
    size_t bytes = 0;
    for (int i = 0; i < w->n_bindings; i++) bytes += binding_bytes(&w->bindings[i]);
    return bytes;
}

uint64_t weights_step_bytes(const weights *w)
{
    uint64_t bytes = w->embedding->row_bytes;
    for (int i = 0; i < w->n_bindings; i++) {
        const binding *b = &w->bindings[i];
        if (b->matrix)
            bytes += (uint64_t)(b->n > 1 ? w->h.n_expert_used : 1) * matrix_bytes(b->matrix);
        else if (b->vector != &w->rope_freqs) /* read when the weights are loaded */
            bytes += (uint64_t)b->tensor->shape[0] * sizeof(float);
    }
    return bytes;
}

const char *weights_raw_type(const weights *w)
{
    for (int i = 0; i < w->n_bindings; i++)
        if (w->bindings[i].matrix && w->bindings[i].matrix->kind < 0)
            return quant_traits_of((uint32_t)w->bindings[i].tensor->type)->name;
    return NULL;
}

void weights_free(weights *w)
{
    region_free(w->region, w->region_bytes);
    arena_free(&w->memory);
    *w = (weights){0};
}
