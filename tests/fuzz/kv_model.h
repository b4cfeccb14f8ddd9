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

/* Writes the token's rows (or compares with them) in one head's page; false when they differ. A closed page of a type
   that packs stands for 64 tokens together: the model keeps sixteen bits of each in it. */
static inline bool model_head(const kv_stream *s, kv_format format, void *rows, int t, int head, uint32_t stamp,
                              bool write)
{
    attn_format f = kv_attn_format(s->type, format);
    bool packed = f == ATTN_Q8 || f == ATTN_Q4;
    for (int d = 0; d < (packed ? 1 : s->head_dim); d++) {
        int i = packed ? t : s->is_v ? t * s->head_dim + d : d * KV_PAGE_TOKENS + t;
        uint32_t value = model_value(stamp, s, head, d);
        if (f == ATTN_F32) {
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
    return true;
}

static inline bool model_row(const kv_view *view, const kv_stream *s, int pos, uint32_t stamp, bool write)
{
    int page = pos / KV_PAGE_TOKENS, t = pos % KV_PAGE_TOKENS;
    bool same = true;
    for (int head = 0; head < s->n_heads; head++)
        same &= model_head(s, (kv_format)view->closed[page], kv_page(view, s, page, head), t, head, stamp, write);
    return same;
}

/* The closed form of the page that the sequence's length lies in: its 64 tokens. */
static inline void model_close(const kv_view *view, const kv_stream *s, const model_seq *q)
{
    int first = q->length / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
    for (int head = 0; head < s->n_heads; head++) {
        void *rows = view->closing + s->offset[KV_CLOSED] + (size_t)head * s->head_stride[KV_CLOSED];
        for (int t = 0; t < KV_PAGE_TOKENS; t++)
            (void)model_head(s, KV_CLOSED, rows, t, head, q->stamp[first + t], true);
    }
}

/* Rows of n tokens after the sequence's length in all layers. */
static inline void model_write(kv_model *m, model_seq *q, int n, uint32_t stamp)
{
    for (int i = 0; i < n; i++) q->stamp[q->length + i] = stamp + (uint32_t)i;
    for (int layer = 0; layer < m->layout.n_layers; layer++) {
        kv_view view = kv_seq_view(q->s, layer);
        for (int i = 0; view.k && i < n; i++) {
            (void)model_row(&view, view.k, q->length + i, stamp + (uint32_t)i, true);
            (void)model_row(&view, view.v, q->length + i, stamp + (uint32_t)i, true);
        }
        if (view.k && view.closing && q->length % KV_PAGE_TOKENS + n >= KV_PAGE_TOKENS) {
            model_close(&view, view.k, q);
            model_close(&view, view.v, q);
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

static inline bool model_packs(const kv_model *m)
{
    return m->layout.type_k >= KV_Q8 || m->layout.type_v >= KV_Q8;
}

/* Whether the sequence still has what one of n tokens holds. */
static inline bool model_has(const kv_model *m, const model_seq *q, int n)
{
    int page = n / KV_PAGE_TOKENS;
    for (int g = 0; g < m->layout.n_groups; g++) {
        int window = m->layout.group[g].window, need = window && n >= window ? n - window + 1 : 0;
        if (need < q->gone[g] * KV_PAGE_TOKENS) return false;
    }
    /* A packed page is not opened again. */
    return !model_packs(m) || n % KV_PAGE_TOKENS == 0 || page == 0 || page == q->length / KV_PAGE_TOKENS;
}

/* What a cut to n leaves: n where everything is there, else the nearest of the newest snapshot up to n, the start of
 * n's page, and nothing. */
static inline int model_kept(const kv_model *m, const model_seq *q, int n, bool *rows_are_there)
{
    int start = n / KV_PAGE_TOKENS * KV_PAGE_TOKENS, kept = 0;
    *rows_are_there = model_has(m, q, n);
    if (*rows_are_there) return n;
    for (int i = q->n_snapshots; i-- > 0 && kept == 0;) {
        if (q->snapshot[i] <= n) kept = q->snapshot[i];
    }
    if (kept > start || !model_has(m, q, start)) return kept;
    *rows_are_there = true;
    return start;
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
    /* Room that was reserved before counts among the used bytes, and is enough for as many tokens. */
    uint64_t enough = ((uint64_t)n / KV_PAGE_TOKENS + 3) * block; /* a copied page, a closed one, all new ones */
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

/* Makes room for n, writes all of it, commits `keep` of them; types that pack commit all of the room or nothing. */
static inline void model_append(kv_model *m, model_seq *q, int n, int keep)
{
    if (!model_reserve(m, q, n)) return;
    if (model_packs(m)) n = q->reserved;
    model_write(m, q, n, m->clock);
    m->clock += (uint32_t)n;
    unsigned before = mem_forbidden();
    mem_forbid(true);
    if (model_packs(m) && keep > 0 && keep < n) {
        MODEL_EXPECT(m, kv_seq_commit(q->s, keep) == KVASIR_E_ARGUMENT);
        keep = keep % 2 ? n : 0;
    } else if (model_packs(m) && keep > 0) {
        keep = n;
    }
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
        model_write(m, q, q->reserved, m->clock);
        m->clock += (unsigned)q->reserved;
    }
}

/* Runs all of the bytes; false with m->wrong when model and cache do not agree. The first three choose
   layout and budget. */
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
    if (shape & 128) { /* types that pack, at least one of them */
        for (int i = 0; i < MODEL_LAYERS; i++) m->layer[i].k_dim = m->layer[i].v_dim = ATTN_LANES;
        k = shape & 1 ? KV_Q8 : KV_Q4;
        v = (const kv_type[]){KV_Q8, KV_Q4, KV_F16, KV_F32}[shape >> 1 & 3];
    }
    MODEL_EXPECT(m, kv_layout_make(m->layer, MODEL_LAYERS, k, v, &m->layout) == KVASIR_OK);
    MODEL_EXPECT(m, kv_pool_create((uint64_t)blocks * (shape & 128 ? 16384 : 4096), &m->pool) == KVASIR_OK);
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
