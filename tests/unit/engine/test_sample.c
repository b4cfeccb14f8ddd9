/* The sampler: every stage against a plain reimplementation in double precision, the draw by chi-square. */
#include "test.h"

#include "base/mem.h"
#include "sample/sample.h"

enum { VOCAB = 96, DRAWS = 40000 };

static kvasir_sampler *make(kvasir_sampler_options o, int n_vocab)
{
    kvasir_sampler *s = NULL;
    assert_ok(sampler_create(NULL, n_vocab, &o, &s));
    return s;
}

static void random_logits(float *x, int n, unsigned seed)
{
    srand(seed);
    for (int i = 0; i < n; i++) {
        double sum = 0;
        for (int j = 0; j < 6; j++) sum += rand() / (double)RAND_MAX - 0.5;
        x[i] = (float)(sum * 3);
    }
}

/* ---- the plain reimplementation: probabilities per id, zero for what a filter removed ---- */

typedef struct dist {
    int n;
    double x[VOCAB];
    bool in[VOCAB];
} dist;

static void softmax(const dist *d, double temperature, double *p)
{
    double max = -INFINITY, sum = 0;
    for (int i = 0; i < d->n; i++)
        if (d->in[i] && d->x[i] > max) max = d->x[i];
    for (int i = 0; i < d->n; i++) sum += p[i] = d->in[i] ? exp((d->x[i] - max) / temperature) : 0;
    for (int i = 0; i < d->n; i++) p[i] /= sum;
}

/* Keeps ids in order of falling score until `enough(rank, mass before)` says so. */
static void keep_best(dist *d, const double *score, const double *p, int most, double mass)
{
    bool kept[VOCAB] = {false};
    double have = 0;
    for (int rank = 0; rank < most && (rank == 0 || have < mass); rank++) {
        int best = -1;
        for (int i = 0; i < d->n; i++)
            if (d->in[i] && !kept[i] && (best < 0 || score[i] > score[best])) best = i;
        if (best < 0) break;
        kept[best] = true;
        have += p[best];
    }
    for (int i = 0; i < d->n; i++) d->in[i] = kept[i];
}

static void plain(const kvasir_sampler_options *o, bool xtc, const float *logits, int n, double *p)
{
    dist d = {.n = n};
    double score[VOCAB];
    for (int i = 0; i < n; i++) {
        d.x[i] = (double)logits[i];
        d.in[i] = logits[i] > -INFINITY;
    }
    softmax(&d, 1, p);
    if (o->top_k > 0) keep_best(&d, d.x, p, o->top_k, 2);
    softmax(&d, 1, p);
    if (o->typical_p > 0) {
        double entropy = 0;
        for (int i = 0; i < n; i++)
            if (p[i] > 0) entropy -= p[i] * log(p[i]);
        for (int i = 0; i < n; i++) score[i] = -fabs(-log(p[i]) - entropy);
        keep_best(&d, score, p, n, (double)o->typical_p);
    }
    softmax(&d, 1, p);
    if (o->top_p > 0) keep_best(&d, d.x, p, n, (double)o->top_p);
    softmax(&d, 1, p);
    double max = 0;
    for (int i = 0; i < n; i++) max = p[i] > max ? p[i] : max;
    for (int i = 0; i < n; i++)
        if (p[i] < (double)o->min_p * max) d.in[i] = false;
    softmax(&d, 1, p);
    int above = 0, least = -1;
    for (int i = 0; i < n; i++) {
        if (p[i] == 0 || p[i] < (double)o->xtc_threshold) continue;
        above++;
        if (least < 0 || p[i] <= p[least]) least = i;
    }
    for (int i = 0; xtc && above > 1 && i < n; i++)
        if (p[i] >= (double)o->xtc_threshold && i != least) d.in[i] = false;
    softmax(&d, (double)o->temperature, p);
}

/* Draws many times; checks the set of ids and Pearson's statistic. */
static void check_distribution(kvasir_sampler_options o, const float *logits, int n, const double *p)
{
    int count[VOCAB] = {0}, freedom = -1;
    kvasir_sampler *s = make(o, n);
    for (int i = 0; i < DRAWS; i++) count[kvasir_sampler_choose(s, logits)]++;
    kvasir_sampler_free(s);
    double chi = 0, rest_p = 0, rest_n = 0;
    for (int i = 0; i < n; i++) {
        if (p[i] == 0) assert_int_equal(count[i], 0);
        if (p[i] * DRAWS < 8) { /* too rare for a class of its own */
            rest_p += p[i];
            rest_n += count[i];
            continue;
        }
        assert_true(count[i] > 0);
        chi += pow(count[i] - p[i] * DRAWS, 2) / (p[i] * DRAWS);
        freedom++;
    }
    if (rest_p * DRAWS >= 8) {
        chi += pow(rest_n - rest_p * DRAWS, 2) / (rest_p * DRAWS);
        freedom++;
    }
    /* Mean `freedom`, variance twice that; 5 sigma above is about one in a million. */
    assert_true(freedom <= 0 || chi < freedom + 5 * sqrt(2.0 * freedom) + 3);
    if (freedom >= 20) assert_true(chi > freedom - 4.5 * sqrt(2.0 * freedom)); /* not suspiciously even */
}

static void test_filters(void **state)
{
    (void)state;
    const kvasir_sampler_options all[] = {
        {.temperature = 1},
        {.temperature = 0.6f},
        {.temperature = 2.5f},
        {.temperature = 1, .top_k = 1},
        {.temperature = 1, .top_k = 7},
        {.temperature = 1, .top_k = 1000},
        {.temperature = 1, .top_p = 0.5f},
        {.temperature = 0.8f, .top_p = 0.9f},
        {.temperature = 1, .top_p = 0.001f},
        {.temperature = 1, .min_p = 0.1f},
        {.temperature = 1.5f, .min_p = 1},
        {.temperature = 1, .typical_p = 0.3f},
        {.temperature = 1, .typical_p = 0.9f},
        {.temperature = 1, .xtc_probability = 1, .xtc_threshold = 0.02f},
        {.temperature = 1, .xtc_probability = 1, .xtc_threshold = 0.5f},
        {.temperature = 0.7f, .top_k = 40, .typical_p = 0.95f, .top_p = 0.9f, .min_p = 0.05f},
        {.temperature = 0.7f, .top_k = 20, .top_p = 0.95f, .xtc_probability = 1, .xtc_threshold = 0.05f},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        for (unsigned seed = 1; seed <= 2; seed++) {
            float x[VOCAB];
            double p[VOCAB];
            random_logits(x, VOCAB, seed);
            x[5] = -INFINITY;
            x[9] = NAN;
            kvasir_sampler_options o = all[i];
            o.seed = 100 * i + seed;
            float clean[VOCAB];
            memcpy(clean, x, sizeof x);
            clean[9] = -INFINITY;
            plain(&o, o.xtc_probability > 0, clean, VOCAB, p);
            check_distribution(o, x, VOCAB, p);
        }
}

/* The exact set that each filter keeps, on many rows; ids are checked, not draws. */
static void test_sets(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 300; seed++) {
        float x[VOCAB];
        double p[VOCAB];
        candidate c[VOCAB];
        random_logits(x, VOCAB, seed);
        for (int kind = 0; kind < 5; kind++) {
            kvasir_sampler_options o = {.temperature = 1};
            float part = (float)(1 + seed % 19) / 20;
            int n = filter_top_k(x, VOCAB, kind == 0 ? (int)seed % VOCAB : 0, c);
            if (kind == 0) o.top_k = (int)seed % VOCAB;
            if (kind == 1) n = filter_typical(c, n, (double)(o.typical_p = part));
            if (kind == 2) n = filter_top_p(c, n, (double)(o.top_p = part));
            if (kind == 3) n = filter_min_p(c, n, (double)(o.min_p = part));
            if (kind == 4) n = filter_xtc(c, n, (double)(o.xtc_threshold = part / 10));
            plain(&o, kind == 4, x, VOCAB, p);
            int want = 0;
            for (int i = 0; i < VOCAB; i++) want += p[i] > 0;
            assert_int_equal(n, want);
            for (int i = 0; i < n; i++) assert_true(p[c[i].id] > 0);
            if (kind == 2)
                for (int i = 1; i < n; i++) assert_true(c[i - 1].x >= c[i].x);
        }
    }
}

static void test_xtc_chance(void **state)
{
    (void)state;
    const float x[4] = {3, 2.9f, 0, -1};
    kvasir_sampler_options o = {.temperature = 1, .xtc_probability = 0.25f, .xtc_threshold = 0.1f, .seed = 3};
    double with[VOCAB], without[VOCAB], p[VOCAB] = {0};
    plain(&o, true, x, 4, with);
    plain(&o, false, x, 4, without);
    assert_true(with[0] == 0 && without[0] > 0.4);
    for (int i = 0; i < 4; i++) p[i] = 0.25 * with[i] + 0.75 * without[i];
    check_distribution(o, x, 4, p);
}

static void test_seeds(void **state)
{
    (void)state;
    float x[VOCAB];
    random_logits(x, VOCAB, 4);
    kvasir_sampler_options o = {.temperature = 1, .top_p = 0.95f, .seed = 42};
    kvasir_sampler *a = make(o, VOCAB), *b = make(o, VOCAB);
    o.seed = 43;
    kvasir_sampler *other = make(o, VOCAB);
    int same = 0;
    mem_forbid(true);
    unsigned attempts = mem_forbidden();
    for (int i = 0; i < 500; i++) {
        int32_t id = kvasir_sampler_choose(a, x);
        assert_int_equal(id, kvasir_sampler_choose(b, x));
        same += id == kvasir_sampler_choose(other, x);
        kvasir_sampler_accept(a, id);
        kvasir_sampler_accept(b, id);
    }
    assert_int_equal(mem_forbidden(), attempts);
    mem_forbid(false);
    assert_true(same < 250);
    kvasir_sampler_free(a);
    kvasir_sampler_free(b);
    kvasir_sampler_free(other);
    /* The algorithm itself: SplitMix64 of seed 0 is published (0xe220a8397b1dcdaf first). */
    rng r;
    rng_seed(&r, 0);
    assert_true(r.s[0] == 0xe220a8397b1dcdafu && r.s[1] == 0x6e789e6aa1b965f4u);
    r = (rng){{1, 2, 3, 4}}; /* the reference's first outputs from this state: 11520, 0, 1509978240 */
    assert_true(rng_uniform(&r) == (11520 >> 11) * 0x1p-53);
    assert_true(rng_uniform(&r) == 0);
    assert_true(rng_uniform(&r) == (1509978240 >> 11) * 0x1p-53);
}

static void test_hostile_logits(void **state)
{
    (void)state;
    const float bad[][4] = {{NAN, NAN, NAN, NAN},
                            {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                            {NAN, -INFINITY, 1, NAN},
                            {INFINITY, 0, INFINITY, NAN},
                            {-FLT_MAX, FLT_MAX, -FLT_MAX, 0}};
    const int want[] = {0, 0, 2, 0, 1};
    for (int i = 0; i < 5; i++) {
        kvasir_sampler *s = make((kvasir_sampler_options){0}, 4);
        assert_int_equal(kvasir_sampler_choose(s, bad[i]), want[i]);
        kvasir_sampler_free(s);
        s = make((kvasir_sampler_options){.temperature = 1e-20f,
                                          .top_k = 3,
                                          .top_p = 0.9f,
                                          .min_p = 0.1f,
                                          .typical_p = 0.9f,
                                          .repeat_penalty = 1e-30f,
                                          .dry_multiplier = FLT_MAX},
                 4);
        for (int j = 0; j < 50; j++) {
            int32_t id = kvasir_sampler_choose(s, bad[i]);
            assert_in_range(id, 0, 3);
            kvasir_sampler_accept(s, id);
        }
        kvasir_sampler_accept(s, -1);
        kvasir_sampler_accept(s, 4);
        kvasir_sampler_free(s);
    }
    const float ties[4] = {1, 5, 5, 5};
    kvasir_sampler *s = make((kvasir_sampler_options){0}, 4);
    assert_int_equal(kvasir_sampler_choose(s, ties), 1);
    kvasir_sampler_free(s);
}

static void test_bias_and_penalties(void **state)
{
    (void)state;
    const kvasir_logit_bias bias[] = {{2, 1.5f}, {3, -INFINITY}, {2, 0.25f}};
    const float x[5] = {2, -2, 0, 9, 1};
    kvasir_sampler_options o = {.bias = bias,
                                .n_bias = 3,
                                .repeat_penalty = 1.25f,
                                .repeat_last_n = 3,
                                .frequency_penalty = 0.5f,
                                .presence_penalty = 0.125f};
    kvasir_sampler *s = make(o, 5);
    const int32_t seen[] = {4, 0, 1, 1}; /* the 4 has left the window of three */
    for (int i = 0; i < 4; i++) kvasir_sampler_accept(s, seen[i]);
    assert_int_equal(kvasir_sampler_choose(s, x), 2);
    assert_true(s->logits[0] == logit(2 / 1.25 - 0.625));
    assert_true(s->logits[1] == logit(-2 * 1.25 - 1.125));
    assert_true(s->logits[2] == 1.75f);
    assert_true(s->logits[3] == -INFINITY);
    assert_true(s->logits[4] == 1);
    kvasir_sampler_accept(s, 2);
    kvasir_sampler_accept(s, 2); /* now the window is 1 2 2 */
    (void)kvasir_sampler_choose(s, x);
    assert_true(s->logits[0] == 2);
    assert_true(s->logits[2] == logit(1.75 / 1.25 - 1.125));
    kvasir_sampler_free(s);

    o = (kvasir_sampler_options){.presence_penalty = 1, .repeat_last_n = -1};
    s = make(o, 5);
    kvasir_sampler_accept(s, 0);
    for (int i = 0; i < 1000; i++) kvasir_sampler_accept(s, 4);
    (void)kvasir_sampler_choose(s, x);
    assert_true(s->logits[0] == 1 && s->logits[4] == 0 && s->logits[1] == -2);
    kvasir_sampler_free(s);
}

/* For every token the longest earlier match it would extend, by comparing everything with everything. */
static void plain_dry(const int32_t *h, int n, int since_break, int *longest)
{
    memset(longest, 0, VOCAB * sizeof *longest);
    for (int end = 1; end < n; end++) { /* h[end] follows the earlier occurrence h[..end) */
        int z = 0;
        while (z < since_break && z < end && h[end - 1 - z] == h[n - 1 - z]) z++;
        if (z > longest[h[end]]) longest[h[end]] = z;
    }
}

static void test_dry(void **state)
{
    (void)state;
    const float x[VOCAB] = {0};
    kvasir_sampler_options o = {.dry_multiplier = 0.5f, .dry_base = 2, .dry_allowed_length = 2};
    kvasir_sampler *s = make(o, VOCAB);
    const int32_t text[] = {1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3}; /* "1 2 3" was followed by 4, "2 3" by 7 */
    for (size_t i = 0; i < sizeof text / sizeof text[0]; i++) kvasir_sampler_accept(s, text[i]);
    (void)kvasir_sampler_choose(s, x);
    for (int i = 0; i < VOCAB; i++) assert_true(s->logits[i] == (i == 4 ? -1.0f : i == 7 ? -0.5f : 0));
    kvasir_sampler_free(s);

    for (unsigned seed = 0; seed < 200; seed++) {
        int32_t h[400];
        int longest[VOCAB], n = 1 + (int)seed * 2 % 400, window = seed % 3 ? 0 : 50;
        o.dry_last_n = window;
        o.dry_allowed_length = 1 + (int)seed % 4;
        s = make(o, VOCAB);
        srand(seed);
        for (int i = 0; i < n; i++) kvasir_sampler_accept(s, h[i] = rand() % (2 + (int)seed % 3));
        int in_window = window && n > window ? window : n;
        plain_dry(h + n - in_window, in_window, in_window, longest);
        for (int again = 0; again < 2; again++) { /* a second choice must start from a clean table */
            (void)kvasir_sampler_choose(s, x);
            for (int i = 0; i < VOCAB; i++) {
                double want = longest[i] < o.dry_allowed_length ? 0 : -0.5 * pow(2, longest[i] - o.dry_allowed_length);
                assert_true(s->logits[i] == logit(want));
            }
        }
        kvasir_sampler_free(s);
    }

    o = (kvasir_sampler_options){.dry_multiplier = 1, .temperature = 1};
    s = make(o, VOCAB);
    for (int i = 0; i < 200000; i++) kvasir_sampler_accept(s, 3); /* quadratic work would never end */
    assert_int_not_equal(kvasir_sampler_choose(s, x), 3);
    kvasir_sampler_free(s);
}

/* A byte-per-token vocabulary with a longer token and a control token. */
static void test_dry_breakers(void **state)
{
    (void)state;
    tok_text tokens[] = {{"<unk>", 5}, {"<s>", 3}, {"</s>", 4}, {"a", 1}, {"b", 1}, {"c", 1}, {"#", 1}, {"c#", 2}};
    const float scores[8] = {0}, x[8] = {0};
    const int32_t attrs[8] = {2, 3, 3, 1, 1, 1, 1, 1};
    tok_source source = {.model = "llama",
                         .tokens = tokens,
                         .n_tokens = 8,
                         .scores = scores,
                         .attrs = attrs,
                         .bos = 1,
                         .eos = 2,
                         .eot = -1,
                         .eom = -1,
                         .unk = 0,
                         .sep = -1,
                         .pad = -1,
                         .add_bos = 0,
                         .add_eos = 0,
                         .add_space_prefix = 0};
    tok *t;
    assert_ok(tok_create(&source, &t));
    const char *const breakers[] = {"##", "#a#"};
    kvasir_sampler_options o = {.dry_multiplier = 1, .dry_base = 2, .dry_breakers = breakers, .n_dry_breakers = 2};
    const struct {
        int32_t text[12];
        int n;
        int penalised; /* id, -1: none */
    } cases[] = {
        {{3, 4, 5, 3, 4}, 5, 5},
        {{3, 6, 6, 4, 5, 3, 6, 6, 4}, 9, -1},        /* "##" ends the match, one token is too short */
        {{3, 6, 4, 5, 3, 6, 4}, 7, 5},               /* a single # does not */
        {{3, 7, 6, 4, 5, 3, 7, 6, 4}, 9, -1},        /* the breaker spans tokens */
        {{3, 6, 3, 6, 4, 5, 3, 6, 3, 6, 4}, 11, -1}, /* the other breaker */
        {{3, 2, 4, 5, 3, 2, 4}, 7, -1},              /* a control token ends it too */
        {{3, 6, 6, 4, 5, 3, 6, 6, 4, 5}, 10, 3},     /* two tokens after the breaker match again */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        kvasir_sampler *s;
        assert_ok(sampler_create(t, 8, &o, &s));
        for (int j = 0; j < cases[i].n; j++) kvasir_sampler_accept(s, cases[i].text[j]);
        (void)kvasir_sampler_choose(s, x);
        for (int id = 0; id < 8; id++) assert_int_equal(s->logits[id] < 0, id == cases[i].penalised);
        kvasir_sampler_free(s);
    }
    tok_free(t);
}

static void test_arguments(void **state)
{
    (void)state;
    const kvasir_logit_bias far[] = {{8, 0}}, nan[] = {{1, NAN}};
    const char *const empty[] = {""};
    const kvasir_sampler_options bad[] = {
        {.temperature = -1},
        {.temperature = NAN},
        {.temperature = INFINITY},
        {.top_k = -1},
        {.top_p = 1.5f},
        {.top_p = NAN},
        {.min_p = -0.1f},
        {.typical_p = 2},
        {.repeat_penalty = -1},
        {.repeat_last_n = -2},
        {.frequency_penalty = NAN},
        {.dry_multiplier = -1},
        {.dry_base = 0.5f},
        {.dry_allowed_length = -1},
        {.dry_last_n = -1},
        {.xtc_probability = 1.1f},
        {.xtc_threshold = -1},
        {.n_bias = 1},
        {.n_bias = -1},
        {.bias = far, .n_bias = 1},
        {.bias = nan, .n_bias = 1},
        {.dry_multiplier = 1, .dry_breakers = empty, .n_dry_breakers = 1},
        {.dry_multiplier = 1, .dry_breakers = empty, .n_dry_breakers = 65},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kvasir_sampler *s = (kvasir_sampler *)&s;
        assert_int_equal(sampler_create(NULL, 8, &bad[i], &s), KVASIR_E_ARGUMENT);
        assert_null(s);
    }
    kvasir_sampler *s;
    assert_int_equal(sampler_create(NULL, 8, &bad[4], &s), KVASIR_E_ARGUMENT);
    assert_string_equal(kvasir_message(), "top_p is 1.5, it must be from 0 to 1");
    assert_int_equal(sampler_create(NULL, 0, NULL, &s), KVASIR_E_ARGUMENT);
    assert_ok(sampler_create(NULL, 8, NULL, &s));
    kvasir_sampler_free(s);
    kvasir_sampler_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_xtc_chance),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_hostile_logits),
        cmocka_unit_test(test_bias_and_penalties),
        cmocka_unit_test(test_dry),
        cmocka_unit_test(test_dry_breakers),
        cmocka_unit_test(test_arguments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
