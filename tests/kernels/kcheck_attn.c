/* Family "attn": every level against the reference, and whole sequences against softmax attention in double. */
#include "kcheck.h"

#include "base/half.h"
#include "base/mem.h"
#include "kernels/attn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct tables {
    attn_kernels ref, now;
} tables;

/* Which tokens the queries see. */
typedef enum view {
    ALL,    /* the whole page */
    CAUSAL, /* one more for each group of three, as in a prompt's own page */
    WINDOW, /* the same from the other side */
    RANDOM, /* any range, some empty */
    APART,  /* ranges without a common token */
    ONE,    /* the first token only */
    VIEWS
} view;

/* A call's queries and one page. */
typedef struct scene {
    attn_queries a;
    float *q, *m, *s, *o, *k32, *v32;
    uint16_t *k16, *v16;
    act_block *qi;
    void *k[ATTN_FORMATS], *v[ATTN_FORMATS]; /* the page in every format (k32 and so on among them) */
    uint8_t *lo, *hi;
} scene;

static void look(kcheck *k, scene *c, view v)
{
    for (int i = 0; i < c->a.n; i++) {
        int lo = 0, hi = KV_PAGE, step = i / 3 % KV_PAGE;
        if (v == CAUSAL) hi = step + 1;
        if (v == WINDOW) lo = step;
        if (v == RANDOM) lo = (int)(kcheck_u32(k) % 65), hi = (int)(kcheck_u32(k) % 65);
        if (v == APART) lo = i % 8 * 8, hi = lo + 1 + (int)(kcheck_u32(k) % 8);
        if (v == ONE) hi = 1;
        c->lo[i] = (uint8_t)lo;
        c->hi[i] = (uint8_t)hi;
    }
}

/* The closed forms. The reference packs them before what nobody sees is overwritten, since closed pages
   hold 64 tokens. */
static void close_scene(kcheck *k, scene *c, int dim)
{
    attn_kernels ref;
    attn_kernels_init(&ref, CPU_REF);
    for (int f = ATTN_Q8; f <= ATTN_Q4 && dim % ATTN_LANES == 0; f++) {
        c->k[f] = kcheck_alloc(attn_page_bytes((attn_format)f, false, dim));
        c->v[f] = kcheck_alloc(attn_page_bytes((attn_format)f, true, dim));
        ref.close_k((attn_format)f, c->k16, dim, c->k[f]);
        ref.close_v((attn_format)f, c->v16, dim, c->v[f]);
    }
    (void)k;
}

static void pack_queries(kcheck *k, scene *c, int n, int dim)
{
    linear_kernels ref;
    size_t blocks = (size_t)attn_blocks(dim);
    float *padded = kcheck_alloc(blocks * ACT_BLOCK * sizeof *padded);
    linear_kernels_init(&ref, CPU_REF);
    c->qi = kcheck_alloc((size_t)n * blocks * sizeof *c->qi);
    memset(padded, 0, blocks * ACT_BLOCK * sizeof *padded);
    for (int i = 0; i < n; i++) {
        memcpy(padded, c->q + (size_t)i * (size_t)dim, (size_t)dim * sizeof *padded);
        ref.quantise(padded, 0, 1, (int)blocks * ACT_BLOCK, c->qi + (size_t)i * blocks, 0);
    }
    kcheck_free(k, padded);
}

/* Random queries, states (some of them empty) and page. Scores have a deviation of about 2. Tokens that
   nobody sees hold NaN and infinities. */
static scene scene_make(kcheck *k, kcheck_input kind, view v, int n, int dim)
{
    size_t nq = (size_t)n * (size_t)dim, np = (size_t)KV_PAGE * (size_t)dim;
    scene c = {.a = {.n = n, .head_dim = dim, .ldq = (size_t)dim, .ldo = (size_t)dim}};
    float *const *rows[] = {&c.q, &c.o, &c.k32, &c.v32};
    c.q = kcheck_alloc(nq * sizeof(float));
    c.o = kcheck_alloc(nq * sizeof(float));
    c.k32 = kcheck_alloc(np * sizeof(float));
    c.v32 = kcheck_alloc(np * sizeof(float));
    c.k16 = kcheck_alloc(np * sizeof(uint16_t));
    c.v16 = kcheck_alloc(np * sizeof(uint16_t));
    c.m = kcheck_alloc((size_t)n * sizeof(float));
    c.s = kcheck_alloc((size_t)n * sizeof(float));
    c.lo = kcheck_alloc((size_t)n);
    c.hi = kcheck_alloc((size_t)n);
    for (int i = 0; i < 4; i++) kcheck_floats(k, i == 1 ? IN_NORMAL : kind, *rows[i], i < 2 ? nq : np);
    for (size_t i = 0; i < np; i++) c.k16[i] = f16_from_f32(c.k32[i]), c.v16[i] = f16_from_f32(c.v32[i]);
    c.k[ATTN_F32] = c.k32, c.v[ATTN_F32] = c.v32, c.k[ATTN_F16] = c.k16, c.v[ATTN_F16] = c.v16;
    close_scene(k, &c, dim);
    if (kind != IN_TINY)
        for (size_t i = 0; i < nq; i++) c.q[i] *= 2 / sqrtf((float)dim);
    pack_queries(k, &c, n, dim);
    look(k, &c, v);
    uint64_t seen = 0;
    for (int i = 0; i < n; i++) {
        bool empty = kcheck_u32(k) % 3 == 0;
        c.m[i] = empty ? -INFINITY : kcheck_uniform(k, -9, 9);
        c.s[i] = empty ? 0 : kcheck_uniform(k, 1, 9);
        if (empty) memset(c.o + (size_t)i * (size_t)dim, 0, (size_t)dim * sizeof *c.o);
        for (int t = c.lo[i]; t < c.hi[i]; t++) seen |= (uint64_t)1 << t;
    }
    for (int t = 0; t < KV_PAGE; t++) {
        for (int d = 0; d < dim && !(seen >> t & 1); d++) {
            c.k32[d * KV_PAGE + t] = d % 2 ? NAN : INFINITY;
            c.v32[t * dim + d] = d % 2 ? -INFINITY : NAN;
        }
    }
    for (size_t i = 0; i < np; i++) c.k16[i] = f16_from_f32(c.k32[i]), c.v16[i] = f16_from_f32(c.v32[i]);
    c.a.q = c.q, c.a.qi = c.qi, c.a.m = c.m, c.a.s = c.s, c.a.o = c.o, c.a.lo = c.lo, c.a.hi = c.hi;
    return c;
}

static void scene_free(kcheck *k, scene *c)
{
    void *const all[] = {c->q, c->o, c->k32, c->v32, c->k16, c->v16, c->m, c->s, c->lo, c->hi, c->qi};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kcheck_free(k, all[i]);
    for (int f = ATTN_Q8; f <= ATTN_Q4; f++) {
        if (c->k[f]) kcheck_free(k, c->k[f]);
        if (c->v[f]) kcheck_free(k, c->v[f]);
    }
}

/* A copy of the scene's states, for one result. */
typedef struct states {
    float *m, *s, *o;
} states;

static attn_queries with_states(const scene *c, states *to)
{
    attn_queries a = c->a;
    size_t n = (size_t)a.n, dim = (size_t)a.head_dim;
    to->m = kcheck_alloc(n * sizeof(float));
    to->s = kcheck_alloc(n * sizeof(float));
    to->o = kcheck_alloc(n * dim * sizeof(float));
    memcpy(to->m, c->m, n * sizeof(float));
    memcpy(to->s, c->s, n * sizeof(float));
    memcpy(to->o, c->o, n * dim * sizeof(float));
    a.m = to->m, a.s = to->s, a.o = to->o;
    return a;
}

static void states_free(kcheck *k, states *s)
{
    kcheck_free(k, s->m);
    kcheck_free(k, s->s);
    kcheck_free(k, s->o);
}

static void fold(const attn_kernels *t, const attn_queries *a, const scene *c, attn_format kf, attn_format vf)
{
    const attn_page page = {
        .k_format = kf, .v_format = vf, .k = c->k[kf], .v = c->v[vf], .next_k = c->v[vf], .next_v = c->k[kf]};
    t->fold(a, &page);
}

static void fold_f16(const attn_kernels *t, const attn_queries *a, const scene *c)
{
    fold(t, a, c, ATTN_F16, ATTN_F16);
}

static void same_states(kcheck *k, const states *want, const states *got, const scene *c, const char *what)
{
    size_t n = (size_t)c->a.n;
    int dim = c->a.head_dim;
    kcheck_same_floats(k, want->m, got->m, n, "%s: m, n=%zu dim=%d", what, n, dim);
    kcheck_same_floats(k, want->s, got->s, n, "%s: s, n=%zu dim=%d", what, n, dim);
    kcheck_same_floats(k, want->o, got->o, n * (size_t)dim, "%s: o, n=%zu dim=%d", what, n, dim);
}

/* ---- the same bits ---- */

static const char *const format_names[ATTN_FORMATS] = {"f32", "f16", "q8", "q4"};

/* Folds once more with the hints that a caller may give: that all see the whole page, and what the page's mean adds to
   the scores. The mean is taken from a call with five pages: as the second of them, and as the fifth, which is left
   over by itself. */
static void check_hints(kcheck *k, const tables *t, const scene *c, attn_format kf, attn_format vf, const states *want)
{
    enum { PAGES = 5 };
    const void *const pages[PAGES] = {c->k[kf], c->k[kf], c->k[kf], c->k[kf], c->k[kf]};
    attn_queries a = c->a;
    const size_t n = (size_t)attn_sixteens(a.n);
    float *turned = kcheck_alloc(n * (size_t)a.head_dim * sizeof *turned);
    float *start = kcheck_alloc(PAGES * n * sizeof *start);
    t->now.turn(a.q, a.ldq, a.n, a.head_dim, turned);
    if (attn_is_packed(kf)) t->now.means(turned, a.n, a.head_dim, kf, pages, PAGES, start);
    for (size_t page = 1; page < PAGES; page += 3) {
        states got;
        a = with_states(c, &got);
        if (attn_is_packed(kf)) a.start = start + page * n;
        a.whole = true;
        for (int i = 0; i < a.n; i++) a.whole &= a.lo[i] == 0 && a.hi[i] == KV_PAGE;
        fold(&t->now, &a, c, kf, vf);
        same_states(k, want, &got, c, "attn.fold with hints");
        states_free(k, &got);
    }
    kcheck_free(k, turned);
    kcheck_free(k, start);
}

/* A page in one pair of formats. */
static void check_formats(kcheck *k, const tables *t, const scene *c, attn_format kf, attn_format vf, const char *how)
{
    states want, got;
    char what[128];
    int n = c->a.n, dim = c->a.head_dim;
    attn_queries a = with_states(c, &want), b = with_states(c, &got);
    fold(&t->ref, &a, c, kf, vf);
    fold(&t->now, &b, c, kf, vf);
    (void)snprintf(what, sizeof what, "attn.fold %s:%s %s", format_names[kf], format_names[vf], how);
    same_states(k, &want, &got, c, what);
    if (t->now.turn && dim % ATTN_LANES == 0) check_hints(k, t, c, kf, vf, &want);
    bool finite = true;
    for (int i = 0; i < n * dim; i++) finite &= isfinite(got.o[i]) != 0;
    kcheck_true(k, finite, "%s: what unseen tokens hold came through, n=%d dim=%d", what, n, dim);
    states_free(k, &want);
    states_free(k, &got);
}

static void check_page(kcheck *k, const tables *t, kcheck_input kind, view v, int n, int dim, float softcap)
{
    static const char *const view_names[VIEWS] = {"all", "causal", "window", "random", "apart", "one"};
    scene c = scene_make(k, kind, v, n, dim);
    char how[64];
    c.a.softcap = softcap;
    (void)snprintf(how, sizeof how, "%s %s cap %g", kcheck_input_name(kind), view_names[v], (double)softcap);
    /* Only a quarter of the pairs each time. The next number of queries and the next view take another quarter. */
    for (int pair = (n + (int)v) % 4; pair < ATTN_FORMATS * ATTN_FORMATS; pair += 4) {
        attn_format kf = (attn_format)(pair % ATTN_FORMATS),
                    vf = (attn_format)((pair / ATTN_FORMATS + pair) % ATTN_FORMATS);
        if (c.k[kf] && c.v[vf]) check_formats(k, t, &c, kf, vf, how);
    }
    scene_free(k, &c);
}

/* Closing a page: every level writes the same bytes, and nothing beyond them. */
static void check_close(kcheck *k, const tables *t, kcheck_input kind, int dim)
{
    size_t cells = (size_t)dim * KV_PAGE;
    float *wide = kcheck_alloc(cells * sizeof *wide);
    uint16_t *open = kcheck_alloc(cells * sizeof *open);
    kcheck_floats(k, kind, wide, cells);
    for (size_t i = 0; i < cells; i++) open[i] = f16_from_f32(fmaxf(-60000, fminf(60000, wide[i])));
    for (int f = ATTN_Q8; f <= ATTN_Q4; f++) {
        for (int v = 0; v < 2; v++) {
            size_t bytes = attn_page_bytes((attn_format)f, v, dim);
            void *want = kcheck_alloc(bytes), *got = kcheck_alloc(bytes);
            memset(want, 0x55, bytes);
            memset(got, 0x55, bytes);
            (v ? t->ref.close_v : t->ref.close_k)((attn_format)f, open, dim, want);
            (v ? t->now.close_v : t->now.close_k)((attn_format)f, open, dim, got);
            kcheck_same(k, want, got, bytes, "attn.close_%c %s dim=%d %s", "kv"[v], format_names[f], dim,
                        kcheck_input_name(kind));
            kcheck_free(k, want);
            kcheck_free(k, got);
        }
    }
    kcheck_free(k, wide);
    kcheck_free(k, open);
}

static void check_closes(kcheck *k, const tables *t)
{
    static const kcheck_input kinds[] = {IN_NORMAL, IN_OUTLIERS, IN_ZERO, IN_CONSTANT, IN_TINY, IN_WIDE};
    static const int dims[] = {16, 48, 64, 80, 96, 128, 192, 256, 512, 576};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++)
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) check_close(k, t, kinds[i], dims[d]);
}

static void check_pages(kcheck *k, const tables *t)
{
    static const kcheck_input kinds[] = {IN_NORMAL, IN_OUTLIERS, IN_ZERO, IN_CONSTANT, IN_TINY};
    static const int dims[] = {16, 48, 64, 80, 96, 112, 128, 192, 256, 512, 576, 40};
    static const int most[] = {36, 192};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        for (int n = 1; n <= 13; n += k->is_short && n > 4 ? 4 : 1) {
            for (int v = 0; v < VIEWS; v++) {
                kcheck_input kind = kinds[kcheck_u32(k) % 5];
                check_page(k, t, kind, (view)v, n, dims[d], (n + v) % 3 ? 0 : 50.0f);
            }
        }
    }
    for (int i = 0; i < 2; i++)
        for (int v = 0; v < VIEWS; v++) check_page(k, t, IN_NORMAL, (view)v, most[i], i ? 64 : 128, v % 2 ? 30.0f : 0);
}

/* A token that holds infinities must reach the queries that see it, and no others. */
static void check_poison(kcheck *k, const tables *t)
{
    enum { N = 6, D = 80 };
    scene c = scene_make(k, IN_NORMAL, ALL, N, D);
    for (int i = 0; i < N; i++) c.hi[i] = (uint8_t)(8 * (i + 1));
    for (int d = 0; d < D; d++) c.v16[20 * D + d] = f16_from_f32(d % 2 ? NAN : INFINITY);
    states want, got;
    attn_queries a = with_states(&c, &want), b = with_states(&c, &got);
    fold_f16(&t->ref, &a, &c);
    fold_f16(&t->now, &b, &c);
    same_states(k, &want, &got, &c, "attn.fold with infinities for some");
    for (int i = 0; i < N; i++)
        kcheck_true(k, isfinite(got.o[i * D]) == (c.hi[i] <= 20), "infinity at token 20, query %d sees %d", i, c.hi[i]);
    states_free(k, &want);
    states_free(k, &got);
    scene_free(k, &c);
}

/* A query gives the same bits alone, among others, and among different others. */
static void check_company(kcheck *k, const tables *t, attn_format f)
{
    static const int dims[] = {64, 96, 128, 256, 24};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        for (int round = 0; round < 4 && (f < ATTN_Q8 || dims[d] % ATTN_LANES == 0); round++) {
            int n = 1 + (int)(kcheck_u32(k) % 40), at = 0;
            scene c = scene_make(k, IN_NORMAL, round % 2 ? RANDOM : CAUSAL, n, dims[d]);
            states together, parts;
            attn_queries a = with_states(&c, &together), b = with_states(&c, &parts);
            fold(&t->now, &a, &c, f, f);
            while (at < n) {
                attn_queries some = b;
                size_t skip = (size_t)at * (size_t)dims[d];
                some.n = 1 + (int)(kcheck_u32(k) % 7);
                if (round < 2) some.n = 1;
                if (some.n > n - at) some.n = n - at;
                some.q += skip, some.o += skip, some.m += at, some.s += at, some.lo += at, some.hi += at;
                some.qi += at * attn_blocks(dims[d]);
                fold(&t->now, &some, &c, f, f);
                at += some.n;
            }
            same_states(k, &together, &parts, &c, "attn.fold in parts");
            states_free(k, &together);
            states_free(k, &parts);
            scene_free(k, &c);
        }
    }
}

static void check_merge(kcheck *k, const tables *t, int dim)
{
    const float maxima[] = {-INFINITY, -3, 0, 2.5f, 60};
    size_t n = (size_t)dim, bytes = n * sizeof(float);
    float *o = kcheck_alloc(bytes), *o2 = kcheck_alloc(bytes), *want = kcheck_alloc(bytes), *got = kcheck_alloc(bytes);
    kcheck_floats(k, IN_NORMAL, o, n);
    kcheck_floats(k, IN_NORMAL, o2, n);
    for (int i = 0; i < 25; i++) {
        float m[2] = {maxima[i / 5], maxima[i / 5]}, m2 = maxima[i % 5], sink = m2;
        float s[2] = {i / 5 ? 3.25f : 0, i / 5 ? 3.25f : 0}, s2 = i % 5 ? 1.75f : 0;
        if (i < 5)
            memset(o, 0, bytes);
        else
            kcheck_floats(k, IN_NORMAL, o, n);
        t->ref.finish(m[0], s[0], o, i % 5 ? &sink : NULL, dim, want);
        memcpy(got, o, bytes);
        t->now.finish(m[0], s[0], got, i % 5 ? &sink : NULL, dim, got);
        kcheck_same_floats(k, want, got, n, "attn.finish dim=%d", dim);
        kcheck_true(k, isfinite(got[0]), "attn.finish of m=%g sink %g", (double)m[0], (double)sink);
        memcpy(want, o, bytes);
        memcpy(got, o, bytes);
        t->ref.merge(&m[0], &s[0], want, m2, s2, o2, dim);
        t->now.merge(&m[1], &s[1], got, m2, s2, o2, dim);
        kcheck_same_floats(k, want, got, n, "attn.merge dim=%d", dim);
        kcheck_true(k, m[0] == m[1] && s[0] == s[1] && isfinite(got[0]), "attn.merge: m, s");
    }
    kcheck_free(k, o);
    kcheck_free(k, o2);
    kcheck_free(k, want);
    kcheck_free(k, got);
}

static void check_append(kcheck *k, const tables *t, int n, int at, int dim)
{
    size_t ldk = (size_t)dim + 5, ldv = (size_t)dim + 3, cells = (size_t)dim * KV_PAGE;
    float *from_k = kcheck_alloc((size_t)n * ldk * sizeof(float)),
          *from_v = kcheck_alloc((size_t)n * ldv * sizeof(float));
    uint16_t *page[4];
    float *wide[4];
    kcheck_floats(k, IN_WIDE, from_k, (size_t)n * ldk);
    kcheck_floats(k, IN_NAN, from_v, (size_t)n * ldv);
    for (int i = 0; i < 4; i++) page[i] = kcheck_alloc(cells * 2), wide[i] = kcheck_alloc(cells * 4);
    t->ref.append_k(ATTN_F16, from_k, ldk, n, at, dim, page[0]);
    t->ref.append_v(ATTN_F16, from_v, ldv, n, at, dim, page[1]);
    t->now.append_k(ATTN_F16, from_k, ldk, n, at, dim, page[2]);
    t->now.append_v(ATTN_F16, from_v, ldv, n, at, dim, page[3]);
    t->ref.append_k(ATTN_F32, from_k, ldk, n, at, dim, wide[0]);
    t->ref.append_v(ATTN_F32, from_v, ldv, n, at, dim, wide[1]);
    t->now.append_k(ATTN_F32, from_k, ldk, n, at, dim, wide[2]);
    t->now.append_v(ATTN_F32, from_v, ldv, n, at, dim, wide[3]);
    for (int i = 0; i < 2; i++) { /* everything else in the page stays as it was */
        kcheck_same(k, page[i], page[2 + i], cells * 2, "attn.append f16 %c: %d rows at %d, dim %d", "KV"[i], n, at,
                    dim);
        kcheck_same(k, wide[i], wide[2 + i], cells * 4, "attn.append f32 %c: %d rows at %d, dim %d", "KV"[i], n, at,
                    dim);
    }
    for (int i = 0; i < 4; i++) kcheck_free(k, page[i]), kcheck_free(k, wide[i]);
    kcheck_free(k, from_k);
    kcheck_free(k, from_v);
}

static void check_appends(kcheck *k, const tables *t)
{
    static const int shapes[][2] = {{1, 0}, {1, 63}, {1, 17}, {64, 0}, {63, 1}, {16, 5}, {15, 3}, {33, 16}, {47, 11}};
    static const int dims[] = {16, 64, 80, 128, 576, 20};
    for (size_t d = 0; d < sizeof dims / sizeof *dims; d++) {
        check_merge(k, t, dims[d]);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check_append(k, t, shapes[i][0], shapes[i][1], dims[d]);
    }
}

/* ---- accuracy ---- */

/* Softmax attention of one query over n tokens, by its formula. k and v are rows. Fills `want`, and as the scale of
   errors the same sum over |v|. */
static void plain_attention(const float *q, const float *keys, const float *values, int n, int dim, float softcap,
                            const float *sink, double *want, double *scale)
{
    double p[1024], top = sink ? *sink : -INFINITY, sum = 0;
    for (int t = 0; t < n; t++) {
        p[t] = 0;
        for (int d = 0; d < dim; d++) p[t] += (double)q[d] * (double)keys[t * dim + d];
        if (softcap > 0) p[t] = softcap * tanh(p[t] / softcap);
        top = fmax(top, p[t]);
    }
    for (int t = 0; t < n; t++) sum += p[t] = exp(p[t] - top);
    if (sink) sum += exp(*sink - top);
    for (int d = 0; d < dim; d++) {
        want[d] = scale[d] = 0;
        for (int t = 0; t < n; t++) {
            want[d] += p[t] / sum * values[t * dim + d];
            scale[d] += p[t] / sum * fabs((double)values[t * dim + d]);
        }
    }
}

/* Five and a half pages in two spans, which are merged and finished; the full pages are in format f. The rows have an
   offset, like those of models with a bias. */
static void check_sequence(kcheck *k, const attn_kernels *t, attn_format f, int dim, float softcap, const float *sink)
{
    enum { TOKENS = 5 * KV_PAGE + 37, PAGES = 6, SPAN = 3 };
    static const double tolerance[ATTN_FORMATS] = {1e-5, 5e-3, 0.03, 0.25};
    const attn_format plain = f == ATTN_F32 ? ATTN_F32 : ATTN_F16;
    size_t n = (size_t)TOKENS * (size_t)dim, cells = (size_t)KV_PAGE * (size_t)dim;
    float *keys = kcheck_alloc(n * 4), *values = kcheck_alloc(n * 4), *kp = kcheck_alloc(cells * 4),
          *vp = kcheck_alloc(cells * 4), *kc = kcheck_alloc(cells * 4), *vc = kcheck_alloc(cells * 4);
    float q[ATTN_MAX_DIM + ACT_BLOCK] = {0}, out[ATTN_MAX_DIM], o[2][ATTN_MAX_DIM] = {{0}};
    float m[2] = {-INFINITY, -INFINITY}, s[2] = {0};
    double want[ATTN_MAX_DIM], scale[ATTN_MAX_DIM];
    act_block qi[ATTN_MAX_DIM / ACT_BLOCK + 1];
    linear_kernels ref;
    linear_kernels_init(&ref, CPU_REF);
    kcheck_floats(k, IN_NORMAL, keys, n);
    kcheck_floats(k, IN_NORMAL, values, n);
    for (size_t i = 0; i < n; i++) keys[i] += i % (size_t)dim == 3 ? 30.0f : 0;
    kcheck_floats(k, IN_NORMAL, q, (size_t)dim);
    for (int d = 0; d < dim; d++) q[d] *= (f >= ATTN_Q8 ? 1.0f : 3.0f) / sqrtf((float)dim);
    ref.quantise(q, 0, 1, attn_blocks(dim) * ACT_BLOCK, qi, 0);
    for (int page = 0; page < PAGES; page++) {
        int rows = page < PAGES - 1 ? KV_PAGE : TOKENS % KV_PAGE, span = page / SPAN;
        size_t at = (size_t)page * cells;
        uint8_t lo = 0, hi = (uint8_t)rows;
        attn_queries a = {.n = 1,
                          .head_dim = dim,
                          .softcap = softcap,
                          .q = q,
                          .qi = qi,
                          .lo = &lo,
                          .hi = &hi,
                          .m = &m[span],
                          .s = &s[span],
                          .o = o[span]};
        attn_page now = {.k_format = plain, .v_format = plain, .k = kp, .v = vp};
        t->append_k(plain, keys + at, (size_t)dim, rows, 0, dim, kp);
        t->append_v(plain, values + at, (size_t)dim, rows, 0, dim, vp);
        if (rows == KV_PAGE && f >= ATTN_Q8) {
            t->close_k(f, (const uint16_t *)(const void *)kp, dim, kc);
            t->close_v(f, (const uint16_t *)(const void *)vp, dim, vc);
            now = (attn_page){.k_format = f, .v_format = f, .k = kc, .v = vc};
        }
        t->fold(&a, &now);
    }
    t->merge(&m[0], &s[0], o[0], m[1], s[1], o[1], dim);
    t->finish(m[0], s[0], o[0], sink, dim, out);
    plain_attention(q, keys, values, TOKENS, dim, softcap, sink, want, scale);
    kcheck_near(k, want, out, scale, (size_t)dim, tolerance[f], "attention %s against the formula, dim %d cap %g%s",
                format_names[f], dim, (double)softcap, sink ? ", sink" : "");
    float *const all[] = {keys, values, kp, vp, kc, vc};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) kcheck_free(k, all[i]);
}

/* ---- speed ---- */

typedef struct bench {
    const attn_kernels *t;
    attn_queries a;
    char *memory;
    attn_format k, v;
    int pages, rows;
    bool hint; /* name the next page */
} bench;

static void bench_walk(void *context)
{
    bench *b = context;
    size_t k_bytes = attn_page_bytes(b->k, false, b->a.head_dim),
           bytes = k_bytes + attn_page_bytes(b->v, true, b->a.head_dim);
    for (int i = 0; i < b->pages; i++) {
        const char *at = b->memory + (size_t)i * bytes;
        attn_page page = {.k_format = b->k, .v_format = b->v, .k = at, .v = at + k_bytes};
        if (b->hint) {
            page.next_k = at + (size_t)(i + 1 < b->pages) * bytes;
            page.next_v = (const char *)page.next_k + k_bytes;
        }
        b->t->fold(&b->a, &page);
    }
}

static void bench_append(void *context)
{
    bench *b = context;
    int at = b->rows == 1 ? 37 : 0, dim = b->a.head_dim;
    b->t->append_k(ATTN_F16, b->a.q, b->a.ldq, b->rows, at, dim, b->memory);
    b->t->append_v(ATTN_F16, b->a.q, b->a.ldq, b->rows, at, dim, b->memory + attn_page_bytes(ATTN_F16, false, dim));
}

static void bench_close(void *context)
{
    bench *b = context;
    uint16_t *open = (uint16_t *)(void *)b->memory;
    char *closed = b->memory + attn_page_bytes(ATTN_F16, false, b->a.head_dim);
    b->t->close_k(b->k, open, b->a.head_dim, closed);
    b->t->close_v(b->v, open, b->a.head_dim, closed);
}

/* Decoding reads pages from memory that is far larger than the caches; a prompt's queries go through pages that stay in
   the second-level cache. */
static void run_bench(kcheck *k, const attn_kernels *t)
{
    enum { MOST = 192, MAX_DIM = 256 };
    static const int shapes[][3] = {{128, 1, 1}, {128, 3, 1},   {128, 6, 1},    {128, 8, 1},   {64, 3, 1},
                                    {256, 4, 1}, {64, MOST, 0}, {128, MOST, 0}, {256, MOST, 0}};
    static const attn_format formats[][2] = {
        {ATTN_F16, ATTN_F16}, {ATTN_Q8, ATTN_Q8}, {ATTN_Q8, ATTN_Q4}, {ATTN_Q4, ATTN_Q4}};
    const size_t room = (size_t)512 << 20;
    static float q[MOST * MAX_DIM], o[MOST * MAX_DIM], m[MOST], s[MOST];
    static act_block qi[MOST * MAX_DIM / ACT_BLOCK];
    static uint8_t lo[MOST], hi[MOST];
    const char *level = cpu_level_name(k->level);
    linear_kernels linear;
    char *memory = region_reserve(room, true);
    if (!memory) return;
    memset(memory, 0x3a, room); /* 0x3a3a is 0.78 */
    for (int i = 0; i < MOST * MAX_DIM; i++) q[i] = kcheck_normal(k) * 0.1f;
    linear_kernels_init(&linear, CPU_REF);
    linear.quantise(q, 0, 1, MOST * MAX_DIM, qi, 0);
    memset(hi, KV_PAGE, sizeof hi);
    bench b = {.t = t, .memory = memory, .a = {.q = q, .qi = qi, .o = o, .m = m, .s = s, .lo = lo, .hi = hi}};
    for (size_t i = 0; i < 4 * sizeof shapes / sizeof *shapes; i++) {
        const int *shape = shapes[i / 4];
        int dim = shape[0], n = shape[1];
        if (k->level == CPU_REF && n > 1) continue;
        b.a.n = n;
        b.a.head_dim = dim;
        b.a.ldq = b.a.ldo = (size_t)dim;
        b.k = formats[i % 4][0], b.v = formats[i % 4][1];
        size_t page = attn_page_bytes(b.k, false, dim) + attn_page_bytes(b.v, true, dim);
        b.pages = shape[2] ? (int)((k->level == CPU_REF ? room / 64 : room) / page) : 4;
        double bytes = (double)page * b.pages, flops = 4.0 * n * dim * KV_PAGE * b.pages;
        for (int hint = 0; hint < 1 + shape[2]; hint++) {
            b.hint = hint;
            double each = kcheck_seconds(bench_walk, &b);
            printf("%-11s attn.fold %3s:%-3s dim %3d, %3d queries, %s%s: %6.1f GB/s, %6.1f Gop/s, %6.1f ns a page\n",
                   level, format_names[b.k], format_names[b.v], dim, n, shape[2] ? "memory" : "cache",
                   hint ? ", next page named" : "", bytes / each * 1e-9, flops / each * 1e-9, each / b.pages * 1e9);
        }
    }
    b.a.head_dim = 128, b.a.ldq = 128;
    for (b.rows = 1; b.rows <= KV_PAGE; b.rows += KV_PAGE - 1)
        printf("%-11s attn.append f16 dim 128, %2d rows: %.1f ns a row\n", level, b.rows,
               kcheck_seconds(bench_append, &b) / b.rows * 1e9);
    for (int f = ATTN_Q8; f <= ATTN_Q4; f++) {
        b.k = b.v = (attn_format)f;
        printf("%-11s attn.close %s dim 128: %.1f ns a row\n", level, format_names[f],
               kcheck_seconds(bench_close, &b) / KV_PAGE * 1e9);
    }
    region_free(memory, room);
}

void kcheck_attn(kcheck *k)
{
    static const int dims[] = {64, 80, 128, 256, 576, 33};
    const float sink = 1.5f;
    tables t;
    attn_kernels_init(&t.ref, CPU_REF);
    attn_kernels_init(&t.now, k->level);
    if (k->bench) {
        run_bench(k, &t.now);
        return;
    }
    check_pages(k, &t);
    check_poison(k, &t);
    for (int f = 0; f < ATTN_FORMATS; f++) check_company(k, &t, (attn_format)f);
    check_closes(k, &t);
    check_appends(k, &t);
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        for (int f = 0; f < ATTN_FORMATS; f++) {
            if (f >= ATTN_Q8 && dims[i] % ATTN_LANES) continue;
            check_sequence(k, &t.now, (attn_format)f, dims[i], 0, NULL);
            check_sequence(k, &t.now, (attn_format)f, dims[i], 20, NULL);
            check_sequence(k, &t.now, (attn_format)f, dims[i], 0, &sink);
        }
    }
}
