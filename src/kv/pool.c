/* The pool: blocks of a few sizes under one budget. */
#include "kv/kv_internal.h"
#include "base/format.h"
#include "base/mem.h"
#include "base/status.h"

#include <string.h>

enum { HUGE_FROM = 1 << 21 }; /* bytes of a run: smaller ones would waste much of a 2 MiB page */

kvasir_status kv_pool_create(uint64_t budget, kv_pool **out)
{
    kv_pool *p = mem_alloc(1, sizeof *p);
    if (!p) return fail_memory(sizeof *p);
    p->budget = budget;
    *out = p;
    return KVASIR_OK;
}

static size_t metadata_bytes(const kv_class *c)
{
    return 3 * (size_t)c->slots * sizeof(uint32_t);
}

static size_t region_bytes(const kv_class *c)
{
    return (c->slots + c->run - 1) / c->run * kv_run_bytes(c);
}

void kv_pool_free(kv_pool *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_classes; i++) {
        kv_class *c = p->class[i];
        region_free(c->base, region_bytes(c));
        region_free(c->refs, metadata_bytes(c));
        mem_free(c);
    }
    mem_free(p->class);
    mem_free(p);
}

uint64_t kv_pool_budget(const kv_pool *p)
{
    return p->budget;
}

uint64_t kv_pool_used(const kv_pool *p)
{
    return p->used;
}

uint64_t kv_pool_peak(const kv_pool *p)
{
    return p->peak;
}

/* Address space for as many blocks as the budget pays for. The counts are a region as well, so that with a large budget
   only the part in use becomes memory. */
static kvasir_status class_create(const kv_pool *p, const kv_class *shape, kv_class **out)
{
    uint64_t slots = p->budget / shape->block_bytes;
    if (slots > INT32_MAX || slots > SIZE_MAX / 2 / shape->block_bytes) {
        char budget[FORMAT_BYTES], block[FORMAT_BYTES];
        return fail(KVASIR_E_ARGUMENT, "a KV budget of %s is too large for blocks of %s",
                    format_size(p->budget, budget), format_size(shape->block_bytes, block));
    }
    kv_class *c = mem_alloc(1, sizeof *c);
    if (!c) return fail_memory(sizeof *c);
    *c = *shape;
    c->slots = (uint32_t)slots;
    c->base = region_reserve(region_bytes(c), kv_run_bytes(c) >= HUGE_FROM);
    c->refs = region_reserve(metadata_bytes(c), false);
    if (!c->base || !c->refs) {
        size_t bytes = region_bytes(c) + metadata_bytes(c);
        region_free(c->base, region_bytes(c));
        region_free(c->refs, metadata_bytes(c));
        mem_free(c);
        return fail_memory(bytes);
    }
    c->free = c->refs + c->slots;
    c->seen = c->free + c->slots;
    *out = c;
    return KVASIR_OK;
}

static bool same_shape(const kv_class *a, const kv_class *b)
{
    return a->block_bytes == b->block_bytes && a->piece_bytes == b->piece_bytes && a->run == b->run;
}

kvasir_status kv_pool_class(kv_pool *p, const kv_group *g, kv_format f, kv_class **out)
{
    const kv_class shape = {.block_bytes = g->block_bytes[f],
                            .piece_bytes = g->piece_bytes[f],
                            .run = (uint32_t)g->run[f]};
    for (int i = 0; i < p->n_classes; i++) {
        if (same_shape(p->class[i], &shape)) {
            *out = p->class[i];
            return KVASIR_OK;
        }
    }
    size_t n = (size_t)p->n_classes;
    kv_class **grown = mem_grow(p->class, n, n + 1, sizeof *grown);
    if (!grown) return fail_memory((n + 1) * sizeof *grown);
    p->class = grown;
    TRY(class_create(p, &shape, &p->class[n]));
    *out = p->class[p->n_classes++];
    return KVASIR_OK;
}

/* ---- the free slots: a heap */

static void heap_swap(uint32_t *heap, uint32_t i, uint32_t j)
{
    uint32_t slot = heap[i];
    heap[i] = heap[j];
    heap[j] = slot;
}

static void push_free(kv_class *c, uint32_t slot)
{
    uint32_t i = c->n_free++;
    c->free[i] = slot;
    for (; i > 0 && c->free[(i - 1) / 2] > c->free[i]; i = (i - 1) / 2) heap_swap(c->free, i, (i - 1) / 2);
}

static uint32_t pop_free(kv_class *c)
{
    uint32_t *heap = c->free, lowest = heap[0];
    heap[0] = heap[--c->n_free];
    for (uint32_t i = 0, child; (child = 2 * i + 1) < c->n_free; i = child) {
        if (child + 1 < c->n_free && heap[child + 1] < heap[child]) child++;
        if (heap[i] <= heap[child]) break;
        heap_swap(heap, i, child);
    }
    return lowest;
}

/* ---- blocks */

unsigned char *kv_block_take(kv_pool *p, kv_class *c)
{
    uint32_t slot = c->n_free > 0 ? pop_free(c) : c->high++;
    c->refs[slot] = 1;
    p->used += c->block_bytes;
    if (p->used > p->peak) p->peak = p->used;
    return kv_block_at(c, slot);
}

void kv_block_ref(kv_class *c, const unsigned char *block)
{
    c->refs[kv_block_slot(c, block)]++;
}

/* Gives a run's memory back once none of its slots is in use. */
static void release_run(const kv_class *c, uint32_t slot)
{
    uint32_t first = slot - slot % c->run, end = first + c->run < c->high ? first + c->run : c->high;
    for (uint32_t i = first; i < end; i++)
        if (c->refs[i]) return;
    region_release(kv_block_at(c, first), kv_run_bytes(c));
}

void kv_block_unref(kv_pool *p, kv_class *c, unsigned char *block)
{
    uint32_t slot = kv_block_slot(c, block);
    if (--c->refs[slot] > 0) return;
    push_free(c, slot);
    release_run(c, slot);
    p->used -= c->block_bytes;
}

void kv_block_copy(const kv_class *c, unsigned char *to, const unsigned char *from)
{
    const size_t stride = c->run * c->piece_bytes;
    for (size_t n = c->block_bytes / c->piece_bytes; n > 0; n--, to += stride, from += stride)
        memcpy(to, from, c->piece_bytes);
}
