#include "cli/plan/plan.h"

static json_t *json_texts(const char *const *texts, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) (void)json_array_append_new(list, json_text_or_null(texts[i]));
    return list;
}

/* Null where nothing is known. */
static json_t *bytes_or_null(int known, uint64_t n)
{
    return known ? json_bytes(n) : json_null();
}

static json_t *json_weights(const kvasir_plan_model *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n_weights; i++) {
        const kvasir_plan_weights *w = &m->weights[i];
        (void)json_array_append_new(list,
                                    json_pack("{s:s, s:s, s:i, s:o, s:o}", "type", w->type, "place",
                                              w->in_memory ? "memory" : "file", "tensors", w->n_tensors, "file_bytes",
                                              json_bytes(w->file_bytes), "bytes", json_bytes(w->bytes)));
    }
    return list;
}

static json_t *json_streams(const kvasir_plan_model *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n_streams; i++) {
        const kvasir_plan_stream *s = &m->streams[i];
        (void)json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:i, s:i, s:i, s:i, s:f, s:o}", "layer", s->layer,
                                                    "name", s->name, "type", s->type, "heads", s->n_heads, "head_dim",
                                                    s->head_dim, "window", s->window, "ratio", s->ratio, "row_bytes",
                                                    s->row_bytes, "bytes", json_bytes(s->bytes)));
    }
    return list;
}

static json_t *json_states(const kvasir_plan_model *m)
{
    json_t *list = json_array();
    for (int i = 0; i < m->n_states; i++)
        (void)json_array_append_new(list, json_pack("{s:i, s:s, s:o}", "layer", m->states[i].layer, "name",
                                                    m->states[i].name, "bytes", json_bytes(m->states[i].bytes)));
    return list;
}

static json_t *json_max_ctx(const kvasir_plan_model *m)
{
    static const char *const names[] = {"f16", "q8", "q4"};
    json_t *object = json_object();
    for (int i = 0; i < 3; i++)
        (void)json_object_set_new(object, names[i],
                                  m->kv_known && m->max_ctx[i] >= 0 ? json_integer(m->max_ctx[i]) : json_null());
    return object;
}

static json_t *json_peer(const kvasir_plan_peer *peer)
{
    json_t *buffers = json_array();
    if (!peer) {
        json_decref(buffers);
        return json_null();
    }
    for (int i = 0; i < peer->n_buffers; i++) {
        const kvasir_plan_buffer *b = &peer->buffers[i];
        (void)json_array_append_new(buffers,
                                    json_pack("{s:s, s:o, s:i, s:b, s:o, s:o}", "name", b->name, "cells",
                                              json_integer(b->cells), "layers", b->layers, "state", b->is_state,
                                              "k_bytes", json_bytes(b->k_bytes), "v_bytes", json_bytes(b->v_bytes)));
    }
    int known = peer->error == NULL;
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o, s:o, s:i, s:o, s:o}", "name", peer->name, "type_k",
                     peer->type_k, "type_v", peer->type_v, "ctx", peer->ctx, "kv_bytes",
                     bytes_or_null(known, peer->kv_bytes), "state_bytes", bytes_or_null(known, peer->state_bytes),
                     "bytes_per_token", known ? json_number(peer->bytes_per_token) : json_null(), "buffers", buffers,
                     "gpu_layers", peer->gpu_layers, "args", json_texts(peer->args, peer->n_args), "error",
                     json_text_or_null(peer->error));
}

static json_t *json_chosen(const kvasir_plan *p, const kvasir_plan_model *m)
{
    return json_pack("{s:o, s:o, s:o, s:i, s:i, s:o}", "ctx", m->kv_known ? json_integer(m->ctx) : json_null(), "kv_k",
                     json_text_or_null(m->kv_k), "kv_v", json_text_or_null(m->kv_v), "threads", p->n_threads, "batch",
                     p->max_batch, "why", json_texts(p->why, p->n_why));
}

static json_t *json_model(const kvasir_plan *p, const kvasir_plan_model *m, const plan_speed *s, const quality *q)
{
    const kvasir_model_info *i = kvasir_model_get_info(m->model);
    json_t *d = json_pack("{s:o, s:o, s:o, s:b, s:o}", "model", json_text_or_null(i->path), "architecture",
                          json_text_or_null(i->architecture), "name", json_text_or_null(i->name), "runs", m->runs,
                          "ctx_train", m->ctx_train ? json_integer(m->ctx_train) : json_null());
    (void)json_object_update_new(d, json_pack("{s:b, s:o}", "kv_assumed", m->kv_assumed, "kv_note",
                                              json_text_or_null(m->kv_says)));
    (void)json_object_update_new(
        d,
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "weights_bytes", json_bytes(m->weights_bytes),
                  "kv_bytes", bytes_or_null(m->kv_known, m->kv_bytes), "kv_shared_bytes",
                  bytes_or_null(m->kv_known, m->kv_shared_bytes), "kv_sequence_bytes",
                  bytes_or_null(m->kv_known, m->kv_sequence_bytes), "mark_bytes",
                  bytes_or_null(m->kv_known, m->mark_bytes), "state_bytes", bytes_or_null(m->kv_known, m->state_bytes),
                  "workspace_bytes", bytes_or_null(m->workspace_bytes > 0, m->workspace_bytes), "buffer_bytes",
                  bytes_or_null(m->workspace_bytes > 0, m->buffer_bytes), "total_bytes", json_bytes(m->total_bytes)));
    (void)json_object_update_new(d, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "speed",
                                              plan_speed_json(s, p, m), "quality", plan_quality_json(q), "weights",
                                              json_weights(m), "streams", json_streams(m), "states", json_states(m),
                                              "max_ctx", json_max_ctx(m), "spill_depth",
                                              m->spill_depth ? json_integer(m->spill_depth) : json_null(), "chosen",
                                              json_chosen(p, m), "peer", json_peer(m->peer)));
    return d;
}

static json_t *json_totals(const kvasir_plan *p)
{
    int open = p->n_unknown > 0 && p->missing_bytes == 0; /* what is known fits, and something is not known */
    return json_pack("{s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:o, s:o}", "total_bytes",
                     json_bytes(p->total_bytes), "total_is_least", p->n_unknown > 0 || plan_lacks_weights(p), "fits",
                     open ? json_null() : json_boolean(p->fits), "missing_bytes",
                     bytes_or_null(!open, p->missing_bytes), "program_bytes", json_bytes(p->program_bytes),
                     "budget_bytes", json_bytes(p->budget), "reserve_bytes", json_bytes(p->reserve), "margin_bytes",
                     json_bytes(p->margin), "users", p->users, "prefix", p->prefix, "would_fit",
                     json_texts(p->remedies, p->n_remedies), "notes", json_texts(p->notes, p->n_notes));
}

json_t *plan_document(const kvasir_plan *p, const plan_speed *s, const quality *q)
{
    json_t *d = json_document("plan");
    if (p->n_models == 1) {
        (void)json_object_update_new(d, json_model(p, &p->models[0], s, q));
        (void)json_object_update_new(d, json_totals(p));
        return d;
    }
    json_t *models = json_array();
    for (int i = 0; i < p->n_models; i++) (void)json_array_append_new(models, json_model(p, &p->models[i], s, &q[i]));
    (void)json_object_set_new(d, "models", models);
    (void)json_object_set_new(d, "totals", json_totals(p));
    return d;
}
