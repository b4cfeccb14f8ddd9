/* Fidelity: every reference model of the supported architectures, against another engine's logits. F32 weights:
   NMSE at most 1e-7 (gemma3: 5e-7, its reference takes GELU from a table) or ten times the reference's own spread;
   the same argmax everywhere; the same greedy continuation. Quantised weights: no further from the dequantised
   truth than the reference is. */
#include "models.h"

#include <math.h>
#include <stdbool.h>

static int argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; i++)
        if (x[i] > x[best]) best = i;
    return best;
}

/* Logits of the wanted rows: prompt in one piece, then the decode ids one by one. */
static void run_case(const model_case *c, const char *cpu, float *out)
{
    kvasir_model *m;
    kvasir_engine *e;
    kvasir_seq *s;
    assert_ok(kvasir_model_open(c->gguf, NULL, &m));
    assert_ok(kvasir_engine_create(
        &(kvasir_engine_options){.kv_memory = 64u << 20, .max_logits = 512, .n_threads = 2, .cpu = cpu}, &e));
    assert_ok(kvasir_engine_load(e, m, NULL, NULL));
    assert_ok(kvasir_seq_create(e, m, &(kvasir_seq_options){.kv = "f32", .n_ctx = 1024}, &s));
    kvasir_work w = {.seq = s, .ids = c->prompt, .n = c->n_prompt, .want = KVASIR_WANT_ALL};
    assert_ok(kvasir_step(e, &w, 1));
    size_t row = sizeof(float) * (size_t)c->n_vocab;
    for (int i = 0; i < c->n_positions; i++) memcpy(out + i * c->n_vocab, w.logits + c->positions[i] * c->n_vocab, row);
    for (int i = 0; i < c->n_decode; i++) {
        w = (kvasir_work){.seq = s, .ids = c->decode + i, .n = 1, .want = KVASIR_WANT_LAST};
        assert_ok(kvasir_step(e, &w, 1));
        memcpy(out + (c->n_positions + i) * c->n_vocab, w.logits, row);
    }
    kvasir_seq_free(s);
    kvasir_engine_free(e);
    kvasir_model_close(m);
}

static double nmse(const float *a, const float *b, int n)
{
    double difference = 0, size = 0;
    for (int i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)a[i] * a[i];
    }
    return difference / size;
}

/* Returns how many things are wrong. */
static int check_case(const model_case *c, const char *cpu)
{
    int wrong = 0;
    float *out = malloc(sizeof *out * (size_t)c->n_rows * (size_t)c->n_vocab);
    run_case(c, cpu, out);
    double error = nmse(c->logits, out, c->n_rows * c->n_vocab), bound = c->peer_nmse;
    if (c->peer_nmse == 0) {
        bound = fmax(strcmp(c->architecture, "gemma3") ? 1e-7 : 5e-7, 10 * c->self_nmse);
        for (int i = 0; i < c->n_rows; i++)
            wrong += argmax(out + i * c->n_vocab, c->n_vocab) != argmax(c->logits + i * c->n_vocab, c->n_vocab);
        for (int i = 0; i < c->n_decode; i++) /* a greedy choice comes from the row before it */
            wrong += argmax(out + (c->n_positions - 1 + i) * c->n_vocab, c->n_vocab) != c->decode[i];
        if (wrong) print_error("%s: %d argmaxes differ\n", c->name, wrong);
    }
    print_message("%-18s %-11s nmse %.3e of at most %.3e (%.2f)\n", c->name, cpu, error, bound, error / bound);
    free(out);
    return wrong + !(error <= bound);
}

static void test_models(void **state)
{
    const char *const known[] = {"llama", "qwen2", "qwen3", "qwen3moe", "gemma3"};
    const char *only = getenv("KVASIR_TEST_CASE");
    int wrong = 0, run = 0;
    json_t *root, *cases = read_cases(&root), *c;
    size_t i;
    assert_non_null(cases);
    json_array_foreach(cases, i, c)
    {
        model_case m;
        bool supported = false;
        const char *architecture = json_string_value(json_object_get(c, "architecture"));
        for (size_t k = 0; k < sizeof known / sizeof *known; k++) supported |= !strcmp(known[k], architecture);
        if (!supported || (only && strcmp(only, json_string_value(json_object_get(c, "name"))))) continue;
        load_case(c, &m);
        wrong += check_case(&m, *state);
        free_case(&m);
        run++;
    }
    json_decref(root);
    print_message("%d cases\n", run);
    assert_int_equal(wrong, 0);
    assert_true(run > 0);
}

int main(int argc, char **argv)
{
    char *level = argc > 1 ? argv[1] : "auto";
    if (!level_is_here(level)) return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_models, level)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
