/* What a sweep is to measure: depths, KV types, the text. */
#include "cli/files/embedded.h"
#include "cli/sweep/sweep.h"
#include "base/checked.h"
#include "base/hash.h"
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PP = 512, DEFAULT_TG = 32, DEFAULT_REPEAT = 3, MAX_DEPTH = 1 << 27 };
static const int default_depths[] = {0, 2 << 10, 8 << 10, 32 << 10};
enum { N_DEFAULT_DEPTHS = sizeof default_depths / sizeof *default_depths };

/* ---- lists ---- */

static kvasir_status add_depth(sweep_plan *p, int depth)
{
    int at = p->n_depths;
    while (at > 0 && p->depth[at - 1] > depth) at--;
    if (at > 0 && p->depth[at - 1] == depth) return KVASIR_OK;
    if (p->n_depths == SWEEP_MAX_DEPTHS)
        return fail(KVASIR_E_ARGUMENT, "--depths: at most %d of them", SWEEP_MAX_DEPTHS);
    memmove(p->depth + at + 1, p->depth + at, (size_t)(p->n_depths - at) * sizeof *p->depth);
    p->depth[at] = depth;
    p->n_depths++;
    return KVASIR_OK;
}

static kvasir_status add_depths(sweep_plan *p, const char *list)
{
    char word[32];
    while (cli_next_item(&list, word, sizeof word)) {
        int64_t depth = 0;
        kvasir_status status = cli_parse_count(word, &depth);
        if (status != KVASIR_OK || depth < 0 || depth > MAX_DEPTH) return cli_wrong_depth(status, word, 0, MAX_DEPTH);
        TRY(add_depth(p, (int)depth));
    }
    return KVASIR_OK;
}

static kvasir_status add_type(sweep_plan *p, const char *type)
{
    for (int i = 0; i < p->n_types; i++)
        if (strcmp(p->kv[i], type) == 0) return KVASIR_OK;
    if (p->n_types == SWEEP_MAX_TYPES) return fail(KVASIR_E_ARGUMENT, "--kv: at most %d types", SWEEP_MAX_TYPES);
    (void)snprintf(p->kv[p->n_types++], SWEEP_TYPE_BYTES, "%s", type);
    return KVASIR_OK;
}

static kvasir_status add_types(sweep_plan *p, const char *list)
{
    char word[SWEEP_TYPE_BYTES];
    while (cli_next_item(&list, word, sizeof word)) TRY(add_type(p, word));
    return KVASIR_OK;
}

/* ---- options ---- */

/* What the command line leaves open comes from the document, so that --resume FILE beside the model is enough. */
static kvasir_status saved_options(sweep *w)
{
    sweep_plan *p = &w->plan;
    const json_t *o = json_object_get(w->saved, "options"), *machine = json_object_get(w->saved, "machine"), *item;
    size_t i;
    int pp = (int)json_integer_value(json_object_get(o, "pp")), tg = (int)json_integer_value(json_object_get(o, "tg"));
    int repeat = (int)json_integer_value(json_object_get(o, "repeat"));
    json_array_foreach(json_object_get(o, "depths"), i, item)
    {
        json_int_t depth = json_integer_value(item);
        if (depth < 0 || depth > MAX_DEPTH) return fail(KVASIR_E_ARGUMENT, "options.depths: %lld", (long long)depth);
        TRY(add_depth(p, (int)depth));
    }
    json_array_foreach(json_object_get(o, "kv"), i, item)
    {
        if (json_is_string(item)) TRY(add_type(p, json_string_value(item)));
    }
    if (!p->pp) p->pp = pp;
    if (!p->tg) p->tg = tg;
    if (!p->repeat) p->repeat = repeat;
    if (!p->text) p->text = json_string_value(json_object_get(o, "text"));
    if (!w->engine.chunk) w->engine.chunk = (int)json_integer_value(json_object_get(o, "chunk"));
    if (!w->engine.threads) w->engine.threads = (int)json_integer_value(json_object_get(machine, "threads"));
    return KVASIR_OK;
}

kvasir_status sweep_plan_options(sweep *w)
{
    const sweep_args *a = w->args;
    sweep_plan *p = &w->plan;
    *p = (sweep_plan){.pp = a->pp, .tg = a->tg, .repeat = a->repeat, .text = a->text};
    w->engine = a->engine;
    if (w->saved) TRY(saved_options(w));
    TRY(add_types(p, a->kv));
    TRY(add_depths(p, a->depths));
    if (p->n_types == 0) TRY(add_type(p, "f16"));
    if (p->pp <= 0) p->pp = DEFAULT_PP;
    if (p->tg <= 0) p->tg = DEFAULT_TG;
    if (p->repeat <= 0) p->repeat = DEFAULT_REPEAT;
    p->behind = max_int(p->pp, p->tg);
    if (p->pp > SWEEP_MAX_PP || p->tg > SWEEP_MAX_TG || p->repeat > SWEEP_MAX_REPEAT) /* of a document */
        return fail(KVASIR_E_ARGUMENT, "options: pp %d, tg %d, repeat %d", p->pp, p->tg, p->repeat);
    return KVASIR_OK;
}

/* ---- what the model allows ---- */

void sweep_type_text(const char *kv_k, const char *kv_v, char to[SWEEP_TYPE_BYTES])
{
    int same = strcmp(kv_k, kv_v) == 0;
    (void)snprintf(to, SWEEP_TYPE_BYTES, same ? "%s" : "%s:%s", kv_k, kv_v);
}

/* Puts the types' own names in place ("q8" for "q8_0:q8") and drops what then appears twice. */
static kvasir_status name_types(sweep *w)
{
    sweep_plan *p = &w->plan;
    int n = p->n_types;
    p->n_types = 0;
    for (int i = 0; i < n; i++) {
        kvasir_kv_stream k, v;
        char name[SWEEP_TYPE_BYTES];
        TRY(kvasir_model_kv_stream(w->s.model, p->kv[i], 0, &k));
        TRY(kvasir_model_kv_stream(w->s.model, p->kv[i], 1, &v));
        sweep_type_text(k.type, v.type, name);
        TRY(add_type(p, name));
    }
    return KVASIR_OK;
}

static kvasir_status check_depths(sweep *w)
{
    sweep_plan *p = &w->plan;
    int limit = w->engine.ctx ? w->engine.ctx : w->s.info->n_ctx_train, deepest = limit - p->behind;
    if (deepest < 0)
        return fail(KVASIR_E_CONTEXT, "the %d tokens that are measured do not fit the context of %d", p->behind, limit);
    if (p->n_depths == 0) {
        int n = 0;
        for (; n < N_DEFAULT_DEPTHS && default_depths[n] <= deepest; n++) TRY(add_depth(p, default_depths[n]));
        if (n < N_DEFAULT_DEPTHS) TRY(add_depth(p, deepest));
    }
    int last = p->depth[p->n_depths - 1];
    if (last > deepest)
        return fail(KVASIR_E_CONTEXT,
                    "a depth of %d and the %d tokens that are measured behind it make %d, the context holds %d: "
                    "the deepest that is possible is %d",
                    last, p->behind, last + p->behind, limit, deepest);
    return KVASIR_OK;
}

/* ---- the text ---- */

static void hash_name(uint64_t h, char to[SWEEP_HASH_BYTES])
{
    (void)snprintf(to, SWEEP_HASH_BYTES, "%016llx", (unsigned long long)h);
}

/* The text's first depth + behind tokens; the built-in text begins again where it ends. */
static kvasir_status make_ids(const session *s, const char *path, const char *text, size_t n_text, int depth,
                              int behind, int32_t **out)
{
    size_t n = 0, need = (size_t)depth + (size_t)behind;
    kvasir_status status = session_text_ids(s, text, n_text, need, out, &n);
    if (status == KVASIR_OK && ((n < need && path) || !*out)) {
        status = fail(KVASIR_E_ARGUMENT,
                      "%s has %zu tokens; a depth of %d and the %d tokens that are measured behind it need %zu",
                      path ? path : "the text", n, depth, behind, need);
        mem_free(*out);
        *out = NULL;
    }
    if (status == KVASIR_OK && n < need)
        note("the built-in text has %zu tokens and is repeated; -f FILE gives another", n);
    return status;
}

kvasir_status sweep_text_ids(const session *s, const char *path, int depth, int behind, int32_t **ids,
                             char hash[SWEEP_HASH_BYTES])
{
    char *text = NULL;
    size_t n = embedded_texts->bytes;
    if (path) TRY(read_text(path, &text, &n));
    const char *from = text ? text : embedded_texts->text;
    hash_name(hash_bytes(HASH_START, from, n), hash);
    kvasir_status status = make_ids(s, path, from, n, depth, behind, ids);
    free(text);
    return status;
}

static kvasir_status take_text(sweep *w)
{
    sweep_plan *p = &w->plan;
    int depth = p->depth[p->n_depths - 1];
    p->n_ids = depth + p->behind;
    return sweep_text_ids(&w->s, p->text, depth, p->behind, &p->ids, p->text_hash);
}

/* ---- identity ---- */

kvasir_status sweep_fingerprint(const session *s, char to[SWEEP_HASH_BYTES])
{
    const kvasir_model *m = s->model;
    const kvasir_model_info *info = s->info;
    uint64_t h = hash_bytes(HASH_START, &info->file_bytes, sizeof info->file_bytes);
    for (int i = 0; i < info->n_tensors; i++) {
        kvasir_tensor_info t;
        TRY(kvasir_model_tensor(m, i, &t));
        h = hash_text(hash_text(h, t.name), t.type);
        h = hash_bytes(h, t.shape, sizeof t.shape);
        h = hash_bytes(h, &t.offset, sizeof t.offset);
    }
    for (int i = 0; i < info->n_metadata; i++) {
        const char *key, *type;
        char *value = NULL;
        TRY(kvasir_model_metadata(m, i, &key, &type, &value));
        h = hash_text(hash_text(h, key), value);
        kvasir_free(value);
    }
    hash_name(h, to);
    return KVASIR_OK;
}

static kvasir_status make_rows(sweep *w)
{
    const sweep_plan *p = &w->plan;
    w->rows = mem_alloc((size_t)sweep_n_rows(w), sizeof *w->rows);
    if (!w->rows) return fail_memory((size_t)sweep_n_rows(w) * sizeof *w->rows);
    for (int t = 0; t < p->n_types; t++)
        for (int d = 0; d < p->n_depths; d++) {
            sweep_row *r = sweep_row_at(w, t, d);
            const char *colon = strchr(p->kv[t], ':');
            int k = colon ? (int)(colon - p->kv[t]) : (int)strlen(p->kv[t]);
            (void)snprintf(r->kv_k, sizeof r->kv_k, "%.*s", k, p->kv[t]);
            (void)snprintf(r->kv_v, sizeof r->kv_v, "%s", colon ? colon + 1 : p->kv[t]);
            r->depth = p->depth[d];
        }
    return KVASIR_OK;
}

kvasir_status sweep_plan_model(sweep *w)
{
    TRY(name_types(w));
    TRY(check_depths(w));
    TRY(take_text(w));
    TRY(sweep_fingerprint(&w->s, w->fingerprint));
    return make_rows(w);
}

void sweep_plan_free(sweep *w)
{
    mem_free(w->plan.ids);
    mem_free(w->rows);
    json_decref(w->saved);
}
