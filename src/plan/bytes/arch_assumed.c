/* Architectures that nobody wrote a reader for: where all that a header says is plain grouped-query attention, that is what is
   assumed, and where it says more, what is in the way is named. */
#include "plan/bytes/arch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Parts of the names of keys and tensors that come with states, with rows of another make, with layers that share rows or
   have none, and with a second stack of layers. */
static const char *const others[] = {
    "ssm",
    "wkv",
    "rwkv",
    "time_mix",
    "token_shift",
    "conv",
    "recurrent",
    "delta",
    "kda",
    "lightning",
    "linear_att",
    "kv_lora",
    "_mla",
    "attn_kv_a",
    "attn_kv_b",
    "indexer",
    "compress",
    "shared_kv",
    "kv_shared",
    "layer_types",
    "layer_indices",
    "key_length_s",
    "value_length_s",
    "head_count_s",
    "head_count_kv_s",
    "full_attention_interval",
    "encoder",
    "decoder",
    "cross_att",
    "relative_buckets",
    "altup",
    "laurel",
};
enum { N_OTHERS = sizeof others / sizeof *others, NAMED = 3, LIST_ROOM = 320 };

/* Names that were found, the first few of them in words. */
typedef struct findings {
    int n;
    size_t used;
    char text[LIST_ROOM];
} findings;

static void add(findings *f, const char *name, size_t n)
{
    if (f->n++ < NAMED && f->used < LIST_ROOM)
        f->used +=
            (size_t)snprintf(f->text + f->used, LIST_ROOM - f->used, "%s%s", f->used ? ", " : "", quoted(name, n));
}

static bool is_other(const char *name)
{
    for (int i = 0; i < N_OTHERS; i++)
        if (strstr(name, others[i])) return true;
    return false;
}

static kvasir_status check_keys(const reading *r)
{
    findings f = {0};
    const size_t n = strlen(r->arch);
    for (int i = 0; i < gguf_n_kv(r->g); i++) {
        const gguf_kv *kv = gguf_kv_at(r->g, i);
        if (kv->key.n <= n || memcmp(kv->key.s, r->arch, n) != 0 || kv->key.s[n] != '.') continue;
        const char *name = kv->key.s + n + 1;
        bool sees_all = strcmp(name, "attention.causal") == 0 && kv->type == GGUF_BOOL && !*(const uint8_t *)kv->data;
        if (sees_all || is_other(name)) add(&f, kv->key.s, kv->key.n);
    }
    if (f.n == 0) return KVASIR_OK;
    return fail(KVASIR_E_UNSUPPORTED, "its header has %s%s, which plain attention has not", f.text,
                f.n > NAMED ? " and more" : "");
}

/* The layer of "blk.N.rest" and the rest, NULL for other names. */
static const char *of_layer(const char *name, int n_layer, int *out)
{
    char *end = NULL;
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9') return NULL;
    long il = strtol(name + 4, &end, 10);
    if (il >= n_layer || *end != '.') return NULL;
    *out = (int)il;
    return end + 1;
}

static kvasir_status check_rows(const reading *r, const gguf_tensor *t, int il)
{
    const plan_layer *l = &r->shape->layer[il];
    int64_t says = (int64_t)l->n_head_kv * l->k_dim;
    if (t->n_dims == 2 && t->shape[1] != says)
        return fail(KVASIR_E_UNSUPPORTED, "blk.%d.attn_k.weight makes rows of %lld elements, the keys say %lld", il,
                    (long long)t->shape[1], (long long)says);
    return KVASIR_OK;
}

/* Where tensors of a layer are listed, those that make its K have to be there, as wide as the keys say. */
static kvasir_status check_tensors(const reading *r)
{
    bool listed[MODEL_MAX_LAYERS] = {0}, attends[MODEL_MAX_LAYERS] = {0};
    findings f = {0};
    for (int i = 0; i < gguf_n_tensors(r->g); i++) {
        const gguf_tensor *t = gguf_tensor_at(r->g, i);
        int il = 0;
        const char *rest = of_layer(t->name.s, r->n_main, &il);
        if (!rest) continue;
        listed[il] = true;
        bool is_k = strcmp(rest, "attn_k.weight") == 0;
        attends[il] = attends[il] || is_k || strcmp(rest, "attn_qkv.weight") == 0;
        if (is_k) TRY(check_rows(r, t, il));
        if (is_other(rest)) add(&f, t->name.s, t->name.n);
    }
    if (f.n > 0)
        return fail(KVASIR_E_UNSUPPORTED, "it has the tensors %s%s, which plain attention has not", f.text,
                    f.n > NAMED ? " and more" : "");
    for (int il = 0; il < r->n_main; il++)
        if (listed[il] && !attends[il] && r->shape->layer[il].n_head_kv > 0)
            return fail(KVASIR_E_UNSUPPORTED, "layer %d has neither attn_k.weight nor attn_qkv.weight", il);
    return KVASIR_OK;
}

/* A window counts where a list says which layers have it; otherwise all tokens of every layer do, which is no less. */
static kvasir_status read_windows(const reading *r)
{
    int slides[MODEL_MAX_LAYERS], window = 0;
    char key[64];
    TRY(read_count(r, "attention.sliding_window", false, 0, KV_MAX_CONTEXT, &window));
    if (window == 0) return KVASIR_OK;
    (void)snprintf(key, sizeof key, "%s.attention.sliding_window_pattern", r->arch);
    const gguf_kv *kv = gguf_find(r->g, key);
    if (!kv || kv->type != GGUF_ARRAY || kv->element != GGUF_BOOL) {
        r->shape->counts_all = true;
        return KVASIR_OK;
    }
    TRY(read_per_layer(r, "attention.sliding_window_pattern", 0, 1, -1, slides));
    for (int i = 0; i < r->n_main; i++)
        if (slides[i]) r->shape->layer[i].window = window;
    return KVASIR_OK;
}

kvasir_status arch_read_assumed(const reading *r)
{
    int heads = 0;
    TRY(check_keys(r));
    TRY(read_gqa(r));
    for (int i = 0; i < r->n_main; i++) {
        const plan_layer *l = &r->shape->layer[i];
        heads += l->n_head_kv;
        if (l->n_head_kv > 0 && (l->k_dim > ATTN_MAX_DIM || l->v_dim > ATTN_MAX_DIM))
            return fail(KVASIR_E_UNSUPPORTED, "its heads have %d and %d elements; pages hold at most %d", l->k_dim,
                        l->v_dim, (int)ATTN_MAX_DIM);
    }
    if (heads == 0) return fail(KVASIR_E_UNSUPPORTED, "no layer has heads");
    TRY(check_tensors(r));
    r->shape->assumed = true;
    return read_windows(r);
}
