/* Bit-stability (docs/ARCHITECTURE.md, "Same bits, always"): the logits of a token must be the same bits whatever the
   chunks of the prefill, the number of threads, and the other sequences in the step. It must not matter, either,
   whether the token's prefix was computed, forked, or cut and computed again. */
#include "models.h"

#include <stdbool.h>

enum {
    LONG_PROMPT = 2300, /* more than two spans of 1,024 tokens */
    REF_PROMPT = 1080   /* plain C is slow: one span and a little */
};

typedef struct bench {
    kvasir_model *m;
    kvasir_engine *e;
    int32_t ids[LONG_PROMPT];
    int n, n_vocab;
    const char *kv;
    bool slow; /* plain C, or instrumented code: a part of the checks */
} bench;

/* KVASIR_TEST_SHORT is for builds with sanitizers, where every access costs several. */
static bool is_slow(const char *cpu)
{
    return !strcmp(cpu, "ref") || getenv("KVASIR_TEST_SHORT");
}

static void open_bench(bench *b, const char *gguf, const char *cpu, int threads, int max_batch)
{
    kvasir_engine_options o = {
        .kv_memory = 256u << 20, .max_logits = LONG_PROMPT, .max_batch = max_batch, .n_threads = threads, .cpu = cpu};
    assert_ok(kvasir_model_open(gguf, NULL, &b->m));
    assert_ok(kvasir_engine_create(&o, &b->e));
    assert_ok(kvasir_engine_load(b->e, b->m, NULL, NULL));
    b->n_vocab = kvasir_model_get_info(b->m)->n_vocab;
}

static void close_bench(bench *b)
{
    kvasir_engine_free(b->e);
    kvasir_model_close(b->m);
}

static kvasir_seq *new_seq(const bench *b)
{
    kvasir_seq *s = NULL;
    assert_ok(kvasir_seq_create(b->e, b->m, &(kvasir_seq_options){.kv = b->kv, .n_ctx = LONG_PROMPT + 64}, &s));
    return s;
}

/* Appends ids from..to-1 in chunks; their rows go to `out` (n rows of n_vocab, by position). */
static void feed(const bench *b, kvasir_seq *s, int from, int to, int chunk, float *out)
{
    for (int at = from; at < to; at += chunk) {
        int n = to - at < chunk ? to - at : chunk;
        kvasir_work w = {.seq = s, .ids = b->ids + at, .n = n, .want = KVASIR_WANT_ALL};
        assert_ok(kvasir_step(b->e, &w, 1));
        memcpy(out + (size_t)at * (size_t)b->n_vocab, w.logits, sizeof(float) * (size_t)n * (size_t)b->n_vocab);
    }
}

static bool same(const bench *b, const float *want, const float *got, int from, const char *what)
{
    size_t row = (size_t)b->n_vocab;
    for (int i = from; i < b->n; i++)
        if (memcmp(want + (size_t)i * row, got + (size_t)i * row, row * sizeof *want)) {
            print_error("%s: position %d differs (kv %s)\n", what, i, b->kv);
            return false;
        }
    return true;
}

static int check_chunks(const bench *b, const float *want, float *got)
{
    const int chunks[] = {7, 64, 512, LONG_PROMPT};
    int wrong = 0;
    for (int c = b->slow; c < (b->slow ? 2 : 4); c++) {
        char what[64];
        kvasir_seq *s = new_seq(b);
        (void)snprintf(what, sizeof what, "chunks of %d", chunks[c]);
        feed(b, s, 0, b->n, chunks[c], got);
        wrong += !same(b, want, got, 0, what);
        kvasir_seq_free(s);
    }
    kvasir_seq *s = new_seq(b); /* the tail one by one: every token of it is a decode step */
    int tail = b->n > 200 ? b->n - 200 : 0;
    feed(b, s, 0, tail, 512, got);
    feed(b, s, tail, b->n, 1, got);
    wrong += !same(b, want, got, 0, "decoding");
    kvasir_seq_free(s);
    return wrong;
}

/* Three sequences at different depths in one step, decode rows and prefill pieces mixed. */
static int check_neighbours(const bench *b, const float *want, float *got)
{
    kvasir_seq *s[3] = {new_seq(b), new_seq(b), new_seq(b)};
    int at[3] = {0, 0, 0}, step[3] = {53, 1, 9}, wrong = 0;
    feed(b, s[1], 0, at[1] = b->n / 2, 512, got);
    while (at[0] < b->n) {
        kvasir_work w[3];
        int n = 0, who[3];
        for (int i = 0; i < 3; i++) {
            int k = b->n - at[i] < step[i] ? b->n - at[i] : step[i];
            if (k <= 0) continue;
            w[n] = (kvasir_work){.seq = s[i], .ids = b->ids + at[i], .n = k, .want = KVASIR_WANT_ALL};
            who[n++] = i;
        }
        assert_ok(kvasir_step(b->e, w, n));
        for (int j = 0; j < n; j++)
            for (int r = 0; r < w[j].n; r++, at[who[j]]++)
                if (memcmp(w[j].logits + (size_t)r * (size_t)b->n_vocab, want + (size_t)at[who[j]] * (size_t)b->n_vocab,
                           sizeof(float) * (size_t)b->n_vocab) &&
                    !wrong++)
                    print_error("neighbours: sequence %d position %d differs (kv %s)\n", who[j], at[who[j]], b->kv);
    }
    for (int i = 0; i < 3; i++) kvasir_seq_free(s[i]);
    return wrong;
}

static int check_forks(const bench *b, const float *want, float *got)
{
    int wrong = 0;
    const int cuts[] = {b->n / 3, 64, b->n - 1, 100};
    for (int i = 0; i < 4; i++) {
        kvasir_seq *s = new_seq(b), *f;
        feed(b, s, 0, b->n - 5, 512, got);
        assert_ok(kvasir_seq_mark(s));
        assert_ok(kvasir_seq_fork(s, cuts[i] < b->n - 5 ? cuts[i] : -1, &f));
        feed(b, s, b->n - 5, b->n, 2, got); /* the original goes on */
        wrong += !same(b, want, got, b->n - 5, "original after a fork");
        feed(b, f, kvasir_seq_length(f), b->n, 33, got);
        wrong += !same(b, want, got, 0, "fork");
        assert_ok(kvasir_seq_truncate(s, cuts[i]));
        feed(b, s, cuts[i], b->n, 100, got);
        wrong += !same(b, want, got, 0, "cut and computed again");
        assert_ok(kvasir_seq_truncate(f, 0));
        feed(b, f, 0, b->n, 512, got);
        wrong += !same(b, want, got, 0, "cut to nothing");
        kvasir_seq_free(f);
        kvasir_seq_free(s);
    }
    return wrong;
}

static int check_model(const model_case *c, const char *cpu, const char *kv, int n)
{
    bench b = {.kv = kv, .n = n, .slow = is_slow(cpu)};
    int wrong = 0;
    for (int i = 0; i < n; i++) b.ids[i] = c->prompt[(i * 7 + i / c->n_prompt) % c->n_prompt];
    open_bench(&b, c->gguf, cpu, 1, 0);
    size_t bytes = sizeof(float) * (size_t)n * (size_t)b.n_vocab;
    float *want = malloc(bytes), *got = malloc(bytes);
    kvasir_seq *s = new_seq(&b);
    feed(&b, s, 0, n, n, want);
    kvasir_seq_free(s);
    close_bench(&b);
    for (int threads = b.slow ? 2 : 1; threads <= (b.slow ? 2 : 3); threads++) {
        open_bench(&b, c->gguf, cpu, threads, threads == 3 ? 100 : 0);
        wrong += check_chunks(&b, want, got);
        if (threads == 2 && !(b.slow && n >= REF_PROMPT))
            wrong += check_neighbours(&b, want, got) + check_forks(&b, want, got);
        close_bench(&b);
    }
    free(want);
    free(got);
    return wrong;
}

static void test_bits(void **state)
{
    const struct {
        const char *name, *kv;
        int n;
        bool ref; /* at this level too */
    } runs[] = {
        {"llama-gqa", "f16", LONG_PROMPT, true}, {"gemma3", "f16", 300, true},
        {"gemma3", "f32", 300, false},           {"qwen3moe", "f16", 200, true},
        {"qwen3-q4_k", "f16", 300, true},        {"qwen3-q2_k", "f16", 100, false},
        {"llama-q6_k", "f16", 150, false},       {"llama-q5_0", "f32", 150, false},
        {"llama-iq4_xs", "f16", 100, false},     {"llama-gqa", "q8", 1100, false},
        {"llama-gqa", "q4", 300, true},          {"gemma3", "q8:q4", 300, true},
        {"qwen3moe", "q8", 200, true},           {"qwen3-q4_k", "q4:q8", 300, false},
        {"gemma3", "f16:q8", 200, false},        {"gemma3", "f32:q4", 200, false},
        {"llama-gqa", "q4:f16", 200, false},
    };
    json_t *root, *cases = read_cases(&root), *c;
    size_t i;
    int wrong = 0, run = 0;
    assert_non_null(cases);
    json_array_foreach(cases, i, c) for (size_t r = 0; r < sizeof runs / sizeof *runs;
                                         r++) if (!strcmp(runs[r].name, json_string_value(json_object_get(c, "name"))))
    {
        const char *level = *state;
        bool slow = is_slow(level), is_long = runs[r].n == LONG_PROMPT;
        if (slow && !runs[r].ref && run > 0) continue;          /* at least one, whatever the manifest has */
        int n = !slow ? runs[r].n : is_long ? REF_PROMPT : 101; /* more than a page */
        model_case m;
        load_case(c, &m);
        wrong += check_model(&m, level, runs[r].kv, n);
        print_message("%s, kv %s, %d tokens, %s\n", runs[r].name, runs[r].kv, n, level);
        free_case(&m);
        run++;
    }
    json_decref(root);
    assert_int_equal(wrong, 0);
    assert_true(run > 0);
}

int main(int argc, char **argv)
{
    char *level = argc > 1 ? argv[1] : "auto";
    if (!level_is_here(level)) return EXIT_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_bits, level)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
