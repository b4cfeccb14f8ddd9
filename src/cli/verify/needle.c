/* Does the KV type find a sentence in a long context where f16 finds it? */
#include "cli/verify/couple.h"
#include "cli/eval/eval.h"
#include "base/checked.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { N_WORDS = 4, WORD_TOKENS = 8 };
static const char *const words[N_WORDS] = {" marble", " copper", " violet", " walnut"};
static const int places[NEEDLE_PLACES] = {10, 50, 90};

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
            status = couple_step(w, &f, &k->word[i][j], 1, KVASIR_WANT_LAST);
            for (int t = 0; t < 2 && status == KVASIR_OK; t++)
                score[t][i] += log_share(f.logits[t], n_vocab, k->word[i][j + 1]);
        }
        couple_close(&f);
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
    kvasir_status status = couple_read(w, c, k->ids, k->n, 1, &bar);
    progress_end(&bar);
    if (status != KVASIR_OK) return status;
    TRY(score_words(w, k, c, score));
    int found = is_best(score[0], right), wanted = is_best(score[1], right);
    w->quality.needles += wanted;
    w->quality.needles_found += wanted && found;
    w->quality.deepest = max_int(w->quality.deepest, depth);
    return couple_add(w, name, "answers", wanted, wanted ? 1 : NAN, NAN, found,
                      wanted ? "f16 finds it" : "f16 does not find it");
}

kvasir_status verify_needle(verify *w, int depth)
{
    couple c;
    needle k = {.ids = mem_alloc((size_t)depth, sizeof *k.ids)};
    if (!k.ids) return fail_memory((size_t)depth * sizeof *k.ids);
    kvasir_status status = couple_open(w, min_int(depth + WORD_TOKENS, w->ctx), &c);
    for (int i = 0; i < NEEDLE_PLACES && status == KVASIR_OK; i++) status = try_place(w, &k, &c, depth, i);
    couple_close(&c);
    mem_free(k.ids);
    return status;
}
