/* The matrix products of kernels/linear.h, written once over vectors of panel rows and compiled once per
   instruction set: x86/avx512_linear.c, x86/avx2_linear.c, arm/neon_linear.c and arm/dotprod_linear.c define
   what is listed here and then include this file. All levels thus follow the same steps by construction.

   A tile is TILE_PANELS panels times up to TILE_ACTS rows of activations, whose sums stay in registers while
   the panels' blocks go by. A single row of activations, which is to run at the memory's speed, takes one
   panel of a quantised kind at a time (one stream through the weights; the integer sums of many blocks
   overlap), and FLOAT_PANELS of a float kind, whose sums are one long chain per row. The tile functions take
   the kind and the tile's size as constants and are inlined into one small function per kind and size, so
   loops unroll and decisions vanish.

   The including file gives

     INLINE                    static inline, always inlined
     ROWS                      panel rows in a vector: 16, 8 or 4; a panel is 16/ROWS vectors
     TILE_PANELS, TILE_ACTS, FLOAT_PANELS

     ivec                      ROWS words of 4 bytes
     i_load(p)                 no alignment
     i_set(x)                  a 32-bit number in every word
     i_add, i_and(a, b)        words
     i_shr, i_shl, i_sar(x, n) words; n may vary
     i_rotl(x, n)              words, by n modulo 32
     i_merge(a, b, mask)       a | (b & mask)
     i_sub8(a, b)              bytes
     i_fifth(u, bits, j)       u (< 16) with 16 added to byte i of a word where bit 4j+i of `bits` is set

     fvec                      ROWS floats
     f_set, f_mul, f_neg, f_load, f_store
     f_fma(a, b, c)            a*b + c rounded once
     f_load_half, f_load_bf16  ROWS f16 or bf16, widened
     f_low_half, f_high_half   the f16 in the lower or upper half of each word of an ivec
     f_from_i                  of an ivec

     dots                      running sums of products, possibly narrower than 32 bits
     dots_signed(kind)         products take w as signed bytes (the centre subtracted), not u as unsigned
     dots_run(kind)            how many additions fit
     dots_start(t)             no products yet; where dots are as wide as t, t itself
     dots_add(kind, s, w, x)   per row, adds the products of the four bytes of w and of x
     dots_fold(t, s)           t plus the sums of s, for the s that was started with t */
#ifndef KVASIR_KERNELS_LINEAR_TILE_H
#define KVASIR_KERNELS_LINEAR_TILE_H

#include "base/checked.h"
#include "kernels/levels.h"
#include "kernels/linear.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 16")

enum {
    WORD_BYTES = 4 * PANEL_ROWS,    /* one word of each of a panel's rows */
    PANEL_VECS = PANEL_ROWS / ROWS, /* vectors per panel */
    MAX_VECS = (FLOAT_PANELS > TILE_PANELS ? FLOAT_PANELS : TILE_PANELS) * PANEL_VECS,
    PREFETCH_AHEAD = 8192, /* bytes, for a single row of activations */
    ACT_CACHE = 384 << 10, /* activations that stay in the second-level cache */
    FLOAT_BLOCK = 2048     /* elements of k for float kinds */
};

/* What a tile works on; strides in bytes. A panel may be named twice (the last tile of an odd number). */
typedef struct tile_job {
    const uint8_t *panel[MAX_VECS];
    float *out[MAX_VECS]; /* first row of activations, one per panel */
    const uint8_t *acts;
    size_t ld_act, ld_out; /* ld_out in floats */
    int k;
    bool resume; /* float kinds: the sums so far are in out */
} tile_job;

typedef void tile_fn(const tile_job *job);

/* ---- kinds (layouts: ref/panel.c) ---- */

INLINE bool is_super(panel_kind kind)
{
    return kind == PANEL_Q4_K || kind == PANEL_Q5_K || kind == PANEL_Q6_K;
}

INLINE bool is_affine(panel_kind kind)
{
    return kind == PANEL_Q4_1 || kind == PANEL_Q5_1 || kind == PANEL_Q4_K || kind == PANEL_Q5_K;
}

/* w = u - centre */
INLINE int centre(panel_kind kind)
{
    return kind == PANEL_Q4_0 ? 8 : kind == PANEL_Q5_0 ? 16 : kind == PANEL_Q8_0 ? 128 : kind == PANEL_Q6_K ? 32 : 0;
}

/* 4-byte words per row in a block of the file. */
INLINE int unit_words(panel_kind kind)
{
    return kind == PANEL_Q4_0   ? 4
           : kind == PANEL_Q4_1 ? 5
           : kind == PANEL_Q5_0 ? 5
           : kind == PANEL_Q5_1 ? 6
           : kind == PANEL_Q8_0 ? 8
           : kind == PANEL_Q4_K ? 36
           : kind == PANEL_Q5_K ? 44
                                : 52;
}

/* The lone f16 after the words. */
INLINE bool has_half(panel_kind kind)
{
    return kind == PANEL_Q4_0 || kind == PANEL_Q5_0 || kind == PANEL_Q8_0 || kind == PANEL_Q6_K;
}

INLINE int unit_bytes(panel_kind kind)
{
    return (unit_words(kind) * 4 + (has_half(kind) ? 2 : 0)) * PANEL_ROWS;
}

/* One vector's view of a unit: its words and its lone f16s. */
typedef struct unit_view {
    const uint8_t *words, *halves;
} unit_view;

INLINE unit_view view_unit(panel_kind kind, const uint8_t *unit, int vec)
{
    const int row = vec % PANEL_VECS * ROWS;
    return (unit_view){unit + row * 4, unit + unit_words(kind) * WORD_BYTES + row * 2};
}

INLINE ivec word(unit_view v, size_t i)
{
    return i_load(v.words + i * WORD_BYTES);
}

INLINE ivec nibbles(unit_view v, size_t i, bool high)
{
    ivec x = word(v, i);
    return i_and(high ? i_shr(x, 4) : x, i_set(0x0f0f0f0f));
}

/* u of elements 4j..4j+3 of sub-block 4*half + q (half and q are 0 for blocks of 32). */
INLINE ivec stored_word(panel_kind kind, unit_view v, size_t half, int q, int j)
{
    const size_t i = (size_t)(j % 4), in_half = (size_t)(j + q % 2 * 8), in_pair = (size_t)(j + q / 2 * 8);
    const bool high = j >= 4;
    switch (kind) {
    case PANEL_Q4_0:
        return nibbles(v, i, high);
    case PANEL_Q4_1:
        return nibbles(v, 1 + i, high);
    case PANEL_Q5_0:
        return i_fifth(nibbles(v, 1 + i, high), word(v, 0), j);
    case PANEL_Q5_1:
        return i_fifth(nibbles(v, 2 + i, high), word(v, 1), j);
    case PANEL_Q8_0:
        return word(v, (size_t)j);
    case PANEL_Q4_K:
        return nibbles(v, 4 + 16 * half + in_pair, q % 2);
    case PANEL_Q5_K:
        return i_merge(nibbles(v, 12 + 16 * half + in_pair, q % 2),
                       i_rotl(word(v, 4 + (size_t)j), 4 - q - 4 * (int)half), i_set(0x10101010));
    default: /* Q6_K */
        return i_merge(nibbles(v, 16 * half + in_half, q >= 2), i_rotl(word(v, 32 + 8 * half + (size_t)j), 4 - 2 * q),
                       i_set(0x30303030));
    }
}

INLINE ivec weight_word(panel_kind kind, unit_view v, size_t half, int q, int j)
{
    ivec u = stored_word(kind, v, half, q, j);
    if (!dots_signed(kind) || centre(kind) == 0) return u;
    return i_sub8(u, i_set((int32_t)((unsigned)centre(kind) * 0x01010101u)));
}

/* What the sub-blocks of a super-block share: its f16 scales (-dmin as m), and the 6-bit numbers spread to
   bytes: [half][0] are the scales of sub-blocks 4*half.., [half][1] the minimums. */
typedef struct unit_head {
    fvec d, m;
    ivec packed[2][2];
} unit_head;

INLINE void read_head(panel_kind kind, unit_view v, unit_head *head)
{
    const ivec low4 = i_set(0x0f0f0f0f), low6 = i_set(0x3f3f3f3f), top2 = i_set(0x30303030);
    if (has_half(kind)) {
        head->d = f_load_half(v.halves);
        return;
    }
    head->d = f_low_half(word(v, 0));
    head->m = f_high_half(word(v, 0));
    if (!is_super(kind)) return;
    head->m = f_neg(head->m);
    ivec scales = word(v, 1), mins = word(v, 2), both = word(v, 3);
    head->packed[0][0] = i_and(scales, low6);
    head->packed[0][1] = i_and(mins, low6);
    head->packed[1][0] = i_merge(i_and(both, low4), i_shr(scales, 2), top2);
    head->packed[1][1] = i_merge(i_and(i_shr(both, 4), low4), i_shr(mins, 2), top2);
}

INLINE fvec byte_times(ivec packed, int i, fvec d)
{
    return f_mul(d, f_from_i(i_and(i_shr(packed, 8 * i), i_set(0xff))));
}

/* The scale of group g of sub-block 4*half + q. */
INLINE fvec group_scale(panel_kind kind, unit_view v, const unit_head *head, size_t half, int q, int g)
{
    if (kind == PANEL_Q6_K) {
        ivec scales = word(v, 48 + 2 * half + (size_t)(q / 2));
        return f_mul(head->d, f_from_i(i_sar(i_shl(scales, 24 - 8 * (2 * (q % 2) + g)), 24)));
    }
    return is_super(kind) ? byte_times(head->packed[half][0], q, head->d) : head->d;
}

INLINE fvec block_offset(panel_kind kind, const unit_head *head, size_t half, int q)
{
    return is_super(kind) ? byte_times(head->packed[half][1], q, head->m) : head->m;
}

/* ---- the tile of the quantised kinds ---- */

/* What products of unsigned weights have too much: minus the centre times the sum of a group's activations.
 */
INLINE ivec centre_term(panel_kind kind, const act_block *a, int g)
{
    if (dots_signed(kind) || centre(kind) == 0) return i_set(0);
    ivec sum = kind == PANEL_Q6_K ? i_set(a->minus_sum[g]) : i_add(i_set(a->minus_sum[0]), i_set(a->minus_sum[1]));
    return i_shl(sum, __builtin_ctz((unsigned)centre(kind)));
}

/* Adds elements [32 (4 half + q)] of a unit: acc[v][n] += block of vector v * activation block a[n]. */
INLINE void add_block(panel_kind kind, int n_vecs, int n_act, const unit_view *unit, const unit_head *head, size_t half,
                      int q, const uint8_t *acts, size_t ld_act, fvec acc[][TILE_ACTS])
{
    const int groups = kind == PANEL_Q6_K ? 2 : 1, n_words = 8 / groups;
    const int run = min_int(dots_run(kind), n_words);
#define ACT(n) ((const act_block *)(const void *)(acts + (size_t)(n)*ld_act))
    UNROLL for (int g = 0; g < groups; g++)
    {
        ivec sum[MAX_VECS][TILE_ACTS];
        dots part[MAX_VECS][TILE_ACTS];
        UNROLL for (int n = 0; n < n_act; n++)
        {
            ivec start = centre_term(kind, ACT(n), g);
            UNROLL for (int v = 0; v < n_vecs; v++) sum[v][n] = start;
        }
        UNROLL for (int j = 0; j < n_words; j++)
        {
            ivec w[MAX_VECS];
            UNROLL for (int v = 0; v < n_vecs; v++) w[v] = weight_word(kind, unit[v], half, q, g * n_words + j);
            UNROLL for (int n = 0; n < n_act; n++)
            {
                int32_t bytes;
                memcpy(&bytes, ACT(n)->q + 4 * (g * n_words + j), 4);
                ivec x = i_set(bytes);
                UNROLL for (int v = 0; v < n_vecs; v++)
                {
                    part[v][n] = dots_add(kind, j % run == 0 ? dots_start(sum[v][n]) : part[v][n], w[v], x);
                    if ((j + 1) % run == 0) sum[v][n] = dots_fold(sum[v][n], part[v][n]);
                }
            }
        }
        UNROLL for (int v = 0; v < n_vecs; v++)
        {
            fvec scale = group_scale(kind, unit[v], &head[v], half, q, g);
            UNROLL for (int n = 0; n < n_act; n++) acc[v][n] =
                f_fma(f_from_i(sum[v][n]), f_mul(scale, f_set(ACT(n)->d)), acc[v][n]);
        }
    }
    if (!is_affine(kind)) return;
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        fvec offset = block_offset(kind, &head[v], half, q);
        UNROLL for (int n = 0; n < n_act; n++) acc[v][n] = f_fma(offset, f_set(ACT(n)->ds), acc[v][n]);
    }
#undef ACT
}

/* A sub-block's share of the lines that come PREFETCH_AHEAD bytes later in each stream. */
INLINE void prefetch_block(panel_kind kind, int n_panels, const unit_view *unit, size_t half, int q)
{
    const size_t share = (size_t)unit_bytes(kind) / (is_super(kind) ? 8 : 1);
    UNROLL for (int p = 0; p < n_panels; p++)
    {
        const uint8_t *ahead = unit[p * PANEL_VECS].words + PREFETCH_AHEAD + half * 4 * share + (size_t)q * share;
        UNROLL for (size_t i = 0; i < share; i += 64) __builtin_prefetch(ahead + i);
    }
}

INLINE void store_sums(const tile_job *job, int n_vecs, int n_act, fvec acc[][TILE_ACTS])
{
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        float *out = job->out[v / PANEL_VECS] + v % PANEL_VECS * ROWS;
        UNROLL for (int n = 0; n < n_act; n++) f_store(out + (size_t)n * job->ld_out, acc[v][n]);
    }
}

INLINE void quant_tile(panel_kind kind, int n_panels, int n_act, const tile_job *job)
{
    const int n_vecs = n_panels * PANEL_VECS, quarters = is_super(kind) ? 4 : 1;
    const size_t halves = is_super(kind) ? 2 : 1;
    const int n_units = job->k / (is_super(kind) ? 256 : 32), bytes = unit_bytes(kind);
    const uint8_t *panel[MAX_VECS], *acts = job->acts;
    fvec acc[MAX_VECS][TILE_ACTS];
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        panel[v] = job->panel[v / PANEL_VECS];
        UNROLL for (int n = 0; n < n_act; n++) acc[v][n] = f_set(0);
    }
    for (int b = 0; b < n_units; b++) {
        unit_view unit[MAX_VECS];
        unit_head head[MAX_VECS];
        UNROLL for (int v = 0; v < n_vecs; v++)
        {
            unit[v] = view_unit(kind, panel[v], v);
            read_head(kind, unit[v], &head[v]);
            panel[v] += bytes;
        }
        for (size_t half = 0; half < halves; half++) {
            UNROLL for (int q = 0; q < quarters; q++, acts += sizeof(act_block))
            {
                if (n_act == 1) prefetch_block(kind, n_panels, unit, half, q);
                add_block(kind, n_vecs, n_act, unit, head, half, q, acts, job->ld_act, acc);
            }
        }
    }
    store_sums(job, n_vecs, n_act, acc);
}

/* ---- the tile of the float kinds ---- */

INLINE fvec float_weights(panel_kind kind, const uint8_t *panel, int vec)
{
    const int row = vec % PANEL_VECS * ROWS;
    if (kind == PANEL_F32) return f_load(panel + row * 4);
    return kind == PANEL_F16 ? f_load_half(panel + row * 2) : f_load_bf16(panel + row * 2);
}

INLINE void float_tile(panel_kind kind, int n_panels, int n_act, const tile_job *job)
{
    const int n_vecs = n_panels * PANEL_VECS, step = (kind == PANEL_F32 ? 4 : 2) * PANEL_ROWS;
    fvec acc[MAX_VECS][TILE_ACTS];
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        const float *out = job->out[v / PANEL_VECS] + v % PANEL_VECS * ROWS;
        UNROLL for (int n = 0; n < n_act; n++) acc[v][n] =
            job->resume ? f_load(out + (size_t)n * job->ld_out) : f_set(0);
    }
    size_t at = 0;
    for (int i = 0; i < job->k; i++, at += (size_t)step) {
        fvec w[MAX_VECS];
        UNROLL for (int v = 0; v < n_vecs; v++)
        {
            const uint8_t *panel = job->panel[v / PANEL_VECS] + at;
            if (n_act == 1 && v % PANEL_VECS == 0) __builtin_prefetch(panel + PREFETCH_AHEAD);
            w[v] = float_weights(kind, panel, v);
        }
        UNROLL for (int n = 0; n < n_act; n++)
        {
            float x;
            memcpy(&x, job->acts + (size_t)n * job->ld_act + (size_t)i * 4, 4);
            UNROLL for (int v = 0; v < n_vecs; v++) acc[v][n] = f_fma(w[v], f_set(x), acc[v][n]);
        }
    }
    store_sums(job, n_vecs, n_act, acc);
}

/* ---- products of any size from tiles ---- */

typedef struct product {
    const uint8_t *panels, *acts;
    size_t panel_bytes, ld_act; /* bytes */
    float *out;
    size_t ld_out;
    int n_panels, n_act, k;
    int at_once; /* panels in a tile for a single row of activations */
    bool floats;
    size_t weight_bytes; /* float kinds: bytes of one element of a panel's 16 rows */
} product;

/* Names panel p of the product as number i of the job. */
static inline void set_panel(tile_job *job, int i, const product *g, int p, int row)
{
    p = min_int(p, g->n_panels - 1);
    job->panel[i] = g->panels + (size_t)p * g->panel_bytes;
    job->out[i] = g->out + (size_t)row * g->ld_out + (size_t)p * PANEL_ROWS;
}

/* One row of activations: the panels are read as `at_once` streams, each through its own part of the weights.
 */
static void one_row(const product *g, tile_fn *tile)
{
    tile_job job = {.acts = g->acts, .ld_act = g->ld_act, .ld_out = g->ld_out, .k = g->k};
    const int part = (g->n_panels + g->at_once - 1) / g->at_once;
    for (int p = 0; p < part; p++) {
        for (int i = 0; i < g->at_once; i++) set_panel(&job, i, g, p + i * part, 0);
        tile(&job);
    }
}

/* Rows first..last-1 of activations, elements from..from+k-1 (a part of them only for float kinds): each
   group of panels meets all of the rows, in tiles of about equal size. */
static void many_rows(const product *g, int first, int last, int from, int k, tile_fn *const *tiles)
{
    tile_job job = {.ld_act = g->ld_act, .ld_out = g->ld_out, .k = k, .resume = from > 0};
    const int n_tiles = (last - first + TILE_ACTS - 1) / TILE_ACTS;
    for (int p = 0; p < g->n_panels; p += TILE_PANELS) {
        for (int t = 0, row = first; t < n_tiles; t++) {
            int n = (last - row) / (n_tiles - t);
            for (int i = 0; i < TILE_PANELS; i++) {
                set_panel(&job, i, g, p + i, row);
                job.panel[i] += (size_t)from * g->weight_bytes;
            }
            job.acts = g->acts + (size_t)row * g->ld_act + (size_t)from * sizeof(float);
            tiles[n](&job);
            row += n;
        }
    }
}

/* tiles[n] takes n rows of activations; tiles[0] is the tile for a product that has only one. Both a group of
   panels and the rows it meets are to stay in the second-level cache: rows are taken in chunks, and float
   weights, which are large, in blocks of k, between which the sums wait in `out`. */
static void multiply(const product *g, tile_fn *const *tiles)
{
    if (g->n_act == 1) {
        one_row(g, tiles[0]);
        return;
    }
    const int k = g->floats ? min_int(g->k, FLOAT_BLOCK) : g->k;
    const size_t row_bytes = g->floats ? (size_t)k * sizeof(float) : g->ld_act;
    const int most = max_int((int)(ACT_CACHE / row_bytes) / TILE_ACTS, 1) * TILE_ACTS;
    const int n_chunks = (g->n_act + most - 1) / most;
    for (int c = 0, first = 0; c < n_chunks; c++) {
        int last = first + (g->n_act - first) / (n_chunks - c);
        for (int from = 0; from < g->k; from += k) many_rows(g, first, last, from, min_int(k, g->k - from), tiles);
        first = last;
    }
}

#define TILE(kind, family, name, n_panels, n_act)                                                                      \
    static void tile_##kind##_##name(const tile_job *job)                                                              \
    {                                                                                                                  \
        family##_tile(PANEL_##kind, n_panels, n_act, job);                                                             \
    }

enum { quant_at_once = 1, float_at_once = FLOAT_PANELS };

static product product_of(panel_kind kind, const void *panels, int n_panels, int k, const void *acts, size_t ld_act,
                          int n_act, float *out, size_t ld_out)
{
    product g = {.panels = panels, .acts = acts, .panel_bytes = panel_bytes(kind, k), .out = out};
    g.n_panels = n_panels;
    g.n_act = n_act;
    g.k = k;
    g.ld_out = ld_out;
    g.floats = panel_kind_is_float(kind);
    g.ld_act = ld_act * (g.floats ? sizeof(float) : sizeof(act_block));
    g.at_once = g.floats ? float_at_once : quant_at_once;
    g.weight_bytes = g.floats ? PANEL_ROWS * (kind == PANEL_F32 ? 4 : 2) : 0;
    return g;
}

#define GEMM(kind, family)                                                                                             \
    TILE(kind, family, one, family##_at_once, 1)                                                                       \
    FOR_TILE_ACTS(TILE, kind, family)                                                                                  \
    static void gemm_##kind(const void *panels, int n_panels, int k, const void *acts, size_t ld_act, int n_act,       \
                            float *out, size_t ld_out)                                                                 \
    {                                                                                                                  \
        static tile_fn *const tiles[] = {tile_##kind##_one, TILE_ACTS_LIST(tile_##kind)};                              \
        product g = product_of(PANEL_##kind, panels, n_panels, k, acts, ld_act, n_act, out, ld_out);                   \
        multiply(&g, tiles);                                                                                           \
    }

/* The tile sizes, by TILE_ACTS. */
#define FOR_ACTS_2(X, kind, family)                                                                                    \
    X(kind, family, 1, TILE_PANELS, 1)                                                                                 \
    X(kind, family, 2, TILE_PANELS, 2)
#define FOR_ACTS_3(X, kind, family)                                                                                    \
    FOR_ACTS_2(X, kind, family)                                                                                        \
    X(kind, family, 3, TILE_PANELS, 3)
#define FOR_ACTS_6(X, kind, family)                                                                                    \
    FOR_ACTS_3(X, kind, family)                                                                                        \
    X(kind, family, 4, TILE_PANELS, 4)                                                                                 \
    X(kind, family, 5, TILE_PANELS, 5)                                                                                 \
    X(kind, family, 6, TILE_PANELS, 6)
#define LIST_2(name) name##_1, name##_2
#define LIST_3(name) LIST_2(name), name##_3
#define LIST_6(name) LIST_3(name), name##_4, name##_5, name##_6

#if TILE_ACTS == 6
#define FOR_TILE_ACTS     FOR_ACTS_6
#define TILE_ACTS_LIST(x) LIST_6(x)
#elif TILE_ACTS == 3
#define FOR_TILE_ACTS     FOR_ACTS_3
#define TILE_ACTS_LIST(x) LIST_3(x)
#else
#define FOR_TILE_ACTS     FOR_ACTS_2
#define TILE_ACTS_LIST(x) LIST_2(x)
#endif

GEMM(F32, float)
GEMM(F16, float)
GEMM(BF16, float)
GEMM(Q4_0, quant)
GEMM(Q4_1, quant)
GEMM(Q5_0, quant)
GEMM(Q5_1, quant)
GEMM(Q8_0, quant)
GEMM(Q4_K, quant)
GEMM(Q5_K, quant)
GEMM(Q6_K, quant)

static void set_gemms(linear_kernels *t)
{
    static void (*const gemms[PANEL_KINDS])(const void *, int, int, const void *, size_t, int, float *, size_t) = {
        gemm_F32,  gemm_F16,  gemm_BF16, gemm_Q4_0, gemm_Q4_1, gemm_Q5_0,
        gemm_Q5_1, gemm_Q8_0, gemm_Q4_K, gemm_Q5_K, gemm_Q6_K,
    };
    memcpy(t->gemm, gemms, sizeof gemms);
}

#endif
