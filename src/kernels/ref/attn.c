/* The plain C reference of family "attn". The order of operations here is the contract that every level keeps. */
#include "kernels/attn.h"
#include "base/half.h"
#include "kernels/levels.h"
#include "kernels/vec.h"
#include "kernels/vec_const.h"

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

/* ---- scores ---- */

/* Adds the sixteen lanes: i+8, i+4, i+2, i+1. */
static float lane_sum(float lane[16])
{
    for (int half = 8; half > 0; half /= 2)
        for (int j = 0; j < half; j++) lane[j] += lane[j + half];
    return lane[0];
}

static float plain_score(const float *q, int head_dim, const void *k, element at, int t)
{
    float sum = 0;
    for (int d = 0; d < head_dim; d++) sum = fmaf(q[d], at(k, (size_t)d * KV_PAGE + (size_t)t), sum);
    return sum;
}

static const uint16_t *k_scales(attn_format f, const void *k, int head_dim)
{
    return (const uint16_t *)(const void *)((const uint8_t *)k + attn_values_bytes(f, head_dim));
}

static float mean_score(attn_format f, const float *q, int head_dim, const void *k)
{
    const uint16_t *mean = (const uint16_t *)(const void *)((const uint8_t *)k + attn_mean_at(f, head_dim));
    float lane[16] = {0};
    for (int d = 0; d < head_dim; d++) lane[d % 16] = fmaf(q[d], f32_from_f16(mean[d]), lane[d % 16]);
    return lane_sum(lane);
}

/* Channel d of token t of a closed page, as the integer that it stands for. */
static int packed_k(attn_format f, const uint8_t *k, int d, int t)
{
    if (f == ATTN_Q8) return k[(d / 4 * KV_PAGE + t) * 4 + d % 4] - 128;
    return (k[(d / 8 * KV_PAGE + t) * 4 + d % 4] >> (d & 4) & 15) - 8;
}

static float packed_score(attn_format f, float start, const act_block *q, int head_dim, const void *k, int t)
{
    const uint16_t *scale = k_scales(f, k, head_dim);
    for (int b = 0; b < attn_blocks(head_dim); b++) {
        int isum = 0, channels = min_int(ACT_BLOCK, head_dim - b * ACT_BLOCK);
        for (int i = 0; i < channels; i++) isum += packed_k(f, k, b * ACT_BLOCK + i, t) * q[b].q[i];
        start = fmaf((float)isum, f32_from_f16(scale[b * KV_PAGE + t]) * q[b].d, start);
    }
    return start;
}

/* Scores of query i against its visible tokens; returns their maximum, -0 as +0. */
static float page_scores(const attn_queries *a, int i, const attn_page *pg, float *score)
{
    const float *q = a->q + (size_t)i * a->ldq, inv_cap = 1.0f / a->softcap;
    const bool packed = attn_is_packed(pg->k_format);
    float max = -INFINITY, start = packed ? mean_score(pg->k_format, q, a->head_dim, pg->k) : 0;
    for (int t = a->lo[i]; t < a->hi[i]; t++) {
        float x = packed ? packed_score(pg->k_format, start, a->qi + (size_t)i * (size_t)attn_blocks(a->head_dim),
                                        a->head_dim, pg->k, t)
                         : plain_score(q, a->head_dim, pg->k, pg->k_format == ATTN_F16 ? f16_element : f32_element, t);
        score[t] = a->softcap > 0 ? a->softcap * vec_tanh_ref(x * inv_cap) : x;
        max = larger(max, score[t]);
    }
    return max + 0.0f;
}

/* ---- weights and outputs ---- */

/* Turns scores less their maximum into weights, 0 outside lo..hi-1. */
static void page_weights(float *p, int lo, int hi)
{
    for (int t = 0; t < KV_PAGE; t++) p[t] = t >= lo && t < hi ? vec_exp_ref(p[t]) : 0.0f;
}

static float weight_sum(const float *p)
{
    float lane[16];
    for (int j = 0; j < 16; j++) lane[j] = (p[j] + p[16 + j]) + (p[32 + j] + p[48 + j]);
    return lane_sum(lane);
}

/* x to the nearest even integer; 0 <= x < 2^22. */
static int nearest(float x)
{
    return (int)((x + EXP_MAGIC) - EXP_MAGIC);
}

/* 255 * exp(x) for x <= 0. x * log2(e) = n + f with n its floor; a cubic for 2^f, n to the exponent. */
static float weight(float x)
{
    float t = larger(x * EXP_LOG2E, WEIGHT_MIN), n = floorf(t), f = t - n;
    float e = fmaf(fmaf(fmaf(WEIGHT_C3, f, WEIGHT_C2), f, WEIGHT_C1), f, WEIGHT_C0);
    return f32_from_bits(f32_bits(e) + ((uint32_t)(int)n << 23));
}

/* One query's state and what the page does to it: the old part is multiplied by `old`, the page's by `new`. */
typedef struct turn {
    const float *p; /* weights; scores less their maximum where V is q8 or q4 */
    float *s, *o, old, new;
    int lo, hi, head_dim;
} turn;

static void plain_output(const turn *u, const void *v, element at)
{
    for (int d = 0; d < u->head_dim; d++) {
        float op = 0;
        for (int t = u->lo; t < u->hi; t++) op = fmaf(u->p[t], at(v, (size_t)t * (size_t)u->head_dim + (size_t)d), op);
        u->o[d] = fmaf(u->o[d], u->old, op * u->new);
    }
    *u->s = fmaf(*u->s, u->old, weight_sum(u->p) * u->new);
}

static void q8_output(const turn *u, const int8_t *v)
{
    const uint16_t *scale = (const uint16_t *)(const void *)(v + attn_values_bytes(ATTN_Q8, u->head_dim));
    int u8[KV_PAGE], sum = 0;
    float w = u->new *(1.0f / 255.0f);
    for (int t = 0; t < KV_PAGE; t++) sum += u8[t] = t >= u->lo && t < u->hi ? nearest(weight(u->p[t])) : 0;
    for (int d = 0; d < u->head_dim; d++) {
        int isum = 0;
        for (int t = 0; t < KV_PAGE; t++) isum += u8[t] * v[((d / 16 * 16 + t / 4) * 16 + d % 16) * 4 + t % 4];
        u->o[d] = fmaf(u->o[d], u->old, (float)isum * (f32_from_f16(scale[d]) * w));
    }
    *u->s = fmaf(*u->s, u->old, (float)sum * w);
}

static void q4_output(const turn *u, const uint8_t *v)
{
    const uint16_t *scale = (const uint16_t *)(const void *)(v + attn_values_bytes(ATTN_Q4, u->head_dim));
    float y[KV_PAGE], w = u->new *(1.0f / 255.0f);
    for (int t = 0; t < KV_PAGE; t++) y[t] = t >= u->lo && t < u->hi && u->p[t] >= ATTN_Y_LEAST ? weight(u->p[t]) : 0;
    for (int b = 0; b < attn_blocks(u->head_dim); b++, scale += KV_PAGE) {
        float max = 0, inverse = 0;
        int u8[KV_PAGE];
        for (int t = 0; t < KV_PAGE; t++) max = larger(max, f32_from_f16(scale[t]));
        if (max >= ATTN_TINY) inverse = 1.0f / max;
        for (int t = 0; t < KV_PAGE; t++) u8[t] = nearest(y[t] * (f32_from_f16(scale[t]) * inverse));
        for (int d = b * ACT_BLOCK; d < min_int((b + 1) * ACT_BLOCK, u->head_dim); d++) {
            int isum = 0;
            for (int t = 0; t < KV_PAGE; t++)
                isum += u8[t] * ((v[((d / 16 * 8 + t / 8) * 16 + d % 16) * 4 + t % 4] >> (t & 4) & 15) - 8);
            u->o[d] = fmaf(u->o[d], u->old, (float)isum * (max * w));
        }
    }
    *u->s = fmaf(*u->s, u->old, weight_sum(y) * w);
}

static void fold(const attn_queries *a, const attn_page *pg)
{
    for (int i = 0; i < a->n; i++) {
        float p[KV_PAGE];
        int lo = a->lo[i], hi = a->hi[i];
        if (lo >= hi) continue;
        float mp = page_scores(a, i, pg, p), m = larger(a->m[i], mp);
        for (int t = lo; t < hi; t++) p[t] -= mp;
        if (!attn_is_packed(pg->v_format)) page_weights(p, lo, hi);
        turn u = {p,  &a->s[i],   a->o + (size_t)i * a->ldo, vec_exp_ref(a->m[i] - m), vec_exp_ref(mp - m), lo,
                  hi, a->head_dim};
        a->m[i] = m;
        if (pg->v_format == ATTN_Q8)
            q8_output(&u, pg->v);
        else if (pg->v_format == ATTN_Q4)
            q4_output(&u, pg->v);
        else
            plain_output(&u, pg->v, pg->v_format == ATTN_F16 ? f16_element : f32_element);
    }
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

void attn_init_ref(attn_kernels *t)
{
    *t = (attn_kernels){.fold = fold, .merge = merge, .finish = finish};
    attn_pack_init_ref(t);
}
