/* Perplexity and divergence over a text in chunks. The protocol is llama-perplexity's, so that numbers can be
   compared: each chunk is a fresh sequence, and the tokens at positions ctx/2+1 to ctx-1 are scored. */
#include "cli/eval/eval.h"
#include "base/checked.h"
#include "base/mem.h"
#include "base/team.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CTX = 2048, MAX_TYPES = 8, MAX_SEQS = MAX_TYPES + 1 };

/* What one token's two rows say; without a reference only `nll` is set. */
typedef struct score {
    double nll, nll_ref, kld;
    int same_top;
} score;

typedef struct text_eval {
    const eval_args *args;
    session s;
    char kv[MAX_TYPES][64];    /* the types that are measured */
    kvasir_seq *seq[MAX_SEQS]; /* theirs; with --kld the reference's behind them */
    int n_types, n_seq, ctx, n_chunks, n_vocab, rows_per_step, chunk;
    int32_t *ids;
    size_t n_ids;
    team *team; /* scores rows in parallel: each row by one thread, so the sums do not depend on their number */
    score *scores[MAX_TYPES];
    int n_scores; /* of each type */
    progress bar;
    json_t *running[MAX_TYPES]; /* perplexity after each chunk */
    /* the rows being scored */
    const float *rows[MAX_SEQS];
    const int32_t *targets;
    int n_rows;
} text_eval;

/* ---- scoring ------------------------------------------------------------------------------------------ */

static void score_rows(void *arg, int tid)
{
    text_eval *e = arg;
    (void)tid;
    for (int i = team_next(e->team); i < e->n_rows; i = team_next(e->team)) {
        size_t at = (size_t)i * (size_t)e->n_vocab;
        const float *ref = e->n_seq > e->n_types ? e->rows[e->n_types] + at : NULL;
        double lse_ref = ref ? eval_logsumexp(ref, e->n_vocab) : 0;
        int best_ref = ref ? eval_argmax(ref, e->n_vocab) : -1;
        for (int t = 0; t < e->n_types; t++) {
            const float *row = e->rows[t] + at;
            score *out = &e->scores[t][e->n_scores + i];
            double lse = eval_logsumexp(row, e->n_vocab);
            out->nll = lse - (double)row[e->targets[i]];
            if (!ref) continue;
            out->nll_ref = lse_ref - (double)ref[e->targets[i]];
            out->kld = eval_kld(ref, row, e->n_vocab, lse_ref, lse);
            out->same_top = eval_argmax(row, e->n_vocab) == best_ref;
        }
    }
}

typedef struct mean {
    double value, error; /* standard error of the mean */
} mean;

/* Mean over a type's scores of one double field. */
static mean mean_of(const text_eval *e, int type, size_t field)
{
    double sum = 0, squares = 0;
    int n = e->n_scores;
    const score *s = e->scores[type];
    for (int i = 0; i < n; i++) sum += *(const double *)(const void *)((const char *)&s[i] + field);
    double average = sum / n;
    for (int i = 0; i < n; i++) {
        double d = *(const double *)(const void *)((const char *)&s[i] + field) - average;
        squares += d * d;
    }
    return (mean){average, n > 1 ? sqrt(squares / (n - 1) / n) : NAN};
}

static double perplexity(const text_eval *e, int type)
{
    return exp(mean_of(e, type, offsetof(score, nll)).value);
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
        if (e->n_scores) (void)snprintf(extra, sizeof extra, "perplexity %.4f", perplexity(e, 0));
        progress_update(&e->bar, (uint64_t)number * (uint64_t)last + (uint64_t)pos,
                        (uint64_t)e->n_chunks * (uint64_t)last, e->n_scores ? extra : NULL);
    }
    for (int t = 0; t < e->n_types; t++) {
        double ppl = perplexity(e, t);
        (void)json_array_append_new(e->running[t], json_number(ppl));
        if (e->s.verbose) note("chunk %d of %d: KV %s, perplexity %.4f", number + 1, e->n_chunks, e->kv[t], ppl);
    }
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
    size_t room = (size_t)e->n_chunks * (size_t)e->ctx / 2;
    for (int t = 0; t < e->n_types; t++) {
        e->scores[t] = mem_alloc(room, sizeof *e->scores[t]);
        if (!e->scores[t]) return fail_memory(room * sizeof *e->scores[t]);
    }
    return KVASIR_OK;
}

/* The types of --kv, separated by commas: one, or several with --kld. 0, or the exit status after saying what is
   wrong. */
static int read_types(text_eval *e, const char *ref_kv)
{
    const engine_args *a = &e->args->engine;
    const char *list = a->kv;
    if (!list || !strchr(list, ',')) {
        return kv_type_text(a, e->kv[e->n_types++], sizeof e->kv[0]) == KVASIR_OK ? EXIT_DONE
                                                                                  : failed(KVASIR_E_ARGUMENT);
    }
    if (!ref_kv) return usage_error("--kv %s: several types go with --kld", list);
    if (a->kv_k || a->kv_v) return usage_error("--kv %s: several types and -ctk or -ctv exclude each other", list);
    for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL) {
        size_t n = strcspn(list, ",");
        if (e->n_types == MAX_TYPES || n == 0 || n >= sizeof e->kv[0])
            return usage_error("--kv %s: up to %d types, separated by commas", a->kv, MAX_TYPES);
        (void)snprintf(e->kv[e->n_types++], sizeof e->kv[0], "%.*s", (int)n, list);
    }
    return EXIT_DONE;
}

/* Opens the model, and a sequence for each type and for the reference. */
static int open_types(text_eval *e, const char *ref_kv)
{
    engine_args engine = e->args->engine;
    e->ctx = engine.ctx ? engine.ctx : DEFAULT_CTX;
    if (e->ctx < 8) return usage_error("--ctx %d is too short to score anything", e->ctx);
    int code = read_types(e, ref_kv);
    if (code != EXIT_DONE) return code;
    engine.ctx = e->ctx;
    engine.kv = e->kv[0];
    engine.kv_k = engine.kv_v = NULL;
    code = session_open(e->args->model, &engine, &e->args->output, SESSION_MANY_ROWS, &e->s);
    if (code == EXIT_DONE) e->n_vocab = e->s.info->n_vocab;
    for (int t = 0; t < e->n_types && code == EXIT_DONE; t++) {
        e->running[t] = json_array();
        code = session_sequence(&e->s, e->kv[t], &e->seq[e->n_seq]);
        e->n_seq += code == EXIT_DONE;
    }
    if (code == EXIT_DONE && ref_kv) code = session_sequence(&e->s, ref_kv, &e->seq[e->n_seq++]);
    return code;
}

/* Reads the text with the measured types and, if `ref_kv` is given, with that one beside them. */
static int evaluate(text_eval *e, const char *path, const char *ref_kv)
{
    int code = open_types(e, ref_kv);
    if (code != EXIT_DONE || e->n_seq == 0) return code; /* (0 cannot be, which an analyser of this file cannot know) */
    kvasir_engine_info info;
    kvasir_engine_get_info(e->s.engine, &info);
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
    for (int t = 0; t < e->n_types; t++) {
        mem_free(e->scores[t]);
        json_decref(e->running[t]);
    }
    kvasir_free(e->ids);
    session_close(&e->s);
}

/* ---- results ------------------------------------------------------------------------------------------ */

int eval_perplexity(const eval_args *a)
{
    text_eval e = {.args = a};
    int code = evaluate(&e, a->ppl, NULL);
    if (code == EXIT_DONE) {
        mean nll = mean_of(&e, 0, offsetof(score, nll));
        double ppl = exp(nll.value), error = ppl * nll.error;
        if (a->output.json) {
            json_t *d = json_document("eval");
            (void)json_object_update_new(d, json_pack("{s:o, s:o, s:o, s:i, s:i, s:i, s:O, s:s}", "ppl",
                                                      json_number(ppl), "ppl_error", json_number(error), "nll",
                                                      json_number(nll.value), "tokens", e.n_scores, "ctx", e.ctx,
                                                      "chunks", e.n_chunks, "chunk_ppl", e.running[0], "kv", e.kv[0]));
            (void)json_object_set_new(d, "memory", json_memory(e.s.engine));
            code = print_json(d);
        } else {
            (void)printf("perplexity %.4f +/- %.4f over %d tokens in %d chunks of %d, KV %s\n", ppl, error, e.n_scores,
                         e.n_chunks, e.ctx, e.kv[0]);
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
static double percentile(const score *scores, int n, double share)
{
    double at = share * (n - 1);
    int below = (int)at, above = min_int(below + 1, n - 1);
    return scores[below].kld + (at - below) * (scores[above].kld - scores[below].kld);
}

/* What --kld says of one type. */
typedef struct divergence_summary {
    mean kld;
    double median, p99, p999, max, same_top, ppl, ppl_ref;
} divergence_summary;

/* Sorts the type's scores by divergence. */
static divergence_summary summarise(text_eval *e, int type)
{
    int n = e->n_scores, same = 0;
    score *s = e->scores[type];
    for (int i = 0; i < n; i++) same += s[i].same_top;
    divergence_summary d = {.kld = mean_of(e, type, offsetof(score, kld)),
                            .same_top = (double)same / n,
                            .ppl = perplexity(e, type),
                            .ppl_ref = exp(mean_of(e, type, offsetof(score, nll_ref)).value)};
    qsort(s, (size_t)n, sizeof *s, compare_kld);
    d.median = percentile(s, n, 0.5);
    d.p99 = percentile(s, n, 0.99);
    d.p999 = percentile(s, n, 0.999);
    d.max = percentile(s, n, 1);
    return d;
}

static void print_divergence(const text_eval *e, int type, const divergence_summary *d, const char *ref_kv)
{
    (void)printf("KV %s against %s over %d tokens in %d chunks of %d\n", e->kv[type], ref_kv, e->n_scores, e->n_chunks,
                 e->ctx);
    (void)printf("  divergence   mean %.6f +/- %.6f, median %.6f, 99%% %.6f, 99.9%% %.6f, largest %.6f\n", d->kld.value,
                 d->kld.error, d->median, d->p99, d->p999, d->max);
    (void)printf("  same best    %.3f%%\n", 100 * d->same_top);
    (void)printf("  perplexity   %.4f against %.4f\n", d->ppl, d->ppl_ref);
}

static json_t *json_divergence(const text_eval *e, int type, const divergence_summary *d)
{
    json_t *kld = json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "mean", json_number(d->kld.value), "error",
                            json_number(d->kld.error), "median", json_number(d->median), "p99", json_number(d->p99),
                            "p999", json_number(d->p999), "max", json_number(d->max));
    return json_pack("{s:s, s:o, s:f, s:o, s:O}", "kv", e->kv[type], "kld", kld, "same_top", d->same_top, "ppl",
                     json_number(d->ppl), "chunk_ppl", e->running[type]);
}

static int report_divergence(text_eval *e, const char *ref_kv)
{
    if (e->n_scores == 0) return failed(fail(KVASIR_E_INTERNAL, "nothing was scored"));
    json_t *types = json_array();
    double ppl_ref = NAN;
    for (int t = 0; t < e->n_types; t++) {
        divergence_summary d = summarise(e, t);
        ppl_ref = d.ppl_ref;
        if (!e->args->output.json) print_divergence(e, t, &d, ref_kv);
        (void)json_array_append_new(types, json_divergence(e, t, &d));
    }
    if (!e->args->output.json) {
        json_decref(types);
        return finish_output(EXIT_DONE);
    }
    json_t *d = json_document("eval");
    (void)json_object_update_new(d, json_pack("{s:s, s:i, s:i, s:i, s:o}", "ref_kv", ref_kv, "tokens", e->n_scores,
                                              "ctx", e->ctx, "chunks", e->n_chunks, "ppl_ref", json_number(ppl_ref)));
    (void)json_object_update(d, json_array_get(types, 0)); /* where they were when there was one type only */
    (void)json_object_set_new(d, "types", types);
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
