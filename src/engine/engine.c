/* Making an engine and loading models into it. */
#include "system/system.h"
#include "base/status.h"
#include "engine/engine.h"

#include "base/checked.h"
#include "base/cores.h"
#include "base/format.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

const char *kvasir_version(void)
{
    return KVASIR_VERSION;
}

void kvasir_free(void *p)
{
    mem_free(p);
}

static kvasir_status create_parts(kvasir_engine *e, const kvasir_engine_options *o)
{
    size_t n = (size_t)e->max_batch;
    uint64_t budget = o->kv_memory ? o->kv_memory : system_available() / 2;
    cpu_level level;
    TRY(cpu_level_parse(o->cpu, &level));
    e->kernels.level = level;
    linear_kernels_init(&e->kernels.linear, level);
    vec_kernels_init(&e->kernels.vec, level);
    attn_kernels_init(&e->kernels.attn, level);
    TRY(team_create(o->n_threads > 0 ? o->n_threads : cpu_count(), &e->team));
    e->max_threads = team_size(e->team);
    TRY(kv_pool_create(budget, &e->pool));
    e->ids = mem_alloc(n, sizeof *e->ids);
    e->pos = mem_alloc(n, sizeof *e->pos);
    e->logit_rows = mem_alloc(n, sizeof *e->logit_rows);
    e->todo = mem_alloc(n, sizeof *e->todo);
    e->taken = mem_alloc(n, sizeof *e->taken);
    return e->ids && e->pos && e->logit_rows && e->todo && e->taken ? KVASIR_OK : fail_memory(n * sizeof *e->ids);
}

kvasir_status kvasir_engine_create(const kvasir_engine_options *o, kvasir_engine **out)
{
    NEED(out);
    const kvasir_engine_options none = {0};
    if (!o) o = &none;
    if (o->max_batch < 0 || o->max_batch > ENGINE_MAX_BATCH || o->max_logits < 0 || o->max_logits > ENGINE_MAX_LOGITS ||
        o->n_threads < 0)
        return fail(KVASIR_E_ARGUMENT, "max_batch %d (0 to %d), max_logits %d (0 to %d), n_threads %d (not negative)",
                    o->max_batch, ENGINE_MAX_BATCH, o->max_logits, ENGINE_MAX_LOGITS, o->n_threads);
    kvasir_engine *e = mem_alloc(1, sizeof *e);
    if (!e) return fail_memory(sizeof *e);
    e->max_batch = o->max_batch ? o->max_batch : ENGINE_DEFAULT_BATCH;
    e->max_logits = o->max_logits ? o->max_logits : ENGINE_DEFAULT_LOGITS;
    e->log = o->log;
    e->log_user = o->log_user;
    kvasir_status status = create_parts(e, o);
    if (status != KVASIR_OK)
        kvasir_engine_free(e);
    else
        *out = e;
    return status;
}

static void unload(loaded *l)
{
    weights_free(&l->weights);
    region_free(l->workspace, l->workspace_bytes);
    region_free(l->logits, l->logits_bytes);
    mem_free(l->items);
    for (int k = 0; k < KV_TYPES; k++)
        for (int v = 0; v < KV_TYPES; v++)
            if (l->layout[k][v]) {
                kv_layout_free(l->layout[k][v]);
                mem_free(l->layout[k][v]);
            }
    mem_free(l);
}

void kvasir_engine_free(kvasir_engine *e)
{
    if (!e) return;
    for (loaded *l = e->models, *next; l; l = next) {
        next = l->next;
        unload(l);
    }
    kv_pool_free(e->pool);
    team_free(e->team);
    mem_free(e->ids);
    mem_free(e->pos);
    mem_free(e->logit_rows);
    mem_free(e->todo);
    mem_free(e->taken);
    mem_free(e);
}

static kvasir_status draw_workspace(kvasir_engine *e, loaded *l)
{
    int n_threads = e->max_threads;
    step_workspace room;
    step_workspace_of(&l->weights, e->max_batch, e->max_logits, n_threads, &room);
    l->limits = room.limits;
    l->scratch_bytes = room.scratch_bytes;
    l->workspace_bytes = room.bytes;
    l->workspace = region_reserve(l->workspace_bytes, false);
    l->items = mem_alloc(room.items, sizeof *l->items);
    l->logits_bytes = room.logits_bytes;
    l->logits = region_reserve(l->logits_bytes, false);
    if (!l->workspace || !l->items || !l->logits) return fail_memory(l->workspace_bytes);
    (void)step_layout(&l->step, &l->weights, e->max_batch, n_threads, l->workspace);
    l->scratch = l->workspace + room.step_bytes;
    l->step.items = l->items;
    return KVASIR_OK;
}

static kvasir_status check_memory(const loaded *l)
{
    uint64_t need = weights_bytes(&l->weights), have = system_available();
    if (have == 0 || need <= have) return KVASIR_OK;
    char takes[FORMAT_BYTES], there[FORMAT_BYTES], missing[FORMAT_BYTES];
    return fail(KVASIR_E_MEMORY, "the weights take %s and %s are available: %s are missing", format_size(need, takes),
                format_size(have, there), format_size(need - have, missing));
}

static void note_slow_types(const kvasir_engine *e, const loaded *l)
{
    char text[256];
    if (!e->log || !l->weights.has_raw) return;
    (void)snprintf(text, sizeof text,
                   "weights of type %s have no fast kernel yet and are decoded as they are used: correct, but slow",
                   weights_raw_type(&l->weights));
    e->log(e->log_user, text);
}

kvasir_status kvasir_engine_load(kvasir_engine *e, const kvasir_model *m, kvasir_progress_fn progress, void *user)
{
    NEED(e);
    NEED(m);
    if (!m->runs || m->header_only)
        return fail(KVASIR_E_UNSUPPORTED, "%s cannot run: %s", m->info.path,
                    m->n_problems ? m->problems[0] : "it was opened for its header only");
    loaded *l = mem_alloc(1, sizeof *l);
    if (!l) return fail_memory(sizeof *l);
    l->model = m;
    kvasir_status status = weights_bind(m->gguf, &m->hparams, &l->weights);
    if (status == KVASIR_OK) status = check_memory(l);
    if (status == KVASIR_OK) status = draw_workspace(e, l);
    if (status == KVASIR_OK) status = weights_load(&l->weights, e->team, progress, user);
    if (status == KVASIR_OK) status = gguf_unchanged(m->gguf); /* else the weights are a mixture of two files */
    if (status != KVASIR_OK) {
        unload(l);
        return status;
    }
    note_slow_types(e, l);
    l->next = e->models;
    e->models = l;
    return KVASIR_OK;
}

kvasir_status kvasir_engine_set_threads(kvasir_engine *e, int n)
{
    NEED(e);
    team *other = NULL;
    if (n < 1 || n > e->max_threads)
        return fail(KVASIR_E_ARGUMENT, "%d threads: the engine was created with %d", n, e->max_threads);
    if (n == team_size(e->team)) return KVASIR_OK;
    TRY(team_create(n, &other));
    team_free(e->team);
    e->team = other;
    return KVASIR_OK;
}

void kvasir_engine_get_info(const kvasir_engine *e, kvasir_engine_info *out)
{
    NEED_OR(e, );
    NEED_OR(out, );
    *out = (kvasir_engine_info){.n_threads = team_size(e->team),
                                .max_batch = e->max_batch,
                                .max_logits = e->max_logits,
                                .cpu_level = cpu_level_name(e->kernels.level),
                                .kv_budget = kv_pool_budget(e->pool),
                                .kv_used = kv_pool_used(e->pool),
                                .kv_peak = kv_pool_peak(e->pool),
                                .resident_bytes = mem_resident(),
                                .peak_resident_bytes = mem_peak_resident()};
    cpu_model_name(out->cpu_model, sizeof out->cpu_model);
    for (const loaded *l = e->models; l; l = l->next) {
        out->weights_bytes += l->weights.region_bytes;
        out->workspace_bytes += l->workspace_bytes;
    }
}
