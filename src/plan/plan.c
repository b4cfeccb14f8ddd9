/* A plan: what models would take, put together from the pure functions of src/plan and the choice of choose.c. */
#include "system/system.h"
#include "base/status.h"
#include "plan/planning.h"

#include "base/checked.h"
#include "base/cores.h"
#include "base/format.h"
#include "engine/engine.h"

#include <stdio.h>
#include <string.h>

/* What a run holds besides weights, KV and buffers, measured: the program with its libraries and allocator; a tokenizer
   and the metadata, which lie in memory in several forms, for each byte of the header; the sequence's own tables. */
enum {
    PROGRAM_BYTES = 8 << 20,
    BYTES_PER_HEADER_BYTE = 3,
    BYTES_PER_TOKEN = 5,
    LOADER_BYTES = 1 << 18, /* a thread's piece of a file */
    MAX_TENSOR_BITS = 58,   /* files that claim more are lies */
    OWN_TYPES = 3
};

typedef struct plan_object {
    kvasir_plan plan; /* first: the object is found through it */
    arena memory;
} plan_object;

/* ---- reading models ------------------------------------------------------------------------------------------------ */

static uint64_t header_bytes(const gguf *g)
{
    uint64_t first = gguf_total_bytes(g);
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (gguf_tensor_file(g, t) == 0 && t->offset < first) first = t->offset;
    }
    return first;
}

/* NULL: nothing was assumed. */
static const char *assumption(const plan_shape *s)
{
    if (!s->assumed) return NULL;
    return s->counts_all
               ? "assumed: plain attention in every layer, as the header's keys say; it has a window, and in which "
                 "layers is not said, so all tokens count"
               : "assumed: plain attention in every layer, as the header's keys say";
}

static kvasir_status read_shape(planning *p, planned *m)
{
    kvasir_status status = m->model->has_hparams ? plan_shape_of(&m->model->hparams, p->memory, &m->shape)
                                                 : plan_shape_read(m->model->gguf, p->memory, &m->shape);
    const char *says = status == KVASIR_OK ? assumption(&m->shape) : kvasir_message();
    m->known = status == KVASIR_OK;
    if (says && !(m->says = arena_text(p->memory, says, strlen(says)))) return fail_memory(strlen(says));
    bool asked = p->o->ctx || p->o->want_ctx || p->o->kv || p->o->peer;
    return status == KVASIR_E_UNSUPPORTED && !asked ? KVASIR_OK : status;
}

static kvasir_status read_weights(planning *p, planned *m, kvasir_plan_model *out)
{
    const gguf *g = m->model->gguf;
    plan_weights_row rows[PLAN_WEIGHTS_ROWS] = {0};
    if (gguf_tensor_bytes(g) >> MAX_TENSOR_BITS) {
        char size[FORMAT_BYTES];
        return fail(KVASIR_E_FORMAT, "%s claims %s of tensors", gguf_path(g), format_size(gguf_tensor_bytes(g), size));
    }
    if (m->model->has_hparams) {
        kvasir_status status = weights_bind(g, &m->model->hparams, &m->weights);
        if (status == KVASIR_E_MEMORY) return status;
        m->bound = status == KVASIR_OK;
    }
    m->weights_bytes = m->bound ? weights_bytes(&m->weights) : gguf_tensor_bytes(g);
    out->n_weights = plan_weights_by_type(g, m->bound ? &m->weights : NULL, rows);
    kvasir_plan_weights *list = arena_alloc(p->memory, (size_t)out->n_weights, sizeof *list);
    if (!list) return fail_memory((size_t)out->n_weights * sizeof *list);
    for (int i = 0; i < out->n_weights; i++)
        list[i] = (kvasir_plan_weights){.type = quant_traits_of((uint32_t)rows[i].type)->name,
                                        .in_memory = rows[i].in_memory,
                                        .n_tensors = rows[i].n_tensors,
                                        .file_bytes = rows[i].file_bytes,
                                        .bytes = rows[i].bytes};
    out->weights = list;
    return KVASIR_OK;
}

/* An engine reserves more rows of logits, but only those become memory that a step asks for. */
static void draw_buffers(const planning *p, planned *m)
{
    int n_logits = p->o->n_logits ? p->o->n_logits : p->plan->users;
    if (!m->bound) return;
    step_workspace_of(&m->weights, p->plan->max_batch, n_logits, p->plan->n_threads, &m->workspace);
    m->buffer_bytes = m->workspace.bytes + m->workspace.logits_bytes + m->workspace.items * sizeof(attn_item);
}

static kvasir_status make_levels(planning *p, planned *m)
{
    for (int i = 0; i < p->n_levels; i++) {
        kvasir_status status = plan_kv_make(&m->shape, p->level[i][0], p->level[i][1], p->memory, &m->kv[i]);
        m->holds[i] = status == KVASIR_OK;
        /* A type that was asked for and cannot be is an error; one that was only tried is none. */
        if (status != KVASIR_OK && (status != KVASIR_E_ARGUMENT || p->o->kv)) return status;
    }
    return KVASIR_OK;
}

static kvasir_status list_states(planning *p, planned *m, kvasir_plan_model *out)
{
    size_t room = (size_t)PLAN_STATES * (size_t)m->shape.n_layer;
    kvasir_plan_state *list = arena_alloc(p->memory, room, sizeof *list);
    if (!list) return fail_memory(room * sizeof *list);
    for (int i = 0; i < m->shape.n_layer; i++)
        for (int j = 0; j < PLAN_STATES; j++) {
            const plan_state *s = &m->shape.layer[i].state[j];
            if (!s->name) continue;
            list[out->n_states++] = (kvasir_plan_state){i, s->name, s->floats * sizeof(float)};
            m->state_bytes += s->floats * sizeof(float);
        }
    out->states = list;
    return KVASIR_OK;
}

static kvasir_status read_model(planning *p, planned *m, kvasir_plan_model *out)
{
    int want = p->o->ctx ? p->o->ctx : p->o->want_ctx;
    TRY(read_weights(p, m, out));
    TRY(read_shape(p, m));
    draw_buffers(p, m);
    m->header_bytes = header_bytes(m->model->gguf);
    if (!m->known) return KVASIR_OK;
    m->target = want ? want : m->shape.n_ctx;
    TRY(list_states(p, m, out));
    return make_levels(p, m);
}

/* ---- options ------------------------------------------------------------------------------------------------------- */

static kvasir_status check_options(const kvasir_plan_options *o, int n)
{
    int users = o->users ? o->users : 1, ctx = o->ctx > o->want_ctx ? o->ctx : o->want_ctx;
    if (n < 1 || n > PLAN_MAX_MODELS)
        return fail(KVASIR_E_ARGUMENT, "a plan of %d models; 1 to %d are possible", n, (int)PLAN_MAX_MODELS);
    if (o->ctx < 0 || o->want_ctx < 0 || ctx > KV_MAX_CONTEXT)
        return fail(KVASIR_E_ARGUMENT, "a context of %d tokens: 1 to %d are possible", ctx, (int)KV_MAX_CONTEXT);
    if (users < 1 || users > PLAN_MAX_USERS)
        return fail(KVASIR_E_ARGUMENT, "%d users; 1 to %d are possible", users, (int)PLAN_MAX_USERS);
    if (o->prefix < 0 || (o->ctx && o->prefix > o->ctx))
        return fail(KVASIR_E_ARGUMENT, "a shared prefix of %d tokens in a context of %d", o->prefix, o->ctx);
    if (o->max_batch < 0 || o->max_batch > ENGINE_MAX_BATCH || o->n_logits < 0 || o->n_logits > ENGINE_MAX_LOGITS ||
        o->n_threads < 0)
        return fail(KVASIR_E_ARGUMENT, "max_batch %d (0 to %d), n_logits %d (0 to %d), n_threads %d (not negative)",
                    o->max_batch, (int)ENGINE_MAX_BATCH, o->n_logits, (int)ENGINE_MAX_LOGITS, o->n_threads);
    if (o->peer && strcmp(o->peer, "llama.cpp") != 0)
        return fail(KVASIR_E_ARGUMENT, "%s is not a program that can be planned for; there is llama.cpp",
                    quoted(o->peer, strlen(o->peer)));
    if (!o->budget && !system_available())
        return fail(KVASIR_E_ARGUMENT, "how much memory is free cannot be found out here: a budget must be given");
    return KVASIR_OK;
}

/* K and V of an options text; with a peer its own types as well, planned here as the next larger of ours. */
static kvasir_status parse_types(planning *p)
{
    const char *kv = p->o->kv;
    if (!p->o->peer) return kv_type_parse(kv, &p->level[0][0], &p->level[0][1]);
    const char *colon = strchr(kv, ':'), *v = colon ? colon + 1 : kv;
    p->peer_k = peer_type_find(kv, colon ? (size_t)(colon - kv) : strlen(kv));
    p->peer_v = peer_type_find(v, strlen(v));
    if (!p->peer_k || !p->peer_v) {
        char names[128];
        return fail(KVASIR_E_ARGUMENT, "KV type %s is unknown; llama.cpp has %s",
                    p->peer_k ? quoted(v, strlen(v)) : quoted(kv, colon ? (size_t)(colon - kv) : strlen(kv)),
                    peer_type_names(names, sizeof names));
    }
    p->level[0][0] = p->peer_k->ours;
    p->level[0][1] = p->peer_v->ours;
    return KVASIR_OK;
}

static kvasir_status set_levels(planning *p)
{
    static const kv_type order[PLAN_LEVELS][2] = {{KV_F16, KV_F16}, {KV_Q8, KV_Q8}, {KV_Q8, KV_Q4}, {KV_Q4, KV_Q4}};
    memcpy(p->level, order, sizeof order);
    p->n_levels = p->o->kv ? 1 : PLAN_LEVELS;
    return p->o->kv ? parse_types(p) : KVASIR_OK;
}

/* ---- the result ---------------------------------------------------------------------------------------------------- */

static kvasir_status list_streams(planning *p, const planned *m, kvasir_plan_model *out)
{
    const plan_kv *kv = &m->kv[p->chosen];
    kvasir_plan_stream *list = arena_alloc(p->memory, (size_t)kv->n_streams, sizeof *list);
    if (!list) return fail_memory((size_t)kv->n_streams * sizeof *list);
    for (int i = 0; i < kv->n_streams; i++) {
        const plan_stream *s = &kv->stream[i];
        list[i] = (kvasir_plan_stream){.layer = s->layer,
                                       .n_heads = s->n_heads,
                                       .head_dim = s->dim,
                                       .window = s->window,
                                       .ratio = s->ratio,
                                       .name = s->name,
                                       .type = kv_type_name(s->type),
                                       .row_bytes = (double)s->page_bytes[KV_CLOSED] * s->n_heads / KV_PAGE_TOKENS,
                                       .bytes = plan_stream_bytes(kv, s, m->ctx)};
    }
    out->streams = list;
    out->n_streams = kv->n_streams;
    return KVASIR_OK;
}

static kvasir_status longest_contexts(const planning *p, const planned *m, int i, kvasir_plan_model *out)
{
    static const kv_type types[OWN_TYPES] = {KV_F16, KV_Q8, KV_Q4};
    int users = p->plan->users, prefix = p->plan->prefix;
    uint64_t room = plan_kv_room_of(p, i, 0);
    for (int t = 0; t < OWN_TYPES; t++) {
        arena scratch = {0};
        plan_kv kv;
        kvasir_status status = plan_kv_make(&m->shape, types[t], types[t], &scratch, &kv);
        out->max_ctx[t] = status == KVASIR_OK ? plan_kv_max_tokens(&kv, room, users, prefix, 0) : -1;
        if (status == KVASIR_OK) plan_kv_free(&kv);
        arena_free(&scratch);
        if (status == KVASIR_E_MEMORY) return status;
    }
    uint64_t beyond = plan_kv_room_of(p, i, p->plan->margin);
    int spill = plan_kv_max_tokens(&m->kv[p->chosen], beyond, users, prefix, 0);
    out->spill_depth = spill < KV_MAX_CONTEXT ? spill : 0;
    return KVASIR_OK;
}

static kvasir_status fill_kv(planning *p, const planned *m, int i, kvasir_plan_model *out)
{
    const plan_kv *kv = &m->kv[p->chosen];
    int users = p->plan->users, prefix = min_int(p->plan->prefix, m->ctx);
    uint64_t one = plan_kv_bytes(kv, m->ctx, m->ctx);
    out->kv_known = 1;
    out->ctx = m->ctx;
    out->kv_k = kv_type_name(kv->type_k);
    out->kv_v = kv_type_name(kv->type_v);
    out->kv_bytes = plan_kv_total(kv, m->ctx, users, prefix);
    out->kv_shared_bytes = users > 1 && prefix > 0 ? plan_kv_bytes(kv, m->ctx, prefix) : 0;
    out->kv_sequence_bytes = one - out->kv_shared_bytes;
    out->mark_bytes = plan_kv_marks(kv, m->ctx, users);
    out->state_bytes = m->state_bytes * (uint64_t)users;
    TRY(list_streams(p, m, out));
    TRY(longest_contexts(p, m, i, out));
    return p->o->peer ? plan_fill_peer(p, m, out) : KVASIR_OK;
}

static kvasir_status note_beyond(planning *p, const planned *m)
{
    const char *path = gguf_path(m->model->gguf);
    return plan_say(p, p->notes, &p->plan->n_notes,
                    "%s: a context of %d tokens is longer than the %d that the model was trained for: expect poor "
                    "answers beyond them",
                    quoted(path, strlen(path)), m->ctx, m->shape.n_ctx);
}

static kvasir_status fill_model(planning *p, const planned *m, int i, kvasir_plan_model *out)
{
    out->model = m->model;
    out->runs = m->model->runs;
    out->kv_says = m->says;
    out->kv_assumed = m->known && m->shape.assumed;
    out->ctx_train = m->known ? m->shape.n_ctx : m->model->info.n_ctx_train;
    out->weights_bytes = m->weights_bytes;
    out->workspace_bytes = m->workspace.bytes;
    out->buffer_bytes = m->buffer_bytes;
    if (m->known)
        TRY(fill_kv(p, m, i, out));
    else
        p->plan->n_unknown++;
    if (m->known && m->ctx > m->shape.n_ctx) TRY(note_beyond(p, m));
    out->total_bytes = plan_add(plan_add(out->weights_bytes, plan_add(out->kv_bytes, out->mark_bytes)),
                                plan_add(out->state_bytes, out->buffer_bytes));
    return KVASIR_OK;
}

static uint64_t program_bytes(const planning *p)
{
    uint64_t sum = PROGRAM_BYTES + (uint64_t)p->plan->n_threads * LOADER_BYTES;
    for (int i = 0; i < p->n_models; i++) {
        const planned *m = &p->model[i];
        sum = plan_add(sum, BYTES_PER_HEADER_BYTE * m->header_bytes);
        sum = plan_add(sum, BYTES_PER_TOKEN * (uint64_t)m->target * (uint64_t)p->plan->users);
    }
    return sum;
}

static kvasir_status make(planning *p, const kvasir_model *const *models, kvasir_plan_model *out)
{
    TRY(set_levels(p));
    for (int i = 0; i < p->n_models; i++) {
        if (models[i]->is_other) return fail(KVASIR_E_UNSUPPORTED, "%s", models[i]->problems[0]);
        p->model[i].model = models[i];
        TRY(read_model(p, &p->model[i], &out[i]));
    }
    p->plan->program_bytes = program_bytes(p);
    TRY(plan_choose(p));
    for (int i = 0; i < p->n_models; i++) TRY(fill_model(p, &p->model[i], i, &out[i]));
    return KVASIR_OK;
}

static kvasir_status begin(plan_object *object, int n, const kvasir_plan_options *o, planning *p,
                           kvasir_plan_model **out)
{
    kvasir_plan *plan = &object->plan;
    *p = (planning){.plan = plan, .memory = &object->memory, .o = o, .n_models = n};
    p->model = mem_alloc((size_t)n, sizeof *p->model);
    p->why = arena_alloc(p->memory, PLAN_MAX_TEXTS, sizeof *p->why);
    p->remedies = arena_alloc(p->memory, PLAN_MAX_TEXTS, sizeof *p->remedies);
    *out = arena_alloc(p->memory, (size_t)n, sizeof **out);
    p->notes = arena_alloc(p->memory, PLAN_MAX_TEXTS, sizeof *p->notes);
    if (!p->model || !p->why || !p->remedies || !p->notes || !*out) return fail_memory((size_t)n * sizeof *p->model);
    plan->n_models = n;
    plan->models = *out;
    plan->why = p->why;
    plan->remedies = p->remedies;
    plan->notes = p->notes;
    plan->users = o->users ? o->users : 1;
    plan->prefix = o->prefix;
    plan->n_threads = o->n_threads ? o->n_threads : cpu_count();
    plan->max_batch = o->max_batch ? o->max_batch : ENGINE_DEFAULT_BATCH;
    plan->budget = o->budget ? o->budget : system_available();
    plan->reserve = o->reserve;
    return KVASIR_OK;
}

static void release(planning *p)
{
    for (int i = 0; p->model && i < p->n_models; i++) {
        planned *m = &p->model[i];
        for (int l = 0; l < PLAN_LEVELS; l++) plan_kv_free(&m->kv[l]);
        if (m->bound) weights_free(&m->weights);
    }
    mem_free(p->model);
}

kvasir_status kvasir_plan_make(const kvasir_model *const *models, int n, const kvasir_plan_options *o,
                               kvasir_plan **out)
{
    NEED(models);
    NEED(out);
    const kvasir_plan_options none = {0};
    planning p;
    kvasir_plan_model *list;
    if (!o) o = &none;
    TRY(check_options(o, n));
    for (int i = 0; i < n; i++)
        if (!models[i]) return fail(KVASIR_E_ARGUMENT, "models[%d] is NULL", i);
    plan_object *object = mem_alloc(1, sizeof *object);
    if (!object) return fail_memory(sizeof *object);
    kvasir_status status = begin(object, n, o, &p, &list);
    if (status == KVASIR_OK) status = make(&p, models, list);
    release(&p);
    if (status != KVASIR_OK)
        kvasir_plan_free(&object->plan);
    else
        *out = &object->plan;
    return status;
}

void kvasir_plan_free(kvasir_plan *plan)
{
    if (!plan) return;
    plan_object *object = (plan_object *)(void *)plan;
    arena_free(&object->memory);
    mem_free(object);
}
