/* A header's keys, with limits on every value, and the table of architectures that can be planned. */
#include "plan/bytes/arch.h"

#include "base/checked.h"

#include <stdio.h>
#include <string.h>

enum { KEY_ROOM = 160 };

static const struct {
    const char *name;
    kvasir_status (*read)(const reading *r);
} table[] = {
    {"llama", arch_read_gqa},        {"qwen2", arch_read_gqa},           {"qwen3", arch_read_gqa},
    {"qwen3moe", arch_read_gqa},     {"gemma3", arch_read_gemma3},       {"gemma4", arch_read_gemma4},
    {"gpt-oss", arch_read_gpt_oss},  {"qwen35", arch_read_hybrid},       {"qwen35moe", arch_read_hybrid},
    {"qwen3next", arch_read_hybrid}, {"deepseek2", arch_read_mla},       {"deepseek32", arch_read_dsa},
    {"glm-dsa", arch_read_dsa},      {"deepseek4", arch_read_deepseek4},
};
enum { N_ARCH = sizeof table / sizeof *table };

static const char *key_of(const reading *r, const char *name, char *room)
{
    (void)snprintf(room, KEY_ROOM, "%s.%s", r->arch, name);
    return room;
}

kvasir_status read_count(const reading *r, const char *name, bool required, int min, int max, int *out)
{
    char key[KEY_ROOM];
    uint32_t v = (uint32_t)*out;
    TRY(gguf_get_u32(r->g, key_of(r, name, key), required, (uint32_t)min, (uint32_t)max, &v));
    *out = (int)v;
    return KVASIR_OK;
}

bool has_key(const reading *r, const char *name)
{
    char key[KEY_ROOM];
    return gguf_find(r->g, key_of(r, name, key)) != NULL;
}

bool has_tensor(const reading *r, const char *format, int il)
{
    char name[KEY_ROOM];
    (void)snprintf(name, sizeof name, format, il); // NOLINT: the formats are literals in arch_*.c
    return gguf_find_tensor(r->g, name) != NULL;
}

/* Element i of an array; false where its elements are no integers of at most 32 bits. */
static bool element(const gguf_kv *kv, int i, int64_t *out)
{
    switch (kv->element) {
    case GGUF_U8:
    case GGUF_BOOL:
        *out = ((const uint8_t *)kv->data)[i];
        return true;
    case GGUF_I8:
        *out = ((const int8_t *)kv->data)[i]; // NOLINT(bugprone-signed-char-misuse): a number, not a character
        return true;
    case GGUF_U16:
        *out = ((const uint16_t *)kv->data)[i];
        return true;
    case GGUF_I16:
        *out = ((const int16_t *)kv->data)[i];
        return true;
    case GGUF_U32:
        *out = ((const uint32_t *)kv->data)[i];
        return true;
    case GGUF_I32:
        *out = ((const int32_t *)kv->data)[i];
        return true;
    default:
        return false;
    }
}

kvasir_status read_per_layer(const reading *r, const char *name, int min, int max, int fallback, int *out)
{
    char key[KEY_ROOM];
    const gguf_kv *kv = gguf_find(r->g, key_of(r, name, key));
    int n = r->shape->n_layer, one = fallback;
    if (!kv || kv->type != GGUF_ARRAY) {
        TRY(read_count(r, name, fallback < 0, min, max, &one));
        for (int i = 0; i < n; i++) out[i] = one;
        return KVASIR_OK;
    }
    if (kv->count < (size_t)r->n_main)
        return fail(KVASIR_E_FORMAT, "key %s: %zu values for %d layers", key, kv->count, r->n_main);
    for (int i = 0; i < n; i++) {
        int64_t v = min;
        if ((size_t)i < kv->count && !element(kv, i, &v))
            return fail(KVASIR_E_FORMAT, "key %s: an array of integers of at most 32 bits is expected", key);
        if (v < min || v > max)
            return fail(KVASIR_E_FORMAT, "key %s: %lld in layer %d is not from %d to %d", key, (long long)v, i, min,
                        max);
        out[i] = (int)v;
    }
    return KVASIR_OK;
}

static kvasir_status alloc_layers(arena *memory, plan_shape *s)
{
    s->layer = arena_alloc(memory, (size_t)s->n_layer, sizeof *s->layer);
    return s->layer ? KVASIR_OK : fail_memory((size_t)s->n_layer * sizeof *s->layer);
}

static kvasir_status read_with(kvasir_status (*read)(const reading *r), reading *r, arena *memory)
{
    plan_shape *out = r->shape;
    int nextn = 0, n_expert = 0,
        used = 0; /* how many experts there are is in the tensors: here they are only checked */
    TRY(read_count(r, "block_count", true, 1, MODEL_MAX_LAYERS, &out->n_layer));
    TRY(read_count(r, "context_length", true, 1, KV_MAX_CONTEXT, &out->n_ctx));
    TRY(read_count(r, "expert_count", false, 0, MODEL_MAX_EXPERTS, &n_expert));
    TRY(read_count(r, "expert_used_count", false, 0, n_expert > 0 ? n_expert : MODEL_MAX_EXPERTS, &used));
    TRY(read_count(r, "nextn_predict_layers", false, 0, out->n_layer, &nextn));
    /* Some files declare such layers and have none: then block_count is that of the model alone. */
    int first = out->n_layer - nextn;
    bool there =
        has_tensor(r, "blk.%d.nextn.eh_proj.weight", first) || has_tensor(r, "blk.%d.nextn.e_proj.weight", first);
    r->n_main = there || gguf_n_tensors(r->g) == 0 ? first : out->n_layer;
    TRY(alloc_layers(memory, out));
    TRY(read(r));
    for (int il = r->n_main; il < out->n_layer; il++) out->layer[il] = (plan_layer){0};
    return KVASIR_OK;
}

/* A name that may stand before keys, and in sentences. */
static bool is_plain_name(gguf_string name)
{
    enum { MOST = 32 };
    for (size_t i = 0; i < name.n; i++) {
        char c = name.s[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') && !strchr("-_.", c))
            return false;
    }
    return name.n > 0 && name.n <= MOST && strlen(name.s) == name.n;
}

static kvasir_status read_unknown(gguf_string name, reading *r, arena *memory)
{
    char why[384];
    if (!is_plain_name(name))
        return fail(KVASIR_E_UNSUPPORTED, "KV of architecture %s is not known", quoted(name.s, name.n));
    r->arch = name.s;
    kvasir_status status = read_with(arch_read_assumed, r, memory);
    if (status != KVASIR_E_FORMAT && status != KVASIR_E_UNSUPPORTED) return status;
    (void)snprintf(why, sizeof why, "%s", kvasir_message());
    return fail(KVASIR_E_UNSUPPORTED, "KV of architecture %s is not known: %s", name.s, why);
}

kvasir_status plan_shape_read(const gguf *g, arena *memory, plan_shape *out)
{
    gguf_string name;
    *out = (plan_shape){0};
    reading r = {.g = g, .shape = out};
    TRY(gguf_get_string(g, "general.architecture", true, &name));
    for (int i = 0; i < N_ARCH; i++) {
        if (strlen(table[i].name) != name.n || memcmp(table[i].name, name.s, name.n) != 0) continue;
        r.arch = table[i].name;
        return read_with(table[i].read, &r, memory);
    }
    return read_unknown(name, &r, memory);
}

kvasir_status plan_shape_of(const hparams *h, arena *memory, plan_shape *out)
{
    *out = (plan_shape){.n_layer = h->n_layer, .n_ctx = h->n_ctx};
    TRY(alloc_layers(memory, out));
    kv_layer *layers = mem_alloc((size_t)h->n_layer, sizeof *layers);
    if (!layers) return fail_memory((size_t)h->n_layer * sizeof *layers);
    hparams_kv(h, layers);
    for (int i = 0; i < h->n_layer; i++)
        out->layer[i] = (plan_layer){.n_head_kv = layers[i].n_head_kv,
                                     .k_dim = layers[i].k_dim,
                                     .v_dim = layers[i].v_dim,
                                     .window = layers[i].window};
    mem_free(layers);
    return KVASIR_OK;
}
