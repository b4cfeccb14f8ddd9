/* SentencePiece's BPE: of all adjacent pairs whose union is a token, the one with the highest score goes
   first, the leftmost of equals. What is no token in the end falls back to its bytes. */
#include "base/checked.h"
#include "tok/merge.h"
#include "tok/utf8.h"

#include <math.h>
#include <string.h>

/* Scores as ranks: the highest score gets the smallest number. The order of floats is the order of their bits with the
   sign bit flipped, or with all bits flipped where the number is negative. */
static uint32_t rank_of_score(float score)
{
    uint32_t bits;
    if (isnan(score)) return NO_RANK - 1;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    uint32_t rank = ~(bits >> 31 ? ~bits : bits | 0x80000000u);
    return rank < NO_RANK ? rank : NO_RANK - 1;
}

static bool rank_of_union(const tok *t, const char *text, const symbol *left, const symbol *right, uint32_t *rank,
                          int32_t *merged)
{
    int32_t id = texts_find_plain(t, text + left->start, (size_t)left->len + right->len);
    if (id < 0) return false;
    *rank = rank_of_score(t->scores ? t->scores[id] : 0);
    *merged = id;
    return true;
}

kvasir_status spm_encode(encoder *e, const char *text, size_t n)
{
    const tok *t = e->t;
    if (n == 0) return KVASIR_OK;
    TRY(encoder_reserve(e, n));
    e->n_symbols = 0;
    for (size_t i = 0, len; i < n; i += len) {
        len = min_size(utf8_lead((unsigned char)text[i]), n - i);
        add_symbol(e, i, len, texts_find_plain(t, text + i, len));
    }
    merge_symbols(e, text, rank_of_union);
    for (int32_t i = 0; i >= 0; i = e->symbols[i].next) {
        const symbol *s = &e->symbols[i];
        if (s->id >= 0) {
            TRY(encoder_push(e, s->id));
            continue;
        }
        for (uint32_t j = 0; j < s->len; j++) {
            int32_t id = t->byte_id[(unsigned char)text[s->start + j]];
            if (id < 0) id = t->unk;
            if (id >= 0) TRY(encoder_push(e, id));
        }
    }
    return KVASIR_OK;
}
