/* Drafting. The index by itself is compared with a search of everything. Generation with a draft is compared
   with generation without: the ids, the text, the sampler's state and the sequence must be the same, whatever
   ends the answer. */
#include "engine_rig.h"

#include "base/checked.h"
#include "sample/draft.h"
#include "kv/kv.h"

#include <stdlib.h>
#include <math.h>

/* ---- the index ---- */

enum { MATCH_MOST = 32 }; /* as in draft.c: longer repetitions count as this long */

/* The place before which the most tokens agree with those at the end; of several such places the newest. */
static int longest_match(const int32_t *ids, int n, int *place)
{
    int best = 0;
    for (int at = n - 1; at > 0; at--) {
        int length = 0;
        while (length < min_int(at, MATCH_MOST) && ids[at - 1 - length] == ids[n - 1 - length]) length++;
        if (length <= best) continue;
        best = length;
        *place = at;
    }
    return best;
}

static void test_index(void **state)
{
    enum { N = 60, FIRST_NEED = 3 };
    uint64_t random = 5;
    int proposals = 0, long_ones = 0;
    for (int round = 0; round < 400; round++) {
        int32_t ids[N], got[DRAFT_MOST];
        draft *d;
        assert_ok(draft_create(N, &d));
        int alphabet = 2 + round % 4, copies = round % 3;
        for (int i = 0; i < N; i++) {
            bool copy = copies && i > 20 && i % 30 > 8;
            ids[i] = copy ? ids[i - 19] : (int32_t)(tiny_next(&random) % (uint64_t)alphabet) * 1000;
            draft_push(d, ids[i]);
            int place = 0, most = round % 20, length = longest_match(ids, i + 1, &place);
            int n = draft_propose(d, most, got);
            assert_int_equal(n, length < FIRST_NEED ? 0 : min_int(min_int(length + length / 2, DRAFT_MOST), most));
            for (int k = 0; k < n; k++)
                assert_int_equal(got[k], place + k <= i ? ids[place + k] : got[place + k - i - 1]);
            proposals += n > 0;
            long_ones += length >= 8 && n > 0;
        }
        draft_push(d, 1); /* more than there is room for */
        draft_free(d);
    }
    assert_true(proposals > 1000 && long_ones > 100);
}

/* After wrong proposals longer repetitions are asked for, after right ones shorter ones. */
static void test_learning(void **state)
{
    enum { PERIOD = 24 };
    int32_t got[DRAFT_MOST];
    draft *d;
    assert_ok(draft_create(1000, &d));
    int n = 0;
    assert_int_equal(draft_propose(d, 8, got), 0);
    for (; n < PERIOD + 4; n++) draft_push(d, n % PERIOD);
    assert_int_equal(draft_propose(d, 15, got), 6);
    assert_int_equal(got[0], 4);
    draft_learn(d, 6, 1);
    assert_int_equal(draft_propose(d, 15, got), 0); /* a repetition of 4 is no longer enough */
    for (; n < PERIOD + 6; n++) draft_push(d, n % PERIOD);
    assert_int_equal(draft_propose(d, 15, got), 9);
    for (int i = 0; i < 20; i++) draft_learn(d, 8, 0);
    assert_int_equal(draft_propose(d, 15, got), 0);
    for (; n < PERIOD + 40; n++) draft_push(d, n % PERIOD); /* the longest repetition that counts: it is always tried */
    assert_int_equal(draft_propose(d, 15, got), 15);
    for (int i = 0; i < 20; i++) draft_learn(d, 9, 3);
    draft_push(d, 999);
    draft_push(d, 5);
    assert_int_equal(draft_propose(d, 15, got), 0); /* one token is no repetition */
    draft_push(d, 6);
    assert_int_equal(draft_propose(d, 15, got), 3); /* two are */
    assert_int_equal(got[0], 7);
    assert_int_equal(draft_propose(d, 0, got), 0);
    draft_free(d);
}

/* ---- generation ---- */

enum { PROMPT = 90, ROOM = 1 << 14 };

typedef struct outcome {
    const rig *r;
    kvasir_seq *s, *other; /* other: is stepped between the tokens */
    int stop_after;        /* the call of on_text that asks for a stop */
    int calls;
    char text[ROOM];
    size_t n_text;
    int32_t *ids;
    int n_ids;
    kvasir_stats stats;
    kvasir_status status;
    int32_t next;  /* what the sampler chooses from the model's next row */
    float *logits; /* that row (malloc) */
} outcome;

static int on_text(void *user, const char *text, size_t n)
{
    outcome *a = user;
    assert_true(n > 0 && a->n_text + n < ROOM);
    memcpy(a->text + a->n_text, text, n);
    a->n_text += n;
    /* Rejected tokens are gone, and nothing has to be computed again because of them. */
    assert_int_equal(kv_seq_length(a->s->kv), kvasir_seq_length(a->s));
    if (a->other) rig_feed(a->r, a->other, 3);
    return ++a->calls == a->stop_after;
}

/* A text that repeats itself, with changes. */
static const int32_t *prompt(const rig *r)
{
    static int32_t ids[PROMPT];
    for (int i = 0; i < PROMPT; i++) ids[i] = i % 13 == 12 ? i % r->n_vocab : (i % 26) * 3 % r->n_vocab;
    return ids;
}

/* What varies from case to case. */
typedef struct setting {
    kvasir_generate_options o;
    kvasir_sampler_options sampling;
    int n_ctx, stop_after;
    bool step_others;
    const char *kv;
} setting;

static kvasir_seq *seq_of(const rig *r, int n_ctx, const char *kv)
{
    kvasir_seq *s = NULL;
    assert_ok(kvasir_seq_create(r->e, r->m, &(kvasir_seq_options){.n_ctx = n_ctx, .kv = kv}, &s));
    return s;
}

static outcome generate(const rig *r, const setting *with, kvasir_draft how)
{
    outcome a = {.r = r, .stop_after = with->stop_after};
    kvasir_generate_options o = with->o;
    kvasir_sampler *sampler;
    assert_ok(kvasir_sampler_create(r->m, &with->sampling, &sampler));
    a.s = seq_of(r, with->n_ctx, with->kv);
    if (with->step_others) a.other = rig_seq(r, 3000);
    o.ids = prompt(r);
    o.n_ids = PROMPT;
    o.sampler = sampler;
    o.draft = how;
    o.on_text = on_text;
    o.user = &a;
    a.status = kvasir_generate(r->e, a.s, &o, &a.ids, &a.n_ids, &a.stats);
    const float *logits = NULL;
    size_t bytes = sizeof(float) * (size_t)r->n_vocab;
    assert_int_equal(a.stats.depth, kvasir_seq_length(a.s));
    kvasir_work w = {.seq = a.s, .ids = prompt(r), .n = 1, .want = KVASIR_WANT_LAST};
    if (kvasir_seq_length(a.s) < with->n_ctx) {
        assert_ok(kvasir_step(r->e, &w, 1));
        logits = w.logits;
    }
    a.logits = calloc(1, bytes);
    if (logits) memcpy(a.logits, logits, bytes);
    a.next = kvasir_sampler_choose(sampler, a.logits);
    kvasir_sampler_free(sampler);
    kvasir_seq_free(a.other);
    kvasir_seq_free(a.s);
    return a;
}

static void release(outcome *a)
{
    kvasir_free(a->ids);
    free(a->logits);
}

/* Checks that everything is the same with and without a draft. Adds up how many tokens were proposed, and how many of
   them were right. */
static void compare(const rig *r, const setting *with, int *drafted, int *accepted)
{
    outcome a = generate(r, with, KVASIR_DRAFT_NONE), b = generate(r, with, KVASIR_DRAFT_LOOKUP);
    assert_ok(a.status);
    assert_ok(b.status);
    assert_int_equal(a.n_ids, b.n_ids);
    assert_memory_equal(a.ids, b.ids, sizeof *a.ids * (size_t)a.n_ids);
    assert_string_equal(a.text, b.text);
    assert_int_equal(a.stats.stop, b.stats.stop);
    assert_int_equal(a.stats.generated_tokens, b.stats.generated_tokens);
    assert_int_equal(a.stats.depth, b.stats.depth);
    assert_int_equal(a.stats.kv_bytes, b.stats.kv_bytes);
    assert_memory_equal(a.logits, b.logits, sizeof(float) * (size_t)r->n_vocab);
    assert_int_equal(a.next, b.next);
    assert_int_equal(a.stats.drafted, 0);
    assert_int_equal(a.stats.accepted, 0);
    assert_in_range(b.stats.accepted, 0, b.stats.drafted);
    *drafted += b.stats.drafted;
    *accepted += b.stats.accepted;
    release(&a);
    release(&b);
}

/* Logits that favour a few tokens: a sampled text that repeats itself now and then. */
static const kvasir_logit_bias favours[] = {{65, 9}, {66, 9}, {67, 8}};

static const setting settings[] = {
    {.o = {.n_predict = 300, .ignore_end = 1, .special = 1}, .n_ctx = 500},
    {.o = {.n_predict = 300, .ignore_end = 1}, .n_ctx = 500, .sampling = {.repeat_penalty = 1.3f, .repeat_last_n = 20}},
    {.o = {.n_predict = 300, .ignore_end = 1},
     .n_ctx = 500,
     .sampling = {.temperature = 0.6f, .seed = 3, .bias = favours, .n_bias = 3}},
    {.o = {.n_predict = 300, .ignore_end = 1},
     .n_ctx = 500,
     .sampling = {.temperature = 1,
                  .top_k = 8,
                  .top_p = 0.9f,
                  .xtc_probability = 0.3f,
                  .xtc_threshold = 0.1f,
                  .frequency_penalty = 0.1f,
                  .repeat_last_n = 30,
                  .seed = 4,
                  .bias = favours,
                  .n_bias = 3}},
    {.o = {.n_predict = 300, .ignore_end = 1},
     .n_ctx = 500,
     .sampling = {.temperature = 0.8f, .dry_multiplier = 0.5f, .seed = 5, .bias = favours, .n_bias = 3}},
};

/* Heads that every KV type can hold. */
static tiny_model plain(void)
{
    tiny_model t = tiny_llama();
    t.head_dim = 32;
    return t;
}

static tiny_model with_windows(void)
{
    tiny_model t = plain();
    t.architecture = "gemma3";
    t.n_layer = 7; /* the sixth has full attention */
    t.window = 40;
    t.tied = true;
    return t;
}

/* One thread: these models are too small for more, and much is generated. */
static rig open_rig(const tiny_model *t)
{
    return rig_open(t, &(kvasir_engine_options){.n_threads = 1, .max_batch = 64});
}

/* In types that pack, a page is packed once it is full, and cannot be opened again. */
static void test_same(void **state)
{
    const tiny_model models[] = {plain(), with_windows()};
    const char *const types[] = {"f16", "q8:q4", "f16:q8"};
    const bool is_short = getenv("KVASIR_TEST_SHORT") != NULL; /* a type each, where a sanitizer watches */
    for (int m = 0; m < 2; m++) {
        rig r = open_rig(&models[m]);
        int greedy = 0, sampled = 0;
        for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
            int drafted = 0;
            setting with = settings[i];
            for (int k = 0; k < 3; k++) {
                if (is_short && k != ((int)i + m) % 3) continue;
                with.kv = types[k];
                with.step_others = k; /* the rows of a step are used up before others may step */
                compare(&r, &with, &drafted, with.sampling.temperature > 0 ? &sampled : &greedy);
            }
            assert_true(drafted > 0);
        }
        assert_true(is_short ? greedy > 100 && sampled > 3 : greedy > 300 && sampled > 15);
        rig_close(&r);
    }
}

/* Sooner or later each limit falls inside a draft. */
static void test_limits(void **state)
{
    const tiny_model t = with_windows();
    rig r = open_rig(&t);
    int drafted = 0, accepted = 0;
    for (int n = 1; n < 40; n++) {
        setting with = settings[n % 2 ? 0 : 2];
        with.o.n_predict = n;
        compare(&r, &with, &drafted, &accepted);
        with.o.n_predict = 0;
        with.n_ctx = PROMPT + n - 1;
        compare(&r, &with, &drafted, &accepted);
    }
    assert_true(accepted > 200);
    rig_close(&r);
}

static void test_ends(void **state)
{
    const tiny_model t = plain();
    rig r = open_rig(&t);
    int drafted = 0, accepted = 0, early = 0;
    for (int seed = 0; seed < 60; seed++) {
        const kvasir_logit_bias bias[] = {{65, 9}, {66, 8.5f}, {67, 8}, {r.n_vocab - 1, 8}};
        setting with = settings[2];
        with.sampling.bias = bias;
        with.sampling.n_bias = 4;
        with.sampling.seed = (uint64_t)seed;
        with.o.ignore_end = 0;
        outcome a = generate(&r, &with, KVASIR_DRAFT_NONE);
        early += a.stats.stop == KVASIR_STOP_END && a.n_ids > 10;
        release(&a);
        compare(&r, &with, &drafted, &accepted);
    }
    assert_true(early > 5 && accepted > 100);
    rig_close(&r);
}

static void test_stop_strings(void **state)
{
    const tiny_model t = plain();
    rig r = open_rig(&t);
    int drafted = 0, accepted = 0;
    for (uint64_t seed = 0; seed < 8; seed++) {
        setting with = settings[2];
        with.sampling.seed = seed;
        outcome all = generate(&r, &with, KVASIR_DRAFT_NONE);
        for (size_t from = 20; from + 20 < all.n_text && from < 300; from += 19) {
            char stop[16] = "";
            memcpy(stop, all.text + from, 10 + from % 5);
            const char *const list[] = {"never said", stop};
            with.o.stop = list;
            with.o.n_stop = 2;
            compare(&r, &with, &drafted, &accepted);
        }
        release(&all);
    }
    assert_true(accepted > 20);
    rig_close(&r);
}

/* Whoever reads the text may stop at any call. What has been shown, the ids and the sequence must then fit together. */
static void test_cancelled(void **state)
{
    const tiny_model t = with_windows();
    rig r = open_rig(&t);
    setting with = settings[0];
    outcome all = generate(&r, &with, KVASIR_DRAFT_NONE);
    int several = 0;
    for (with.stop_after = 1; with.stop_after < 20; with.stop_after++) {
        outcome a = generate(&r, &with, KVASIR_DRAFT_LOOKUP);
        char *text;
        size_t n;
        assert_int_equal(a.status, KVASIR_E_CANCELLED);
        assert_int_equal(a.calls, with.stop_after);
        assert_int_equal(a.stats.stop, KVASIR_STOP_NONE);
        assert_int_equal(a.stats.depth, PROMPT + a.n_ids - 1);
        assert_memory_equal(a.ids, all.ids, sizeof *a.ids * (size_t)a.n_ids);
        assert_ok(kvasir_detokenize(r.m, a.ids, (size_t)a.n_ids, 1, &text, &n));
        assert_true(a.n_text <= n && n < a.n_text + 4); /* except for an unfinished character */
        assert_memory_equal(a.text, text, a.n_text);
        several += a.n_ids > a.calls;
        kvasir_free(text);
        release(&a);
    }
    assert_true(several > 0);
    release(&all);
    rig_close(&r);
}

/* Another sequence uses up most of the budget: with and without a draft the answer reaches the same length
   before it fails. */
static void test_budget(void **state)
{
    const tiny_model t = plain();
    enum { BUDGET = 1 << 19 };
    for (int extra = 0; extra < 3; extra++) {
        int length[2], drafted = 0;
        for (int d = 0; d < 2; d++) {
            rig r = rig_open(&t, &(kvasir_engine_options){.n_threads = 1, .max_batch = 64, .kv_memory = BUDGET});
            kvasir_seq *s = rig_seq(&r, 600), *other = rig_seq(&r, 1000);
            rig_feed(&r, other, 1);
            const uint64_t page = rig_kv_used(&r), left = (uint64_t)(4 + extra) * page;
            while (rig_kv_used(&r) + left < BUDGET) rig_feed(&r, other, 64);
            kvasir_generate_options o = {.ids = prompt(&r),
                                         .n_ids = PROMPT,
                                         .ignore_end = 1,
                                         .draft = d ? KVASIR_DRAFT_LOOKUP : KVASIR_DRAFT_NONE};
            kvasir_stats stats;
            assert_int_equal(kvasir_generate(r.e, s, &o, NULL, NULL, &stats), KVASIR_E_MEMORY);
            length[d] = kvasir_seq_length(s);
            drafted += stats.drafted;
            kvasir_seq_free(s);
            kvasir_seq_free(other);
            rig_close(&r);
        }
        assert_int_equal(length[0], length[1]);
        assert_true(length[0] > PROMPT && drafted > 0);
    }
}

/* An engine that keeps one row has no room for a draft, and then there is none. */
static void test_one_row(void **state)
{
    const tiny_model t = plain();
    for (int i = 0; i < 2; i++) {
        kvasir_engine_options o = {.n_threads = 1, .max_batch = i ? 1 : 64, .max_logits = i ? 64 : 1};
        int drafted = 0, accepted = 0;
        rig r = rig_open(&t, &o);
        compare(&r, &settings[0], &drafted, &accepted);
        assert_int_equal(drafted, 0);
        kvasir_seq *s = rig_seq(&r, 200);
        kvasir_generate_options bad = {.ids = prompt(&r), .n_ids = PROMPT, .draft = (kvasir_draft)7};
        assert_fails(KVASIR_E_ARGUMENT, "draft 7", kvasir_generate(r.e, s, &bad, NULL, NULL, NULL));
        kvasir_seq_free(s);
        rig_close(&r);
    }
}

/* Tokens that kv_seq_revocable allows can be cut to every length at no cost; with one token more that would not hold.
   Returns how often it allowed less than was asked for. */
static int check_revocable(const rig *r, const char *kv)
{
    kvasir_seq *s = seq_of(r, 700, kv);
    int less = 0;
    for (int length = 1; length < 300; length += 1 + length % 5) {
        const int most = length % 70;
        int n = kv_seq_revocable(s->kv, length, most), kept = 0;
        assert_in_range(n, 0, most);
        rig_feed(r, s, length);
        for (int i = 1; i <= n; i += 1 + i / 4) {
            rig_feed(r, s, i);
            assert_ok(kv_seq_truncate(s->kv, length + i / 2, &kept));
            assert_int_equal(kept, length + i / 2);
            assert_ok(kvasir_seq_truncate(s, length));
            assert_int_equal(kv_seq_length(s->kv), length);
        }
        if (n < most) {
            rig_feed(r, s, n + 1);
            assert_ok(kv_seq_truncate(s->kv, length, &kept));
            if (length >= KV_PAGE_TOKENS && length % KV_PAGE_TOKENS) assert_true(kept < length);
            less++;
        }
        assert_ok(kvasir_seq_truncate(s, 0));
    }
    kvasir_seq_free(s);
    return less;
}

static void test_revocable(void **state)
{
    const tiny_model models[] = {plain(), with_windows()};
    for (int m = 0; m < 2; m++) {
        rig r = open_rig(&models[m]);
        int less = check_revocable(&r, "f16");
        assert_true(m ? less > 10 : less == 0);
        assert_true(check_revocable(&r, "q8") > 10);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_index),     cmocka_unit_test(test_learning), cmocka_unit_test(test_same),
        cmocka_unit_test(test_limits),    cmocka_unit_test(test_ends),     cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_cancelled), cmocka_unit_test(test_budget),   cmocka_unit_test(test_one_row),
        cmocka_unit_test(test_revocable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
