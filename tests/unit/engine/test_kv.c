/* src/kv: layout figures, budget, sharing, windows, and the model of kv_model.h under random operations. */
#include "test.h"
#include "../fuzz/kv_model.h"

#include "base/format.h"
#include "base/checked.h"
#include "kv/kv_internal.h"

/* ---- layout */

static void test_types(void **state)
{
    (void)state;
    kv_type k, v;
    assert_ok(kv_type_parse("f16", &k, &v));
    assert_true(k == KV_F16 && v == KV_F16);
    assert_ok(kv_type_parse("q8:q4", &k, &v));
    assert_true(k == KV_Q8 && v == KV_Q4);
    assert_ok(kv_type_parse("q4_0:q8_0", &k, &v));
    assert_true(k == KV_Q4 && v == KV_Q8);
    assert_string_equal(kv_type_name(KV_Q8), "q8");
    const char *const bad[] = {"", ":", "q8:", ":q8", "q5", "q8:q4:f16", "f16 ", "F16"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kv_type_parse(bad[i], &k, &v), KVASIR_E_ARGUMENT);
        assert_non_null(strstr(kvasir_message(), "f32, f16, q8 and q4"));
    }
    assert_true(k == KV_Q4 && v == KV_Q8); /* left alone by failures */
}

/* Figures worked by hand from the page layout (kernels/attn.h). K q8: 2D of means, 64D of values, 4 sub-tiles of D/32 *
   16 scales of 2 bytes = 4D. V q8: 64D and 64 * D/32 * 2 = 4D. Half the values for q4. */
static void test_page_bytes(void **state)
{
    (void)state;
    static const struct {
        int dim;
        size_t f16, k8, v8, k4, v4;
    } expect[] = {{64, 8192, 4480, 4224, 2432, 2304},
                  {80, 10240, 5696, 5312, 3136, 2944}, /* the third block of scales is half used */
                  {96, 12288, 6720, 6336, 3648, 3456},
                  {128, 16384, 8960, 8448, 4864, 4608},
                  {256, 32768, 17920, 16896, 9728, 9216},
                  {576, 73728, 40320, 38016, 21888, 20736}};
    for (size_t i = 0; i < sizeof expect / sizeof *expect; i++) {
        int d = expect[i].dim;
        assert_int_equal(kv_page_bytes(KV_F32, KV_OPEN, false, d), 2 * expect[i].f16);
        assert_int_equal(kv_page_bytes(KV_F32, KV_CLOSED, true, d), 2 * expect[i].f16);
        assert_int_equal(kv_page_bytes(KV_Q8, KV_CLOSED, false, d), expect[i].k8);
        assert_int_equal(kv_page_bytes(KV_Q8, KV_CLOSED, true, d), expect[i].v8);
        assert_int_equal(kv_page_bytes(KV_Q4, KV_CLOSED, false, d), expect[i].k4);
        assert_int_equal(kv_page_bytes(KV_Q4, KV_CLOSED, true, d), expect[i].v4);
        for (int is_v = 0; is_v < 2; is_v++) {
            assert_int_equal(kv_page_bytes(KV_F16, KV_OPEN, is_v, d), expect[i].f16);
            assert_int_equal(kv_page_bytes(KV_F16, KV_CLOSED, is_v, d), expect[i].f16);
            assert_int_equal(kv_page_bytes(KV_Q8, KV_OPEN, is_v, d), expect[i].f16);
            assert_int_equal(kv_page_bytes(KV_Q4, KV_OPEN, is_v, d), expect[i].f16);
        }
        double f16 = 2 * (double)expect[i].f16; /* the shares that the types must keep to */
        assert_true((double)(expect[i].k8 + expect[i].v8) / f16 <= (d == 80 ? 0.545 : 0.540));
        assert_true((double)(expect[i].k8 + expect[i].v4) / f16 <= (d == 80 ? 0.425 : 0.415));
        assert_true((double)(expect[i].k4 + expect[i].v4) / f16 <= (d == 80 ? 0.300 : 0.290));
    }
    assert_int_equal(kv_page_bytes(KV_F16, KV_OPEN, false, 80), 10240);
    assert_int_equal(kv_page_bytes(KV_F16, KV_OPEN, false, 1), 128);
}

/* The 28 layers of Qwen2.5-Coder-1.5B: 2 KV heads of 128. */
static void qwen(kv_layer layer[28])
{
    for (int i = 0; i < 28; i++) layer[i] = (kv_layer){.n_head_kv = 2, .k_dim = 128, .v_dim = 128};
}

/* The 18 layers of Gemma 3 270M: one KV head of 256, a window of 512 except in every sixth layer. */
static void gemma(kv_layer layer[18])
{
    for (int i = 0; i < 18; i++) {
        layer[i] = (kv_layer){.n_head_kv = 1, .k_dim = 256, .v_dim = 256, .window = i % 6 == 5 ? 0 : 512};
    }
}

static void test_layout(void **state)
{
    (void)state;
    kv_layer q[28], g[18];
    kv_layout l;
    qwen(q);
    gemma(g);
    assert_ok(kv_layout_make(q, 28, KV_F16, KV_F16, &l));
    assert_int_equal(l.n_streams, 56);
    assert_int_equal(l.n_groups, 1);
    assert_int_equal(l.k_stream[3], 6);
    assert_int_equal(l.group[0].run[KV_OPEN], 9); /* of 1835008 bytes in 16 MiB */
    assert_int_equal(l.stream[7].offset[KV_OPEN], 9 * 3 * 65536 + 16384);
    assert_int_equal(l.stream[7].head_stride[KV_OPEN], 9 * 32768);
    assert_true(l.stream[7].is_v && l.stream[7].layer == 3);
    assert_true(kv_layout_bytes_per_token(&l) == 28672.0); /* 28 layers * 2 heads * (128 + 128) * 2 bytes */
    assert_int_equal(kv_layout_bytes(&l, 0), 0);
    assert_int_equal(kv_layout_bytes(&l, 1), 1835008);
    assert_int_equal(kv_layout_bytes(&l, 8192), 128 * 1835008);
    assert_int_equal(kv_layout_read_bytes(&l, 0), 0);
    assert_int_equal(kv_layout_read_bytes(&l, 1), 1835008);
    assert_int_equal(kv_layout_read_bytes(&l, 8193), 129 * 1835008);
    assert_int_equal(kv_layout_max_tokens(&l, 128 * 1835008, 0), 8192);
    assert_int_equal(kv_layout_max_tokens(&l, 128 * 1835008 - 1, 0), 8128);
    kv_layout_free(&l);

    assert_ok(kv_layout_make(q, 28, KV_Q8, KV_Q8, &l));
    size_t open = 1835008, closed = 974848; /* 56 * (8960 + 8448) = 974848, a multiple of 4096 */
    assert_int_equal(l.group[0].block_bytes[KV_OPEN], open);
    assert_int_equal(l.group[0].block_bytes[KV_CLOSED], closed);
    assert_int_equal(l.group[0].run[KV_OPEN], 1);
    assert_int_equal(l.group[0].run[KV_CLOSED], 16);
    assert_int_equal(l.stream[1].offset[KV_OPEN], 16384);
    assert_int_equal(l.stream[1].offset[KV_CLOSED], 8960);
    assert_int_equal(l.stream[3].offset[KV_CLOSED], 16 * 2 * (8960 + 8448) + 8960);
    assert_int_equal(kv_layout_bytes(&l, 64), open);
    assert_int_equal(kv_layout_bytes(&l, 65), 2 * open);
    assert_int_equal(kv_layout_bytes(&l, 128), open + closed);
    assert_int_equal(kv_layout_bytes(&l, 129), 2 * open + closed);
    assert_int_equal(kv_layout_bytes(&l, 8192), open + 127 * closed);
    assert_int_equal(kv_layout_read_bytes(&l, 64), open); /* pages fill their blocks here */
    assert_int_equal(kv_layout_read_bytes(&l, 8192), open + 127 * closed);
    assert_int_equal(kv_layout_read_bytes(&l, 8193), 2 * open + 127 * closed);
    kv_layout_free(&l);

    assert_ok(kv_layout_make(g, 18, KV_F16, KV_F16, &l));
    assert_int_equal(l.n_groups, 2);
    assert_int_equal(l.group[0].window, 0); /* full group first, though layer 0 has a window */
    assert_int_equal(l.group[0].block_bytes[KV_OPEN], 3 * 65536);
    assert_int_equal(l.group[1].block_bytes[KV_OPEN], 15 * 65536);
    assert_int_equal(l.stream[l.k_stream[0]].group, 1);
    assert_int_equal(l.stream[l.k_stream[5]].group, 0);
    /* A query at position 1000 sees tokens from 489, in page 7; pages 7 to 15 are held. */
    assert_int_equal(kv_layout_bytes(&l, 1000), 16 * 3 * 65536 + 9 * 15 * 65536);
    assert_int_equal(kv_layout_bytes(&l, 574), 9 * 18 * 65536);                 /* sees token 63: page 0 stays */
    assert_int_equal(kv_layout_bytes(&l, 575), 9 * 3 * 65536 + 8 * 15 * 65536); /* sees from 64: page 0 is gone */
    assert_int_equal(kv_layout_read_bytes(&l, 1000), 16 * 3 * 65536 + 9 * 15 * 65536);
    assert_int_equal(kv_layout_read_bytes(&l, 575), 9 * 3 * 65536 + 8 * 15 * 65536);
    assert_true(kv_layout_bytes_per_token(&l) == 3072.0);
    kv_layout_free(&l);
}

static void test_layout_refuses(void **state)
{
    (void)state;
    kv_layout l;
    kv_layer layer[3] = {{.n_head_kv = 2, .k_dim = 72, .v_dim = 80},
                         {.n_head_kv = 0},
                         {.n_head_kv = 1, .k_dim = 1, .v_dim = 576}};
    assert_ok(kv_layout_make(layer, 3, KV_F16, KV_F32, &l));
    assert_int_equal(l.k_stream[1], -1);
    assert_int_equal(l.n_streams, 4);
    kv_layout_free(&l);
    assert_int_equal(kv_layout_make(layer, 1, KV_Q8, KV_F16, &l), KVASIR_E_ARGUMENT);
    assert_non_null(strstr(kvasir_message(), "72"));
    assert_non_null(strstr(kvasir_message(), "f16 and f32"));
    assert_ok(kv_layout_make(layer, 1, KV_F16, KV_Q8, &l)); /* only V packs, and 80 is fine */
    kv_layout_free(&l);
    assert_int_equal(kv_layout_make(layer, KV_MAX_LAYERS + 1, KV_F16, KV_F16, &l), KVASIR_E_FORMAT);
    assert_int_equal(kv_layout_make(layer, -1, KV_F16, KV_F16, &l), KVASIR_E_FORMAT);
    const kv_layer bad[] = {{-1, 64, 64, 0}, {1 << 20, 64, 64, 0}, {1, 0, 64, 0}, {1, 64, 577, 0}, {1, 64, 64, -5}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(kv_layout_make(&bad[i], 1, KV_F16, KV_F16, &l), KVASIR_E_FORMAT);
    }
    for (int i = 0; i < 3; i++) layer[i] = (kv_layer){1, 64, 64, 100 * i};
    assert_int_equal(kv_layout_make(layer, 3, KV_F16, KV_F16, &l), KVASIR_E_UNSUPPORTED);
    assert_ok(kv_layout_make(NULL, 0, KV_F16, KV_F16, &l));
    assert_int_equal(kv_layout_bytes(&l, 1000), 0);
    assert_int_equal(kv_layout_max_tokens(&l, 0, 0), KV_MAX_CONTEXT);
    kv_layout_free(&l);
}

/* What a sequence of n tokens holds while it takes one more. A page that this token fills is there in both forms. */
static uint64_t bytes_to_append(const kv_layout *l, int n)
{
    uint64_t bytes = kv_layout_bytes(l, n);
    if (l->type_k == KV_F16 || n < KV_PAGE_TOKENS || (n + 1) % KV_PAGE_TOKENS) return kv_layout_bytes(l, n + 1);
    for (int g = 0; g < l->n_groups; g++) bytes += l->group[g].block_bytes[KV_CLOSED];
    return bytes;
}

/* Compared with trying every length, for types that pack and for windows, whose bytes fall again. */
static void test_max_tokens(void **state)
{
    (void)state;
    static const int windows[] = {0, 1, 63, 64, 65, 100, 300, 512};
    static const kv_type types[] = {KV_F16, KV_Q8, KV_Q4};
    for (int i = 0; i < 8 * 8 * 3; i++) {
        kv_layer layer[2] = {{3, 64, 128, windows[i % 8]}, {1, 96, 64, windows[i / 8 % 8]}};
        kv_layout l;
        assert_ok(kv_layout_make(layer, 2, types[i / 64], types[i / 64], &l));
        for (uint64_t budget = 0; budget < 900000; budget += 20483) {
            int n = 0;
            while (n < 4000 && bytes_to_append(&l, n) <= budget) n++;
            int got = kv_layout_max_tokens(&l, budget, 0);
            if (n < 4000)
                assert_int_equal(got, n);
            else
                assert_true(got >= n);
            if (n == 4000 && layer[0].window && layer[1].window) assert_int_equal(got, KV_MAX_CONTEXT);
        }
        kv_layout_free(&l);
    }
}

/* ---- pool and sequences */

/* Layer 0 full, layer 1 with a window; small pages. */
static void small_layout(kv_type type, int window, kv_layout *l)
{
    const kv_layer layer[2] = {{2, 16, 16, 0}, {1, 32, 16, window}};
    assert_ok(kv_layout_make(layer, 2, type, type, l));
}

/* Fills the rows of n tokens behind the length with the byte `mark`, in every stream and head, and commits them. */
static void append(kv_seq *s, const kv_layout *l, int n, int mark)
{
    int from = kv_seq_length(s);
    assert_ok(kv_seq_reserve(s, n));
    for (int layer = 0; layer < l->n_layers; layer++) {
        kv_view view = kv_seq_view(s, layer);
        for (int stream = 0; stream < 2; stream++) {
            const kv_stream *t = stream ? view.v : view.k;
            size_t size = t->type == KV_F32 ? 4 : 2;
            for (int pos = from; pos < from + n; pos++) {
                for (int head = 0; head < t->n_heads; head++) {
                    char *rows = kv_page(&view, t, pos / 64, head);
                    for (int d = 0; d < t->head_dim; d++) {
                        int at = t->is_v ? pos % 64 * t->head_dim + d : d * 64 + pos % 64;
                        memset(rows + (size_t)at * size, mark + pos, size);
                    }
                }
            }
        }
    }
    assert_ok(kv_seq_commit(s, n));
}

static void test_bytes_are_as_planned(void **state)
{
    (void)state;
    static const int windows[] = {0, 1, 64, 65, 200},
                     lengths[] = {0, 1, 2, 63, 64, 65, 127, 128, 129, 200, 263, 264, 265, 700};
    for (int i = 0; i < 10; i++) {
        kv_layout l;
        small_layout(i % 2 ? KV_F16 : KV_F32, windows[i / 2], &l);
        for (size_t j = 0; j < sizeof lengths / sizeof *lengths; j++) {
            for (int step = 1; step <= 701; step += 100) { /* one by one, in chunks, in one go */
                kv_pool *p;
                kv_seq *s;
                assert_ok(kv_pool_create(64 << 20, &p));
                assert_ok(kv_seq_create(p, &l, 1 << 20, &s));
                for (int n = 0; n < lengths[j]; n += step) {
                    int chunk = min_int(step, lengths[j] - n);
                    assert_ok(kv_seq_reserve(s, chunk));
                    assert_ok(kv_seq_commit(s, chunk));
                }
                assert_ok(kv_check(p));
                assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, lengths[j]));
                assert_int_equal(kv_seq_bytes(s), kv_layout_bytes(&l, lengths[j]));
                assert_true(kv_pool_peak(p) >= kv_pool_used(p));
                kv_seq_free(s);
                assert_int_equal(kv_pool_used(p), 0);
                assert_ok(kv_check(p));
                kv_pool_free(p);
            }
        }
        kv_layout_free(&l);
    }
}

/* A sequence that takes a snapshot anywhere on its way never holds more than was planned, and somewhere nearly that. */
static void test_snapshots_are_planned(void **state)
{
    (void)state;
    static const int windows[] = {0, 1, 64, 65, 100, 200};
    static const kv_type types[] = {KV_F16, KV_Q8, KV_Q4};
    for (int i = 0; i < 6 * 3; i++) {
        const kv_layer layer[2] = {{2, 64, 64, 0}, {1, 32, 64, windows[i / 3]}};
        kv_layout l;
        assert_ok(kv_layout_make(layer, 2, types[i % 3], types[i % 3], &l));
        uint64_t most = 0;
        for (int mark = 1; mark <= 500; mark += 7) {
            kv_pool *p;
            kv_seq *s;
            uint64_t before = 0;
            assert_ok(kv_pool_create(64 << 20, &p));
            assert_ok(kv_seq_create(p, &l, 1000, &s));
            for (int n = 1; n <= 500; n++) {
                assert_ok(kv_seq_reserve(s, 1));
                assert_ok(kv_seq_commit(s, 1));
                if (n == mark) assert_ok(kv_seq_snapshot(s, 1));
                assert_true(kv_pool_used(p) <= kv_layout_bytes(&l, n) + kv_layout_snapshot_bytes(&l, n));
                assert_true(kv_pool_peak(p) <= kv_layout_peak_bytes(&l, n, 1));
                assert_true(kv_layout_snapshot_bytes(&l, n) >= before);
                before = kv_layout_snapshot_bytes(&l, n);
            }
            if (kv_pool_used(p) - kv_layout_bytes(&l, 500) > most) most = kv_pool_used(p) - kv_layout_bytes(&l, 500);
            assert_int_equal(kv_pool_drop_snapshots(p), 1);
            assert_int_equal(kv_pool_drop_snapshots(p), 0);
            assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 500));
            assert_ok(kv_check(p));
            kv_seq_free(s);
            kv_pool_free(p);
        }
        assert_true(most >= kv_layout_snapshot_bytes(&l, 500) / 2);
        for (uint64_t budget = 100000; budget < 900000; budget += 20483) {
            int n = 0;
            while (n < 3000 && kv_layout_peak_bytes(&l, n + 1, 1) <= budget) n++;
            if (n < 3000) assert_int_equal(kv_layout_max_tokens(&l, budget, 1), n);
        }
        kv_layout_free(&l);
    }
}

static void test_budget(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a, *b;
    char number[FORMAT_BYTES];
    small_layout(KV_F16, 0, &l);
    size_t block = l.group[0].block_bytes[KV_OPEN];
    assert_int_equal(block, 16384); /* 2 heads * (16 + 16) * 128 bytes + (32 + 16) * 128 = 14336, rounded up */
    assert_ok(kv_pool_create(5 * block + 4095, &p));
    assert_ok(kv_seq_create(p, &l, 1000, &a));
    assert_ok(kv_seq_create(p, &l, 100, &b));
    append(a, &l, 200, 1); /* four blocks */
    assert_int_equal(kv_seq_reserve(b, 65), KVASIR_E_MEMORY);
    assert_non_null(strstr(kvasir_message(), format_size(2 * block, number)));        /* needed */
    assert_non_null(strstr(kvasir_message(), format_size(block + 4095, number)));     /* free */
    assert_non_null(strstr(kvasir_message(), format_size(5 * block + 4095, number))); /* of */
    assert_int_equal(kv_seq_bytes(b), 0);
    append(b, &l, 64, 2);
    assert_int_equal(kv_seq_reserve(a, 57), KVASIR_E_MEMORY); /* 56 rows are left in its last block */
    append(a, &l, 56, 3);
    assert_int_equal(kv_pool_used(p), 5 * block);
    assert_int_equal(kv_pool_peak(p), 5 * block);
    assert_int_equal(kv_seq_reserve(b, 37), KVASIR_E_CONTEXT);
    assert_non_null(strstr(kvasir_message(), "37"));
    assert_non_null(strstr(kvasir_message(), "100"));
    assert_int_equal(kv_seq_reserve(b, -1), KVASIR_E_ARGUMENT);
    kv_seq_free(a);
    append(b, &l, 36, 4); /* what was freed can be taken again */
    assert_int_equal(kv_pool_used(p), 2 * block);
    assert_ok(kv_check(p));
    kv_seq_free(b);
    kv_pool_free(p);

    assert_ok(kv_pool_create(0, &p));
    assert_ok(kv_seq_create(p, &l, 10, &a));
    assert_int_equal(kv_seq_reserve(a, 1), KVASIR_E_MEMORY);
    kv_seq_free(a);
    assert_int_equal(kv_seq_create(p, &l, 0, &a), KVASIR_E_ARGUMENT);
    assert_int_equal(kv_seq_create(p, &l, KV_MAX_CONTEXT + 1, &a), KVASIR_E_ARGUMENT);
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* Two layouts in one pool: one budget, and blocks of the same size come from the same place. */
static void test_two_models(void **state)
{
    (void)state;
    kv_layout l, m;
    kv_pool *p;
    kv_seq *a, *b, *c;
    small_layout(KV_F16, 0, &l);
    small_layout(KV_F32, 100, &m);
    assert_ok(kv_pool_create(1 << 20, &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    assert_ok(kv_seq_create(p, &m, 4000, &b));
    assert_ok(kv_seq_create(p, &l, 4000, &c));
    append(a, &l, 300, 1);
    append(b, &m, 300, 2);
    append(c, &l, 100, 3);
    assert_ok(kv_check(p));
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 300) + kv_layout_bytes(&m, 300) + kv_layout_bytes(&l, 100));
    kv_seq_free(b);
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 300) + kv_layout_bytes(&l, 100));
    assert_int_equal(kv_seq_reserve(c, 3900), KVASIR_E_MEMORY);
    kv_seq_free(a);
    kv_seq_free(c);
    assert_ok(kv_check(p));
    kv_pool_free(p);
    kv_layout_free(&l);
    kv_layout_free(&m);
}

/* A context of 134 million tokens costs only what is in it, and the room in its last run. */
static void test_resident(void **state)
{
    (void)state;
    kv_layer q[28];
    kv_layout l;
    kv_pool *p;
    kv_seq *s;
    qwen(q);
    assert_ok(kv_layout_make(q, 28, KV_F16, KV_F16, &l));
    size_t slack = 6 << 20, before = mem_resident(); /* huge pages reach over the ends; a sanitizer keeps notes */
    size_t run = (size_t)l.group[0].run[KV_OPEN] * l.group[0].block_bytes[KV_OPEN];
    assert_true(run > 8 << 20 && run <= 16 << 20);
    assert_ok(kv_pool_create((uint64_t)1 << 40, &p));
    assert_ok(kv_seq_create(p, &l, KV_MAX_CONTEXT, &s));
    assert_true(mem_resident() < before + slack);
    for (int n = 0; n < 1216; n += 64) { /* two runs and a block */
        append(s, &l, 64, n);
        size_t now = mem_resident(), planned = (size_t)kv_layout_bytes(&l, n + 64);
        assert_true(now < before + planned + planned / 7 + run + slack);
        assert_true(now + slack > before + planned);
    }
    int kept;
    assert_ok(kv_seq_truncate(s, 64, &kept));
    assert_true(mem_resident() < before + run + slack);
    append(s, &l, 128, 1);
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 192));
    kv_seq_free(s);
    assert_true(mem_resident() < before + (3 << 20) + slack);
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* Neighbouring pages of a head lie side by side, K and V in turns, for as long as a run is. */
static void test_runs(void **state)
{
    (void)state;
    kv_layer q[28];
    kv_layout l;
    kv_pool *p;
    kv_seq *s, *t;
    qwen(q);
    assert_ok(kv_layout_make(q, 3, KV_Q8, KV_Q4, &l));
    const kv_group *g = &l.group[0];
    assert_int_equal(g->run[KV_OPEN], 1);
    assert_int_equal(g->run[KV_CLOSED], 16);
    assert_ok(kv_pool_create((uint64_t)1 << 30, &p));
    assert_ok(kv_seq_create(p, &l, 4096, &s));
    append(s, &l, 64 * 20, 1); /* page 0 is open; 19 are closed: a run of 16 and 3 more */
    for (int layer = 0; layer < 3; layer++) {
        kv_view w = kv_seq_view(s, layer);
        for (int head = 0; head < 2; head++) {
            for (int page = 1; page < 16; page++) {
                char *k = kv_page(&w, w.k, page, head), *v = kv_page(&w, w.v, page, head);
                assert_ptr_equal(v, k + w.k->page_bytes[KV_CLOSED]);
                assert_ptr_equal(kv_page(&w, w.k, page + 1, head), v + w.v->page_bytes[KV_CLOSED]);
            }
        }
    }
    /* Freed blocks are taken again from below, so that the next sequence is in one piece as well. */
    kv_view w = kv_seq_view(s, 0);
    unsigned char *lowest = w.block[1], *second = w.block[2];
    append(s, &l, 64, 1);
    assert_ok(kv_seq_create(p, &l, 4096, &t));
    append(t, &l, 64 * 3, 2);
    kv_seq_free(s);
    assert_ok(kv_check(p));
    append(t, &l, 64 * 2, 3);
    w = kv_seq_view(t, 0);
    assert_ptr_equal(w.block[3], lowest);
    assert_ptr_equal(w.block[4], second);
    kv_seq_free(t);
    assert_int_equal(kv_pool_used(p), 0);
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* Layers that differ in their head size make one piece of a block. */
static void test_mixed_layers(void **state)
{
    (void)state;
    const kv_layer layers[] = {{2, 64, 64, 0}, {4, 128, 128, 0}, {1, 64, 64, 0}},
                   alike[] = {{2, 64, 64, 0}, {4, 64, 64, 0}};
    kv_layout l;
    assert_ok(kv_layout_make(layers, 3, KV_F16, KV_F16, &l));
    assert_int_equal(l.group[0].run[KV_OPEN], 1);
    assert_int_equal(l.group[0].piece_bytes[KV_OPEN], l.group[0].block_bytes[KV_OPEN]);
    kv_pool *p;
    kv_seq *s, *f;
    int kept;
    assert_ok(kv_pool_create((uint64_t)1 << 26, &p));
    assert_ok(kv_seq_create(p, &l, 1000, &s));
    append(s, &l, 100, 5);
    assert_ok(kv_seq_fork(s, 100, &f, &kept));
    append(f, &l, 1, 6); /* copies the block */
    for (int layer = 0; layer < 3; layer++) {
        kv_view a = kv_seq_view(s, layer), b = kv_seq_view(f, layer);
        for (int head = 0; head < a.k->n_heads; head++) /* V's rows lie behind each other: 36 are the same */
            assert_memory_equal(kv_page(&a, a.v, 1, head), kv_page(&b, b.v, 1, head), (size_t)(36 * 2 * a.v->head_dim));
    }
    kv_seq_free(s);
    kv_seq_free(f);
    kv_pool_free(p);
    kv_layout_free(&l);
    assert_ok(kv_layout_make(alike, 2, KV_F16, KV_F16, &l));
    assert_int_equal(l.group[0].run[KV_OPEN], 16);
    kv_layout_free(&l);
}

/* All bytes of the pages of one layer, for comparing. */
static char *pages_of(const kv_seq *s, int layer, int page, size_t *bytes)
{
    static char copy[1 << 16];
    kv_view view = kv_seq_view(s, layer);
    size_t k = view.k->page_bytes[0], v = view.v->page_bytes[0], n = 0;
    for (int head = 0; head < view.k->n_heads; head++, n += k + v) {
        memcpy(copy + n, kv_page(&view, view.k, page, head), k);
        memcpy(copy + n + k, kv_page(&view, view.v, page, head), v);
    }
    *bytes = n;
    return copy;
}

static void test_fork(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a, *b, *c;
    int kept;
    size_t n;
    char before[1 << 16];
    small_layout(KV_F16, 0, &l);
    size_t block = l.group[0].block_bytes[KV_OPEN];
    assert_ok(kv_pool_create(100 * block, &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    append(a, &l, 150, 7);
    assert_ok(kv_seq_fork(a, 150, &b, &kept));
    assert_int_equal(kept, 150);
    assert_int_equal(kv_pool_used(p), 3 * block); /* nothing is copied yet */
    assert_int_equal(kv_seq_bytes_shared(a), 3 * block);
    assert_ptr_equal(kv_seq_view(a, 0).block[2], kv_seq_view(b, 0).block[2]);
    memcpy(before, pages_of(a, 1, 2, &n), sizeof before);

    append(b, &l, 1, 99); /* copies the page being filled, and only that */
    assert_int_equal(kv_pool_used(p), 4 * block);
    assert_int_equal(kv_seq_bytes_shared(b), 2 * block);
    assert_memory_equal(pages_of(a, 1, 2, &n), before, n);
    assert_memory_not_equal(pages_of(b, 1, 2, &n), before, n);
    assert_ptr_equal(kv_seq_view(a, 0).block[1], kv_seq_view(b, 0).block[1]);
    append(a, &l, 1, 99); /* alone with its page by now: no copy; the same rows give the same bytes */
    assert_int_equal(kv_pool_used(p), 4 * block);
    memcpy(before, pages_of(a, 1, 2, &n), sizeof before);
    assert_memory_equal(pages_of(b, 1, 2, &n), before, n);

    assert_ok(kv_seq_fork(a, 128, &c, &kept)); /* at a page boundary there is nothing to copy */
    append(c, &l, 10, 50);
    assert_int_equal(kv_pool_used(p), 5 * block);
    assert_int_equal(kv_seq_fork(a, 152, &c, &kept), KVASIR_E_ARGUMENT);
    assert_int_equal(kv_seq_fork(a, -1, &c, &kept), KVASIR_E_ARGUMENT);
    assert_ok(kv_seq_reserve(a, 1));
    kv_seq *d;
    assert_int_equal(kv_seq_fork(a, 10, &d, &kept), KVASIR_E_ARGUMENT); /* would share a page that is being written */
    assert_ok(kv_seq_commit(a, 0));
    assert_ok(kv_seq_fork(a, 10, &d, &kept));
    assert_ok(kv_check(p));
    kv_seq_free(a); /* the forks live on */
    append(d, &l, 60, 1);
    assert_memory_equal(pages_of(b, 1, 2, &n), before, n);
    assert_ok(kv_check(p));
    kv_seq_free(b);
    kv_seq_free(c);
    kv_seq_free(d);
    assert_int_equal(kv_pool_used(p), 0);
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* A copy that does not fit leaves both sequences as they were. */
static void test_fork_without_room(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a, *b;
    int kept;
    small_layout(KV_F16, 100, &l);
    assert_ok(kv_pool_create(kv_layout_bytes(&l, 128), &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    append(a, &l, 100, 7);
    assert_ok(kv_seq_fork(a, 100, &b, &kept));
    const unsigned char *shared = kv_seq_view(a, 0).block[1];
    assert_int_equal(kv_seq_reserve(b, 1), KVASIR_E_MEMORY);
    assert_int_equal(kv_seq_reserve(a, 1), KVASIR_E_MEMORY);
    assert_ptr_equal(kv_seq_view(b, 0).block[1], shared);
    assert_ok(kv_check(p));
    kv_seq_free(b);
    append(a, &l, 1, 8);
    assert_ptr_equal(kv_seq_view(a, 0).block[1], shared);
    kv_seq_free(a);
    kv_pool_free(p);
    kv_layout_free(&l);
}

static void test_truncate(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a;
    int kept = -1;
    size_t n;
    char before[1 << 16];
    small_layout(KV_F16, 0, &l);
    assert_ok(kv_pool_create(1 << 20, &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    append(a, &l, 300, 1);
    memcpy(before, pages_of(a, 0, 1, &n), sizeof before);
    assert_ok(kv_seq_truncate(a, 100, &kept));
    assert_int_equal(kept, 100);
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 100));
    append(a, &l, 28, 1); /* the same tokens give the same page */
    assert_memory_equal(pages_of(a, 0, 1, &n), before, n);
    assert_ok(kv_seq_reserve(a, 500));
    assert_ok(kv_seq_truncate(a, 128, &kept)); /* gives reserved room back */
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 128));
    assert_int_equal(kv_seq_commit(a, 1), KVASIR_E_ARGUMENT);
    assert_int_equal(kv_seq_truncate(a, 129, &kept), KVASIR_E_ARGUMENT);
    assert_int_equal(kv_seq_truncate(a, -1, &kept), KVASIR_E_ARGUMENT);
    assert_ok(kv_seq_truncate(a, 0, &kept));
    assert_int_equal(kept, 0);
    assert_int_equal(kv_pool_used(p), 0);
    append(a, &l, 300, 1);
    assert_memory_equal(pages_of(a, 0, 1, &n), before, n);
    kv_seq_free(a);
    kv_pool_free(p);
    kv_layout_free(&l);
}

static void test_windows(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a, *b;
    int kept;
    size_t n;
    char before[1 << 16];
    small_layout(KV_F16, 100, &l);
    assert_ok(kv_pool_create(1 << 20, &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    append(a, &l, 200, 1);
    assert_null(kv_seq_view(a, 1).block[0]); /* the query at 200 sees from 101 */
    assert_non_null(kv_seq_view(a, 0).block[0]);
    assert_non_null(kv_seq_view(a, 1).block[1]);
    memcpy(before, pages_of(a, 1, 2, &n), sizeof before);
    assert_ok(kv_seq_snapshot(a, 3));
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 200));
    append(a, &l, 400, 1);
    assert_null(kv_seq_view(a, 1).block[2]);
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 600) + 3 * l.group[1].block_bytes[KV_OPEN]);
    assert_int_equal(kv_seq_bytes(a), kv_pool_used(p));

    assert_ok(kv_seq_fork(a, 300, &b, &kept));
    assert_int_equal(kept, 200);
    assert_int_equal(kv_seq_n_snapshots(b), 1);
    assert_ok(kv_check(p));
    append(b, &l, 100, 55);
    assert_ok(kv_seq_truncate(a, 599, &kept)); /* its window still begins in the same page */
    assert_int_equal(kept, 599);
    assert_ok(kv_seq_truncate(a, 300, &kept));
    assert_int_equal(kept, 200);
    assert_int_equal(kv_seq_length(a), 200);
    /* page 2 had rows for the tokens 128..199 and others behind; computed again it is as it was */
    append(a, &l, 50, 1);
    assert_ok(kv_seq_truncate(a, 200, &kept));
    for (int d = 0; d < 32; d++) { /* K of layer 1: 32 rows of 64 tokens, of which 128..191 are in page 2 */
        assert_memory_equal(pages_of(a, 1, 2, &n) + d * 128, before + d * 128, 128);
    }
    assert_ok(kv_seq_truncate(a, 150, &kept)); /* below the snapshot, which goes: pages 0 and so all of it is gone */
    assert_int_equal(kept, 0);
    assert_int_equal(kv_seq_n_snapshots(a), 0);
    assert_ok(kv_check(p));

    for (int i = 0; i < 6; i++) {
        append(a, &l, 70, i);
        assert_ok(kv_seq_snapshot(a, 2));
        assert_int_equal(kv_seq_n_snapshots(a), min_int(i + 1, 2));
    }
    assert_ok(kv_seq_snapshot(a, 2)); /* twice at the same length is once */
    assert_int_equal(kv_seq_n_snapshots(a), 2);
    assert_ok(kv_seq_truncate(a, 360, &kept));
    assert_int_equal(kept, 350);
    assert_int_equal(kv_seq_n_snapshots(a), 1);
    assert_ok(kv_seq_snapshot(a, 0));
    assert_int_equal(kv_seq_n_snapshots(a), 0);
    assert_int_equal(kv_seq_snapshot(a, -1), KVASIR_E_ARGUMENT);
    kv_seq_free(b);
    assert_int_equal(kv_pool_used(p), kv_layout_bytes(&l, 350));
    assert_ok(kv_check(p));
    kv_seq_free(a);
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* Reserving and committing work inside the decode trap (a failure's message as well). */
static void test_no_allocation(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a, *b;
    int kept;
    small_layout(KV_F16, 100, &l);
    assert_ok(kv_pool_create(1 << 19, &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    append(a, &l, 10, 1);
    assert_ok(kv_seq_fork(a, 10, &b, &kept));
    unsigned before = mem_forbidden();
    mem_forbid(true);
    for (int i = 0; i < 1000; i++) {
        assert_ok(kv_seq_reserve(b, 1));
        assert_ok(kv_seq_commit(b, 1));
    }
    assert_int_equal(kv_seq_reserve(b, 2989), KVASIR_E_MEMORY);
    mem_forbid(false);
    assert_int_equal(mem_forbidden(), before);
    kv_seq_free(a);
    kv_seq_free(b);
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* kv_check is worth something only if it sees damage. */
static void test_check_sees(void **state)
{
    (void)state;
    kv_layout l;
    kv_pool *p;
    kv_seq *a, *b;
    int kept;
    small_layout(KV_F16, 100, &l);
    assert_ok(kv_pool_create(1 << 20, &p));
    assert_ok(kv_seq_create(p, &l, 4000, &a));
    append(a, &l, 300, 1);
    assert_ok(kv_seq_snapshot(a, 2));
    append(a, &l, 300, 1);
    assert_ok(kv_seq_fork(a, 600, &b, &kept));
    assert_ok(kv_seq_truncate(b, 512, &kept));
    assert_ok(kv_check(p));

#define DAMAGE(place, value)                                                                                           \
    do {                                                                                                               \
        __typeof__(place) was = place;                                                                                 \
        place = value;                                                                                                 \
        assert_int_equal(kv_check(p), KVASIR_E_INTERNAL);                                                              \
        place = was;                                                                                                   \
        assert_ok(kv_check(p));                                                                                        \
    } while (0)
    DAMAGE(a->table[0][3], NULL);
    DAMAGE(a->table[0][3], a->table[0][2]);
    DAMAGE(a->table[0][3], a->table[0][3] + 64);
    DAMAGE(a->table[1][0], a->table[0][0]);
    DAMAGE(a->table[0][10], a->table[0][0]);
    DAMAGE(a->closed[2], 1);
    DAMAGE(a->length, 599 - 64);
    DAMAGE(a->end, 700);
    DAMAGE(a->end, 590);
    DAMAGE(b->end, 513);
    DAMAGE(a->n_snapshots, 0);
    DAMAGE(a->newest, NULL);
    DAMAGE(a->newest->length, 601);
    DAMAGE(a->newest->first[1], a->newest->first[1] + 1);
    DAMAGE(a->newest->block[1][0], a->table[1][9]);
    DAMAGE(p->used, p->used + 4096);
    DAMAGE(p->peak, p->used - 1);
    DAMAGE(p->budget, p->used - 1);
    DAMAGE(p->first, a);
    for (int i = 0; i < p->n_classes; i++) {
        kv_class *c = p->class[i];
        DAMAGE(c->refs[0], c->refs[0] + 1);
        DAMAGE(c->high, c->high + 1);
        if (c->n_free == 0) continue;
        DAMAGE(c->n_free, c->n_free - 1);
        DAMAGE(c->free[0], c->high);
        DAMAGE(c->refs[c->free[0]], 1);
        if (c->n_free > 1) DAMAGE(c->free[0], c->free[1]);
    }
    kv_seq_free(a);
    kv_seq_free(b);
    assert_ok(kv_check(p));
    kv_pool_free(p);
    kv_layout_free(&l);
}

/* ---- random operations against the model */

static void test_model(void **state)
{
    (void)state;
    static kv_model m;
    static uint8_t bytes[1200]; /* 399 operations */
    uint64_t x = 88172645463325252u;
    unsigned done[8] = {0};
    for (int run = 0; run < 60; run++) {
        for (size_t i = 0; i < sizeof bytes; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            bytes[i] = (uint8_t)(x >> 32);
        }
        if (!model_run(&m, bytes, sizeof bytes)) {
            print_error("run %d, byte %zu: %s\n", run, m.at, m.wrong);
            _fail(__FILE__, __LINE__);
        }
        for (int i = 0; i < 8; i++) done[i] += m.done[i];
    }
    for (int i = 0; i < 8; i++) assert_true(done[i] > 500); /* every kind of operation had its share */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_page_bytes),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_mixed_layers),
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_layout_refuses),
        cmocka_unit_test(test_max_tokens),
        cmocka_unit_test(test_bytes_are_as_planned),
        cmocka_unit_test(test_snapshots_are_planned),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_two_models),
        cmocka_unit_test(test_resident),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_without_room),
        cmocka_unit_test(test_truncate),
        cmocka_unit_test(test_windows),
        cmocka_unit_test(test_no_allocation),
        cmocka_unit_test(test_check_sees),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
