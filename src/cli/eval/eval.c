#include "cli/eval/eval.h"
#include "cli/files/config_file.h"
#include "base/checked.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIELD(name) offsetof(eval_args, name)
static const cli_option logits_options[] = {
    {"ids", 0, CLI_FILE, NULL, "FILE", FIELD(ids),
     "Token ids to read: a JSON array or numbers between spaces; - is stdin", 0, 0, NULL},
    {"at", 0, CLI_TEXT, NULL, "LIST", FIELD(at),
     "Positions whose logits are wanted: 0,20,41 or all (default: the last)", 0, 0, "all"},
    {"logits", 0, CLI_FILE, NULL, "FILE", FIELD(logits), "Write the rows of logits, little-endian float32", 0, 0, NULL},
    {"greedy", 0, CLI_INT, NULL, "N", FIELD(greedy), "Then N steps that take the best token, a row each", 0, 1 << 27,
     NULL},
    {0},
};
static const cli_option text_options[] = {
    {"ppl", 0, CLI_FILE, "--perplexity", "FILE", FIELD(ppl),
     "Perplexity of a text in chunks of --ctx tokens (default 2048)", 0, 0, NULL},
    {"kld", 0, CLI_FILE, NULL, "FILE", FIELD(kld),
     "Divergence of --kv (several types separated by commas) from --ref-kv on a text, token by token", 0, 0, NULL},
    {"ref-kv", 0, CLI_TEXT, NULL, "T", FIELD(ref_kv), "KV type that --kld compares with (default f16)", 0, 0,
     "f16 f32"},
    {"chunks", 0, CLI_INT, NULL, "N", FIELD(chunks), "The first N chunks only", 0, 1 << 27, NULL},
    {0},
};
static const cli_group eval_groups[] = {
    {"Logits", logits_options, 0},
    {"Text", text_options, 0},
    {"KV cache", kv_options, FIELD(engine)},
    {"Engine", engine_options, FIELD(engine)},
    {"Output", output_options, FIELD(output)},
    {0},
};
static const cli_example eval_examples[] = {
    {"kvasir eval model.gguf --ids prompt.json --at all --logits out.f32 --greedy 16",
     "Every row of logits of a prompt and of 16 steps after it."},
    {"kvasir eval model.gguf --ppl text.txt --ctx 2048", "Perplexity in chunks of 2,048 tokens."},
    {"kvasir eval model.gguf --kld text.txt --kv q8,q8:q4,q4 -c 4096",
     "What each type costs in fidelity; all are read beside one reference (f16)."},
    {"kvasir eval model.gguf --kld text.txt --ref-kv f32 --kv f16 -c 4096",
     "How far f16 rows of K and V move the predictions."},
    {0},
};

int eval_argmax(const float *row, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (row[i] > row[best]) best = i;
    return best;
}

double eval_logsumexp(const float *row, int n)
{
    double top = (double)row[eval_argmax(row, n)], sum = 0;
    for (int i = 0; i < n; i++) sum += exp((double)row[i] - top);
    return top + log(sum);
}

/* KL(p || q) = sum p (log p - log q) = sum p (x - y) - lse(x) + lse(y), with p = softmax(x), q = softmax(y). */
double eval_kld(const float *x, const float *y, int n, double lse_x, double lse_y)
{
    double sum = 0;
    for (int i = 0; i < n; i++) {
        double p = exp((double)x[i] - lse_x);
        if (p > 0) sum += p * ((double)x[i] - (double)y[i]);
    }
    return fmax(0, sum - lse_x + lse_y);
}

/* ---- logits of ids ------------------------------------------------------------------------------------ */

typedef struct logits_run {
    session s;
    kvasir_seq *seq;
    output_file *out; /* NULL: not wanted */
    int n_vocab, max_rows, n_rows;
    json_t *rows, *greedy;
    int32_t last_best; /* after the last row */
    int text;          /* print a line for each row */
} logits_run;

/* Keeps one row: to the file, and its summary to the report. `position` is the index of the token it follows.
 */
static kvasir_status keep_row(logits_run *r, int position, const float *row)
{
    double sum = eval_logsumexp(row, r->n_vocab);
    r->last_best = eval_argmax(row, r->n_vocab);
    double logit = (double)row[r->last_best];
    if (r->out && fwrite(row, sizeof *row, (size_t)r->n_vocab, output_stream(r->out)) != (size_t)r->n_vocab)
        return fail(KVASIR_E_IO, "the logits could not be written: %s", strerror(errno));
    r->n_rows++;
    if (r->text)
        (void)printf("%8d  best %6d  logit %9.4f  p %.4f\n", position, r->last_best, logit, exp(logit - sum));
    else
        (void)json_array_append_new(r->rows,
                                    json_pack("{s:i, s:i, s:o, s:o}", "position", position, "argmax", r->last_best,
                                              "logit", json_number(logit), "logsumexp", json_number(sum)));
    return KVASIR_OK;
}

/* Reads the ids and keeps the rows of the positions in `at` (ascending). Runs of positions are asked for
   together, a lone one as the last of a piece: how a prompt is cut does not change a bit. */
static kvasir_status read_ids(logits_run *r, const int32_t *ids, int n, const int32_t *at, int n_at, int chunk)
{
    progress bar = progress_start("reading:", "tokens");
    for (int pos = 0, next = 0; pos < n;) {
        int wanted = next < n_at ? at[next] : n - 1, run = 0;
        while (next + run < n_at && at[next + run] == pos + run && run < r->max_rows && run < chunk) run++;
        int piece = run ? run : min_int(min_int(chunk, n - pos), wanted - pos + 1);
        int reaches = !run && next < n_at && pos + piece == wanted + 1;
        kvasir_work work = {.seq = r->seq,
                            .ids = ids + pos,
                            .n = piece,
                            .want = run       ? KVASIR_WANT_ALL
                                    : reaches ? KVASIR_WANT_LAST
                                              : KVASIR_WANT_NONE};
        TRY(kvasir_step(r->s.engine, &work, 1));
        int rows = run ? run : reaches;
        for (int i = 0; i < rows; i++) TRY(keep_row(r, at[next + i], work.logits + (size_t)i * (size_t)r->n_vocab));
        next += rows;
        pos += piece;
        progress_update(&bar, (uint64_t)pos, (uint64_t)n, NULL);
        if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
    }
    progress_end(&bar);
    return KVASIR_OK;
}

static kvasir_status greedy_steps(logits_run *r, int n)
{
    for (int i = 0; i < n; i++) {
        int32_t id = r->last_best;
        kvasir_work work = {.seq = r->seq, .ids = &id, .n = 1, .want = KVASIR_WANT_LAST};
        (void)json_array_append_new(r->greedy, json_integer(id));
        TRY(kvasir_step(r->s.engine, &work, 1));
        TRY(keep_row(r, kvasir_seq_length(r->seq) - 1, work.logits));
        if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
    }
    return KVASIR_OK;
}

/* The positions of --at, ascending, and the last one where greedy steps need it (*extra: it is not to be
 * kept). */
static kvasir_status positions(const eval_args *a, int n, int32_t **at, size_t *n_at)
{
    int all = a->at && strcmp(a->at, "all") == 0;
    if (a->at && !all) {
        TRY(parse_ids(a->at, strlen(a->at), at, n_at));
        for (size_t i = 0; i < *n_at; i++)
            if ((*at)[i] >= n || (i > 0 && (*at)[i] <= (*at)[i - 1]))
                return fail(KVASIR_E_ARGUMENT, "--at: the positions are to ascend and be below %d, the number of ids",
                            n);
        return KVASIR_OK;
    }
    *n_at = all ? (size_t)n : 1;
    *at = mem_alloc(*n_at, sizeof **at);
    if (!*at) return fail_memory(*n_at * sizeof **at);
    for (size_t i = 0; i < *n_at; i++) (*at)[i] = all ? (int32_t)i : n - 1;
    return KVASIR_OK;
}

static kvasir_status run_logits(logits_run *r, const eval_args *a, const int32_t *ids, int n)
{
    kvasir_engine_info info;
    int32_t *at = NULL;
    size_t n_at = 0;
    kvasir_engine_get_info(r->s.engine, &info);
    r->max_rows = info.max_logits;
    r->n_vocab = r->s.info->n_vocab;
    int chunk = a->engine.chunk ? a->engine.chunk : info.max_batch;
    kvasir_status status = positions(a, n, &at, &n_at);
    if (status == KVASIR_OK && a->greedy && (n_at == 0 || at[n_at - 1] != n - 1))
        status = fail(KVASIR_E_ARGUMENT, "--greedy goes on from the last position: add %d to --at", n - 1);
    if (status == KVASIR_OK && (int64_t)n + a->greedy > kvasir_seq_ctx(r->seq))
        status = fail(KVASIR_E_CONTEXT, "%d ids and %d greedy steps do not fit the context of %d tokens", n, a->greedy,
                      kvasir_seq_ctx(r->seq));
    if (status == KVASIR_OK) status = read_ids(r, ids, n, at, (int)n_at, chunk);
    if (status == KVASIR_OK) status = greedy_steps(r, a->greedy);
    mem_free(at);
    return status;
}

static int report_logits(logits_run *r, const eval_args *a, int n)
{
    if (!a->output.json) return finish_output(EXIT_DONE);
    json_t *d = json_document("eval");
    (void)json_object_set_new(d, "tokens", json_integer(n));
    (void)json_object_set_new(d, "n_vocab", json_integer(r->n_vocab));
    (void)json_object_set(d, "greedy", r->greedy);
    (void)json_object_set(d, "rows", r->rows);
    (void)json_object_set_new(d, "kv", json_kv(r->s.engine, r->seq));
    (void)json_object_set_new(d, "memory", json_memory(r->s.engine));
    return print_json(d);
}

/* Opens everything, runs, reports. */
static int logits_session(logits_run *r, const eval_args *a, const int32_t *ids, int n)
{
    int code = session_open(a->model, &a->engine, &a->output, SESSION_MANY_ROWS, &r->s);
    if (code == EXIT_DONE) code = session_sequence(&r->s, NULL, &r->seq);
    if (code != EXIT_DONE) return code;
    kvasir_status status = a->logits ? output_open(a->logits, &r->out) : KVASIR_OK;
    if (status != KVASIR_OK) return failed(status);
    status = run_logits(r, a, ids, n);
    if (status == KVASIR_OK)
        status = output_close(r->out, 1);
    else
        (void)output_close(r->out, 0); /* the message stays that of the run */
    return status == KVASIR_OK ? report_logits(r, a, n) : failed(status);
}

static int eval_logits(const eval_args *a)
{
    char *text = NULL;
    size_t n_text = 0, n = 0;
    int32_t *ids = NULL;
    logits_run r = {.rows = json_array(), .greedy = json_array(), .text = !a->output.json};
    kvasir_status status = output_check(a->logits);
    if (status == KVASIR_OK) status = read_text(a->ids, &text, &n_text);
    if (status == KVASIR_OK) status = parse_ids(text, n_text, &ids, &n);
    if (status == KVASIR_OK && (n == 0 || n > INT32_MAX)) status = fail(KVASIR_E_ARGUMENT, "%s holds no ids", a->ids);
    int code = status == KVASIR_OK ? logits_session(&r, a, ids, (int)n) : failed(status);
    kvasir_seq_free(r.seq);
    session_close(&r.s);
    json_decref(r.rows);
    json_decref(r.greedy);
    mem_free(ids);
    free(text);
    return code;
}

static int eval_main(void *args)
{
    not_finite_fails_a_check();
    eval_args *a = args;
    int ctx = a->engine.ctx;
    int tasks = (a->ids != NULL) + (a->ppl != NULL) + (a->kld != NULL);
    if (tasks != 1) return usage_error("one of --ids FILE, --ppl FILE and --kld FILE says what to evaluate");
    if (!a->ids && (a->at || a->logits || a->greedy)) return usage_error("--at, --logits and --greedy go with --ids");
    if (a->ids && a->chunks) return usage_error("--chunks goes with --ppl and --kld");
    if (a->ref_kv && !a->kld) return usage_error("--ref-kv goes with --kld");
    int code = config_apply(a->model, &a->engine, &a->engine.kv, NULL);
    if (code != EXIT_DONE) return code;
    if (!a->ids) a->engine.ctx = ctx; /* the length of the chunks is a part of what is measured */
    return a->ids ? eval_logits(a) : a->ppl ? eval_perplexity(a) : eval_divergence(a);
}

const cli_command eval_command = {
    .name = "eval",
    .argument = CLI_ARGUMENT_MODEL,
    .argument_field = FIELD(model),
    .summary = "Numbers about fidelity: logits, perplexity, divergence",
    .about = "With --ids writes the logits of given tokens. With --ppl measures the perplexity of a text: "
             "the text is tokenised whole and "
             "cut into chunks of --ctx tokens, each chunk is read afresh (its first token replaced by BOS "
             "where the model adds one), and "
             "the tokens of its second half are scored. With --kld does the same with other types of KV cache "
             "side by side and compares "
             "the predictions token by token (Kullback-Leibler divergence of each type of --kv from --ref-kv).",
    .examples = eval_examples,
    .groups = eval_groups,
    .size = sizeof(eval_args),
    .run = eval_main,
};
