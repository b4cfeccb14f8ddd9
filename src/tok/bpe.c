/* Byte-pair encoding by merge ranks: byte-level as in GPT-2, and over characters as in Gemma 4. */
#include "base/checked.h"
#include "base/mem.h"
#include "tok/merge.h"
#include "tok/utf8.h"

#include <string.h>

/* GPT-2's alphabet: bytes that print stand for themselves, the other 68 are U+0100 to U+0143 in order. */
uint32_t bpe_char_of_byte(unsigned char b)
{
    if (b <= 0x20) return 0x100u + b;
    if (b < 0x7f) return b;
    if (b <= 0xa0) return 0x121u + (b - 0x7fu);
    return b == 0xad ? 0x143 : b;
}

int bpe_byte_of_char(uint32_t cp)
{
    if (cp < 0x21 || cp > 0x143 || (cp >= 0x7f && cp <= 0xa0) || cp == 0xad) return -1;
    if (cp < 0x100) return (int)cp;
    if (cp < 0x121) return (int)cp - 0x100;
    return cp == 0x143 ? 0xad : (int)cp - 0x121 + 0x7f;
}

static size_t pair_hash(uint32_t left, uint32_t right)
{
    uint64_t x = (uint64_t)left << 32 | right;
    x = (x ^ x >> 33) * 0xff51afd7ed558ccdu;
    x = (x ^ x >> 33) * 0xc4ceb9fe1a85ec53u;
    return (size_t)(x ^ x >> 33);
}

static kvasir_status add_pair(tok *t, uint32_t left, uint32_t right, uint32_t merged, uint32_t rank)
{
    size_t at = pair_hash(left, right) & t->pair_mask;
    for (int i = 0; i < TOK_MAX_PROBES; i++, at = (at + 1) & t->pair_mask) {
        pair_slot *slot = &t->pairs[at];
        if (slot->rank_plus_1 == 0) {
            *slot = (pair_slot){left, right, merged, rank + 1};
            return KVASIR_OK;
        }
        if (slot->left == left && slot->right == right) return KVASIR_OK;
    }
    return fail(KVASIR_E_FORMAT, "the merges of the vocabulary are made to collide (merge %u)", rank);
}

static bool rank_of_pair(const tok *t, const char *text, const symbol *left, const symbol *right, uint32_t *rank,
                         int32_t *merged)
{
    if (left->id < 0 || right->id < 0) return false;
    size_t at = pair_hash((uint32_t)left->id, (uint32_t)right->id) & t->pair_mask;
    for (;; at = (at + 1) & t->pair_mask) {
        const pair_slot *slot = &t->pairs[at];
        if (slot->rank_plus_1 == 0) return false;
        if (slot->left != (uint32_t)left->id || slot->right != (uint32_t)right->id) continue;
        *rank = slot->rank_plus_1 - 1;
        *merged = (int32_t)slot->merged;
        return true;
    }
}

/* The token whose text is a followed by b. `likely` is looked at first: vocabularies are mostly in the order
   of their merges, which saves the search. */
static int32_t find_joined(const tok *t, const tok_text *a, const tok_text *b, int32_t likely)
{
    char joined[2 * TOK_MAX_PIECE];
    if (a->n + b->n > t->max_text) return -1;
    if (likely < t->n) {
        const tok_text *c = &t->text[likely];
        if (c->n == a->n + b->n && memcmp(c->s, a->s, a->n) == 0 && memcmp(c->s + a->n, b->s, b->n) == 0)
            return t->flags[likely] & FLAGS_NOT_TEXT ? -1 : likely;
    }
    memcpy(joined, a->s, a->n);
    memcpy(joined + a->n, b->s, b->n);
    return texts_find_plain(t, joined, a->n + b->n);
}

/* Splits a merge into its two halves. The first byte may itself be a space, so it is never taken for the separator. */
static bool split_merge(const tok_text *m, tok_text *a, tok_text *b)
{
    const char *gap = m->n > 1 ? memchr(m->s + 1, ' ', m->n - 1) : NULL;
    if (!gap) return false;
    *a = (tok_text){m->s, (size_t)(gap - m->s)};
    *b = (tok_text){gap + 1, m->n - a->n - 1};
    return true;
}

static kvasir_status add_merges(tok *t, const tok_text *merges, size_t n)
{
    enum { MERGES = TEXTS_BATCH / 2 };
    int32_t merged[MERGES], last = -1, id[TEXTS_BATCH];
    tok_text half[TEXTS_BATCH];
    for (size_t first = 0; first < n; first += MERGES) {
        const int batch = (int)min_size(n - first, MERGES);
        for (int i = 0; i < batch; i++)
            if (!split_merge(&merges[first + (size_t)i], &half[2 * i], &half[2 * i + 1]))
                half[2 * i] = half[2 * i + 1] = (tok_text){"", 0};
        texts_find_batch(t, half, 2 * batch, id);
        for (int i = 0; i < batch; i++) {
            merged[i] = -1;
            if (id[2 * i] < 0 || id[2 * i + 1] < 0) continue;
            __builtin_prefetch(&t->pairs[pair_hash((uint32_t)id[2 * i], (uint32_t)id[2 * i + 1]) & t->pair_mask], 1);
            merged[i] = find_joined(t, &half[2 * i], &half[2 * i + 1], last + 1);
            if (merged[i] >= 0) last = merged[i];
        }
        for (int i = 0; i < batch; i++)
            if (merged[i] >= 0)
                TRY(add_pair(t, (uint32_t)id[2 * i], (uint32_t)id[2 * i + 1], (uint32_t)merged[i],
                             (uint32_t)first + (uint32_t)i));
    }
    return KVASIR_OK;
}

kvasir_status bpe_build(tok *t, const tok_source *source)
{
    size_t slots = 64;
    if (source->n_merges > TOK_MAX_MERGES)
        return fail(KVASIR_E_FORMAT, "the vocabulary has %zu merges, more than %d", source->n_merges, TOK_MAX_MERGES);
    while (slots < source->n_merges + source->n_merges / 2) slots *= 2;
    t->pairs = mem_alloc(slots, sizeof *t->pairs);
    if (!t->pairs) return fail_memory(slots * sizeof *t->pairs);
    t->pair_mask = slots - 1;
    if (t->kind == TOK_BYTE_BPE) {
        for (int b = 0; b < 256; b++) {
            char c[4];
            t->byte_id[b] = texts_find_plain(t, c, utf8_put(c, bpe_char_of_byte((unsigned char)b)));
        }
    }
    return add_merges(t, source->merges, source->n_merges);
}

/* The token whose text is the whole word, or -1. */
static int32_t find_word(const tok *t, const char *word, size_t n)
{
    char mapped[TOK_MAX_PIECE + 4];
    size_t used = 0;
    if (t->kind == TOK_RAW_BPE) return texts_find_plain(t, word, n);
    for (size_t i = 0; i < n; i++) {
        if (used >= t->max_text) return -1;
        used += utf8_put(mapped + used, bpe_char_of_byte((unsigned char)word[i]));
    }
    return texts_find_plain(t, mapped, used);
}

static bool only_newlines(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (s[i] != '\n') return false;
    return true;
}

static kvasir_status encode_word(void *arg, size_t begin, size_t end)
{
    encoder *e = arg;
    const tok *t = e->t;
    const char *word = e->text + begin;
    const size_t n = end - begin;
    if (pretok_whole_words(t->split) || (pretok_whole_newlines(t->split) && only_newlines(word, n))) {
        int32_t id = find_word(t, word, n);
        if (id >= 0) return encoder_push(e, id);
    }
    TRY(encoder_reserve(e, n));
    e->n_symbols = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = t->kind == TOK_RAW_BPE ? min_size(utf8_lead((unsigned char)word[i]), n - i) : 1;
        add_symbol(e, i, len,
                   len == 1 && t->kind == TOK_BYTE_BPE ? t->byte_id[(unsigned char)word[i]]
                                                       : texts_find_plain(t, word + i, len));
    }
    merge_symbols(e, word, rank_of_pair);
    for (int32_t i = 0; i >= 0; i = e->symbols[i].next) {
        const symbol *s = &e->symbols[i];
        if (s->id >= 0) {
            TRY(encoder_push(e, s->id));
            continue;
        }
        /* A character that the vocabulary lacks becomes the tokens of its bytes. Bytes without a token are left out, as
           the reference does. */
        for (uint32_t j = 0; t->kind == TOK_RAW_BPE && j < s->len; j++) {
            int32_t id = t->byte_id[(unsigned char)word[s->start + j]];
            if (id >= 0) TRY(encoder_push(e, id));
        }
    }
    return KVASIR_OK;
}

/* Reads a character as the reference does: overlong forms and surrogates count as characters; for everything else that
   is not valid, 0 is returned. */
static size_t loose_char(const unsigned char *s, size_t n, uint32_t *cp)
{
    const size_t need = s[0] < 0x80 ? 1 : s[0] < 0xc0 || s[0] > 0xf7 ? 0 : utf8_lead(s[0]);
    if (need == 0 || need > n) return 0;
    *cp = need == 1 ? s[0] : s[0] & (0x7fu >> need);
    for (size_t i = 1; i < need; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        *cp = *cp << 6 | (s[i] & 0x3f);
    }
    return *cp > 0x10ffff ? 0 : need;
}

static size_t valid_prefix(const char *text, size_t n)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    while (i < n) {
        uint64_t block;
        if (n - i >= 8 && (memcpy(&block, s + i, 8), (block & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        int len = utf8_char(s + i, n - i);
        if (len <= 0) break;
        i += (size_t)len;
    }
    return i;
}

/* Makes valid UTF-8 of text that is not: overlong forms become the shortest, each other bad byte becomes U+FFFD. `text`
   keeps surrogates. `shadow`, of the same length, has U+E000 in their place: the pattern matcher must not see any, and
   no pattern treats the two differently. */
static kvasir_status clean(const char *text, size_t n, char **out, char **shadow, size_t *n_out)
{
    uint64_t room;
    if (!ck_mul(n, 3, &room)) return fail_memory(n);
    char *to = mem_alloc(room, 1), *dark = mem_alloc(room, 1);
    size_t used = 0;
    *out = to;
    *shadow = dark;
    if (!to || !dark) return fail_memory(room);
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0xfffd;
        size_t len = loose_char((const unsigned char *)text + i, n - i, &cp);
        if (len == 0) cp = 0xfffd;
        (void)utf8_put(dark + used, cp >= 0xd800 && cp <= 0xdfff ? 0xe000 : cp);
        used += utf8_put(to + used, cp);
        i += len ? len : 1;
    }
    *n_out = used;
    return KVASIR_OK;
}

kvasir_status bpe_encode(encoder *e, const char *text, size_t n)
{
    char *escaped = NULL, *cleaned = NULL, *shadow = NULL;
    kvasir_status status = KVASIR_OK;
    if (e->t->kind == TOK_RAW_BPE) {
        status = escape_spaces(text, n, false, &escaped, &n);
        text = escaped;
    }
    if (status == KVASIR_OK && valid_prefix(text, n) < n) {
        status = clean(text, n, &cleaned, &shadow, &n);
        text = cleaned;
    }
    e->text = text;
    if (status == KVASIR_OK && n)
        status = pretok_split(e->t->split, shadow ? shadow : text, n, encode_word, e, &e->work.matches);
    mem_free(escaped);
    mem_free(cleaned);
    mem_free(shadow);
    return status;
}
