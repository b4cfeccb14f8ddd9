/* Whole tiny models with seeded random weights, made with gguf_builder.h: what the tests of the engine, of
   hostile files and the fuzzer's seeds are made from.

       tiny_model t = tiny_llama();
       t.omit = "llama.block_count";     -- leave a key or tensor out, and
       gguf_builder b = tiny_build(&t);
       gb_u32(&b, t.omit, 0);            -- perhaps write another in its place
       tiny_file f = tiny_write(&b);     -- f.path opens; tiny_remove(&f) afterwards */
#ifndef KVASIR_MODEL_BUILDER_H
#define KVASIR_MODEL_BUILDER_H

#include "gguf_builder.h"

#include "base/half.h"
#include "quant/blocks.h"
#include "tok/internal.h"
#include "tok/utf8.h"

#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct tiny_model {
    const char *architecture;
    int n_layer, n_embd, n_head, n_head_kv, head_dim, n_ff, n_vocab, n_ctx, n_expert, n_used, window;
    quant_type type; /* of the matrices */
    bool decoded;    /* the matrices' values, written as F32 */
    bool tied;       /* no output.weight */
    bool bytes;      /* the vocabulary begins with the 256 bytes; else it is syllables */
    uint64_t seed;
    const char *omit;
} tiny_model;

static inline tiny_model tiny_llama(void)
{
    return (tiny_model){.architecture = "llama",
                        .n_layer = 2,
                        .n_embd = 64,
                        .n_head = 4,
                        .n_head_kv = 2,
                        .head_dim = 16,
                        .n_ff = 96,
                        .n_vocab = 90,
                        .n_ctx = 4096,
                        .type = QUANT_F32,
                        .seed = 1};
}

/* ---- random numbers and blocks ---- */

static inline uint64_t tiny_next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u; /* SplitMix64 */
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Uniform in -1 to 1. */
static inline float tiny_uniform(uint64_t *state)
{
    return (float)((double)(tiny_next(state) >> 11) * 0x1p-52 - 1);
}

/* Where a block has its f16 scale and its minimum. The minimum puts the middle of the values at about zero. */
typedef struct tiny_scale_place {
    quant_type type;
    size_t d, m; /* m 0: none */
    float middle;
} tiny_scale_place;

static inline const tiny_scale_place *tiny_scale_place_of(quant_type type)
{
#define AT(name) QUANT_##name, offsetof(block_##name, d)
    static const tiny_scale_place places[] = {
        {AT(Q4_0), 0, 0},
        {AT(Q5_0), 0, 0},
        {AT(Q8_0), 0, 0},
        {AT(Q1_0), 0, 0},
        {AT(Q3_K), 0, 0},
        {AT(Q6_K), 0, 0},
        {AT(TQ1_0), 0, 0},
        {AT(TQ2_0), 0, 0},
        {AT(IQ1_S), 0, 0},
        {AT(IQ2_S), 0, 0},
        {AT(IQ2_XS), 0, 0},
        {AT(IQ2_XXS), 0, 0},
        {AT(IQ3_S), 0, 0},
        {AT(IQ3_XXS), 0, 0},
        {AT(IQ4_NL), 0, 0},
        {AT(IQ4_XS), 0, 0},
        {AT(Q4_1), offsetof(block_Q4_1, m), -7.5f},
        {AT(Q5_1), offsetof(block_Q5_1, m), -15.5f},
        {AT(Q2_K), offsetof(block_Q2_K, m), 1.5f},
        {AT(Q4_K), offsetof(block_Q4_K, m), 7.5f},
        {AT(Q5_K), offsetof(block_Q5_K, m), 15.5f},
    };
#undef AT
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        if (places[i].type == type) return &places[i];
    return NULL;
}

/* Puts a scale into a block of random bits. */
static inline void tiny_set_scale(quant_type type, unsigned char *block, float scale)
{
    const tiny_scale_place *p = tiny_scale_place_of(type);
    uint16_t d = f16_from_f32(scale), m = f16_from_f32(p ? scale * p->middle : 0);
    int exponent = (int)lrintf(log2f(scale));
    if (p) {
        memcpy(block + p->d, &d, sizeof d);
        if (p->m) memcpy(block + p->m, &m, sizeof m);
    } else if (type == QUANT_IQ1_M) { /* four bits of the scale on top of each of four 16-bit words */
        for (int i = 0; i < 4; i++) {
            unsigned char *high = block + offsetof(block_IQ1_M, scales) + 2 * i + 1;
            *high = (unsigned char)((*high & 0x0f) | ((d >> (4 * i)) & 15) << 4);
        }
    } else if (type == QUANT_MXFP4) {
        block[0] = (unsigned char)(127 + exponent);
    } else if (type == QUANT_NVFP4) { /* E4M3: 0x38 is 1, 0x7f is no number */
        const int one = 0x38 + 8 * exponent, least = one < 0 ? 0 : one > 0x70 ? 0x70 : one;
        for (int i = 0; i < 4; i++) block[i] = (unsigned char)(least + (block[i] & 7));
    } else {
        abort();
    }
}

/* One block of random bits whose values have about the given root mean square. */
static inline void tiny_block(quant_type type, unsigned char *block, float rms, uint64_t *random)
{
    const quant_traits *q = quant_traits_of(type);
    float value[256], sum = 0;
    for (int i = 0; i < q->block_bytes; i++) block[i] = (unsigned char)tiny_next(random);
    tiny_set_scale(type, block, 1);
    q->decode(block, value, (size_t)q->block_elements);
    for (int i = 0; i < q->block_elements; i++) sum += value[i] * value[i];
    tiny_set_scale(type, block,
                   rms / sqrtf(sum / (float)q->block_elements + 1e-6f) * (1 + 0.5f * tiny_uniform(random)));
}

/* n values of a type, in whole blocks; `to` has room for them. */
static inline void tiny_values(quant_type type, unsigned char *to, size_t n, float rms, uint64_t *random)
{
    const quant_traits *q = quant_traits_of(type);
    for (size_t i = 0; i < n / (size_t)q->block_elements; i++, to += q->block_bytes) {
        float x = rms * 1.7f * tiny_uniform(random);
        uint16_t h = type == QUANT_F16 ? f16_from_f32(x) : bf16_from_f32(x);
        double wide = (double)x;
        if (type == QUANT_F32)
            memcpy(to, &x, sizeof x);
        else if (type == QUANT_F64)
            memcpy(to, &wide, sizeof wide);
        else if (type == QUANT_F16 || type == QUANT_BF16)
            memcpy(to, &h, sizeof h);
        else
            tiny_block(type, to, rms, random);
    }
}

/* ---- tensors ---- */

static inline bool tiny_wants(const tiny_model *t, const char *name)
{
    return !t->omit || strcmp(t->omit, name) != 0;
}

static inline void tiny_matrix(gguf_builder *b, const tiny_model *t, uint64_t *random, const char *name, int k,
                               int rows, int n)
{
    const quant_traits *q = quant_traits_of(t->type);
    size_t elements = (size_t)k * (size_t)rows * (size_t)n;
    uint64_t dims[3] = {(uint64_t)k, (uint64_t)rows, (uint64_t)n};
    unsigned char *raw = malloc(elements / (size_t)q->block_elements * (size_t)q->block_bytes);
    float *values = malloc(elements * sizeof *values);
    if (!raw || !values) abort();
    tiny_values(t->type, raw, elements, 1 / sqrtf((float)k), random);
    q->decode(raw, values, elements);
    if (tiny_wants(t, name))
        gb_tensor(b, name, t->decoded ? QUANT_F32 : t->type, n > 1 ? 3 : 2, dims,
                  t->decoded ? (void *)values : (void *)raw);
    free(raw);
    free(values);
}

static inline void tiny_vector(gguf_builder *b, const tiny_model *t, uint64_t *random, const char *name, int n,
                               float mean)
{
    float *values = malloc((size_t)n * sizeof *values);
    if (!values) abort();
    for (int i = 0; i < n; i++) values[i] = mean + 0.1f * tiny_uniform(random);
    if (tiny_wants(t, name)) gb_tensor(b, name, QUANT_F32, 1, (uint64_t[]){(uint64_t)n}, values);
    free(values);
}

static inline const char *tiny_name(char *room, int il, const char *name)
{
    (void)snprintf(room, 96, "blk.%d.%s", il, name);
    return room;
}

static inline void tiny_layer(gguf_builder *b, const tiny_model *t, uint64_t *random, int il)
{
    char name[96];
    int n_q = t->n_head * t->head_dim, n_kv = t->n_head_kv * t->head_dim;
    bool gemma = !strcmp(t->architecture, "gemma3"), qwen2 = !strcmp(t->architecture, "qwen2");
    bool head_norms = gemma || !strncmp(t->architecture, "qwen3", 5);
    tiny_vector(b, t, random, tiny_name(name, il, "attn_norm.weight"), t->n_embd, 1);
    tiny_matrix(b, t, random, tiny_name(name, il, "attn_q.weight"), t->n_embd, n_q, 1);
    tiny_matrix(b, t, random, tiny_name(name, il, "attn_k.weight"), t->n_embd, n_kv, 1);
    tiny_matrix(b, t, random, tiny_name(name, il, "attn_v.weight"), t->n_embd, n_kv, 1);
    tiny_matrix(b, t, random, tiny_name(name, il, "attn_output.weight"), n_q, t->n_embd, 1);
    if (qwen2) {
        tiny_vector(b, t, random, tiny_name(name, il, "attn_q.bias"), n_q, 0);
        tiny_vector(b, t, random, tiny_name(name, il, "attn_k.bias"), n_kv, 0);
        tiny_vector(b, t, random, tiny_name(name, il, "attn_v.bias"), n_kv, 0);
    }
    if (head_norms) {
        tiny_vector(b, t, random, tiny_name(name, il, "attn_q_norm.weight"), t->head_dim, 1);
        tiny_vector(b, t, random, tiny_name(name, il, "attn_k_norm.weight"), t->head_dim, 1);
    }
    if (gemma) {
        tiny_vector(b, t, random, tiny_name(name, il, "post_attention_norm.weight"), t->n_embd, 1);
        tiny_vector(b, t, random, tiny_name(name, il, "post_ffw_norm.weight"), t->n_embd, 1);
    }
    tiny_vector(b, t, random, tiny_name(name, il, "ffn_norm.weight"), t->n_embd, 1);
    if (t->n_expert) {
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_gate_inp.weight"), t->n_embd, t->n_expert, 1);
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_gate_exps.weight"), t->n_embd, t->n_ff, t->n_expert);
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_up_exps.weight"), t->n_embd, t->n_ff, t->n_expert);
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_down_exps.weight"), t->n_ff, t->n_embd, t->n_expert);
    } else {
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_gate.weight"), t->n_embd, t->n_ff, 1);
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_up.weight"), t->n_embd, t->n_ff, 1);
        tiny_matrix(b, t, random, tiny_name(name, il, "ffn_down.weight"), t->n_ff, t->n_embd, 1);
    }
}

/* ---- keys ---- */

static inline void tiny_u32(gguf_builder *b, const tiny_model *t, const char *name, int v)
{
    char key[96];
    (void)snprintf(key, sizeof key, "%s.%s", t->architecture, name);
    if (tiny_wants(t, key)) gb_u32(b, key, (uint32_t)v);
}

/* Token number id's text. Syllables: "ba", "be", ... "zu", then "baa" ...; the last token is the end. */
static inline void tiny_token(const tiny_model *t, int id, char text[16])
{
    static const char consonants[] = "bcdfghjklmnpqrstvwxz", vowels[] = "aeiou";
    if (id == t->n_vocab - 1) {
        (void)snprintf(text, 16, "<|end|>");
    } else if (t->bytes && id < 256) {
        text[utf8_put(text, bpe_char_of_byte((unsigned char)id))] = 0;
    } else {
        int i = id / 100;
        (void)snprintf(text, 16, "%c%c", consonants[id / 5 % 20], vowels[id % 5]);
        for (int at = 2; i > 0 && at < 15; i /= 5, at++) text[at] = vowels[i % 5], text[at + 1] = 0;
    }
}

static inline void tiny_vocabulary(gguf_builder *b, const tiny_model *t)
{
    size_t n = (size_t)t->n_vocab;
    int32_t *types = malloc(n * sizeof *types);
    if (!types) abort();
    for (size_t i = 0; i < n; i++) types[i] = i + 1 == n ? TOK_CONTROL : TOK_NORMAL;
    if (tiny_wants(t, "tokenizer.ggml.model")) gb_string(b, "tokenizer.ggml.model", "gpt2");
    if (tiny_wants(t, "tokenizer.ggml.pre")) gb_string(b, "tokenizer.ggml.pre", "gpt-2");
    if (tiny_wants(t, "tokenizer.ggml.tokens")) {
        gb_array_claim(b, "tokenizer.ggml.tokens", GGUF_STRING, n, NULL, 0);
        for (int i = 0; i < t->n_vocab; i++) {
            char text[16];
            tiny_token(t, i, text);
            gb_put_text(&b->kv, strlen(text), text, strlen(text));
        }
    }
    if (tiny_wants(t, "tokenizer.ggml.token_type"))
        gb_array_claim(b, "tokenizer.ggml.token_type", GGUF_I32, n, types, n * sizeof *types);
    if (tiny_wants(t, "tokenizer.ggml.merges"))
        gb_strings(b, "tokenizer.ggml.merges", (const char *const[]){"t h", "th e"}, 2);
    if (tiny_wants(t, "tokenizer.ggml.eos_token_id")) gb_u32(b, "tokenizer.ggml.eos_token_id", (uint32_t)n - 1);
    free(types);
}

static inline void tiny_keys(gguf_builder *b, const tiny_model *t)
{
    char key[96];
    if (tiny_wants(t, "general.architecture")) gb_string(b, "general.architecture", t->architecture);
    tiny_u32(b, t, "block_count", t->n_layer);
    tiny_u32(b, t, "embedding_length", t->n_embd);
    tiny_u32(b, t, "context_length", t->n_ctx);
    tiny_u32(b, t, "attention.head_count", t->n_head);
    tiny_u32(b, t, "attention.head_count_kv", t->n_head_kv);
    tiny_u32(b, t, "attention.key_length", t->head_dim);
    tiny_u32(b, t, "attention.value_length", t->head_dim);
    tiny_u32(b, t, "feed_forward_length", t->n_ff);
    (void)snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", t->architecture);
    if (tiny_wants(t, key)) gb_f32(b, key, 1e-5f);
    if (t->window) tiny_u32(b, t, "attention.sliding_window", t->window);
    if (t->n_expert) {
        tiny_u32(b, t, "expert_count", t->n_expert);
        tiny_u32(b, t, "expert_used_count", t->n_used);
        tiny_u32(b, t, "expert_feed_forward_length", t->n_ff);
    }
    tiny_vocabulary(b, t);
}

static inline gguf_builder tiny_build(const tiny_model *t)
{
    gguf_builder b = gb_new();
    uint64_t random = t->seed;
    tiny_keys(&b, t);
    tiny_matrix(&b, t, &random, "token_embd.weight", t->n_embd, t->n_vocab, 1);
    for (int il = 0; il < t->n_layer; il++) tiny_layer(&b, t, &random, il);
    tiny_vector(&b, t, &random, "output_norm.weight", t->n_embd, 1);
    if (!t->tied) tiny_matrix(&b, t, &random, "output.weight", t->n_embd, t->n_vocab, 1);
    return b;
}

/* ---- files that leave nothing behind ---- */

typedef struct tiny_file {
    int fd;
    char path[48];
    size_t bytes, header_bytes;
} tiny_file;

static inline tiny_file tiny_write_bytes(const void *bytes, size_t n)
{
    tiny_file f = {.fd = memfd_create("model", MFD_CLOEXEC), .bytes = n};
    if (f.fd < 0) abort();
    for (size_t done = 0; done < n;) {
        ssize_t put = write(f.fd, (const char *)bytes + done, n - done);
        if (put <= 0) abort();
        done += (size_t)put;
    }
    (void)snprintf(f.path, sizeof f.path, "/proc/self/fd/%d", f.fd);
    return f;
}

/* Writes the file and empties the builder. */
static inline tiny_file tiny_write(gguf_builder *b)
{
    size_t n;
    unsigned char *bytes = gb_finish(b, &n);
    tiny_file f = tiny_write_bytes(bytes, n);
    f.header_bytes = b->header_bytes;
    free(bytes);
    return f;
}

static inline tiny_file tiny_make(const tiny_model *t)
{
    gguf_builder b = tiny_build(t);
    return tiny_write(&b);
}

static inline void tiny_remove(const tiny_file *f)
{
    (void)close(f->fd);
}

#endif
