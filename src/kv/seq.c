/* Sequences: block tables over the pool. How they come back to an earlier length is in cut.c. kv_internal.h has the
   rules that every function here keeps. */
#include "kv/kv_internal.h"
#include "base/format.h"
#include "base/mem.h"
#include "base/status.h"

#include <string.h>

/* ---- making and freeing */

void link_seq(kv_seq *s)
{
    s->next = s->pool->first;
    if (s->next) s->next->prev = s;
    s->pool->first = s;
}

static void unlink_seq(kv_seq *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        s->pool->first = s->next;
    if (s->next) s->next->prev = s->prev;
}

static kvasir_status alloc_tables(kv_seq *s)
{
    size_t pages = (size_t)kv_pages(s->max_tokens);
    s->closed = mem_alloc(pages, 1);
    bool ok = s->closed != NULL;
    for (int g = 0; g < s->layout->n_groups; g++) {
        s->table[g] = mem_alloc(pages, sizeof *s->table[g]);
        ok = ok && s->table[g];
    }
    return ok ? KVASIR_OK : fail_memory(pages * (1 + (size_t)s->layout->n_groups * sizeof *s->table[0]));
}

void free_tables(kv_seq *s)
{
    for (int g = 0; g < s->layout->n_groups; g++) mem_free(s->table[g]);
    mem_free(s->closed);
    mem_free(s);
}

kvasir_status make_seq(kv_pool *p, const kv_layout *l, int max_tokens, kv_seq **out)
{
    kv_seq *s = mem_alloc(1, sizeof *s);
    if (!s) return fail_memory(sizeof *s);
    s->pool = p;
    s->layout = l;
    s->max_tokens = max_tokens;
    kvasir_status status = alloc_tables(s);
    for (int g = 0; g < l->n_groups && status == KVASIR_OK; g++) {
        for (int f = 0; f < KV_FORMATS && status == KVASIR_OK; f++) {
            status = kv_pool_class(p, &l->group[g], (kv_format)f, &s->class[g][f]);
        }
    }
    if (status != KVASIR_OK) {
        free_tables(s);
        return status;
    }
    *out = s;
    return KVASIR_OK;
}

kvasir_status kv_seq_create(kv_pool *p, const kv_layout *l, int max_tokens, kv_seq **out)
{
    if (max_tokens < 1 || max_tokens > KV_MAX_CONTEXT) {
        return fail(KVASIR_E_ARGUMENT, "a context of %d tokens is not possible; it is 1 to %d", max_tokens,
                    KV_MAX_CONTEXT);
    }
    TRY(make_seq(p, l, max_tokens, out));
    link_seq(*out);
    return kv_done(p);
}

void drop_pages(kv_seq *s, int g, int from, int end)
{
    unsigned char **table = s->table[g];
    for (int p = from; p < end; p++) {
        if (!table[p]) continue; // NOLINT(clang-analyzer-core.NullDereference): it mixes up closing[g] and table[g]
        kv_block_unref(s->pool, page_class(s, g, p), table[p]);
        table[p] = NULL;
    }
}

static void drop_closing(kv_seq *s, int g)
{
    unsigned char *block = s->closing[g];
    if (block) kv_block_unref(s->pool, s->class[g][KV_CLOSED], block);
    s->closing[g] = NULL;
}

void kv_seq_free(kv_seq *s)
{
    if (!s) return;
    kv_snapshots_cut(s, -1);
    for (int g = 0; g < s->layout->n_groups; g++) {
        drop_closing(s, g);
        drop_pages(s, g, kv_first_page(s->length, s->layout->group[g].window), kv_pages(s->end));
    }
    unlink_seq(s);
    free_tables(s);
}

/* ---- what it holds */

int kv_seq_length(const kv_seq *s)
{
    return s->length;
}

int kv_seq_max_tokens(const kv_seq *s)
{
    return s->max_tokens;
}

/* Whether anybody except this sequence and its own snapshots refers to the block that it knows as `page` of group g. */
static bool foreign(const kv_seq *s, const kv_class *c, int g, int page, const unsigned char *block)
{
    uint32_t own = kv_snapshot_refs(s, g, page, block) + (s->table[g][page] == block);
    return c->refs[kv_block_slot(c, block)] > own;
}

/* The bytes of the distinct blocks in the table and in snapshots: of all, and of those that others refer to as well. */
static void count_bytes(const kv_seq *s, uint64_t *all, uint64_t *shared)
{
    *all = *shared = 0;
    for (int g = 0; g < s->layout->n_groups; g++) {
        for (int p = kv_first_page(s->length, s->layout->group[g].window); p < kv_pages(s->end); p++) {
            const kv_class *c = page_class(s, g, p);
            *all += c->block_bytes;
            if (foreign(s, c, g, p, s->table[g][p])) *shared += c->block_bytes;
        }
        if (s->closing[g]) *all += s->class[g][KV_CLOSED]->block_bytes;
        for (const kv_snapshot *n = s->newest; n; n = n->older) {
            for (int p = n->first[g]; p < n->end[g]; p++) {
                const unsigned char *block = n->block[g][p - n->first[g]];
                bool counted = s->table[g][p] == block;
                for (const kv_snapshot *o = s->newest; o != n && !counted; o = o->older) {
                    counted = p >= o->first[g] && p < o->end[g] && o->block[g][p - o->first[g]] == block;
                }
                if (counted) continue;
                const kv_class *c = kv_snapshot_class(s, n, g, p);
                *all += c->block_bytes;
                if (foreign(s, c, g, p, block)) *shared += c->block_bytes;
            }
        }
    }
}

uint64_t kv_seq_bytes(const kv_seq *s)
{
    uint64_t all, shared;
    count_bytes(s, &all, &shared);
    return all;
}

uint64_t kv_seq_bytes_shared(const kv_seq *s)
{
    uint64_t all, shared;
    count_bytes(s, &all, &shared);
    return shared;
}

uint64_t kv_seq_stream_bytes(const kv_seq *s, int stream, int *n_pages)
{
    const kv_stream *t = &s->layout->stream[stream];
    uint64_t sum = 0;
    *n_pages = 0;
    for (int p = 0; p < kv_pages(s->end); p++) {
        if (!s->table[t->group][p]) continue;
        sum += (uint64_t)t->n_heads * t->page_bytes[s->closed[p] ? KV_CLOSED : KV_OPEN];
        ++*n_pages;
    }
    if (s->closing[t->group]) sum += (uint64_t)t->n_heads * t->page_bytes[KV_CLOSED];
    return sum;
}

kv_view kv_seq_view(const kv_seq *s, int layer)
{
    int k = layer >= 0 && layer < s->layout->n_layers ? s->layout->k_stream[layer] : -1;
    if (k < 0) return (kv_view){0};
    const kv_stream *stream = &s->layout->stream[k];
    return (kv_view){.block = s->table[stream->group],
                     .closed = s->closed,
                     .closing = s->closing[stream->group],
                     .k = stream,
                     .v = stream + 1};
}

/* ---- growing */

/* Whether the page being filled has to be copied before it is written to. */
static bool tail_is_foreign(const kv_seq *s, int g)
{
    int tail = s->length / KV_PAGE_TOKENS;
    if (s->length % KV_PAGE_TOKENS == 0) return false;
    return foreign(s, page_class(s, g, tail), g, tail, s->table[g][tail]);
}

static void copy_tail(kv_seq *s, int g)
{
    int tail = s->length / KV_PAGE_TOKENS;
    kv_class *c = page_class(s, g, tail);
    unsigned char *shared = s->table[g][tail];
    s->table[g][tail] = kv_block_take(s->pool, c);
    kv_block_copy(c, s->table[g][tail], shared);
    kv_block_unref(s->pool, c, shared);
}

void set_formats(kv_seq *s, int from, int end, int n)
{
    bool packs = kv_packs(s->layout);
    for (int p = from; p < end; p++) s->closed[p] = (unsigned char)kv_page_format(packs, p, n);
}

/* Bytes of the blocks that room up to `end` takes, when nothing is reserved. */
static uint64_t room_bytes(const kv_seq *s, int g, int end)
{
    const bool packs = kv_packs(s->layout);
    uint64_t bytes = tail_is_foreign(s, g) ? s->class[g][KV_OPEN]->block_bytes : 0;
    for (int p = kv_pages(s->length); p < kv_pages(end); p++)
        bytes += s->class[g][kv_page_format(packs, p, end)]->block_bytes;
    if (kv_closing_page(packs, s->length, end) >= 0) bytes += s->class[g][KV_CLOSED]->block_bytes;
    return bytes;
}

/* Bytes that are freed when the reserved room is given up. */
static uint64_t reserved_bytes(const kv_seq *s)
{
    uint64_t bytes = 0;
    for (int g = 0; g < s->layout->n_groups; g++) {
        for (int p = kv_pages(s->length); p < kv_pages(s->end); p++) bytes += page_class(s, g, p)->block_bytes;
        if (s->closing[g]) bytes += s->class[g][KV_CLOSED]->block_bytes;
    }
    return bytes;
}

void drop_room(kv_seq *s)
{
    for (int g = 0; g < s->layout->n_groups; g++) {
        drop_closing(s, g);
        drop_pages(s, g, kv_pages(s->length), kv_pages(s->end));
    }
    set_formats(s, kv_pages(s->length), kv_pages(s->end), s->length);
    s->end = s->length;
}

/* Takes the blocks that room_bytes counted. */
static void take_room(kv_seq *s, int end)
{
    set_formats(s, kv_pages(s->length), kv_pages(end), end);
    for (int g = 0; g < s->layout->n_groups; g++) {
        if (tail_is_foreign(s, g)) copy_tail(s, g);
        for (int p = kv_pages(s->length); p < kv_pages(end); p++)
            s->table[g][p] = kv_block_take(s->pool, page_class(s, g, p));
        if (kv_closing_page(kv_packs(s->layout), s->length, end) >= 0)
            s->closing[g] = kv_block_take(s->pool, s->class[g][KV_CLOSED]);
    }
    s->end = end;
}

kvasir_status kv_seq_reserve(kv_seq *s, int n)
{
    kv_pool *pool = s->pool;
    if (n < 0) return fail(KVASIR_E_ARGUMENT, "%d tokens cannot be reserved", n);
    if (n > s->max_tokens - s->length) {
        return fail(KVASIR_E_CONTEXT, "%d more tokens do not fit: %d of the context's %d are taken", n, s->length,
                    s->max_tokens);
    }
    int end = s->length + n;
    if (end <= s->end) return kv_done(pool);
    uint64_t need = 0, free;
    for (int g = 0; g < s->layout->n_groups; g++) need += room_bytes(s, g, end);
    /* Room that was reserved before is taken anew, since more tokens may change the format of its pages. */
    free = pool->budget - pool->used + reserved_bytes(s);
    if (need > free) {
        char a[FORMAT_BYTES], b[FORMAT_BYTES], c[FORMAT_BYTES];
        return fail(KVASIR_E_MEMORY, "%d more tokens need %s of KV cache, and %s of its %s are free", n,
                    format_size(need, a), format_size(free, b), format_size(pool->budget, c));
    }
    drop_room(s);
    take_room(s, end);
    return kv_done(pool);
}

kvasir_status kv_seq_commit(kv_seq *s, int n)
{
    int reserved = s->end - s->length;
    if (n < 0 || n > reserved) {
        return fail(KVASIR_E_ARGUMENT, "%d tokens cannot be committed: %d are reserved", n, reserved);
    }
    if (kv_packs(s->layout) && n != 0 && n != reserved) {
        return fail(KVASIR_E_ARGUMENT, "%d of %d reserved tokens cannot be committed: KV type %s:%s takes all or none",
                    n, reserved, kv_type_name(s->layout->type_k), kv_type_name(s->layout->type_v));
    }
    if (n == 0) {
        drop_room(s);
        return kv_done(s->pool);
    }
    int before = s->length, length = before + n, page = before / KV_PAGE_TOKENS;
    for (int g = 0; g < s->layout->n_groups; g++) {
        if (s->closing[g]) {
            drop_pages(s, g, page, page + 1);
            s->table[g][page] = s->closing[g]; // NOLINT(clang-analyzer-core.NullDereference): as in drop_pages
            s->closing[g] = NULL;
        }
    }
    set_formats(s, page, page + 1, length);
    for (int g = 0; g < s->layout->n_groups; g++) {
        int window = s->layout->group[g].window;
        drop_pages(s, g, kv_first_page(before, window), kv_first_page(length, window));
        drop_pages(s, g, kv_pages(length), kv_pages(s->end));
    }
    s->length = s->end = length;
    return kv_done(s->pool);
}
