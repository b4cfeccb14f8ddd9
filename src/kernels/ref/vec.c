/* The plain C reference of family "vec". The order of operations here is the contract that every level keeps. */
#include "kernels/vec.h"
#include "base/half.h"
#include "kernels/levels.h"
#include "kernels/vec_const.h"

#include <math.h>

/* What exp and expm1 share. x = n*ln2 + r with n an integer and |r| <= ln2/2: *scale = 2^n as bits to be
   added to an exponent, the result is the polynomial's part q with exp(r) = fma(q, r, 1). */
static float exp_reduce(float x, float *r, uint32_t *scale)
{
    float z = fmaf(x, EXP_LOG2E, EXP_MAGIC);
    float n = z - EXP_MAGIC;
    float rem = fmaf(n, -EXP_LN2_HI, x);
    rem = fmaf(n, -EXP_LN2_LO, rem);
    float q = EXP_C6;
    q = fmaf(q, rem, EXP_C5);
    q = fmaf(q, rem, EXP_C4);
    q = fmaf(q, rem, EXP_C3);
    q = fmaf(q, rem, EXP_C2);
    q = fmaf(q, rem, 1.0f);
    *r = rem;
    *scale = f32_bits(z) << 23; /* z's low bits hold n */
    return q;
}

float vec_exp_ref(float x)
{
    uint32_t scale;
    float r, q = exp_reduce(EXP_MAX < x ? EXP_MAX : x, &r, &scale);
    float e = f32_from_bits(f32_bits(fmaf(q, r, 1.0f)) + scale);
    return x < EXP_MIN ? 0.0f : e;
}

/* tanh(x) = (exp(2x) - 1) / (exp(2x) + 1), with E = exp(2x) - 1 = 2^n * (q*r) + (2^n - 1). */
float vec_tanh_ref(float x)
{
    uint32_t scale;
    float r, y = TANH_MAX < x ? TANH_MAX : x;
    y = -TANH_MAX > y ? -TANH_MAX : y;
    float q = exp_reduce(y + y, &r, &scale);
    float two_n = f32_from_bits(f32_bits(1.0f) + scale);
    float e = fmaf(q * r, two_n, two_n - 1.0f);
    return e / (e + 2.0f);
}

/* Adds the sixteen lanes: i+8, i+4, i+2, i+1. */
static float lane_sum(const float lane[16])
{
    float t[8];
    for (int i = 0; i < 8; i++) t[i] = lane[i] + lane[i + 8];
    for (int i = 0; i < 4; i++) t[i] += t[i + 4];
    for (int i = 0; i < 2; i++) t[i] += t[i + 2];
    return t[0] + t[1];
}

static void rmsnorm(const float *x, const float *w, float eps, int n, float *out)
{
    float lane[16] = {0};
    for (int i = 0; i < n; i++) lane[i % 16] = fmaf(x[i], x[i], lane[i % 16]);
    float inv = 1.0f / sqrtf(lane_sum(lane) / (float)n + eps);
    for (int i = 0; i < n; i++) out[i] = w ? x[i] * inv * w[i] : x[i] * inv;
}

static void add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++) x[i] += y[i];
}

static void add_scaled(float *x, const float *y, float s, int n)
{
    for (int i = 0; i < n; i++) x[i] = fmaf(s, y[i], x[i]);
}

static void scale(float *x, float s, int n)
{
    for (int i = 0; i < n; i++) x[i] *= s;
}

static void silu_mul(const float *gate, const float *up, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = gate[i] / (1.0f + vec_exp_ref(-gate[i])) * up[i];
}

static void gelu_mul(const float *gate, const float *up, float *out, int n)
{
    for (int i = 0; i < n; i++) {
        float g = gate[i], t = fmaf(g * g, GELU_CUBE, 1.0f);
        out[i] = g / (1.0f + vec_exp_ref(g * GELU_SLOPE * t)) * up[i];
    }
}

static void softcap(float *x, float cap, int n)
{
    const float inv = 1.0f / cap;
    for (int i = 0; i < n; i++) x[i] = cap * vec_tanh_ref(x[i] * inv);
}

static float max(const float *x, int n)
{
    float m = -INFINITY;
    for (int i = 0; i < n; i++) m = x[i] > m ? x[i] : m;
    return m + 0.0f; /* -0 becomes +0 */
}

static void softmax(float *x, int n)
{
    float lane[16] = {0}, m = max(x, n);
    for (int i = 0; i < n; i++) {
        x[i] = vec_exp_ref(x[i] - m);
        lane[i % 16] += x[i];
    }
    float inv = 1.0f / lane_sum(lane);
    for (int i = 0; i < n; i++) x[i] *= inv;
}

static void rotate(float *x0, float *x1, float c, float s)
{
    float a = *x0, b = *x1;
    *x0 = fmaf(a, c, -(b * s));
    *x1 = fmaf(a, s, b * c);
}

static void rope_half(float *x, int n_heads, int head_dim, int n_rot, const float *cs)
{
    for (int h = 0; h < n_heads; h++, x += head_dim)
        for (int i = 0; i < n_rot / 2; i++) rotate(&x[i], &x[i + n_rot / 2], cs[2 * i], cs[2 * i + 1]);
}

static void rope_pairs(float *x, int n_heads, int head_dim, int n_rot, const float *cs)
{
    for (int h = 0; h < n_heads; h++, x += head_dim)
        for (int i = 0; i < n_rot / 2; i++) rotate(&x[2 * i], &x[2 * i + 1], cs[2 * i], cs[2 * i + 1]);
}

static void hadamard(float *x, int n)
{
    for (int piece; n > 0; n -= piece, x += piece) {
        for (piece = 16; 2 * piece <= n;) piece *= 2;
        for (int h = 1; h < piece; h *= 2) {
            for (int i = 0; i < piece; i++) {
                if (i & h) continue;
                float a = x[i], b = x[i + h];
                x[i] = a + b;
                x[i + h] = a - b;
            }
        }
        float factor = (float)(1 / sqrt(piece));
        for (int i = 0; i < piece; i++) x[i] *= factor;
    }
}

static void to_f16(const float *x, uint16_t *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = f16_from_f32(x[i]);
}

static void from_f16(const uint16_t *x, float *out, int n)
{
    for (int i = 0; i < n; i++) out[i] = f32_from_f16(x[i]);
}

void vec_init_ref(vec_kernels *t)
{
    *t = (vec_kernels){
        .rmsnorm = rmsnorm,
        .add = add,
        .add_scaled = add_scaled,
        .scale = scale,
        .silu_mul = silu_mul,
        .gelu_mul = gelu_mul,
        .softcap = softcap,
        .softmax = softmax,
        .max = max,
        .rope_half = rope_half,
        .rope_pairs = rope_pairs,
        .hadamard = hadamard,
        .to_f16 = to_f16,
        .from_f16 = from_f16,
    };
}
