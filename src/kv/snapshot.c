/* Snapshots of a sequence: references to blocks that the sequence itself will let go of or pack. */
#include "kv/kv_internal.h"
#include "base/mem.h"
#include "base/status.h"

/* One allocation: the struct and then the block pointers of all groups. */
static kv_snapshot *make(const kv_layout *l, int length, const int first[], const int end[])
{
    size_t n = 0;
    for (int g = 0; g < l->n_groups; g++) n += (size_t)(end[g] - first[g]);
    kv_snapshot *p = mem_alloc(1, sizeof *p + n * sizeof(unsigned char *));
    if (!p) return NULL;
    unsigned char **next = (unsigned char **)(p + 1);
    p->length = length;
    for (int g = 0; g < l->n_groups; g++) {
        p->first[g] = first[g];
        p->end[g] = end[g];
        p->block[g] = next;
        next += end[g] - first[g];
    }
    return p;
}

kv_class *kv_snapshot_class(const kv_seq *s, const kv_snapshot *p, int g, int page)
{
    return s->class[g][kv_page_format(kv_packs(s->layout), page, p->length)];
}

static void snapshot_free(kv_seq *s, kv_snapshot *p)
{
    for (int g = 0; g < s->layout->n_groups; g++) {
        for (int page = p->first[g]; page < p->end[g]; page++) {
            kv_block_unref(s->pool, kv_snapshot_class(s, p, g, page), p->block[g][page - p->first[g]]);
        }
    }
    mem_free(p);
}

kv_snapshot *kv_snapshot_find(const kv_seq *s, int n)
{
    kv_snapshot *p = s->newest;
    while (p && p->length > n) p = p->older;
    return p;
}

kv_snapshot *kv_snapshot_copy(const kv_seq *s, const kv_snapshot *from)
{
    kv_snapshot *p = make(s->layout, from->length, from->first, from->end);
    if (!p) return NULL;
    for (int g = 0; g < s->layout->n_groups; g++) {
        for (int page = p->first[g]; page < p->end[g]; page++) {
            unsigned char *block = from->block[g][page - p->first[g]];
            p->block[g][page - p->first[g]] = block;
            kv_block_ref(kv_snapshot_class(s, p, g, page), block);
        }
    }
    return p;
}

void kv_snapshots_cut(kv_seq *s, int n)
{
    while (s->newest && s->newest->length > n) {
        kv_snapshot *p = s->newest;
        s->newest = p->older;
        s->n_snapshots--;
        snapshot_free(s, p);
    }
}

uint32_t kv_snapshot_refs(const kv_seq *s, int g, int page, const unsigned char *block)
{
    uint32_t n = 0;
    for (const kv_snapshot *p = s->newest; p; p = p->older) {
        n += page >= p->first[g] && page < p->end[g] && p->block[g][page - p->first[g]] == block;
    }
    return n;
}

/* Frees the oldest until `keep` are left. */
static void drop_oldest(kv_seq *s, int keep)
{
    kv_snapshot **link = &s->newest;
    for (int i = 0; i < keep && *link; i++) link = &(*link)->older;
    kv_snapshot *p = *link;
    *link = NULL;
    for (kv_snapshot *older; p; p = older) {
        older = p->older;
        s->n_snapshots--;
        snapshot_free(s, p);
    }
}

/* Takes a snapshot. Of a window group it holds all pages that the sequence holds now. A full group keeps its pages
   anyway; but if it packs, it will replace the open page in which the snapshot ends. */
static kv_snapshot *take(const kv_seq *s)
{
    const kv_layout *l = s->layout;
    int first[KV_GROUPS] = {0}, end[KV_GROUPS] = {0};
    for (int g = 0; g < l->n_groups; g++) {
        end[g] = kv_pages(s->length);
        if (l->group[g].window > 0)
            first[g] = min_int(kv_first_page(s->length, l->group[g].window), end[g]);
        else
            first[g] = kv_packs(l) ? s->length / KV_PAGE_TOKENS : end[g];
    }
    kv_snapshot *p = make(l, s->length, first, end);
    if (!p) return NULL;
    for (int g = 0; g < l->n_groups; g++) {
        for (int page = first[g]; page < end[g]; page++) {
            unsigned char *block = s->table[g][page];
            p->block[g][page - first[g]] = block;
            kv_block_ref(kv_snapshot_class(s, p, g, page), block);
        }
    }
    return p;
}

kvasir_status kv_seq_snapshot(kv_seq *s, int keep)
{
    if (keep < 0) return fail(KVASIR_E_ARGUMENT, "%d snapshots cannot be kept", keep);
    if (keep > 0 && !(s->newest && s->newest->length == s->length)) {
        kv_snapshot *p = take(s);
        if (!p) return fail_memory(sizeof *p);
        p->older = s->newest;
        s->newest = p;
        s->n_snapshots++;
    }
    drop_oldest(s, keep);
    return kv_done(s->pool);
}

bool kv_pool_drop_snapshots(kv_pool *p)
{
    bool any = false;
    for (kv_seq *s = p->first; s; s = s->next) {
        any = any || s->newest;
        drop_oldest(s, 0);
    }
    return any;
}

int kv_seq_n_snapshots(const kv_seq *s)
{
    return s->n_snapshots;
}
