/* What llama.cpp needs for the same model, context and types, and the command line that asks it for that. */
#include "plan/planning.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ARGS = 32, NUMBER_ROOM = 24, PEER_BATCH = 2048, RATE_FROM = 1 << 20 };

static kvasir_status fill_buffers(planning *p, const peer_table *t, kvasir_plan_peer *peer)
{
    kvasir_plan_buffer *list = arena_alloc(p->memory, (size_t)t->n_buffers, sizeof *list);
    if (!list) return fail_memory((size_t)t->n_buffers * sizeof *list);
    for (int i = 0; i < t->n_buffers; i++) {
        const peer_buffer *b = &t->buffer[i];
        list[i] = (kvasir_plan_buffer){b->name, b->cells, b->layers, b->is_state, b->k_bytes, b->v_bytes};
    }
    peer->buffers = list;
    peer->n_buffers = t->n_buffers;
    peer->kv_bytes = t->bytes;
    peer->state_bytes = t->state_bytes;
    return KVASIR_OK;
}

/* What a token more costs, far beyond every window; contexts of whole units of 256, so exactly. */
static kvasir_status find_rate(const planned *m, int ubatch, const peer_type *k, const peer_type *v, double *out)
{
    peer_table near, far;
    TRY(peer_table_make(&m->shape, RATE_FROM, ubatch, 1, k, v, &near));
    TRY(peer_table_make(&m->shape, 2 * RATE_FROM, ubatch, 1, k, v, &far));
    *out = (double)(far.bytes - near.bytes) / RATE_FROM;
    return KVASIR_OK;
}

typedef struct command {
    planning *p;
    const char **args;
    int n;
} command;

static kvasir_status push(command *c, const char *text)
{
    const char *copy = arena_text(c->p->memory, text, strlen(text));
    if (!copy) return fail_memory(strlen(text));
    if (c->n < MAX_ARGS) c->args[c->n++] = copy;
    return KVASIR_OK;
}

static kvasir_status push_number(command *c, const char *option, int64_t value)
{
    char text[NUMBER_ROOM];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    TRY(push(c, option));
    return push(c, text);
}

/* The layer whose tensor this is; -1: none. */
static int layer_of(const gguf_tensor *t)
{
    int il, used = 0;
    return sscanf(t->name.s, "blk.%9d.%n", &il, &used) == 1 && used > 0 ? il : -1;
}

/* How many layers, from the last on, and then the output, fit a GPU with their share of the cache and the buffers that the
   peer's graphs want there. */
static kvasir_status count_gpu_layers(planning *p, const planned *m, const peer_table *table, int *out)
{
    const uint64_t buffers = (uint64_t)512 << 20;
    const gguf *g = m->model->gguf;
    int n = m->shape.n_layer;
    uint64_t room = p->o->gpu_bytes, share = table->bytes / (uint64_t)(n > 0 ? n : 1), output = 0;
    *out = 0;
    if (room <= buffers) return KVASIR_OK;
    room -= buffers;
    uint64_t *bytes = arena_alloc(p->memory, (size_t)n, sizeof *bytes);
    if (!bytes) return fail_memory((size_t)n * sizeof *bytes);
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        int il = layer_of(t);
        if (il >= 0 && il < n)
            bytes[il] += t->bytes;
        else if (strcmp(t->name.s, gguf_find_tensor(g, "output.weight") ? "output.weight" : "token_embd.weight") == 0)
            output = t->bytes;
    }
    for (int il = n - 1; il >= 0 && bytes[il] + share <= room; il--, ++*out) room -= bytes[il] + share;
    *out += *out == n && output <= room;
    return KVASIR_OK;
}

/* Flash attention is needed for a V cache that is not f16, and never harms. Its context is that of all users together. */
static kvasir_status fill_command(planning *p, const planned *m, kvasir_plan_peer *peer)
{
    const kvasir_plan *plan = p->plan;
    command c = {.p = p, .args = arena_alloc(p->memory, MAX_ARGS, sizeof *c.args)};
    if (!c.args) return fail_memory(MAX_ARGS * sizeof *c.args);
    TRY(push(&c, plan->users > 1 ? "llama-server" : "llama-cli"));
    TRY(push(&c, "-m"));
    TRY(push(&c, m->model->info.path));
    TRY(push_number(&c, "-c", (int64_t)peer->ctx * plan->users));
    TRY(push(&c, "-ctk"));
    TRY(push(&c, peer->type_k));
    TRY(push(&c, "-ctv"));
    TRY(push(&c, peer->type_v));
    TRY(push(&c, "-fa"));
    TRY(push(&c, "on"));
    TRY(push_number(&c, "-t", plan->n_threads));
    TRY(push_number(&c, "-ub", plan->max_batch));
    if (plan->max_batch > PEER_BATCH) TRY(push_number(&c, "-b", plan->max_batch));
    TRY(push_number(&c, "-ngl", peer->gpu_layers));
    if (plan->users > 1) TRY(push_number(&c, "-np", plan->users));
    peer->args = c.args;
    peer->n_args = c.n;
    return KVASIR_OK;
}

kvasir_status plan_fill_peer(planning *p, const planned *m, kvasir_plan_model *out)
{
    const plan_kv *kv = &m->kv[p->chosen];
    const peer_type *k = p->peer_k ? p->peer_k : peer_type_for(kv->type_k);
    const peer_type *v = p->peer_v ? p->peer_v : peer_type_for(kv->type_v);
    kvasir_plan_peer *peer = arena_alloc(p->memory, 1, sizeof *peer);
    peer_table table;
    if (!peer) return fail_memory(sizeof *peer);
    out->peer = peer;
    *peer = (kvasir_plan_peer){.name = "llama.cpp", .type_k = k->name, .type_v = v->name, .ctx = peer_context(m->ctx)};
    if (peer_table_make(&m->shape, m->ctx, p->plan->max_batch, p->plan->users, k, v, &table) != KVASIR_OK) {
        peer->error = arena_text(p->memory, kvasir_message(), strlen(kvasir_message()));
        return peer->error ? KVASIR_OK : fail_memory(strlen(kvasir_message()));
    }
    TRY(fill_buffers(p, &table, peer));
    TRY(find_rate(m, p->plan->max_batch, k, v, &peer->bytes_per_token));
    TRY(count_gpu_layers(p, m, &table, &peer->gpu_layers));
    return fill_command(p, m, peer);
}
