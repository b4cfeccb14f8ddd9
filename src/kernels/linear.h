/* Family "linear": weights in panels of 16 output rows, times activations.

   A panel is 16 rows of a weight matrix interleaved by 4-byte words, so that a vector register's lanes are output rows:
   one activation word is broadcast and meets 16 rows at once. Rows beyond the matrix's last are zero. A GEMV and a GEMM
   add in the same order, hence give the same bits (docs/ARCHITECTURE.md, "Same bits, always"). All integer sums are
   exact. The order of the float sums below is the contract: every level follows it, with fused multiply-adds exactly
   where written, so that all levels give the SAME BITS as the C reference (kcheck compares with memcmp).

   Quantised kinds. A weight is scale * w + offset with w a small integer. With act_block a[b] for the 32
   elements of block b:

     for b = 0, 1, ...:
         for each group g of the block that has its own scale (one of 32, or two of 16 for Q6_K):
             isum = sum over the group of w * a[b].q         (int32, exact)
             acc  = fma((float)isum, scale_g * a[b].d, acc)  (the product scale_g * d is rounded first)
         acc = fma(offset, a[b].ds, acc)                     (kinds with an offset only)

   (f16 values widened exactly; products in f32, rounded). u is the unsigned number that the file stores:

     Q4_0        w = u - 8     d
     Q5_0        w = u - 16    d
     Q8_0        w = q         d
     Q4_1, Q5_1  w = u         d, offset m
     Q4_K, Q5_K  w = u         d*sc, offset -(dmin*m)
     Q6_K        w = u - 32    d*sc per 16
     IQ4_NL      w = table[u]  d          (iq4nl_values of quant/iq_tables.h)
     IQ4_XS      w = table[u]  d*(ls-32)  (the same table; ls of 6 bits)
     MXFP4       w = table[u]  2^(e-128)  (fp4_values, which are doubled)

   Integer units that want unsigned weights take (w + c) * q and start from -c times the sum of q. That is why act_block
   holds this sum for the largest c. Signed units take w. Both are exact.

   Float kinds (F32, F16, BF16): acc = fma(w[k], x[k], acc) for k ascending, w widened exactly. */
#ifndef KVASIR_KERNELS_LINEAR_H
#define KVASIR_KERNELS_LINEAR_H

#include "base/cpu.h"
#include "quant/quant.h"
#include <stdbool.h>

enum { PANEL_ROWS = 16, ACT_BLOCK = 32 };

/* 32 activations of one token as int8 with one scale: x ~= d * q, |q| <= 127. */
typedef struct act_block {
    float d;             /* 0 for a block of zeros */
    float ds;            /* d * (float)(sum of q) */
    int32_t minus128[3]; /* -128 times the sum of q[0..15], of q[16..31], of all */
    int8_t q[ACT_BLOCK];
} act_block;

/* How a weight type is stored as panels. Kinds are named after the ggml type that they hold; types without a
   kind of their own are kept as raw rows and decoded to F32 panels tile by tile (ops/linear.c). */
typedef enum panel_kind {
    PANEL_F32,
    PANEL_F16,
    PANEL_BF16,
    PANEL_Q4_0,
    PANEL_Q4_1,
    PANEL_Q5_0,
    PANEL_Q5_1,
    PANEL_Q8_0,
    PANEL_Q4_K,
    PANEL_Q5_K,
    PANEL_Q6_K,
    PANEL_IQ4_NL,
    PANEL_IQ4_XS,
    PANEL_MXFP4,
    PANEL_KINDS
} panel_kind;

/* The kind for a ggml type, or -1 when it has none. */
int panel_kind_of(quant_type type);
const char *panel_kind_name(panel_kind kind); /* the name of its ggml type */
bool panel_kind_is_float(panel_kind kind);    /* takes float activations, not act_blocks */

/* Bytes of one panel of rows of k elements (a multiple of 64, for alignment). k is a multiple of the type's block. */
size_t panel_bytes(panel_kind kind, int k);

/* Packs n_rows (1..16) rows as they lie in the file, row_bytes apart, into one panel. Layouts are documented
   in kernels/ref/panel.c beside the code. Plain C, about memory speed: words are moved, not recomputed. */
void panel_pack(panel_kind kind, const void *rows, size_t row_bytes, int n_rows, int k, void *panel);

/* The same from float32 rows, row_floats apart (PANEL_F32 only): decoded tiles. */
void panel_pack_f32(const float *rows, size_t row_floats, int n_rows, int k, float *panel);

typedef struct linear_kernels {
    /* n rows of k activations (a multiple of 32), ld floats apart, to rows of k/32 blocks, ld_out blocks apart. Rows
       that are given together take less time than one by one.
       Six roundings of a block are tried, and the one with the least squared error at its own best scale is taken: 19%
       less error than rounding at amax/127. Let y be x * (32767/amax), rounded to the nearest even integer. Candidate
       c = 0..5 is q = (y * (127-c) + 2^14) >> 15; a = sum y*q and b = sum q*q are exact in integers and then rounded to
       float. The first candidate gives way to each later one with (a*a) * b' > (a'*a') * b, where a' and b' belong to
       the last one that won. d = (amax * (1/32767)) * (a/b) is the least-squares scale. A block whose amax is below
       2^-110 (32767/amax would overflow) becomes zeros. A block with an infinite element or a NaN has zeros for q, and
       NaN for d and ds, so that what is multiplied with it is NaN too. */
    void (*quantise)(const float *x, size_t ld, int n, int k, act_block *out, size_t ld_out);

    /* out[t * ld_out + 16 * p + r] = panel p, row r, times activation row t; t < n_act, p < n_panels. With `add` the
       sums start from what is there instead of 0.
       panels: n_panels consecutive panels. acts: for quantised kinds act_block rows, ld_act blocks apart; for float
       kinds float rows, ld_act floats apart. n_act is at least 1: n_act == 1 is the decode path and must run at memory
       speed. out must have room for 16 * n_panels floats per row, and must not overlap the inputs. */
    void (*gemm[PANEL_KINDS])(const void *panels, int n_panels, int k, const void *acts, size_t ld_act, int n_act,
                              float *out, size_t ld_out, bool add);
} linear_kernels;

/* The table for a level. What a level does not override comes from the levels below it. */
void linear_kernels_init(linear_kernels *t, cpu_level level);

#endif
