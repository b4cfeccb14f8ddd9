/* KV by stream and resident memory, against what the library plans from the header. */
#include "cli/verify/verify.h"
#include "base/checked.h"

#include <math.h>
#include <stdio.h>

/* What the process may hold besides what is planned; the plan's own margin is larger. */
static double resident_slack(double predicted)
{
    return fmax(0.01 * predicted, 0x1p26);
}

static kvasir_status add_exact(verify *w, verify_step step, const char *name, uint64_t predicted, uint64_t measured,
                               int quiet)
{
    verify_check c = {.step = step,
                      .unit = "bytes",
                      .predicted = (double)predicted,
                      .low = (double)predicted,
                      .high = (double)predicted,
                      .measured = (double)measured,
                      .why = "to the byte",
                      .quiet = quiet};
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    return verify_add(w, &c);
}

static uint64_t resident_now(const verify *w)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(w->s.engine, &info);
    return info.resident_bytes;
}

static kvasir_status add_resident(verify *w, const char *name, int depth, uint64_t planned, uint64_t measured)
{
    double predicted = (double)planned, slack = resident_slack(predicted);
    verify_check c = {.step = VERIFY_MEMORY,
                      .unit = "bytes",
                      .predicted = predicted,
                      .low = predicted - slack,
                      .high = predicted + slack,
                      .measured = (double)measured,
                      .why = "within 1% or 64 MiB",
                      .series = VERIFY_RESIDENT,
                      .depth = depth};
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    return verify_add(w, &c);
}

/* Right after loading, and after a first batch with a decode step, which touch all buffers. */
kvasir_status verify_loaded(verify *w, int arg)
{
    (void)arg;
    kvasir_plan *p = NULL;
    kvasir_seq *seq = NULL;
    kvasir_seq_options o = {.n_ctx = w->ctx, .kv = w->s.kv};
    int n = min_int(w->info.max_batch, w->ctx - 1);
    double seconds = 0;
    uint64_t loaded = resident_now(w);
    TRY(verify_plan(w, n + 1, 1, 0, &p));
    const kvasir_plan_model *m = p->models;
    kvasir_status status = add_exact(w, VERIFY_MEMORY, "weights", m->weights_bytes, w->info.weights_bytes, 0);
    if (status == KVASIR_OK)
        status = add_exact(w, VERIFY_MEMORY, "workspace", m->workspace_bytes, w->info.workspace_bytes, 0);
    if (status == KVASIR_OK)
        status = add_resident(w, "resident, loaded", 0, p->program_bytes + m->weights_bytes, loaded);
    if (status == KVASIR_OK) status = kvasir_seq_create(w->s.engine, w->s.model, &o, &seq);
    if (status == KVASIR_OK) status = verify_fill(w, seq, n, "warming up", &seconds);
    if (status == KVASIR_OK) status = verify_feed(w, &seq, 1, 1, NULL, NULL);
    if (status == KVASIR_OK)
        status = add_resident(w, "resident, warm", n + 1, p->total_bytes - m->mark_bytes, resident_now(w));
    kvasir_seq_free(seq);
    kvasir_plan_free(p);
    return status;
}

static kvasir_status check_streams(verify *w, const kvasir_plan_model *m)
{
    uint64_t planned = 0, held = 0;
    kvasir_kv_info info;
    TRY(kvasir_model_kv(w->s.model, w->s.kv, w->ctx, &info));
    if (info.n_streams != m->n_streams)
        return fail(KVASIR_E_INTERNAL, "%d KV streams are planned and there are %d", m->n_streams, info.n_streams);
    for (int i = 0; i < info.n_streams; i++) {
        char name[96];
        kvasir_kv_held h;
        TRY(kvasir_seq_kv_stream(w->seq, i, &h));
        (void)snprintf(name, sizeof name, "layer %d, %s in %s", h.layer, h.name, h.type);
        TRY(add_exact(w, VERIFY_KV, name, m->streams[i].bytes, h.bytes, 1));
        planned += m->streams[i].bytes;
        held += h.bytes;
    }
    TRY(add_exact(w, VERIFY_KV, "all streams", planned, held, 0));
    return add_exact(w, VERIFY_KV, "blocks of the pool", m->kv_bytes, kvasir_seq_kv_bytes(w->seq), 0);
}

kvasir_status verify_full(verify *w, int arg)
{
    (void)arg;
    kvasir_plan *p = NULL;
    char name[96];
    TRY(verify_fill(w, w->seq, w->ctx, "filling the context", &w->fill_s));
    TRY(verify_plan(w, w->ctx, 1, 0, &p));
    kvasir_status status = w->wanted[VERIFY_KV] ? check_streams(w, p->models) : KVASIR_OK;
    if (status == KVASIR_OK && w->wanted[VERIFY_MEMORY]) {
        (void)snprintf(name, sizeof name, "resident, full (%s tokens)", count_text((uint64_t)w->ctx));
        status = add_resident(w, name, w->ctx, p->total_bytes - p->models[0].mark_bytes, resident_now(w));
    }
    kvasir_plan_free(p);
    return status;
}
