/* The GGUF reader over arbitrary bytes: opens them with and without tensor data and looks at everything that
   an opened file offers. Aborts where the result breaks a promise of gguf.h; the sanitizers see the rest. */
#include "gguf/gguf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void demand(bool promise)
{
    if (!promise) abort();
}

static volatile unsigned char sink;

static void touch(const void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) sink = (unsigned char)(sink ^ ((const unsigned char *)p)[i]);
}

static void touch_string(const gguf_string *s)
{
    touch(s->s, s->n + 1);
    demand(s->s[s->n] == 0);
}

/* Every getter, on a key whose value may be of any type. */
static void get(const gguf *g, const gguf_kv *kv)
{
    const char *key = kv->key.s;
    uint32_t u = 7;
    float f = 0;
    bool flag = false;
    gguf_string s = {0};
    const void *array = NULL;
    size_t n = 0;
    if (gguf_get_u32(g, key, true, 3, 1u << 20, &u) == KVASIR_OK) demand(u >= 3 && u <= 1u << 20);
    if (gguf_get_f32(g, key, true, -1e6f, 1e6f, &f) == KVASIR_OK) demand(f >= -1e6f && f <= 1e6f);
    if (gguf_get_bool(g, key, true, &flag) == KVASIR_OK) demand(kv->type == GGUF_BOOL);
    if (gguf_get_string(g, key, true, &s) == KVASIR_OK) touch_string(&s);
    for (int t = 0; t < GGUF_VALUE_TYPES; t++) {
        bool right = kv->type == GGUF_ARRAY && (int)kv->element == t;
        demand((gguf_get_array(g, key, true, (gguf_value_type)t, &array, &n) == KVASIR_OK) == right);
        demand(!right || n == kv->count);
    }
}

static void walk_keys(const gguf *g)
{
    static const unsigned char bytes[GGUF_VALUE_TYPES] = {
        [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
        [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8};
    for (int i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        touch_string(&kv->key);
        demand(gguf_find(g, kv->key.s) == kv);
        if (kv->element == GGUF_STRING)
            for (size_t k = 0; k < kv->count; k++) touch_string((const gguf_string *)kv->data + k);
        else
            touch(kv->data, kv->count * bytes[kv->element]);
        get(g, kv);
    }
}

static void walk_tensors(const gguf *g, bool header_only)
{
    unsigned char edge[16];
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        const quant_traits *q = quant_traits_of((uint32_t)t->type);
        touch_string(&t->name);
        demand(gguf_find_tensor(g, t->name.s) == t);
        demand(q && t->n_dims >= 1 && t->n_dims <= GGUF_MAX_DIMS && t->bytes > 0);
        demand(t->shape[0] % q->block_elements == 0 && (uint64_t)t->n_rows * t->row_bytes == t->bytes);
        if (header_only) continue;
        size_t part = t->bytes < sizeof edge ? (size_t)t->bytes : sizeof edge;
        demand(file_read(t->file, t->offset, edge, part) == KVASIR_OK);
        demand(file_read(t->file, t->offset + t->bytes - part, edge, part) == KVASIR_OK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    for (int header_only = 0; header_only < 2; header_only++) {
        file *f;
        gguf *g;
        if (file_from_memory(data, n, "fuzz", &f) != KVASIR_OK) return 0;
        kvasir_status status = gguf_open_file(f, header_only, &g);
        if (status != KVASIR_OK) {
            demand(!g && kvasir_message()[0]);
            demand(status == KVASIR_E_FORMAT || status == KVASIR_E_UNSUPPORTED || status == KVASIR_E_MEMORY);
            continue;
        }
        walk_keys(g);
        walk_tensors(g, header_only);
        demand(!gguf_find(g, "no such key") || gguf_n_kv(g) > 0);
        gguf_free(g);
    }
    return 0;
}
