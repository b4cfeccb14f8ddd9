/* Measuring two configurations in turns. One engine has the weights; a sequence for each KV type is filled to the depth
   once, and every sample runs in a fork of it, so that a sample costs what it measures and nothing else. The machine's
   speed changes from second to second: samples of the two alternate, the best of each counts, and a gain within the
   margin is none. */
#include "system/system.h"
#include "cli/tune/tune.h"
#include "base/checked.h"
#include "base/clock.h"
#include "base/mem.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double margins[] = {[TUNE_KV] = 0.03, [TUNE_THREADS] = 0.03, [TUNE_CHUNK] = 0.02, [TUNE_DRAFT] = 0.05};
const char *const tune_step_names[] = {
    [TUNE_KV] = "kv", [TUNE_THREADS] = "threads", [TUNE_CHUNK] = "chunk", [TUNE_DRAFT] = "draft"};

/* Of a token; the best of the samples, FLT_MAX where none was taken. */
typedef struct speed {
    double prefill_s, decode_s;
} speed;

typedef struct side {
    tune_point p;
    speed best;
    double job[TUNE_MAX_REPEAT], best_job; /* seconds of the job, by round */
} side;

/* ---- samples ------------------------------------------------------------------------------------------ */

/* Appends the text's next n tokens in pieces of `chunk`. */
static kvasir_status feed(tune *t, kvasir_seq *seq, int n, int chunk, kvasir_want want, progress *bar)
{
    for (int done = 0; done < n;) {
        int piece = min_int(chunk, n - done);
        kvasir_work work = {.seq = seq,
                            .ids = t->ids + kvasir_seq_length(seq),
                            .n = piece,
                            .want = done + piece == n ? want : KVASIR_WANT_NONE};
        if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
        TRY(kvasir_step(t->s.engine, &work, 1));
        done += piece;
        if (bar) progress_update(bar, (uint64_t)done, (uint64_t)n, NULL);
    }
    return KVASIR_OK;
}

void tune_free_bases(tune *t, int but)
{
    for (int i = 0; i < TUNE_TYPES; i++) {
        if (i == but) continue;
        kvasir_seq_free(t->base[i]);
        t->base[i] = NULL;
    }
}

/* The pool keeps inside its budget; this keeps the machine's memory, which other programs take from, inside as well. */
static kvasir_status check_room(const tune *t, int type)
{
    kvasir_kv_info kv;
    TRY(kvasir_model_kv(t->s.model, tune_types[type], t->depth + t->behind, &kv));
    uint64_t have = system_available(), need = kv.bytes_at_ctx + t->reserve * !t->args->budget;
    if (have == 0 || need <= have) return KVASIR_OK;
    return fail(KVASIR_E_MEMORY, "%d tokens in %s take %s and %s are free now", t->depth + t->behind, tune_types[type],
                bytes_text(kv.bytes_at_ctx), bytes_text(have));
}

static kvasir_status fill_base(tune *t, int type)
{
    char label[64];
    kvasir_seq_options o = {.n_ctx = t->depth + t->behind, .kv = tune_types[type]};
    if (t->base[type]) return KVASIR_OK;
    TRY(check_room(t, type));
    TRY(kvasir_seq_create(t->s.engine, t->s.model, &o, &t->base[type]));
    (void)snprintf(label, sizeof label, "%s, filling:", tune_types[type]);
    progress bar = progress_start(label, "tokens");
    TRY(kvasir_engine_set_threads(t->s.engine, t->now.threads));
    kvasir_status status = feed(t, t->base[type], max_int(t->depth - 1, 0), t->now.chunk, KVASIR_WANT_NONE, &bar);
    progress_end(&bar);
    if (status == KVASIR_OK) return status;
    kvasir_seq_free(t->base[type]);
    t->base[type] = NULL;
    return status;
}

/* A fork with the depth's last token, which is not timed: it copies the shared block and wakes the threads. */
static kvasir_status open_fork(tune *t, tune_point p, kvasir_seq **out)
{
    TRY(kvasir_engine_set_threads(t->s.engine, p.threads));
    TRY(kvasir_seq_fork(t->base[p.type], -1, out));
    kvasir_status status = t->depth > 0 ? feed(t, *out, 1, 1, KVASIR_WANT_LAST, NULL) : KVASIR_OK;
    if (status == KVASIR_OK) return status;
    kvasir_seq_free(*out);
    *out = NULL;
    return status;
}

static kvasir_status sample_prefill(tune *t, tune_point p, int n, double *seconds)
{
    kvasir_seq *f = NULL;
    TRY(open_fork(t, p, &f));
    double start = clock_now();
    kvasir_status status = feed(t, f, n, p.chunk, KVASIR_WANT_LAST, NULL);
    *seconds = (clock_now() - start) / n;
    kvasir_seq_free(f);
    return status;
}

static kvasir_status sample_decode(tune *t, tune_point p, double *seconds)
{
    kvasir_seq *f = NULL;
    int n = min_int(TUNE_STEPS, t->behind);
    TRY(open_fork(t, p, &f));
    double start = clock_now();
    kvasir_status status = feed(t, f, n, 1, KVASIR_WANT_LAST, NULL);
    *seconds = (clock_now() - start) / n;
    kvasir_seq_free(f);
    return status;
}

/* The model goes on from the text by itself: what a draft has to guess. It samples as `run` does by default, for the best
   token always leads small models into loops, which flatter a draft. Both sides get the same tokens. */
static kvasir_status sample_generation(tune *t, tune_point p, double *seconds)
{
    const kvasir_sampler_options draw = {.temperature = 0.8F, .top_k = 40, .top_p = 0.95F, .min_p = 0.05F, .seed = 1};
    kvasir_seq *f = NULL;
    kvasir_sampler *sampler = NULL;
    kvasir_stats stats = {0};
    TRY(kvasir_sampler_create(t->s.model, &draw, &sampler));
    kvasir_generate_options o = {.ids = t->ids + t->depth,
                                 .n_ids = 1,
                                 .n_predict = min_int(TUNE_DRAFTED, t->behind - 1),
                                 .ignore_end = 1,
                                 .sampler = sampler,
                                 .draft = p.draft ? KVASIR_DRAFT_LOOKUP : KVASIR_DRAFT_NONE};
    kvasir_status status = open_fork(t, p, &f);
    if (status == KVASIR_OK) status = kvasir_generate(t->s.engine, f, &o, NULL, NULL, &stats);
    if (status == KVASIR_OK) *seconds = stats.decode_s / max_int(stats.generated_tokens - 1, 1);
    kvasir_seq_free(f);
    kvasir_sampler_free(sampler);
    return status;
}

/* Seconds of the job that the step is about. */
static kvasir_status run_job(tune *t, tune_step step, int n_read, side *x, double *job)
{
    speed s = {DBL_MAX, DBL_MAX};
    *job = 0;
    if (step != TUNE_DRAFT) TRY(sample_prefill(t, x->p, n_read, &s.prefill_s));
    if (step == TUNE_DRAFT)
        TRY(sample_generation(t, x->p, &s.decode_s));
    else if (step != TUNE_CHUNK)
        TRY(sample_decode(t, x->p, &s.decode_s));
    if (step != TUNE_DRAFT) *job += TUNE_READ * s.prefill_s;
    if (step != TUNE_CHUNK) *job += TUNE_GENERATE * s.decode_s;
    x->best.prefill_s = fmin(x->best.prefill_s, s.prefill_s);
    x->best.decode_s = fmin(x->best.decode_s, s.decode_s);
    return KVASIR_OK;
}

/* A side's turn in a round: of a model so small that one job is over at once, the best of several. */
static kvasir_status sample(tune *t, tune_step step, int n_read, side *x, int round)
{
    const double least_s = 0.05;
    double start = clock_now(), job = 0;
    x->job[round] = DBL_MAX;
    do {
        TRY(run_job(t, step, n_read, x, &job));
        x->job[round] = fmin(x->job[round], job);
    } while (clock_now() - start < least_s);
    x->best_job = fmin(x->best_job, x->job[round]);
    return KVASIR_OK;
}

/* ---- rounds ------------------------------------------------------------------------------------------- */

/* Is the difference beyond what the machine does by itself, after so many rounds that all agree? */
static int is_clear(const side *a, const side *b, int rounds)
{
    double least = rounds == 1 ? 1.5 : 1.2;
    for (int i = 0, sign = 0; i < rounds; i++) {
        int now = a->job[i] > least * b->job[i] ? 1 : b->job[i] > least * a->job[i] ? -1 : 0;
        if (now == 0 || (i > 0 && now != sign)) return 0;
        sign = now;
    }
    return 1;
}

static kvasir_status measure(tune *t, tune_step step, side *a, side *b, int *rounds)
{
    /* Chunks are compared on a text that the larger one cuts at least once. */
    int most = max_int(a->p.chunk, b->p.chunk), n_read = min_int(t->behind, step == TUNE_CHUNK ? most : TUNE_READ);
    TRY(fill_base(t, a->p.type));
    TRY(fill_base(t, b->p.type));
    progress bar = progress_start(tune_step_names[step], "samples");
    for (int i = 0; i < t->repeat; i++) {
        side *first = i % 2 ? b : a, *second = i % 2 ? a : b; /* neither is always the one that comes after */
        TRY(sample(t, step, n_read, first, i));
        TRY(sample(t, step, n_read, second, i));
        *rounds = i + 1;
        progress_update(&bar, (uint64_t)i + 1, (uint64_t)t->repeat, NULL);
        if (is_clear(a, b, i + 1)) break;
    }
    progress_end(&bar);
    return KVASIR_OK;
}

/* Rounds in which b was faster. */
static int count_wins(const side *a, const side *b, int rounds)
{
    int wins = 0;
    for (int i = 0; i < rounds; i++) wins += b->job[i] < a->job[i];
    return wins;
}

static int judge(tune_step step, const side *a, const side *b, int rounds)
{
    return b->best_job < a->best_job * (1 - margins[step]) && 2 * count_wins(a, b, rounds) > rounds;
}

/* ---- evidence ----------------------------------------------------------------------------------------- */

static json_t *jobs_json(const side *x, int rounds)
{
    json_t *list = json_array();
    for (int i = 0; i < rounds; i++) (void)json_array_append_new(list, json_number(x->job[i]));
    return list;
}

static json_t *rate_json(double seconds)
{
    return seconds < DBL_MAX && seconds > 0 ? json_number(1 / seconds) : json_null();
}

static json_t *side_json(const side *x, int rounds)
{
    json_t *o = tune_point_json(x->p);
    (void)json_object_set_new(o, "job_s", jobs_json(x, rounds));
    (void)json_object_set_new(o, "prefill_tps", rate_json(x->best.prefill_s));
    (void)json_object_set_new(o, "decode_tps", rate_json(x->best.decode_s));
    return o;
}

static void point_text(tune_step step, tune_point p, char *to, size_t n)
{
    if (step == TUNE_KV)
        (void)snprintf(to, n, "%s", tune_types[p.type]);
    else if (step == TUNE_DRAFT)
        (void)snprintf(to, n, "%s", p.draft ? "lookup" : "none");
    else
        (void)snprintf(to, n, "%d", step == TUNE_THREADS ? p.threads : p.chunk);
}

static void say(const tune *t, tune_step step, const json_t *e, tune_point a, tune_point b, int known)
{
    char was[32], is[32];
    const char *error = json_string_value(json_object_get(e, "error"));
    if (t->args->output.json) return;
    point_text(step, a, was, sizeof was);
    point_text(step, b, is, sizeof is);
    if (error) {
        (void)printf("  %-8s %s to %s: not measured, %s\n", tune_step_names[step], was, is,
                     quoted(error, strlen(error)));
        return;
    }
    double gain = json_number_value(json_object_get(e, "gain"));
    double best_a = json_number_value(json_object_get(e, "a_s")), best_b = json_number_value(json_object_get(e, "b_s"));
    (void)printf("  %-8s %s: %.3f s; %s: %.3f s, %.1f%% %s (%d of %d rounds faster)  -> %s%s\n", tune_step_names[step],
                 was, best_a, is, best_b, 100 * fabs(gain), gain >= 0 ? "less" : "more",
                 (int)json_integer_value(json_object_get(e, "wins")),
                 (int)json_integer_value(json_object_get(e, "rounds")),
                 json_is_true(json_object_get(e, "taken")) ? is : was, known ? ", as found before" : "");
    (void)fflush(stdout);
}

static json_t *evidence(tune_step step, const side *a, const side *b, int rounds)
{
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:f, s:i, s:i, s:b, s:n}", "step", tune_step_names[step], "a",
                     side_json(a, rounds), "b", side_json(b, rounds), "a_s", json_number(a->best_job), "b_s",
                     json_number(b->best_job), "gain", json_number(1 - b->best_job / a->best_job), "margin",
                     margins[step], "rounds", rounds, "wins", count_wins(a, b, rounds), "taken",
                     judge(step, a, b, rounds), "error");
}

static json_t *no_evidence(tune_step step, const side *a, const side *b)
{
    return json_pack("{s:s, s:o, s:o, s:n, s:n, s:n, s:f, s:i, s:i, s:b, s:o}", "step", tune_step_names[step], "a",
                     side_json(a, 0), "b", side_json(b, 0), "a_s", "b_s", "gain", "margin", margins[step], "rounds", 0,
                     "wins", 0, "taken", 0, "error", json_text_or_null(kvasir_message()));
}

/* ---- a comparison ------------------------------------------------------------------------------------- */

kvasir_status tune_compare(tune *t, tune_step step, tune_point other, int *taken)
{
    side a = {.p = t->now, .best = {DBL_MAX, DBL_MAX}, .best_job = DBL_MAX}, b = a;
    int rounds = 0;
    json_t *e = NULL;
    b.p = other;
    const json_t *known = tune_saved_comparison(t, step, a.p, b.p);
    if (known) {
        e = json_deep_copy(known);
    } else {
        kvasir_status status = measure(t, step, &a, &b, &rounds);
        if (status == KVASIR_E_MEMORY)
            e = no_evidence(step, &a, &b);
        else if (status != KVASIR_OK)
            return status;
        else
            e = evidence(step, &a, &b, rounds);
    }
    if (!e) return fail_memory(sizeof *e);
    int better = json_is_true(json_object_get(e, "taken"));
    say(t, step, e, a.p, b.p, known != NULL);
    (void)json_array_append_new(t->evidence, e);
    if (better) t->now = other;
    if (taken) *taken = better;
    return known ? KVASIR_OK : tune_save(t); /* the file has more than this run has come past */
}
