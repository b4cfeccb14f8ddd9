/* Family "vec": every level against the reference, and the reference against plain formulas in double. */
#include "kcheck.h"

#include "base/half.h"
#include "kernels/vec.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A row of n floats at an odd address, so that no level relies on alignment; `at` is what kcheck_alloc gave. */
typedef struct row {
    float *at, *x;
} row;

static row row_alloc(int n)
{
    row r = {.at = kcheck_alloc(((size_t)n + 1) * sizeof(float))};
    r.x = r.at + 1;
    return r;
}

static row row_of(kcheck *k, kcheck_input kind, int n)
{
    row r = row_alloc(n);
    kcheck_floats(k, kind, r.x, (size_t)n);
    return r;
}

static row row_copy(row from, int n)
{
    row r = row_alloc(n);
    memcpy(r.x, from.x, (size_t)n * sizeof *r.x);
    return r;
}

static void same(kcheck *k, const char *what, row want, row got, int n, kcheck_input kind)
{
    kcheck_same_floats(k, want.x, got.x, (size_t)n, "vec.%s n=%d %s", what, n, kcheck_input_name(kind));
}

typedef struct tables {
    vec_kernels ref, now;
} tables;

/* ---- the same bits ---- */

static void check_norm(kcheck *k, const tables *t, kcheck_input kind, int n)
{
    row x = row_of(k, kind, n), w = row_of(k, IN_NORMAL, n), want = row_alloc(n), got = row_copy(x, n);
    for (int weighted = 0; weighted < 2; weighted++) {
        const float *by = weighted ? w.x : NULL;
        memcpy(got.x, x.x, (size_t)n * sizeof *got.x);
        t->ref.rmsnorm(x.x, by, 1e-6f, n, want.x);
        t->now.rmsnorm(got.x, by, 1e-6f, n, got.x); /* in place */
        same(k, weighted ? "rmsnorm" : "rmsnorm without weights", want, got, n, kind);
    }
    kcheck_free(k, x.at);
    kcheck_free(k, w.at);
    kcheck_free(k, want.at);
    kcheck_free(k, got.at);
}

static void check_in_place(kcheck *k, const tables *t, kcheck_input kind, int n)
{
    row x = row_of(k, kind, n), y = row_of(k, kind, n), want = row_alloc(n), got = row_alloc(n);
    size_t bytes = (size_t)n * sizeof(float);
    float s = kcheck_normal(k);
    static const char *const names[] = {"add", "add_scaled", "scale", "softmax"};
    for (int f = 0; f < 4; f++) {
        if (f == 3 && kind != IN_NAN)
            for (int i = 1; i < n; i += 3) x.x[i] = -INFINITY; /* allowed beside a finite one */
        memcpy(want.x, x.x, bytes);
        memcpy(got.x, x.x, bytes);
        for (int now = 0; now < 2; now++) {
            const vec_kernels *v = now ? &t->now : &t->ref;
            float *to = now ? got.x : want.x;
            if (f == 0) v->add(to, y.x, n);
            if (f == 1) v->add_scaled(to, y.x, s, n);
            if (f == 2) v->scale(to, s, n);
            if (f == 3) v->softmax(to, n);
        }
        same(k, names[f], want, got, n, kind);
    }
    if (n > 0 && kind != IN_NAN) {
        for (int i = 0; i < n && kind == IN_ZERO; i++) x.x[i] = -0.0f; /* comes back as +0 */
        float a = t->ref.max(x.x, n), b = t->now.max(x.x, n);
        kcheck_same(k, &a, &b, sizeof a, "vec.max n=%d %s: %g and %g", n, kcheck_input_name(kind), (double)a,
                    (double)b);
    }
    kcheck_free(k, x.at);
    kcheck_free(k, y.at);
    kcheck_free(k, want.at);
    kcheck_free(k, got.at);
}

static void check_gates(kcheck *k, const tables *t, kcheck_input kind, int n)
{
    row g = row_of(k, kind, n), u = row_of(k, IN_NORMAL, n), want = row_alloc(n), got = row_alloc(n);
    for (int gelu = 0; gelu < 2; gelu++) {
        (gelu ? t->ref.gelu_mul : t->ref.silu_mul)(g.x, u.x, want.x, n);
        for (int alias = 0; alias < 3; alias++) {
            row gate = row_copy(g, n), up = row_copy(u, n), *out = alias == 0 ? &got : alias == 1 ? &gate : &up;
            (gelu ? t->now.gelu_mul : t->now.silu_mul)(gate.x, up.x, out->x, n);
            same(k, gelu ? "gelu_mul" : "silu_mul", want, *out, n, kind);
            kcheck_free(k, gate.at);
            kcheck_free(k, up.at);
        }
    }
    kcheck_free(k, g.at);
    kcheck_free(k, u.at);
    kcheck_free(k, want.at);
    kcheck_free(k, got.at);
}

static void check_softcap(kcheck *k, const tables *t, kcheck_input kind, int n)
{
    row x = row_of(k, kind, n);
    const float caps[] = {0.5f, 30.0f};
    for (size_t i = 0; i < sizeof caps / sizeof *caps; i++) {
        row want = row_copy(x, n), got = row_copy(x, n);
        t->ref.softcap(want.x, caps[i], n);
        t->now.softcap(got.x, caps[i], n);
        same(k, "softcap", want, got, n, kind);
        kcheck_free(k, want.at);
        kcheck_free(k, got.at);
    }
    kcheck_free(k, x.at);
}

static void check_half(kcheck *k, const tables *t, kcheck_input kind, int n)
{
    row x = row_of(k, kind, n), want_back = row_alloc(n), back = row_alloc(n);
    size_t bytes = (size_t)n * sizeof(uint16_t);
    uint16_t *want = kcheck_alloc(bytes), *got = kcheck_alloc(bytes);
    for (int i = 0; i < n; i += 2) x.x[i] *= 1e-5f; /* f16's denormals */
    t->ref.to_f16(x.x, want, n);
    t->now.to_f16(x.x, got, n);
    kcheck_same(k, want, got, bytes, "vec.to_f16 n=%d %s", n, kcheck_input_name(kind));
    kcheck_bytes(k, want, bytes);
    memcpy(got, want, bytes);
    t->ref.from_f16(want, want_back.x, n);
    t->now.from_f16(got, back.x, n);
    same(k, "from_f16", want_back, back, n, kind);
    kcheck_free(k, x.at);
    kcheck_free(k, want_back.at);
    kcheck_free(k, back.at);
    kcheck_free(k, want);
    kcheck_free(k, got);
}

static void check_rope(kcheck *k, const tables *t, kcheck_input kind, int heads, int dim, int n_rot)
{
    int n = heads * dim;
    row x = row_of(k, kind, n), cs = row_of(k, IN_NORMAL, n_rot);
    for (int pairs = 0; pairs < 2; pairs++) {
        row want = row_copy(x, n), got = row_copy(x, n);
        (pairs ? t->ref.rope_pairs : t->ref.rope_half)(want.x, heads, dim, n_rot, cs.x);
        (pairs ? t->now.rope_pairs : t->now.rope_half)(got.x, heads, dim, n_rot, cs.x);
        kcheck_same_floats(k, want.x, got.x, (size_t)n, "vec.%s %d x %d, %d turn, %s",
                           pairs ? "rope_pairs" : "rope_half", heads, dim, n_rot, kcheck_input_name(kind));
        kcheck_free(k, want.at);
        kcheck_free(k, got.at);
    }
    kcheck_free(k, x.at);
    kcheck_free(k, cs.at);
}

static void check_bits(kcheck *k, const tables *t)
{
    static const int large[] = {127, 128, 577, 960, 4096, 4099};
    static const int rot[][3] = {{1, 2, 2},    {3, 16, 16},   {2, 48, 48},   {9, 64, 64}, {5, 80, 80},  {4, 96, 72},
                                 {2, 128, 32}, {4, 128, 128}, {1, 256, 256}, {3, 80, 20}, {2, 576, 64}, {3, 33, 30}};
    for (int i = 0; i <= 100 + (int)(sizeof large / sizeof *large); i++) {
        int n = i <= 100 ? i : large[i - 101];
        for (int kind = 0; kind < IN_KINDS; kind++) {
            check_norm(k, t, (kcheck_input)kind, n);
            check_in_place(k, t, (kcheck_input)kind, n);
            check_gates(k, t, (kcheck_input)kind, n);
            check_softcap(k, t, (kcheck_input)kind, n);
            check_half(k, t, (kcheck_input)kind, n);
        }
    }
    for (size_t i = 0; i < sizeof rot / sizeof *rot; i++)
        for (int kind = 0; kind < IN_KINDS; kind++)
            check_rope(k, t, (kcheck_input)kind, rot[i][0], rot[i][1], rot[i][2]);
}

/* ---- accuracy ---- */

/* The distance between neighbouring f32 numbers around x. */
static double ulp(double x)
{
    int e;
    (void)frexp(x, &e);
    return ldexp(1, (e < -125 ? -125 : e) - 24);
}

static void check_exp(kcheck *k)
{
    double worst = 0, worst_tanh = 0;
    for (uint32_t bits = 0; bits <= f32_bits(88.0f); bits += 3571) {
        for (uint32_t sign = 0; sign < 2; sign++) {
            float x = f32_from_bits(bits | sign << 31);
            double e = exp((double)x), h = tanh((double)x);
            if (x >= -87) worst = fmax(worst, fabs((double)vec_exp_ref(x) - e) / ulp(e));
            if (fabsf(x) > 1e-36f) worst_tanh = fmax(worst_tanh, fabs((double)vec_tanh_ref(x) - h) / ulp(h));
        }
    }
    kcheck_true(k, worst <= 1.5, "exp: %.3f ulp", worst);
    kcheck_true(k, worst_tanh <= 4, "tanh: %.3f ulp", worst_tanh);
    kcheck_true(k, vec_exp_ref(-INFINITY) == 0 && vec_exp_ref(-1e30f) == 0 && vec_exp_ref(0) == 1, "exp's ends");
    kcheck_true(k, vec_exp_ref(1e30f) == vec_exp_ref(88) && isnan(vec_exp_ref(NAN)), "exp's other end, and NaN");
}

/* rmsnorm, the gates and softmax against their formulas. */
static void check_rows(kcheck *k, const vec_kernels *v)
{
    enum { N = 1000 };
    float x[N], w[N], out[N];
    double want[N], scale[N], squares = 0, sum = 0, top = -INFINITY;
    kcheck_floats(k, IN_OUTLIERS, x, N);
    kcheck_floats(k, IN_NORMAL, w, N);
    for (int i = 0; i < N; i++) squares += (double)x[i] * (double)x[i], top = fmax(top, (double)x[i]);
    for (int i = 0; i < N; i++) sum += exp((double)x[i] - top);

    v->rmsnorm(x, w, 1e-5f, N, out);
    for (int i = 0; i < N; i++) scale[i] = fabs(want[i] = x[i] / sqrt(squares / N + (double)1e-5f) * w[i]);
    kcheck_near(k, want, out, scale, N, 1e-6, "rmsnorm against the formula");
    v->silu_mul(x, w, out, N);
    for (int i = 0; i < N; i++) scale[i] = fabs(want[i] = x[i] / (1 + exp(-(double)x[i])) * w[i]);
    for (int i = 0; i < N; i++) scale[i] += 1e-30; /* results below exp's range */
    kcheck_near(k, want, out, scale, N, 1e-6, "silu against the formula");
    v->gelu_mul(x, w, out, N);
    for (int i = 0; i < N; i++) {
        double g = x[i], u = sqrt(2 / acos(-1)) * (g + 0.044715 * g * g * g);
        want[i] = 0.5 * g * (1 + tanh(u)) * w[i];
        scale[i] = fabs(g * (double)w[i]); /* to its left, 1 + tanh loses all digits, here and in double */
    }
    kcheck_near(k, want, out, scale, N, 1e-6, "gelu against the formula");
    memcpy(out, x, sizeof out);
    v->softcap(out, 3.0f, N);
    for (int i = 0; i < N; i++) scale[i] = fabs(want[i] = 3 * tanh((double)x[i] / 3)) + 1e-30;
    kcheck_near(k, want, out, scale, N, 1e-6, "softcap against the formula");
    memcpy(out, x, sizeof out);
    v->softmax(out, N);
    for (int i = 0; i < N; i++) scale[i] = want[i] = exp((double)x[i] - top) / sum;
    for (int i = 0; i < N; i++) scale[i] = fmax(scale[i], 1e-31);
    kcheck_near(k, want, out, scale, N, 1e-5, "softmax against the formula");
}

/* A rotation by position p keeps q.k when both move on by the same distance, and turns by the angles given. */
static void check_rotation(kcheck *k, const vec_kernels *v)
{
    enum { D = 80 };
    float x[D], half[D], pairs[D], cs[D];
    double want_half[D], want_pairs[D];
    kcheck_floats(k, IN_NORMAL, x, D);
    for (int i = 0; i < D / 2; i++) {
        double angle = 1234 * pow(10000, -2.0 * i / D), c = cos(angle), s = sin(angle);
        cs[2 * i] = (float)c, cs[2 * i + 1] = (float)s;
        want_half[i] = x[i] * c - x[i + D / 2] * s;
        want_half[i + D / 2] = x[i] * s + x[i + D / 2] * c;
        want_pairs[2 * i] = x[2 * i] * c - x[2 * i + 1] * s;
        want_pairs[2 * i + 1] = x[2 * i] * s + x[2 * i + 1] * c;
    }
    memcpy(half, x, sizeof x);
    memcpy(pairs, x, sizeof x);
    v->rope_half(half, 1, D, D, cs);
    v->rope_pairs(pairs, 1, D, D, cs);
    kcheck_near(k, want_half, half, NULL, D, 1e-6, "rope_half against the formula");
    kcheck_near(k, want_pairs, pairs, NULL, D, 1e-6, "rope_pairs against the formula");
}

/* ---- speed ---- */

enum { BENCH_N = 4096 };
static struct {
    vec_kernels v;
    float x[BENCH_N], y[BENCH_N], out[BENCH_N];
    uint16_t h[BENCH_N];
} bench;

static void bench_rmsnorm(void *c)
{
    bench.v.rmsnorm(bench.x, bench.y, 1e-6f, BENCH_N, bench.out);
}
static void bench_add(void *c)
{
    bench.v.add_scaled(bench.out, bench.y, 1e-9f, BENCH_N);
}
static void bench_silu(void *c)
{
    bench.v.silu_mul(bench.x, bench.y, bench.out, BENCH_N);
}
static void bench_gelu(void *c)
{
    bench.v.gelu_mul(bench.x, bench.y, bench.out, BENCH_N);
}
static void bench_softmax(void *c)
{
    bench.v.softmax(bench.out, BENCH_N);
}
static void bench_half(void *c)
{
    bench.v.rope_half(bench.out, BENCH_N / 128, 128, 128, bench.y);
}
static void bench_pairs(void *c)
{
    bench.v.rope_pairs(bench.out, BENCH_N / 128, 128, 128, bench.y);
}
static void bench_to_f16(void *c)
{
    bench.v.to_f16(bench.x, bench.h, BENCH_N);
}

static void run_bench(kcheck *k, const vec_kernels *v)
{
    static const struct {
        const char *name;
        void (*run)(void *);
    } list[] = {{"rmsnorm", bench_rmsnorm},  {"add_scaled", bench_add},  {"silu_mul", bench_silu},
                {"gelu_mul", bench_gelu},    {"softmax", bench_softmax}, {"rope_half", bench_half},
                {"rope_pairs", bench_pairs}, {"to_f16", bench_to_f16}};
    bench.v = *v;
    kcheck_floats(k, IN_NORMAL, bench.x, BENCH_N);
    for (int i = 0; i < BENCH_N; i++) bench.y[i] = i % 2 ? 0.6f : 0.8f; /* also a table of one angle */
    memcpy(bench.out, bench.x, sizeof bench.out);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        double each = kcheck_seconds(list[i].run, NULL) / BENCH_N;
        printf("%-11s vec.%-12s %7.3f ns an element, row of %d in cache\n", cpu_level_name(k->level), list[i].name,
               each * 1e9, BENCH_N);
    }
}

void kcheck_vec(kcheck *k)
{
    tables t;
    vec_kernels_init(&t.ref, CPU_REF);
    vec_kernels_init(&t.now, k->level);
    if (k->bench) {
        run_bench(k, &t.now);
        return;
    }
    check_bits(k, &t);
    check_exp(k);
    check_rows(k, &t.now);
    check_rotation(k, &t.now);
}
