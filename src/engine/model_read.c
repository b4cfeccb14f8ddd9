/* What can be read of an opened model: its tensors, its metadata as text, and what its KV cache would hold. */
#include "base/checked.h"
#include "base/status.h"
#include "base/mem.h"
#include "engine/model.h"

#include <stdio.h>
#include <string.h>

enum { VALUE_SHOWN = 120, ARRAY_SHOWN = 8 };

/* ---- tensors ---- */

static const char *type_name(quant_type type)
{
    const quant_traits *t = quant_traits_of((uint32_t)type);
    return t ? t->name : "?";
}

kvasir_status kvasir_model_tensor(const kvasir_model *m, int i, kvasir_tensor_info *out)
{
    NEED(m);
    NEED(out);
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
    NEED(m);
    NEED(name);
    NEED(out);
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
    NEED(m);
    NEED(key);
    NEED(type);
    NEED(value);
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

int kvasir_model_number(const kvasir_model *m, const char *key, double *out)
{
    const gguf_kv *kv = gguf_find(m->gguf, key);
    if (!kv || !gguf_is_number(kv->type)) return 0;
    *out = gguf_number(kv, 0);
    return 1;
}

const char *kvasir_model_text(const kvasir_model *m, const char *key)
{
    const gguf_kv *kv = gguf_find(m->gguf, key);
    return kv && kv->type == GGUF_STRING ? ((const gguf_string *)kv->data)->s : NULL;
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
    NEED(m);
    NEED(out);
    kv_layout l;
    if (n_ctx < 0 || n_ctx > KV_MAX_CONTEXT) return fail(KVASIR_E_ARGUMENT, "a context of %d tokens", n_ctx);
    TRY(model_kv_layout(m, kv, &l));
    *out = (kvasir_kv_info){.n_streams = l.n_streams,
                            .bytes_per_token = kv_layout_bytes_per_token(&l),
                            .bytes_at_ctx = kv_layout_bytes(&l, n_ctx),
                            .peak_bytes = kv_layout_peak_bytes(&l, n_ctx, 1)};
    kv_layout_free(&l);
    return KVASIR_OK;
}

kvasir_status kvasir_model_kv_stream(const kvasir_model *m, const char *kv, int i, kvasir_kv_stream *out)
{
    NEED(m);
    NEED(out);
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
