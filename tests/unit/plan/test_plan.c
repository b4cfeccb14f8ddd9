/* src/plan: each family's formula with values worked by hand, the peer's table, sequences that share a prefix against
   the pool itself, weights and buffers against the engine, and headers that lie. */
#include "engine_rig.h"

#include "plan/peer/peer.h"

static kvasir_model *open_header(gguf_builder *b)
{
    kvasir_model *m = NULL;
    tiny_file f = tiny_write(b);
    assert_ok(kvasir_model_open(f.path, &(kvasir_model_options){.header_only = 1, .inspect_only = 1}, &m));
    tiny_remove(&f);
    return m;
}

static void key(gguf_builder *b, const char *family, const char *name, uint32_t value)
{
    char text[128];
    (void)snprintf(text, sizeof text, "%s.%s", family, name);
    gb_u32(b, text, value);
}

/* Four layers, two KV heads of 64. */
static gguf_builder header_of(const char *family)
{
    gguf_builder b = gb_new();
    gb_string(&b, "general.architecture", family);
    key(&b, family, "block_count", 4);
    key(&b, family, "context_length", 4096);
    key(&b, family, "embedding_length", 256);
    key(&b, family, "attention.head_count", 4);
    return b;
}

static gguf_builder gqa_of(const char *family)
{
    gguf_builder b = header_of(family);
    key(&b, family, "attention.head_count_kv", 2);
    return b;
}

typedef struct shape_rig {
    kvasir_model *m;
    arena memory;
    plan_shape shape;
} shape_rig;

static shape_rig read_shape(gguf_builder *b)
{
    shape_rig r = {.m = open_header(b)};
    assert_ok(plan_shape_read(r.m->gguf, &r.memory, &r.shape));
    return r;
}

static void close_shape(shape_rig *r)
{
    arena_free(&r->memory);
    kvasir_model_close(r->m);
}

static plan_kv kv_of(shape_rig *r, kv_type k, kv_type v)
{
    plan_kv kv;
    assert_ok(plan_kv_make(&r->shape, k, v, &r->memory, &kv));
    return kv;
}

static peer_table table_of(const shape_rig *r, int ctx, const char *k, const char *v)
{
    peer_table t;
    assert_ok(peer_table_make(&r->shape, ctx, 512, 1, peer_type_find(k, strlen(k)), peer_type_find(v, strlen(v)), &t));
    return t;
}

/* ---- formulas */

static void test_gqa(void **state)
{
    gguf_builder b = gqa_of("llama");
    shape_rig r = read_shape(&b);
    plan_kv kv = kv_of(&r, KV_F16, KV_F16);
    /* A block: 4 layers, K and V, 2 heads, 64 tokens of 64 halves: 131,072 bytes. */
    assert_true(kv.has_layout && kv.n_streams == 8);
    assert_int_equal(plan_kv_bytes(&kv, 1000, 1000), 16 * 131072);
    assert_int_equal(plan_kv_bytes(&kv, 1000, 130), 2 * 131072);
    assert_int_equal(plan_kv_total(&kv, 1000, 3, 130), (2 + 3 * 14) * 131072);
    assert_int_equal(plan_kv_max_tokens(&kv, 16 * 131072, 1, 0, 0), 1024);
    assert_int_equal(plan_kv_max_tokens(&kv, 16 * 131072 - 1, 1, 0, 0), 960);
    assert_int_equal(plan_kv_max_tokens(&kv, (2 + 3 * 14) * 131072, 3, 130, 0), 1024);
    plan_kv_free(&kv);
    /* 300 tokens are 512 cells of 4 * 2 * 64 elements for each of K and V. */
    peer_table t = table_of(&r, 300, "q8_0", "q5_1");
    assert_int_equal(t.n_buffers, 1);
    assert_int_equal(t.buffer[0].cells, 512);
    assert_int_equal(t.buffer[0].k_bytes, 512 * 512 / 32 * 34);
    assert_int_equal(t.buffer[0].v_bytes, 512 * 512 / 32 * 24);
    assert_int_equal(t.bytes, t.buffer[0].k_bytes + t.buffer[0].v_bytes);
    close_shape(&r);
}

static void test_windows(void **state)
{
    gguf_builder b = gqa_of("gpt-oss");
    key(&b, "gpt-oss", "attention.sliding_window", 128);
    shape_rig r = read_shape(&b);
    for (int i = 0; i < 4; i++) assert_int_equal(r.shape.layer[i].window, i % 2 ? 0 : 128);
    peer_table t = table_of(&r, 4096, "f16", "f16");
    assert_int_equal(t.n_buffers, 2);
    assert_int_equal(t.buffer[0].cells, 768); /* 128 + 512, up to a multiple of 256 */
    assert_int_equal(t.buffer[1].cells, 4096);
    assert_int_equal(table_of(&r, 256, "f16", "f16").buffer[0].cells, 256); /* never more than the context */
    plan_kv kv = kv_of(&r, KV_F16, KV_F16);
    /* At 4096 tokens a window of 128 reaches into three pages at most; 4097 - 127 = 3970 lies in page 62 of 64. */
    assert_int_equal(plan_kv_bytes(&kv, 4096, 4096), (64 + 2) * 2 * 2 * 2 * 8192);
    plan_kv_free(&kv);
    close_shape(&r);
}

static void test_gemma4(void **state)
{
    gguf_builder b = gqa_of("gemma4");
    const uint8_t slides[] = {1, 1, 0, 1};
    key(&b, "gemma4", "attention.sliding_window", 64);
    key(&b, "gemma4", "attention.key_length_swa", 32);
    key(&b, "gemma4", "attention.value_length_swa", 32);
    key(&b, "gemma4", "attention.shared_kv_layers", 1);
    gb_array_claim(&b, "gemma4.attention.sliding_window_pattern", GGUF_BOOL, 4, slides, sizeof slides);
    shape_rig r = read_shape(&b);
    assert_int_equal(r.shape.layer[0].k_dim, 32);
    assert_int_equal(r.shape.layer[2].k_dim, 64);
    assert_int_equal(r.shape.layer[3].n_head_kv, 0); /* reads the rows of a layer before it */
    peer_table t = table_of(&r, 4096, "f16", "f16");
    assert_int_equal(t.bytes, 768 * 2 * (2 * 64) * 2 + 4096 * (2 * 128) * 2);
    close_shape(&r);
}

static void test_hybrid(void **state)
{
    gguf_builder b = gqa_of("qwen35");
    key(&b, "qwen35", "ssm.conv_kernel", 4);
    key(&b, "qwen35", "ssm.inner_size", 256);
    key(&b, "qwen35", "ssm.state_size", 64);
    key(&b, "qwen35", "ssm.group_count", 2);
    shape_rig r = read_shape(&b);
    assert_int_equal(r.shape.layer[3].n_head_kv, 2);
    assert_int_equal(r.shape.layer[0].n_head_kv, 0);
    peer_table t = table_of(&r, 1024, "f16", "f16");
    /* Three layers of (4 - 1) * (256 + 2 * 2 * 64) + 64 * 256 floats. */
    assert_int_equal(t.state_bytes, 3 * 4 * (1536 + 16384));
    assert_int_equal(t.bytes, t.state_bytes + 1024 * 2 * 128 * 2);
    close_shape(&r);
}

static void test_mla(void **state)
{
    gguf_builder b = header_of("deepseek32");
    key(&b, "deepseek32", "attention.head_count_kv", 1);
    key(&b, "deepseek32", "attention.key_length", 576);
    key(&b, "deepseek32", "attention.value_length", 512);
    key(&b, "deepseek32", "attention.key_length_mla", 192);
    key(&b, "deepseek32", "attention.indexer.key_length", 128);
    shape_rig r = read_shape(&b);
    peer_table t = table_of(&r, 1024, "f16", "f16");
    assert_int_equal(t.bytes, 4 * 1024 * (576 + 128) * 2);
    plan_kv kv = kv_of(&r, KV_Q8, KV_Q4);
    assert_true(!kv.has_layout && kv.n_streams == 8); /* the pool has no layout for them yet: pages alone */
    assert_string_equal(kv.stream[0].name, "kv");
    /* 16 pages: the first open, the others closed; V is a part of K, so its type plays no part. */
    assert_int_equal(plan_kv_bytes(&kv, 1024, 1024), 4 * (73728 + 15 * 40320 + 16384 + 15 * 8960));
    plan_kv_free(&kv);
    close_shape(&r);
}

static void test_compressed(void **state)
{
    const uint32_t ratios[] = {0, 128, 4, 128};
    gguf_builder b = header_of("deepseek4");
    key(&b, "deepseek4", "attention.head_count_kv", 1);
    key(&b, "deepseek4", "attention.key_length", 512);
    key(&b, "deepseek4", "attention.value_length", 512);
    key(&b, "deepseek4", "attention.sliding_window", 128);
    key(&b, "deepseek4", "attention.indexer.key_length", 128);
    gb_array_claim(&b, "deepseek4.attention.compress_ratios", GGUF_U32, 4, ratios, sizeof ratios);
    shape_rig r = read_shape(&b);
    peer_table t = table_of(&r, 1 << 20, "f16", "f16");
    uint64_t rows = (2 * (1 << 20) / 128 + (1 << 20) / 4) * 1024 + (1 << 20) / 4 * 256;
    assert_int_equal(t.state_bytes, (2 * 512 + 64 + 16) << 10);
    assert_int_equal(t.bytes, 4 * 768 * 1024 + rows + t.state_bytes);
    plan_kv kv = kv_of(&r, KV_F16, KV_F16);
    assert_int_equal(plan_kv_bytes(&kv, 1 << 20, 1 << 20), rows + 4 * 2 * 65536);
    plan_kv_free(&kv);
    close_shape(&r);
}

/* ---- sharing, held against the pool */

static void grow(kv_seq *s, int to)
{
    while (kv_seq_length(s) < to) {
        int n = to - kv_seq_length(s) < 100 ? to - kv_seq_length(s) : 100;
        assert_ok(kv_seq_reserve(s, n));
        assert_ok(kv_seq_commit(s, n));
    }
}

static void test_shared_prefix(void **state)
{
    enum { USERS = 3, LENGTH = 500 };
    static const kv_type types[][2] = {{KV_F16, KV_F16}, {KV_Q8, KV_Q4}};
    const int prefixes[] = {1, 63, 64, 200, 256, 499, 500};
    kv_layer layers[] = {{2, 64, 64, 0}, {2, 64, 64, 100}, {1, 32, 32, 0}};
    plan_layer plain[] = {{.n_head_kv = 2, .k_dim = 64, .v_dim = 64},
                          {.n_head_kv = 2, .k_dim = 64, .v_dim = 64, .window = 100},
                          {.n_head_kv = 1, .k_dim = 32, .v_dim = 32}};
    for (size_t t = 0; t < 2; t++)
        for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
            arena memory = {0};
            plan_kv kv;
            kv_layout layout;
            kv_pool *pool;
            kv_seq *seq[USERS];
            int kept;
            const plan_shape shape = {.n_layer = 3, .layer = plain};
            assert_ok(plan_kv_make(&shape, types[t][0], types[t][1], &memory, &kv));
            assert_ok(kv_layout_make(layers, 3, types[t][0], types[t][1], &layout));
            assert_ok(kv_pool_create(64 << 20, &pool));
            assert_ok(kv_seq_create(pool, &layout, LENGTH, &seq[0]));
            grow(seq[0], prefixes[i]);
            for (int u = 1; u < USERS; u++) assert_ok(kv_seq_fork(seq[0], prefixes[i], &seq[u], &kept));
            for (int u = 0; u < USERS; u++) grow(seq[u], LENGTH);
            if (prefixes[i] < LENGTH) /* at its full length a fork shares even the page that is being filled */
                assert_int_equal(kv_pool_used(pool), plan_kv_total(&kv, LENGTH, USERS, prefixes[i]));
            for (int u = 0; u < USERS; u++) kv_seq_free(seq[u]);
            kv_pool_free(pool);
            kv_layout_free(&layout);
            plan_kv_free(&kv);
            arena_free(&memory);
        }
}

/* ---- weights and buffers, held against the engine */

static void test_engine(void **state)
{
    static const struct {
        const char *architecture;
        quant_type type;
        int n_expert, window;
        bool tied;
    } models[] = {{"llama", QUANT_Q4_K, 0, 0, false},
                  {"qwen2", QUANT_F16, 0, 0, true},
                  {"gemma3", QUANT_Q8_0, 0, 40, true},
                  {"qwen3moe", QUANT_Q5_1, 4, 0, false},
                  {"qwen3", QUANT_Q2_K, 0, 0, false}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        tiny_model t = tiny_llama();
        t.architecture = models[i].architecture, t.type = models[i].type, t.tied = models[i].tied;
        t.window = models[i].window, t.n_expert = models[i].n_expert, t.n_used = models[i].n_expert / 2;
        t.n_embd = 256, t.n_ff = 256, t.n_head = 4, t.head_dim = 64;
        rig r = rig_open(&t, &(kvasir_engine_options){.n_threads = 2, .max_batch = 48});
        kvasir_engine_info info;
        kvasir_plan *p;
        const kvasir_model *m = r.m;
        const kvasir_plan_options o = {.ctx = 100, .kv = "f16", .budget = 1 << 30, .n_threads = 2, .max_batch = 48};
        kvasir_engine_get_info(r.e, &info);
        assert_ok(kvasir_plan_make(&m, 1, &o, &p));
        assert_int_equal(p->models[0].weights_bytes, info.weights_bytes);
        assert_int_equal(p->models[0].workspace_bytes, info.workspace_bytes);
        kvasir_seq *s = rig_seq(&r, 100);
        assert_ok(rig_step(&r, s, 100, KVASIR_WANT_NONE, NULL));
        assert_int_equal(p->models[0].kv_bytes, kvasir_seq_kv_bytes(s));
        kvasir_seq_free(s);
        kvasir_plan_free(p);
        rig_close(&r);
    }
}

/* Tensors by type: what is read from the file row by row is apart, and nothing is counted twice. */
static void test_weights_by_type(void **state)
{
    for (int tied = 0; tied < 2; tied++) {
        tiny_model t = tiny_llama();
        t.tied = tied;
        tiny_file f = tiny_make(&t);
        kvasir_model *m;
        kvasir_plan *p;
        assert_ok(kvasir_model_open(f.path, NULL, &m));
        const kvasir_model *const list[] = {m};
        assert_ok(kvasir_plan_make(list, 1, &(kvasir_plan_options){.budget = 1 << 30}, &p));
        const kvasir_plan_model *pm = &p->models[0];
        uint64_t file_bytes = 0, bytes = 0;
        int n = 0, in_file = 0;
        for (int i = 0; i < pm->n_weights; i++) {
            n += pm->weights[i].n_tensors, file_bytes += pm->weights[i].file_bytes, bytes += pm->weights[i].bytes;
            in_file += pm->weights[i].in_memory ? 0 : pm->weights[i].n_tensors;
        }
        assert_int_equal(n, kvasir_model_get_info(m)->n_tensors);
        assert_int_equal(file_bytes, kvasir_model_get_info(m)->tensor_bytes);
        assert_int_equal(bytes, pm->weights_bytes);
        assert_int_equal(in_file, tied ? 0 : 1); /* token_embd, unless it is the output as well */
        kvasir_plan_free(p);
        kvasir_model_close(m);
        tiny_remove(&f);
    }
}

/* ---- headers that lie */

static void refuse(gguf_builder *b, const char *says)
{
    kvasir_model *m = open_header(b);
    arena memory = {0};
    plan_shape shape;
    kvasir_status status = plan_shape_read(m->gguf, &memory, &shape);
    if (status != KVASIR_E_FORMAT || !strstr(kvasir_message(), says)) {
        print_error("%s: %s does not say %s\n", kvasir_status_name(status), kvasir_message(), says);
        _fail(__FILE__, __LINE__);
    }
    arena_free(&memory);
    kvasir_model_close(m);
}

static void test_hostile(void **state)
{
    static const struct {
        const char *family, *key;
        uint32_t value;
    } cases[] = {
        {"qwen35", "ssm.conv_kernel", 0},
        {"qwen35", "ssm.conv_kernel", 1 << 20},
        {"gemma3", "attention.sliding_window", 0},
        {"gpt-oss", "attention.sliding_window", UINT32_MAX},
        {"llama", "attention.key_length", 0},
        {"llama", "attention.key_length", 1 << 20},
        {"llama", "attention.value_length", 1u << 31},
        {"qwen2", "attention.head_count_kv", 1 << 20},
        {"deepseek4", "attention.sliding_window", 0},
        {"llama", "nextn_predict_layers", 5},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        gguf_builder b = header_of(cases[i].family);
        key(&b, cases[i].family, cases[i].key, cases[i].value);
        refuse(&b, cases[i].key);
    }
    gguf_builder b = header_of("llama"); /* each value in its limits, the row beyond */
    key(&b, "llama", "attention.head_count_kv", 1024);
    key(&b, "llama", "attention.key_length", 4096);
    refuse(&b, "head_count_kv");
    b = header_of("llama");
    gb_array_claim(&b, "llama.attention.head_count_kv", GGUF_U32, 3, (uint32_t[]){1, 1, 1}, 12);
    refuse(&b, "3 values for 4 layers");
    b = header_of("llama");
    gb_array_claim(&b, "llama.attention.head_count_kv", GGUF_I32, 4, (int32_t[]){1, -1, 1, 1}, 16);
    refuse(&b, "-1 in layer 1");
    b = header_of("llama");
    gb_array_claim(&b, "llama.attention.head_count_kv", GGUF_F32, 4, (float[]){1, 1, 1, 1}, 16);
    refuse(&b, "integers");
}

static void test_options(void **state)
{
    gguf_builder b = gqa_of("llama");
    kvasir_model *m = open_header(&b);
    const kvasir_model *const list[] = {m};
    kvasir_plan *p = NULL;
    const kvasir_plan_options bad[] = {
        {.ctx = -1},       {.want_ctx = INT32_MAX}, {.users = -1},          {.users = 1 << 20},
        {.prefix = -1},    {.ctx = 5, .prefix = 6}, {.kv = "q9"},           {.kv = "q5_1"},
        {.peer = "other"}, {.n_threads = -1},       {.max_batch = 1 << 20}, {.n_logits = -1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(kvasir_plan_make(list, 1, &bad[i], &p), KVASIR_E_ARGUMENT);
    assert_int_equal(kvasir_plan_make(list, 0, NULL, &p), KVASIR_E_ARGUMENT);
    assert_null(p);
    assert_ok(kvasir_plan_make(list, 1, NULL, &p));
    assert_int_equal(p->models[0].ctx, 4096);
    assert_false(p->models[0].runs);
    kvasir_plan_free(p);
    kvasir_plan_free(NULL);
    kvasir_model_close(m);
}

/* Types that failed are not chosen, whatever that costs in context; those that are asked for are. */
static void test_unusable(void **state)
{
    gguf_builder b = gqa_of("llama");
    kvasir_model *m = open_header(&b);
    const kvasir_model *const list[] = {m};
    kvasir_plan *p = NULL;
    kvasir_plan_options o = {.budget = UINT64_C(1) << 30};
    assert_ok(kvasir_plan_make(list, 1, &o, &p));
    uint64_t fixed = p->total_bytes - p->models[0].kv_bytes - p->models[0].mark_bytes + p->margin,
             kv = p->models[0].kv_bytes;
    assert_string_equal(p->models[0].kv_k, "f16");
    kvasir_plan_free(p);
    static const struct {
        const char *unusable, *k, *v;
        int whole; /* the context is not shortened */
    } cases[] = {
        {NULL, "q4", "q4", 1},        {"", "q4", "q4", 1},
        {"q8,q8:q4", "q4", "q4", 1},  {"q4", "q8", "q4", 0},
        {"q8:q4,q4", "q8", "q8", 0},  {"q", "q4", "q4", 1},
        {"xq4,q4x,:", "q4", "q4", 1}, {"q4,q8,q8:q4", "f16", "f16", 0},
    };
    o.budget = fixed + kv * 2 / 5; /* q4 takes a third, q8:q4 half of it */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        o.unusable = cases[i].unusable;
        assert_ok(kvasir_plan_make(list, 1, &o, &p));
        assert_true(p->fits);
        assert_string_equal(p->models[0].kv_k, cases[i].k);
        assert_string_equal(p->models[0].kv_v, cases[i].v);
        assert_int_equal(p->models[0].ctx == 4096, cases[i].whole);
        kvasir_plan_free(p);
    }
    o.kv = "q4";
    assert_ok(kvasir_plan_make(list, 1, &o, &p));
    assert_string_equal(p->models[0].kv_k, "q4");
    kvasir_plan_free(p);
    o = (kvasir_plan_options){.budget = o.budget, .unusable = "f16,q8,q8:q4,q4"};
    assert_int_equal(kvasir_plan_make(list, 1, &o, &p), KVASIR_E_ARGUMENT);
    kvasir_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gqa),           cmocka_unit_test(test_windows), cmocka_unit_test(test_gemma4),
        cmocka_unit_test(test_hybrid),        cmocka_unit_test(test_mla),     cmocka_unit_test(test_compressed),
        cmocka_unit_test(test_shared_prefix), cmocka_unit_test(test_engine),  cmocka_unit_test(test_weights_by_type),
        cmocka_unit_test(test_hostile),       cmocka_unit_test(test_options), cmocka_unit_test(test_unusable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
