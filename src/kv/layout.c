/* The layout: from what a model says about its layers to bytes. Pure; every number about KV memory comes from here. */
#include "kv/kv_internal.h"
#include "base/mem.h"
#include "base/status.h"
#include "ops/ops.h"

#include <string.h>

enum {
    MAX_HEADS = 4096,
    MAX_HEAD_DIM = 576, /* that of MLA's rows: 512 + 64 */
    PACK = ATTN_LANES,  /* heads that q8 and q4 hold are multiples of this */
    BLOCK_ALIGN = 4096,
    MOST_RUN = OPS_SPAN_PAGES, /* what attention takes in one go */
    RUN_BYTES = 16 << 20       /* a run becomes memory as a whole where the system gives large pages */
};

/* ---- types */

const char *kv_type_name(kv_type t)
{
    switch (t) {
#define X(id, name, other)                                                                                             \
    case KV_##id:                                                                                                      \
        return name;
        KV_TYPE_MAP(X)
#undef X
    default:
        return "?";
    }
}

static bool type_from(const char *text, size_t n, kv_type *out)
{
    static const struct {
        const char *name, *other;
        kv_type type;
    } known[] = {
#define X(id, name, other) {name, other, KV_##id},
        KV_TYPE_MAP(X)
#undef X
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const char *const names[] = {known[i].name, known[i].other};
        for (int j = 0; j < 2; j++) {
            if (strlen(names[j]) == n && memcmp(names[j], text, n) == 0) {
                *out = known[i].type;
                return true;
            }
        }
    }
    return false;
}

kvasir_status kv_type_parse(const char *text, kv_type *k, kv_type *v)
{
    const char *colon = strchr(text, ':');
    size_t n_k = colon ? (size_t)(colon - text) : strlen(text);
    const char *second = colon ? colon + 1 : text;
    kv_type type_k, type_v;
    const bool has_k = type_from(text, n_k, &type_k), has_v = type_from(second, strlen(second), &type_v);
    if (!has_k || !has_v) { /* the half that is wrong is named, but of three parts all */
        const bool whole = strchr(second, ':') && has_k;
        return fail(KVASIR_E_ARGUMENT,
                    "KV type %s is unknown; there are f32, f16, q8 and q4, or two of them for K and V as in q8:q4",
                    whole    ? quoted(text, strlen(text))
                    : !has_k ? quoted(text, n_k)
                             : quoted(second, strlen(second)));
    }
    *k = type_k;
    *v = type_v;
    return KVASIR_OK;
}

bool kv_type_packs(kv_type t)
{
    return t == KV_Q8 || t == KV_Q4;
}

bool kv_packs(const kv_layout *l)
{
    return kv_type_packs(l->type_k) || kv_type_packs(l->type_v);
}

/* ---- pages */

attn_format kv_attn_format(kv_type type, kv_format format)
{
    if (type == KV_F32) return ATTN_F32;
    if (type == KV_F16 || format == KV_OPEN) return ATTN_F16;
    return type == KV_Q8 ? ATTN_Q8 : ATTN_Q4;
}

size_t kv_page_bytes(kv_type type, kv_format format, bool is_v, int head_dim)
{
    return attn_page_bytes(kv_attn_format(type, format), is_v, head_dim);
}

/* ---- making a layout */

static kvasir_status check_layer(const kv_layer *in, int layer, kv_type k, kv_type v)
{
    if (in->n_head_kv < 0 || in->n_head_kv > MAX_HEADS) {
        return fail(KVASIR_E_FORMAT, "layer %d has %d KV heads; the limit is %d", layer, in->n_head_kv, MAX_HEADS);
    }
    if (in->n_head_kv == 0) return KVASIR_OK;
    if (in->window < 0) return fail(KVASIR_E_FORMAT, "layer %d has an attention window of %d", layer, in->window);
    const int dims[] = {in->k_dim, in->v_dim};
    const kv_type types[] = {k, v};
    for (int i = 0; i < 2; i++) {
        if (dims[i] < 1 || dims[i] > MAX_HEAD_DIM) {
            return fail(KVASIR_E_FORMAT, "layer %d has %s heads of %d elements; the limit is %d", layer, i ? "V" : "K",
                        dims[i], MAX_HEAD_DIM);
        }
        if (kv_type_packs(types[i]) && dims[i] % PACK) {
            return fail(KVASIR_E_ARGUMENT,
                        "KV type %s holds head sizes that are multiples of %d, and layer %d has %s heads of "
                        "%d elements; "
                        "f16 and f32 hold every size",
                        kv_type_name(types[i]), PACK, layer, i ? "V" : "K", dims[i]);
        }
    }
    return KVASIR_OK;
}

/* The full group comes first, then the windows as they appear. */
static kvasir_status collect_groups(const kv_layer *layers, int n_layers, kv_layout *out)
{
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < n_layers; i++) {
            int window = layers[i].window, g = 0;
            if (layers[i].n_head_kv == 0 || (window != 0) != pass) continue;
            while (g < out->n_groups && out->group[g].window != window) g++;
            if (g == KV_GROUPS) {
                return fail(KVASIR_E_UNSUPPORTED,
                            "layer %d has an attention window of %d; at most %d kinds are supported", i, window,
                            KV_GROUPS);
            }
            if (g == out->n_groups) out->group[out->n_groups++] = (kv_group){.window = window};
        }
    }
    return KVASIR_OK;
}

static kv_stream *add_stream(kv_layout *l, int layer, bool is_v, const kv_layer *in)
{
    kv_stream *s = &l->stream[l->n_streams++];
    *s = (kv_stream){.layer = layer,
                     .is_v = is_v,
                     .n_heads = in->n_head_kv,
                     .head_dim = is_v ? in->v_dim : in->k_dim,
                     .window = in->window,
                     .type = is_v ? l->type_v : l->type_k};
    while (l->group[s->group].window != s->window) s->group++;
    l->group[s->group].n_streams++;
    for (int f = 0; f < KV_FORMATS; f++) s->page_bytes[f] = kv_page_bytes(s->type, (kv_format)f, is_v, s->head_dim);
    return s;
}

/* Adds a layer's streams, as they lie in a block outside of any run. A group's piece_bytes become 0 where
   its layers differ. */
static void add_layer(kv_layout *l, int layer, const kv_layer *in)
{
    kv_stream *k = add_stream(l, layer, false, in), *v = add_stream(l, layer, true, in);
    kv_group *g = &l->group[k->group];
    for (int f = 0; f < KV_FORMATS; f++) {
        size_t piece = k->page_bytes[f] + v->page_bytes[f];
        if (g->block_bytes[f] == 0) g->piece_bytes[f] = piece;
        if (g->piece_bytes[f] != piece) g->piece_bytes[f] = 0;
        k->offset[f] = g->block_bytes[f];
        v->offset[f] = g->block_bytes[f] + k->page_bytes[f];
        k->head_stride[f] = v->head_stride[f] = piece;
        g->block_bytes[f] += (size_t)in->n_head_kv * piece;
    }
}

/* Where full pages are packed few blocks are open: a run of them would be memory that nobody needs. */
static int run_of(const kv_layout *l, const kv_group *g, kv_format f)
{
    if (g->piece_bytes[f] == 0 || (f == KV_OPEN && kv_packs(l))) return 1;
    return max_int(1, (int)min_size(MOST_RUN, RUN_BYTES / g->block_bytes[f]));
}

/* Rounds the blocks up, and moves their pieces apart: between two of them there must be room for the same piece of the
   other blocks of a run. */
static void settle_blocks(kv_layout *l)
{
    for (int i = 0; i < l->n_groups; i++) {
        kv_group *g = &l->group[i];
        for (int f = 0; f < KV_FORMATS; f++) {
            g->block_bytes[f] = align_up(g->block_bytes[f], BLOCK_ALIGN);
            g->run[f] = run_of(l, g, (kv_format)f);
            if (g->piece_bytes[f] == 0) g->piece_bytes[f] = g->block_bytes[f];
        }
    }
    for (int i = 0; i < l->n_streams; i++) {
        kv_stream *s = &l->stream[i];
        for (int f = 0; f < KV_FORMATS; f++) {
            size_t run = (size_t)l->group[s->group].run[f], in_piece = s->is_v ? s[-1].page_bytes[f] : 0;
            s->offset[f] = (s->offset[f] - in_piece) * run + in_piece;
            s->head_stride[f] *= run;
        }
    }
}

kvasir_status kv_layout_make(const kv_layer *layers, int n_layers, kv_type k, kv_type v, kv_layout *out)
{
    *out = (kv_layout){.type_k = k, .type_v = v, .n_layers = n_layers};
    if (n_layers < 0 || n_layers > KV_MAX_LAYERS) {
        return fail(KVASIR_E_FORMAT, "the model has %d layers; the limit is %d", n_layers, KV_MAX_LAYERS);
    }
    for (int i = 0; i < n_layers; i++) TRY(check_layer(&layers[i], i, k, v));
    TRY(collect_groups(layers, n_layers, out));
    out->stream = mem_alloc(2 * (size_t)n_layers, sizeof *out->stream);
    out->k_stream = mem_alloc((size_t)n_layers, sizeof *out->k_stream);
    if (!out->stream || !out->k_stream) {
        kv_layout_free(out);
        return fail_memory((size_t)n_layers * (2 * sizeof *out->stream + sizeof *out->k_stream));
    }
    for (int i = 0; i < n_layers; i++) {
        out->k_stream[i] = -1;
        if (layers[i].n_head_kv == 0) continue;
        out->k_stream[i] = out->n_streams;
        add_layer(out, i, &layers[i]);
    }
    settle_blocks(out);
    return KVASIR_OK;
}

void kv_layout_free(kv_layout *l)
{
    mem_free(l->stream);
    mem_free(l->k_stream);
    *l = (kv_layout){0};
}

/* ---- sizes of sequences */

uint64_t kv_pages_bytes(bool packs, int window, int n_tokens, int below, const size_t bytes[KV_FORMATS])
{
    int first = kv_first_page(n_tokens, window), end = below < n_tokens ? below / KV_PAGE_TOKENS : kv_pages(n_tokens);
    if (first >= end) return 0;
    uint64_t pages = (uint64_t)(end - first), open = pages;
    if (packs) { /* page 0 and the page being filled are open, the rest is closed */
        int first_closed = max_int(first, 1), end_closed = min_int(end, n_tokens / KV_PAGE_TOKENS);
        open -= (uint64_t)max_int(end_closed - first_closed, 0);
    }
    return open * bytes[KV_OPEN] + (pages - open) * bytes[KV_CLOSED];
}

uint64_t kv_layout_bytes(const kv_layout *l, int n_tokens)
{
    return kv_layout_shared_bytes(l, n_tokens, n_tokens);
}

uint64_t kv_layout_shared_bytes(const kv_layout *l, int n_tokens, int n_shared)
{
    uint64_t sum = 0;
    for (int g = 0; g < l->n_groups; g++)
        sum += kv_pages_bytes(kv_packs(l), l->group[g].window, n_tokens, n_shared, l->group[g].block_bytes);
    return sum;
}

uint64_t kv_layout_read_bytes(const kv_layout *l, int n_tokens)
{
    uint64_t sum = 0;
    for (int i = 0; i < l->n_streams; i++) {
        const kv_stream *s = &l->stream[i];
        sum += (uint64_t)s->n_heads * kv_pages_bytes(kv_packs(l), s->window, n_tokens, n_tokens, s->page_bytes);
    }
    return sum;
}

/* A snapshot holds at most as many window pages as a sequence does. Of these, the ones that the sequence has let go of,
   or packed since, are held by the snapshot alone. */
uint64_t kv_pages_snapshot_bytes(bool packs, int window, int n_tokens, const size_t bytes[KV_FORMATS])
{
    int gone = kv_first_page(n_tokens, window), packed = packs && n_tokens >= 2 * KV_PAGE_TOKENS;
    if (gone == 0) return packed ? bytes[KV_OPEN] : 0;
    int most = (window + KV_PAGE_TOKENS - 2) / KV_PAGE_TOKENS + 1; /* pages that a window touches */
    uint64_t pages = (uint64_t)min_int(most - packed, gone);
    if (!packs) return pages * bytes[KV_OPEN];
    uint64_t page_0 = pages > 0 && bytes[KV_OPEN] > bytes[KV_CLOSED] ? bytes[KV_OPEN] - bytes[KV_CLOSED] : 0;
    return pages * bytes[KV_CLOSED] + page_0 + (packed ? bytes[KV_OPEN] : 0);
}

uint64_t kv_layout_snapshot_bytes(const kv_layout *l, int n_tokens)
{
    uint64_t sum = 0;
    for (int g = 0; g < l->n_groups; g++)
        sum += kv_pages_snapshot_bytes(kv_packs(l), l->group[g].window, n_tokens, l->group[g].block_bytes);
    return sum;
}

double kv_layout_bytes_per_token(const kv_layout *l)
{
    for (int g = 0; g < l->n_groups; g++) {
        if (l->group[g].window == 0) return (double)l->group[g].block_bytes[KV_CLOSED] / KV_PAGE_TOKENS;
    }
    return 0;
}

/* The bytes that a sequence with snapshots needs to reach n tokens one by one. The token that fills a page needs its open
   and its closed block at once. */
static uint64_t bytes_to_reach(const kv_layout *l, int n, int n_snapshots)
{
    uint64_t held = n_snapshots > 0 ? (uint64_t)n_snapshots * kv_layout_snapshot_bytes(l, n) : 0;
    if (n == 0 || kv_closing_page(kv_packs(l), n - 1, n) < 0) return held + kv_layout_bytes(l, n);
    uint64_t bytes = held + kv_layout_bytes(l, n - 1);
    for (int g = 0; g < l->n_groups; g++) bytes += l->group[g].block_bytes[KV_CLOSED];
    return bytes;
}

/* The most of the lengths a..b. */
static uint64_t most_in(const kv_layout *l, int a, int b, int n_snapshots)
{
    uint64_t most = 0;
    for (int n = max_int(a, 0); n <= b; n++) {
        uint64_t bytes = bytes_to_reach(l, n, n_snapshots);
        if (bytes > most) most = bytes;
    }
    return most;
}

/* Bytes fall only where a page closes, which 64 lengths show, and where a window leaves page 0 behind. */
uint64_t kv_layout_peak_bytes(const kv_layout *l, int n_tokens, int n_snapshots)
{
    uint64_t most = most_in(l, n_tokens - KV_PAGE_TOKENS, n_tokens, n_snapshots);
    for (int g = 0; g < l->n_groups; g++) {
        int window = l->group[g].window;
        if (window == 0 || window > n_tokens - KV_PAGE_TOKENS) continue;
        uint64_t there = most_in(l, window - 2, window + KV_PAGE_TOKENS - 1, n_snapshots);
        if (there > most) most = there;
    }
    return most;
}

/* The first length in a..b (inclusive) that takes more than `budget`, or b + 1. Between a and b, 64 more tokens never
   take fewer bytes. So the largest of 64 neighbouring lengths grows, and can be found by bisection. */
static int first_over(const kv_layout *l, uint64_t budget, int n_snapshots, int a, int b)
{
    int low = 0, high = (b - a + 1) / KV_PAGE_TOKENS; /* whole runs of 64 lengths; `low` ends as the first one over */
    while (low < high) {
        int middle = low + (high - low) / 2, from = a + middle * KV_PAGE_TOKENS;
        bool over = false;
        for (int n = from; n < from + KV_PAGE_TOKENS && !over; n++) over = bytes_to_reach(l, n, n_snapshots) > budget;
        if (over)
            high = middle;
        else
            low = middle + 1;
    }
    int n = a + low * KV_PAGE_TOKENS;
    while (n <= b && bytes_to_reach(l, n, n_snapshots) <= budget) n++;
    return n;
}

/* A sequence grows through all shorter lengths, so all of them have to fit. The bytes fall only where a window
   leaves page 0 behind (it is open, the pages after it may be packed). Between these lengths the range is searched
   piece by piece. */
int kv_layout_max_tokens(const kv_layout *l, uint64_t budget, int n_snapshots)
{
    int from = 0;
    for (;;) {
        int to = KV_MAX_CONTEXT;
        for (int g = 0; g < l->n_groups; g++) {
            int window = l->group[g].window;
            if (window == 0 || window > KV_MAX_CONTEXT - KV_PAGE_TOKENS) continue;
            int first_without_page_0 = window + KV_PAGE_TOKENS - 1; /* reached from a length that still has it */
            if (first_without_page_0 >= from) to = min_int(to, first_without_page_0);
        }
        int over = first_over(l, budget, n_snapshots, from, to);
        if (over <= to) return over - 1;
        if (to == KV_MAX_CONTEXT) return to;
        from = to + 1;
    }
}
