#include "model/vocab.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

/* The tokenizer reads the file's strings in place. */
_Static_assert(sizeof(tok_text) == sizeof(gguf_string) && offsetof(tok_text, s) == offsetof(gguf_string, s) &&
                   offsetof(tok_text, n) == offsetof(gguf_string, n),
               "tok_text and gguf_string have one layout");

/* -1 where the key is absent, and where it holds the -1 that some converters write as an unsigned number. */
static kvasir_status get_id(const gguf *g, const char *key, int32_t *out)
{
    uint32_t id = UINT32_MAX;
    TRY(gguf_get_u32(g, key, false, 0, UINT32_MAX, &id));
    if (id > INT32_MAX && id != UINT32_MAX) return fail(KVASIR_E_FORMAT, "%s is %u, which is no token", key, id);
    *out = id == UINT32_MAX ? -1 : (int32_t)id;
    return KVASIR_OK;
}

static kvasir_status get_switch(const gguf *g, const char *key, int *out)
{
    bool on = false;
    *out = -1;
    if (!gguf_find(g, key)) return KVASIR_OK;
    TRY(gguf_get_bool(g, key, true, &on));
    *out = on;
    return KVASIR_OK;
}

/* An array of numbers with an entry for each token as 32-bit ones, of which `wanted` is the type; NULL when the file has none.
   Writers differ in the type: what is not `wanted` is converted, in `memory`. */
static kvasir_status get_per_token(const gguf *g, const char *key, gguf_value_type wanted, size_t n_tokens,
                                   arena *memory, const void **out)
{
    const gguf_kv *kv = gguf_find(g, key);
    const void *data;
    size_t n;
    *out = NULL;
    if (!kv || (kv->type == GGUF_ARRAY && kv->count == 0))
        return KVASIR_OK; /* some writers drop what is empty, some do not */
    if (kv->type != GGUF_ARRAY || !gguf_is_number(kv->element))
        return gguf_get_array(g, key, true, wanted, &data, &n); /* says what is wrong */
    if (kv->count < n_tokens)
        return fail(KVASIR_E_FORMAT, "%s has %zu entries for %zu tokens", key, kv->count, n_tokens);
    *out = kv->data;
    if (kv->element == wanted) return KVASIR_OK;
    float *floats = arena_alloc(memory, n_tokens, sizeof *floats);
    int32_t *integers = (int32_t *)(void *)floats;
    if (!floats) return fail_memory(n_tokens * sizeof *floats);
    for (size_t i = 0; i < n_tokens; i++) {
        double v = gguf_number(kv, i);
        if (wanted == GGUF_F32)
            floats[i] = v == v ? (float)fmax(fmin(v, (double)FLT_MAX), -(double)FLT_MAX) : 0;
        else
            integers[i] = v >= 0 && v <= INT32_MAX ? (int32_t)v : 0;
    }
    *out = floats;
    return KVASIR_OK;
}

static kvasir_status get_ids(const gguf *g, tok_source *s)
{
    TRY(get_id(g, "tokenizer.ggml.bos_token_id", &s->bos));
    TRY(get_id(g, "tokenizer.ggml.eos_token_id", &s->eos));
    TRY(get_id(g, "tokenizer.ggml.eot_token_id", &s->eot));
    TRY(get_id(g, "tokenizer.ggml.eom_token_id", &s->eom));
    TRY(get_id(g, "tokenizer.ggml.unknown_token_id", &s->unk));
    TRY(get_id(g, "tokenizer.ggml.seperator_token_id", &s->sep)); /* spelt so in the format */
    TRY(get_id(g, "tokenizer.ggml.padding_token_id", &s->pad));
    TRY(get_switch(g, "tokenizer.ggml.add_bos_token", &s->add_bos));
    TRY(get_switch(g, "tokenizer.ggml.add_eos_token", &s->add_eos));
    return get_switch(g, "tokenizer.ggml.add_space_prefix", &s->add_space_prefix);
}

/* A list of texts; none where the key is absent, or an empty array of whatever type. */
static kvasir_status get_texts(const gguf *g, const char *key, const void **out, size_t *n)
{
    const gguf_kv *kv = gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (!kv || (kv->type == GGUF_ARRAY && kv->count == 0)) return KVASIR_OK;
    return gguf_get_array(g, key, true, GGUF_STRING, out, n);
}

kvasir_status model_vocab(const gguf *g, const char *pre_override, arena *memory, notes *to, tok **out)
{
    tok_source s = {.notes = to};
    gguf_string model, pre = {0}, template = {0};
    const void *tokens, *scores = NULL, *attrs, *merges;
    *out = NULL;
    TRY(gguf_get_string(g, "tokenizer.ggml.model", true, &model));
    TRY(gguf_get_string(g, "tokenizer.ggml.pre", false, &pre));
    TRY(gguf_get_array(g, "tokenizer.ggml.tokens", true, GGUF_STRING, &tokens, &s.n_tokens));
    if (strcmp(model.s, "llama") == 0) /* to the other kinds scores mean nothing */
        TRY(get_per_token(g, "tokenizer.ggml.scores", GGUF_F32, s.n_tokens, memory, &scores));
    TRY(get_per_token(g, "tokenizer.ggml.token_type", GGUF_I32, s.n_tokens, memory, &attrs));
    TRY(get_texts(g, "tokenizer.ggml.merges", &merges, &s.n_merges));
    TRY(get_ids(g, &s));
    if (gguf_find(g, "tokenizer.chat_template") &&
        gguf_get_string(g, "tokenizer.chat_template", false, &template) == KVASIR_OK)
        s.template = template.s;
    s.model = model.s;
    s.pre = pre_override ? pre_override : pre.s;
    s.tokens = tokens;
    s.scores = scores;
    s.attrs = attrs;
    s.merges = merges;
    return tok_create(&s, out);
}
