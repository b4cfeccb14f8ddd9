/* Prefixes: sequences that are kept after they have been answered, and how much of one a new prompt can begin with. */
#include "server/schedule/kept.h"

#include <string.h>

enum {
    LEAST_COMMON = 16, /* tokens: fewer are read as quickly as they are copied */
    LOST_TOKENS = 64   /* a sequence is taken over, and not forked, if at most this many are cut off it */
};

static int common_ids(const kvasir_seq *seq, const int32_t *ids, int n)
{
    const int32_t *held = kvasir_seq_ids(seq);
    int most = kvasir_seq_length(seq) < n ? kvasir_seq_length(seq) : n, i = 0;
    while (i < most && held[i] == ids[i]) i++;
    return i;
}

kvasir_seq *kept_find(const server *s, int tenant, const int32_t *ids, int n, int *common)
{
    kvasir_seq *best = NULL;
    *common = LEAST_COMMON - 1;
    for (int i = 0; i < s->n_kept; i++) {
        int same = s->kept[i].tenant == tenant ? common_ids(s->kept[i].seq, ids, n - 1) : 0;
        if (same <= *common) continue;
        *common = same;
        best = s->kept[i].seq;
    }
    for (int i = 0; i < s->n_running; i++) {
        const job *j = s->running[i];
        int same = j->seq && j->x->tenant == tenant ? common_ids(j->seq, ids, n - 1) : 0;
        if (same <= *common) continue;
        *common = same;
        best = j->seq;
    }
    return best;
}

static void forget(server *s, int place)
{
    s->kept[place] = s->kept[--s->n_kept];
}

/* The place of a sequence among the kept ones; -1: it belongs to a running job. */
static int place_of(const server *s, const kvasir_seq *seq)
{
    for (int i = 0; i < s->n_kept; i++)
        if (s->kept[i].seq == seq) return i;
    return -1;
}

kvasir_status kept_begin(server *s, kvasir_seq *from, int common, kvasir_seq **out)
{
    kvasir_status status;
    int place = place_of(s, from);
    if (!from) return kvasir_seq_create(s->o->engine, s->o->model, &s->o->seq, out);
    if (place >= 0 && kvasir_seq_length(from) - common <= LOST_TOKENS) {
        forget(s, place);
        *out = from;
        status = kvasir_seq_truncate(from, common);
    } else {
        if (place >= 0) s->kept[place].used = s->turn;
        status = kvasir_seq_fork(from, common, out);
    }
    /* Rows that sliding windows have let go of are read again like the rest of the prompt, in pieces that the
       others can bear. */
    if (status == KVASIR_OK) status = kvasir_seq_truncate(*out, kvasir_seq_computed(*out));
    if (status != KVASIR_OK) {
        kvasir_seq_free(*out);
        *out = NULL;
    }
    return status;
}

void kept_add(server *s, kvasir_seq *seq, int tenant)
{
    if (s->n_kept == KEPT_MOST) (void)kept_evict(s);
    s->kept[s->n_kept++] = (kept){seq, tenant, s->turn};
}

int kept_evict(server *s)
{
    int oldest = -1;
    for (int i = 0; i < s->n_kept; i++)
        if (oldest < 0 || s->kept[i].used < s->kept[oldest].used) oldest = i;
    if (oldest < 0) return 0;
    kvasir_seq_free(s->kept[oldest].seq);
    forget(s, oldest);
    s->metrics.evictions++;
    return 1;
}

uint64_t kept_bytes(const server *s)
{
    uint64_t bytes = 0;
    for (int i = 0; i < s->n_kept; i++) bytes += kvasir_seq_kv_bytes(s->kept[i].seq);
    return bytes;
}

void kept_free(server *s)
{
    while (s->n_kept > 0) kvasir_seq_free(s->kept[--s->n_kept].seq);
}
