/* kvasir_model: a GGUF file, opened and checked, with its tokenizer. No weights are read here. */
#include "base/checked.h"
#include "base/mem.h"
#include "engine/model.h"
#include "model/leftovers.h"
#include "model/vocab.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PROBLEMS = 16, VALUE_SHOWN = 120, ARRAY_SHOWN = 8 };

/* Files of llama.cpp's family leave general.name out at times; a text is never NULL in the info. */
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

/* With inspect_only a failure is noted and the model goes on without that part. */
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

static kvasir_status open_parts(kvasir_model *m, const char *path, const kvasir_model_options *o)
{
    kvasir_status status;
    TRY(gguf_open(path, o->header_only, &m->gguf));
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
    return &m->info;
}

const char *kvasir_model_note(const kvasir_model *m, int i)
{
    return i >= 0 && i < m->notes.n ? m->notes.text[i] : NULL;
}

const char *kvasir_model_problem(const kvasir_model *m, int i)
{
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

static const char *type_name(quant_type type)
{
    const quant_traits *t = quant_traits_of((uint32_t)type);
    return t ? t->name : "?";
}

kvasir_status kvasir_model_tensor(const kvasir_model *m, int i, kvasir_tensor_info *out)
{
    if (i < 0 || i >= gguf_n_tensors(m->gguf))
        return fail(KVASIR_E_ARGUMENT, "tensor number %d of %d", i, gguf_n_tensors(m->gguf));
    const gguf_tensor *t = gguf_tensor_at(m->gguf, i);
    *out = (kvasir_tensor_info){.name = t->name.s,
                                .type = type_name(t->type),
                                .n_dims = t->n_dims,
                                .bytes = t->bytes,
                                .n_elements = (uint64_t)t->shape[0] * (uint64_t)t->n_rows,
                                .offset = t->offset,
                                .file = gguf_tensor_file(m->gguf, t)};
    for (int d = 0; d < 4; d++) out->shape[d] = t->shape[d];
    return KVASIR_OK;
}

kvasir_status kvasir_model_tensor_read(const kvasir_model *m, const char *name, float *out)
{
    const gguf_tensor *t = gguf_find_tensor(m->gguf, name);
    if (!t) return fail(KVASIR_E_ARGUMENT, "there is no tensor %s", quoted(name, strlen(name)));
    const quant_traits *traits = quant_traits_of((uint32_t)t->type);
    if (!traits || !traits->decode)
        return fail(KVASIR_E_UNSUPPORTED, "tensor %s: type %s has no decoder", name, type_name(t->type));
    unsigned char *row = mem_alloc(1, (size_t)t->row_bytes);
    if (!row) return fail_memory((size_t)t->row_bytes);
    kvasir_status status = KVASIR_OK;
    for (int64_t i = 0; i < t->n_rows && status == KVASIR_OK; i++) {
        status = file_read(t->file, t->offset + (uint64_t)i * t->row_bytes, row, (size_t)t->row_bytes);
        if (status == KVASIR_OK) traits->decode(row, out + i * t->shape[0], (size_t)t->shape[0]);
    }
    mem_free(row);
    return status;
}

/* ---- metadata as text ---- */

static const char *const value_type_name[GGUF_VALUE_TYPES] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                              "bool", "string", "array", "u64", "i64", "f64"};

static size_t show_scalar(char *to, size_t room, gguf_value_type type, const void *data, size_t i)
{
    int n = 0;
    switch (type) {
    case GGUF_U8:
        n = snprintf(to, room, "%u", ((const uint8_t *)data)[i]);
        break;
    case GGUF_I8:
        n = snprintf(to, room, "%d", ((const int8_t *)data)[i]);
        break;
    case GGUF_U16:
        n = snprintf(to, room, "%u", ((const uint16_t *)data)[i]);
        break;
    case GGUF_I16:
        n = snprintf(to, room, "%d", ((const int16_t *)data)[i]);
        break;
    case GGUF_U32:
        n = snprintf(to, room, "%u", ((const uint32_t *)data)[i]);
        break;
    case GGUF_I32:
        n = snprintf(to, room, "%d", ((const int32_t *)data)[i]);
        break;
    case GGUF_F32:
        n = snprintf(to, room, "%g", (double)((const float *)data)[i]);
        break;
    case GGUF_BOOL:
        n = snprintf(to, room, "%s", ((const uint8_t *)data)[i] ? "true" : "false");
        break;
    case GGUF_U64:
        n = snprintf(to, room, "%llu", (unsigned long long)((const uint64_t *)data)[i]);
        break;
    case GGUF_I64:
        n = snprintf(to, room, "%lld", (long long)((const int64_t *)data)[i]);
        break;
    case GGUF_F64:
        n = snprintf(to, room, "%g", ((const double *)data)[i]);
        break;
    case GGUF_STRING: {
        const gguf_string *s = (const gguf_string *)data + i;
        n = snprintf(to, room, "%s", quoted(s->s, s->n));
        break;
    }
    default:
        break;
    }
    return n < 0 ? 0 : min_size((size_t)n, room - 1);
}

kvasir_status kvasir_model_metadata(const kvasir_model *m, int i, const char **key, const char **type, char **value)
{
    char text[VALUE_SHOWN + 64];
    size_t used = 0, shown = 0;
    if (i < 0 || i >= gguf_n_kv(m->gguf)) return fail(KVASIR_E_ARGUMENT, "key number %d of %d", i, gguf_n_kv(m->gguf));
    const gguf_kv *kv = gguf_kv_at(m->gguf, i);
    bool array = kv->type == GGUF_ARRAY;
    text[0] = 0;
    if (array) used = (size_t)snprintf(text, sizeof text, "%zu x %s: ", kv->count, value_type_name[kv->element]);
    for (; shown < kv->count && shown < ARRAY_SHOWN && used < VALUE_SHOWN; shown++) {
        if (shown) used += (size_t)snprintf(text + used, sizeof text - used, ", ");
        used += show_scalar(text + used, sizeof text - used, array ? kv->element : kv->type, kv->data, shown);
    }
    if (shown < kv->count) used += (size_t)snprintf(text + used, sizeof text - used, ", ...");
    *key = kv->key.s;
    *type = value_type_name[kv->type];
    *value = mem_text(text, min_size(used, sizeof text - 1));
    return *value ? KVASIR_OK : fail_memory(used);
}

/* ---- what the KV cache would hold ---- */

kvasir_status model_kv_layout(const kvasir_model *m, const char *kv, kv_layout *out)
{
    kv_type k, v;
    if (!m->has_hparams)
        return fail(KVASIR_E_UNSUPPORTED, "the KV cache of architecture %s is not known",
                    quoted(m->info.architecture, strlen(m->info.architecture)));
    TRY(kv_type_parse(kv ? kv : "f16", &k, &v));
    kv_layer *layers = mem_alloc((size_t)m->hparams.n_layer, sizeof *layers);
    if (!layers) return fail_memory((size_t)m->hparams.n_layer * sizeof *layers);
    hparams_kv(&m->hparams, layers);
    kvasir_status status = kv_layout_make(layers, m->hparams.n_layer, k, v, out);
    mem_free(layers);
    return status;
}

kvasir_status kvasir_model_kv(const kvasir_model *m, const char *kv, int n_ctx, kvasir_kv_info *out)
{
    kv_layout l;
    if (n_ctx < 0 || n_ctx > KV_MAX_CONTEXT) return fail(KVASIR_E_ARGUMENT, "a context of %d tokens", n_ctx);
    TRY(model_kv_layout(m, kv, &l));
    *out = (kvasir_kv_info){.n_streams = l.n_streams,
                            .bytes_per_token = kv_layout_bytes_per_token(&l),
                            .bytes_at_ctx = kv_layout_bytes(&l, n_ctx)};
    kv_layout_free(&l);
    return KVASIR_OK;
}

kvasir_status kvasir_model_kv_stream(const kvasir_model *m, const char *kv, int i, kvasir_kv_stream *out)
{
    kv_layout l;
    TRY(model_kv_layout(m, kv, &l));
    if (i < 0 || i >= l.n_streams) {
        kv_layout_free(&l);
        return fail(KVASIR_E_ARGUMENT, "stream number %d of %d", i, l.n_streams);
    }
    const kv_stream *s = &l.stream[i];
    *out = (kvasir_kv_stream){.layer = s->layer,
                              .n_heads = s->n_heads,
                              .head_dim = s->head_dim,
                              .window = s->window,
                              .name = s->is_v ? "v" : "k",
                              .type = kv_type_name(s->type),
                              .page_bytes = s->page_bytes[KV_CLOSED],
                              .row_bytes = (double)s->page_bytes[KV_CLOSED] * s->n_heads / KV_PAGE_TOKENS};
    kv_layout_free(&l);
    return KVASIR_OK;
}
