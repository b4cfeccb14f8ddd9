/* The plain C reference of family "attn". The order of operations here is the contract that every level
 * keeps. */
#include "kernels/attn.h"
#include "base/half.h"
#include "kernels/levels.h"
#include "kernels/vec.h"

#include <math.h>

static float larger(float a, float b)
{
    return a > b ? a : b;
}

/* One page as the arithmetic sees it: element i of K or V, whichever way it is stored. */
typedef float (*element)(const void *page, size_t i);

static float f16_element(const void *page, size_t i)
{
    return f32_from_f16(((const uint16_t *)page)[i]);
}

static float f32_element(const void *page, size_t i)
{
    return ((const float *)page)[i];
}

/* Scores of one query against tokens lo..hi-1; returns their maximum, -0 as +0. */
static float page_scores(const attn_queries *a, const float *q, int lo, int hi, const void *k, element at, float *score)
{
    float inv_cap = 1.0f / a->softcap, max = -INFINITY;
    for (int t = lo; t < hi; t++) {
        float sum = 0;
        for (int d = 0; d < a->head_dim; d++) sum = fmaf(q[d], at(k, (size_t)d * KV_PAGE + (size_t)t), sum);
        score[t] = a->softcap > 0 ? a->softcap * vec_tanh_ref(sum * inv_cap) : sum;
        max = larger(max, score[t]);
    }
    return max + 0.0f;
}

/* Turns scores into weights exp(score - max), 0 outside lo..hi-1, and returns their sum in the contract's
 * order. */
static float page_weights(float *p, float max, int lo, int hi)
{
    float lane[16];
    for (int t = 0; t < KV_PAGE; t++) p[t] = t >= lo && t < hi ? vec_exp_ref(p[t] - max) : 0.0f;
    for (int j = 0; j < 16; j++) lane[j] = (p[j] + p[16 + j]) + (p[32 + j] + p[48 + j]);
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; j++) lane[j] += lane[j + half];
    return lane[0];
}

static void fold_page(const attn_queries *a, const void *k, const void *v, element at)
{
    for (int i = 0; i < a->n; i++) {
        float p[KV_PAGE], *o = a->o + (size_t)i * a->ldo;
        int lo = a->lo[i], hi = a->hi[i];
        if (lo >= hi) continue;
        float mp = page_scores(a, a->q + (size_t)i * a->ldq, lo, hi, k, at, p);
        float sp = page_weights(p, mp, lo, hi);
        float m = larger(a->m[i], mp), old = vec_exp_ref(a->m[i] - m), new = vec_exp_ref(mp - m);
        for (int d = 0; d < a->head_dim; d++) {
            float op = 0;
            for (int t = lo; t < hi; t++) op = fmaf(p[t], at(v, (size_t)t * (size_t)a->head_dim + (size_t)d), op);
            o[d] = fmaf(o[d], old, op * new);
        }
        a->s[i] = fmaf(a->s[i], old, sp * new);
        a->m[i] = m;
    }
}

static void page_f16(const attn_queries *a, const uint16_t *k, const uint16_t *v)
{
    fold_page(a, k, v, f16_element);
}

static void page_f32(const attn_queries *a, const float *k, const float *v)
{
    fold_page(a, k, v, f32_element);
}

static void merge(float *m, float *s, float *o, float m2, float s2, const float *o2, int head_dim)
{
    if (m2 == -INFINITY) return;
    float max = larger(*m, m2) + 0.0f, old = vec_exp_ref(*m - max), new = vec_exp_ref(m2 - max);
    for (int d = 0; d < head_dim; d++) o[d] = fmaf(o[d], old, o2[d] * new);
    *s = fmaf(*s, old, s2 * new);
    *m = max;
}

static void finish(float m, float s, const float *o, const float *sink, int head_dim, float *out)
{
    float inv = s > 0 ? 1.0f / s : 0.0f;
    if (sink) {
        float max = larger(m, *sink), a = vec_exp_ref(m - max);
        inv = a * (1.0f / fmaf(s, a, vec_exp_ref(*sink - max)));
    }
    for (int d = 0; d < head_dim; d++) out[d] = o[d] * inv;
}

static void append_f16(const float *k, size_t ldk, const float *v, size_t ldv, int n, int at, int head_dim,
                       uint16_t *k_page, uint16_t *v_page)
{
    for (int t = 0; t < n; t++) {
        for (int d = 0; d < head_dim; d++) {
            k_page[d * KV_PAGE + at + t] = f16_from_f32(k[(size_t)t * ldk + (size_t)d]);
            v_page[(at + t) * head_dim + d] = f16_from_f32(v[(size_t)t * ldv + (size_t)d]);
        }
    }
}

static void append_f32(const float *k, size_t ldk, const float *v, size_t ldv, int n, int at, int head_dim,
                       float *k_page, float *v_page)
{
    for (int t = 0; t < n; t++) {
        for (int d = 0; d < head_dim; d++) {
            k_page[d * KV_PAGE + at + t] = k[(size_t)t * ldk + (size_t)d];
            v_page[(at + t) * head_dim + d] = v[(size_t)t * ldv + (size_t)d];
        }
    }
}

void attn_init_ref(attn_kernels *t)
{
    *t = (attn_kernels){
        .page_f16 = page_f16,
        .page_f32 = page_f32,
        .merge = merge,
        .finish = finish,
        .append_f16 = append_f16,
        .append_f32 = append_f32,
    };
}
