/* The hash table from the text of a token to its id. */
#include "base/mem.h"
#include "tok/internal.h"

#include <string.h>

static uint64_t load_bytes(const char *s, size_t n)
{
    uint64_t a = 0;
    uint32_t lo, hi;
    if (n >= 8) {
        memcpy(&a, s, 8);
    } else if (n >= 4) {
        memcpy(&lo, s, 4);
        memcpy(&hi, s + n - 4, 4);
        a = (uint64_t)hi << 32 | lo;
    } else if (n > 0) {
        a = (uint64_t)(unsigned char)s[0] << 16 | (uint64_t)(unsigned char)s[n / 2] << 8 | (unsigned char)s[n - 1];
    }
    return a;
}

static uint32_t text_hash(const char *s, size_t n)
{
    uint64_t h = n * 0x9e3779b97f4a7c15u;
    for (; n > 8; s += 8, n -= 8) {
        h = (h ^ load_bytes(s, 8)) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h = (h ^ load_bytes(s, n)) * 0xc4ceb9fe1a85ec53u;
    h = (h ^ h >> 29) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 32);
}

static kvasir_status add_text(tok *t, int32_t id, uint32_t hash)
{
    const tok_text *text = &t->text[id];
    size_t at = hash & t->text_mask;
    for (int i = 0; i < TOK_MAX_PROBES; i++, at = (at + 1) & t->text_mask) {
        text_slot *slot = &t->texts[at];
        if (slot->id_plus_1 == 0) {
            *slot = (text_slot){hash, id + 1};
            return KVASIR_OK;
        }
        if (slot->hash != hash) continue;
        const tok_text *other = &t->text[slot->id_plus_1 - 1];
        if (other->n == text->n && memcmp(other->s, text->s, text->n) == 0) {
            if (t->n_twins++ == 0) t->twin[0] = slot->id_plus_1 - 1, t->twin[1] = id;
            return KVASIR_OK;
        }
    }
    return fail(KVASIR_E_FORMAT, "the tokens of the vocabulary are made to collide (token %d, %s)", id,
                quoted(text->s, text->n));
}

static int32_t find_hashed(const tok *t, const char *text, size_t n, uint32_t hash)
{
    if (n == 0 || n > t->max_text) return -1;
    for (size_t at = hash & t->text_mask;; at = (at + 1) & t->text_mask) {
        const text_slot *slot = &t->texts[at];
        if (slot->id_plus_1 == 0) return -1;
        if (slot->hash != hash) continue;
        const tok_text *other = &t->text[slot->id_plus_1 - 1];
        if (other->n == n && memcmp(other->s, text, n) == 0) return slot->id_plus_1 - 1;
    }
}

int32_t tok_find(const tok *t, const char *text, size_t n)
{
    return find_hashed(t, text, n, n <= t->max_text ? text_hash(text, n) : 0);
}

void texts_find_batch(const tok *t, const tok_text *text, int n, int32_t *id)
{
    uint32_t hash[TEXTS_BATCH];
    const text_slot *slot[TEXTS_BATCH];
    for (int i = 0; i < n; i++) {
        hash[i] = text[i].n <= t->max_text ? text_hash(text[i].s, text[i].n) : 0;
        slot[i] = &t->texts[hash[i] & t->text_mask];
        __builtin_prefetch(slot[i]);
    }
    for (int i = 0; i < n; i++)
        if (slot[i]->id_plus_1) __builtin_prefetch(&t->text[slot[i]->id_plus_1 - 1]);
    for (int i = 0; i < n; i++)
        if (slot[i]->hash == hash[i] && slot[i]->id_plus_1) __builtin_prefetch(t->text[slot[i]->id_plus_1 - 1].s);
    for (int i = 0; i < n; i++) {
        id[i] = find_hashed(t, text[i].s, text[i].n, hash[i]);
        if (id[i] >= 0 && t->flags[id[i]] & FLAGS_NOT_TEXT) id[i] = -1;
    }
}

int32_t texts_find_plain(const tok *t, const char *text, size_t n)
{
    int32_t id = tok_find(t, text, n);
    return id >= 0 && t->flags[id] & FLAGS_NOT_TEXT ? -1 : id;
}

kvasir_status texts_build(tok *t)
{
    size_t slots = 64;
    while (slots < (size_t)t->n + (size_t)t->n / 2) slots *= 2;
    t->texts = mem_alloc(slots, sizeof *t->texts);
    if (!t->texts) return fail_memory(slots * sizeof *t->texts);
    t->text_mask = slots - 1;
    for (int32_t first = 0; first < t->n; first += TEXTS_BATCH) { /* by batches, so that cache misses overlap */
        uint32_t hash[TEXTS_BATCH];
        const int32_t n = t->n - first < TEXTS_BATCH ? t->n - first : TEXTS_BATCH;
        for (int32_t i = 0; i < n; i++) {
            hash[i] = text_hash(t->text[first + i].s, t->text[first + i].n);
            __builtin_prefetch(&t->texts[hash[i] & t->text_mask], 1);
        }
        for (int32_t i = 0; i < n; i++) /* an empty text stands for nothing and is never found */
            if (t->text[first + i].n) TRY(add_text(t, first + i, hash[i]));
    }
    return KVASIR_OK;
}
