/* Real models against another engine's figures (fixtures/real): logits no further from the full-precision weights'
   logits than the reference is, and the same greedy ids up to the first near-tie. Models that are not in the cache
   folder are skipped (scripts/fetch-models.sh gets them). */
#include "test.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>

enum { STEPS = 16, MAX_IDS = 8192 };

typedef struct real {
    kvasir_model *m;
    kvasir_engine *e;
    int n_vocab, stride, count;
} real;

static int read_ids(const json_t *a, int32_t *to)
{
    for (size_t i = 0; i < json_array_size(a); i++) to[i] = (int32_t)json_integer_value(json_array_get(a, i));
    return (int)json_array_size(a);
}

/* Logits of the step after the prompt and after each of feed[0..n-2]; n full rows. */
static void run(const real *r, const int32_t *ids, int n_ids, const int32_t *feed, int n, float *rows)
{
    kvasir_seq *s;
    assert_ok(kvasir_seq_create(r->e, r->m, &(kvasir_seq_options){.kv = "f32", .n_ctx = n_ids + n}, &s));
    for (int i = 0; i < n; i++) {
        kvasir_work w = {.seq = s, .ids = i ? feed + i - 1 : ids, .n = i ? 1 : n_ids, .want = KVASIR_WANT_LAST};
        assert_ok(kvasir_step(r->e, &w, 1));
        memcpy(rows + (size_t)i * (size_t)r->n_vocab, w.logits, sizeof(float) * (size_t)r->n_vocab);
    }
    kvasir_seq_free(s);
}

/* NMSE over the sampled logits of n steps, each row's mean taken off. */
static double sampled_nmse(const real *r, const float *reference, const float *rows, int n)
{
    double difference = 0, size = 0;
    for (int i = 0; i < n; i++) {
        const float *a = reference + (size_t)i * (size_t)r->count, *b = rows + (size_t)i * (size_t)r->n_vocab;
        double mean_a = 0, mean_b = 0;
        for (int j = 0; j < r->count; j++) mean_a += a[j], mean_b += b[j * r->stride];
        mean_a /= r->count, mean_b /= r->count;
        for (int j = 0; j < r->count; j++) {
            double x = a[j] - mean_a, y = b[j * r->stride] - mean_b;
            difference += (x - y) * (x - y);
            size += x * x;
        }
    }
    return difference / size;
}

static float *read_sample(const json_t *p, const real *r)
{
    char name[256];
    size_t n = 0;
    (void)snprintf(name, sizeof name, "real/%s", json_string_value(json_object_get(p, "sample")));
    char *data = read_data(name, &n);
    assert_non_null(data);
    assert_int_equal(n, sizeof(float) * STEPS * (size_t)r->count);
    return (float *)(void *)data;
}

static double row_std(const float *x, int n)
{
    double sum = 0, sum2 = 0;
    for (int i = 0; i < n; i++) sum += x[i], sum2 += (double)x[i] * x[i];
    return sqrt(sum2 / n - sum / n * sum / n);
}

static void two_best(const float *x, int n, int *best, double *gap)
{
    float first = -INFINITY, second = -INFINITY;
    *best = 0;
    for (int i = 0; i < n; i++)
        if (x[i] > first)
            second = first, first = x[i], *best = i;
        else if (x[i] > second)
            second = x[i];
    *gap = (double)first - second;
}

/* Compares our greedy choice after each prefix of the reference's ids, up to the first near-tie: a step where our two
   best logits are closer to each other than the engines' logits are (one standard deviation of that difference). After
   it the texts may differ. */
static int check_greedy(const real *r, const char *name, const json_t *p, double nmse_engines)
{
    static int32_t ids[MAX_IDS], greedy[MAX_IDS];
    int n_ids = read_ids(json_object_get(p, "ids"), ids), n = read_ids(json_object_get(p, "greedy"), greedy);
    float *rows = malloc(sizeof *rows * (size_t)n * (size_t)r->n_vocab);
    int same = 0, tie = n, wrong = 0, best;
    double gap;
    run(r, ids, n_ids, greedy, n, rows);
    for (int i = 0; i < n; i++) {
        const float *x = rows + (size_t)i * (size_t)r->n_vocab;
        two_best(x, r->n_vocab, &best, &gap);
        if (tie == n && gap < sqrt(2 * nmse_engines) * row_std(x, r->n_vocab)) tie = i;
        wrong += tie == n && best != greedy[i];
        same += best == greedy[i];
    }
    float *sample = read_sample(p, r);
    print_message(
        "%-8s greedy: %d of %d ids the same, first near-tie at %d, %d wrong before it; nmse to the reference %.2e\n",
        name, same, n, tie, wrong, sampled_nmse(r, sample, rows, STEPS));
    free(sample);
    free(rows);
    return wrong;
}

static int check_distance(const real *r, const char *name, const json_t *p)
{
    static int32_t ids[MAX_IDS], greedy[MAX_IDS];
    const json_t *f = json_object_get(p, "f32_weights"), *q = json_object_get(p, "nmse_q_vs_f32");
    if (!f) return 0;
    int steps = (int)json_integer_value(json_object_get(q, "positions")),
        n_ids = read_ids(json_object_get(p, "ids"), ids);
    double reference = json_number_value(json_object_get(q, "nmse"));
    (void)read_ids(json_object_get(f, "greedy"), greedy);
    float *rows = malloc(sizeof *rows * STEPS * (size_t)r->n_vocab), *sample = read_sample(f, r);
    run(r, ids, n_ids, greedy, STEPS, rows);
    double ours = sampled_nmse(r, sample, rows, steps);
    print_message("%-8s nmse to full-precision weights %.3e, the reference's %.3e (%.2f), %d steps\n", name, ours,
                  reference, ours / reference, steps);
    free(rows);
    free(sample);
    return !(ours <= reference);
}

static int check_model(const char *name, const char *cpu)
{
    char path[1024], fixture[256];
    const char *folder = getenv("KVASIR_MODELS"), *home = getenv("HOME");
    size_t n;
    int wrong = 0;
    if (folder)
        (void)snprintf(path, sizeof path, "%s/%s.gguf", folder, name);
    else
        (void)snprintf(path, sizeof path, "%s/.cache/kvasir/models/%s.gguf", home ? home : "", name);
    (void)snprintf(fixture, sizeof fixture, "real/logits-%s.json", name);
    char *text = read_data(fixture, &n);
    FILE *f = fopen(path, "rb");
    if (!text || !f) {
        print_message("%s: %s is not there, skipped\n", name, text ? path : fixture);
        if (f) (void)fclose(f);
        free(text);
        return -1;
    }
    (void)fclose(f);
    json_t *root = json_loads(text, 0, NULL);
    real r = {.stride = (int)json_integer_value(json_object_get(root, "sample_stride")),
              .count = (int)json_integer_value(json_object_get(root, "sample_count"))};
    assert_ok(kvasir_model_open(path, NULL, &r.m));
    r.n_vocab = kvasir_model_get_info(r.m)->n_vocab;
    assert_ok(kvasir_engine_create(&(kvasir_engine_options){.cpu = cpu, .kv_memory = 4ull << 30}, &r.e));
    assert_ok(kvasir_engine_load(r.e, r.m, NULL, NULL));
    print_message("%s, %s\n", name, cpu);
    const char *key;
    json_t *p;
    double engines = 2.6e-3; /* the largest NMSE of the reference from itself with F32 weights */
    json_object_foreach(json_object_get(root, "prompts"), key, p)
    {
        if (json_array_size(json_object_get(p, "ids")) > 2000 && !getenv("KVASIR_TEST_ALL")) continue;
        wrong += check_distance(&r, key, p);
        wrong += check_greedy(&r, key, p, engines);
    }
    json_decref(root);
    free(text);
    kvasir_engine_free(r.e);
    kvasir_model_close(r.m);
    return wrong;
}

static void test_real(void **state)
{
    const char *const models[] = {"smollm2-135m-q4_1", "gemma3-270m-q4_k_m", "qwen2.5-coder-1.5b-q4_k_m"};
    int wrong = 0, run_models = 0;
    for (int i = 0; i < (getenv("KVASIR_TEST_ALL") ? 3 : 2); i++) {
        int result = check_model(models[i], *state);
        if (result >= 0) wrong += result, run_models++;
    }
    if (!run_models) skip();
    assert_int_equal(wrong, 0);
}

int main(int argc, char **argv)
{
    char *level = argc > 1 ? argv[1] : "auto";
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_real, level)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
