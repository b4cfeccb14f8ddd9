/* Sequences: the KV of one conversation and the ids that it stands for. */
#include "engine/engine.h"
#include "base/status.h"

#include "base/checked.h"
#include "base/format.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

enum { KEPT_MARKS = 2 };

static kvasir_status layout_of(loaded *l, const char *kv, const kv_layout **out)
{
    kv_type k, v;
    TRY(kv_type_parse(kv ? kv : "f16", &k, &v));
    if (!l->layout[k][v]) {
        kv_layout *made = mem_alloc(1, sizeof *made);
        if (!made) return fail_memory(sizeof *made);
        kvasir_status status = model_kv_layout(l->model, kv, made);
        if (status != KVASIR_OK) {
            mem_free(made);
            return status;
        }
        l->layout[k][v] = made;
    }
    *out = l->layout[k][v];
    return KVASIR_OK;
}

static loaded *find_loaded(const kvasir_engine *e, const kvasir_model *m)
{
    loaded *l = e->models;
    while (l && l->model != m) l = l->next;
    return l;
}

static kvasir_status new_seq(kvasir_engine *e, loaded *l, int n_ctx, kvasir_seq **out)
{
    kvasir_seq *s = mem_alloc(1, sizeof *s);
    int32_t *ids = region_reserve((size_t)n_ctx * sizeof *ids, false); /* takes no memory until it fills */
    if (!s || !ids) {
        mem_free(s);
        region_free(ids, (size_t)n_ctx * sizeof *ids);
        return fail_memory((size_t)n_ctx * sizeof *ids);
    }
    *s = (kvasir_seq){.engine = e, .loaded = l, .ids = ids, .n_ctx = n_ctx};
    e->n_seqs++;
    *out = s;
    return KVASIR_OK;
}

kvasir_status kvasir_seq_create(kvasir_engine *e, const kvasir_model *m, const kvasir_seq_options *o, kvasir_seq **out)
{
    NEED(e);
    NEED(m);
    NEED(out);
    const kvasir_seq_options none = {0};
    const kv_layout *layout = NULL;
    kvasir_seq *s = NULL;
    if (!o) o = &none;
    loaded *l = find_loaded(e, m);
    if (!l) return fail(KVASIR_E_ARGUMENT, "the model has not been loaded into this engine");
    if (o->n_ctx < 0 || o->n_ctx > KV_MAX_CONTEXT)
        return fail(KVASIR_E_ARGUMENT, "a context of %d tokens: 1 to %d are possible", o->n_ctx, (int)KV_MAX_CONTEXT);
    TRY(layout_of(l, o->kv, &layout));
    int most = kv_layout_max_tokens(layout, kv_pool_budget(e->pool), 0);
    int marked = kv_layout_max_tokens(layout, kv_pool_budget(e->pool), 1); /* where it is chosen, a mark has room too */
    char need[FORMAT_BYTES], budget[FORMAT_BYTES];
    int n_ctx = o->n_ctx ? o->n_ctx : min_int(l->weights.h.n_ctx, marked > 0 ? marked : most);
    if (n_ctx < 1 || n_ctx > most)
        return fail(KVASIR_E_MEMORY,
                    "a context of %d tokens takes %s of KV at %s:%s, the budget is %s: at most %d tokens fit", n_ctx,
                    format_size(kv_layout_bytes(layout, max_int(n_ctx, 1)), need), kv_type_name(layout->type_k),
                    kv_type_name(layout->type_v), format_size(kv_pool_budget(e->pool), budget), most);
    if (n_ctx > l->weights.h.n_ctx && e->log) {
        char text[160];
        (void)snprintf(
            text, sizeof text,
            "a context of %d tokens is longer than the %d that the model was trained for: expect poor answers "
            "beyond them",
            n_ctx, l->weights.h.n_ctx);
        e->log(e->log_user, text);
    }
    TRY(new_seq(e, l, n_ctx, &s));
    s->type_k = layout->type_k;
    s->type_v = layout->type_v;
    kvasir_status status = kv_seq_create(e->pool, layout, n_ctx, &s->kv);
    if (status != KVASIR_OK)
        kvasir_seq_free(s);
    else
        *out = s;
    return status;
}

void kvasir_seq_free(kvasir_seq *s)
{
    if (!s) return;
    s->engine->n_seqs--;
    kv_seq_free(s->kv);
    region_free(s->ids, (size_t)s->n_ctx * sizeof *s->ids);
    mem_free(s);
}

kvasir_status kvasir_seq_fork(const kvasir_seq *from, int at, kvasir_seq **out)
{
    NEED(from);
    NEED(out);
    kvasir_seq *s = NULL;
    int kept;
    if (at == -1) at = from->n_ids;
    if (at < 0 || at > from->n_ids)
        return fail(KVASIR_E_ARGUMENT, "a fork at %d of a sequence of %d tokens", at, from->n_ids);
    TRY(new_seq(from->engine, from->loaded, from->n_ctx, &s));
    s->type_k = from->type_k;
    s->type_v = from->type_v;
    kvasir_status status = kv_seq_fork(from->kv, min_int(at, kv_seq_length(from->kv)), &s->kv, &kept);
    if (status != KVASIR_OK) {
        kvasir_seq_free(s);
        return status;
    }
    memcpy(s->ids, from->ids, (size_t)at * sizeof *s->ids);
    s->n_ids = at;
    *out = s;
    return KVASIR_OK;
}

kvasir_status kvasir_seq_truncate(kvasir_seq *s, int n)
{
    NEED(s);
    int kept;
    if (n < 0 || n > s->n_ids) return fail(KVASIR_E_ARGUMENT, "a cut at %d of a sequence of %d tokens", n, s->n_ids);
    if (n < kv_seq_length(s->kv)) TRY(kv_seq_truncate(s->kv, n, &kept));
    s->n_ids = n;
    return KVASIR_OK;
}

kvasir_status kvasir_seq_mark(kvasir_seq *s)
{
    NEED(s);
    return kv_seq_snapshot(s->kv, KEPT_MARKS);
}

int kvasir_seq_length(const kvasir_seq *s)
{
    NEED_OR(s, 0);
    return s->n_ids;
}

int kvasir_seq_computed(const kvasir_seq *s)
{
    NEED_OR(s, 0);
    return min_int(kv_seq_length(s->kv), s->n_ids);
}

int kvasir_seq_ctx(const kvasir_seq *s)
{
    NEED_OR(s, 0);
    return s->n_ctx;
}

const int32_t *kvasir_seq_ids(const kvasir_seq *s)
{
    NEED_OR(s, NULL);
    return s->ids;
}

uint64_t kvasir_seq_kv_bytes(const kvasir_seq *s)
{
    NEED_OR(s, 0);
    return kv_seq_bytes(s->kv);
}

kvasir_status kvasir_seq_kv_stream(const kvasir_seq *s, int i, kvasir_kv_held *out)
{
    NEED(s);
    NEED(out);
    const kv_layout *l = s->loaded->layout[s->type_k][s->type_v];
    if (i < 0 || i >= l->n_streams)
        return fail(KVASIR_E_ARGUMENT, "KV stream %d of a model that has %d", i, l->n_streams);
    const kv_stream *t = &l->stream[i];
    *out = (kvasir_kv_held){.layer = t->layer, .name = t->is_v ? "v" : "k", .type = kv_type_name(t->type)};
    out->bytes = kv_seq_stream_bytes(s->kv, i, &out->n_pages);
    return KVASIR_OK;
}

uint64_t kvasir_seq_step_bytes(const kvasir_seq *s)
{
    NEED_OR(s, 0);
    const loaded *l = s->loaded;
    return weights_step_bytes(&l->weights) + kv_layout_read_bytes(l->layout[s->type_k][s->type_v], s->n_ids);
}

const char *kvasir_seq_kv_type(const kvasir_seq *s, int is_v)
{
    NEED_OR(s, NULL);
    return kv_type_name(is_v ? s->type_v : s->type_k);
}
