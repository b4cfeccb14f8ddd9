/* Family "attn": attention over KV pages of 64 tokens. Every level gives the SAME BITS as the C reference.

   ---- Pages. One kv-head's K or V of 64 tokens, 64-byte aligned; D is head_dim. K and V have formats of their own.

   f16, f32 (open pages; f32 is for tests)
     K  [D][64 tokens]                    lanes are tokens
     V  [64 tokens][D]                    lanes are channels
     Rows of tokens that were never written hold anything.
   q8 (closed pages; D a multiple of 16)
     K  u8 [D/4][64 tokens][4]            k + 128; an integer dot product takes four channels of 16 tokens
        f16 [blocks][64 tokens]           scale of 32 channels of a token; blocks = ceil(D/32), the last may be half
        f16 [D]                           the page's mean, which has been taken out of k
     V  s8 [D/16][16][16 channels][4]     four tokens of 16 channels
        f16 [D]                           scale of a channel
   q4 (closed pages; D a multiple of 16; the rows were rotated before, see vec.h)
     K  u4 [D/8][64 tokens][4]            k + 8; low halves: channels 8j.., high halves: 8j+4..
        f16 [blocks][64 tokens], f16 [D]  as in q8; scales may be negative
     V  u4 [D/16][8][16 channels][4]      v + 8; low halves: tokens 8j.., high halves: 8j+4..
        f16 [blocks][64 tokens]           scale of 32 channels of a token

   ---- Closing a page (64 written f16 rows; x is widened exactly)
     mean[d] = f16((lane sums of (x[j] + x[16+j]) + (x[32+j] + x[48+j]), lanes i+8, i+4, i+2, i+1) * (1/64)),
     r = x - mean[d] for K. int(y) is y rounded to nearest even after clamping.
     q8: scale = f16(amax * (1/127)), amax over the 32 channels of the token (K) or the 64 tokens of the channel (V);
         k = int(r * (1/scale)) in -127..127; 0 where scale is 0.
     q4: e = the r of a block that is largest in magnitude (the first of equals; V: its magnitude). Candidates c, in
         this order: -8, -7.4, -6.8 (K), 7, 7.5, 8 (V): q = int(r * (c/e)) in -8..7, a = sum r*q and b = sum q*q over
         the block's channels in order by fma. The largest a*a/b wins, the first of equals; scale = f16(a/b), the
         least-squares scale; 0, with all q 0, where |e| is below 2^-100. The integers stay those of the candidate.

   ---- Queries. Float rows q (they hold the softmax scale, and K's rotation where K is q4), and for q8 and q4 K the
   same rows as act_blocks (linear.h), zero-padded to whole blocks.

   A query's running state is (m, s, o[D]): maximum, sum of weights, unnormalised output; the empty state is m =
   -infinity, s = 0, o = 0. Folding a page into it, tokens lo..hi-1 visible to the query:
     score[t], K f16, f32:  sum over d ascending of fma(q[d], K[d][t], .) starting at 0
     score[t], K q8, q4:    starts at the lane sums of fma(q[d], mean[d], .) (lane j takes d = j, j+16, ...; lanes i+8,
                            i+4, i+2, i+1); for each block b ascending fma((float)isum, scale[b][t] * d[b], .), isum the
                            exact sum over the block of k * query's integers
     softcap > 0: score[t] = softcap * tanh(score[t] * (1 / softcap)) (vec.h's tanh); score[t] = -inf outside lo..hi-1
     mp = max score, -0 as +0; p[t] = exp(score[t] - mp) (vec.h's exp; 0 for masked t)
     M = max(m, mp); a = exp(m - M) (0 when m is -inf); b = exp(mp - M)
     V f16, f32: sp = lane sums ((p[j] + p[16+j]) + (p[32+j] + p[48+j])), then lanes i+8, i+4, i+2, i+1
                 op[d] = sum over t = lo..hi-1 ascending of fma(p[t], V[t][d], .) starting at 0
                 s = fma(s, a, sp * b); o[d] = fma(o[d], a, op[d] * b)
     V q8:       u[t] = 255 * exp(score[t] - mp) to an integer, by the steps of weight() in kernels/ref/attn.c, which
                 lie within 0.53 of it; 0 for masked t; w = b * (1/255); U = sum u[t]
                 s = fma(s, a, U * w): what rounding takes from the outputs it takes from the sum as well
                 o[d] = fma(o[d], a, (float)(sum u[t] * v[t][d]) * (scale[d] * w))
     V q4:       y[t] = 255 * exp(score[t] - mp) by the same steps, not rounded; 0 where score[t] - mp < -22 and for
                 masked t; w = b * (1/255); s = fma(s, a, U * w) with U the lane sums of y, as sp is of p
                 for each block of 32 channels: X = max scale[t] of all 64 tokens; r[t] = scale[t] * (1/X), 0 where X is
                 below 1e-30; u[t] = y[t] * r[t] rounded to nearest even
                 o[d] = fma(o[d], a, (float)(sum u[t] * v[t][d]) * (X * w))
   m = M. A query with lo >= hi leaves its state untouched. The result does not depend on which other queries are in
   the call. Scores of visible tokens must be finite; what masked tokens of open pages hold, NaN included, never
   reaches the result. */
#ifndef KVASIR_KERNELS_ATTN_H
#define KVASIR_KERNELS_ATTN_H

#include "base/checked.h"
#include "base/cpu.h"
#include "kernels/linear.h"
#include <stddef.h>
#include <stdint.h>

enum { KV_PAGE = 64, ATTN_MAX_DIM = 576, ATTN_LANES = 16, ATTN_PAGE_ALIGN = 64 };

/* The numbers of q4, see above. */
#define ATTN_Q4_K_RANGE                                                                                                \
    {                                                                                                                  \
        -8.0f, -7.4f, -6.8f                                                                                            \
    }
#define ATTN_Q4_V_RANGE                                                                                                \
    {                                                                                                                  \
        7.0f, 7.5f, 8.0f                                                                                               \
    }
#define ATTN_Q4_LEAST 0x1p-100f
#define ATTN_TINY     1e-30f
#define ATTN_Y_LEAST  -22.0f
enum { ATTN_Q4_TRIES = 3, ATTN_TURN_FROM = 8 };

typedef enum attn_format { ATTN_F32, ATTN_F16, ATTN_Q8, ATTN_Q4, ATTN_FORMATS } attn_format;

/* Whether pages of this format are closed ones, which hold integers. */
static inline bool attn_is_packed(attn_format f)
{
    return f == ATTN_Q8 || f == ATTN_Q4;
}

/* Blocks of 32 channels in a head; the last one may be half a block. */
static inline int attn_blocks(int head_dim)
{
    return (head_dim + ACT_BLOCK - 1) / ACT_BLOCK;
}

/* Where the parts of a closed page lie, in bytes from its start. */
static inline size_t attn_values_bytes(attn_format f, int head_dim)
{
    return (size_t)head_dim * KV_PAGE * (f == ATTN_F32 ? 4 : f == ATTN_F16 ? 2 : 1) / (f == ATTN_Q4 ? 2 : 1);
}
static inline size_t attn_mean_at(attn_format f, int head_dim) /* K's; the scales stand before it */
{
    return attn_values_bytes(f, head_dim) + (size_t)attn_blocks(head_dim) * KV_PAGE * sizeof(uint16_t);
}

/* Bytes of one page of one head. */
static inline size_t attn_page_bytes(attn_format f, bool is_v, int head_dim)
{
    size_t bytes = attn_values_bytes(f, head_dim), channels = (size_t)head_dim * sizeof(uint16_t);
    if (attn_is_packed(f)) {
        if (!is_v)
            bytes = attn_mean_at(f, head_dim) + channels;
        else
            bytes += f == ATTN_Q8 ? channels : (size_t)attn_blocks(head_dim) * KV_PAGE * sizeof(uint16_t);
    }
    return align_up(bytes, ATTN_PAGE_ALIGN);
}

typedef struct attn_queries {
    int n;          /* queries in this call; they share the page (a GQA group times a block of positions) */
    int head_dim;   /* fast for multiples of 16 up to ATTN_MAX_DIM; others (f16, f32 only) take the plain C path */
    float softcap;  /* 0: none */
    const float *q; /* n rows, ldq floats apart */
    size_t ldq;
    const act_block *qi;    /* n rows of attn_blocks(head_dim); used for K in q8 and q4 only */
    const uint8_t *lo, *hi; /* n each, 0..64 */
    bool whole;             /* all lo are 0 and all hi 64; may be left false */
    float *m, *s;           /* n each */
    float *o;               /* n rows, ldo floats apart */
    size_t ldo;
    const float *start; /* n: what K's mean adds to the scores, from attn_kernels.means; NULL: not known yet */
} attn_queries;

/* Queries in whole sixteens. */
static inline int attn_sixteens(int n)
{
    return (n + ATTN_LANES - 1) / ATTN_LANES * ATTN_LANES;
}

typedef struct attn_page {
    attn_format k_format, v_format;
    const void *k, *v;
    const void *next_k, *next_v; /* the page that the caller folds next, or NULL: only fetched ahead, never looked at */
} attn_page;

typedef struct attn_kernels {
    /* Folds the page into the queries' states. */
    void (*fold)(const attn_queries *q, const attn_page *page);
    /* Folds another state in: M = max(m, m2), -0 as +0; o = fma(o, exp(m-M), o2 * exp(m2-M)), s likewise. Spans are
       merged like this, in order. An empty state on the right changes nothing; one on the left is replaced. */
    void (*merge)(float *m, float *s, float *o, float m2, float s2, const float *o2, int head_dim);
    /* out[d] = o[d] * (1 / s). With a sink (a logit in the denominator only) M = max(m, sink), a = exp(m - M)
       and out[d] = o[d] * (a * (1 / fma(s, a, exp(sink - M)))). sink NULL: none. out may be o. The empty
       state gives 0. */
    void (*finish)(float m, float s, const float *o, const float *sink, int head_dim, float *out);
    /* Writes n rows of q, ld floats apart, as [sixteens of rows][head_dim][16 rows]; missing rows of the last sixteen
       are 0. It prepares means() and is worth it from ATTN_TURN_FROM rows on. NULL where it is of no use; then means
       is NULL, too. */
    void (*turn)(const float *q, size_t ld, int n, int head_dim, float *turned);
    /* What the means of n_pages pages of K in q8 or q4 add to the scores of n queries, in the order of the
       contract: start[p * attn_sixteens(n) + i]. It takes the pages of a span together, since reading the
       queries takes longest. */
    void (*means)(const float *turned, int n, int head_dim, attn_format f, const void *const *k, int n_pages,
                  float *start);
    /* Writes n (1..64 - at) token rows, ld floats apart, into an open page (f16 or f32) from token `at` on. */
    void (*append_k)(attn_format f, const float *rows, size_t ld, int n, int at, int head_dim, void *page);
    void (*append_v)(attn_format f, const float *rows, size_t ld, int n, int at, int head_dim, void *page);
    /* Packs a full f16 page as q8 or q4. */
    void (*close_k)(attn_format f, const uint16_t *open, int head_dim, void *closed);
    void (*close_v)(attn_format f, const uint16_t *open, int head_dim, void *closed);
} attn_kernels;

/* The table for a level. What a level does not override comes from the levels below it. */
void attn_kernels_init(attn_kernels *t, cpu_level level);

#endif
