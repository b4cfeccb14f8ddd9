#include "cli/verify/couple.h"
#include "cli/eval/eval.h"
#include "base/checked.h"

#include <stdio.h>
#include <string.h>

static const char reference[] = "f16";

static const limits known[] = {
    {"f32", 0.01, 1.01, 0.93}, {"f16", 0.01, 1.01, 0.93}, {"q8", 0.02, 1.01, 0.92}, {"q4", 0.10, 1.05, 0.82}};
enum { N_KNOWN = sizeof known / sizeof *known };

limits couple_limits(const couple *c)
{
    const kvasir_seq *s = c->seq[0];
    limits out = known[0];
    for (int is_v = 0; is_v < 2; is_v++)
        for (int i = 0; i < N_KNOWN; i++)
            if (strcmp(known[i].type, kvasir_seq_kv_type(s, is_v)) == 0 && known[i].kld > out.kld) out = known[i];
    return out;
}

kvasir_status couple_add(verify *w, const char *name, const char *unit, double predicted, double low, double high,
                         double measured, const char *why)
{
    verify_check c = {.step = VERIFY_QUALITY,
                      .unit = unit,
                      .predicted = predicted,
                      .low = low,
                      .high = high,
                      .measured = measured,
                      .why = why};
    (void)snprintf(c.name, sizeof c.name, "%s", name);
    return verify_add(w, &c);
}

void couple_close(couple *c)
{
    kvasir_seq_free(c->seq[0]);
    kvasir_seq_free(c->seq[1]);
    *c = (couple){0};
}

kvasir_status couple_open(const verify *w, int n_ctx, couple *c)
{
    kvasir_seq_options own = {.n_ctx = n_ctx, .kv = w->s.kv}, ref = {.n_ctx = n_ctx, .kv = reference};
    *c = (couple){0};
    TRY(kvasir_seq_create(w->s.engine, w->s.model, &own, &c->seq[0]));
    kvasir_status status = kvasir_seq_create(w->s.engine, w->s.model, &ref, &c->seq[1]);
    if (status != KVASIR_OK) couple_close(c);
    return status;
}

kvasir_status couple_step(const verify *w, couple *c, const int32_t *ids, int n, kvasir_want want)
{
    kvasir_work work[2];
    if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
    for (int i = 0; i < 2; i++) work[i] = (kvasir_work){.seq = c->seq[i], .ids = ids, .n = n, .want = want};
    TRY(kvasir_step(w->s.engine, work, 2));
    for (int i = 0; i < 2; i++) c->logits[i] = work[i].logits;
    return KVASIR_OK;
}

kvasir_status couple_read(const verify *w, couple *c, const int32_t *ids, int n, int last, progress *bar)
{
    for (int at = 0; at < n;) {
        int piece = min_int(max_int(w->info.max_batch / 2, 1), n - at);
        TRY(couple_step(w, c, ids + at, piece, last && at + piece == n ? KVASIR_WANT_LAST : KVASIR_WANT_NONE));
        at += piece;
        if (bar) progress_update(bar, (uint64_t)at, (uint64_t)n, NULL);
    }
    return KVASIR_OK;
}

void couple_count(const verify *w, const couple *c, size_t row, int32_t target, tally *t)
{
    int n = w->s.info->n_vocab;
    const float *own = c->logits[0] + row * (size_t)n, *ref = c->logits[1] + row * (size_t)n;
    double lse = eval_logsumexp(own, n), lse_ref = eval_logsumexp(ref, n);
    const double kld = eval_kld(ref, own, n, lse_ref, lse);
    if (t->n < t->room) t->each[t->n] = kld;
    t->kld += kld;
    t->same_top += eval_argmax(own, n) == eval_argmax(ref, n);
    const double loss[2] = {lse - (double)own[target], lse_ref - (double)ref[target]};
    t->nll[0] += loss[0];
    t->nll[1] += loss[1];
    t->squares += (loss[0] - loss[1]) * (loss[0] - loss[1]);
    t->n++;
}
