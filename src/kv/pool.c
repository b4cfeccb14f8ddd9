/* The pool: blocks of a few sizes under one budget. */
#include "kv/kv_internal.h"
#include "base/mem.h"
#include "base/status.h"

enum { HUGE_FROM = 1 << 18 }; /* bytes of a block: smaller ones would keep much of a 2 MiB page for nothing */

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

void kv_pool_free(kv_pool *p)
{
    if (!p) return;
    for (int i = 0; i < p->n_classes; i++) {
        kv_class *c = p->class[i];
        region_free(c->base, c->slots * c->block_bytes);
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

/* Address space for as many blocks as the budget pays for. The counts are a region as well: for a large
   budget only the part that is used becomes memory. */
static kvasir_status class_create(const kv_pool *p, size_t block_bytes, kv_class **out)
{
    uint64_t slots = p->budget / block_bytes;
    if (slots > INT32_MAX || slots > SIZE_MAX / 2 / block_bytes) {
        return fail(KVASIR_E_ARGUMENT, "a KV budget of %llu bytes is too large for blocks of %zu bytes",
                    (unsigned long long)p->budget, block_bytes);
    }
    kv_class *c = mem_alloc(1, sizeof *c);
    if (!c) return fail_memory(sizeof *c);
    *c = (kv_class){.block_bytes = block_bytes, .slots = (uint32_t)slots};
    c->base = region_reserve(c->slots * block_bytes, block_bytes >= HUGE_FROM);
    c->refs = region_reserve(metadata_bytes(c), false);
    if (!c->base || !c->refs) {
        size_t bytes = c->slots * block_bytes + metadata_bytes(c);
        region_free(c->base, c->slots * block_bytes);
        region_free(c->refs, metadata_bytes(c));
        mem_free(c);
        return fail_memory(bytes);
    }
    c->free = c->refs + c->slots;
    c->seen = c->free + c->slots;
    *out = c;
    return KVASIR_OK;
}

kvasir_status kv_pool_class(kv_pool *p, size_t block_bytes, kv_class **out)
{
    for (int i = 0; i < p->n_classes; i++) {
        if (p->class[i] -> block_bytes == block_bytes) {
            *out = p->class[i];
            return KVASIR_OK;
        }
    }
    size_t n = (size_t)p->n_classes;
    kv_class **grown = mem_grow(p->class, n, n + 1, sizeof *grown);
    if (!grown) return fail_memory((n + 1) * sizeof *grown);
    p->class = grown;
    TRY(class_create(p, block_bytes, &p->class[n]));
    *out = p->class[p->n_classes++];
    return KVASIR_OK;
}

unsigned char *kv_block_take(kv_pool *p, kv_class *c)
{
    uint32_t slot = c->n_free > 0 ? c->free[--c->n_free] : c->high++;
    c->refs[slot] = 1;
    p->used += c->block_bytes;
    if (p->used > p->peak) p->peak = p->used;
    return c->base + slot * c->block_bytes;
}

void kv_block_ref(kv_class *c, const unsigned char *block)
{
    c->refs[kv_block_slot(c, block)]++;
}

void kv_block_unref(kv_pool *p, kv_class *c, unsigned char *block)
{
    uint32_t slot = kv_block_slot(c, block);
    if (--c->refs[slot] > 0) return;
    region_release(block, c->block_bytes);
    c->free[c->n_free++] = slot;
    p->used -= c->block_bytes;
}
