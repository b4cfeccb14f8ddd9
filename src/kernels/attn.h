/* Family "attn": attention over KV pages of 64 tokens. Every level gives the SAME BITS as the C reference.

   Pages (f16, or f32 for tests). K page: [head_dim][64 tokens]; lanes are tokens. V page: [64
   tokens][head_dim]; lanes are channels. Both are 64-byte aligned. Rows of tokens that were never written
   hold anything.

   A query's running state is (m, s, o[head_dim]): maximum, sum of weights, unnormalised output; the empty
   state is m = -infinity, s = 0, o = 0. Folding page P into it, tokens lo..hi-1 visible to the query:
     score[t] = sum over d ascending of fma(q[d], K[d][t], .) starting at 0     (q already holds the softmax
   scale) if softcap > 0: score[t] = softcap * tanh(score[t] * (1 / softcap))        (vec.h's tanh) score[t] =
   -inf for t outside lo..hi-1 mp  = max score, -0 as +0; p[t] = exp(score[t] - mp) (vec.h's exp; 0 for masked
   t) sp  = lane sums ((p[j] + p[16+j]) + (p[32+j] + p[48+j])), then lanes i+8, i+4, i+2, i+1 op[d] = sum over
   t = lo..hi-1 ascending of fma(p[t], V[t][d], .) starting at 0 M = max(m, mp); a = exp(m - M) (0 when m is
   -inf); b = exp(mp - M) s = fma(s, a, sp * b); o[d] = fma(o[d], a, op[d] * b); m = M A query with lo >= hi
   leaves its state untouched. The result does not depend on which other queries are in the call. Scores of
   visible tokens must be finite; what masked tokens hold, NaN included, never reaches the result. */
#ifndef KVASIR_KERNELS_ATTN_H
#define KVASIR_KERNELS_ATTN_H

#include "base/cpu.h"
#include <stddef.h>
#include <stdint.h>

enum { KV_PAGE = 64, ATTN_MAX_DIM = 576 };

typedef struct attn_queries {
    int n;          /* queries in this call; they share the page (a GQA group times a block of positions) */
    int head_dim;   /* fast for multiples of 16 up to ATTN_MAX_DIM; others take the plain C path */
    float softcap;  /* 0: none */
    const float *q; /* n rows, ldq floats apart */
    size_t ldq;
    const uint8_t *lo, *hi; /* n each, 0..64 */
    float *m, *s;           /* n each */
    float *o;               /* n rows, ldo floats apart */
    size_t ldo;
    const void *next_k; /* the K page that the caller folds next, or NULL: fetched ahead, never looked at */
} attn_queries;

typedef struct attn_kernels {
    void (*page_f16)(const attn_queries *q, const uint16_t *k, const uint16_t *v);
    void (*page_f32)(const attn_queries *q, const float *k, const float *v);
    /* Folds another state in: M = max(m, m2), -0 as +0; o = fma(o, exp(m-M), o2 * exp(m2-M)), s likewise.
       Spans are merged so, in order. An empty state on the right changes nothing; on the left, it is
       replaced. */
    void (*merge)(float *m, float *s, float *o, float m2, float s2, const float *o2, int head_dim);
    /* out[d] = o[d] * (1 / s). With a sink (a logit in the denominator only) M = max(m, sink), a = exp(m - M)
       and out[d] = o[d] * (a * (1 / fma(s, a, exp(sink - M)))). sink NULL: none. out may be o. The empty
       state gives 0. */
    void (*finish)(float m, float s, const float *o, const float *sink, int head_dim, float *out);
    /* Writes n (1..64 - at) token rows into an open page from token `at` on: K transposed to f16, V as rows.
       k and v: n rows, ldk/ldv floats apart. */
    void (*append_f16)(const float *k, size_t ldk, const float *v, size_t ldv, int n, int at, int head_dim,
                       uint16_t *k_page, uint16_t *v_page);
    void (*append_f32)(const float *k, size_t ldk, const float *v, size_t ldv, int n, int at, int head_dim,
                       float *k_page, float *v_page);
} attn_kernels;

/* The table for a level; lower levels fill what a level does not override. */
void attn_kernels_init(attn_kernels *t, cpu_level level);

#endif
