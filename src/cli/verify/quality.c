/* What a KV type costs in quality, beside f16 in the same steps: divergence and perplexity on a text, finding a sentence
   in a long context, and a long generation that both are made to follow. */
#include "cli/verify/verify.h"
#include "cli/eval/eval.h"
#include "cli/sweep/sweep.h"
#include "base/checked.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char reference[] = "f16";

/* ---- limits ---- */

/* What a type may cost. docs/verify.md says where the numbers come from. */
typedef struct limits {
    const char *type;
    double kld, ppl_ratio, same_top;
} limits;
static const limits known[] = {
    {"f32", 0.01, 1.01, 0.93}, {"f16", 0.01, 1.01, 0.93}, {"q8", 0.02, 1.01, 0.92}, {"q4", 0.10, 1.05, 0.82}};
enum { N_KNOWN = sizeof known / sizeof *known };

/* Of both types the looser ones. */
static limits limits_of(const kvasir_seq *s)
{
    limits out = known[0];
    for (int is_v = 0; is_v < 2; is_v++)
        for (int i = 0; i < N_KNOWN; i++)
            if (strcmp(known[i].type, kvasir_seq_kv_type(s, is_v)) == 0 && known[i].kld > out.kld) out = known[i];
    return out;
}

static kvasir_status add_limit(verify *w, const char *name, const char *unit, double predicted, double low, double high,
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

/* ---- a type beside the reference ---- */

/* [0] has the type that is verified, [1] the reference. */
typedef struct couple {
    kvasir_seq *seq[2];
    const float *logits[2]; /* of the last step */
} couple;

static void close_couple(couple *c)
{
    kvasir_seq_free(c->seq[0]);
    kvasir_seq_free(c->seq[1]);
    *c = (couple){0};
}

static kvasir_status open_couple(const verify *w, int n_ctx, couple *c)
{
    kvasir_seq_options own = {.n_ctx = n_ctx, .kv = w->s.kv}, ref = {.n_ctx = n_ctx, .kv = reference};
    *c = (couple){0};
    TRY(kvasir_seq_create(w->s.engine, w->s.model, &own, &c->seq[0]));
    kvasir_status status = kvasir_seq_create(w->s.engine, w->s.model, &ref, &c->seq[1]);
    if (status != KVASIR_OK) close_couple(c);
    return status;
}

static kvasir_status step(const verify *w, couple *c, const int32_t *ids, int n, kvasir_want want)
{
    kvasir_work work[2];
    if (interrupted()) return fail(KVASIR_E_CANCELLED, "stopped");
    for (int i = 0; i < 2; i++) work[i] = (kvasir_work){.seq = c->seq[i], .ids = ids, .n = n, .want = want};
    TRY(kvasir_step(w->s.engine, work, 2));
    for (int i = 0; i < 2; i++) c->logits[i] = work[i].logits;
    return KVASIR_OK;
}

/* Appends ids in pieces; with `last` the last one's logits are there afterwards. */
static kvasir_status read_ids(const verify *w, couple *c, const int32_t *ids, int n, int last, progress *bar)
{
    for (int at = 0; at < n;) {
        int piece = min_int(max_int(w->info.max_batch / 2, 1), n - at);
        TRY(step(w, c, ids + at, piece, last && at + piece == n ? KVASIR_WANT_LAST : KVASIR_WANT_NONE));
        at += piece;
        if (bar) progress_update(bar, (uint64_t)at, (uint64_t)n, NULL);
    }
    return KVASIR_OK;
}

/* Sums over rows of logits of both; `squares` of how far the second loss lies from the first. */
typedef struct tally {
    double kld, nll[2], squares;
    int same_top, n;
} tally;

static void count_row(const verify *w, const couple *c, size_t row, int32_t target, tally *t)
{
    int n = w->s.info->n_vocab;
    const float *own = c->logits[0] + row * (size_t)n, *ref = c->logits[1] + row * (size_t)n;
    double lse = eval_logsumexp(own, n), lse_ref = eval_logsumexp(ref, n);
    t->kld += eval_kld(ref, own, n, lse_ref, lse);
    t->same_top += eval_argmax(own, n) == eval_argmax(ref, n);
    const double loss[2] = {lse - (double)own[target], lse_ref - (double)ref[target]};
    t->nll[0] += loss[0];
    t->nll[1] += loss[1];
    t->squares += (loss[0] - loss[1]) * (loss[0] - loss[1]);
    t->n++;
}

/* The largest perplexity that a type with this limit may show: the limit, and two standard errors of the mean difference of
   losses, since a few hundred tokens alone may lie that far off by chance. */
static double highest_ppl(const tally *t, double ratio)
{
    double mean = (t->nll[0] - t->nll[1]) / t->n, variance = t->squares / t->n - mean * mean;
    return exp(t->nll[1] / t->n + 2 * sqrt(fmax(variance, 0) / t->n)) * ratio;
}

/* ---- the text ---- */

/* Chunks of a few thousand tokens, of which the second half counts, as in kvasir eval --kld. */
static kvasir_status read_chunk(const verify *w, couple *c, const int32_t *ids, int n, tally *t, progress *bar)
{
    int first = n / 2, most = max_int(1, min_int(w->info.max_logits, w->info.max_batch) / 2);
    for (int i = 0; i < 2; i++) TRY(kvasir_seq_truncate(c->seq[i], 0));
    TRY(read_ids(w, c, ids, first, 0, NULL));
    for (int at = first; at < n - 1;) {
        int piece = min_int(most, n - 1 - at);
        TRY(step(w, c, ids + at, piece, KVASIR_WANT_ALL));
        for (int i = 0; i < piece; i++) count_row(w, c, (size_t)i, ids[at + i + 1], t);
        at += piece;
        progress_update(bar, (uint64_t)(at - first), (uint64_t)(n - 1 - first), NULL);
    }
    return KVASIR_OK;
}

kvasir_status verify_text(verify *w, int arg)
{
    enum { CHUNK = 2048, QUICK_CHUNK = 512, CHUNKS = 2, LEAST = 8 };
    (void)arg;
    int n = min_int(w->args->quick ? QUICK_CHUNK : CHUNK, w->ctx),
        chunks = min_int(w->args->quick ? 1 : CHUNKS, w->ctx / n);
    couple c;
    tally t = {0};
    if (n < LEAST) return fail(KVASIR_E_CONTEXT, "quality needs a context of %d tokens, it is %d", LEAST, w->ctx);
    TRY(open_couple(w, n, &c));
    limits l = limits_of(c.seq[0]);
    sweep_type_text(kvasir_seq_kv_type(c.seq[0], 0), kvasir_seq_kv_type(c.seq[0], 1), w->quality.kv);
    progress bar = progress_start("divergence:", "tokens");
    kvasir_status status = KVASIR_OK;
    for (int i = 0; i < chunks && status == KVASIR_OK; i++)
        status = read_chunk(w, &c, w->ids + (ptrdiff_t)i * n, n, &t, &bar);
    progress_end(&bar);
    close_couple(&c);
    if (status != KVASIR_OK) return status;
    double own = exp(t.nll[0] / t.n), ref = exp(t.nll[1] / t.n), high = highest_ppl(&t, l.ppl_ratio);
    quality_record *q = &w->quality;
    q->tokens = t.n;
    q->kld = t.kld / t.n;
    q->same_top = (double)t.same_top / t.n;
    q->ppl = own;
    q->ppl_ref = ref;
    TRY(add_limit(w, "divergence from f16, mean", "nats", 0, NAN, l.kld, t.kld / t.n, "the type's limit"));
    TRY(add_limit(w, "perplexity", "ppl", ref, NAN, high, own,
                  "not above f16's by more than the type's limit and chance"));
    return add_limit(w, "same best token as f16", "share", 1, l.same_top, NAN, (double)t.same_top / t.n,
                     "the type's limit");
}

/* ---- the needle ---- */

enum { N_WORDS = 4, N_PLACES = 3, WORD_TOKENS = 8 };
static const char *const words[N_WORDS] = {" marble", " copper", " violet", " walnut"};
static const int places[N_PLACES] = {10, 50, 90};

typedef struct needle {
    int32_t *ids; /* the prompt */
    int n;
    int32_t word[N_WORDS][WORD_TOKENS];
    int n_word[N_WORDS];
} needle;

static kvasir_status add_text(const verify *w, const char *text, int32_t *to, int room, int *n)
{
    int32_t *ids = NULL;
    size_t got = 0;
    TRY(kvasir_tokenize(w->s.model, text, strlen(text), 0, 0, &ids, &got));
    kvasir_status status = KVASIR_OK;
    if (got == 0 || got > (size_t)room)
        status =
            fail(KVASIR_E_CONTEXT, "a sentence of the needle test takes %zu tokens, there is room for %d", got, room);
    else
        memcpy(to + *n, ids, got * sizeof *ids);
    if (status == KVASIR_OK) *n += (int)got;
    kvasir_free(ids);
    return status;
}

/* A prompt of at most `depth` tokens: the text with the sentence at a share of it, and the question behind. */
static kvasir_status make_needle(const verify *w, int depth, int place, const char *word, needle *k)
{
    enum { MOST = 96 };
    char says[160];
    int32_t said[MOST], asked[MOST];
    int n_said = 0, n_asked = 0;
    (void)snprintf(says, sizeof says, "\n\nRemember this: the password of the gatekeeper is%s.\n\n", word);
    TRY(add_text(w, says, said, MOST, &n_said));
    TRY(add_text(w, "\n\nRemember this: the password of the gatekeeper is", asked, MOST, &n_asked));
    int filler = depth - n_said - n_asked, before = (int)((int64_t)filler * place / 100);
    if (filler < 1)
        return fail(KVASIR_E_CONTEXT, "the needle test takes %d tokens, a depth of %d is too short for it",
                    n_said + n_asked + 1, depth);
    memcpy(k->ids, w->ids, (size_t)before * sizeof *k->ids);
    memcpy(k->ids + before, said, (size_t)n_said * sizeof *k->ids);
    memcpy(k->ids + before + n_said, w->ids + before, (size_t)(filler - before) * sizeof *k->ids);
    memcpy(k->ids + filler + n_said, asked, (size_t)n_asked * sizeof *k->ids);
    k->n = depth;
    for (int i = 0; i < N_WORDS; i++) {
        k->n_word[i] = 0;
        TRY(add_text(w, words[i], k->word[i], WORD_TOKENS, &k->n_word[i]));
    }
    return KVASIR_OK;
}

static double log_share(const float *row, int n, int32_t id)
{
    return (double)row[id] - eval_logsumexp(row, n);
}

/* Log-probability of each word behind the prompt, for both types. */
static kvasir_status score_words(const verify *w, const needle *k, couple *c, double score[2][N_WORDS])
{
    int n_vocab = w->s.info->n_vocab;
    for (int t = 0; t < 2; t++)
        for (int i = 0; i < N_WORDS; i++) score[t][i] = log_share(c->logits[t], n_vocab, k->word[i][0]);
    for (int i = 0; i < N_WORDS; i++) {
        couple f = {0};
        kvasir_status status = kvasir_seq_fork(c->seq[0], -1, &f.seq[0]);
        if (status == KVASIR_OK) status = kvasir_seq_fork(c->seq[1], -1, &f.seq[1]);
        for (int j = 0; j + 1 < k->n_word[i] && status == KVASIR_OK; j++) {
            status = step(w, &f, &k->word[i][j], 1, KVASIR_WANT_LAST);
            for (int t = 0; t < 2 && status == KVASIR_OK; t++)
                score[t][i] += log_share(f.logits[t], n_vocab, k->word[i][j + 1]);
        }
        close_couple(&f);
        if (status != KVASIR_OK) return status;
    }
    return KVASIR_OK;
}

static int is_best(const double *score, int i)
{
    for (int j = 0; j < N_WORDS; j++)
        if (j != i && score[j] >= score[i]) return 0;
    return 1;
}

static kvasir_status try_place(verify *w, needle *k, couple *c, int depth, int place)
{
    double score[2][N_WORDS];
    char name[96];
    int right = place % N_WORDS; /* another word at each place */
    TRY(make_needle(w, depth, places[place], words[right], k));
    for (int i = 0; i < 2; i++) TRY(kvasir_seq_truncate(c->seq[i], 0));
    (void)snprintf(name, sizeof name, "needle at %d%% of %s", places[place], count_text((uint64_t)depth));
    progress bar = progress_start(name, "tokens");
    kvasir_status status = read_ids(w, c, k->ids, k->n, 1, &bar);
    progress_end(&bar);
    if (status != KVASIR_OK) return status;
    TRY(score_words(w, k, c, score));
    int found = is_best(score[0], right), wanted = is_best(score[1], right);
    w->quality.needles += wanted;
    w->quality.needles_found += wanted && found;
    w->quality.deepest = max_int(w->quality.deepest, depth);
    return add_limit(w, name, "answers", wanted, wanted ? 1 : NAN, NAN, found,
                     wanted ? "f16 finds it" : "f16 does not find it");
}

kvasir_status verify_needle(verify *w, int index)
{
    int depth = w->depth[index];
    couple c;
    needle k = {.ids = mem_alloc((size_t)depth, sizeof *k.ids)};
    if (!k.ids) return fail_memory((size_t)depth * sizeof *k.ids);
    kvasir_status status = open_couple(w, min_int(depth + WORD_TOKENS, w->ctx), &c);
    for (int i = 0; i < N_PLACES && status == KVASIR_OK; i++) status = try_place(w, &k, &c, depth, i);
    close_couple(&c);
    mem_free(k.ids);
    return status;
}

/* ---- the forced decode ---- */

/* Both follow the reference's greedy choice, a token at a time. */
kvasir_status verify_forced(verify *w, int arg)
{
    enum { PROMPT = 256, STEPS = 1000, QUICK_STEPS = 100 };
    (void)arg;
    int prompt = min_int(PROMPT, w->ctx / 2), steps = min_int(w->args->quick ? QUICK_STEPS : STEPS, w->ctx - prompt);
    couple c;
    tally t = {0};
    char name[96];
    TRY(open_couple(w, prompt + steps, &c));
    limits l = limits_of(c.seq[0]);
    progress bar = progress_start("forced decode:", "tokens");
    kvasir_status status = read_ids(w, &c, w->ids, prompt, 1, NULL);
    for (int i = 0; i < steps && status == KVASIR_OK; i++) {
        int32_t next = eval_argmax(c.logits[1], w->s.info->n_vocab);
        count_row(w, &c, 0, next, &t);
        status = step(w, &c, &next, 1, KVASIR_WANT_LAST);
        progress_update(&bar, (uint64_t)i + 1, (uint64_t)steps, NULL);
    }
    progress_end(&bar);
    close_couple(&c);
    if (status != KVASIR_OK) return status;
    w->quality.forced = t.n;
    w->quality.forced_kld = t.kld / t.n;
    w->quality.forced_same_top = (double)t.same_top / t.n;
    (void)snprintf(name, sizeof name, "forced decode of %s, divergence", count_text((uint64_t)steps));
    TRY(add_limit(w, name, "nats", 0, NAN, l.kld, t.kld / t.n, "the type's limit"));
    (void)snprintf(name, sizeof name, "forced decode of %s, same best", count_text((uint64_t)steps));
    return add_limit(w, name, "share", 1, l.same_top, NAN, (double)t.same_top / t.n, "the type's limit");
}
