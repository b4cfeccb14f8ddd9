/* Model files that lie, where the container is sound and the lie concerns the model. kvasir_model_open refuses with one
   sentence that names the key or tensor. Files that change later give an error and leave the sequence as it was. The
   lies of the GGUF container itself are in test_gguf_hostile.c. */
#include "engine_rig.h"

#include <fcntl.h>
#include <float.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Opens what the builder holds and expects a refusal whose message says `says`. */
static void refuse(gguf_builder *b, const char *says)
{
    kvasir_model *m = NULL;
    tiny_file f = tiny_write(b);
    kvasir_status status = kvasir_model_open(f.path, NULL, &m);
    if ((status != KVASIR_E_FORMAT && status != KVASIR_E_UNSUPPORTED) || !strstr(kvasir_message(), says) ||
        strchr(kvasir_message(), '\n')) {
        print_error("%s: %s does not say %s\n", kvasir_status_name(status), status ? kvasir_message() : "it opened",
                    says);
        _fail(__FILE__, __LINE__);
    }
    assert_null(m);
    /* An inspector can still open it, and it cannot run. */
    if (kvasir_model_open(f.path, &(kvasir_model_options){.inspect_only = 1}, &m) == KVASIR_OK) {
        kvasir_engine *e;
        assert_true(kvasir_model_get_info(m)->n_problems > 0);
        assert_ok(kvasir_engine_create(&(kvasir_engine_options){.n_threads = 1, .kv_memory = 1 << 20}, &e));
        assert_int_equal(kvasir_engine_load(e, m, NULL, NULL), KVASIR_E_UNSUPPORTED);
        kvasir_engine_free(e);
        kvasir_model_close(m);
    }
    tiny_remove(&f);
}

/* Opens, loads, and runs three tokens: for files that are odd but legal. What comes of numbers that are odd may be none: then
   loading or the step says so (KVASIR_E_NOT_FINITE), and nothing else may. Returns whether it did. */
static bool run_or_no_numbers(gguf_builder *b)
{
    tiny_file f = tiny_write(b);
    kvasir_model *m;
    kvasir_engine *e;
    kvasir_seq *s;
    const int32_t ids[] = {1, 2, 3};
    assert_ok(kvasir_model_open(f.path, NULL, &m));
    assert_ok(
        kvasir_engine_create(&(kvasir_engine_options){.n_threads = 2, .kv_memory = 64 << 20, .max_batch = 8}, &e));
    kvasir_status status = kvasir_engine_load(e, m, NULL, NULL);
    if (status == KVASIR_OK) {
        assert_ok(kvasir_seq_create(e, m, NULL, &s));
        kvasir_work w = {.seq = s, .ids = ids, .n = 3, .want = KVASIR_WANT_LAST};
        status = kvasir_step(e, &w, 1);
        kvasir_seq_free(s);
    }
    if (status != KVASIR_OK && status != KVASIR_E_NOT_FINITE) print_error("%s\n", kvasir_message());
    assert_true(status == KVASIR_OK || status == KVASIR_E_NOT_FINITE);
    kvasir_engine_free(e);
    kvasir_model_close(m);
    tiny_remove(&f);
    return status != KVASIR_OK;
}

/* The same, and it must run; a token is drawn from what comes out. */
static void run(gguf_builder *b)
{
    tiny_file f = tiny_write(b);
    kvasir_model *m;
    kvasir_engine *e;
    kvasir_seq *s;
    const int32_t ids[] = {1, 2, 3};
    assert_ok(kvasir_model_open(f.path, NULL, &m));
    assert_ok(
        kvasir_engine_create(&(kvasir_engine_options){.n_threads = 2, .kv_memory = 64 << 20, .max_batch = 8}, &e));
    assert_ok(kvasir_engine_load(e, m, NULL, NULL));
    assert_ok(kvasir_seq_create(e, m, NULL, &s));
    kvasir_work w = {.seq = s, .ids = ids, .n = 3, .want = KVASIR_WANT_LAST};
    assert_ok(kvasir_step(e, &w, 1));
    kvasir_sampler *sampler;
    assert_ok(kvasir_sampler_create(m, &(kvasir_sampler_options){.temperature = 1}, &sampler));
    int32_t id = kvasir_sampler_choose(sampler, w.logits);
    assert_in_range(id, 0, kvasir_model_get_info(m)->n_vocab - 1);
    kvasir_sampler_free(sampler);
    kvasir_seq_free(s);
    kvasir_engine_free(e);
    kvasir_model_close(m);
    tiny_remove(&f);
}

static tiny_model model_of(const char *architecture)
{
    tiny_model t = tiny_llama();
    t.architecture = architecture;
    if (!strcmp(architecture, "qwen3moe")) t.n_expert = 4, t.n_used = 2;
    if (!strcmp(architecture, "gemma3")) t.window = 40;
    return t;
}

static gguf_builder without(const char *architecture, const char *omit)
{
    tiny_model t = model_of(architecture);
    t.omit = omit;
    return tiny_build(&t);
}

/* ---- keys ---- */

typedef struct key_case {
    const char *architecture, *key;
    bool required, zero_is_fine;
} key_case;

static const key_case integer_keys[] = {
    {"llama", "llama.block_count", true, false},
    {"llama", "llama.embedding_length", true, false},
    {"llama", "llama.context_length", true, false},
    {"llama", "llama.attention.head_count", true, false},
    {"llama", "llama.attention.head_count_kv", false, false},
    {"llama", "llama.attention.key_length", false, false},
    {"llama", "llama.attention.value_length", false, false},
    {"llama", "llama.feed_forward_length", true, false},
    {"llama", "llama.rope.dimension_count", false, false},
    {"llama", "llama.rope.scaling.original_context_length", false, false},
    {"qwen3moe", "qwen3moe.expert_count", true, false},
    {"qwen3moe", "qwen3moe.expert_used_count", true, false},
    {"qwen3moe", "qwen3moe.expert_feed_forward_length", true, false},
    {"gemma3", "gemma3.attention.sliding_window", false, true}, /* 0, as no key: there is no window */
};

static void test_integer_keys(void **state)
{
    const uint64_t large[] = {UINT32_MAX, 1ull << 31, (1ull << 32) + 2, UINT64_MAX, 1u << 28};
    for (size_t i = 0; i < sizeof integer_keys / sizeof *integer_keys; i++) {
        const key_case *c = &integer_keys[i];
        gguf_builder b;
        if (c->required) b = without(c->architecture, c->key), refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_string(&b, c->key, "4"), refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_f32(&b, c->key, 4), refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_bool(&b, c->key, 1), refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_u32(&b, c->key, 0);
        if (c->zero_is_fine)
            run(&b);
        else
            refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_i32(&b, c->key, -4), refuse(&b, c->key);
        for (size_t k = 0; k < sizeof large / sizeof *large; k++)
            b = without(c->architecture, c->key), gb_u64(&b, c->key, large[k]), refuse(&b, c->key);
    }
}

static void test_float_keys(void **state)
{
    static const key_case keys[] = {
        {"llama", "llama.attention.layer_norm_rms_epsilon", true, true},
        {"llama", "llama.rope.freq_base", false, false},
        {"gemma3", "gemma3.rope.freq_base_swa", false, false},
        {"llama", "llama.rope.scale_linear", false, true},
        {"llama", "llama.rope.scaling.factor", false, true},
        {"llama", "llama.rope.scaling.attn_factor", false, true},
        {"llama", "llama.rope.scaling.yarn_ext_factor", false, true},
        {"llama", "llama.rope.scaling.yarn_attn_factor", false, true},
        {"llama", "llama.rope.scaling.yarn_beta_fast", false, true},
        {"llama", "llama.rope.scaling.yarn_beta_slow", false, true},
    };
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY, -1, -FLT_MAX, FLT_MAX, 1e13f};
    const float odd[] = {FLT_TRUE_MIN, 0, 1e-30f, 1};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const key_case *c = &keys[i];
        gguf_builder b;
        if (c->required) b = without(c->architecture, c->key), refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_string(&b, c->key, "1"), refuse(&b, c->key);
        b = without(c->architecture, c->key), gb_u32(&b, c->key, 1), refuse(&b, c->key);
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            b = without(c->architecture, c->key), gb_f32(&b, c->key, bad[k]), refuse(&b, c->key);
            b = without(c->architecture, c->key), gb_f64(&b, c->key, (double)bad[k] * 2), refuse(&b, c->key);
        }
        if (!c->zero_is_fine) b = without(c->architecture, c->key), gb_f32(&b, c->key, 0), refuse(&b, c->key);
        for (size_t k = 0; c->zero_is_fine && k < sizeof odd / sizeof *odd; k++) { /* any result will do */
            b = without(c->architecture, c->key);
            gb_f32(&b, c->key, odd[k]);
            gb_string(&b, "llama.rope.scaling.type", "yarn");
            (void)run_or_no_numbers(&b);
        }
    }
    gguf_builder b = without("llama", NULL);
    gb_string(&b, "llama.rope.scaling.type", "longrope\x1b");
    refuse(&b, "llama.rope.scaling.type");
}

/* Heads of various sizes, and sizes that do not fit each other. */
static void test_heads(void **state)
{
    static const struct {
        int n_head, n_head_kv, head_dim;
        const char *says; /* NULL: it runs */
    } cases[] = {
        {4, 3, 16, "head_count_kv"},
        {4, 8, 16, "head_count_kv"},
        {4, 4, 16, NULL},
        {4, 1, 16, NULL},
        {6, 2, 2, NULL},
        {2, 1, 6, NULL},
        {3, 1, 10, NULL},
        {1, 1, 34, NULL},
        {2, 2, 1, "key_length"},
        {2, 2, 15, "head size 15"},
        {2, 2, 575, "head size 575"},
        {1, 1, 576, NULL},
        {2, 2, 577, "key_length"},
        {1023, 11, 2, NULL},
        {1024, 1024, 2, NULL},
        {1025, 1, 2, "head_count"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        tiny_model t = model_of("qwen3");
        t.n_head = cases[i].n_head, t.n_head_kv = cases[i].n_head_kv, t.head_dim = cases[i].head_dim, t.n_layer = 1;
        gguf_builder b = tiny_build(&t);
        if (cases[i].says)
            refuse(&b, cases[i].says);
        else
            run(&b);
    }
    gguf_builder b = without("llama", "llama.attention.value_length");
    gb_u32(&b, "llama.attention.value_length", 32);
    refuse(&b, "value_length");
    b = without("llama", "llama.attention.key_length"); /* then it is 64 / 4, as it was */
    run(&b);
    b = without("llama", NULL);
    gb_u32(&b, "llama.rope.dimension_count", 18);
    refuse(&b, "rope.dimension_count");
    b = without("llama", NULL);
    gb_u32(&b, "llama.rope.dimension_count", 15);
    refuse(&b, "rope.dimension_count");
    b = without("llama", NULL);
    gb_u32(&b, "llama.rope.dimension_count", 2);
    run(&b);
}

static void put_array(gguf_builder *b, const char *key, uint32_t type, int n, const int32_t *v)
{
    gb_array_claim(b, key, type, (uint64_t)n, v, sizeof *v * (size_t)n);
}

/* Counts that are given per layer. */
static void test_layer_arrays(void **state)
{
    const char *const keys[] = {"llama.attention.head_count", "llama.attention.head_count_kv",
                                "llama.feed_forward_length"};
    const int32_t right[3][3] = {{4, 4, 4}, {2, 2, 2}, {96, 96, 96}};
    for (int i = 0; i < 3; i++) {
        const char *key = keys[i];
        int32_t mixed[] = {right[i][0], right[i][0] / 2}, negative[] = {-2, -2}, zero[] = {0, 0};
        gguf_builder b;
        b = without("llama", key), put_array(&b, key, GGUF_I32, 2, right[i]), run(&b);
        b = without("llama", key), put_array(&b, key, GGUF_U32, 3, right[i]), run(&b);
        b = without("llama", key), put_array(&b, key, GGUF_I32, 1, right[i]), refuse(&b, key);
        b = without("llama", key), put_array(&b, key, GGUF_I32, 0, right[i]), refuse(&b, key);
        b = without("llama", key), put_array(&b, key, GGUF_F32, 2, right[i]), refuse(&b, key);
        b = without("llama", key), put_array(&b, key, GGUF_I32, 2, mixed), refuse(&b, key);
        b = without("llama", key), put_array(&b, key, GGUF_I32, 2, negative), refuse(&b, key);
        b = without("llama", key), put_array(&b, key, GGUF_I32, 2, zero), refuse(&b, key);
        b = without("llama", key), gb_strings(&b, key, (const char *const[]){"4", "4"}, 2), refuse(&b, key);
    }
}

static void test_architecture(void **state)
{
    gguf_builder b = without("llama", "general.architecture");
    refuse(&b, "general.architecture");
    b = without("llama", "general.architecture");
    gb_u32(&b, "general.architecture", 7);
    refuse(&b, "general.architecture");
    const char *const unknown[] = {"mamba", "", "llam", "llama2", "Llama", "%s%n", "../llama"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        b = without("llama", "general.architecture");
        gb_string(&b, "general.architecture", unknown[i]);
        refuse(&b, "gemma3, llama, qwen2, qwen3, qwen3moe");
    }
    b = without("llama", "general.architecture");
    gb_string_claim(&b, "general.architecture", 6, "llama", 6); /* with its NUL */
    refuse(&b, "supported: ");
    b = without("qwen2", NULL);
    gb_u32(&b, "qwen2.expert_count", 4);
    gb_u32(&b, "qwen2.expert_used_count", 2);
    refuse(&b, "qwen2.expert_count");
}

static void test_experts(void **state)
{
    const int counts[][2] = {{4, 5}, {4096, 2}, {1, 2}};
    const char *const says[] = {"expert_used_count", "ffn_gate_inp", "expert_used_count"};
    for (int i = 0; i < 3; i++) {
        tiny_model t = model_of("qwen3moe");
        gguf_builder b = gb_new();
        t.omit = "qwen3moe.expert_count";
        b = tiny_build(&t);
        gb_u32(&b, "qwen3moe.expert_count", (uint32_t)counts[i][0]);
        if (counts[i][1] != 2) {
            t.n_used = counts[i][1];
            gb_free(&b);
            b = tiny_build(&t);
            gb_u32(&b, "qwen3moe.expert_count", (uint32_t)counts[i][0]);
        }
        refuse(&b, says[i]);
    }
    tiny_model t = model_of("llama"); /* Mixtral's way */
    t.n_expert = 1, t.n_used = 1;
    t.omit = "llama.expert_feed_forward_length";
    gguf_builder b = tiny_build(&t);
    run(&b);
}

/* ---- tensors ---- */

static void check_tensor(const char *architecture, const char *name, int dims, uint64_t d0, uint64_t d1, uint64_t d2)
{
    gguf_builder b = without(architecture, name);
    const uint64_t wrong[][4] = {{d0 + 1, d1, d2, 1}, {d0, d1 + 1, d2, 1}, {d0, d1, d2 + 1, 1},
                                 {d0, d1, d2, 2},     {d1 + 3, d0, d2, 1}, {1, 1, 1, 1}};
    refuse(&b, name);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        b = without(architecture, name);
        gb_tensor(&b, name, QUANT_F32, 4, wrong[i], NULL);
        refuse(&b, name);
    }
    for (quant_type type = QUANT_I8; type <= QUANT_I64; type++) {
        b = without(architecture, name);
        gb_tensor(&b, name, type, (uint32_t)dims, (uint64_t[]){d0, d1, d2}, NULL);
        refuse(&b, name);
    }
    b = without(architecture, name); /* rows that are not whole blocks */
    gb_info(&b, name, 2, (uint64_t[]){d0 + 1, d1}, 2, QUANT_Q4_K, b.data.n);
    refuse(&b, name);
}

static void test_tensors(void **state)
{
    const struct {
        const char *architecture, *name;
        int dims;
        uint64_t d0, d1, d2;
    } tensors[] = {
        {"llama", "token_embd.weight", 2, 64, 90, 1},
        {"llama", "output_norm.weight", 1, 64, 1, 1},
        {"llama", "blk.0.attn_norm.weight", 1, 64, 1, 1},
        {"llama", "blk.1.attn_q.weight", 2, 64, 64, 1},
        {"llama", "blk.1.attn_k.weight", 2, 64, 32, 1},
        {"llama", "blk.0.attn_v.weight", 2, 64, 32, 1},
        {"llama", "blk.0.attn_output.weight", 2, 64, 64, 1},
        {"llama", "blk.0.ffn_norm.weight", 1, 64, 1, 1},
        {"llama", "blk.0.ffn_gate.weight", 2, 64, 96, 1},
        {"llama", "blk.1.ffn_up.weight", 2, 64, 96, 1},
        {"llama", "blk.1.ffn_down.weight", 2, 96, 64, 1},
        {"qwen3", "blk.0.attn_q_norm.weight", 1, 16, 1, 1},
        {"qwen3", "blk.1.attn_k_norm.weight", 1, 16, 1, 1},
        {"gemma3", "blk.1.post_attention_norm.weight", 1, 64, 1, 1},
        {"gemma3", "blk.0.post_ffw_norm.weight", 1, 64, 1, 1},
        {"qwen3moe", "blk.0.ffn_gate_inp.weight", 2, 64, 4, 1},
        {"qwen3moe", "blk.0.ffn_gate_exps.weight", 3, 64, 96, 4},
        {"qwen3moe", "blk.1.ffn_up_exps.weight", 3, 64, 96, 4},
        {"qwen3moe", "blk.1.ffn_down_exps.weight", 3, 96, 64, 4},
    };
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
        check_tensor(tensors[i].architecture, tensors[i].name, tensors[i].dims, tensors[i].d0, tensors[i].d1,
                     tensors[i].d2);
    gguf_builder b = without("llama", "llama.block_count"); /* more layers than tensors */
    gb_u32(&b, "llama.block_count", 3);
    refuse(&b, "blk.2.attn_norm.weight");
    b = without("llama", "output.weight"); /* tied then */
    run(&b);
    b = without("llama", "output.weight");
    gb_tensor(&b, "output.weight", QUANT_F32, 2, (uint64_t[]){64, 91}, NULL);
    refuse(&b, "output.weight");
    b = without("qwen2", "blk.0.attn_q.bias"); /* biases may be missing, not of another length */
    run(&b);
    b = without("qwen2", "blk.0.attn_q.bias");
    gb_tensor(&b, "blk.0.attn_q.bias", QUANT_F32, 1, (uint64_t[]){63}, NULL);
    refuse(&b, "blk.0.attn_q.bias");
    b = without("llama", NULL);
    gb_tensor(&b, "rope_freqs.weight", QUANT_F32, 1, (uint64_t[]){9}, NULL);
    refuse(&b, "rope_freqs.weight");
    b = without("llama", NULL); /* zeros: every frequency is infinite */
    gb_tensor(&b, "rope_freqs.weight", QUANT_F32, 1, (uint64_t[]){8}, NULL);
    assert_true(run_or_no_numbers(&b));
}

/* Weights that are not numbers must neither trap nor hang, and are never an answer. */
static void test_nan_weights(void **state)
{
    const char *const architectures[] = {"llama", "gemma3", "qwen3moe"};
    const char *const names[] = {"token_embd.weight", "blk.0.attn_k.weight", "blk.0.ffn_norm.weight",
                                 "blk.1.ffn_gate_inp.weight"};
    const float fills[] = {NAN, INFINITY, -FLT_MAX};
    for (int a = 0; a < 3; a++)
        for (int n = 0; n < 4; n++)
            for (int f = 0; f < 3; f++) {
                bool vector = strstr(names[n], "norm") != NULL, router = strstr(names[n], "inp") != NULL;
                if (router && a != 2) continue;
                uint64_t rows = vector ? 1 : router ? 4 : n ? 32 : 90;
                float *values = malloc(sizeof *values * 64 * rows);
                for (uint64_t i = 0; i < 64 * rows; i++) values[i] = fills[f];
                gguf_builder b = without(architectures[a], names[n]);
                gb_tensor(&b, names[n], QUANT_F32, vector ? 1 : 2, (uint64_t[]){64, rows}, values);
                bool none = run_or_no_numbers(&b);
                assert_true(none || isfinite(fills[f]));
                free(values);
            }
}

/* ---- the vocabulary ---- */

static void test_vocabulary(void **state)
{
    gguf_builder b = without("llama", "tokenizer.ggml.tokens"); /* fewer tokens than rows, and more */
    gb_strings(&b, "tokenizer.ggml.tokens", (const char *const[]){"a", "b", "c"}, 3);
    refuse(&b, "token_embd.weight");
    tiny_model t = model_of("llama");
    t.omit = "token_embd.weight";
    b = tiny_build(&t);
    gb_tensor(&b, "token_embd.weight", QUANT_F32, 2, (uint64_t[]){64, 89}, NULL);
    refuse(&b, "token_embd.weight");
    b = without("llama", "tokenizer.ggml.tokens");
    refuse(&b, "tokenizer.ggml.tokens");
    b = without("llama", "tokenizer.ggml.model");
    refuse(&b, "tokenizer.ggml.model");
    b = without("llama", "tokenizer.ggml.model");
    gb_string(&b, "tokenizer.ggml.model", "t5");
    refuse(&b, "t5");
    b = without("llama", "tokenizer.ggml.eos_token_id");
    gb_u32(&b, "tokenizer.ggml.eos_token_id", 90); /* left out, with a note */
    run(&b);
    b = without("llama", "tokenizer.ggml.token_type");
    put_array(&b, "tokenizer.ggml.token_type", GGUF_I32, 3, (const int32_t[]){1, 1, 1});
    refuse(&b, "tokenizer.ggml.token_type");
}

/* A vocabulary whose token 5 is n bytes long, and says that it has `claim`. */
static gguf_builder long_token(size_t n, uint64_t claim)
{
    char *text = malloc(n);
    gguf_builder b = without("llama", "tokenizer.ggml.tokens");
    memset(text, 'x', n);
    gb_array_claim(&b, "tokenizer.ggml.tokens", GGUF_STRING, 90, NULL, 0);
    for (int i = 0; i < 90; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "t%d", i);
        if (i == 5)
            gb_put_text(&b.kv, claim, text, n);
        else
            gb_put_text(&b.kv, strlen(name), name, strlen(name));
    }
    free(text);
    return b;
}

/* CVE-2025-49847: the length of a token's text was narrowed to 32 bits where it was compared with a buffer. */
static void test_cve_2025_49847(void **state)
{
    gguf_builder b = long_token(5000, 5000);
    refuse(&b, "token 5 has 5000 bytes");
    const uint64_t claims[] = {1ull << 31, (1ull << 32) + 4, UINT64_MAX, UINT64_MAX - 8};
    for (int i = 0; i < 4; i++) {
        b = long_token(8, claims[i]);
        refuse(&b, "claims");
    }
    b = long_token(4096, 4096); /* the longest: whole in every answer, never cut */
    tiny_file f = tiny_write(&b);
    kvasir_model *m;
    char *text;
    size_t n;
    assert_ok(kvasir_model_open(f.path, NULL, &m));
    assert_ok(kvasir_detokenize(m, (const int32_t[]){5, 5}, 2, 1, &text, &n));
    assert_int_equal(n, 8192);
    kvasir_free(text);
    kvasir_model_close(m);
    tiny_remove(&f);
}

/* CVE-2025-52566: the number of tokens, a size_t, was compared as a signed 32-bit number with the room for them. */
static void test_cve_2025_52566(void **state)
{
    tiny_model t = tiny_llama();
    t.bytes = true, t.n_vocab = 260;
    tiny_file f = tiny_make(&t);
    kvasir_model *m;
    int32_t *ids = NULL;
    size_t n = 0;
    const size_t lengths[] = {((size_t)1 << 30) + 1, (size_t)INT32_MAX, (size_t)INT32_MAX + 1, ((size_t)1 << 32) + 1,
                              SIZE_MAX};
    assert_ok(kvasir_model_open(f.path, NULL, &m));
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) /* refused before the text is looked at */
        assert_fails(KVASIR_E_ARGUMENT, "bytes", kvasir_tokenize(m, "x", lengths[i], 1, 1, &ids, &n));
    char *text = malloc(1 << 20);
    memset(text, 'q', 1 << 20);
    assert_ok(kvasir_tokenize(m, text, 1 << 20, 0, 0, &ids, &n));
    assert_int_equal(n, 1 << 20);
    const int32_t bad[] = {-1, 260, INT32_MAX, INT32_MIN};
    char *back;
    for (int i = 0; i < 4; i++)
        assert_fails(KVASIR_E_ARGUMENT, "outside", kvasir_detokenize(m, bad + i, 1, 1, &back, &n));
    kvasir_free(ids);
    free(text);
    kvasir_model_close(m);
    tiny_remove(&f);
}

/* CVE-2026-27940 and CVE-2026-33298: sums and products of tensor sizes that wrap, in a file that is
   a model otherwise. */
static void test_cve_2026_sizes(void **state)
{
    const uint64_t dims[][4] = {{1ull << 62, 1, 1, 1},
                                {64, 1ull << 58, 1, 1},
                                {64, 1ull << 57, 2, 1},
                                {1ull << 32, 1ull << 32, 1, 1},
                                {64, (1ull << 42) + 1, 1, 1 << 18},
                                {64, INT64_MAX, INT64_MAX, INT64_MAX}};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        gguf_builder b = without("llama", "blk.0.ffn_up.weight");
        gb_pad(&b.data, 32);
        gb_info(&b, "blk.0.ffn_up.weight", 4, dims[i], 4, QUANT_F32, b.data.n);
        refuse(&b, "blk.0.ffn_up.weight");
    }
    gguf_builder b = without("llama", NULL);
    gb_info(&b, "a", 1, (uint64_t[]){INT64_MAX - 31}, 1, QUANT_I8, 0);
    gb_info(&b, "b", 1, (uint64_t[]){INT64_MAX - 63}, 1, QUANT_I8, 1ull << 63);
    refuse(&b, "overflow");
}

/* ---- files that change ---- */

static void test_shrinks_before_load(void **state)
{
    const tiny_model t = tiny_llama();
    for (int i = 0; i < 4; i++) {
        tiny_file f = tiny_make(&t);
        kvasir_model *m;
        kvasir_engine *e;
        size_t keep[] = {f.bytes - 1, f.bytes / 2, f.header_bytes + 100, 0};
        assert_ok(kvasir_model_open(f.path, NULL, &m));
        assert_ok(kvasir_engine_create(&(kvasir_engine_options){.n_threads = 2, .kv_memory = 1 << 20}, &e));
        assert_int_equal(ftruncate(f.fd, (off_t)keep[i]), 0);
        assert_fails(KVASIR_E_FORMAT, "shrank", kvasir_engine_load(e, m, NULL, NULL));
        float *values = malloc(sizeof *values * 64 * 90);
        assert_fails(KVASIR_E_FORMAT, "shrank", kvasir_model_tensor_read(m, "output.weight", values));
        free(values);
        kvasir_engine_free(e);
        kvasir_model_close(m);
        tiny_remove(&f);
    }
}

/* Embedding rows are read at every step. */
/* The same size, other bytes: a mixture of two models would answer. Names that come and go are no change. */
static void test_changes_before_load(void **state)
{
    gguf_builder b = without("llama", NULL);
    size_t n;
    unsigned char *bytes = gb_finish(&b, &n);
    char path[] = "/tmp/kvasir-changes-XXXXXX", other[64];
    const int fd = mkstemp(path);
    kvasir_engine *e;
    assert_true(fd >= 0 && write(fd, bytes, n) == (ssize_t)n && close(fd) == 0);
    free(bytes);
    (void)snprintf(other, sizeof other, "%s.link", path);
    assert_ok(kvasir_engine_create(&(kvasir_engine_options){.n_threads = 1, .kv_memory = 1 << 20}, &e));
    for (int changes = 0; changes < 3; changes++) {
        kvasir_model *m;
        const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1000000000 + changes}};
        assert_ok(kvasir_model_open(path, NULL, &m));
        if (changes == 0) assert_int_equal(link(path, other), 0);
        if (changes == 1) assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
        const struct timespec tick = {.tv_nsec = 30000000}; /* the file system's clock is that coarse */
        if (changes == 2) (void)nanosleep(&tick, NULL);
        if (changes == 2) assert_int_equal(chmod(path, 0600), 0); /* as after a write whose time was set back */
        kvasir_status status = kvasir_engine_load(e, m, NULL, NULL);
        assert_int_equal(status, changes ? KVASIR_E_FORMAT : KVASIR_OK);
        if (changes) assert_non_null(strstr(kvasir_message(), "was changed while it was being read"));
        if (!changes) kvasir_engine_free(e), e = NULL;
        kvasir_model_close(m);
        if (!e) assert_ok(kvasir_engine_create(&(kvasir_engine_options){.n_threads = 1, .kv_memory = 1 << 20}, &e));
    }
    kvasir_engine_free(e);
    (void)unlink(other);
    (void)unlink(path);
}

static void test_shrinks_before_step(void **state)
{
    const tiny_model t = tiny_llama();
    rig r = rig_open(&t, &(kvasir_engine_options){.n_threads = 2, .max_batch = 16});
    size_t n;
    gguf_builder b = tiny_build(&t);
    unsigned char *bytes = gb_finish(&b, &n);
    kvasir_seq *s = rig_seq(&r, 300);
    rig_feed(&r, s, 70);
    uint64_t used = rig_kv_used(&r);
    assert_int_equal(ftruncate(r.file.fd, (off_t)r.file.header_bytes), 0);
    assert_fails(KVASIR_E_FORMAT, "token_embd.weight", rig_step(&r, s, 1, KVASIR_WANT_LAST, NULL));
    assert_fails(KVASIR_E_FORMAT, "token_embd.weight", rig_step(&r, s, 100, KVASIR_WANT_LAST, NULL));
    assert_int_equal(kvasir_seq_length(s), 70);
    assert_int_equal(rig_kv_used(&r), used);
    assert_int_equal(pwrite(r.file.fd, bytes, n, 0), n); /* it is back: nothing was lost */
    rig_check_next(&r, s);
    free(bytes);
    kvasir_seq_free(s);
    rig_close(&r);
}

/* ---- split files ---- */

/* Keeps the tensors first..end-1 of a finished model and writes them as part `no` of `count`. */
static void write_part(const char *path, const tiny_model *t, const gguf *g, int first, int end, int no, int count)
{
    gguf_builder b = gb_new();
    if (no == 0) tiny_keys(&b, t);
    gb_scalar(&b, "split.no", GGUF_U16, &(uint16_t){(uint16_t)no}, 2);
    gb_scalar(&b, "split.count", GGUF_U16, &(uint16_t){(uint16_t)count}, 2);
    gb_i32(&b, "split.tensors.count", gguf_n_tensors(g));
    for (int i = first; i < end; i++) {
        const gguf_tensor *tensor = gguf_tensor_at(g, i);
        uint64_t dims[4];
        unsigned char *data = malloc(tensor->bytes);
        for (int d = 0; d < 4; d++) dims[d] = (uint64_t)tensor->shape[d];
        assert_ok(file_read(tensor->file, tensor->offset, data, tensor->bytes));
        gb_tensor(&b, tensor->name.s, tensor->type, (uint32_t)tensor->n_dims, dims, data);
        free(data);
    }
    gb_write(&b, path);
}

/* A model in three files gives the bits of the one file. */
static void test_split(void **state)
{
    enum { PARTS = 3 };
    tiny_model t = tiny_llama();
    t.type = QUANT_Q4_0;
    rig r = rig_open(&t, &(kvasir_engine_options){.n_threads = 2}), split = {.n_vocab = r.n_vocab};
    char folder[] = "/tmp/kvasir-split-XXXXXX", path[PARTS][64];
    gguf *g;
    assert_non_null(mkdtemp(folder));
    assert_ok(gguf_open(r.file.path, false, &g));
    int n = gguf_n_tensors(g);
    for (int i = 0; i < PARTS; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s/m-%05d-of-%05d.gguf", folder, i + 1, PARTS);
        write_part(path[i], &t, g, n * i / PARTS, n * (i + 1) / PARTS, i, PARTS);
    }
    gguf_free(g);
    assert_ok(kvasir_model_open(path[0], NULL, &split.m));
    assert_int_equal(kvasir_model_get_info(split.m)->n_files, PARTS);
    assert_ok(kvasir_engine_create(&(kvasir_engine_options){.n_threads = 2, .kv_memory = 64 << 20}, &split.e));
    assert_ok(kvasir_engine_load(split.e, split.m, NULL, NULL));
    float *want = rig_logits(&r, 99), *got = rig_logits(&split, 99);
    assert_memory_equal(want, got, sizeof(float) * (size_t)r.n_vocab);
    free(want);
    free(got);
    kvasir_engine_free(split.e);
    kvasir_model_close(split.m);
    assert_int_equal(unlink(path[2]), 0); /* a part is missing */
    split.m = NULL;
    assert_int_equal(kvasir_model_open(path[0], NULL, &split.m), KVASIR_E_IO);
    assert_message("00003-of-00003");
    assert_null(split.m);
    for (int i = 0; i < PARTS - 1; i++) (void)unlink(path[i]);
    (void)rmdir(folder);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_keys),
        cmocka_unit_test(test_float_keys),
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_layer_arrays),
        cmocka_unit_test(test_architecture),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_nan_weights),
        cmocka_unit_test(test_vocabulary),
        cmocka_unit_test(test_cve_2025_49847),
        cmocka_unit_test(test_cve_2025_52566),
        cmocka_unit_test(test_cve_2026_sizes),
        cmocka_unit_test(test_changes_before_load),
        cmocka_unit_test(test_shrinks_before_load),
        cmocka_unit_test(test_shrinks_before_step),
        cmocka_unit_test(test_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
