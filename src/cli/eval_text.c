/* Perplexity and divergence over a text in chunks. The protocol is llama-perplexity's, so that numbers can be
   compared: each chunk is a fresh sequence, and the tokens at positions ctx/2+1 to ctx-1 are scored. */
#include "cli/eval.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CTX = 2048, MAX_SEQS = 2 };

/* What one token's two rows say; without a reference only `nll` is set. */
typedef struct score {
    double nll, nll_ref, kld;
    int same_top;
} score;

typedef struct text_eval {
    const eval_args *args;
    session s;
    kvasir_seq *seq[MAX_SEQS]; /* the type that is measured; with --kld the reference too */
    int n_seq, ctx, n_chunks, n_vocab, rows_per_step, chunk;
    int32_t *ids;
    size_t n_ids;
    team *team; /* scores rows in parallel: each row by one thread, so the sums do not depend on their number */
    score *scores;
    int n_scores;
    progress bar;
    json_t *running; /* perplexity after each chunk */
    /* the rows being scored */
    const float *rows[MAX_SEQS];
    const int32_t *targets;
    int n_rows;
} text_eval;

/* ---- scoring ------------------------------------------------------------------------------------------ */

/* KL(p || q) = sum p (log p - log q) = sum p (x - y) - lse(x) + lse(y), with p = softmax(x), q = softmax(y).
 */
static double divergence(const float *x, const float *y, int n, double lse_x, double lse_y)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double p = exp((double)x[i] - lse_x);
        if (p > 0) sum += p * ((double)x[i] - (double)y[i]);
    }
    return fmax(0, sum - lse_x + lse_y);
}

static void score_rows(void *arg, int tid)
{
    text_eval *e = arg;
    (void)tid;
    for (int i = team_next(e->team); i < e->n_rows; i = team_next(e->team)) {
        const float *row = e->rows[0] + (size_t)i * (size_t)e->n_vocab;
        score *out = &e->scores[e->n_scores + i];
        double lse = eval_logsumexp(row, e->n_vocab);
        out->nll = lse - (double)row[e->targets[i]];
        if (e->n_seq == 1) continue;
        const float *ref = e->rows[1] + (size_t)i * (size_t)e->n_vocab;
        double lse_ref = eval_logsumexp(ref, e->n_vocab);
        out->nll_ref = lse_ref - (double)ref[e->targets[i]];
        out->kld = divergence(ref, row, e->n_vocab, lse_ref, lse);
        out->same_top = eval_argmax(row, e->n_vocab) == eval_argmax(ref, e->n_vocab);
    }
}

typedef struct mean {
    double value, error; /* standard error of the mean */
} mean;

/* Mean over the scores of one double field. */
static mean mean_of(const text_eval *e, size_t field)
{
    double sum = 0, squares = 0;
    int n = e->n_scores;
    for (int i = 0; i < n; i++) sum += *(const double *)(const void *)((const char *)&e->scores[i] + field);
    double average = sum / n;
    for (int i = 0; i < n; i++) {
        double d = *(const double *)(const void *)((const char *)&e->scores[i] + field) - average;
        squares += d * d;
    }
    return (mean){average, n > 1 ? sqrt(squares / (n - 1) / n) : NAN};
}

/* ---- reading ------------------------------------------------------------------------------------------ */

/* Appends n tokens to every sequence in one step; with `targets` their rows are scored against them. */
static kvasir_status feed(text_eval *e, const int32_t *ids, int n, const int32_t *targets)
{
    kvasir_work work[MAX_SEQS];
    for (int i = 0; i < e->n_seq; i++)
        work[i] =
            (kvasir_work){.seq = e->seq[i], .ids = ids, .n = n, .want = targets ? KVASIR_WANT_ALL : KVASIR_WANT_NONE};
    TRY(kvasir_step(e->s.engine, work, e->n_seq));
    if (targets) {
        for (int i = 0; i < e->n_seq; i++) e->rows[i] = work[i].logits;
        e->targets = targets;
        e->n_rows = n;
        team_run(e->team, score_rows, e);
        e->n_scores += n;
    }
    return interrupted() ? fail(KVASIR_E_CANCELLED, "stopped") : KVASIR_OK;
}

static kvasir_status read_chunk(text_eval *e, int number)
{
    int32_t *ids = e->ids + (size_t)number * (size_t)e->ctx;
    if (e->s.info->adds_bos && e->s.info->bos >= 0) ids[0] = e->s.info->bos;
    for (int i = 0; i < e->n_seq; i++) TRY(kvasir_seq_truncate(e->seq[i], 0));
    int first = e->ctx / 2, last = e->ctx - 1; /* the last token has no target of its own */
    for (int pos = 0; pos < last;) {
        int scored = pos >= first;
        int piece = scored ? min_int(e->rows_per_step, last - pos) : min_int(e->chunk, first - pos);
        TRY(feed(e, ids + pos, piece, scored ? ids + pos + 1 : NULL));
        pos += piece;
        char extra[64] = "";
        if (e->n_scores)
            (void)snprintf(extra, sizeof extra, "perplexity %.4f", exp(mean_of(e, offsetof(score, nll)).value));
        progress_update(&e->bar, (uint64_t)number * (uint64_t)last + (uint64_t)pos,
                        (uint64_t)e->n_chunks * (uint64_t)last, e->n_scores ? extra : NULL);
    }
    double ppl = exp(mean_of(e, offsetof(score, nll)).value);
    (void)json_array_append_new(e->running, json_number(ppl));
    if (e->s.verbose) note("chunk %d of %d: perplexity %.4f", number + 1, e->n_chunks, ppl);
    return KVASIR_OK;
}

/* ---- setting up --------------------------------------------------------------------------------------- */

static kvasir_status tokenize_file(text_eval *e, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    TRY(read_text(path, &text, &n));
    kvasir_status status = kvasir_tokenize(e->s.model, text, n, 1, 0, &e->ids, &e->n_ids);
    free(text);
    if (status != KVASIR_OK) return status;
    if (e->s.info->adds_eos && e->n_ids && e->ids[e->n_ids - 1] == e->s.info->eos) e->n_ids--;
    size_t chunks = e->n_ids / (size_t)e->ctx;
    if (chunks == 0)
        return fail(KVASIR_E_ARGUMENT, "%s has %zu tokens, and one chunk takes %d; a smaller --ctx helps", path,
                    e->n_ids, e->ctx);
    e->n_chunks = (int)min_size(chunks, e->args->chunks ? (size_t)e->args->chunks : INT32_MAX);
    e->scores = mem_alloc((size_t)e->n_chunks * (size_t)e->ctx / 2, sizeof *e->scores);
    return e->scores ? KVASIR_OK : fail_memory((size_t)e->n_chunks * (size_t)e->ctx / 2 * sizeof *e->scores);
}

/* Reads the text with the measured type and, if `ref_kv` is given, with that one beside it. */
static int evaluate(text_eval *e, const char *path, const char *ref_kv)
{
    engine_args engine = e->args->engine;
    e->ctx = engine.ctx ? engine.ctx : DEFAULT_CTX;
    e->n_seq = ref_kv ? 2 : 1;
    engine.ctx = e->ctx;
    e->running = json_array();
    if (e->ctx < 8) return usage_error("--ctx %d is too short to score anything", e->ctx);
    int code = session_open(e->args->model, &engine, &e->args->output, SESSION_MANY_ROWS, &e->s);
    if (code == EXIT_DONE) code = session_sequence(&e->s, NULL, &e->seq[0]);
    if (code == EXIT_DONE && ref_kv) code = session_sequence(&e->s, ref_kv, &e->seq[1]);
    if (code != EXIT_DONE) return code;
    kvasir_engine_info info;
    kvasir_engine_get_info(e->s.engine, &info);
    e->n_vocab = e->s.info->n_vocab;
    e->rows_per_step = max_int(1, min_int(info.max_logits, info.max_batch) / e->n_seq);
    e->chunk = max_int(1, info.max_batch / e->n_seq);
    kvasir_status status = tokenize_file(e, path);
    if (status == KVASIR_OK) status = team_create(info.n_threads, &e->team);
    e->bar = progress_start("reading:", "tokens");
    for (int i = 0; i < e->n_chunks && status == KVASIR_OK; i++) status = read_chunk(e, i);
    progress_end(&e->bar);
    return status == KVASIR_OK ? EXIT_DONE : failed(status);
}

static void release(text_eval *e)
{
    for (int i = 0; i < e->n_seq; i++) kvasir_seq_free(e->seq[i]);
    if (e->team) team_free(e->team);
    mem_free(e->scores);
    kvasir_free(e->ids);
    json_decref(e->running);
    session_close(&e->s);
}

/* ---- results ------------------------------------------------------------------------------------------ */

int eval_perplexity(const eval_args *a)
{
    text_eval e = {.args = a};
    int code = evaluate(&e, a->ppl, NULL);
    if (code == EXIT_DONE) {
        mean nll = mean_of(&e, offsetof(score, nll));
        double ppl = exp(nll.value), error = ppl * nll.error;
        if (a->output.json) {
            json_t *d = json_document("eval");
            (void)json_object_update_new(d, json_pack("{s:o, s:o, s:o, s:i, s:i, s:i, s:O, s:s}", "ppl",
                                                      json_number(ppl), "ppl_error", json_number(error), "nll",
                                                      json_number(nll.value), "tokens", e.n_scores, "ctx", e.ctx,
                                                      "chunks", e.n_chunks, "chunk_ppl", e.running, "kv", e.s.kv));
            (void)json_object_set_new(d, "memory", json_memory(e.s.engine));
            code = print_json(d);
        } else {
            (void)printf("perplexity %.4f +/- %.4f over %d tokens in %d chunks of %d, KV %s\n", ppl, error, e.n_scores,
                         e.n_chunks, e.ctx, e.s.kv);
            code = finish_output(EXIT_DONE);
        }
    }
    release(&e);
    return code;
}

static int compare_kld(const void *a, const void *b)
{
    double x = ((const score *)a)->kld, y = ((const score *)b)->kld;
    return (x > y) - (x < y);
}

/* Of scores sorted by divergence; between two of them in proportion. */
static double percentile(const text_eval *e, double share)
{
    double at = share * (e->n_scores - 1);
    int below = (int)at, above = min_int(below + 1, e->n_scores - 1);
    return e->scores[below].kld + (at - below) * (e->scores[above].kld - e->scores[below].kld);
}

static int report_divergence(text_eval *e, const char *ref_kv)
{
    if (!e->scores || e->n_scores == 0) return failed(fail(KVASIR_E_INTERNAL, "nothing was scored"));
    mean kld = mean_of(e, offsetof(score, kld));
    double ppl = exp(mean_of(e, offsetof(score, nll)).value), ppl_ref = exp(mean_of(e, offsetof(score, nll_ref)).value);
    int same = 0;
    for (int i = 0; i < e->n_scores; i++) same += e->scores[i].same_top;
    double same_top = (double)same / e->n_scores;
    qsort(e->scores, (size_t)e->n_scores, sizeof *e->scores, compare_kld);
    double median = percentile(e, 0.5), p99 = percentile(e, 0.99), p999 = percentile(e, 0.999), max = percentile(e, 1);
    if (!e->args->output.json) {
        (void)printf("KV %s against %s over %d tokens in %d chunks of %d\n", e->s.kv, ref_kv, e->n_scores, e->n_chunks,
                     e->ctx);
        (void)printf("  divergence   mean %.6f +/- %.6f, median %.6f, 99%% %.6f, 99.9%% %.6f, largest %.6f\n",
                     kld.value, kld.error, median, p99, p999, max);
        (void)printf("  same best    %.3f%%\n", 100 * same_top);
        (void)printf("  perplexity   %.4f against %.4f\n", ppl, ppl_ref);
        return finish_output(EXIT_DONE);
    }
    json_t *d = json_document("eval");
    (void)json_object_update_new(d, json_pack("{s:s, s:s, s:i, s:i, s:i, s:f, s:o, s:o, s:O}", "ref_kv", ref_kv, "kv",
                                              e->s.kv, "tokens", e->n_scores, "ctx", e->ctx, "chunks", e->n_chunks,
                                              "same_top", same_top, "ppl", json_number(ppl), "ppl_ref",
                                              json_number(ppl_ref), "chunk_ppl", e->running));
    (void)json_object_set_new(d, "kld",
                              json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "mean", json_number(kld.value), "error",
                                        json_number(kld.error), "median", json_number(median), "p99", json_number(p99),
                                        "p999", json_number(p999), "max", json_number(max)));
    (void)json_object_set_new(d, "memory", json_memory(e->s.engine));
    return print_json(d);
}

int eval_divergence(const eval_args *a)
{
    text_eval e = {.args = a};
    const char *ref_kv = a->ref_kv ? a->ref_kv : "f16";
    int code = evaluate(&e, a->kld, ref_kv);
    if (code == EXIT_DONE) code = report_divergence(&e, ref_kv);
    release(&e);
    return code;
}
