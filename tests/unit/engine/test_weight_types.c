/* Every type of weights runs: a small model with random blocks of the type gives the logits of the same model
   with the decoded values as F32. Types that multiply in integers differ by the rounding of activations to
   eight bits; the others are decoded to exactly these values. */
#include "engine_rig.h"

#include "kernels/linear.h"

enum { TOKENS = 24 };

typedef struct heard {
    int count;
    char text[256];
} heard;

static void note(void *user, const char *text)
{
    heard *n = user;
    n->count++;
    (void)snprintf(n->text, sizeof n->text, "%s", text);
}

/* Logits of all tokens of a short text, malloc. */
static float *logits_of(const tiny_model *t, heard *n)
{
    rig r = rig_open(t, &(kvasir_engine_options){.n_threads = 2, .log = note, .log_user = n});
    size_t bytes = sizeof(float) * TOKENS * (size_t)r.n_vocab;
    kvasir_seq *s = rig_seq(&r, TOKENS);
    const float *logits = NULL;
    assert_ok(rig_step(&r, s, TOKENS, KVASIR_WANT_ALL, &logits));
    float *copy = memcpy(malloc(bytes), logits, bytes);
    kvasir_seq_free(s);
    rig_close(&r);
    return copy;
}

static double nmse(const float *a, const float *b, int n)
{
    double difference = 0, size = 0;
    for (int i = 0; i < n; i++) {
        difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        size += (double)a[i] * (double)a[i];
    }
    return difference / size;
}

/* A model whose row lengths are whole blocks of every type, once dense and once with experts. */
static tiny_model model_of(quant_type type, bool experts)
{
    tiny_model t = tiny_llama();
    t.n_layer = 1, t.n_embd = 256, t.head_dim = 64, t.n_ff = 256, t.n_vocab = 100, t.type = type, t.seed = 7;
    if (experts) t.architecture = "qwen3moe", t.n_expert = 2, t.n_used = 2; /* all are used, so no choice can flip */
    return t;
}

static int check_type(quant_type type, bool experts)
{
    const quant_traits *q = quant_traits_of(type);
    int kind = panel_kind_of(type);
    bool exact = kind < 0 || panel_kind_is_float((panel_kind)kind);
    heard with = {0}, without = {0};
    tiny_model t = model_of(type, experts);
    float *got = logits_of(&t, &with);
    t.decoded = true;
    float *want = logits_of(&t, &without);
    double error = nmse(want, got, TOKENS * t.n_vocab), bound = exact ? 1e-9 : 1e-3;
    print_message("%-8s %-6s nmse %.1e%s\n", q->name, experts ? "moe" : "dense", error, kind < 0 ? ", decoded" : "");
    free(got);
    free(want);
    assert_int_equal(without.count, 0);
    assert_int_equal(with.count, kind < 0); /* one note, once, that names the type */
    if (kind < 0) assert_non_null(strstr(with.text, q->name));
    return !(error <= bound);
}

static void test_all_types(void **state)
{
    int wrong = 0, run = 0;
    for (uint32_t id = 0; id < QUANT_TYPES; id++) {
        const quant_traits *q = quant_traits_of(id);
        if (!q || !q->decode) continue;
        wrong += check_type((quant_type)id, false) + check_type((quant_type)id, true);
        run++;
    }
    assert_int_equal(run, 28);
    assert_int_equal(wrong, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_all_types)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
