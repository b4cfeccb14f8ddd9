/* kvasir_generate against what it does step by step: a prefill, then one step for each greedily chosen token. */
#include "engine_rig.h"

#include <math.h>

enum { PROMPT = 20, TOKENS = 40 };

typedef struct told {
    char text[4096];
    size_t n;
    int calls, stop_after; /* stop_after: the call that asks for a stop */
    int prefill_calls, prefill_stop;
    kvasir_seq *other; /* is stepped between */
    const rig *r;
} told;

static int on_text(void *user, const char *text, size_t n)
{
    told *t = user;
    assert_true(n > 0 && t->n + n < sizeof t->text);
    memcpy(t->text + t->n, text, n);
    t->n += n;
    t->text[t->n] = 0;
    if (t->other) rig_feed(t->r, t->other, 3);
    return ++t->calls == t->stop_after;
}

static int on_prefill(void *user, uint64_t done, uint64_t total)
{
    told *t = user;
    assert_true(done <= total && total == PROMPT);
    return ++t->prefill_calls == t->prefill_stop;
}

typedef struct result {
    told told;
    int32_t *ids;
    int n_ids;
    kvasir_stats stats;
    kvasir_status status;
    int length;
} result;

static const int32_t *prompt(const rig *r)
{
    static int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++) ids[i] = rig_id(r, i);
    return ids;
}

/* Runs from an empty sequence; `o` without prompt and callbacks. */
static result generate(const rig *r, kvasir_generate_options o, told with, int n_ctx)
{
    result a = {.told = with};
    kvasir_seq *s = rig_seq(r, n_ctx);
    a.told.r = r;
    o.ids = prompt(r);
    o.n_ids = PROMPT;
    o.on_text = on_text;
    o.on_prefill = on_prefill;
    o.user = &a.told;
    a.status = kvasir_generate(r->e, s, &o, &a.ids, &a.n_ids, &a.stats);
    a.length = kvasir_seq_length(s);
    assert_int_equal(a.stats.depth, a.length);
    kvasir_seq_free(s);
    return a;
}

static rig open_rig(void)
{
    const tiny_model t = tiny_llama();
    return rig_open(&t, &(kvasir_engine_options){.n_threads = 2, .max_batch = 64});
}

static kvasir_sampler *sampler(const rig *r, kvasir_sampler_options o)
{
    kvasir_sampler *s;
    assert_ok(kvasir_sampler_create(r->m, &o, &s));
    return s;
}

/* Step by step: the first of the largest logits each time. */
static void greedy_ids(const rig *r, int32_t *ids, int n)
{
    kvasir_seq *s = rig_seq(r, PROMPT + n);
    kvasir_work w = {.seq = s, .ids = prompt(r), .n = PROMPT, .want = KVASIR_WANT_LAST};
    for (int i = 0; i < n; i++) {
        assert_ok(kvasir_step(r->e, &w, 1));
        ids[i] = 0;
        for (int k = 1; k < r->n_vocab; k++)
            if (w.logits[k] > w.logits[ids[i]]) ids[i] = k;
        w = (kvasir_work){.seq = s, .ids = &ids[i], .n = 1, .want = KVASIR_WANT_LAST};
    }
    kvasir_seq_free(s);
}

static void test_greedy(void **state)
{
    rig r = open_rig();
    int32_t want[TOKENS];
    greedy_ids(&r, want, TOKENS);
    result a =
        generate(&r, (kvasir_generate_options){.n_predict = TOKENS, .ignore_end = 1, .special = 1}, (told){0}, 200);
    assert_ok(a.status);
    assert_int_equal(a.n_ids, TOKENS);
    assert_memory_equal(a.ids, want, sizeof want);
    assert_int_equal(a.stats.stop, KVASIR_STOP_LIMIT);
    assert_int_equal(a.stats.prompt_tokens, PROMPT);
    assert_int_equal(a.stats.generated_tokens, TOKENS);
    assert_int_equal(a.length, PROMPT + TOKENS - 1); /* the last token is not computed */
    char *text;
    size_t n;
    assert_ok(kvasir_detokenize(r.m, a.ids, TOKENS, 1, &text, &n));
    assert_string_equal(a.told.text, text);
    kvasir_free(text);
    kvasir_free(a.ids);
    /* In prompt chunks of 3, without callbacks and results. */
    kvasir_seq *s = rig_seq(&r, 200);
    kvasir_generate_options o = {.ids = prompt(&r), .n_ids = PROMPT, .n_predict = TOKENS, .chunk = 3, .ignore_end = 1};
    assert_ok(kvasir_generate(r.e, s, &o, NULL, NULL, NULL));
    assert_memory_equal(kvasir_seq_ids(s) + PROMPT, want, sizeof *want * (TOKENS - 1));
    kvasir_seq_free(s);
    rig_close(&r);
}

/* Stop strings that begin and end inside tokens; the text ends before them. */
static void test_stop_strings(void **state)
{
    rig r = open_rig();
    result all = generate(&r, (kvasir_generate_options){.n_predict = TOKENS, .ignore_end = 1}, (told){0}, 200);
    assert_ok(all.status);
    for (size_t from = 1; from < 12; from++) {
        for (size_t length = 1; length < 8; length++) {
            char stop[16] = "";
            memcpy(stop, all.told.text + from, length);
            const char *const list[] = {"never said", stop};
            size_t first = (size_t)(strstr(all.told.text, stop) - all.told.text);
            result a =
                generate(&r, (kvasir_generate_options){.n_predict = TOKENS, .stop = list, .n_stop = 2, .ignore_end = 1},
                         (told){0}, 200);
            assert_ok(a.status);
            assert_int_equal(a.stats.stop, KVASIR_STOP_STRING);
            assert_int_equal(a.told.n, first);
            assert_memory_equal(a.told.text, all.told.text, first);
            assert_memory_equal(a.ids, all.ids, sizeof *a.ids * (size_t)a.n_ids);
            kvasir_free(a.ids);
        }
    }
    /* The beginning of a stop string at the very end of the text is shown after all. */
    char tail[16];
    (void)snprintf(tail, sizeof tail, "%sXY", all.told.text + all.told.n - 3);
    result a = generate(&r,
                        (kvasir_generate_options){
                            .n_predict = TOKENS, .stop = (const char *const[]){tail}, .n_stop = 1, .ignore_end = 1},
                        (told){0}, 200);
    assert_string_equal(a.told.text, all.told.text);
    assert_int_equal(a.stats.stop, KVASIR_STOP_LIMIT);
    kvasir_free(a.ids);
    a = generate(&r, (kvasir_generate_options){.stop = (const char *const[]){""}, .n_stop = 1}, (told){0}, 200);
    assert_int_equal(a.status, KVASIR_E_ARGUMENT);
    assert_int_equal(a.length, 0);
    assert_null(a.ids);
    kvasir_free(all.ids);
    rig_close(&r);
}

static void test_ends(void **state)
{
    rig r = open_rig();
    int32_t end = r.n_vocab - 1;
    assert_int_equal(kvasir_model_get_info(r.m)->eos, end);
    const kvasir_logit_bias to_end = {end, 1000}, never = {end, -INFINITY};
    kvasir_sampler *ends = sampler(&r, (kvasir_sampler_options){.bias = &to_end, .n_bias = 1});
    kvasir_sampler *goes_on = sampler(&r, (kvasir_sampler_options){.bias = &never, .n_bias = 1});
    result a = generate(&r, (kvasir_generate_options){.sampler = ends}, (told){0}, 200);
    assert_ok(a.status);
    assert_int_equal(a.stats.stop, KVASIR_STOP_END);
    assert_int_equal(a.n_ids, 1);
    assert_int_equal(a.ids[0], end);
    assert_int_equal(a.told.calls, 0); /* the end token has no text */
    kvasir_free(a.ids);
    a = generate(&r, (kvasir_generate_options){.sampler = ends, .ignore_end = 1, .n_predict = 5}, (told){0}, 200);
    assert_int_equal(a.stats.stop, KVASIR_STOP_LIMIT);
    assert_int_equal(a.n_ids, 5);
    kvasir_free(a.ids);
    a = generate(&r, (kvasir_generate_options){.sampler = goes_on}, (told){0}, PROMPT + 7);
    assert_ok(a.status);
    assert_int_equal(a.stats.stop, KVASIR_STOP_CONTEXT);
    assert_int_equal(a.n_ids, 8); /* seven that fit, and what follows the last */
    assert_int_equal(a.length, PROMPT + 7);
    kvasir_free(a.ids);
    a = generate(&r, (kvasir_generate_options){.sampler = goes_on, .n_predict = 1 << 30}, (told){0},
                 PROMPT); /* full at once */
    assert_int_equal(a.stats.stop, KVASIR_STOP_CONTEXT);
    assert_int_equal(a.n_ids, 1);
    kvasir_free(a.ids);
    kvasir_sampler_free(ends);
    kvasir_sampler_free(goes_on);
    rig_close(&r);
}

static void test_errors(void **state)
{
    rig r = open_rig();
    kvasir_seq *s = rig_seq(&r, 30);
    int32_t *ids = (int32_t *)1;
    int n = 99;
    kvasir_generate_options o = {.ids = prompt(&r), .n_ids = PROMPT, .n_predict = 3, .ignore_end = 1};
    assert_ok(kvasir_generate(r.e, s, &o, NULL, NULL, NULL));
    int length = kvasir_seq_length(s);
    assert_int_equal(length, PROMPT + 2);
    assert_int_equal(kvasir_generate(r.e, s, &o, &ids, &n, NULL), KVASIR_E_CONTEXT);
    assert_message("42");
    assert_message("30");
    assert_null(ids); /* whatever happens, it can be freed */
    assert_int_equal(n, 0);
    o.n_ids = 0;
    assert_fails(KVASIR_E_ARGUMENT, "empty", kvasir_generate(r.e, s, &o, NULL, NULL, NULL));
    o = (kvasir_generate_options){.ids = prompt(&r), .n_ids = 2, .n_predict = -1};
    assert_fails(KVASIR_E_ARGUMENT, "-1", kvasir_generate(r.e, s, &o, NULL, NULL, NULL));
    o = (kvasir_generate_options){.ids = (const int32_t[]){r.n_vocab}, .n_ids = 1};
    assert_fails(KVASIR_E_ARGUMENT, "vocabulary", kvasir_generate(r.e, s, &o, &ids, &n, NULL));
    assert_int_equal(kvasir_seq_length(s), length);
    kvasir_seq_free(s);
    rig_close(&r);
}

static void test_callbacks_cancel(void **state)
{
    rig r = open_rig();
    result all = generate(&r, (kvasir_generate_options){.n_predict = TOKENS, .ignore_end = 1}, (told){0}, 200);
    result a =
        generate(&r, (kvasir_generate_options){.n_predict = TOKENS, .ignore_end = 1}, (told){.stop_after = 4}, 200);
    assert_int_equal(a.status, KVASIR_E_CANCELLED);
    assert_int_equal(a.told.calls, 4);
    assert_memory_equal(a.told.text, all.told.text, a.told.n);
    assert_memory_equal(a.ids, all.ids, sizeof *a.ids * (size_t)a.n_ids);
    assert_int_equal(a.length, PROMPT + a.n_ids - 1);
    kvasir_free(a.ids);
    a = generate(&r, (kvasir_generate_options){.chunk = 6}, (told){.prefill_stop = 2}, 200);
    assert_int_equal(a.status, KVASIR_E_CANCELLED);
    assert_int_equal(a.told.prefill_calls, 2);
    assert_int_equal(a.length, 12);
    assert_int_equal(a.n_ids, 0);
    kvasir_free(a.ids);
    kvasir_free(all.ids);
    rig_close(&r);
}

/* The same seed gives the same text, alone and while another sequence is stepped between the tokens. */
static void test_seed(void **state)
{
    rig r = open_rig();
    result a[4];
    for (int i = 0; i < 4; i++) {
        kvasir_sampler *s =
            sampler(&r, (kvasir_sampler_options){.temperature = 1.5f, .top_p = 0.95f, .seed = i == 3 ? 8 : 7});
        kvasir_seq *other = i == 2 ? rig_seq(&r, 1000) : NULL;
        if (other) rig_feed(&r, other, 65);
        a[i] = generate(&r, (kvasir_generate_options){.sampler = s, .n_predict = TOKENS, .ignore_end = 1},
                        (told){.other = other}, 200);
        assert_ok(a[i].status);
        if (other) {
            assert_true(kvasir_seq_length(other) > 65);
            rig_check_next(&r, other);
            kvasir_seq_free(other);
        }
        kvasir_sampler_free(s);
    }
    for (int i = 1; i < 3; i++) {
        assert_int_equal(a[i].n_ids, a[0].n_ids);
        assert_memory_equal(a[i].ids, a[0].ids, sizeof *a[0].ids * (size_t)a[0].n_ids);
        assert_string_equal(a[i].told.text, a[0].told.text);
    }
    assert_memory_not_equal(a[3].ids, a[0].ids, sizeof *a[0].ids * TOKENS);
    for (int i = 0; i < 4; i++) kvasir_free(a[i].ids);
    rig_close(&r);
}

/* When no logit is a number, the chosen id is still one of the vocabulary. */
static void test_no_numbers(void **state)
{
    rig r = open_rig();
    const float fills[] = {NAN, -NAN, INFINITY, -INFINITY};
    const kvasir_sampler_options options[] = {
        {0},
        {.temperature = 1},
        {.temperature = 1, .top_k = 5, .top_p = 0.9f, .min_p = 0.1f, .typical_p = 0.9f, .repeat_penalty = 1.1f}};
    float *logits = malloc(sizeof *logits * (size_t)r.n_vocab);
    for (size_t o = 0; o < 3; o++)
        for (size_t f = 0; f < 5; f++) {
            kvasir_sampler *s = sampler(&r, options[o]);
            for (int i = 0; i < r.n_vocab; i++) logits[i] = fills[f < 4 ? f : (size_t)i % 4];
            for (int i = 0; i < 5; i++) {
                int32_t id = kvasir_sampler_choose(s, logits);
                assert_in_range(id, 0, r.n_vocab - 1);
                kvasir_sampler_accept(s, id);
            }
            kvasir_sampler_free(s);
        }
    free(logits);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),     cmocka_unit_test(test_stop_strings),     cmocka_unit_test(test_ends),
        cmocka_unit_test(test_errors),     cmocka_unit_test(test_callbacks_cancel), cmocka_unit_test(test_seed),
        cmocka_unit_test(test_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
