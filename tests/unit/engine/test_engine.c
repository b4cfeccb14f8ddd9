/* What the engine promises beyond the right numbers: errors that change nothing, all-or-nothing steps,
   cancelling, memory that is taken only as it fills, no allocation while decoding. Runs on a given number of
   threads (the argument). */
#include "engine_rig.h"

#include "base/clock.h"
#include "base/mem.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static int threads = 2;

static rig open_rig(const tiny_model *t, uint64_t kv_memory, int max_batch)
{
    return rig_open(t, &(kvasir_engine_options){.n_threads = threads, .kv_memory = kv_memory, .max_batch = max_batch});
}

static rig llama_rig(void)
{
    const tiny_model t = tiny_llama();
    return open_rig(&t, 0, 0);
}

static tiny_model tiny_gemma3(void)
{
    tiny_model t = tiny_llama();
    t.architecture = "gemma3";
    t.n_layer = 7; /* the sixth has full attention */
    t.window = 40;
    t.tied = true;
    return t;
}

/* ---- arguments ---- */

static void test_step_arguments(void **state)
{
    rig r = llama_rig(), other = llama_rig();
    kvasir_seq *s = rig_seq(&r, 600), *foreign = rig_seq(&other, 100);
    rig_feed(&r, s, 30);
    const int32_t good[520] = {1, 2, 3}, bad[] = {0, 5, 90, 1}, negative[] = {-1};
    const struct {
        kvasir_work work[2];
        int n;
        const char *says;
    } cases[] = {
        {{{.seq = s, .ids = bad, .n = 4}}, 1, "id 90 at place 2 is outside the vocabulary of 90"},
        {{{.seq = s, .ids = negative, .n = 1}}, 1, "id -1 at place 0"},
        {{{.seq = s, .ids = good, .n = 0}}, 1, "without tokens"},
        {{{.seq = s, .ids = good, .n = -5}}, 1, "without tokens"},
        {{{.seq = s, .ids = NULL, .n = 1}}, 1, "without tokens"},
        {{{.seq = NULL, .ids = good, .n = 1}}, 1, "another engine"},
        {{{.seq = foreign, .ids = good, .n = 1}}, 1, "another engine"},
        {{{.seq = s, .ids = good, .n = 1}, {.seq = foreign, .ids = good, .n = 1}}, 2, "another engine"},
        {{{.seq = s, .ids = good, .n = 1}, {.seq = s, .ids = good, .n = 1}}, 2, "twice"},
        {{{.seq = s, .ids = good, .n = 1}}, 0, "0 work items"},
        {{{.seq = s, .ids = good, .n = 1}}, -1, "-1 work items"},
        {{{.seq = s, .ids = good, .n = 1}}, 513, "513 work items: 1 to 512"},
        {{{.seq = s, .ids = good, .n = 513, .want = KVASIR_WANT_ALL}}, 1, "513 rows of logits: this engine keeps 512"},
    };
    uint64_t used = rig_kv_used(&r);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        kvasir_work work[2] = {cases[i].work[0], cases[i].work[1]};
        assert_fails(KVASIR_E_ARGUMENT, cases[i].says, kvasir_step(r.e, work, cases[i].n));
        assert_int_equal(kvasir_seq_length(s), 30);
        assert_int_equal(rig_kv_used(&r), used);
    }
    rig_check_next(&r, s);
    kvasir_seq_free(s);
    kvasir_seq_free(foreign);
    rig_close(&r);
    rig_close(&other);
}

static void test_sequence_arguments(void **state)
{
    rig r = llama_rig();
    kvasir_seq *s = NULL, *f = NULL;
    tiny_model t = tiny_llama();
    tiny_file unloaded = tiny_make(&t);
    kvasir_model *m;
    assert_ok(kvasir_model_open(unloaded.path, NULL, &m));
    assert_fails(KVASIR_E_ARGUMENT, "not been loaded", kvasir_seq_create(r.e, m, NULL, &s));
    assert_fails(KVASIR_E_ARGUMENT, "-1 tokens", kvasir_seq_create(r.e, r.m, &(kvasir_seq_options){.n_ctx = -1}, &s));
    assert_fails(KVASIR_E_ARGUMENT, "q9", kvasir_seq_create(r.e, r.m, &(kvasir_seq_options){.kv = "q9"}, &s));
    /* 64 MiB hold 4,096 blocks of 16 KiB with 64 tokens each. */
    assert_fails(KVASIR_E_MEMORY, "262144", kvasir_seq_create(r.e, r.m, &(kvasir_seq_options){.n_ctx = 262145}, &s));
    assert_null(s);
    assert_ok(kvasir_seq_create(r.e, r.m, NULL, &s));
    assert_int_equal(kvasir_seq_ctx(s), 4096);
    assert_string_equal(kvasir_seq_kv_type(s, 0), "f16");
    rig_feed(&r, s, 100);
    assert_fails(KVASIR_E_ARGUMENT, "101", kvasir_seq_fork(s, 101, &f));
    assert_fails(KVASIR_E_ARGUMENT, "-2", kvasir_seq_fork(s, -2, &f));
    assert_fails(KVASIR_E_ARGUMENT, "101", kvasir_seq_truncate(s, 101));
    assert_fails(KVASIR_E_ARGUMENT, "-1", kvasir_seq_truncate(s, -1));
    assert_ok(kvasir_seq_truncate(s, 100));
    assert_ok(kvasir_seq_fork(s, 0, &f));
    assert_int_equal(kvasir_seq_length(f), 0);
    assert_ok(kvasir_seq_mark(f));
    rig_check_next(&r, f);
    kvasir_seq_free(f);
    assert_ok(kvasir_seq_fork(s, -1, &f));
    kvasir_seq_free(s); /* a fork outlives what it came from */
    assert_int_equal(kvasir_seq_length(f), 100);
    for (int i = 0; i < 100; i++) assert_int_equal(kvasir_seq_ids(f)[i], rig_id(&r, i));
    rig_check_next(&r, f);
    kvasir_seq_free(f);
    assert_int_equal(rig_kv_used(&r), 0);
    kvasir_model_close(m);
    tiny_remove(&unloaded);
    rig_close(&r);
}

static void test_engine_arguments(void **state)
{
    kvasir_engine *e = NULL;
    assert_fails(KVASIR_E_ARGUMENT, "max_batch -1",
                 kvasir_engine_create(&(kvasir_engine_options){.max_batch = -1}, &e));
    assert_fails(KVASIR_E_ARGUMENT, "max_logits 99999",
                 kvasir_engine_create(&(kvasir_engine_options){.max_logits = 99999}, &e));
    assert_fails(KVASIR_E_ARGUMENT, "2000 threads",
                 kvasir_engine_create(&(kvasir_engine_options){.n_threads = 2000}, &e));
    assert_fails(KVASIR_E_ARGUMENT, "z80", kvasir_engine_create(&(kvasir_engine_options){.cpu = "z80"}, &e));
    assert_null(e);
    assert_ok(kvasir_engine_create(NULL, &e));
    kvasir_engine_free(e);
    kvasir_engine_free(NULL);
    kvasir_seq_free(NULL);
    kvasir_model_close(NULL);
}

/* ---- all or nothing ---- */

static void test_context_full(void **state)
{
    rig r = llama_rig();
    kvasir_seq *s = rig_seq(&r, 40), *other = rig_seq(&r, 100);
    rig_feed(&r, s, 30);
    rig_feed(&r, other, 7);
    const int32_t ids[11] = {1};
    kvasir_work work[] = {{.seq = other, .ids = ids, .n = 11}, {.seq = s, .ids = ids, .n = 11}};
    uint64_t used = rig_kv_used(&r);
    assert_int_equal(kvasir_step(r.e, work, 2), KVASIR_E_CONTEXT);
    assert_message("41");
    assert_message("40");
    assert_int_equal(kvasir_seq_length(s), 30);
    assert_int_equal(kvasir_seq_length(other), 7);
    assert_int_equal(rig_kv_used(&r), used);
    rig_check_next(&r, s);
    rig_check_next(&r, other);
    rig_feed(&r, s, 9);
    assert_int_equal(rig_step(&r, s, 1, KVASIR_WANT_NONE, NULL), KVASIR_E_CONTEXT);
    kvasir_seq_free(s);
    kvasir_seq_free(other);
    rig_close(&r);
}

/* A step of several pieces that runs out of KV memory after some of them were computed: the budget pays for b alone. */
static void check_memory_full(const tiny_model *t)
{
    enum { CTX = 600 };
    kvasir_kv_info kv;
    rig ample = open_rig(t, 0, 32);
    assert_ok(kvasir_model_kv(ample.m, "f16", CTX, &kv));
    rig r = open_rig(t, kv.bytes_at_ctx, 32);
    kvasir_seq *a = rig_seq(&r, 100), *b = rig_seq(&r, CTX), *f = NULL;
    int32_t ids[CTX] = {1, 2, 3};
    rig_feed(&r, a, 70);
    rig_feed(&r, b, 50);
    uint64_t used = rig_kv_used(&r);
    kvasir_work work[] = {{.seq = a, .ids = ids, .n = 20}, {.seq = b, .ids = ids, .n = CTX - 50}};
    assert_fails(KVASIR_E_MEMORY, "KV cache", kvasir_step(r.e, work, 2));
    assert_int_equal(kvasir_seq_length(a), 70);
    assert_int_equal(kvasir_seq_length(b), 50);
    assert_true(rig_kv_used(&r) <= used);  /* window rows that are gone are computed again */
    assert_ok(kvasir_seq_fork(b, -1, &f)); /* nothing is left half-done */
    kvasir_seq_free(f);
    kvasir_seq *const both[] = {a, b};
    for (int i = 0; i < 2; i++) {
        const float *logits = NULL;
        float *want = rig_logits(&ample, kvasir_seq_length(both[i]));
        assert_ok(rig_step(&r, both[i], 1, KVASIR_WANT_LAST, &logits));
        assert_memory_equal(want, logits, sizeof(float) * (size_t)r.n_vocab);
        free(want);
    }
    kvasir_seq_free(a);
    kvasir_seq_free(b);
    rig_close(&r);
    rig_close(&ample);
}

static void test_memory_full(void **state)
{
    const tiny_model llama = tiny_llama(), gemma3 = tiny_gemma3();
    check_memory_full(&llama);
    check_memory_full(&gemma3);
}

/* Where the budget just pays for a context, at every length on the way, the context can be filled by steps
   of any size. */
static void test_exact_budget(void **state)
{
    enum { CTX = 700 };
    const tiny_model models[] = {tiny_llama(), tiny_gemma3()};
    for (int i = 0; i < 2; i++) {
        uint64_t budget = 0;
        kvasir_kv_info kv;
        rig r = open_rig(&models[i], 0, 0);
        for (int n = 1; n <= CTX; n++) {
            assert_ok(kvasir_model_kv(r.m, "f16", n, &kv));
            if (kv.bytes_at_ctx > budget) budget = kv.bytes_at_ctx;
        }
        rig_close(&r);
        for (int chunk = 5; chunk <= CTX; chunk *= 26) {
            r = open_rig(&models[i], budget, 0);
            kvasir_seq *s = rig_seq(&r, CTX);
            for (int at = 0; at < CTX; at += chunk) rig_feed(&r, s, chunk < CTX - at ? chunk : CTX - at);
            assert_int_equal(kvasir_seq_length(s), CTX);
            assert_int_equal(rig_kv_used(&r), kv.bytes_at_ctx);
            kvasir_seq_free(s);
            rig_close(&r);
        }
    }
}

/* ---- cancelling ---- */

typedef struct canceller {
    kvasir_engine *e;
    atomic_int delay_us; /* of one cancel; -1: over and over */
    atomic_bool go, done;
} canceller;

static void *cancel_thread(void *p)
{
    canceller *c = p;
    while (!atomic_load(&c->done)) {
        int delay = atomic_load(&c->delay_us);
        if (delay < 0) {
            kvasir_cancel(c->e);
            (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
        } else if (atomic_exchange(&c->go, false)) {
            (void)nanosleep(&(struct timespec){.tv_sec = delay / 1000000, .tv_nsec = delay % 1000000 * 1000L}, NULL);
            kvasir_cancel(c->e);
        }
    }
    return NULL;
}

/* A prefill that takes seconds when nobody cancels it. */
static void test_cancel_long_prefill(void **state)
{
    tiny_model t = tiny_llama();
    t.n_layer = 12, t.n_ff = 512;
    rig r = open_rig(&t, 256u << 20, 0);
    kvasir_seq *s = rig_seq(&r, 16000);
    canceller c = {.e = r.e, .delay_us = -1};
    pthread_t thread;
    rig_feed(&r, s, 100);
    uint64_t used = rig_kv_used(&r);
    assert_int_equal(pthread_create(&thread, NULL, cancel_thread, &c), 0);
    double start = clock_now();
    kvasir_status status = rig_step(&r, s, 15000, KVASIR_WANT_LAST, NULL);
    double took = clock_now() - start;
    atomic_store(&c.done, true);
    (void)pthread_join(thread, NULL);
    assert_int_equal(status, KVASIR_E_CANCELLED);
    assert_true(took < 1);
    assert_int_equal(kvasir_seq_length(s), 100);
    assert_int_equal(rig_kv_used(&r), used);
    rig_check_next(&r, s);
    kvasir_seq_free(s);
    rig_close(&r);
}

/* Cancels that come at every place of a step: each leaves the sequences as they were. */
static void test_cancel_anywhere(void **state)
{
    const tiny_model models[] = {tiny_llama(), tiny_gemma3()};
    for (int i = 0; i < 2; i++) {
        rig r = open_rig(&models[i], 0, 64);
        kvasir_seq *s = rig_seq(&r, 1000), *other = rig_seq(&r, 1000), *f = NULL;
        canceller c = {.e = r.e};
        pthread_t thread;
        int cancelled = 0, wrong = 0; /* asserted only after the thread has been joined */
        rig_feed(&r, s, 90);
        rig_feed(&r, other, 20);
        const uint64_t used = rig_kv_used(&r); /* at most: window rows that are gone are computed again when needed */
        int32_t ids[300];
        for (int k = 0; k < 300; k++) ids[k] = rig_id(&r, 90 + k);
        double start = clock_now();
        rig_feed(&r, s, 300); /* how long it takes when it is left alone */
        int whole = (int)((clock_now() - start) * 1e6);
        assert_ok(kvasir_seq_truncate(s, 90));
        assert_int_equal(pthread_create(&thread, NULL, cancel_thread, &c), 0);
        for (int try = 0; try < 24; try++) {
            kvasir_work work[] = {{.seq = other, .ids = ids, .n = 5},
                                  {.seq = s, .ids = ids, .n = 300, .want = KVASIR_WANT_LAST}};
            atomic_store(&c.delay_us, whole * try / 16);
            atomic_store(&c.go, true);
            kvasir_status status = kvasir_step(r.e, work, 2);
            while (atomic_load(&c.go)) {
            }
            if (status == KVASIR_OK) {
                wrong += kvasir_seq_truncate(s, 90) != KVASIR_OK || kvasir_seq_truncate(other, 20) != KVASIR_OK;
            } else {
                wrong += status != KVASIR_E_CANCELLED || rig_kv_used(&r) > used;
                cancelled++;
            }
            wrong += kvasir_seq_length(s) != 90 || kvasir_seq_length(other) != 20;
        }
        atomic_store(&c.done, true);
        (void)pthread_join(thread, NULL);
        assert_int_equal(wrong, 0);
        assert_true(cancelled > 0);
        assert_ok(kvasir_seq_fork(s, -1, &f));
        rig_check_next(&r, f);
        rig_check_next(&r, s);
        rig_check_next(&r, other);
        kvasir_seq_free(f);
        kvasir_seq_free(s);
        kvasir_seq_free(other);
        rig_close(&r);
    }
}

static int refuse_at(void *user, uint64_t done, uint64_t total)
{
    int *left = user;
    assert_true(done <= total);
    return --*left <= 0;
}

static void test_cancel_load(void **state)
{
    tiny_model t = tiny_llama();
    t.n_layer = 40;
    kvasir_model *m;
    kvasir_engine *e;
    tiny_file f = tiny_make(&t);
    int left = 2, patient = 1 << 30;
    assert_ok(kvasir_model_open(f.path, NULL, &m));
    assert_ok(kvasir_engine_create(&(kvasir_engine_options){.n_threads = 1, .kv_memory = 1 << 20}, &e));
    assert_fails(KVASIR_E_CANCELLED, "cancelled", kvasir_engine_load(e, m, refuse_at, &left));
    assert_null(e->models);
    assert_ok(kvasir_engine_load(e, m, refuse_at, &patient));
    kvasir_engine_free(e);
    kvasir_model_close(m);
    tiny_remove(&f);
}

/* ---- several models and sequences ---- */

static void test_two_models(void **state)
{
    const tiny_model gemma3 = tiny_gemma3();
    rig r = llama_rig();
    rig g = r;
    g.file = tiny_make(&gemma3);
    assert_ok(kvasir_model_open(g.file.path, NULL, &g.m));
    assert_ok(kvasir_engine_load(r.e, g.m, NULL, NULL));
    kvasir_seq *s[4];
    const int before[] = {0, 130, 64, 3}, add[] = {70, 1, 200, 1};
    kvasir_work work[4];
    int32_t ids[4][200];
    for (int i = 0; i < 4; i++) {
        s[i] = rig_seq(i % 2 ? &g : &r, 400);
        if (before[i]) rig_feed(&r, s[i], before[i]);
        for (int k = 0; k < add[i]; k++) ids[i][k] = rig_id(&r, before[i] + k);
        work[i] =
            (kvasir_work){.seq = s[i], .ids = ids[i], .n = add[i], .want = i == 2 ? KVASIR_WANT_ALL : KVASIR_WANT_LAST};
    }
    assert_ok(kvasir_step(r.e, work, 4));
    float *got[4];
    for (int i = 0; i < 4; i++) {
        const float *last =
            work[i].logits + (work[i].want == KVASIR_WANT_ALL ? (size_t)(add[i] - 1) * (size_t)r.n_vocab : 0);
        got[i] = memcpy(malloc(sizeof(float) * (size_t)r.n_vocab), last, sizeof(float) * (size_t)r.n_vocab);
    }
    for (int i = 0; i < 4; i++) {
        float *want = rig_logits(i % 2 ? &g : &r, before[i] + add[i] - 1);
        assert_memory_equal(want, got[i], sizeof(float) * (size_t)r.n_vocab);
        free(want);
        free(got[i]);
        kvasir_seq_free(s[i]);
    }
    rig_close(&r);
    kvasir_model_close(g.m);
    tiny_remove(&g.file);
}

/* Which rows of logits a step gives does not change them, and no other row is asked for. */
static void test_wants(void **state)
{
    rig r = llama_rig();
    const kvasir_want wants[] = {KVASIR_WANT_NONE, KVASIR_WANT_LAST, KVASIR_WANT_ALL};
    kvasir_seq *s[3];
    kvasir_work work[3];
    int32_t ids[20];
    for (int i = 0; i < 20; i++) ids[i] = rig_id(&r, i);
    for (int i = 0; i < 3; i++) {
        s[i] = rig_seq(&r, 100);
        work[i] = (kvasir_work){.seq = s[i], .ids = ids, .n = 20, .want = wants[i]};
    }
    assert_ok(kvasir_step(r.e, work, 3));
    assert_null(work[0].logits);
    size_t row = (size_t)r.n_vocab;
    assert_memory_equal(work[1].logits, work[2].logits + 19 * row, row * sizeof(float));
    assert_memory_not_equal(work[2].logits, work[2].logits + row, row * sizeof(float));
    for (int i = 0; i < 3; i++) kvasir_seq_free(s[i]);
    rig_close(&r);
}

/* ---- memory ---- */

/* Steps allocate nothing, neither on the threads of the team nor around them. */
static void test_no_allocation(void **state)
{
    const tiny_model models[] = {tiny_llama(), tiny_gemma3()};
    for (int i = 0; i < 2; i++) {
        rig r = open_rig(&models[i], 0, 64);
        kvasir_seq *s = rig_seq(&r, 2000), *other = rig_seq(&r, 2000);
        int32_t ids[1100] = {1, 2, 3};
        unsigned before = mem_forbidden();
        mem_forbid(true);
        kvasir_work prefill[] = {{.seq = s, .ids = ids, .n = 1100}, {.seq = other, .ids = ids, .n = 3}};
        assert_ok(kvasir_step(r.e, prefill, 2));
        for (int k = 0; k < 100; k++) {
            kvasir_work work[] = {{.seq = s, .ids = ids, .n = 1, .want = KVASIR_WANT_LAST},
                                  {.seq = other, .ids = ids, .n = 1, .want = KVASIR_WANT_LAST}};
            assert_ok(kvasir_step(r.e, work, 2));
        }
        mem_forbid(false);
        assert_int_equal(mem_forbidden(), before);
        assert_int_equal(r.e->allocations, 0);
        kvasir_seq_free(s);
        kvasir_seq_free(other);
        rig_close(&r);
    }
}

/* A context of four million tokens costs nothing until tokens come. */
static void test_memory_fills(void **state)
{
    const tiny_model t = tiny_llama();
    const size_t mib = 1 << 20;
    rig r = open_rig(&t, 1ull << 36, 64);
    kvasir_seq *warm = rig_seq(&r, 100);
    rig_feed(&r, warm, 100);
    size_t before = mem_resident();
    kvasir_seq *s = rig_seq(&r, 1 << 22);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    const size_t slack = 64 * mib; /* shadow memory */
#else
    const size_t slack = mib;
#endif
    assert_true(mem_resident() <= before + slack);
    rig_feed(&r, s, 4000);
    assert_true(kvasir_seq_kv_bytes(s) < mib + 4000 * 256);
    assert_true(mem_resident() <= before + slack + 4000 * 256 + mib);
    kvasir_seq_free(s);
    kvasir_seq_free(warm);
    rig_close(&r);
}

/* By stream, from the sequence's tables: the bytes that a plan for this length says, and the pages that
   follow from it. */
static void check_streams(const rig *r, const kvasir_seq *s, const char *type, int n_streams)
{
    const kvasir_model *m = r->m;
    kvasir_plan *p;
    kvasir_kv_held h;
    uint64_t sum = 0;
    assert_ok(kvasir_plan_make(&m, 1, &(kvasir_plan_options){.ctx = kvasir_seq_length(s), .kv = type}, &p));
    assert_int_equal(p->models[0].n_streams, n_streams);
    for (int i = 0; i < n_streams; i++) {
        kvasir_kv_stream t;
        assert_ok(kvasir_model_kv_stream(m, type, i, &t));
        assert_ok(kvasir_seq_kv_stream(s, i, &h));
        assert_int_equal(h.layer, t.layer);
        assert_string_equal(h.name, t.name);
        assert_string_equal(h.type, type);
        assert_int_equal(h.bytes, (uint64_t)h.n_pages * (uint64_t)t.n_heads * t.page_bytes);
        assert_int_equal(h.bytes, p->models[0].streams[i].bytes);
        if (!t.window) assert_int_equal(h.n_pages, (kvasir_seq_length(s) + 63) / 64);
        sum += h.bytes;
    }
    assert_true(sum > 0 && sum <= kvasir_seq_kv_bytes(s));
    assert_int_equal(kvasir_seq_kv_stream(s, -1, &h), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_seq_kv_stream(s, n_streams, &h), KVASIR_E_ARGUMENT);
    kvasir_plan_free(p);
}

/* The pool holds what the plan says, to the byte. */
static void test_kv_bytes(void **state)
{
    const tiny_model models[] = {tiny_llama(), tiny_gemma3()};
    const char *const types[] = {"f16", "f32"};
    const int lengths[] = {1, 63, 64, 65, 640, 1000};
    for (int i = 0; i < 4; i++) {
        rig r = open_rig(&models[i / 2], 0, 100);
        for (int k = 0; k < 6; k++) {
            kvasir_seq *s;
            kvasir_kv_info kv;
            assert_ok(kvasir_seq_create(r.e, r.m, &(kvasir_seq_options){.kv = types[i % 2], .n_ctx = 1000}, &s));
            rig_feed(&r, s, lengths[k]);
            assert_ok(kvasir_model_kv(r.m, types[i % 2], lengths[k], &kv));
            assert_int_equal(rig_kv_used(&r), kv.bytes_at_ctx);
            assert_int_equal(kvasir_seq_kv_bytes(s), kv.bytes_at_ctx);
            check_streams(&r, s, types[i % 2], kv.n_streams);
            kvasir_seq_free(s);
            assert_int_equal(rig_kv_used(&r), 0);
        }
        rig_close(&r);
    }
}

/* Bytes that a decode step reads, by hand: float matrices in panels of 16 rows, norms, one row of the embedding, and
   64-token pages of K and V. */
static void test_step_bytes(void **state)
{
    const uint64_t attention = 2 * 64 * 64 + 2 * 32 * 64, expert = 3 * 96 * 64;
    const uint64_t head = 96 * 64 + 64 + 64; /* output (90 rows), its norm, an embedding */
    const uint64_t dense_layer = attention + expert + 2 * 64;
    const uint64_t routed_layer = attention + 2 * expert + 16 * 64 + 2 * 64 + 2 * 16;
    const uint64_t page = (uint64_t)2 * 2 * 16 * 64 * 2; /* K and V, two heads of 16, f16 */
    tiny_model routed = tiny_llama();
    routed.architecture = "qwen3moe";
    routed.n_expert = 5;
    routed.n_used = 2;
    const tiny_model models[] = {tiny_llama(), routed};
    const uint64_t without_kv[] = {4 * (head + 2 * dense_layer), 4 * (head + 2 * routed_layer)};
    for (int i = 0; i < 2; i++) {
        rig r = open_rig(&models[i], 0, 0);
        kvasir_seq *s = rig_seq(&r, 1000);
        assert_int_equal(kvasir_seq_step_bytes(s), without_kv[i]);
        rig_feed(&r, s, 1);
        assert_int_equal(kvasir_seq_step_bytes(s), without_kv[i] + 2 * page);
        rig_feed(&r, s, 640);
        assert_int_equal(kvasir_seq_step_bytes(s), without_kv[i] + 2 * 11 * page);
        assert_ok(kvasir_seq_truncate(s, 128));
        assert_int_equal(kvasir_seq_step_bytes(s), without_kv[i] + 2 * 2 * page);
        kvasir_seq_free(s);
        rig_close(&r);
    }
    const tiny_model sliding = tiny_gemma3(); /* six layers see at most two pages, the seventh sees all */
    rig r = open_rig(&sliding, 0, 0);
    kvasir_seq *s = rig_seq(&r, 1000);
    uint64_t empty = kvasir_seq_step_bytes(s);
    rig_feed(&r, s, 640);
    assert_int_equal(kvasir_seq_step_bytes(s) - empty, 10 * page + 6 * page);
    rig_feed(&r, s, 20);
    assert_int_equal(kvasir_seq_step_bytes(s) - empty, 11 * page + 6 * 2 * page);
    kvasir_seq_free(s);
    rig_close(&r);
}

/* Six of seven layers keep 40 tokens: from then on only the seventh's KV grows. */
static void test_window_bounds(void **state)
{
    const tiny_model t = tiny_gemma3();
    rig r = open_rig(&t, 0, 64);
    kvasir_seq *s = rig_seq(&r, 4000);
    rig_feed(&r, s, 1024);
    uint64_t at_1024 = kvasir_seq_kv_bytes(s);
    rig_feed(&r, s, 2048);
    const uint64_t full_layer = 2 * 2 * 16 * 2; /* K and V, heads, head_dim, bytes */
    assert_int_equal(kvasir_seq_kv_bytes(s) - at_1024, 2048 * full_layer);
    assert_true(at_1024 <= 1024 * full_layer + 2 * 64 * 6 * full_layer);
    kvasir_seq_free(s);
    rig_close(&r);
}

/* A prompt in steps of at most 16 rows gives the bits of one in steps of 512. */
static void test_small_batch(void **state)
{
    const tiny_model t = tiny_gemma3();
    rig small = open_rig(&t, 0, 16), large = open_rig(&t, 0, 512);
    for (int n = 15; n < 400; n += 64) {
        float *a = rig_logits(&small, n), *b = rig_logits(&large, n);
        assert_memory_equal(a, b, sizeof(float) * (size_t)t.n_vocab);
        free(a);
        free(b);
    }
    rig_close(&small);
    rig_close(&large);
}

/* The number of threads can change between the steps of a sequence without changing a bit. More threads than at the
   start are refused, since they have no workspace. */
static void test_set_threads(void **state)
{
    const tiny_model t = tiny_gemma3();
    rig one = rig_open(&t, &(kvasir_engine_options){.n_threads = 1}),
        many = rig_open(&t, &(kvasir_engine_options){.n_threads = 3});
    kvasir_seq *a = rig_seq(&one, 512), *b = rig_seq(&many, 512);
    kvasir_engine_info info;
    for (int n = 3; n >= 0; n--) {
        const float *x, *y;
        if (n > 0)
            assert_ok(kvasir_engine_set_threads(many.e, n));
        else
            assert_ok(kvasir_engine_set_threads(many.e, 3));
        kvasir_engine_get_info(many.e, &info);
        assert_int_equal(info.n_threads, n ? n : 3);
        assert_ok(rig_step(&one, a, 70, KVASIR_WANT_LAST, &x));
        assert_ok(rig_step(&many, b, 70, KVASIR_WANT_LAST, &y));
        assert_memory_equal(x, y, sizeof *x * (size_t)t.n_vocab);
    }
    assert_int_equal(kvasir_engine_set_threads(many.e, 4), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_engine_set_threads(many.e, 0), KVASIR_E_ARGUMENT);
    kvasir_engine_get_info(many.e, &info);
    assert_int_equal(info.n_threads, 3);
    kvasir_seq_free(a);
    kvasir_seq_free(b);
    rig_close(&one);
    rig_close(&many);
}

/* Every call says what is missing instead of reading it. */
#define REFUSED(call, text)                                                                                            \
    do {                                                                                                               \
        assert_int_equal((call), KVASIR_E_ARGUMENT);                                                                   \
        assert_non_null(strstr(kvasir_message(), text));                                                               \
    } while (0)

static void test_misuse(void **state)
{
    (void)state;
    kvasir_model *m = NULL, *other = NULL;
    kvasir_engine *e = NULL;
    kvasir_seq *s = NULL, *t = NULL;
    kvasir_speed speed;
    kvasir_plan *p = NULL;
    kvasir_machine machine = {.n_teams = 1000, .n_kernels = -5};
    kvasir_generate_options g = {0};
    const kvasir_model *const none[1] = {NULL};
    int32_t *ids = NULL;
    size_t n = 0;
    tiny_model tiny = tiny_llama();
    rig r = rig_open(&tiny, &(kvasir_engine_options){.n_threads = 1, .kv_memory = 8 << 20});
    m = r.m;
    e = r.e;
    s = rig_seq(&r, 64);
    REFUSED(kvasir_model_open(NULL, NULL, &other), "path is NULL");
    REFUSED(kvasir_engine_create(NULL, NULL), "out is NULL");
    REFUSED(kvasir_engine_load(e, NULL, NULL, NULL), "m is NULL");
    REFUSED(kvasir_seq_create(NULL, m, NULL, &t), "e is NULL");
    REFUSED(kvasir_seq_fork(NULL, 0, &t), "from is NULL");
    REFUSED(kvasir_seq_truncate(NULL, 0), "s is NULL");
    REFUSED(kvasir_seq_mark(NULL), "s is NULL");
    REFUSED(kvasir_tokenize(m, NULL, 3, 0, 0, &ids, &n), "text is NULL");
    REFUSED(kvasir_tokenize(NULL, "a", 1, 0, 0, &ids, &n), "m is NULL");
    REFUSED(kvasir_generate(e, s, NULL, NULL, NULL, NULL), "o is NULL");
    REFUSED(kvasir_generate(e, NULL, &g, NULL, NULL, NULL), "s is NULL");
    REFUSED(kvasir_plan_make(NULL, 1, NULL, &p), "models is NULL");
    REFUSED(kvasir_plan_make(none, 1, NULL, &p), "models[0] is NULL");
    REFUSED(kvasir_predict(m, &machine, NULL, 10, &speed), "n_teams 1000");
    REFUSED(kvasir_step(e, NULL, 1), "work is NULL");
    kvasir_work w = {.seq = s, .ids = (const int32_t[]){5}, .n = 1, .want = (kvasir_want)77};
    REFUSED(kvasir_step(e, &w, 1), "want is 77");
    assert_int_equal(kvasir_seq_length(NULL), 0);
    assert_null(kvasir_seq_ids(NULL));
    assert_null(kvasir_model_get_info(NULL));
    kvasir_cancel(NULL);
    kvasir_seq_free(s);
    rig_close(&r);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_arguments),
        cmocka_unit_test(test_sequence_arguments),
        cmocka_unit_test(test_engine_arguments),
        cmocka_unit_test(test_context_full),
        cmocka_unit_test(test_memory_full),
        cmocka_unit_test(test_exact_budget),
        cmocka_unit_test(test_cancel_long_prefill),
        cmocka_unit_test(test_cancel_anywhere),
        cmocka_unit_test(test_cancel_load),
        cmocka_unit_test(test_two_models),
        cmocka_unit_test(test_wants),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_memory_fills),
        cmocka_unit_test(test_kv_bytes),
        cmocka_unit_test(test_step_bytes),
        cmocka_unit_test(test_window_bounds),
        cmocka_unit_test(test_small_batch),
        cmocka_unit_test(test_set_threads),
        cmocka_unit_test(test_misuse),
    };
    if (argc > 1) threads = atoi(argv[1]);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
