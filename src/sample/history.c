/* What the sampler remembers, and the penalties on logits that follow from that. */
#include "sample/sample.h"

#include "base/checked.h"
#include "base/mem.h"

#include <string.h>

static bool penalties_on(const kvasir_sampler_options *o)
{
    return (o->repeat_penalty != 0 && o->repeat_penalty != 1) || o->frequency_penalty != 0 || o->presence_penalty != 0;
}

static kvasir_status breaker_create(breaker *b, const char *text, int index)
{
    size_t n = text ? strlen(text) : 0;
    if (n == 0) return fail(KVASIR_E_ARGUMENT, "dry_breakers[%d] is empty", index);
    if (n > SAMPLER_MAX_BREAKER)
        return fail(KVASIR_E_ARGUMENT, "dry_breakers[%d] has %zu bytes, the most is %d", index, n, SAMPLER_MAX_BREAKER);
    memcpy(b->text, text, n);
    b->n = (int)n;
    for (int i = 1, k = 0; i < b->n; i++) {
        while (k > 0 && b->text[i] != b->text[k]) k = b->back[k - 1];
        if (b->text[i] == b->text[k]) k++;
        b->back[i] = (uint8_t)k;
    }
    return KVASIR_OK;
}

static kvasir_status dry_create(kvasir_sampler *s, const kvasir_sampler_options *o, size_t window)
{
    static const char *const usual[] = {"\n", ":", "\"", "*"};
    const char *const *texts = o->dry_breakers ? o->dry_breakers : usual;
    int n = o->dry_breakers ? o->n_dry_breakers : (int)(sizeof usual / sizeof usual[0]);
    if (n < 0 || n > SAMPLER_MAX_BREAKERS)
        return fail(KVASIR_E_ARGUMENT, "n_dry_breakers is %d, the most is %d", n, SAMPLER_MAX_BREAKERS);
    s->match = mem_alloc(window, sizeof *s->match);
    s->best = mem_alloc((size_t)s->n_vocab, sizeof *s->best);
    s->breakers = mem_alloc((size_t)n + 1, sizeof *s->breakers);
    if (!s->match || !s->best || !s->breakers) return fail_memory(window * sizeof *s->match);
    for (int i = 0; i < n; i++) TRY(breaker_create(&s->breakers[i], texts[i], i));
    s->n_breakers = n;
    return KVASIR_OK;
}

kvasir_status history_create(kvasir_sampler *s, const kvasir_sampler_options *o)
{
    size_t window = 0, size = 1;
    if (penalties_on(&s->o)) {
        s->count = mem_alloc((size_t)s->n_vocab, sizeof *s->count);
        if (!s->count) return fail_memory((size_t)s->n_vocab * sizeof *s->count);
        if (s->o.repeat_last_n > 0) window = (size_t)s->o.repeat_last_n;
    }
    if (s->o.dry_multiplier > 0) {
        /* Untouched pages of the window cost no memory, so the largest one is affordable. */
        size_t dry = (size_t)s->o.dry_last_n;
        TRY(dry_create(s, o, dry));
        window = max_size(window, dry);
    }
    if (window == 0) return KVASIR_OK;
    while (size < window) size *= 2;
    s->ring = mem_alloc(size, sizeof *s->ring);
    if (!s->ring) return fail_memory(size * sizeof *s->ring);
    s->mask = (uint32_t)(size - 1);
    return KVASIR_OK;
}

void history_free(kvasir_sampler *s)
{
    mem_free(s->count);
    mem_free(s->ring);
    mem_free(s->match);
    mem_free(s->best);
    mem_free(s->breakers);
}

/* The token accepted `back` tokens ago, 0 being the newest. */
static int32_t recent(const kvasir_sampler *s, uint64_t back)
{
    return s->ring[(s->n_accepted - 1 - back) & s->mask];
}

/* Runs the bytes of a token through the automata of the breakers. True when one of them ended in it. */
static bool breaks(kvasir_sampler *s, int32_t id)
{
    char piece[TOK_MAX_PIECE];
    if (!s->t || id >= tok_size(s->t)) return false;
    if (tok_is_control(s->t, id)) { /* the end of a turn ends every phrase */
        for (int i = 0; i < s->n_breakers; i++) s->breakers[i].matched = 0;
        return true;
    }
    size_t n = min_size(tok_piece(s->t, id, true, piece, sizeof piece), sizeof piece);
    bool found = false;
    for (int i = 0; i < s->n_breakers; i++) {
        breaker *b = &s->breakers[i];
        for (size_t j = 0; j < n; j++) {
            unsigned char byte = (unsigned char)piece[j];
            while (b->matched > 0 && b->text[b->matched] != byte) b->matched = b->back[b->matched - 1];
            if (b->text[b->matched] == byte) b->matched++;
            if (b->matched < b->n) continue;
            found = true;
            b->matched = b->back[b->matched - 1];
        }
    }
    return found;
}

void history_accept(kvasir_sampler *s, int32_t id)
{
    int last_n = s->o.repeat_last_n;
    if (s->count) {
        if (last_n > 0 && s->n_accepted >= (uint64_t)last_n) s->count[recent(s, (uint64_t)last_n - 1)]--;
        s->count[id]++;
    }
    if (s->ring) s->ring[s->n_accepted & s->mask] = id;
    s->n_accepted++;
    if (s->match) s->since_break = breaks(s, id) ? 0 : s->since_break + 1;
}

/* Repetition: Keskar et al. 2019 (CTRL), section 4.1, with negative logits multiplied so that they fall too.
   Frequency and presence: as the OpenAI API documents them. */
void penalize_repetition(kvasir_sampler *s)
{
    if (!s->count) return;
    double repeat = s->o.repeat_penalty > 0 ? (double)s->o.repeat_penalty : 1;
    for (int i = 0; i < s->n_vocab; i++) {
        if (s->count[i] == 0) continue;
        double x = (double)s->logits[i];
        x = x > 0 ? x / repeat : x * repeat;
        x -= s->count[i] * (double)s->o.frequency_penalty + (double)s->o.presence_penalty;
        s->logits[i] = logit(x);
    }
}

/* match[i] = how many tokens before the newest i agree with the newest ones, at most `most`: the Z function
   of the reversed history (Gusfield 1997, section 1.4), linear in n. */
static void match_suffixes(kvasir_sampler *s, int n, int most)
{
    int left = 0, right = 0; /* the match that reaches farthest: [left, right) equals [0, right - left) */
    for (int i = 1; i < n; i++) {
        int z = i < right ? min_int(s->match[i - left], right - i) : 0;
        while (z < most && i + z < n && recent(s, (uint64_t)z) == recent(s, (uint64_t)i + (uint64_t)z)) z++;
        s->match[i] = z;
        if (i + z > right) {
            left = i;
            right = i + z;
        }
    }
}

/* DRY (p-e-w 2024): a token that would lengthen a repetition of L tokens loses multiplier * base^(L - allowed). */
void penalize_sequences(kvasir_sampler *s)
{
    if (!s->match) return;
    int n = (int)(s->n_accepted < (uint64_t)s->o.dry_last_n ? s->n_accepted : (uint64_t)s->o.dry_last_n);
    int most = (int)(s->since_break < (uint64_t)n ? s->since_break : (uint64_t)n);
    int allowed = s->o.dry_allowed_length;
    if (most < allowed) return;
    match_suffixes(s, n, most);
    for (int i = 1; i < n; i++) {
        int32_t id = recent(s, (uint64_t)i - 1);
        if (s->match[i] >= allowed) s->best[id] = max_int(s->best[id], s->match[i]);
    }
    for (int i = 1; i < n; i++) {
        int32_t id = recent(s, (uint64_t)i - 1);
        if (s->best[id] == 0) continue;
        double loss = (double)s->o.dry_multiplier * pow((double)s->o.dry_base, s->best[id] - allowed);
        s->logits[id] = logit((double)s->logits[id] - loss); /* may become -inf: forbidden then */
        s->best[id] = 0;
    }
}
