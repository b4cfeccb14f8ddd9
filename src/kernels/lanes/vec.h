/* Family "vec" over sixteen lanes (kernels/lanes/lanes.h). Included by one file per instruction set, which then puts
   lanes_vec_table into its init function. Every function below does what its namesake in kernels/ref/vec.c does, in
   the same order. */
#include "kernels/lanes/lanes.h"
#include "kernels/vec.h"

#include <math.h>
#include <string.h>

/* Lanes in use at element i of n. */
LANES int lanes_at(int i, int n)
{
    return n - i < 16 ? n - i : 16;
}

static void rmsnorm(const float *x, const float *w, float eps, int n, float *out)
{
    v16 sum = v16_set(0);
    for (int i = 0; i < n; i += 16) {
        v16 a = v16_load_n(x + i, lanes_at(i, n));
        sum = v16_fma(a, a, sum);
    }
    v16 inv = v16_set(1.0f / sqrtf(v16_sum(sum) / (float)n + eps));
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16 a = v16_mul(v16_load_n(x + i, c), inv);
        v16_store_n(out + i, w ? v16_mul(a, v16_load_n(w + i, c)) : a, c);
    }
}

static void add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16_store_n(x + i, v16_add(v16_load_n(x + i, c), v16_load_n(y + i, c)), c);
    }
}

static void add_scaled(float *x, const float *y, float s, int n)
{
    v16 factor = v16_set(s);
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16_store_n(x + i, v16_fma(factor, v16_load_n(y + i, c), v16_load_n(x + i, c)), c);
    }
}

static void scale(float *x, float s, int n)
{
    v16 factor = v16_set(s);
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16_store_n(x + i, v16_mul(v16_load_n(x + i, c), factor), c);
    }
}

static void silu_mul(const float *gate, const float *up, float *out, int n)
{
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16 g = v16_load_n(gate + i, c), u = v16_load_n(up + i, c);
        v16 below = v16_add(v16_set(1.0f), v16_exp(v16_neg(g)));
        v16_store_n(out + i, v16_mul(v16_div(g, below), u), c);
    }
}

static void gelu_mul(const float *gate, const float *up, float *out, int n)
{
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16 g = v16_load_n(gate + i, c), u = v16_load_n(up + i, c);
        v16 t = v16_fma(v16_mul(g, g), v16_set(GELU_CUBE), v16_set(1.0f));
        v16 below = v16_add(v16_set(1.0f), v16_exp(v16_mul(v16_mul(g, v16_set(GELU_SLOPE)), t)));
        v16_store_n(out + i, v16_mul(v16_div(g, below), u), c);
    }
}

static void softcap(float *x, float cap, int n)
{
    const v16 c16 = v16_set(cap), inv = v16_set(1.0f / cap);
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16_store_n(x + i, v16_mul(c16, v16_tanh(v16_mul(v16_load_n(x + i, c), inv))), c);
    }
}

static float max(const float *x, int n)
{
    v16 m = v16_set(-INFINITY);
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16 a = v16_load_n(x + i, c);
        m = v16_max(v16_select((1u << c) - 1u, a, m), m);
    }
    return v16_max_lane(m) + 0.0f; /* -0 becomes +0 */
}

static void softmax(float *x, int n)
{
    v16 sum = v16_set(0), m = v16_set(max(x, n));
    for (int i = 0; i < n; i += 16) {
        int c = lanes_at(i, n);
        v16 e = v16_exp(v16_sub(v16_load_n(x + i, c), m));
        v16_store_n(x + i, e, c);
        sum = v16_add(sum, v16_select((1u << c) - 1u, e, v16_set(0)));
    }
    scale(x, 1.0f / v16_sum(sum), n);
}

/* (a, b) rotated by the angle whose cosine and sine are c and s. */
LANES void v16_rotate(v16 *a, v16 *b, v16 c, v16 s)
{
    v16 x = *a, y = *b;
    *a = v16_fma(x, c, v16_neg(v16_mul(y, s)));
    *b = v16_fma(x, s, v16_mul(y, c));
}

/* cos and sin of up to sixteen angles. Fewer than sixteen go through a buffer, so that nothing past the
   table is read. */
LANES void load_angles(const float *cs, int count, v16 *c, v16 *s)
{
    float some[32] = {0};
    if (count < 16) {
        memcpy(some, cs, (size_t)count * 2 * sizeof *cs);
        cs = some;
    }
    v16_load_pairs(cs, c, s);
}

static void rope_half(float *x, int n_heads, int head_dim, int n_rot, const float *cs)
{
    const int half = n_rot / 2;
    for (int i = 0; i < half; i += 16) {
        v16 c, s;
        int count = lanes_at(i, half);
        load_angles(cs + 2 * i, count, &c, &s);
        for (int h = 0; h < n_heads; h++) {
            float *p = x + (size_t)h * (size_t)head_dim + i;
            v16 a = v16_load_n(p, count), b = v16_load_n(p + half, count);
            v16_rotate(&a, &b, c, s);
            v16_store_n(p, a, count);
            v16_store_n(p + half, b, count);
        }
    }
}

static void rope_pairs(float *x, int n_heads, int head_dim, int n_rot, const float *cs)
{
    const int half = n_rot / 2;
    for (int i = 0; i < half; i += 16) {
        v16 c, s, a, b;
        int count = lanes_at(i, half);
        load_angles(cs + 2 * i, count, &c, &s);
        for (int h = 0; h < n_heads; h++) {
            float some[32], *p = x + (size_t)h * (size_t)head_dim + 2 * i;
            load_angles(p, count, &a, &b);
            v16_rotate(&a, &b, c, s);
            v16_store_pairs(count == 16 ? p : some, a, b);
            if (count < 16) memcpy(p, some, (size_t)count * 2 * sizeof *p);
        }
    }
}

/* The steps at distances below sixteen within a register: lanes whose bit is set get the difference. */
LANES v16 hadamard_lanes(v16 x)
{
    static const unsigned upper[4] = {0xaaaau, 0xccccu, 0xf0f0u, 0xff00u};
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++)
    {
        v16 sign = v16_select(upper[i], v16_set(-1), v16_set(1));
        x = v16_fma(x, sign, v16_swap(x, 1 << i));
    }
    return x;
}

static void hadamard(float *x, int n)
{
    for (int piece; n > 0; n -= piece, x += piece) {
        for (piece = 16; 2 * piece <= n;) piece *= 2;
        for (int i = 0; i < piece; i += 16) v16_store(x + i, hadamard_lanes(v16_load(x + i)));
        for (int h = 16; h < piece; h *= 2) {
            for (int i = 0; i < piece; i += (i + 16) & h ? h + 16 : 16) {
                v16 a = v16_load(x + i), b = v16_load(x + i + h);
                v16_store(x + i, v16_add(a, b));
                v16_store(x + i + h, v16_sub(a, b));
            }
        }
        const v16 factor = v16_set((float)(1 / sqrt(piece)));
        for (int i = 0; i < piece; i += 16) v16_store(x + i, v16_mul(v16_load(x + i), factor));
    }
}

static void to_f16(const float *x, uint16_t *out, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v16_store_f16(out + i, v16_load(x + i));
    if (i < n) v16_store_f16_n(out + i, v16_load_n(x + i, n - i), n - i);
}

static void from_f16(const uint16_t *x, float *out, int n)
{
    int i = 0;
    for (; i + 16 <= n; i += 16) v16_store(out + i, v16_load_f16(x + i));
    if (i < n) v16_store_n(out + i, v16_load_f16_n(x + i, n - i), n - i);
}

static const vec_kernels lanes_vec_table = {
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
