/* Coming back to an earlier length: cutting a sequence, and forking one from an earlier place of another. */
#include "base/status.h"
#include "kv/kv_internal.h"

/* Whether the table alone has what a sequence of n tokens (n <= length) holds. */
static bool table_reaches(const kv_seq *s, int n)
{
    for (int g = 0; g < s->layout->n_groups; g++) {
        int window = s->layout->group[g].window;
        if (kv_first_page(n, window) != kv_first_page(s->length, window)) return false;
    }
    /* A packed page is not opened again, so n must not lie inside one. */
    return n % KV_PAGE_TOKENS == 0 ||
           s->closed[n / KV_PAGE_TOKENS] == kv_page_format(kv_packs(s->layout), n / KV_PAGE_TOKENS, n);
}

/* The length at or before n that can be had, and the snapshot that gives it (NULL: the table does). */
static int reachable(const kv_seq *s, int n, kv_snapshot **snapshot)
{
    int start = n / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
    *snapshot = NULL;
    if (table_reaches(s, n)) return n;
    *snapshot = kv_snapshot_find(s, n);
    int kept = *snapshot ? (*snapshot)->length : 0;
    if (kept <= start && table_reaches(s, start)) { /* the start of n's page is at least as near */
        *snapshot = NULL;
        return start;
    }
    return kept;
}

int kv_seq_revocable(const kv_seq *s, int n, int most)
{
    for (; most > 0; most--) {
        bool keeps = !kv_packs(s->layout) || n / KV_PAGE_TOKENS == (n + most) / KV_PAGE_TOKENS;
        for (int g = 0; g < s->layout->n_groups; g++) {
            int window = s->layout->group[g].window;
            keeps = keeps && kv_first_page(n, window) == kv_first_page(n + most, window);
        }
        if (keeps) return most;
    }
    return 0;
}

static kvasir_status check_cut(const kv_seq *s, int n)
{
    if (n >= 0 && n <= s->length) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "a sequence of %d tokens cannot be cut to %d", s->length, n);
}

/* Puts the snapshot's blocks into the table. */
static void install(kv_seq *s, const kv_snapshot *n)
{
    for (int g = 0; g < s->layout->n_groups; g++) {
        for (int p = n->first[g]; p < n->end[g]; p++) {
            unsigned char *block = n->block[g][p - n->first[g]];
            kv_block_ref(kv_snapshot_class(s, n, g, p), block);
            drop_pages(s, g, p, p + 1);
            s->table[g][p] = block;
        }
    }
}

kvasir_status kv_seq_truncate(kv_seq *s, int n, int *n_kept)
{
    TRY(check_cut(s, n));
    drop_room(s);
    kv_snapshot *snapshot;
    int kept = reachable(s, n, &snapshot), end = kv_pages(s->end);
    for (int g = 0; g < s->layout->n_groups; g++) drop_pages(s, g, kv_pages(kept), end);
    if (snapshot) install(s, snapshot);
    s->length = s->end = kept;
    set_formats(s, kept / KV_PAGE_TOKENS, end, kept);
    kv_snapshots_cut(s, kept);
    *n_kept = kept;
    return kv_done(s->pool);
}

/* Refers to the blocks that `from` has for its first `s->length` tokens. */
static void share_pages(kv_seq *s, const kv_seq *from, const kv_snapshot *snapshot)
{
    for (int g = 0; g < s->layout->n_groups; g++) {
        for (int p = kv_first_page(s->length, s->layout->group[g].window); p < kv_pages(s->length); p++) {
            bool kept = snapshot && p >= snapshot->first[g] && p < snapshot->end[g];
            s->table[g][p] = kept ? snapshot->block[g][p - snapshot->first[g]] : from->table[g][p];
            kv_block_ref(page_class(s, g, p), s->table[g][p]);
        }
    }
}

kvasir_status kv_seq_fork(const kv_seq *from, int at, kv_seq **out, int *at_kept)
{
    TRY(check_cut(from, at));
    if (from->end > from->length) {
        return fail(KVASIR_E_ARGUMENT, "a sequence with %d tokens reserved but not committed cannot be forked",
                    from->end - from->length);
    }
    kv_snapshot *snapshot;
    kv_seq *s;
    int kept = reachable(from, at, &snapshot);
    TRY(make_seq(from->pool, from->layout, from->max_tokens, &s));
    kv_snapshot **link = &s->newest;
    for (const kv_snapshot *n = from->newest; n; n = n->older) {
        if (n->length > kept) continue;
        *link = kv_snapshot_copy(s, n);
        if (!*link) {
            kv_snapshots_cut(s, -1);
            free_tables(s);
            return fail_memory(sizeof *n);
        }
        link = &(*link)->older;
        s->n_snapshots++;
    }
    s->length = s->end = kept;
    set_formats(s, 0, kv_pages(kept), kept);
    share_pages(s, from, snapshot);
    link_seq(s);
    *out = s;
    *at_kept = kept;
    return kv_done(s->pool);
}
