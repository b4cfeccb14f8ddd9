#include "model/vocab.h"

#include <stddef.h>

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

/* An array with an entry for each token, or NULL when the file has none. */
static kvasir_status get_per_token(const gguf *g, const char *key, gguf_value_type type, size_t n_tokens,
                                   const void **out)
{
    size_t n = 0;
    *out = NULL;
    TRY(gguf_get_array(g, key, false, type, out, &n));
    if (*out && n < n_tokens) return fail(KVASIR_E_FORMAT, "%s has %zu entries for %zu tokens", key, n, n_tokens);
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

kvasir_status model_vocab(const gguf *g, const char *pre_override, tok **out)
{
    tok_source s = {0};
    gguf_string model, pre = {0};
    const void *tokens, *scores, *attrs, *merges;
    *out = NULL;
    TRY(gguf_get_string(g, "tokenizer.ggml.model", true, &model));
    TRY(gguf_get_string(g, "tokenizer.ggml.pre", false, &pre));
    TRY(gguf_get_array(g, "tokenizer.ggml.tokens", true, GGUF_STRING, &tokens, &s.n_tokens));
    TRY(get_per_token(g, "tokenizer.ggml.scores", GGUF_F32, s.n_tokens, &scores));
    TRY(get_per_token(g, "tokenizer.ggml.token_type", GGUF_I32, s.n_tokens, &attrs));
    TRY(gguf_get_array(g, "tokenizer.ggml.merges", false, GGUF_STRING, &merges, &s.n_merges));
    TRY(get_ids(g, &s));
    s.model = model.s;
    s.pre = pre_override ? pre_override : pre.s;
    s.tokens = tokens;
    s.scores = scores;
    s.attrs = attrs;
    s.merges = merges;
    return tok_create(&s, out);
}
