/* Checks all invariants: recounts everything that pool.c, seq.c, cut.c and snapshot.c keep up to date. Allocates
   nothing, so it may run while allocation is forbidden (mem_forbid). */
#include "kv/kv_internal.h"
#include "base/status.h"

#include <string.h>

#define WRONG(...) return fail(KVASIR_E_INTERNAL, "KV check: " __VA_ARGS__)

static const uint32_t ON_FREE_LIST = UINT32_MAX;

/* Counts one reference to `block`, which must be a slot in use of class c. */
static kvasir_status see(const kv_class *c, const unsigned char *block, int page)
{
    if (!block) WRONG("page %d is missing", page);
    if (block < c->base || block >= kv_block_at(c, c->high)) WRONG("page %d is no block of its class", page);
    uint32_t slot = kv_block_slot(c, block);
    if (slot >= c->high || kv_block_at(c, slot) != block) WRONG("page %d is no block of its class", page);
    c->seen[slot]++;
    return KVASIR_OK;
}

static kvasir_status see_table(const kv_seq *s, int g)
{
    int first = kv_first_page(s->length, s->layout->group[g].window), end = kv_pages(s->end);
    for (int p = 0; p < kv_pages(s->max_tokens); p++) {
        if (p >= first && p < end)
            TRY(see(s->class[g][s->closed[p]], s -> table[g][p], p));
        else if (s->table[g][p])
            WRONG("page %d of a sequence of %d tokens is held for nothing", p, s->length);
    }
    int closing = kv_closing_page(kv_packs(s->layout), s->length, s->end);
    if (closing >= 0) return see(s->class[g][KV_CLOSED], s -> closing[g], closing);
    if (s->closing[g]) WRONG("a block waits for a page of a sequence of %d tokens that does not close", s->length);
    return KVASIR_OK;
}

static kvasir_status see_snapshots(const kv_seq *s)
{
    int n = 0, limit = s->length;
    for (const kv_snapshot *p = s->newest; p; p = p->older, n++) {
        if (p->length < 0 || p->length > limit) WRONG("a snapshot at %d stands where at most %d can", p->length, limit);
        limit = p->length - 1;
        for (int g = 0; g < s->layout->n_groups; g++) {
            if (p->first[g] > p->end[g] || p->end[g] != kv_pages(p->length)) {
                WRONG("a snapshot at %d holds the pages %d to %d", p->length, p->first[g], p->end[g]);
            }
            int window = s->layout->group[g].window, first = kv_first_page(p->length, window);
            if (window > 0 && p->first[g] != min_int(first, p->end[g])) {
                WRONG("a snapshot at %d begins at page %d", p->length, p->first[g]);
            }
            for (int page = p->first[g]; page < p->end[g]; page++) {
                TRY(see(kv_snapshot_class(s, p, g, page), p->block[g][page - p->first[g]], page));
            }
        }
    }
    if (n != s->n_snapshots) WRONG("a sequence has %d snapshots and counts %d", n, s->n_snapshots);
    return KVASIR_OK;
}

static kvasir_status see_seq(const kv_pool *pool, const kv_seq *s)
{
    bool packs = kv_packs(s->layout);
    if (s->pool != pool) WRONG("a sequence of another pool is listed");
    if (s->length < 0 || s->length > s->end || s->end > s->max_tokens) {
        WRONG("lengths %d, %d, %d of a sequence are out of order", s->length, s->end, s->max_tokens);
    }
    for (int p = 0; p < kv_pages(s->max_tokens); p++) {
        int n = p < kv_pages(s->length) ? s->length : s->end;
        if (s->closed[p] != kv_page_format(packs, p, n)) WRONG("page %d has the wrong format", p);
    }
    for (int g = 0; g < s->layout->n_groups; g++) TRY(see_table(s, g));
    return see_snapshots(s);
}

static kvasir_status see_free(const kv_class *c)
{
    if (c->high > c->slots || c->n_free > c->high) {
        WRONG("%u free of %u of %u blocks of %zu bytes", c->n_free, c->high, c->slots, c->block_bytes);
    }
    for (uint32_t i = 0; i < c->n_free; i++) {
        uint32_t slot = c->free[i];
        if (slot >= c->high) WRONG("block %u is on the free list and was never used", slot);
        if (c->seen[slot]) WRONG("block %u is free and in use, or free twice", slot);
        c->seen[slot] = ON_FREE_LIST;
        if (i > 0 && slot < c->free[(i - 1) / 2]) WRONG("block %u is free and comes after a later one", slot);
    }
    for (uint32_t i = 0; i < c->high; i++) {
        uint32_t expected = c->seen[i] == ON_FREE_LIST ? 0 : c->seen[i];
        if (c->refs[i] != expected) WRONG("block %u counts %u references and has %u", i, c->refs[i], expected);
        if (c->seen[i] == 0) WRONG("block %u is neither in use nor free", i);
    }
    return KVASIR_OK;
}

/* Reserved room will be written to, so the block that holds its first row must be the sequence's own. */
static kvasir_status check_room(const kv_seq *s)
{
    int tail = s->length / KV_PAGE_TOKENS;
    if (s->end == s->length || s->length % KV_PAGE_TOKENS == 0) return KVASIR_OK;
    for (int g = 0; g < s->layout->n_groups; g++) {
        const kv_class *c = s->class[g][s->closed[tail]];
        const unsigned char *block = s->table[g][tail];
        if (c->refs[kv_block_slot(c, block)] != 1 + kv_snapshot_refs(s, g, tail, block)) {
            WRONG("page %d is about to be written to and is shared", tail);
        }
    }
    return KVASIR_OK;
}

static kvasir_status check_all(const kv_pool *p)
{
    uint64_t used = 0;
    for (const kv_seq *s = p->first, *prev = NULL; s; prev = s, s = s->next) {
        if (s->prev != prev) WRONG("the list of sequences is broken");
        TRY(see_seq(p, s));
    }
    for (int i = 0; i < p->n_classes; i++) {
        const kv_class *c = p->class[i];
        TRY(see_free(c));
        used += (uint64_t)(c->high - c->n_free) * c->block_bytes;
    }
    if (used != p->used) {
        WRONG("%llu bytes are in use and %llu are counted", (unsigned long long)used, (unsigned long long)p->used);
    }
    if (p->used > p->peak || p->peak > p->budget) {
        WRONG("%llu bytes in use, %llu at most, %llu allowed", (unsigned long long)p->used, (unsigned long long)p->peak,
              (unsigned long long)p->budget);
    }
    for (const kv_seq *s = p->first; s; s = s->next) TRY(check_room(s));
    return KVASIR_OK;
}

kvasir_status kv_check(const kv_pool *p)
{
    kvasir_status status = check_all(p);
    for (int i = 0; i < p->n_classes; i++) {
        kv_class *c = p->class[i];
        memset(c->seen, 0, min_size(c->high, c->slots) * sizeof *c->seen);
    }
    return status;
}
