/* The C reference of the family "linear": the contract of kernels/linear.h step by step. */
#include "kernels/levels.h"
#include "kernels/linear.h"

#include "base/half.h"
#include "quant/iq_tables.h"

#include <math.h>
#include <string.h>

/* ---- activations to int8 ---- */

enum { CANDIDATES = 6 };

/* x to the nearest even integer, |x| < 2^22: adding 1.5 * 2^23 leaves no room for a fraction. NaN to 0. */
static int nearest(float x)
{
    return x == x ? (int)((x + 0x1.8p23f) - 0x1.8p23f) : 0;
}

/* y times most/32767, rounded. */
static int round_to(int y, int most)
{
    return (y * most + (1 << 14)) >> 15;
}

/* The sums of y*q and q*q, where q is y's 32 values rounded to at most `most`. */
static void try_rounding(const int *y, int most, float *a, float *b)
{
    int yq = 0, qq = 0;
    for (int i = 0; i < ACT_BLOCK; i++) {
        int q = round_to(y[i], most);
        yq += y[i] * q;
        qq += q * q;
    }
    *a = (float)yq;
    *b = (float)qq;
}

static void quantise_block(const float *x, act_block *out)
{
    float amax = 0, a, b, best_a, best_b;
    int y[ACT_BLOCK], most = 127, sum[2] = {0};
    for (int i = 0; i < ACT_BLOCK; i++)
        if (!(fabsf(x[i]) <= amax)) amax = isnan(amax) ? amax : fabsf(x[i]); /* NaN stays */
    memset(out, 0, sizeof *out);
    if (!(amax < INFINITY)) out->d = out->ds = NAN;
    if (!(amax >= 0x1p-110f && amax < INFINITY)) return;

    for (int i = 0; i < ACT_BLOCK; i++) y[i] = nearest(x[i] * (32767.0f / amax));
    try_rounding(y, most, &best_a, &best_b);
    for (int c = 1; c < CANDIDATES; c++) {
        try_rounding(y, 127 - c, &a, &b);
        if (!(a * a * best_b > best_a * best_a * b)) continue;
        best_a = a;
        best_b = b;
        most = 127 - c;
    }
    out->d = amax * (1 / 32767.0f) * (best_a / best_b);
    for (int i = 0; i < ACT_BLOCK; i++) {
        out->q[i] = (int8_t)round_to(y[i], most);
        sum[i / 16] += out->q[i];
    }
    out->ds = out->d * (float)(sum[0] + sum[1]);
    out->minus128[0] = -128 * sum[0];
    out->minus128[1] = -128 * sum[1];
    out->minus128[2] = -128 * (sum[0] + sum[1]);
}

static void quantise(const float *x, size_t ld, int n, int k, act_block *out, size_t ld_out)
{
    for (int i = 0; i < n; i++)
        for (int b = 0; b < k / ACT_BLOCK; b++)
            quantise_block(x + (size_t)i * ld + b * ACT_BLOCK, out + (size_t)i * ld_out + b);
}

/* ---- panels (layouts: panel.c) ---- */

/* 32 elements of the 16 rows of a panel, unpacked. */
typedef struct panel_block {
    int w[ACT_BLOCK][PANEL_ROWS];
    int groups; /* scales in the block: 1, or 2 of 16 elements */
    float scale[2][PANEL_ROWS];
    float offset[PANEL_ROWS];
    bool has_offset;
} panel_block;

static unsigned byte_of(const uint32_t *words, int word, int row, int i)
{
    return (words[word * PANEL_ROWS + row] >> (8 * i)) & 0xff;
}

static float low_half(uint32_t word)
{
    return f32_from_f16((uint16_t)(word & 0xffff));
}

static float high_half(uint32_t word)
{
    return f32_from_f16((uint16_t)(word >> 16));
}

/* The types of 32 elements a block. `affine`: words 0 is d, m; otherwise d follows the words and w = u - centre. */
static void unpack_simple(const uint8_t *unit, bool affine, int bits, int centre, panel_block *to)
{
    const uint32_t *words = (const uint32_t *)(const void *)unit, *fifth, *quants;
    fifth = words + (affine ? PANEL_ROWS : 0);
    quants = fifth + (bits == 5 ? PANEL_ROWS : 0);
    const uint16_t *d = (const uint16_t *)(const void *)(quants + (bits == 8 ? 8 : 4) * PANEL_ROWS);

    to->groups = 1;
    to->has_offset = affine;
    for (int r = 0; r < PANEL_ROWS; r++) {
        to->scale[0][r] = affine ? low_half(words[r]) : f32_from_f16(d[r]);
        to->offset[r] = affine ? high_half(words[r]) : 0;
        for (int e = 0; e < ACT_BLOCK; e++) {
            unsigned u = byte_of(quants, (bits == 8 ? e : e % 16) / 4, r, e % 4);
            if (bits < 8) u = e < 16 ? u & 15 : u >> 4;
            if (bits == 5) u |= ((fifth[r] >> e) & 1) << 4;
            to->w[e][r] = (int)u - centre;
        }
    }
}

/* Sub-block s of a Q4_K or Q5_K super-block. The packing of its 6-bit scale and minimum: ggml's get_scale_min_k4. */
static void unpack_k45(const uint8_t *unit, int bits, int s, panel_block *to)
{
    const uint32_t *words = (const uint32_t *)(const void *)unit;
    const uint32_t *packed = words + PANEL_ROWS, *fifth = packed + 3 * PANEL_ROWS;
    const uint32_t *quants = fifth + (bits == 5 ? 8 * PANEL_ROWS : 0);

    to->groups = 1;
    to->has_offset = true;
    for (int r = 0; r < PANEL_ROWS; r++) {
        unsigned scale = byte_of(packed, 0, r, s % 4), min = byte_of(packed, 1, r, s % 4);
        if (s < 4) {
            scale &= 63;
            min &= 63;
        } else {
            unsigned low = byte_of(packed, 2, r, s % 4);
            scale = (low & 15) | ((scale >> 6) << 4);
            min = (low >> 4) | ((min >> 6) << 4);
        }
        to->scale[0][r] = low_half(words[r]) * (float)scale;
        to->offset[r] = -(high_half(words[r]) * (float)min);
        for (int e = 0; e < ACT_BLOCK; e++) {
            unsigned u = byte_of(quants, 8 * (s / 2) + e / 4, r, e % 4);
            u = s % 2 ? u >> 4 : u & 15;
            if (bits == 5) u |= ((byte_of(fifth, e / 4, r, e % 4) >> s) & 1) << 4;
            to->w[e][r] = (int)u;
        }
    }
}

static void unpack_q6_k(const uint8_t *unit, int s, panel_block *to)
{
    const int half = s / 4, quarter = s % 4;
    const uint32_t *low = (const uint32_t *)(const void *)unit, *high = low + 32 * PANEL_ROWS;
    const uint32_t *scales = high + 16 * PANEL_ROWS;
    const uint16_t *d = (const uint16_t *)(const void *)(scales + 4 * PANEL_ROWS);

    to->groups = 2;
    to->has_offset = false;
    for (int r = 0; r < PANEL_ROWS; r++) {
        for (int g = 0; g < 2; g++) {
            int8_t scale = (int8_t)byte_of(scales, (2 * s + g) / 4, r, (2 * s + g) % 4);
            to->scale[g][r] = f32_from_f16(d[r]) * (float)scale;
        }
        for (int e = 0; e < ACT_BLOCK; e++) {
            unsigned u = byte_of(low, 16 * half + 8 * (quarter & 1) + e / 4, r, e % 4);
            u = quarter < 2 ? u & 15 : u >> 4;
            u |= ((byte_of(high, 8 * half + e / 4, r, e % 4) >> (2 * quarter)) & 3) << 4;
            to->w[e][r] = (int)u - 32;
        }
    }
}

/* The types whose nibbles are codes. */
static void unpack_codes(const uint32_t *codes, const int8_t *table, panel_block *to)
{
    to->groups = 1;
    to->has_offset = false;
    for (int r = 0; r < PANEL_ROWS; r++)
        for (int e = 0; e < ACT_BLOCK; e++) {
            unsigned both = byte_of(codes, e % 16 / 4, r, e % 4);
            to->w[e][r] = (int)table[e < 16 ? both & 15 : both >> 4];
        }
}

static void unpack_iq4_nl(const uint8_t *unit, panel_block *to)
{
    const uint32_t *words = (const uint32_t *)(const void *)unit;
    const uint16_t *d = (const uint16_t *)(const void *)(words + 4 * PANEL_ROWS);
    unpack_codes(words, iq4nl_values, to);
    for (int r = 0; r < PANEL_ROWS; r++) to->scale[0][r] = f32_from_f16(d[r]);
}

static void unpack_mxfp4(const uint8_t *unit, panel_block *to)
{
    const uint32_t *words = (const uint32_t *)(const void *)unit;
    unpack_codes(words, fp4_values, to);
    for (int r = 0; r < PANEL_ROWS; r++) to->scale[0][r] = f32_from_e8m0_half(unit[16 * PANEL_ROWS + r]);
}

static void unpack_iq4_xs(const uint8_t *unit, int s, panel_block *to)
{
    const uint32_t *words = (const uint32_t *)(const void *)unit, *low = words + PANEL_ROWS;
    unpack_codes(words + (2 + 4 * s) * PANEL_ROWS, iq4nl_values, to);
    for (int r = 0; r < PANEL_ROWS; r++) {
        unsigned scale = (low[r] >> 4 * s & 15) | (words[r] >> (16 + 2 * s) & 3) << 4;
        to->scale[0][r] = low_half(words[r]) * (float)((int)scale - 32);
    }
}

/* Elements 32b..32b+31 of a panel. */
static void unpack(panel_kind kind, const uint8_t *panel, int b, panel_block *to)
{
    const size_t simple = (size_t)b * PANEL_ROWS, super = (size_t)(b / 8) * PANEL_ROWS;
    switch (kind) {
    case PANEL_Q4_0:
        unpack_simple(panel + 18 * simple, false, 4, 8, to);
        break;
    case PANEL_Q4_1:
        unpack_simple(panel + 20 * simple, true, 4, 0, to);
        break;
    case PANEL_Q5_0:
        unpack_simple(panel + 22 * simple, false, 5, 16, to);
        break;
    case PANEL_Q5_1:
        unpack_simple(panel + 24 * simple, true, 5, 0, to);
        break;
    case PANEL_Q8_0:
        unpack_simple(panel + 34 * simple, false, 8, 128, to);
        break;
    case PANEL_Q4_K:
        unpack_k45(panel + 144 * super, 4, b % 8, to);
        break;
    case PANEL_Q5_K:
        unpack_k45(panel + 176 * super, 5, b % 8, to);
        break;
    case PANEL_IQ4_NL:
        unpack_iq4_nl(panel + 18 * simple, to);
        break;
    case PANEL_IQ4_XS:
        unpack_iq4_xs(panel + 136 * super, b % 8, to);
        break;
    case PANEL_MXFP4:
        unpack_mxfp4(panel + 17 * simple, to);
        break;
    default:
        unpack_q6_k(panel + 210 * super, b % 8, to);
        break;
    }
}

/* ---- products ---- */

/* One block of a panel times one activation block, added to 16 sums. */
static void add_block(const panel_block *w, const act_block *a, float *acc)
{
    const int n = ACT_BLOCK / w->groups;
    for (int r = 0; r < PANEL_ROWS; r++) {
        for (int g = 0; g < w->groups; g++) {
            int sum = 0;
            for (int e = g * n; e < (g + 1) * n; e++) sum += w->w[e][r] * a->q[e];
            acc[r] = fmaf((float)sum, w->scale[g][r] * a->d, acc[r]);
        }
        if (w->has_offset) acc[r] = fmaf(w->offset[r], a->ds, acc[r]);
    }
}

static void clear(float *out, size_t ld_out, int n_act)
{
    for (int t = 0; t < n_act; t++) memset(out + (size_t)t * ld_out, 0, PANEL_ROWS * sizeof(float));
}

/* Each block is unpacked once and meets all rows of activations; the sums wait in `out`. */
static void gemm_quant(panel_kind kind, const void *panels, int n_panels, int k, const act_block *acts, size_t ld_act,
                       int n_act, float *out, size_t ld_out, bool add)
{
    panel_block block;
    const uint8_t *panel = panels;
    for (int p = 0; p < n_panels; p++, panel += panel_bytes(kind, k), out += PANEL_ROWS) {
        if (!add) clear(out, ld_out, n_act);
        for (int b = 0; b < k / ACT_BLOCK; b++) {
            unpack(kind, panel, b, &block);
            for (int t = 0; t < n_act; t++)
                add_block(&block, &acts[(size_t)t * ld_act + (size_t)b], out + (size_t)t * ld_out);
        }
    }
}

static float widen(panel_kind kind, const void *panel, size_t i)
{
    if (kind == PANEL_F32) return ((const float *)panel)[i];
    uint16_t half = ((const uint16_t *)panel)[i];
    return kind == PANEL_F16 ? f32_from_f16(half) : f32_from_bf16(half);
}

static void gemm_float(panel_kind kind, const void *panels, int n_panels, int k, const float *x, size_t ld_act,
                       int n_act, float *out, size_t ld_out, bool add)
{
    const uint8_t *panel = panels;
    for (int p = 0; p < n_panels; p++, panel += panel_bytes(kind, k), out += PANEL_ROWS) {
        if (!add) clear(out, ld_out, n_act);
        for (int i = 0; i < k; i++) {
            float w[PANEL_ROWS];
            for (int r = 0; r < PANEL_ROWS; r++) w[r] = widen(kind, panel, (size_t)i * PANEL_ROWS + (size_t)r);
            for (int t = 0; t < n_act; t++) {
                float *acc = out + (size_t)t * ld_out;
                for (int r = 0; r < PANEL_ROWS; r++) acc[r] = fmaf(w[r], x[(size_t)t * ld_act + (size_t)i], acc[r]);
            }
        }
    }
}

#define GEMM(kind, family)                                                                                             \
    static void gemm_##kind(const void *panels, int n_panels, int k, const void *acts, size_t ld_act, int n_act,       \
                            float *out, size_t ld_out, bool add)                                                       \
    {                                                                                                                  \
        gemm_##family(PANEL_##kind, panels, n_panels, k, acts, ld_act, n_act, out, ld_out, add);                       \
    }
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
GEMM(IQ4_NL, quant)
GEMM(IQ4_XS, quant)
GEMM(MXFP4, quant)

void linear_init_ref(linear_kernels *t)
{
    *t = (linear_kernels){
        .quantise = quantise,
        .gemm = {gemm_F32, gemm_F16, gemm_BF16, gemm_Q4_0, gemm_Q4_1, gemm_Q5_0, gemm_Q5_1, gemm_Q8_0, gemm_Q4_K,
                 gemm_Q5_K, gemm_Q6_K, gemm_IQ4_NL, gemm_IQ4_XS, gemm_MXFP4},
    };
}
