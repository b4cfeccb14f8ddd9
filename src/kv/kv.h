/* The KV cache: what is stored (layout, pure), where (pool of blocks with a hard budget), and for whom (sequences).

     stream  the K or the V rows of one layer
     page    64 tokens of one stream and one kv-head
     piece   the K page and the V page of one head of one layer, side by side
     block   the pieces of every layer of one group for the same 64 tokens; reference counted, the unit of sharing
     run     several blocks in memory: for each piece, those of `run` blocks lie side by side, so that attention over
             neighbouring pages reads one long stretch
     group   the streams that are kept for the same span of tokens: all (full attention) or the last `window` (sliding
             window); a model has one or two

   Each stream has two page formats. An open page holds plain rows (f16, or f32 for the type f32); page 0 of a sequence
   and the page that is being filled are open. A closed page holds the type's packed form (q8, q4). For f16 and f32 both
   are the same, so a block never changes its format. */
#ifndef KVASIR_KV_KV_H
#define KVASIR_KV_KV_H

#include "base/status.h"
#include "kernels/attn.h"
#include <stdbool.h>

enum {
    KV_PAGE_TOKENS = 64,
    KV_MAX_LAYERS = 1024,
    KV_MAX_CONTEXT = 1 << 27, /* tokens */
    KV_GROUPS = 2
};

/* ---- layout.c: pure ------------------------------------------------------------------------------------------- */

/* X(id, name, other name) */
#define KV_TYPE_MAP(X) X(F32, "f32", "f32") X(F16, "f16", "f16") X(Q8, "q8", "q8_0") X(Q4, "q4", "q4_0")
typedef enum kv_type {
#define X(id, name, other) KV_##id,
    KV_TYPE_MAP(X)
#undef X
        KV_TYPES
} kv_type;

typedef enum kv_format { KV_OPEN, KV_CLOSED, KV_FORMATS } kv_format;

/* "f16", "q8", ... */
const char *kv_type_name(kv_type t);
/* "f16", or "q8:q4" for K and V apart. KVASIR_E_ARGUMENT names the known ones. */
kvasir_status kv_type_parse(const char *text, kv_type *k, kv_type *v);

/* What the kernels call a type's pages. */
attn_format kv_attn_format(kv_type type, kv_format format);

/* What a model says about one layer's attention. A layer without KV of its own has n_head_kv 0. */
typedef struct kv_layer {
    int n_head_kv, k_dim, v_dim;
    int window; /* 0: everything; else a query sees itself and the window-1 tokens before it */
} kv_layer;

typedef struct kv_stream {
    int layer;
    bool is_v;
    int n_heads, head_dim, window, group;
    kv_type type;
    size_t page_bytes[KV_FORMATS]; /* one kv-head; a multiple of 64 */
    size_t offset[KV_FORMATS]; /* of head 0's page from the group's block; head h's is at offset + h * head_stride */
    size_t head_stride[KV_FORMATS];
} kv_stream;

typedef struct kv_group {
    int window; /* 0: the full group */
    int n_streams;
    size_t block_bytes[KV_FORMATS]; /* a multiple of 4096, so that freed blocks' memory can go back to the system */
    size_t piece_bytes[KV_FORMATS]; /* block_bytes where layers differ: the block then is one piece */
    int run[KV_FORMATS];            /* blocks whose pieces lie side by side */
} kv_group;

typedef struct kv_layout {
    kv_type type_k, type_v;
    int n_layers, n_streams, n_groups;
    kv_group group[KV_GROUPS];
    kv_stream *stream; /* K of layer 0, V of layer 0, K of layer 1, ...; layers without KV are left out */
    int *k_stream;     /* layer -> index of its K stream (V follows), -1 without */
} kv_layout;

/* Computes the layout; everything that allocates, plans or writes KV takes its numbers from here.
   KVASIR_E_ARGUMENT when a type cannot hold a head size (the message says which types can), KVASIR_E_FORMAT for
   absurd sizes. Freed by kv_layout_free. */
kvasir_status kv_layout_make(const kv_layer *layers, int n_layers, kv_type k, kv_type v, kv_layout *out);
void kv_layout_free(kv_layout *l); /* frees what kv_layout_make allocated */

bool kv_type_packs(kv_type t); /* closed pages differ from open ones */

/* Bytes that one page of one head takes. */
size_t kv_page_bytes(kv_type type, kv_format format, bool is_v, int head_dim);
/* Pool bytes of one sequence of n tokens that was filled in one go and holds no snapshot, to the byte. */
uint64_t kv_layout_bytes(const kv_layout *l, int n_tokens);
/* Of these bytes, those of the blocks that hold nothing but tokens below n_shared. Sequences that were forked at
   n_shared and have grown to n tokens all refer to these blocks. */
uint64_t kv_layout_shared_bytes(const kv_layout *l, int n_tokens, int n_shared);
/* Bytes of one kind of pages, which take bytes[format] each: the pages that a sequence of n tokens keeps of the tokens
   below `below` (of all its tokens when that is n or more). */
uint64_t kv_pages_bytes(bool packs, int window, int n_tokens, int below, const size_t bytes[KV_FORMATS]);
/* Bytes of the pages that a query behind n tokens sees, in the formats that they then have: without a window all pages,
   with one those that it reaches. Not rounded up to blocks, since nobody reads the padding. */
uint64_t kv_layout_read_bytes(const kv_layout *l, int n_tokens);
/* Bytes that one more token of an unbounded stream costs in closed pages, averaged over a page (without windows). */
double kv_layout_bytes_per_token(const kv_layout *l);
/* The most bytes that one snapshot, taken anywhere on the way, adds to a sequence of at most n tokens: window pages that
   the sequence has let go of, and the open form of a page that it has packed. Never falls as n grows. */
uint64_t kv_layout_snapshot_bytes(const kv_layout *l, int n_tokens);
/* The same of one kind of pages, which take bytes[format] each. */
uint64_t kv_pages_snapshot_bytes(bool packs, int window, int n_tokens, const size_t bytes[KV_FORMATS]);
/* The most bytes that a sequence with this many snapshots holds at any moment on its way to n tokens. */
uint64_t kv_layout_peak_bytes(const kv_layout *l, int n_tokens, int n_snapshots);
/* The longest context to which a sequence can grow so that its bytes, with those of so many snapshots, are within
   `budget` at every length on the way; KV_MAX_CONTEXT when there is no limit. */
int kv_layout_max_tokens(const kv_layout *l, uint64_t budget, int n_snapshots);

/* ---- pool.c: blocks ------------------------------------------------------------------------------------------- */

typedef struct kv_pool kv_pool;

/* A pool that never holds more than `budget` bytes of blocks. Address space is reserved. It becomes memory as blocks
   are written, and goes back to the system when all blocks of a run are free. Used from one thread. */
kvasir_status kv_pool_create(uint64_t budget, kv_pool **out);
void kv_pool_free(kv_pool *p);             /* all sequences and snapshots must be gone */
uint64_t kv_pool_budget(const kv_pool *p); /* bytes, as created with */
uint64_t kv_pool_used(const kv_pool *p);   /* bytes of the blocks in use */
uint64_t kv_pool_peak(const kv_pool *p);   /* the most that have been in use */
/* Frees the snapshots of all sequences; false: there were none. */
bool kv_pool_drop_snapshots(kv_pool *p);

/* Checks every table, reference count and free list of the pool and its sequences. KVASIR_E_INTERNAL names the first
   thing that is wrong. Runs after every operation in debug builds (KVASIR_DEBUG) and in the fuzzers. */
kvasir_status kv_check(const kv_pool *p);

/* ---- seq.c, cut.c and snapshot.c: sequences and snapshots ---------------------------------------------------- */

typedef struct kv_seq kv_seq;
typedef struct kv_snapshot kv_snapshot;

/* An empty sequence for at most max_tokens tokens. The layout stays alive as long as the sequence. Costs a few bytes
   per possible page until tokens come. */
kvasir_status kv_seq_create(kv_pool *p, const kv_layout *l, int max_tokens, kv_seq **out);
void kv_seq_free(kv_seq *s); /* NULL is fine */

int kv_seq_length(const kv_seq *s);            /* tokens that are committed */
int kv_seq_max_tokens(const kv_seq *s);        /* as created with */
uint64_t kv_seq_bytes(const kv_seq *s);        /* of the blocks that it refers to; shared ones count whole */
uint64_t kv_seq_bytes_shared(const kv_seq *s); /* of those among them that others refer to as well */
/* Bytes of the pages of one stream of the layout, counted in the sequence's table, without the rounding of blocks and
   without snapshots. *n_pages: how many pages of each head. */
uint64_t kv_seq_stream_bytes(const kv_seq *s, int stream, int *n_pages);

/* Makes room for n tokens after the current length: takes blocks, and copies a block that is shared before it is
   written to. All or nothing: on failure the sequence is as before. KVASIR_E_CONTEXT beyond max_tokens,
   KVASIR_E_MEMORY when the budget is used up; both say both numbers. Does not allocate with malloc (decode trap).
   Where the type packs, pages that will be full have the closed format from here on; the page being filled stays open,
   and its closed block waits beside it (kv_view.closing). */
kvasir_status kv_seq_reserve(kv_seq *s, int n);
/* The first n of the reserved tokens have been written, in the formats that kv_seq_view showed: moves the length, gives
   back the rest of the room, and lets go of window blocks that no later query can see and no snapshot holds. Where the
   type packs, n must be all that was reserved, or 0, because the number of tokens decides which format their pages
   have. KVASIR_E_ARGUMENT when n is another number; it fails for no other reason. */
kvasir_status kv_seq_commit(kv_seq *s, int n);

/* A new sequence with the first `at` tokens (at <= length, nothing reserved) and the snapshots up to there.
   Full blocks are shared; the block being filled is copied when one of the two writes to it. *at_kept as
   *n_kept of kv_seq_truncate. */
kvasir_status kv_seq_fork(const kv_seq *from, int at, kv_seq **out, int *at_kept);

/* Cuts to n tokens; reserved room is given back. *n_kept is the length that the sequence then has. It is n, unless
   sliding-window rows before n are gone, or a packed page would have to be opened again. Then it is the length of the
   nearest snapshot at or before n (or the start of n's page, where its rows are still there), at worst 0, and the
   caller computes the tokens from there again. */
kvasir_status kv_seq_truncate(kv_seq *s, int n, int *n_kept);

/* How many tokens, at most `most`, may be appended behind the first n so that a later cut to any length from n
   on keeps exactly that length: no page is packed and no window block is let go of in between. n is at least
   the present length. */
int kv_seq_revocable(const kv_seq *s, int n, int most);

/* Keeps what is needed to come back to the present length (window blocks, and the open last page of a type that packs)
   until the snapshot is freed or the sequence is cut below it. The sequence holds at most `keep` snapshots; the oldest
   one goes first. With keep 0 none is taken and all are freed. */
kvasir_status kv_seq_snapshot(kv_seq *s, int keep);
int kv_seq_n_snapshots(const kv_seq *s); /* that it holds now */

/* What attention and append see of one layer: its pages by absolute number. Valid until the next call that changes the
   sequence. block[p] is NULL for window pages that are gone. */
typedef struct kv_view {
    unsigned char *const *block; /* of the layer's group, by page number */
    const unsigned char *closed; /* by page number: 1 where the page has the closed format */
    unsigned char *closing; /* between reserve and commit: the closed block of the page that stands open in the table
                                    and becomes full; else NULL */
    const kv_stream *k, *v;
} kv_view;
kv_view kv_seq_view(const kv_seq *s, int layer); /* all NULL for a layer without KV */

/* The address of one head's page. */
static inline void *kv_page(const kv_view *w, const kv_stream *s, int page, int head)
{
    int format = w->closed[page];
    return w->block[page] + s->offset[format] + (size_t)head * s->head_stride[format];
}

#endif
