/* The sampler's insides: a history of accepted tokens, penalties that work on logits, filters that work on a shrinking
   list of candidates, and a random generator. One choice walks through them once, without allocating. */
#ifndef KVASIR_SAMPLE_SAMPLE_H
#define KVASIR_SAMPLE_SAMPLE_H

#include "tok/tok.h"
#include <float.h>
#include <math.h>

enum {
    SAMPLER_MAX_HISTORY = 1 << 20, /* tokens that DRY and repeat_last_n can look back on */
    SAMPLER_MAX_BREAKERS = 64,
    SAMPLER_MAX_BREAKER = 64 /* bytes of one breaker */
};

/* xoshiro256** (Blackman and Vigna, 2018), seeded through SplitMix64 as its authors advise. */
typedef struct rng {
    uint64_t s[4];
} rng;
void rng_seed(rng *r, uint64_t seed); /* any seed will do */
double rng_uniform(rng *r);           /* [0, 1), 53 bits */

/* A token that may still be chosen. Filters order candidates by key, then by id, so that there are no ties. */
typedef struct candidate {
    double key;
    float x; /* the logit after bias and penalties */
    int32_t id;
} candidate;

/* A text that ends DRY's matches, with its Knuth-Morris-Pratt table. It is searched in the stream of accepted bytes, so
   it may span tokens. */
typedef struct breaker {
    unsigned char text[SAMPLER_MAX_BREAKER];
    uint8_t back[SAMPLER_MAX_BREAKER]; /* the length to fall back to after a mismatch behind text[0..i] */
    int n;
    int matched;
} breaker;

/* A logit as the stages keep it: never NaN, never above FLT_MAX. */
static inline float logit(double x)
{
    if (x > (double)FLT_MAX) return FLT_MAX;
    return x >= -(double)FLT_MAX ? (float)x : -INFINITY; /* NaN too */
}

struct kvasir_sampler {
    kvasir_sampler_options o; /* defaults filled in; its pointers are not used after creation */
    const tok *t;             /* NULL: no text, so no breakers */
    int n_vocab;
    rng random;
    float *logits;         /* the row being worked on */
    candidate *candidates; /* NULL for greedy */
    kvasir_logit_bias *bias;

    int32_t *count; /* per id: occurrences among the newest repeat_last_n; NULL when no penalty is on */
    int32_t *ring;  /* the newest tokens; NULL when neither DRY nor a bounded penalty window needs them */
    uint32_t mask;  /* ring size - 1 */
    uint64_t n_accepted;

    int32_t *match; /* DRY: Z values of the reversed history */
    int32_t *best;  /* DRY: per id the longest match that it would extend; all zero between calls */
    breaker *breakers;
    int n_breakers;
    uint64_t since_break; /* tokens accepted after the newest breaker */
};

/* The sampler over n_vocab logits; t may be NULL. kvasir_sampler_create calls it with the model's vocabulary. */
kvasir_status sampler_create(const tok *t, int n_vocab, const kvasir_sampler_options *o, kvasir_sampler **out);

/* ---- history.c: what was accepted, and the penalties that follow from it ---- */

/* Allocates what the options need of the members above. */
kvasir_status history_create(kvasir_sampler *s, const kvasir_sampler_options *o);
void history_free(kvasir_sampler *s);               /* frees what history_create made */
void history_accept(kvasir_sampler *s, int32_t id); /* remembers a token */
/* Both change s->logits. */
void penalize_repetition(kvasir_sampler *s);
void penalize_sequences(kvasir_sampler *s); /* DRY */

/* ---- filter.c: each filter keeps some of c[0..n) and returns how many (n >= 1 gives at least 1) ---- */

/* Fills c with the k largest logits above -inf (k 0: all of them). Returns 0 when every logit is -inf. */
int filter_top_k(const float *logits, int n_vocab, int k, candidate *c);
/* Those whose surprise is nearest to the entropy, until they reach p. */
int filter_typical(candidate *c, int n, double p);
int filter_top_p(candidate *c, int n, double p);       /* the most probable ones, until they reach p */
int filter_min_p(candidate *c, int n, double p);       /* those at least p times as probable as the best */
int filter_xtc(candidate *c, int n, double threshold); /* of those at or above the threshold only the least */
/* Draws from softmax(x / temperature) with u in [0, 1). */
int32_t draw(candidate *c, int n, double temperature, double u);

#endif
