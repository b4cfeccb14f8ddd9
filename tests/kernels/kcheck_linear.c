/* Checks of kernels/linear.h: packing and the reference against the decoders of quant/, all levels
   against the reference. */
#include "kcheck.h"

#include "base/half.h"
#include "kernels/linear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* How the scales of a weight's blocks are chosen; the rest of a block is random bytes. */
typedef enum scale_kind { SCALES_USUAL, SCALES_DENORMAL, SCALES_ZERO, SCALES_ANY, SCALE_KINDS } scale_kind;
static const char *const scale_names[SCALE_KINDS] = {"usual", "denormal", "zero", "any"};

/* Where a block has its f16 fields; -1: none. MXFP4's scale is a byte and is handled separately. */
static const struct {
    quant_type type;
    int d, m;
} types[PANEL_KINDS] = {
    [PANEL_F32] = {QUANT_F32, -1, -1},      [PANEL_F16] = {QUANT_F16, -1, -1},
    [PANEL_BF16] = {QUANT_BF16, -1, -1},    [PANEL_Q4_0] = {QUANT_Q4_0, 0, -1},
    [PANEL_Q4_1] = {QUANT_Q4_1, 0, 2},      [PANEL_Q5_0] = {QUANT_Q5_0, 0, -1},
    [PANEL_Q5_1] = {QUANT_Q5_1, 0, 2},      [PANEL_Q8_0] = {QUANT_Q8_0, 0, -1},
    [PANEL_Q4_K] = {QUANT_Q4_K, 0, 2},      [PANEL_Q5_K] = {QUANT_Q5_K, 0, 2},
    [PANEL_Q6_K] = {QUANT_Q6_K, 208, -1},   [PANEL_IQ4_NL] = {QUANT_IQ4_NL, 0, -1},
    [PANEL_IQ4_XS] = {QUANT_IQ4_XS, 0, -1}, [PANEL_MXFP4] = {QUANT_MXFP4, 0, -1},
};

/* A product to compute: a weight of file rows and its panels, activations in both forms. */
typedef struct product {
    panel_kind kind;
    int rows, k, n_act, n_panels;
    size_t row_bytes, ld_act, ld_out;
    uint8_t *file, *panels;
    float *x;
    act_block *q;
} product;

static void put_half(uint8_t *to, uint16_t half)
{
    memcpy(to, &half, sizeof half);
}

static uint16_t random_scale(kcheck *k, scale_kind scales)
{
    switch (scales) {
    case SCALES_USUAL:
        return f16_from_f32(kcheck_uniform(k, -0.01f, 0.05f));
    case SCALES_DENORMAL:
        return (uint16_t)(kcheck_u32(k) & 0x83ff);
    case SCALES_ZERO:
        return 0;
    default:
        return (uint16_t)kcheck_u32(k);
    }
}

/* The byte e of a scale 2^(e-127): about as large as the usual f16 ones; denormal once halved; the least there is,
   since none is zero; any. */
static uint8_t random_e8m0(kcheck *k, scale_kind scales)
{
    uint8_t dice = (uint8_t)(kcheck_u32(k) >> 24);
    return scales == SCALES_USUAL      ? 118 + dice % 5
           : scales == SCALES_DENORMAL ? dice % 3
           : scales == SCALES_ZERO     ? 0
                                       : dice;
}

static void random_float_rows(kcheck *k, product *p, scale_kind scales)
{
    size_t n = (size_t)p->rows * (size_t)p->k;
    for (size_t i = 0; i < n; i++) {
        float f = scales == SCALES_ZERO ? 0 : kcheck_normal(k);
        uint32_t bits = kcheck_u32(k);
        uint16_t half = p->kind == PANEL_F16 ? f16_from_f32(f) : bf16_from_f32(f);
        if (scales == SCALES_DENORMAL) {
            half = bits & 0x803f;
            f = f32_from_bits(bits & 0x807fffffu);
        } else if (scales == SCALES_ANY) {
            half = (uint16_t)bits;
            f = f32_from_bits(bits);
        }
        if (p->kind == PANEL_F32)
            memcpy(p->file + 4 * i, &f, 4);
        else
            put_half(p->file + 2 * i, half);
    }
}

static void random_rows(kcheck *k, product *p, scale_kind scales)
{
    const quant_traits *traits = quant_traits_of(types[p->kind].type);
    if (panel_kind_is_float(p->kind)) {
        random_float_rows(k, p, scales);
        return;
    }
    kcheck_bytes(k, p->file, (size_t)p->rows * p->row_bytes);
    for (size_t at = 0; at < (size_t)p->rows * p->row_bytes; at += (size_t)traits->block_bytes) {
        if (p->kind == PANEL_MXFP4) {
            p->file[at] = random_e8m0(k, scales);
            continue;
        }
        put_half(p->file + at + types[p->kind].d, random_scale(k, scales));
        if (types[p->kind].m >= 0) put_half(p->file + at + types[p->kind].m, random_scale(k, scales));
    }
}

static product make_product(kcheck *k, panel_kind kind, int rows, int cols, int n_act, scale_kind scales,
                            kcheck_input input)
{
    const quant_traits *traits = quant_traits_of(types[kind].type);
    product p = {.kind = kind, .rows = rows, .k = cols, .n_act = n_act, .n_panels = (rows + 15) / 16};
    linear_kernels ref;
    linear_kernels_init(&ref, CPU_REF);
    p.row_bytes = (size_t)(cols / traits->block_elements) * (size_t)traits->block_bytes;
    p.file = kcheck_alloc((size_t)rows * p.row_bytes);
    p.panels = kcheck_alloc((size_t)p.n_panels * panel_bytes(kind, cols));
    p.ld_act = (size_t)cols / ACT_BLOCK + 1; /* in blocks */
    p.ld_out = (size_t)p.n_panels * 16 + 5;
    p.x = kcheck_alloc((size_t)n_act * p.ld_act * ACT_BLOCK * sizeof(float));
    p.q = kcheck_alloc((size_t)n_act * p.ld_act * sizeof(act_block));
    random_rows(k, &p, scales);
    kcheck_floats(k, input, p.x, (size_t)n_act * p.ld_act * ACT_BLOCK);
    ref.quantise(p.x, p.ld_act * ACT_BLOCK, n_act, cols, p.q, p.ld_act);
    for (int i = 0; i < p.n_panels; i++) {
        int n = rows - 16 * i < 16 ? rows - 16 * i : 16;
        panel_pack(kind, p.file + (size_t)i * 16 * p.row_bytes, p.row_bytes, n, cols,
                   p.panels + (size_t)i * panel_bytes(kind, cols));
    }
    return p;
}

static void free_product(kcheck *k, product *p)
{
    kcheck_free(k, p->file);
    kcheck_free(k, p->panels);
    kcheck_free(k, p->x);
    kcheck_free(k, p->q);
}

/* start: NULL, or what the product is added to. */
static float *multiply(const linear_kernels *t, const product *p, const float *start)
{
    size_t bytes = (size_t)p->n_act * p->ld_out * sizeof(float);
    float *out = kcheck_alloc(bytes);
    if (start) memcpy(out, start, bytes);
    bool floats = panel_kind_is_float(p->kind);
    t->gemm[p->kind](p->panels, p->n_panels, p->k, floats ? (const void *)p->x : (const void *)p->q,
                     floats ? p->ld_act * ACT_BLOCK : p->ld_act, p->n_act, out, p->ld_out, start != NULL);
    return out;
}

/* ---- the reference against decoded weights, in double ---- */

static double act_value(const product *p, int t, int i)
{
    if (panel_kind_is_float(p->kind)) return (double)p->x[(size_t)t * p->ld_act * ACT_BLOCK + (size_t)i];
    const act_block *a = &p->q[(size_t)t * p->ld_act + (size_t)(i / ACT_BLOCK)];
    return (double)a->d * a->q[i % ACT_BLOCK];
}

static void check_values(kcheck *k, const linear_kernels *t, panel_kind kind, int rows, int cols)
{
    enum { ACTS = 3 };
    product p = make_product(k, kind, rows, cols, ACTS, SCALES_USUAL, IN_NORMAL);
    float *out = multiply(t, &p, NULL), *w = kcheck_alloc((size_t)cols * sizeof(float));
    for (int r = 0; r < (rows + 15) / 16 * 16; r++) {
        double want[ACTS] = {0}, scale[ACTS] = {0};
        float got[ACTS];
        if (r < rows) quant_traits_of(types[kind].type)->decode(p.file + (size_t)r * p.row_bytes, w, (size_t)cols);
        for (int a = 0; a < ACTS; a++) {
            for (int i = 0; i < cols && r < rows; i++) {
                want[a] += (double)w[i] * act_value(&p, a, i);
                scale[a] += fabs((double)w[i] * act_value(&p, a, i));
            }
            got[a] = out[(size_t)a * p.ld_out + (size_t)r];
        }
        kcheck_near(k, want, got, scale, ACTS, 1e-5, "%s %dx%d: row %d against decoded weights", panel_kind_name(kind),
                    rows, cols, r);
    }
    kcheck_free(k, w);
    kcheck_free(k, out);
    free_product(k, &p);
}

/* ---- all levels against the reference ---- */

static void check_gemm(kcheck *k, const linear_kernels *ref, const linear_kernels *t, panel_kind kind, int rows,
                       int cols, int n_act, scale_kind scales, kcheck_input input)
{
    product p = make_product(k, kind, rows, cols, n_act, scales, input);
    size_t n = (size_t)n_act * p.ld_out;
    float *start = kcheck_alloc(n * sizeof *start);
    kcheck_floats(k, IN_NORMAL, start, n);
    for (int add = 0; add < 2; add++) {
        float *want = multiply(ref, &p, add ? start : NULL), *got = multiply(t, &p, add ? start : NULL);
        kcheck_same_floats(k, want, got, n, "gemm %s rows %d k %d n_act %d, scales %s, input %s%s",
                           panel_kind_name(kind), rows, cols, n_act, scale_names[scales], kcheck_input_name(input),
                           add ? ", added" : "");
        kcheck_free(k, want);
        kcheck_free(k, got);
    }
    kcheck_free(k, start);
    free_product(k, &p);
}

static void check_shapes(kcheck *k, const linear_kernels *ref, const linear_kernels *t, panel_kind kind)
{
    static const int counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 64, 100};
    int unit = quant_traits_of(types[kind].type)->block_elements == 256 ? 256 : 32;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        int rows = 1 + (int)(kcheck_u32(k) % 80), units = 1 + (int)(kcheck_u32(k) % (unit == 256 ? 3 : 9));
        check_gemm(k, ref, t, kind, rows, units * unit, counts[i], SCALES_USUAL, IN_NORMAL);
        check_gemm(k, ref, t, kind, 16 + (int)i % 3 * 16, unit, counts[i], SCALES_USUAL, IN_OUTLIERS);
    }
    check_gemm(k, ref, t, kind, 77, 2048, 1, SCALES_USUAL, IN_NORMAL);
    check_gemm(k, ref, t, kind, 160, 2048, 1, SCALES_USUAL, IN_NORMAL);
    check_gemm(k, ref, t, kind, 40, k->is_short ? 512 : 2048, 200, SCALES_USUAL, IN_NORMAL);
    check_gemm(k, ref, t, kind, 48, 4352, k->is_short ? 5 : 70, SCALES_USUAL, IN_NORMAL);
    for (int s = 0; s < SCALE_KINDS; s++) {
        for (int in = 0; in < IN_KINDS; in++) {
            if (in == IN_NAN && !panel_kind_is_float(kind)) continue;
            check_gemm(k, ref, t, kind, 33, 512, 1, (scale_kind)s, (kcheck_input)in);
            check_gemm(k, ref, t, kind, 33, 512, 7, (scale_kind)s, (kcheck_input)in);
        }
    }
}

/* The squared errors of a block of numbers, in units of its largest one: `mine` of the block, `plain` of
   rounding at amax/127. */
typedef struct act_error {
    double mine, plain;
} act_error;

static act_error error_of(const float *x, const act_block *a)
{
    act_error sum = {0};
    double amax = 0;
    for (int i = 0; i < ACT_BLOCK; i++) /* not fmax, on which gcc 12 for aarch64 fails */
        if (fabs((double)x[i]) > amax) amax = fabs((double)x[i]);
    for (int i = 0; i < ACT_BLOCK; i++) {
        double step = amax / 127, e = (double)x[i] - (double)a->d * a->q[i], p = x[i] - step * rint(x[i] / step);
        sum.mine += e / amax * (e / amax);
        sum.plain += p / amax * (p / amax);
    }
    return sum;
}

/* The properties that the contract promises for every block. The error is that of the best rounding of y, and y
   stands for x to 2^-9 of a step: where x lies that close to the middle between two integers, rounding at amax/127
   may come out better. */
static void check_act_block(kcheck *k, const float *x, const act_block *a, const char *input)
{
    int sum[2] = {0}, least = 0;
    bool numbers = true;
    for (int i = 0; i < ACT_BLOCK; i++) {
        if (!isfinite(x[i])) numbers = false;
        sum[i / 16] += a->q[i];
        if (a->q[i] < least) least = a->q[i];
    }
    act_error error = error_of(x, a);
    float ds = a->d * (float)(sum[0] + sum[1]);
    kcheck_true(k,
                least >= -127 && a->minus128[0] == -128 * sum[0] && a->minus128[1] == -128 * sum[1] &&
                    a->minus128[2] == -128 * (sum[0] + sum[1]),
                "quantise %s: sums %d %d %d", input, a->minus128[0], a->minus128[1], a->minus128[2]);
    kcheck_true(k, f32_bits(ds) == f32_bits(a->ds), "quantise %s: ds", input);
    kcheck_true(k, numbers == !isnan(a->d), "quantise %s: NaN where an element is none, and only there", input);
    kcheck_true(k, a->d == 0 || !numbers || error.mine <= error.plain * 1.01 + 1e-9,
                "quantise %s: error %g, %g at amax/127", input, error.mine, error.plain);
}

/* Why six roundings are tried: over many blocks the error is a fifth less than with one. */
static void check_quantise_error(kcheck *k, const linear_kernels *t)
{
    enum { BLOCKS = 2048 };
    act_error sum = {0};
    float *x = kcheck_alloc(BLOCKS * ACT_BLOCK * sizeof(float));
    act_block *a = kcheck_alloc(BLOCKS * sizeof(act_block));
    kcheck_floats(k, IN_NORMAL, x, (size_t)BLOCKS * ACT_BLOCK);
    t->quantise(x, 0, 1, BLOCKS * ACT_BLOCK, a, 0);
    for (int b = 0; b < BLOCKS; b++) {
        act_error e = error_of(x + (size_t)b * ACT_BLOCK, &a[b]);
        sum.mine += e.mine;
        sum.plain += e.plain;
    }
    kcheck_true(k, sum.mine < 0.83 * sum.plain, "quantise: %.3f of the error at amax/127", sum.mine / sum.plain);
    kcheck_free(k, x);
    kcheck_free(k, a);
}

/* Rows that have an unused block between them. */
static void check_quantise_rows(kcheck *k, const linear_kernels *ref, const linear_kernels *t, kcheck_input input,
                                int rows, int blocks)
{
    const size_t ld = (size_t)blocks + 1, n = (size_t)rows * ld, bytes = n * sizeof(act_block);
    float *x = kcheck_alloc(n * ACT_BLOCK * sizeof(float));
    act_block *want = kcheck_alloc(bytes), *got = kcheck_alloc(bytes);
    kcheck_floats(k, input, x, n * ACT_BLOCK);
    ref->quantise(x, ld * ACT_BLOCK, rows, blocks * ACT_BLOCK, want, ld);
    t->quantise(x, ld * ACT_BLOCK, rows, blocks * ACT_BLOCK, got, ld);
    kcheck_same(k, want, got, bytes, "quantise %s, %d rows of %d blocks", kcheck_input_name(input), rows, blocks);
    for (size_t i = 0; i < n; i++)
        if (i % ld < (size_t)blocks) check_act_block(k, x + i * ACT_BLOCK, &got[i], kcheck_input_name(input));
    kcheck_free(k, x);
    kcheck_free(k, want);
    kcheck_free(k, got);
}

static void check_quantise(kcheck *k, const linear_kernels *ref, const linear_kernels *t, kcheck_input input)
{
    for (int blocks = 1; blocks < 80; blocks = blocks * 2 + 1) {
        check_quantise_rows(k, ref, t, input, 1, blocks);
        check_quantise_rows(k, ref, t, input, 2 + blocks % 5, blocks);
    }
}

void kcheck_linear(kcheck *k)
{
    linear_kernels ref, t;
    linear_kernels_init(&ref, CPU_REF);
    linear_kernels_init(&t, k->level);
    if (k->bench) {
        kcheck_bench_linear(k);
        return;
    }
    for (int input = 0; input < IN_KINDS; input++) check_quantise(k, &ref, &t, (kcheck_input)input);
    check_quantise_error(k, &t);
    for (int kind = 0; kind < PANEL_KINDS; kind++) {
        kcheck_true(k, panel_kind_of(types[kind].type) == kind, "panel_kind_of %s", panel_kind_name((panel_kind)kind));
        check_values(k, &t, (panel_kind)kind, 37, 512);
        check_values(k, &t, (panel_kind)kind, 16, 256);
        if (k->level != CPU_REF) check_shapes(k, &ref, &t, (panel_kind)kind);
    }
}
