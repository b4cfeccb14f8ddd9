/* What a shape's rows take in this program's formats. Where the pool has a layout for them its numbers are taken; for
   rows that no engine of ours holds yet (compressed ones, K without V) the pages are counted as the pool would. */
#include "plan/bytes/bytes.h"

#include "base/checked.h"

#include <string.h>

enum { STREAMS_PER_LAYER = 4 };

static kvasir_status add_stream(plan_kv *kv, plan_stream s, bool is_v)
{
    if (s.n_heads == 0 || s.dim == 0) return KVASIR_OK;
    if (s.dim > ATTN_MAX_DIM)
        return fail(KVASIR_E_UNSUPPORTED, "layer %d has rows of %d elements; pages hold at most %d", s.layer, s.dim,
                    (int)ATTN_MAX_DIM);
    if (kv_type_packs(s.type) && s.dim % ATTN_LANES)
        return fail(KVASIR_E_ARGUMENT,
                    "KV type %s holds sizes that are multiples of %d, and layer %d has rows of %d elements",
                    kv_type_name(s.type), (int)ATTN_LANES, s.layer, s.dim);
    for (int f = 0; f < KV_FORMATS; f++) s.page_bytes[f] = kv_page_bytes(s.type, (kv_format)f, is_v, s.dim);
    kv->stream[kv->n_streams++] = s;
    return KVASIR_OK;
}

static kvasir_status add_layer(plan_kv *kv, const plan_layer *l, int il)
{
    plan_stream k = {.layer = il,
                     .n_heads = l->n_head_kv,
                     .dim = l->k_dim,
                     .window = l->window,
                     .ratio = 1,
                     .name = l->v_dim ? "k" : "kv",
                     .type = kv->type_k};
    plan_stream v = k, compressed = k, index = k;
    TRY(add_stream(kv, k, false));
    v.dim = l->v_dim;
    v.name = "v";
    v.type = kv->type_v;
    TRY(add_stream(kv, v, true));
    compressed.window = index.window = 0;
    compressed.ratio = l->ratio;
    compressed.name = "compressed";
    if (l->ratio) TRY(add_stream(kv, compressed, false));
    index.n_heads = 1;
    index.dim = l->index_dim;
    index.ratio = l->index_ratio;
    index.name = "index";
    return l->index_ratio ? add_stream(kv, index, false) : KVASIR_OK;
}

static bool plain(const plan_layer *l)
{
    return l->ratio == 0 && l->index_dim == 0 && (l->n_head_kv == 0 || l->v_dim > 0);
}

/* The pool's layout, where it has one. Its refusals are not errors: it may hold fewer kinds of windows or heads. */
static kvasir_status find_layout(plan_kv *kv, const plan_shape *s)
{
    for (int i = 0; i < s->n_layer; i++)
        if (!plain(&s->layer[i])) return KVASIR_OK;
    kv_layer *layers = mem_alloc((size_t)s->n_layer, sizeof *layers);
    if (!layers) return fail_memory((size_t)s->n_layer * sizeof *layers);
    for (int i = 0; i < s->n_layer; i++) {
        const plan_layer *l = &s->layer[i];
        layers[i] = (kv_layer){l->n_head_kv, l->k_dim, l->v_dim, l->window};
    }
    kvasir_status status = kv_layout_make(layers, s->n_layer, kv->type_k, kv->type_v, &kv->layout);
    mem_free(layers);
    kv->has_layout = status == KVASIR_OK;
    return status == KVASIR_E_MEMORY ? status : KVASIR_OK;
}

kvasir_status plan_kv_make(const plan_shape *s, kv_type k, kv_type v, arena *memory, plan_kv *out)
{
    size_t room = STREAMS_PER_LAYER * (size_t)s->n_layer;
    *out = (plan_kv){.type_k = k, .type_v = v, .stream = arena_alloc(memory, room, sizeof *out->stream)};
    if (!out->stream) return fail_memory(room * sizeof *out->stream);
    for (int i = 0; i < s->n_layer; i++) TRY(add_layer(out, &s->layer[i], i));
    return find_layout(out, s);
}

void plan_kv_free(plan_kv *kv)
{
    if (kv->has_layout) kv_layout_free(&kv->layout);
    *kv = (plan_kv){0};
}

static bool packs(const plan_kv *kv)
{
    return kv_type_packs(kv->type_k) || kv_type_packs(kv->type_v);
}

static uint64_t stream_bytes(const plan_kv *kv, const plan_stream *s, int n, int n_shared)
{
    uint64_t one = kv_pages_bytes(packs(kv), s->window, n / s->ratio, n_shared / s->ratio, s->page_bytes);
    return (uint64_t)s->n_heads * one;
}

uint64_t plan_stream_bytes(const plan_kv *kv, const plan_stream *s, int n)
{
    return stream_bytes(kv, s, n, n);
}

uint64_t plan_kv_bytes(const plan_kv *kv, int n, int n_shared)
{
    uint64_t sum = 0;
    if (kv->has_layout) return kv_layout_shared_bytes(&kv->layout, n, n_shared);
    for (int i = 0; i < kv->n_streams; i++) sum += stream_bytes(kv, &kv->stream[i], n, n_shared);
    return sum;
}

uint64_t plan_kv_total(const plan_kv *kv, int n, int users, int n_shared)
{
    uint64_t one = plan_kv_bytes(kv, n, n);
    if (users == 1 || n_shared == 0) return (uint64_t)users * one;
    uint64_t shared = plan_kv_bytes(kv, n, min_int(n_shared, n));
    return shared + (uint64_t)users * (one - shared);
}

uint64_t plan_kv_marks(const plan_kv *kv, int n, int users)
{
    uint64_t sum = 0;
    if (kv->has_layout) return (uint64_t)users * kv_layout_snapshot_bytes(&kv->layout, n);
    for (int i = 0; i < kv->n_streams; i++) {
        const plan_stream *s = &kv->stream[i];
        sum += (uint64_t)s->n_heads * kv_pages_snapshot_bytes(packs(kv), s->window, n / s->ratio, s->page_bytes);
    }
    return (uint64_t)users * sum;
}

/* Closed pages of 64 tokens in every stream. */
static uint64_t closing_bytes(const plan_kv *kv)
{
    uint64_t sum = 0;
    if (kv->has_layout)
        for (int g = 0; g < kv->layout.n_groups; g++) sum += kv->layout.group[g].block_bytes[KV_CLOSED];
    else
        for (int i = 0; i < kv->n_streams; i++)
            sum += (uint64_t)kv->stream[i].n_heads * kv->stream[i].page_bytes[KV_CLOSED];
    return sum;
}

/* The last page to be packed was open until then, and its closed form beside it. */
uint64_t plan_kv_peak(const plan_kv *kv, int n, int users, int n_shared, int n_marks)
{
    int full = n / KV_PAGE_TOKENS * KV_PAGE_TOKENS;
    uint64_t end = plan_kv_total(kv, n, users, n_shared), marks = (uint64_t)n_marks * plan_kv_marks(kv, n, users);
    if (full == 0 || !packs(kv)) return end + marks;
    uint64_t before = plan_kv_total(kv, full - 1, users, n_shared) + (uint64_t)users * closing_bytes(kv);
    return marks + (before > end ? before : end);
}

int plan_kv_max_tokens(const plan_kv *kv, uint64_t room, int users, int n_shared, int n_marks)
{
    int low = 0, high = KV_MAX_CONTEXT / KV_PAGE_TOKENS; /* in pages: `low` fits */
    if (kv->n_streams == 0) return KV_MAX_CONTEXT;
    if (kv->has_layout && users == 1) return kv_layout_max_tokens(&kv->layout, room, n_marks);
    while (low < high) {
        int middle = low + (high - low + 1) / 2;
        if (plan_kv_peak(kv, middle * KV_PAGE_TOKENS, users, n_shared, n_marks) <= room)
            low = middle;
        else
            high = middle - 1;
    }
    return low * KV_PAGE_TOKENS;
}
