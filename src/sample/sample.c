/* The sampler: options checked once, then for each token bias, penalties, filters and a draw in the order
   that kvasir.h documents. */
#include "sample/sample.h"
#include "base/status.h"

#include "base/mem.h"

#include <string.h>

void rng_seed(rng *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* SplitMix64 */
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        r->s[i] = z ^ (z >> 31);
    }
}

static uint64_t rotate(uint64_t x, int by)
{
    return x << by | x >> (64 - by);
}

double rng_uniform(rng *r)
{
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

/* Also false for NaN. */
static bool within(float x, float low, float high)
{
    return x >= low && x <= high;
}

static kvasir_status check_range(const char *name, float x, float low, float high)
{
    if (within(x, low, high)) return KVASIR_OK;
    return high == FLT_MAX ? fail(KVASIR_E_ARGUMENT, "%s is %g, it must be at least %g", name, (double)x, (double)low)
                           : fail(KVASIR_E_ARGUMENT, "%s is %g, it must be from %g to %g", name, (double)x, (double)low,
                                  (double)high);
}

static kvasir_status check_count(const char *name, int x, int low, int high)
{
    if (x >= low && x <= high) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "%s is %d, it must be from %d to %d", name, x, low, high);
}

static kvasir_status check_options(const kvasir_sampler_options *o)
{
    TRY(check_range("temperature", o->temperature, 0, FLT_MAX));
    TRY(check_count("top_k", o->top_k, 0, INT32_MAX));
    TRY(check_range("top_p", o->top_p, 0, 1));
    TRY(check_range("min_p", o->min_p, 0, 1));
    TRY(check_range("typical_p", o->typical_p, 0, 1));
    TRY(check_range("repeat_penalty", o->repeat_penalty, 0, FLT_MAX));
    TRY(check_count("repeat_last_n", o->repeat_last_n, -1, SAMPLER_MAX_HISTORY));
    TRY(check_range("frequency_penalty", o->frequency_penalty, -FLT_MAX, FLT_MAX));
    TRY(check_range("presence_penalty", o->presence_penalty, -FLT_MAX, FLT_MAX));
    TRY(check_range("dry_multiplier", o->dry_multiplier, 0, FLT_MAX));
    if (o->dry_base != 0) TRY(check_range("dry_base", o->dry_base, 1, FLT_MAX));
    TRY(check_count("dry_allowed_length", o->dry_allowed_length, 0, SAMPLER_MAX_HISTORY));
    TRY(check_count("dry_last_n", o->dry_last_n, 0, SAMPLER_MAX_HISTORY));
    TRY(check_range("xtc_probability", o->xtc_probability, 0, 1));
    TRY(check_range("xtc_threshold", o->xtc_threshold, 0, 1));
    return KVASIR_OK;
}

static kvasir_status copy_bias(kvasir_sampler *s, const kvasir_sampler_options *o)
{
    if (o->n_bias < 0 || (o->n_bias > 0 && !o->bias))
        return fail(KVASIR_E_ARGUMENT, "n_bias is %d and bias is %s", o->n_bias, o->bias ? "given" : "NULL");
    s->bias = mem_alloc((size_t)o->n_bias + 1, sizeof *s->bias);
    if (!s->bias) return fail_memory((size_t)o->n_bias * sizeof *s->bias);
    for (int i = 0; i < o->n_bias; i++) {
        if (o->bias[i].id < 0 || o->bias[i].id >= s->n_vocab)
            return fail(KVASIR_E_ARGUMENT, "bias[%d] is for id %d, the vocabulary has %d", i, o->bias[i].id,
                        s->n_vocab);
        if (!(o->bias[i].bias <= FLT_MAX)) return fail(KVASIR_E_ARGUMENT, "bias[%d] is %g", i, (double)o->bias[i].bias);
        s->bias[i] = o->bias[i];
    }
    return KVASIR_OK;
}

static kvasir_status fill(kvasir_sampler *s, const kvasir_sampler_options *o)
{
    TRY(check_options(o));
    s->o = *o;
    s->o.bias = NULL;
    s->o.dry_breakers = NULL;
    if (o->repeat_last_n == 0) s->o.repeat_last_n = 64;
    if (o->dry_base == 0) s->o.dry_base = 1.75f;
    if (o->dry_allowed_length == 0) s->o.dry_allowed_length = 2;
    if (o->dry_last_n == 0) s->o.dry_last_n = SAMPLER_MAX_HISTORY;
    rng_seed(&s->random, o->seed);
    TRY(copy_bias(s, o));
    TRY(history_create(s, o));
    s->logits = mem_alloc((size_t)s->n_vocab, sizeof *s->logits);
    if (!s->logits) return fail_memory((size_t)s->n_vocab * sizeof *s->logits);
    if (o->temperature == 0) return KVASIR_OK;
    s->candidates = mem_alloc((size_t)s->n_vocab, sizeof *s->candidates);
    return s->candidates ? KVASIR_OK : fail_memory((size_t)s->n_vocab * sizeof *s->candidates);
}

kvasir_status sampler_create(const tok *t, int n_vocab, const kvasir_sampler_options *o, kvasir_sampler **out)
{
    static const kvasir_sampler_options none;
    *out = NULL;
    if (n_vocab <= 0) return fail(KVASIR_E_ARGUMENT, "a sampler needs a vocabulary, this one has %d tokens", n_vocab);
    kvasir_sampler *s = mem_alloc(1, sizeof *s);
    if (!s) return fail_memory(sizeof *s);
    s->t = t;
    s->n_vocab = n_vocab;
    kvasir_status status = fill(s, o ? o : &none);
    if (status == KVASIR_OK)
        *out = s;
    else
        kvasir_sampler_free(s);
    return status;
}

void kvasir_sampler_free(kvasir_sampler *s)
{
    if (!s) return;
    history_free(s);
    mem_free(s->bias);
    mem_free(s->logits);
    mem_free(s->candidates);
    mem_free(s);
}

void kvasir_sampler_accept(kvasir_sampler *s, int32_t id)
{
    NEED_OR(s, );
    if (id >= 0 && id < s->n_vocab) history_accept(s, id);
}

/* The smallest id among the largest; 0 when all are -inf. */
static int32_t argmax(const float *logits, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* 0 and 1 switch these off. */
static bool is_part(float p)
{
    return p > 0 && p < 1;
}

int32_t kvasir_sampler_choose(kvasir_sampler *s, const float *logits)
{
    NEED_OR(s, -1);
    NEED_OR(logits, -1);
    const kvasir_sampler_options *o = &s->o;
    for (int i = 0; i < s->n_vocab; i++) s->logits[i] = logit((double)logits[i]);
    for (int i = 0; i < o->n_bias; i++) {
        float *x = &s->logits[s->bias[i].id];
        *x = logit((double)*x + (double)s->bias[i].bias);
    }
    penalize_repetition(s);
    penalize_sequences(s);
    if (o->temperature == 0) return argmax(s->logits, s->n_vocab);

    /* The random numbers are drawn even when no candidate is left, so that the stream's place says how many
       tokens were chosen. */
    bool exclude =
        o->xtc_probability > 0 && o->xtc_threshold > 0 && rng_uniform(&s->random) < (double)o->xtc_probability;
    double u = rng_uniform(&s->random);
    candidate *c = s->candidates;
    int n = filter_top_k(s->logits, s->n_vocab, o->top_k, c);
    if (n == 0) return 0;
    if (is_part(o->typical_p)) n = filter_typical(c, n, (double)o->typical_p);
    if (is_part(o->top_p)) n = filter_top_p(c, n, (double)o->top_p);
    if (o->min_p > 0) n = filter_min_p(c, n, (double)o->min_p);
    if (exclude) n = filter_xtc(c, n, (double)o->xtc_threshold);
    return draw(c, n, (double)o->temperature, u);
}
