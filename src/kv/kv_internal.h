/* What pool.c, seq.c, cut.c, snapshot.c and check.c share.

   Rules that always hold between two public calls (kv_check verifies them):
   - A sequence of `length` tokens with room up to token `end` has blocks for exactly the pages from
     kv_first_page(length, window) up to kv_pages(end), in every group. So the window blocks that are present
   follow from the length alone, and truncating to n works directly where kv_first_page(n) is the same as at
   the present length.
   - A page's format follows from its number and the length alone (kv_page_format); for the pages of reserved room that
   begin after the length, from its number and `end`. A page that reserved room fills keeps its open block in the table
   and has the closed one in `closing` until commit.
   - A block's reference count is the number of table entries plus snapshot entries that name it.
   - Rows below a snapshot's length are never rewritten in the blocks it holds: to rewrite them the sequence
   must first be cut below it, which frees the snapshot. A sequence therefore may go on filling a block that
   only its own snapshots hold as well, and copies it when anybody else does. */
#ifndef KVASIR_KV_KV_INTERNAL_H
#define KVASIR_KV_KV_INTERNAL_H

#include "base/checked.h"
#include "kv/kv.h"

/* All blocks of one size and shape: an address range that is cut into runs of slots. The first `high` slots have been
   in use at some time. Within a run the pieces of its slots lie side by side, one kind of piece after the other. */
typedef struct kv_class {
    size_t block_bytes, piece_bytes;
    uint32_t run; /* slots */
    uint32_t slots, high, n_free;
    unsigned char *base;
    uint32_t *refs; /* by slot; 0: free */
    uint32_t *free; /* the free slots below `high`, a heap with the lowest on top: so sequences stay together */
    uint32_t *seen; /* scratch of kv_check, zero in between */
} kv_class;

struct kv_pool {
    uint64_t budget, used, peak;
    kv_class **class;
    int n_classes;
    kv_seq *first; /* of all sequences, newest first */
};

/* The window blocks, and the open last page of a type that packs, as they were at `length`. */
struct kv_snapshot {
    kv_snapshot *older;
    int length;
    int first[KV_GROUPS], end[KV_GROUPS]; /* pages held, by group */
    unsigned char **block[KV_GROUPS];     /* block[g][page - first[g]] */
};

struct kv_seq {
    kv_pool *pool;
    kv_seq *prev, *next;
    const kv_layout *layout;
    int max_tokens, length, end; /* end - length tokens are reserved */
    kv_class *class[KV_GROUPS][KV_FORMATS];
    unsigned char **table[KV_GROUPS];  /* by page; NULL outside the pages that are held */
    unsigned char *closed;             /* by page */
    unsigned char *closing[KV_GROUPS]; /* the closed block of the page being filled, NULL: none */
    kv_snapshot *newest;
    int n_snapshots;
};

/* ---- layout.c */

/* Whether full pages of this layout change from the open to the closed format. */
bool kv_packs(const kv_layout *l);
/* Pages of n tokens. */
static inline int kv_pages(int n)
{
    return (n + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS;
}
/* The first page that a query after n tokens can see: it sees itself and the window-1 tokens before it. */
static inline int kv_first_page(int n, int window)
{
    return window == 0 || n < window ? 0 : (n - window + 1) / KV_PAGE_TOKENS;
}
/* The format of a page in a sequence of n tokens. */
static inline kv_format kv_page_format(bool packs, int page, int n)
{
    return packs && page > 0 && page < n / KV_PAGE_TOKENS ? KV_CLOSED : KV_OPEN;
}

/* The page whose closed form a sequence of n tokens with room up to `end` needs beside the open one; -1: none. */
static inline int kv_closing_page(bool packs, int n, int end)
{
    int page = n / KV_PAGE_TOKENS;
    return packs && page > 0 && n % KV_PAGE_TOKENS != 0 && end / KV_PAGE_TOKENS > page ? page : -1;
}

/* ---- pool.c */

/* The class of a group's blocks; it is made when it is new. */
kvasir_status kv_pool_class(kv_pool *p, const kv_group *g, kv_format f, kv_class **out);
/* Takes a block with one reference. It cannot fail, because the caller has checked the budget and a class has as many
   slots as the whole budget pays for. The contents of the block are undefined. */
unsigned char *kv_block_take(kv_pool *p, kv_class *c);
void kv_block_ref(kv_class *c, const unsigned char *block); /* one reference more */
/* Drops a reference. The last one gives the bytes back to the budget, and the memory to the system when no block of the
   run is in use. */
void kv_block_unref(kv_pool *p, kv_class *c, unsigned char *block);
/* Copies what a block holds into another one of its class. */
void kv_block_copy(const kv_class *c, unsigned char *to, const unsigned char *from);

static inline size_t kv_run_bytes(const kv_class *c)
{
    return c->run * c->block_bytes;
}
/* A block's address is that of its first piece. */
static inline unsigned char *kv_block_at(const kv_class *c, uint32_t slot)
{
    return c->base + slot / c->run * kv_run_bytes(c) + slot % c->run * c->piece_bytes;
}
static inline uint32_t kv_block_slot(const kv_class *c, const unsigned char *block)
{
    size_t at = (size_t)(block - c->base), run = kv_run_bytes(c);
    return (uint32_t)(at / run) * c->run + (uint32_t)(at % run / c->piece_bytes);
}

/* ---- seq.c */

/* An empty sequence that the pool does not know of yet. */
kvasir_status make_seq(kv_pool *p, const kv_layout *l, int max_tokens, kv_seq **out);
/* Makes the sequence known to its pool; kv_check then looks at it. */
void link_seq(kv_seq *s);
/* Frees a sequence that holds no blocks and that the pool does not know of. */
void free_tables(kv_seq *s);
/* The class of the block that the table has as a page of group g. */
static inline kv_class *page_class(const kv_seq *s, int g, int page)
{
    return s->class[g][s->closed[page]];
}
/* Takes the pages from..end-1 of group g out of the table; those that are not there are skipped. */
void drop_pages(kv_seq *s, int g, int from, int end);
/* Gives the pages from..end-1 the format that they have in a sequence of n tokens. */
void set_formats(kv_seq *s, int from, int end, int n);
/* Gives up the room that is reserved. */
void drop_room(kv_seq *s);

/* ---- snapshot.c */

/* The newest snapshot at or before n, or NULL. */
kv_snapshot *kv_snapshot_find(const kv_seq *s, int n);
/* A copy of `from` for the sequence `s` (of the same layout and pool), with references of its own; NULL when
   out of memory. */
kv_snapshot *kv_snapshot_copy(const kv_seq *s, const kv_snapshot *from);
/* Frees the snapshots beyond token n. */
void kv_snapshots_cut(kv_seq *s, int n);
/* How many of the sequence's own snapshots hold this block as `page` of group g. */
uint32_t kv_snapshot_refs(const kv_seq *s, int g, int page, const unsigned char *block);
/* The class of the block that the snapshot holds as `page` of group g. */
kv_class *kv_snapshot_class(const kv_seq *s, const kv_snapshot *p, int g, int page);

/* ---- end of every public operation: a check in debug builds */
static inline kvasir_status kv_done(const kv_pool *p)
{
#ifdef KVASIR_DEBUG
    return kv_check(p);
#else
    (void)p;
    return KVASIR_OK;
#endif
}

#endif
