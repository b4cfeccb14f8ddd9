/* Pair merging, the loop that BPE and SentencePiece have in common: the best adjacent pair becomes one symbol
   until no pair is left. A heap holds (rank, position); entries are not removed when a neighbour
   changes but found stale when they come up, because the symbol at that position has another rank by then.
   O(n log n). */
#ifndef KVASIR_TOK_MERGE_H
#define KVASIR_TOK_MERGE_H

#include "tok/internal.h"

#define NO_RANK UINT32_MAX

/* The rank and token of a pair; false when it does not merge. */
typedef bool (*pair_rank)(const tok *t, const char *text, const symbol *left, const symbol *right, uint32_t *rank,
                          int32_t *merged);

enum { HEAP_ARITY = 4 }; /* of one long word the heap outgrows the cache; four children cost one miss, not two */

static inline void heap_sink(uint64_t *heap, size_t n, size_t i)
{
    uint64_t key = heap[i];
    for (size_t child; (child = HEAP_ARITY * i + 1) < n; i = child) {
        size_t last = n - child < HEAP_ARITY ? n : child + HEAP_ARITY;
        for (size_t c = child + 1; c < last; c++)
            if (heap[c] < heap[child]) child = c;
        if (heap[child] >= key) break;
        heap[i] = heap[child];
    }
    heap[i] = key;
}

static inline void heap_push(encoder *e, uint64_t key)
{
    size_t i = e->n_heap++;
    for (size_t parent; i > 0 && e->heap[parent = (i - 1) / HEAP_ARITY] > key; i = parent) e->heap[i] = e->heap[parent];
    e->heap[i] = key;
}

static inline uint64_t heap_pop(encoder *e)
{
    uint64_t key = e->heap[0];
    e->heap[0] = e->heap[--e->n_heap];
    heap_sink(e->heap, e->n_heap, 0);
    return key;
}

/* Sets the rank of the pair that symbol i makes with the next one; true when there is such a pair. */
static inline bool rank_pair(encoder *e, const char *text, int32_t i, pair_rank rank)
{
    symbol *s = &e->symbols[i];
    s->rank = NO_RANK;
    if (s->next < 0) return false;
    e->work.pairs++;
    return rank(e->t, text, s, &e->symbols[s->next], &s->rank, &s->merged);
}

/* Merges e->symbols[0..n_symbols), which are linked already. The first symbol stays the head of the list. */
static inline void merge_symbols(encoder *e, const char *text, pair_rank rank)
{
    e->n_heap = 0;
    for (size_t i = 0; i + 1 < e->n_symbols; i++)
        if (rank_pair(e, text, (int32_t)i, rank)) e->heap[e->n_heap++] = (uint64_t)e->symbols[i].rank << 32 | i;
    for (size_t i = e->n_heap; i-- > 0;) heap_sink(e->heap, e->n_heap, i);
    while (e->n_heap) {
        uint64_t key = heap_pop(e);
        int32_t at = (int32_t)(uint32_t)key;
        symbol *s = &e->symbols[at];
        e->work.pops++;
        if (s->rank != (uint32_t)(key >> 32)) continue;
        symbol *gone = &e->symbols[s->next];
        s->id = s->merged;
        s->len += gone->len;
        s->next = gone->next;
        gone->rank = NO_RANK;
        if (s->next >= 0) e->symbols[s->next].prev = at;
        if (rank_pair(e, text, at, rank)) heap_push(e, (uint64_t)s->rank << 32 | (uint32_t)at);
        if (s->prev >= 0 && rank_pair(e, text, s->prev, rank))
            heap_push(e, (uint64_t)e->symbols[s->prev].rank << 32 | (uint32_t)s->prev);
    }
}

/* Appends the symbol for text[start..start+len); e has room (encoder_reserve). */
static inline void add_symbol(encoder *e, size_t start, size_t len, int32_t id)
{
    int32_t i = (int32_t)e->n_symbols++;
    e->symbols[i] = (symbol){(uint32_t)start, (uint32_t)len, i - 1, -1, NO_RANK, id, -1};
    if (i > 0) e->symbols[i - 1].next = i;
}

#endif
