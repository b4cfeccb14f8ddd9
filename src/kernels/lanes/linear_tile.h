/* The matrix products of kernels/linear.h, written once over vectors of panel rows and compiled once per
   instruction set: x86/avx512_linear.c, x86/avx2_linear.c, arm/neon_linear.c and arm/dotprod_linear.c define
   what is listed here and then include this file. All levels thus follow the same steps by construction.

   A tile is TILE_PANELS panels times up to TILE_ACTS rows of activations. Its sums stay in registers while the panels'
   blocks go by. When more rows than that meet the weights of a quantised kind, the first tile leaves what it has
   unpacked as plain blocks (bytes for the products, scales as floats) for the tiles that follow. It does so for
   QUANT_BLOCK elements of k at a time, so that the plain blocks stay in the first-level cache.

   A single row of activations must run at the memory's speed. It takes one panel of a quantised kind at a time (one
   stream through the weights; the integer sums of many blocks overlap), or FLOAT_PANELS panels of a float kind, where
   the sums are one long chain per row. The tile functions take the kind and the tile's size as constants and are
   inlined into one small function per kind and size, so loops unroll and decisions vanish.

   The including file gives

     INLINE                    static inline, always inlined
     ROWS                      panel rows in a vector: 16, 8 or 4; a panel is 16/ROWS vectors
     TILE_PANELS, TILE_ACTS, FLOAT_PANELS

     ivec                      ROWS words of 4 bytes
     i_load(p), i_store(p, x)  no alignment
     i_load_bytes(p)           ROWS bytes, widened
     i_set(x)                  a 32-bit number in every word
     i_add, i_and, i_max(a, b) words, signed
     i_shr, i_shl, i_sar(x, n) words; n may vary
     i_rotl(x, n)              words, by n modulo 32
     i_merge(a, b, mask)       a | (b & mask)
     i_sub8(a, b)              bytes
     i_fifth(u, bits, j)       u (< 16) with 16 added to byte i of a word where bit 4j+i of `bits` is set
     i_table(values)           16 bytes for i_look_up(table, x): bytes, each x (< 16) becomes values[x]

     fvec                      ROWS floats
     f_set, f_mul, f_neg, f_load, f_store
     f_fma(a, b, c)            a*b + c rounded once
     f_load_half, f_load_bf16  ROWS f16 or bf16, widened
     f_low_half, f_high_half   the f16 in the lower or upper half of each word of an ivec
     f_from_i                  of an ivec
     f_from_bits               the floats whose bits an ivec's words are

     dots                      running sums of products, possibly narrower than 32 bits
     dots_signed(kind)         products take w as signed bytes
     dots_centre(c)            otherwise they take w + c as a file has it, or w + dots_centre(c) where many rows
                               meet them (128: the start of a sum is then one load)
     dots_run(kind)            how many additions fit
     dots_start(t)             no products yet; where dots are as wide as t, t itself
     dots_add(kind, s, w, x)   per row, adds the products of the four bytes of w and of x
     dots_fold(t, s)           t plus the sums of s, for the s that was started with t

   Kinds that share their plain tiles (see GEMM_QUANT) must be the same to dots_*. */
#ifndef KVASIR_KERNELS_LANES_LINEAR_TILE_H
#define KVASIR_KERNELS_LANES_LINEAR_TILE_H

#include "base/checked.h"
#include "kernels/levels.h"
#include "kernels/fetch.h"
#include "kernels/linear.h"
#include "kernels/lanes/linear_kinds.h"

#include <string.h>

#define UNROLL _Pragma("GCC unroll 16")

/* Keeps the compiler from moving anything across. Otherwise it would gather the prefetches of a whole super-block into
   a burst that holds up the loads (a fifth of a GEMV's speed), and would keep more in registers than there are. */
#define STAY_IN_ORDER __asm__ volatile("" ::: "memory")

enum {
    MAX_VECS = (FLOAT_PANELS > TILE_PANELS ? FLOAT_PANELS : TILE_PANELS) * PANEL_VECS,
    PREFETCH_AHEAD = 8192, /* bytes */
    ACT_CACHE = 384 << 10, /* activations that stay in the second-level cache */
    FLOAT_BLOCK = 2048,    /* elements of k for float kinds */
    QUANT_BLOCK = 512      /* elements of k for quantised kinds that many rows meet */
};

/* What a tile works on; strides are in bytes. A panel may be named twice, in the last tile of an odd number. */
typedef struct tile_job {
    const uint8_t *panel[MAX_VECS];
    uint8_t *plain;       /* the plain blocks of TILE_PANELS panels, PLAIN_PANEL bytes apart */
    float *out[MAX_VECS]; /* first row of activations, one per panel */
    const uint8_t *acts;
    size_t ld_act, ld_out; /* ld_out in floats */
    int k;
    bool resume; /* sums start from what is in out, not from 0 */
} tile_job;

typedef void tile_fn(const tile_job *job);

/* ---- plain blocks ---- */

/* A plain block is 32 elements of a panel as vectors of its 16 rows: the 8 words that go into the products, up
   to two scales, the offset. */
enum {
    PLAIN_SCALES = 8,
    PLAIN_OFFSET = 10,
    PLAIN_BYTES = 11 * WORD_BYTES,
    PLAIN_PANEL = QUANT_BLOCK / ACT_BLOCK * PLAIN_BYTES
};

/* How a tile has its blocks: as units of the file; the same, but it leaves them as plain blocks; as plain blocks. */
typedef enum form { AS_FILE, TO_PLAIN, PLAIN } form;

typedef struct block_view {
    unit_view unit;
    const unit_head *head;
    size_t half;
    int q;
    uint8_t *plain; /* the vector's rows of the plain block */
} block_view;

INLINE uint8_t *plain_rows(const tile_job *job, int vec)
{
    return job->plain + vec / PANEL_VECS * PLAIN_PANEL + vec % PANEL_VECS * ROWS * 4;
}

INLINE void *plain_word(const block_view *b, int i)
{
    return b->plain + i * WORD_BYTES;
}

/* Products take w + c. */
INLINE int product_centre(panel_kind kind, form as)
{
    return dots_signed(kind) ? 0 : as == AS_FILE ? centre(kind) : dots_centre(centre(kind));
}

INLINE ivec block_word(panel_kind kind, form as, const block_view *b, int j)
{
    if (as == PLAIN) return i_load(plain_word(b, j));
    ivec w = weight_word(kind, product_centre(kind, as), b->unit, b->half, b->q, j);
    if (as == TO_PLAIN) i_store(plain_word(b, j), w);
    return w;
}

INLINE fvec block_scale(panel_kind kind, form as, const block_view *b, int g)
{
    if (as == PLAIN) return f_load(plain_word(b, PLAIN_SCALES + g));
    fvec scale = group_scale(kind, b->unit, b->head, b->half, b->q, g);
    if (as == TO_PLAIN) f_store(plain_word(b, PLAIN_SCALES + g), scale);
    return scale;
}

INLINE fvec block_offset(panel_kind kind, form as, const block_view *b)
{
    if (as == PLAIN) return f_load(plain_word(b, PLAIN_OFFSET));
    fvec offset = unit_offset(kind, b->head, b->half, b->q);
    if (as == TO_PLAIN) f_store(plain_word(b, PLAIN_OFFSET), offset);
    return offset;
}

/* ---- the tiles of the quantised kinds ---- */

/* What is added because products take w + c: minus c times the sum of a group's activations. */
INLINE ivec centre_term(panel_kind kind, form as, const act_block *a, int g)
{
    const int c = product_centre(kind, as);
    if (c == 0) return i_set(0);
    ivec minus128 = i_set(a->minus128[scale_groups(kind) == 2 ? g : 2]);
    return c == 128 ? minus128 : i_sar(minus128, 7 - __builtin_ctz((unsigned)c));
}

/* acc[v][n] += block[v] * activation block n. */
INLINE void add_block(panel_kind kind, form as, int n_vecs, int n_act, const block_view *block, const uint8_t *acts,
                      size_t ld_act, fvec acc[][TILE_ACTS])
{
    const int groups = scale_groups(kind), n_words = 8 / groups;
    const int run = min_int(dots_run(kind), n_words);
#define ACT(n) ((const act_block *)(const void *)(acts + (size_t)(n)*ld_act))
    UNROLL for (int g = 0; g < groups; g++)
    {
        ivec sum[MAX_VECS][TILE_ACTS];
        dots part[MAX_VECS][TILE_ACTS];
        UNROLL for (int n = 0; n < n_act; n++)
        {
            ivec start = centre_term(kind, as, ACT(n), g);
            UNROLL for (int v = 0; v < n_vecs; v++) sum[v][n] = start;
        }
        UNROLL for (int j = 0; j < n_words; j++)
        {
            ivec w[MAX_VECS];
            UNROLL for (int v = 0; v < n_vecs; v++) w[v] = block_word(kind, as, &block[v], g * n_words + j);
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
            fvec scale = block_scale(kind, as, &block[v], g);
            UNROLL for (int n = 0; n < n_act; n++) acc[v][n] =
                f_fma(f_from_i(sum[v][n]), f_mul(scale, f_set(ACT(n)->d)), acc[v][n]);
        }
    }
    if (!is_affine(kind)) return;
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        fvec offset = block_offset(kind, as, &block[v]);
        UNROLL for (int n = 0; n < n_act; n++) acc[v][n] = f_fma(offset, f_set(ACT(n)->ds), acc[v][n]);
    }
#undef ACT
}

/* Sums to go on from: those in `out`, or zero. */
INLINE void load_sums(const tile_job *job, int n_vecs, int n_act, fvec acc[][TILE_ACTS])
{
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        const float *out = job->out[v / PANEL_VECS] + v % PANEL_VECS * ROWS;
        UNROLL for (int n = 0; n < n_act; n++) acc[v][n] =
            job->resume ? f_load(out + (size_t)n * job->ld_out) : f_set(0);
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

/* Fetches a sub-block's share of the lines that come PREFETCH_AHEAD bytes later in the stream. */
INLINE void prefetch_block(panel_kind kind, unit_view unit, size_t half, int q)
{
    const size_t share = (size_t)unit_bytes(kind) / (is_super(kind) ? 8 : 1);
    const uint8_t *ahead = unit.words + PREFETCH_AHEAD + half * 4 * share + (size_t)q * share;
    UNROLL for (size_t i = 0; i < share; i += 64) FETCH(ahead + i);
}

/* The tile over panels as they are. */
INLINE void quant_tile(panel_kind kind, form as, int n_panels, int n_act, const tile_job *job)
{
    const int n_vecs = n_panels * PANEL_VECS, quarters = is_super(kind) ? 4 : 1;
    const size_t halves = is_super(kind) ? 2 : 1;
    const uint8_t *panel[MAX_VECS], *acts = job->acts;
    fvec acc[MAX_VECS][TILE_ACTS];
    unit_head head[MAX_VECS];
    block_view block[MAX_VECS];
    UNROLL for (int v = 0; v < n_vecs; v++)
    {
        panel[v] = job->panel[v / PANEL_VECS];
        block[v].head = &head[v];
        if (as == TO_PLAIN) block[v].plain = plain_rows(job, v);
    }
    load_sums(job, n_vecs, n_act, acc);
    for (int b = job->k / unit_elements(kind); b > 0; b--) {
        UNROLL for (int v = 0; v < n_vecs; v++)
        {
            block[v].unit = view_unit(kind, panel[v], v);
            read_head(kind, block[v].unit, &head[v]);
            panel[v] += unit_bytes(kind);
        }
        for (size_t half = 0; half < halves; half++) {
            UNROLL for (int q = 0; q < quarters; q++, acts += sizeof(act_block))
            {
                UNROLL for (int v = 0; v < n_vecs; v++)
                {
                    if (v % PANEL_VECS == 0) prefetch_block(kind, block[v].unit, half, q);
                    block[v].half = half;
                    block[v].q = q;
                }
                add_block(kind, as, n_vecs, n_act, block, acts, job->ld_act, acc);
                if (as == TO_PLAIN) UNROLL for (int v = 0; v < n_vecs; v++) block[v].plain += PLAIN_BYTES;
                STAY_IN_ORDER;
            }
        }
    }
    store_sums(job, n_vecs, n_act, acc);
}

/* The tile over plain blocks. */
INLINE void plain_tile(panel_kind kind, int n_panels, int n_act, const tile_job *job)
{
    const int n_vecs = n_panels * PANEL_VECS;
    const uint8_t *acts = job->acts;
    fvec acc[MAX_VECS][TILE_ACTS];
    block_view block[MAX_VECS];
    UNROLL for (int v = 0; v < n_vecs; v++) block[v].plain = plain_rows(job, v);
    load_sums(job, n_vecs, n_act, acc);
    for (int b = job->k / ACT_BLOCK; b > 0; b--, acts += sizeof(act_block)) {
        add_block(kind, PLAIN, n_vecs, n_act, block, acts, job->ld_act, acc);
        UNROLL for (int v = 0; v < n_vecs; v++) block[v].plain += PLAIN_BYTES;
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
    load_sums(job, n_vecs, n_act, acc);
    size_t at = 0;
    for (int i = 0; i < job->k; i++, at += (size_t)step) {
        fvec w[MAX_VECS];
        UNROLL for (int v = 0; v < n_vecs; v++)
        {
            const uint8_t *panel = job->panel[v / PANEL_VECS] + at;
            if (n_act == 1 && v % PANEL_VECS == 0) FETCH(panel + PREFETCH_AHEAD);
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
    size_t panel_bytes, ld_act, ld_out; /* ld_out in floats */
    float *out;
    int n_panels, n_act, k;
    int unit;          /* elements of k that stand together in a panel */
    size_t unit_bytes; /* of a panel */
    size_t act_bytes;  /* of ACT_BLOCK elements of a row of activations */
    int at_once;       /* panels in a tile for a single row of activations */
    int part;          /* elements of k that many rows meet before the next */
    bool add;
    /* A single row; up to TILE_ACTS rows ([n-1] takes n); otherwise TILE_ACTS rows, then up to as many each. */
    tile_fn *one, *const *few, *first, *const *more;
} product;

/* Makes panel p of the product the job's panel number i. */
static inline void set_panel(tile_job *job, int i, const product *g, int p, int row)
{
    p = min_int(p, g->n_panels - 1);
    job->panel[i] = g->panels + (size_t)p * g->panel_bytes;
    job->out[i] = g->out + (size_t)row * g->ld_out + (size_t)p * PANEL_ROWS;
}

/* One row of activations: the panels are read as `at_once` streams, each through its own part of the weights. A stream
   that has ended computes the first stream's panel again. */
static void one_row(const product *g)
{
    tile_job job = {.acts = g->acts, .ld_act = g->ld_act, .ld_out = g->ld_out, .k = g->k, .resume = g->add};
    const int part = (g->n_panels + g->at_once - 1) / g->at_once;
    for (int p = 0; p < part; p++) {
        for (int i = 0; i < g->at_once; i++) set_panel(&job, i, g, p + i * part < g->n_panels ? p + i * part : p, 0);
        g->one(&job);
    }
}

/* Computes a tile, and moves the job to the rows behind it. */
static inline void run_tile(tile_job *job, int n, tile_fn *tile)
{
    tile(job);
    for (int i = 0; i < TILE_PANELS; i++) job->out[i] += (size_t)n * job->ld_out;
    job->acts += (size_t)n * job->ld_act;
}

/* Rows first..last-1 of activations, elements from..from+k-1: each group of panels meets all of the rows, after
   the first tile in tiles of about equal size. */
static void many_rows(const product *g, int first, int last, int from, int k)
{
    _Alignas(64) uint8_t plain[TILE_PANELS * PLAIN_PANEL];
    tile_job job = {.plain = plain, .ld_act = g->ld_act, .ld_out = g->ld_out, .k = k, .resume = g->add || from > 0};
    const size_t at = (size_t)(from / g->unit) * g->unit_bytes;
    for (int p = 0; p < g->n_panels; p += TILE_PANELS) {
        int left = last - first;
        for (int i = 0; i < TILE_PANELS; i++) {
            set_panel(&job, i, g, p + i, first);
            job.panel[i] += at;
        }
        job.acts = g->acts + (size_t)first * g->ld_act + (size_t)from * g->act_bytes / ACT_BLOCK;
        if (left <= TILE_ACTS) {
            g->few[left - 1](&job);
            continue;
        }
        run_tile(&job, TILE_ACTS, g->first);
        left -= TILE_ACTS;
        for (int t = (left + TILE_ACTS - 1) / TILE_ACTS; t > 0; t--) {
            int n = left / t;
            run_tile(&job, n, g->more[n - 1]);
            left -= n;
        }
    }
}

/* A group of panels and the rows that it meets should stay in the caches. So k is taken in parts, between which the
   sums wait in `out`, and the rows are taken in chunks. */
static void multiply(const product *g)
{
    if (g->n_act == 1) {
        one_row(g);
        return;
    }
    const int units = g->k / g->unit, part = g->n_act <= TILE_ACTS ? g->k : g->part;
    const int n_parts = (g->k + part - 1) / part;
    const size_t row_bytes = (size_t)part * g->act_bytes / ACT_BLOCK;
    const int most = max_int((int)(ACT_CACHE / row_bytes) / TILE_ACTS, 1) * TILE_ACTS;
    const int n_chunks = (g->n_act + most - 1) / most;
    for (int c = 0, first = 0; c < n_chunks; c++) {
        int last = first + (g->n_act - first) / (n_chunks - c);
        for (int i = 0, from = 0; i < n_parts; i++) {
            int k = (units - from / g->unit) / (n_parts - i) * g->unit;
            many_rows(g, first, last, from, k);
            from += k;
        }
        first = last;
    }
}

#define TILE(name, family, ...)                                                                                        \
    static void name(const tile_job *job)                                                                              \
    {                                                                                                                  \
        family##_tile(__VA_ARGS__, job);                                                                               \
    }
#define FLOAT_TILE(kind, n) TILE(float_##kind##_##n, float, PANEL_##kind, TILE_PANELS, n)
#define QUANT_TILE(kind, n) TILE(quant_##kind##_##n, quant, PANEL_##kind, AS_FILE, TILE_PANELS, n)
#define PLAIN_TILE(kind, n) TILE(plain_##kind##_##n, plain, PANEL_##kind, TILE_PANELS, n)

/* X(kind, n) for each number of rows in a tile, and a table of what that has made. */
#define SIZES_2(X, kind) X(kind, 1) X(kind, 2)
#define SIZES_3(X, kind) SIZES_2(X, kind) X(kind, 3)
#define SIZES_6(X, kind) SIZES_3(X, kind) X(kind, 4) X(kind, 5) X(kind, 6)
#define NAMES_2(name)    name##_1, name##_2
#define NAMES_3(name)    NAMES_2(name), name##_3
#define NAMES_6(name)    NAMES_3(name), name##_4, name##_5, name##_6
#define PASTE(a, b)      a##b
#define BY_ACTS(a, b)    PASTE(a, b)
#define TILES(X, family, kind)                                                                                         \
    BY_ACTS(SIZES_, TILE_ACTS)                                                                                         \
    (X, kind) static tile_fn *const family##_##kind[] = {BY_ACTS(NAMES_, TILE_ACTS)(family##_##kind)};

#define GEMM(kind, ...)                                                                                                \
    static void gemm_##kind(const void *panels, int n_panels, int k, const void *acts, size_t ld_act, int n_act,       \
                            float *out, size_t ld_out, bool add)                                                       \
    {                                                                                                                  \
        const product g = {.panels = panels,                                                                           \
                           .acts = acts,                                                                               \
                           .out = out,                                                                                 \
                           .panel_bytes = panel_bytes(PANEL_##kind, k),                                                \
                           .ld_out = ld_out,                                                                           \
                           .n_panels = n_panels,                                                                       \
                           .n_act = n_act,                                                                             \
                           .k = k,                                                                                     \
                           .add = add,                                                                                 \
                           .one = one_##kind,                                                                          \
                           __VA_ARGS__};                                                                               \
        multiply(&g);                                                                                                  \
    }

#define GEMM_FLOAT(kind, size)                                                                                         \
    TILE(one_##kind, float, PANEL_##kind, FLOAT_PANELS, 1)                                                             \
    TILES(FLOAT_TILE, float, kind)                                                                                     \
    GEMM(kind, .ld_act = ld_act * sizeof(float), .unit = 1, .unit_bytes = (size)*PANEL_ROWS,                           \
         .act_bytes = ACT_BLOCK * sizeof(float), .at_once = FLOAT_PANELS, .part = FLOAT_BLOCK, .few = float_##kind,    \
         .first = float_##kind[TILE_ACTS - 1], .more = float_##kind)

/* plain: a kind whose plain blocks are the same, so that its tiles serve both: equal scale groups, offset, centre,
   and largest u. */
#define GEMM_QUANT(kind, plain)                                                                                        \
    TILE(one_##kind, quant, PANEL_##kind, AS_FILE, 1, 1)                                                               \
    TILE(first_##kind, quant, PANEL_##kind, TO_PLAIN, TILE_PANELS, TILE_ACTS)                                          \
    TILES(QUANT_TILE, quant, kind)                                                                                     \
    GEMM(kind, .ld_act = ld_act * sizeof(act_block), .unit = unit_elements(PANEL_##kind),                              \
         .unit_bytes = (size_t)unit_bytes(PANEL_##kind), .act_bytes = sizeof(act_block), .at_once = 1,                 \
         .part = QUANT_BLOCK, .few = quant_##kind, .first = first_##kind, .more = plain_##plain)

TILES(PLAIN_TILE, plain, Q4_0)
TILES(PLAIN_TILE, plain, Q4_1)
TILES(PLAIN_TILE, plain, Q5_0)
TILES(PLAIN_TILE, plain, Q5_1)
TILES(PLAIN_TILE, plain, Q8_0)
TILES(PLAIN_TILE, plain, Q6_K)

GEMM_FLOAT(F32, 4)
GEMM_FLOAT(F16, 2)
GEMM_FLOAT(BF16, 2)
GEMM_QUANT(Q4_0, Q4_0)
GEMM_QUANT(Q4_1, Q4_1)
GEMM_QUANT(Q5_0, Q5_0)
GEMM_QUANT(Q5_1, Q5_1)
GEMM_QUANT(Q8_0, Q8_0)
GEMM_QUANT(Q4_K, Q4_1)
GEMM_QUANT(Q5_K, Q5_1)
GEMM_QUANT(Q6_K, Q6_K)
GEMM_QUANT(IQ4_NL, Q8_0)
GEMM_QUANT(IQ4_XS, Q8_0)
GEMM_QUANT(MXFP4, Q5_0)

static void set_gemms(linear_kernels *t)
{
    static void (*const gemms[PANEL_KINDS])(const void *, int, int, const void *, size_t, int, float *, size_t,
                                            bool) = {
        gemm_F32,  gemm_F16,  gemm_BF16, gemm_Q4_0, gemm_Q4_1,   gemm_Q5_0,   gemm_Q5_1,
        gemm_Q8_0, gemm_Q4_K, gemm_Q5_K, gemm_Q6_K, gemm_IQ4_NL, gemm_IQ4_XS, gemm_MXFP4,
    };
    memcpy(t->gemm, gemms, sizeof gemms);
}

#endif
