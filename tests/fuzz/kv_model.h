/* Bytes are read as operations on KV sequences and carried out twice: by src/kv and by a model that is an
   array of stamps per sequence. After every operation kv_check runs and every visible row of every sequence
   is compared. Used by fuzz_kv.c with the fuzzer's bytes and by test_kv.c with random ones. */
#ifndef KVASIR_FUZZ_KV_MODEL_H
#define KVASIR_FUZZ_KV_MODEL_H

#include "base/mem.h"
#include "kv/kv.h"
#include "kvasir/kvasir.h"

#include <stdio.h>
#include <string.h>

enum { MODEL_SEQS = 6, MODEL_TOKENS = 420, MODEL_LAYERS = 3, MODEL_SNAPSHOTS = 8 };

typedef struct model_seq {
    kv_seq *s;
    int length, reserved, max_tokens;
    int gone[KV_GROUPS]; /* pages below this one were let go of */
    int n_snapshots, snapshot[MODEL_SNAPSHOTS];
    uint32_t stamp[MODEL_TOKENS];
} model_seq;

typedef struct kv_model {
    const uint8_t *bytes;
    size_t n, at;
    kv_pool *pool;
    kv_layout layout;
    kv_layer layer[MODEL_LAYERS];
    model_seq seq[MODEL_SEQS];
    uint32_t clock; /* the next stamp */
    unsigned done[8];
    char wrong[800]; /* "" while model and cache agree */
} kv_model;

#define MODEL_EXPECT(m, condition)                                                                                     \
    do {                                                                                                               \
        if (!(condition) && !(m)->wrong[0]) {                                                                          \
            (void)snprintf((m)->wrong, sizeof(m)->wrong, "%s:%d: %s (last message: %s)", __FILE__, __LINE__,           \
                           #condition, kvasir_message());                                                              \
        }                                                                                                              \
    } while (0)

static inline unsigned model_byte(kv_model *m)
{
    return m->at < m->n ? m->bytes[m->at++] : 0;
}

/* The element that token `stamp` has in a stream: any two differ almost surely. */
static inline uint32_t model_value(uint32_t stamp, const kv_stream *s, int head, int d)
{
    uint32_t x = stamp * 2654435761u + (uint32_t)(s->layer * 64 + s->is_v * 32 + head * 8 + d) * 40503u;
    x ^= x >> 15;
    return x * 2246822519u;
}

/* Writes the token's rows (or compares with them) in one stream; false when they differ. */
static inline bool model_row(const kv_view *view, const kv_stream *s, int pos, uint32_t stamp, bool write)
{
    int page = pos / KV_PAGE_TOKENS, t = pos % KV_PAGE_TOKENS;
    for (int head = 0; head < s->n_heads; head++) {
        void *rows = kv_page(view, s, page, head);
        for (int d = 0; d < s->head_dim; d++) {
            int i = s->is_v ? t * s->head_dim + d : d * KV_PAGE_TOKENS + t;
            uint32_t value = model_value(stamp, s, head, d);
            if (s->type == KV_F32) {
                if (write)
                    ((uint32_t *)rows)[i] = value;
                else if (((uint32_t *)rows)[i] != value)
                    return false;
            } else {
                if (write)
                    ((uint16_t *)rows)[i] = (uint16_t)(value >> 16);
                else if (((uint16_t *)rows)[i] != (uint16_t)(value >> 16))
                    return false;
            }
        }
    }
    return true;
}

/* Rows of tokens from..from+n-1 in all layers. */
static inline void model_write(kv_model *m, const model_seq *q, int from, int n, uint32_t stamp)
{
    for (int layer = 0; layer < m->layout.n_layers; layer++) {
        kv_view view = kv_seq_view(q->s, layer);
        for (int i = 0; view.k && i < n; i++) {
            (void)model_row(&view, view.k, from + i, stamp + (uint32_t)i, true);
            (void)model_row(&view, view.v, from + i, stamp + (uint32_t)i, true);
        }
    }
}

/* Every row that the next query can see is as it was written. */
static inline void model_compare(kv_model *m, const model_seq *q)
{
    MODEL_EXPECT(m, kv_seq_length(q->s) == q->length);
    MODEL_EXPECT(m, kv_seq_n_snapshots(q->s) == q->n_snapshots);
    MODEL_EXPECT(m, kv_seq_bytes(q->s) >= kv_seq_bytes_shared(q->s));
    MODEL_EXPECT(m, kv_seq_bytes(q->s) <= kv_pool_used(m->pool));
    for (int layer = 0; layer < m->layout.n_layers; layer++) {
        kv_view view = kv_seq_view(q->s, layer);
        if (!view.k) continue;
        int first = view.k->window ? q->length - view.k->window + 1 : 0;
        for (int pos = first > 0 ? first : 0; pos < q->length; pos++) {
            if (!view.block[pos / KV_PAGE_TOKENS]) {
                MODEL_EXPECT(m, !"a visible page is there");
                return;
            }
            MODEL_EXPECT(m, model_row(&view, view.k, pos, q->stamp[pos], false));
            MODEL_EXPECT(m, model_row(&view, view.v, pos, q->stamp[pos], false));
        }
    }
}

static inline void model_compare_all(kv_model *m)
{
    int alive = 0, last = 0;
    MODEL_EXPECT(m, kv_check(m->pool) == KVASIR_OK);
    for (int i = 0; i < MODEL_SEQS && !m->wrong[0]; i++) {
        if (!m->seq[i].s) continue;
        model_compare(m, &m->seq[i]);
        alive++;
        last = i;
    }
    const model_seq *q = &m->seq[last];
    if (alive == 0) MODEL_EXPECT(m, kv_pool_used(m->pool) == 0);
    if (alive == 1) MODEL_EXPECT(m, kv_pool_used(m->pool) == kv_seq_bytes(q->s) && kv_seq_bytes_shared(q->s) == 0);
    if (alive == 1 && q->n_snapshots == 0 && q->reserved == 0) {
        MODEL_EXPECT(m, kv_pool_used(m->pool) == kv_layout_bytes(&m->layout, q->length));
    }
}

static inline void model_let_go(const kv_model *m, model_seq *q)
{
    for (int g = 0; g < m->layout.n_groups; g++) {
        int window = m->layout.group[g].window;
        while (window && (q->gone[g] + 1) * KV_PAGE_TOKENS <= q->length - window + 1) q->gone[g]++;
    }
}

/* What a cut to n leaves: n where no row that it needs is gone, else the newest snapshot up to n, else
 * nothing. */
static inline int model_kept(const kv_model *m, const model_seq *q, int n, bool *rows_are_there)
{
    *rows_are_there = true;
    for (int g = 0; g < m->layout.n_groups; g++) {
        int window = m->layout.group[g].window, need = window && n >= window ? n - window + 1 : 0;
        if (need < q->gone[g] * KV_PAGE_TOKENS) *rows_are_there = false;
    }
    if (*rows_are_there) return n;
    for (int i = q->n_snapshots; i-- > 0;) {
        if (q->snapshot[i] <= n) return q->snapshot[i];
    }
    return 0;
}

/* The model's side of coming to `kept` tokens, for a cut and for a fork. */
static inline void model_cut(const kv_model *m, model_seq *q, int kept, bool rows_are_there)
{
    q->length = kept;
    q->reserved = 0;
    while (q->n_snapshots > 0 && q->snapshot[q->n_snapshots - 1] > kept) q->n_snapshots--;
    if (!rows_are_there) memset(q->gone, 0, sizeof q->gone);
    model_let_go(m, q);
}

static inline bool model_reserve(kv_model *m, model_seq *q, int n)
{
    uint64_t used = kv_pool_used(m->pool), block = 0, free_bytes = kv_pool_budget(m->pool) - used;
    for (int g = 0; g < m->layout.n_groups; g++) block += m->layout.group[g].block_bytes[KV_OPEN];
    uint64_t enough = ((uint64_t)n / KV_PAGE_TOKENS + 2) * block; /* a copied page and all new ones */
    unsigned before = mem_forbidden();
    mem_forbid(true);
    kvasir_status status = kv_seq_reserve(q->s, n);
    mem_forbid(false);
    MODEL_EXPECT(m, mem_forbidden() == before);
    if (n > q->max_tokens - q->length) {
        MODEL_EXPECT(m, status == KVASIR_E_CONTEXT);
    } else if (status != KVASIR_OK) {
        MODEL_EXPECT(m, status == KVASIR_E_MEMORY);
        MODEL_EXPECT(m, free_bytes < enough);
    } else if (n > q->reserved) {
        q->reserved = n;
    }
    if (status != KVASIR_OK) MODEL_EXPECT(m, kv_pool_used(m->pool) == used);
    return status == KVASIR_OK;
}

/* Makes room for n, writes all of it, commits `keep` of them. */
static inline void model_append(kv_model *m, model_seq *q, int n, int keep)
{
    if (!model_reserve(m, q, n)) return;
    model_write(m, q, q->length, n, m->clock);
    for (int i = 0; i < keep; i++) q->stamp[q->length + i] = m->clock + (uint32_t)i;
    m->clock += (uint32_t)n;
    unsigned before = mem_forbidden();
    mem_forbid(true);
    MODEL_EXPECT(m, kv_seq_commit(q->s, q->reserved + 1) == KVASIR_E_ARGUMENT);
    MODEL_EXPECT(m, kv_seq_commit(q->s, keep) == KVASIR_OK);
    mem_forbid(false);
    MODEL_EXPECT(m, mem_forbidden() == before);
    q->length += keep;
    q->reserved = 0;
    model_let_go(m, q);
}

static inline void model_fork(kv_model *m, const model_seq *from, model_seq *to, int at)
{
    bool there;
    int kept = model_kept(m, from, at, &there), got = -1;
    kvasir_status status = kv_seq_fork(from->s, at, &to->s, &got);
    if (at > from->length || from->reserved > 0) {
        MODEL_EXPECT(m, status == KVASIR_E_ARGUMENT);
        return;
    }
    MODEL_EXPECT(m, status == KVASIR_OK && got == kept);
    kv_seq *s = to->s;
    *to = *from;
    to->s = s;
    model_cut(m, to, kept, there);
}

static inline void model_truncate(kv_model *m, model_seq *q, int n)
{
    bool there;
    int kept = model_kept(m, q, n, &there), got = -1;
    kvasir_status status = kv_seq_truncate(q->s, n, &got);
    if (n > q->length) {
        MODEL_EXPECT(m, status == KVASIR_E_ARGUMENT);
        return;
    }
    MODEL_EXPECT(m, status == KVASIR_OK && got == kept);
    model_cut(m, q, kept, there);
}

static inline void model_snapshot(kv_model *m, model_seq *q, int keep)
{
    MODEL_EXPECT(m, kv_seq_snapshot(q->s, keep) == KVASIR_OK);
    bool has = q->n_snapshots > 0 && q->snapshot[q->n_snapshots - 1] == q->length;
    if (keep > 0 && !has) {
        if (q->n_snapshots == MODEL_SNAPSHOTS) {
            memmove(q->snapshot, q->snapshot + 1, sizeof q->snapshot - sizeof *q->snapshot);
            q->n_snapshots--;
        }
        q->snapshot[q->n_snapshots++] = q->length;
    }
    while (q->n_snapshots > keep) {
        memmove(q->snapshot, q->snapshot + 1, sizeof q->snapshot - sizeof *q->snapshot);
        q->n_snapshots--;
    }
}

static inline void model_step(kv_model *m)
{
    unsigned op = model_byte(m), a = model_byte(m), b = model_byte(m);
    model_seq *q = &m->seq[a % MODEL_SEQS];
    if (!q->s) {
        *q = (model_seq){.max_tokens = op % 2 ? MODEL_TOKENS : 1 + (int)(b * 97 % MODEL_TOKENS)};
        MODEL_EXPECT(m, kv_seq_create(m->pool, &m->layout, q->max_tokens, &q->s) == KVASIR_OK);
        m->done[0]++;
        return;
    }
    op %= 12;
    m->done[op < 5 ? 1 : op - 3 < 8 ? op - 3 : 1]++;
    if (op < 2)
        model_append(m, q, (int)b, (int)b);
    else if (op == 2)
        model_append(m, q, (int)(b % 4), (int)(b % 4));
    else if (op == 3)
        model_append(m, q, (int)b, (int)(b / 3));
    else if (op == 4)
        model_append(m, q, (int)(64 - (unsigned)q->length % 64 + b % 3), 1);
    else if (op < 7) {
        model_seq *to = &m->seq[(a / MODEL_SEQS) % MODEL_SEQS];
        if (!to->s) model_fork(m, q, to, op == 5 ? q->length : (int)((unsigned)q->length * b / 250));
    } else if (op == 7)
        model_truncate(m, q, (int)((unsigned)q->length * b / 250));
    else if (op == 8)
        model_truncate(m, q, q->length - (int)b % 70 > 0 ? q->length - (int)b % 70 : 0);
    else if (op == 9)
        model_snapshot(m, q, (int)(b % MODEL_SNAPSHOTS));
    else if (op == 10) {
        kv_seq_free(q->s);
        *q = (model_seq){0};
    } else if (model_reserve(m, q, (int)b)) { /* room that is written to and stays uncommitted */
        model_write(m, q, q->length, (int)b, m->clock);
        m->clock += b;
    }
}

/* Runs all of the bytes; false with m->wrong when model and cache do not agree. The first three choose layout
 * and budget. */
static inline bool model_run(kv_model *m, const uint8_t *bytes, size_t n)
{
    static const int windows[] = {0, 1, 2, 63, 64, 65, 66, 100, 128, 129, 200, 1000};
    enum { WINDOWS = sizeof windows / sizeof *windows };
    *m = (kv_model){.bytes = bytes, .n = n, .clock = 1};
    unsigned shape = model_byte(m), window = model_byte(m), blocks = model_byte(m);
    m->layer[0] =
        (kv_layer){.n_head_kv = 1 + (int)(shape >> 2 & 1), .k_dim = 3, .v_dim = 2, .window = windows[window % WINDOWS]};
    m->layer[1] = (kv_layer){.n_head_kv = shape >> 3 & 1, .k_dim = 1, .v_dim = 1};
    m->layer[2] = (kv_layer){
        .n_head_kv = 2, .k_dim = shape & 16 ? 12 : 2, .v_dim = 4, .window = shape & 32 ? windows[window % WINDOWS] : 0};
    if (shape & 64 && !(shape & 8)) m->layer[2].window = windows[window / WINDOWS % WINDOWS];
    kv_type k = shape & 1 ? KV_F16 : KV_F32, v = shape & 2 ? KV_F16 : KV_F32;
    MODEL_EXPECT(m, kv_layout_make(m->layer, MODEL_LAYERS, k, v, &m->layout) == KVASIR_OK);
    MODEL_EXPECT(m, kv_pool_create((uint64_t)blocks * 4096, &m->pool) == KVASIR_OK);
    while (m->at < m->n && !m->wrong[0]) {
        model_step(m);
        model_compare_all(m);
    }
    for (int i = 0; i < MODEL_SEQS; i++) {
        kv_seq_free(m->seq[i].s);
        m->seq[i].s = NULL;
        if (!m->wrong[0]) model_compare_all(m);
    }
    kv_pool_free(m->pool);
    kv_layout_free(&m->layout);
    return m->wrong[0] == 0;
}

#endif
