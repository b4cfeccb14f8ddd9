/* kvasir_model: a GGUF file, opened and checked, with its tokenizer. No weights are read here. */
#include "base/mem.h"
#include "base/status.h"
#include "engine/model.h"
#include "model/leftovers.h"
#include "model/vocab.h"

#include <string.h>

enum { MAX_PROBLEMS = 16 };

/* Files of llama.cpp's family sometimes lack general.name; in the info a text is never NULL. */
static const char *text_key(const gguf *g, const char *key)
{
    const gguf_kv *kv = gguf_find(g, key);
    return kv && kv->type == GGUF_STRING ? ((const gguf_string *)kv->data)->s : NULL;
}

static void fill_hparams(kvasir_model_info *i, const hparams *h)
{
    i->n_layer = h->n_layer;
    i->n_embd = h->n_embd;
    i->n_head = h->n_head;
    i->n_head_kv = h->n_head_kv;
    i->head_dim = h->head_dim;
    i->n_ff = h->n_ff;
    i->n_vocab = h->n_vocab;
    i->n_ctx_train = h->n_ctx;
    i->n_expert = h->n_expert;
    i->n_expert_used = h->n_expert_used;
    i->window = h->window;
}

static void fill_info(kvasir_model *m)
{
    kvasir_model_info *i = &m->info;
    const gguf *g = m->gguf;
    const char *text;
    i->path = gguf_path(g);
    i->architecture = (text = text_key(g, "general.architecture")) ? text : "";
    i->name = (text = text_key(g, "general.name")) ? text : "";
    i->tokenizer_model = (text = text_key(g, "tokenizer.ggml.model")) ? text : "";
    i->tokenizer_pre = (text = text_key(g, "tokenizer.ggml.pre")) ? text : "";
    i->chat_template = text_key(g, "tokenizer.chat_template");
    i->gguf_version = gguf_version(g);
    i->n_files = gguf_n_files(g);
    i->file_bytes = gguf_total_bytes(g);
    i->tensor_bytes = gguf_tensor_bytes(g);
    i->n_tensors = gguf_n_tensors(g);
    i->n_metadata = gguf_n_kv(g);
    for (int t = 0; t < i->n_tensors; t++) {
        const gguf_tensor *e = gguf_tensor_at(g, t);
        i->n_parameters += (uint64_t)e->shape[0] * (uint64_t)e->n_rows;
    }
    i->bos = i->eos = -1;
    if (m->tok) {
        i->bos = tok_bos(m->tok);
        i->eos = tok_eos(m->tok);
        i->adds_bos = tok_adds_bos(m->tok);
        i->adds_eos = tok_adds_eos(m->tok);
        i->n_vocab = tok_size(m->tok);
    }
    if (m->has_hparams) fill_hparams(i, &m->hparams);
    i->n_problems = m->n_problems;
    i->n_notes = m->notes.n;
}

/* With inspect_only a failure is noted, and the model goes on without that part. */
static kvasir_status tolerate(kvasir_model *m, bool inspect_only, kvasir_status status)
{
    if (status == KVASIR_OK || !inspect_only) return status;
    if (m->n_problems < MAX_PROBLEMS) {
        if (!m->problems) m->problems = arena_alloc(&m->memory, MAX_PROBLEMS, sizeof *m->problems);
        const char *text = kvasir_message();
        char *copy = m->problems ? arena_text(&m->memory, text, strlen(text)) : NULL;
        if (!copy) return fail_memory(strlen(text));
        m->problems[m->n_problems++] = copy;
    }
    return KVASIR_OK;
}

static kvasir_status check_weights(kvasir_model *m)
{
    weights w;
    TRY(weights_bind(m->gguf, &m->hparams, &w));
    kvasir_status status = leftover_tensors(m->gguf, &w, &m->notes);
    weights_free(&w);
    TRY(status);
    m->runs = m->tok != NULL;
    return KVASIR_OK;
}

static kvasir_status read_hparams(kvasir_model *m)
{
    TRY(gguf_watch(m->gguf));
    kvasir_status status = hparams_read(m->gguf, &m->hparams);
    if (status == KVASIR_OK) status = leftover_keys(m->gguf, &m->hparams, &m->notes);
    gguf_unwatch(m->gguf);
    return status;
}

/* GGUF holds other things than models, and says so (general.type, or the architecture of the part). */
static kvasir_status check_type(const gguf *g)
{
    const char *type = text_key(g, "general.type"), *architecture = text_key(g, "general.architecture");
    static const struct {
        const char *type, *architecture, *says;
    } others[] = {
        {"adapter", NULL,
         "an adapter (LoRA), no model: Kvasir applies none; merge it into its model with llama.cpp's "
         "llama-export-lora, and "
         "run the result"},
        {"mmproj", "clip",
         "the part of a model that sees or hears (mmproj), no model: Kvasir reads text alone; name the model's own "
         "file"},
        {"imatrix", "imatrix", "an importance matrix, which quantising reads, no model"},
        {"control_vector", "controlvector", "a control vector, no model: Kvasir applies none"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if ((type && strcmp(type, others[i].type) == 0) ||
            (architecture && others[i].architecture && strcmp(architecture, others[i].architecture) == 0))
            return fail(KVASIR_E_UNSUPPORTED, "%s: it is %s", gguf_path(g), others[i].says);
    }
    return KVASIR_OK;
}

static kvasir_status open_parts(kvasir_model *m, const char *path, const kvasir_model_options *o)
{
    kvasir_status status;
    TRY(gguf_open(path, o->header_only, &m->gguf));
    status = check_type(m->gguf);
    m->is_other = status != KVASIR_OK;
    if (m->is_other) return tolerate(m, o->inspect_only, status);
    status = model_vocab(m->gguf, o->pre, &m->memory, &m->notes, &m->tok);
    TRY(tolerate(m, o->inspect_only, status));
    status = read_hparams(m);
    if (status == KVASIR_OK) {
        m->has_hparams = true;
        if (m->tok && tok_size(m->tok) > m->hparams.n_vocab)
            status = fail(KVASIR_E_FORMAT, "the tokenizer has %d tokens, the embedding %d rows", tok_size(m->tok),
                          m->hparams.n_vocab);
    }
    if (status == KVASIR_OK) status = check_weights(m);
    return tolerate(m, o->inspect_only, status);
}

kvasir_status kvasir_model_open(const char *path, const kvasir_model_options *o, kvasir_model **out)
{
    NEED(path);
    NEED(out);
    const kvasir_model_options none = {0};
    if (!path || !out) return fail(KVASIR_E_ARGUMENT, "kvasir_model_open: path and out must be given");
    kvasir_model *m = mem_alloc(1, sizeof *m);
    if (!m) return fail_memory(sizeof *m);
    m->notes.memory = &m->memory;
    kvasir_status status = open_parts(m, path, o ? o : &none);
    if (status != KVASIR_OK) {
        kvasir_model_close(m);
        return status;
    }
    m->header_only = o && o->header_only;
    fill_info(m);
    *out = m;
    return KVASIR_OK;
}

void kvasir_model_close(kvasir_model *m)
{
    if (!m) return;
    tok_free(m->tok);
    gguf_free(m->gguf);
    arena_free(&m->memory);
    mem_free(m);
}

const kvasir_model_info *kvasir_model_get_info(const kvasir_model *m)
{
    NEED_OR(m, NULL);
    return &m->info;
}

const char *kvasir_model_note(const kvasir_model *m, int i)
{
    NEED_OR(m, NULL);
    return i >= 0 && i < m->notes.n ? m->notes.text[i] : NULL;
}

const char *kvasir_model_problem(const kvasir_model *m, int i)
{
    NEED_OR(m, NULL);
    return i >= 0 && i < m->n_problems ? m->problems[i] : NULL;
}

const tok *model_tok(const kvasir_model *m)
{
    return m->tok;
}

int model_n_vocab(const kvasir_model *m)
{
    return m->info.n_vocab;
}
