/* What a KV type costs on a text: how far its predictions lie from f16's, at the depth that time allows. */
#include "cli/verify/couple.h"
#include "cli/eval/eval.h"
#include "cli/sweep/sweep.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/mem.h"
#include "base/quantile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SHALLOW = 2048, QUICK = 512, LEAST = 8 };
static const int depths[] = {SHALLOW, 8192, 30720};
enum { N_DEPTHS = sizeof depths / sizeof *depths };

/* ---- which depth ---- */

/* The arithmetic of attention at a depth beside that of the weights, for one token. */
static double attention_share(const verify *w, int depth)
{
    const kvasir_model_info *m = w->s.info;
    kvasir_kv_info kv;
    double attention = 0, weights = 2.0 * (double)(m->n_parameters - (uint64_t)m->n_vocab * (uint64_t)m->n_embd);
    if (kvasir_model_kv(w->s.model, NULL, 1, &kv) != KVASIR_OK || weights <= 0) return 0;
    for (int i = 0; i < kv.n_streams; i++) {
        kvasir_kv_stream s;
        if (kvasir_model_kv_stream(w->s.model, NULL, i, &s) != KVASIR_OK) return 0;
        attention += 2.0 * m->n_head * s.head_dim * (s.window && s.window < depth ? s.window : depth);
    }
    return attention / weights;
}

/* Seconds to read `depth` tokens with both types, where one costs `each` at the start. Attention does fewer operations in a
   second than the weights' integers: between 1.0 and 2.5 times fewer in the models that were measured (docs/verify.md). */
static double read_seconds(const verify *w, double each, int depth)
{
    static const double SLOWER = 2.5;
    return each * depth * (1 + SLOWER * attention_share(w, depth / 2));
}

int verify_needle_depth(const verify *w, int depth, int i)
{
    if (w->given_depths || w->args->quick) return i < w->n_depths ? w->depth[i] : 0;
    if (i >= N_DEPTHS || (i > 0 && depths[i] > depth)) return 0;
    return min_int(min_int(depths[i], depth), w->ctx - 2 * w->behind);
}

static double quality_seconds(const verify *w, double each, int depth)
{
    double seconds = read_seconds(w, each, depth) * (depth == SHALLOW ? 2 : 1);
    for (int i = 0, d; (d = verify_needle_depth(w, depth, i)) > 0; i++)
        seconds += NEEDLE_PLACES * read_seconds(w, each, d);
    return seconds;
}

/* Is there memory for both types at this depth? */
static bool has_room(const verify *w, int depth)
{
    kvasir_kv_info own, ref;
    return kvasir_model_kv(w->s.model, w->s.kv, depth, &own) == KVASIR_OK &&
           kvasir_model_kv(w->s.model, "f16", depth, &ref) == KVASIR_OK &&
           own.bytes_at_ctx + ref.bytes_at_ctx <= w->info.kv_budget;
}

/* Seconds that a token of a prompt takes with both types. */
static kvasir_status time_token(const verify *w, double *out)
{
    enum { WARM = 64, TIMED = 256 };
    const int n = min_int(w->ctx, WARM + TIMED), warm = n / 4;
    couple c;
    TRY(couple_open(w, n, &c));
    kvasir_status status = couple_read(w, &c, w->ids, warm, 0, NULL);
    const double started = clock_now();
    if (status == KVASIR_OK) status = couple_read(w, &c, w->ids + warm, n - warm, 0, NULL);
    *out = (clock_now() - started) / (n - warm);
    couple_close(&c);
    return status;
}

kvasir_status verify_choose_depth(verify *w)
{
    double each = 0;
    char took[FORMAT_BYTES], limit[FORMAT_BYTES], beyond[FORMAT_BYTES];
    const double most = 60.0 * (double)w->args->minutes;
    w->quality_depth = min_int(w->args->quick ? QUICK : SHALLOW, w->ctx);
    if (w->args->quick || w->ctx <= SHALLOW) return KVASIR_OK;
    TRY(time_token(w, &each));
    int next = 0; /* what more time would allow */
    for (int i = 1; i < N_DEPTHS && depths[i] <= w->ctx && has_room(w, depths[i]) && !next; i++) {
        if (quality_seconds(w, each, depths[i]) <= most)
            w->quality_depth = depths[i];
        else
            next = depths[i];
    }
    note("quality at a depth of %s tokens: about %s", count_text((uint64_t)w->quality_depth),
         format_time(quality_seconds(w, each, w->quality_depth), took));
    if (next)
        note("%s tokens would take about %s, more than the %s of --minutes", count_text((uint64_t)next),
             format_time(quality_seconds(w, each, next), beyond), format_time(most, limit));
    return KVASIR_OK;
}

/* ---- the text ---- */

/* The largest perplexity that a type with this limit may show: the limit, and two standard errors of the mean difference of
   losses, since a few hundred tokens alone may lie that far off by chance. */
static double highest_ppl(const tally *t, double ratio)
{
    double mean = (t->nll[0] - t->nll[1]) / t->n, variance = t->squares / t->n - mean * mean;
    return exp(t->nll[1] / t->n + 2 * sqrt(fmax(variance, 0) / t->n)) * ratio;
}

/* n tokens, of which those behind the first `first` count. */
static kvasir_status read_chunk(const verify *w, couple *c, const int32_t *ids, int n, int first, tally *t,
                                progress *bar)
{
    int most = max_int(1, min_int(w->info.max_logits, w->info.max_batch) / 2);
    for (int i = 0; i < 2; i++) TRY(kvasir_seq_truncate(c->seq[i], 0));
    TRY(couple_read(w, c, ids, first, 0, bar));
    for (int at = first; at < n - 1;) {
        int piece = min_int(most, n - 1 - at);
        TRY(couple_step(w, c, ids + at, piece, KVASIR_WANT_ALL));
        for (int i = 0; i < piece; i++) couple_count(w, c, (size_t)i, ids[at + i + 1], t);
        at += piece;
        progress_update(bar, (uint64_t)at, (uint64_t)n, NULL);
    }
    return KVASIR_OK;
}

/* Chunks of SHALLOW tokens, of which the second half counts, as in kvasir eval --kld; or one that is deeper, of which the last
   SHALLOW tokens count. */
static kvasir_status read_text_at(const verify *w, couple *c, int n, tally *t)
{
    enum { CHUNKS = 2 };
    const int first = n > SHALLOW ? n - SHALLOW : n / 2;
    const int chunks = n > SHALLOW || w->args->quick ? 1 : min_int(CHUNKS, w->ctx / n);
    progress bar = progress_start("divergence:", "tokens");
    kvasir_status status = KVASIR_OK;
    for (int i = 0; i < chunks && status == KVASIR_OK; i++)
        status = read_chunk(w, c, w->ids + (ptrdiff_t)i * n, n, first, t, &bar);
    progress_end(&bar);
    return status;
}

static kvasir_status add_rows(verify *w, const tally *t, const limits *l)
{
    quality_record *q = &w->quality;
    char name[96];
    const char *at = count_text((uint64_t)q->depth);
    sort_ascending(t->each, min_int(t->n, t->room));
    q->tokens = t->n;
    q->kld = t->kld / t->n;
    q->kld_median = quantile(t->each, min_int(t->n, t->room), 0.5);
    q->kld_p999 = quantile(t->each, min_int(t->n, t->room), 0.999);
    q->same_top = (double)t->same_top / t->n;
    q->ppl = exp(t->nll[0] / t->n);
    q->ppl_ref = exp(t->nll[1] / t->n);
    (void)snprintf(name, sizeof name, "divergence from f16 at %s, mean", at);
    TRY(couple_add(w, name, "nats", 0, NAN, l->kld, q->kld, "the type's limit"));
    (void)snprintf(name, sizeof name, "divergence from f16 at %s, median", at);
    TRY(couple_add(w, name, "nats", NAN, NAN, NAN, q->kld_median, ""));
    (void)snprintf(name, sizeof name, "divergence from f16 at %s, 99.9%%", at);
    TRY(couple_add(w, name, "nats", NAN, NAN, NAN, q->kld_p999, ""));
    TRY(couple_add(w, "perplexity", "ppl", q->ppl_ref, NAN, highest_ppl(t, l->ppl_ratio), q->ppl,
                   "not above f16's by more than the type's limit and chance"));
    return couple_add(w, "same best token as f16", "share", 1, l->same_top, NAN, q->same_top, "the type's limit");
}

kvasir_status verify_text(verify *w, int arg)
{
    (void)arg;
    couple c;
    const int n = w->quality_depth;
    tally t = {.room = max_int(n, SHALLOW)};
    if (n < LEAST) return fail(KVASIR_E_CONTEXT, "quality needs a context of %d tokens, it is %d", LEAST, w->ctx);
    t.each = mem_alloc((size_t)t.room, sizeof *t.each);
    if (!t.each) return fail_memory((size_t)t.room * sizeof *t.each);
    kvasir_status status = couple_open(w, n, &c);
    if (status == KVASIR_OK) {
        const limits l = couple_limits(&c);
        sweep_type_text(kvasir_seq_kv_type(c.seq[0], 0), kvasir_seq_kv_type(c.seq[0], 1), w->quality.kv);
        w->quality.depth = n;
        status = read_text_at(w, &c, n, &t);
        couple_close(&c);
        if (status == KVASIR_OK) status = add_rows(w, &t, &l);
    }
    mem_free(t.each);
    return status;
}

/* ---- the floor: f16 beside f16 ---- */

/* Reads a text in pieces and leaves the logits of its last `rows` tokens in `to`. */
static kvasir_status read_pieces(const verify *w, kvasir_seq *seq, int n, int rows, int piece, float *to)
{
    TRY(kvasir_seq_truncate(seq, 0));
    for (int at = 0; at < n;) {
        const int left = n - rows - at, take = left > 0 ? min_int(piece, left) : n - at;
        kvasir_work work = {
            .seq = seq, .ids = w->ids + at, .n = take, .want = left > 0 ? KVASIR_WANT_NONE : KVASIR_WANT_ALL};
        if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
        TRY(kvasir_step(w->s.engine, &work, 1));
        if (left <= 0) memcpy(to, work.logits, (size_t)rows * (size_t)w->s.info->n_vocab * sizeof *to);
        at += take;
    }
    return KVASIR_OK;
}

static kvasir_status compare_runs(verify *w, kvasir_seq *seq, int n, int rows, float *logits)
{
    enum { ODD = 61 }; /* tokens of a piece that share no border with the other run's */
    const size_t n_vocab = (size_t)w->s.info->n_vocab;
    float *again = logits + (size_t)rows * n_vocab;
    double kld = 0;
    TRY(read_pieces(w, seq, n, rows, w->info.max_batch, logits));
    TRY(read_pieces(w, seq, n, rows, min_int(ODD, w->info.max_batch), again));
    for (size_t i = 0; i < (size_t)rows; i++) {
        const float *a = logits + i * n_vocab, *b = again + i * n_vocab;
        kld += eval_kld(a, b, (int)n_vocab, eval_logsumexp(a, (int)n_vocab), eval_logsumexp(b, (int)n_vocab)) / rows;
    }
    /* Equal bits are no divergence, whatever a sum of rounded shares says. */
    if (memcmp(logits, again, (size_t)rows * n_vocab * sizeof *logits) == 0) kld = 0;
    w->quality.kld_floor = kld;
    return couple_add(w, "f16 again, in other pieces: divergence", "nats", 0, NAN, 0, kld, "the same bits");
}

kvasir_status verify_floor(verify *w, int arg)
{
    enum { ROWS = 16 };
    (void)arg;
    const int n = min_int(w->quality_depth, SHALLOW);
    const int rows = min_int(min_int(ROWS, n), min_int(w->info.max_logits, w->info.max_batch));
    const size_t bytes = 2 * (size_t)rows * (size_t)w->s.info->n_vocab * sizeof(float);
    kvasir_seq_options o = {.n_ctx = n, .kv = "f16"};
    kvasir_seq *seq = NULL;
    float *logits = mem_alloc(bytes, 1);
    if (!logits) return fail_memory(bytes);
    kvasir_status status = kvasir_seq_create(w->s.engine, w->s.model, &o, &seq);
    if (status == KVASIR_OK) status = compare_runs(w, seq, n, rows, logits);
    kvasir_seq_free(seq);
    mem_free(logits);
    return status;
}
