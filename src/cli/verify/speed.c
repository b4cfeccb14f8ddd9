/* Speed at depths, alone and with a second client, against what kvasir_predict says of the machine's profile. */
#include "cli/verify/verify.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/quantile.h"
#include "cli/eval/eval.h"

#include <math.h>
#include <stdio.h>

enum { MOST_STEPS = 256 };
/* A slow step among twenty is the machine's, not the plan's: half as slow again is let pass. */
static const double p95_slack = 1.5, two_slack = 1.25;

/* Fills in a row that may be no slower than an interval of seconds; `scale` turns them into the unit, which grows with
   time. */
static verify_check slower_row(const verify *w, const kvasir_estimate *e, double scale, double slack, double seconds)
{
    verify_check c = {
        .step = VERIFY_SPEED, .unit = "ms", .predicted = NAN, .low = NAN, .high = NAN, .measured = scale * seconds};
    if (w->has_machine) {
        c.predicted = scale * e->value;
        c.high = scale * e->high * slack;
        c.why = "not slower than the plan's interval";
    }
    return c;
}

static kvasir_status add_prefill(verify *w, int depth, const kvasir_speed *s, double seconds)
{
    verify_check c = {.step = VERIFY_SPEED, .unit = "tokens/s", .predicted = NAN, .low = NAN, .high = NAN};
    c.measured = depth / seconds;
    c.series = VERIFY_PREFILL;
    c.depth = depth;
    if (w->has_machine) {
        c.predicted = depth / s->prefill_s.value;
        c.low = depth / s->prefill_s.high;
        c.why = "not slower than the plan's interval";
    }
    (void)snprintf(c.name, sizeof c.name, "prefill of %s tokens", count_text((uint64_t)depth));
    TRY(verify_add(w, &c));
    verify_check t = slower_row(w, &s->prefill_s, 1e3, 1, seconds);
    (void)snprintf(t.name, sizeof t.name, "time to first token, %s tokens", count_text((uint64_t)depth));
    return verify_add(w, &t);
}

/* Decodes w->behind tokens in steps of all sequences; sorted seconds of the steps. The first step, which copies shared
   blocks, does not count. */
static kvasir_status decode(verify *w, kvasir_seq *const *seqs, int n_seqs, double *seconds)
{
    TRY(verify_feed(w, seqs, n_seqs, 1, NULL, NULL));
    for (int i = 0; i < w->behind - 1; i++) {
        TRY(verify_feed(w, seqs, n_seqs, 1, &seconds[i], NULL));
        watch_step(&w->watch, n_seqs, kvasir_seq_length(seqs[0]), seconds[i]);
    }
    sort_ascending(seconds, w->behind - 1);
    return KVASIR_OK;
}

static kvasir_status add_decode(verify *w, int depth, const kvasir_speed *s, const double *seconds)
{
    int n = w->behind - 1;
    verify_check c = slower_row(w, &s->decode_s, 1e3, 1, quantile(seconds, n, 0.5));
    c.series = VERIFY_DECODE;
    c.depth = depth;
    (void)snprintf(c.name, sizeof c.name, "decode p50 at %s", count_text((uint64_t)depth));
    if (w->single_ms <= 0) w->single_ms = c.measured;
    TRY(verify_add(w, &c));
    c = slower_row(w, &s->decode_s, 1e3, p95_slack, quantile(seconds, n, 0.95));
    if (w->has_machine) c.why = "not slower than 1.5 times the interval";
    (void)snprintf(c.name, sizeof c.name, "decode p95 at %s", count_text((uint64_t)depth));
    return verify_add(w, &c);
}

static kvasir_status predict(const verify *w, int depth, kvasir_speed *out)
{
    const engine_args *e = &w->args->engine;
    kvasir_predict_options o = {
        .kv = w->s.kv, .cpu = cpu_choice(e->cpu), .n_threads = w->info.n_threads, .max_batch = w->info.max_batch};
    *out = (kvasir_speed){0};
    return w->has_machine ? kvasir_predict(w->s.model, &w->machine, &o, depth, out) : KVASIR_OK;
}

kvasir_status verify_depth(verify *w, int index)
{
    int depth = w->depth[index];
    double seconds[MOST_STEPS], last = 0;
    const float *logits = NULL;
    kvasir_speed s;
    kvasir_seq *fork = NULL;
    char label[VERIFY_LABEL];
    (void)snprintf(label, sizeof label, "filling to %s tokens", count_text((uint64_t)depth));
    TRY(predict(w, depth, &s));
    if (depth > 1) TRY(verify_fill(w, w->seq, depth - 1, label, &w->fill_s));
    TRY(kvasir_seq_fork(w->seq, -1, &fork));
    kvasir_status status =
        verify_feed(w, &fork, 1, 1, &last, &logits); /* the prompt's last token, and its best next one */
    double start = clock_now();
    if (status == KVASIR_OK) (void)eval_argmax(logits, w->s.info->n_vocab);
    last += clock_now() - start;
    if (status == KVASIR_OK) status = add_prefill(w, depth, &s, w->fill_s + last);
    if (status == KVASIR_OK) status = decode(w, &fork, 1, seconds);
    if (status == KVASIR_OK) status = add_decode(w, depth, &s, seconds);
    kvasir_seq_free(fork);
    return status;
}

/* ---- two clients ---- */

static uint64_t pool_used(const verify *w)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(w->s.engine, &info);
    return info.kv_used;
}

/* What both hold together, to the byte. */
static kvasir_status add_pool(verify *w, int length, int prefix, uint64_t measured)
{
    kvasir_plan *p = NULL;
    TRY(verify_plan(w, length, 2, prefix, &p));
    double bytes = (double)p->models[0].kv_bytes;
    kvasir_plan_free(p);
    verify_check c = {.step = VERIFY_SPEED,
                      .unit = "bytes",
                      .predicted = bytes,
                      .low = bytes,
                      .high = bytes,
                      .measured = (double)measured,
                      .why = "to the byte"};
    (void)snprintf(c.name, sizeof c.name, "KV of two clients at %s, %s", count_text((uint64_t)length),
                   prefix ? "prefix shared" : "nothing shared");
    return verify_add(w, &c);
}

/* Both decode together; then what a step took and what they hold. */
static kvasir_status pair(verify *w, kvasir_seq *const two[2], int prefix, uint64_t before)
{
    double seconds[MOST_STEPS];
    int depth = kvasir_seq_length(two[0]);
    TRY(decode(w, two, 2, seconds));
    TRY(add_pool(w, kvasir_seq_length(two[0]), prefix, pool_used(w) - before));
    double ms = 1e3 * quantile(seconds, w->behind - 1, 0.5);
    verify_check c = {.step = VERIFY_SPEED, .unit = "ms", .predicted = NAN, .low = NAN, .high = NAN, .measured = ms};
    if (w->single_ms > 0) {
        c.predicted = 2 * w->single_ms;
        c.high = two_slack * c.predicted;
        c.why = "not slower than two steps of one client, and a quarter";
    }
    (void)snprintf(c.name, sizeof c.name, "step of two clients at %s, %s", count_text((uint64_t)depth),
                   prefix ? "prefix shared" : "nothing shared");
    return verify_add(w, &c);
}

/* `two` are empty and are left to the caller. */
static kvasir_status compare_clients(verify *w, kvasir_seq *two[2])
{
    kvasir_seq_options o = {.n_ctx = w->ctx, .kv = w->s.kv};
    kvasir_seq *base = NULL;
    int depth = w->depth[0];
    double alone = 0, own = 0;
    uint64_t before = pool_used(w);
    TRY(kvasir_seq_create(w->s.engine, w->s.model, &o, &base));
    kvasir_status status = verify_fill(w, base, depth, "first client", &alone);
    if (status == KVASIR_OK) status = kvasir_seq_fork(base, -1, &two[0]);
    double start = clock_now();
    if (status == KVASIR_OK) status = kvasir_seq_fork(base, -1, &two[1]);
    double shared = clock_now() - start;
    kvasir_seq_free(base); /* what it let go of is not the clients' */
    if (status != KVASIR_OK) return status;
    TRY(pair(w, two, depth, before));
    kvasir_seq_free(two[1]);
    two[1] = NULL;
    TRY(kvasir_seq_create(w->s.engine, w->s.model, &o, &two[1]));
    TRY(verify_fill(w, two[1], kvasir_seq_length(two[0]), "second client, with a prefix of its own", &own));
    TRY(pair(w, two, 0, before));
    verify_check c = {.step = VERIFY_SPEED,
                      .unit = "s",
                      .predicted = own,
                      .low = NAN,
                      .high = own,
                      .measured = shared,
                      .why = "sooner than by reading it again"};
    (void)snprintf(c.name, sizeof c.name, "second client ready, %s tokens shared", count_text((uint64_t)depth));
    return verify_add(w, &c);
}

kvasir_status verify_clients(verify *w, int arg)
{
    kvasir_seq *two[2] = {NULL, NULL};
    (void)arg;
    kvasir_status status = compare_clients(w, two);
    kvasir_seq_free(two[0]);
    kvasir_seq_free(two[1]);
    return status;
}

/* ---- storage ---- */

/* Since the model was loaded: from a file only rows of what stays there (of the embedding, say) may have come, and nothing is
   written: there is no log, and no cache is kept on disk unless it is asked for. What the terminal's output is redirected to counts
   as well, hence a little room. */
kvasir_status verify_storage(verify *w, int arg)
{
    static const double room = 0x1p20;
    kvasir_plan *p = NULL;
    uint64_t now[2], in_file = 0;
    (void)arg;
    if (!w->has_storage || !watch_storage(&now[0], &now[1])) return KVASIR_OK;
    TRY(verify_plan(w, w->ctx, 1, 0, &p));
    for (int i = 0; i < p->models[0].n_weights; i++)
        if (!p->models[0].weights[i].in_memory) in_file += p->models[0].weights[i].file_bytes;
    kvasir_plan_free(p);
    static const char *const names[2] = {"read from disk since loading", "written to disk, logs included"};
    static const char *const whys[2] = {"no more than the tensors that stay in the file", "nothing is logged or kept"};
    for (int i = 0; i < 2; i++) {
        verify_check c = {.step = VERIFY_SPEED,
                          .unit = "bytes",
                          .predicted = 0,
                          .low = 0,
                          .high = room + (i == 0 ? (double)in_file : 0),
                          .measured = (double)(now[i] - w->storage[i]),
                          .why = whys[i]};
        (void)snprintf(c.name, sizeof c.name, "%s", names[i]);
        TRY(verify_add(w, &c));
    }
    return KVASIR_OK;
}
