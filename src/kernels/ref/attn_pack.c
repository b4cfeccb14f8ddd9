/* The plain C reference of family "attn": what writes pages. */
#include "base/half.h"
#include "kernels/attn.h"
#include "kernels/levels.h"

#include <math.h>
#include <string.h>

/* ---- open pages ---- */

static void put(attn_format f, void *page, size_t i, float x)
{
    if (f == ATTN_F32)
        ((float *)page)[i] = x;
    else
        ((uint16_t *)page)[i] = f16_from_f32(x);
}

static void append_k(attn_format f, const float *rows, size_t ld, int n, int at, int head_dim, void *page)
{
    for (int t = 0; t < n; t++)
        for (int d = 0; d < head_dim; d++)
            put(f, page, (size_t)(d * KV_PAGE + at + t), rows[(size_t)t * ld + (size_t)d]);
}

static void append_v(attn_format f, const float *rows, size_t ld, int n, int at, int head_dim, void *page)
{
    for (int t = 0; t < n; t++)
        for (int d = 0; d < head_dim; d++)
            put(f, page, (size_t)(at + t) * (size_t)head_dim + (size_t)d, rows[(size_t)t * ld + (size_t)d]);
}

/* ---- closed pages ---- */

/* x as the nearest even integer within low..high; NaN becomes low. */
static int nearest(float x, float low, float high)
{
    if (!(x > low)) x = low;
    if (x > high) x = high;
    return (int)((x + 0x1.8p23f) - 0x1.8p23f);
}

/* The f16 scale for values up to amax in magnitude as -127..127; *inverse is 0 where it is 0. */
static uint16_t scale_q8(float amax, float *inverse)
{
    uint16_t half = f16_from_f32(amax * (1.0f / 127.0f));
    float scale = f32_from_f16(half);
    *inverse = scale > 0 ? 1.0f / scale : 0;
    return half;
}

/* One block of n values in four bits, and its scale. */
static uint16_t block_q4(const float *x, int n, bool is_v, int *q)
{
    static const float k_range[ATTN_Q4_TRIES] = ATTN_Q4_K_RANGE, v_range[ATTN_Q4_TRIES] = ATTN_Q4_V_RANGE;
    const float *range = is_v ? v_range : k_range;
    float e = 0, best = 0, scale = 0;
    for (int i = 0; i < n; i++)
        if (fabsf(x[i]) > fabsf(e)) e = x[i];
    memset(q, 0, (size_t)n * sizeof *q);
    if (is_v) e = fabsf(e);
    if (!(fabsf(e) >= ATTN_Q4_LEAST)) return 0;
    for (int c = 0; c < ATTN_Q4_TRIES; c++) {
        float factor = range[c] / e, a = 0, b = 0;
        int tried[ACT_BLOCK];
        for (int i = 0; i < n; i++) {
            tried[i] = nearest(x[i] * factor, -8, 7);
            a = fmaf(x[i], (float)tried[i], a);
            b = fmaf((float)tried[i], (float)tried[i], b);
        }
        if (!(a * a / b > best)) continue;
        best = a * a / b;
        scale = a / b;
        memcpy(q, tried, (size_t)n * sizeof *q);
    }
    return f16_from_f32(scale);
}

/* K without the page's mean, [d][64] as in the page; fills mean. */
static void centre(const uint16_t *open, int head_dim, uint16_t *mean, float *rest)
{
    for (int d = 0; d < head_dim; d++, open += KV_PAGE, rest += KV_PAGE) {
        float lane[16];
        for (int j = 0; j < 16; j++)
            lane[j] = (f32_from_f16(open[j]) + f32_from_f16(open[16 + j])) +
                      (f32_from_f16(open[32 + j]) + f32_from_f16(open[48 + j]));
        for (int half = 8; half > 0; half /= 2)
            for (int j = 0; j < half; j++) lane[j] += lane[j + half];
        mean[d] = f16_from_f32(lane[0] * (1.0f / KV_PAGE));
        for (int t = 0; t < KV_PAGE; t++) rest[t] = f32_from_f16(open[t]) - f32_from_f16(mean[d]);
    }
}

/* Channels b*32.. of token t of a K page. */
static void close_k_block(attn_format f, const float *rest, int head_dim, int b, int t, uint8_t *values,
                          uint16_t *scale)
{
    int first = b * ACT_BLOCK, n = min_int(ACT_BLOCK, head_dim - first), q[ACT_BLOCK];
    float x[ACT_BLOCK], amax = 0, inverse;
    for (int i = 0; i < n; i++) {
        x[i] = rest[(first + i) * KV_PAGE + t];
        if (fabsf(x[i]) > amax) amax = fabsf(x[i]);
    }
    if (f == ATTN_Q4) {
        scale[b * KV_PAGE + t] = block_q4(x, n, false, q);
        for (int i = 0; i < n; i++) {
            int d = first + i;
            uint8_t *to = &values[(d / 8 * KV_PAGE + t) * 4 + d % 4];
            *to = (uint8_t)(d & 4 ? *to | (q[i] + 8) << 4 : q[i] + 8);
        }
        return;
    }
    scale[b * KV_PAGE + t] = scale_q8(amax, &inverse);
    for (int i = 0; i < n; i++)
        values[((first + i) / 4 * KV_PAGE + t) * 4 + (first + i) % 4] =
            (uint8_t)(nearest(x[i] * inverse, -127, 127) + 128);
}

static void close_k(attn_format f, const uint16_t *open, int head_dim, void *closed)
{
    float rest[ATTN_MAX_DIM * KV_PAGE] = {0};
    uint8_t *values = closed;
    uint16_t *scale = (uint16_t *)(void *)(values + attn_values_bytes(f, head_dim));
    centre(open, head_dim, (uint16_t *)(void *)(values + attn_mean_at(f, head_dim)), rest);
    for (int t = 0; t < KV_PAGE; t++)
        for (int b = 0; b < attn_blocks(head_dim); b++) close_k_block(f, rest, head_dim, b, t, values, scale);
}

static void close_v_q8(const uint16_t *open, int head_dim, int8_t *values)
{
    uint16_t *scale = (uint16_t *)(void *)(values + attn_values_bytes(ATTN_Q8, head_dim));
    for (int d = 0; d < head_dim; d++) {
        float x[KV_PAGE], amax = 0, inverse;
        for (int t = 0; t < KV_PAGE; t++) {
            x[t] = f32_from_f16(open[t * head_dim + d]);
            if (fabsf(x[t]) > amax) amax = fabsf(x[t]);
        }
        scale[d] = scale_q8(amax, &inverse);
        for (int t = 0; t < KV_PAGE; t++)
            values[((d / 16 * 16 + t / 4) * 16 + d % 16) * 4 + t % 4] = (int8_t)nearest(x[t] * inverse, -127, 127);
    }
}

static void close_v_q4(const uint16_t *open, int head_dim, uint8_t *values)
{
    uint16_t *scale = (uint16_t *)(void *)(values + attn_values_bytes(ATTN_Q4, head_dim));
    for (int t = 0; t < KV_PAGE; t++) {
        for (int b = 0; b < attn_blocks(head_dim); b++) {
            int first = b * ACT_BLOCK, n = min_int(ACT_BLOCK, head_dim - first), q[ACT_BLOCK];
            float x[ACT_BLOCK];
            for (int i = 0; i < n; i++) x[i] = f32_from_f16(open[t * head_dim + first + i]);
            scale[b * KV_PAGE + t] = block_q4(x, n, true, q);
            for (int i = 0; i < n; i++) {
                int d = first + i;
                uint8_t *to = &values[((d / 16 * 8 + t / 8) * 16 + d % 16) * 4 + t % 4];
                *to = (uint8_t)(t & 4 ? *to | (q[i] + 8) << 4 : q[i] + 8);
            }
        }
    }
}

static void close_v(attn_format f, const uint16_t *open, int head_dim, void *closed)
{
    if (f == ATTN_Q8)
        close_v_q8(open, head_dim, closed);
    else
        close_v_q4(open, head_dim, closed);
}

void attn_pack_init_ref(attn_kernels *t)
{
    t->append_k = append_k;
    t->append_v = append_v;
    t->close_k = close_k;
    t->close_v = close_v;
}
