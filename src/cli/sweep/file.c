/* A sweep as a file: the JSON document, which --resume and --compare read again, and CSV. */
#include "cli/files/json_file.h"
#include "cli/sweep/sweep.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

/* A row that failed has its numbers as null. */
static json_t *row_json(const sweep_row *r)
{
    int ok = r->state == SWEEP_DONE;
    json_t *o = json_pack("{s:s, s:s, s:i}", "kv_k", r->kv_k, "kv_v", r->kv_v, "depth", r->depth);
#define X(name) (void)json_object_set_new(o, #name, ok ? json_number(r->name) : json_null());
    SWEEP_REAL_MAP(X)
#undef X
#define X(name) (void)json_object_set_new(o, #name, ok ? json_integer(r->name) : json_null());
    SWEEP_WHOLE_MAP(X)
#undef X
    (void)json_object_set_new(o, "error", ok ? json_null() : json_text_or_null(r->error));
    return o;
}

static json_t *machine_json(const sweep *w)
{
    return json_pack("{s:o, s:s, s:i, s:o}", "cpu", json_text_or_null(w->info.cpu_model), "level", w->info.cpu_level,
                     "threads", w->info.n_threads, "read_bytes_per_s", json_number(w->read_bytes_per_s));
}

static json_t *model_json(const sweep *w)
{
    const kvasir_model_info *i = w->s.info;
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:s}", "path", json_text_or_null(i->path), "name",
                     json_text_or_null(i->name), "architecture", json_text_or_null(i->architecture), "parameters",
                     json_bytes(i->n_parameters), "file_bytes", json_bytes(i->file_bytes), "fingerprint",
                     w->fingerprint);
}

static json_t *options_json(const sweep *w)
{
    const sweep_plan *p = &w->plan;
    json_t *depths = json_array(), *types = json_array();
    for (int i = 0; i < p->n_depths; i++) (void)json_array_append_new(depths, json_integer(p->depth[i]));
    for (int i = 0; i < p->n_types; i++) (void)json_array_append_new(types, json_string(p->kv[i]));
    return json_pack("{s:o, s:o, s:i, s:i, s:i, s:i, s:o, s:s}", "depths", depths, "kv", types, "pp", p->pp, "tg",
                     p->tg, "repeat", p->repeat, "chunk", w->info.max_batch, "text", json_text_or_null(p->text),
                     "text_hash", p->text_hash);
}

json_t *sweep_document(const sweep *w)
{
    json_t *d = json_document("sweep"), *rows = json_array();
    int complete = 1;
    for (int i = 0; i < sweep_n_rows(w); i++)
        if (w->rows[i].state == SWEEP_MISSING)
            complete = 0;
        else
            (void)json_array_append_new(rows, row_json(&w->rows[i]));
    (void)json_object_set_new(d, "version", json_string(kvasir_version()));
    (void)json_object_set_new(d, "complete", json_boolean(complete));
    (void)json_object_set_new(d, "machine", machine_json(w));
    (void)json_object_set_new(d, "model", model_json(w));
    (void)json_object_set_new(d, "options", options_json(w));
    (void)json_object_set_new(d, "rows", rows);
    (void)json_object_set_new(d, "memory", json_memory(w->s.engine));
    return d;
}

kvasir_status sweep_save(const sweep *w, const char *path)
{
    json_t *d = sweep_document(w);
    kvasir_status status = json_write(d, path);
    json_decref(d);
    return status;
}

static void csv_text(FILE *f, const char *s)
{
    (void)fputc('"', f);
    for (; *s; s++) {
        if (*s == '"') (void)fputc('"', f);
        (void)fputc(*s, f);
    }
    (void)fputc('"', f);
}

static void csv_row(FILE *f, const sweep_row *r)
{
    int ok = r->state == SWEEP_DONE;
    (void)fprintf(f, "%s,%s,%d", r->kv_k, r->kv_v, r->depth);
#define X(name)                                                                                                        \
    (void)fputc(',', f);                                                                                               \
    if (ok && isfinite(r->name)) (void)fprintf(f, "%.6g", r->name);
    SWEEP_REAL_MAP(X)
#undef X
#define X(name)                                                                                                        \
    (void)fputc(',', f);                                                                                               \
    if (ok) (void)fprintf(f, "%" PRId64, r->name);
    SWEEP_WHOLE_MAP(X)
#undef X
    (void)fputc(',', f);
    if (!ok) csv_text(f, r->error);
    (void)fputc('\n', f);
}

static kvasir_status csv(const void *what, FILE *f)
{
    const sweep *w = what;
#define X(name) "," #name
    (void)fputs("kv_k,kv_v,depth" SWEEP_REAL_MAP(X) SWEEP_WHOLE_MAP(X) ",error\n", f);
#undef X
    for (int i = 0; i < sweep_n_rows(w); i++)
        if (w->rows[i].state != SWEEP_MISSING) csv_row(f, &w->rows[i]);
    return KVASIR_OK;
}

kvasir_status sweep_write_csv(const sweep *w, const char *path)
{
    return write_document(path, csv, w);
}

/* ---- reading ---- */

kvasir_status sweep_read(const char *path, json_t **out)
{
    static const json_kind kind = {"kvasir.sweep/1", "document of kvasir sweep"};
    json_t *d;
    TRY(json_read(path, &kind, &d));
    if (!json_is_array(json_object_get(d, "rows"))) {
        json_decref(d);
        return fail(KVASIR_E_ARGUMENT, "%s: rows is missing, or no array", path);
    }
    *out = d;
    return KVASIR_OK;
}

kvasir_status sweep_read_row(const json_t *from, sweep_row *out)
{
    const char *k = json_string_value(json_object_get(from, "kv_k"));
    const char *v = json_string_value(json_object_get(from, "kv_v"));
    const char *error = json_string_value(json_object_get(from, "error"));
    json_int_t depth = json_integer_value(json_object_get(from, "depth"));
    *out = (sweep_row){.depth = (int)depth, .state = error ? SWEEP_FAILED : SWEEP_DONE};
    if (!k || !v || strlen(k) >= sizeof out->kv_k || strlen(v) >= sizeof out->kv_v || depth < 0 || depth > 1 << 27)
        return fail(KVASIR_E_ARGUMENT, "a row without kv_k, kv_v and depth");
    (void)snprintf(out->kv_k, sizeof out->kv_k, "%s", k);
    (void)snprintf(out->kv_v, sizeof out->kv_v, "%s", v);
    (void)snprintf(out->error, sizeof out->error, "%s", error ? error : "");
    const json_t *value;
#define X(name)                                                                                                        \
    value = json_object_get(from, #name);                                                                              \
    out->name = json_is_number(value) ? json_number_value(value) : (double)NAN;
    SWEEP_REAL_MAP(X)
#undef X
#define X(name) out->name = json_integer_value(json_object_get(from, #name));
    SWEEP_WHOLE_MAP(X)
#undef X
    return KVASIR_OK;
}

/* What a value is in a message: text as it is, numbers as JSON. */
static const char *value_text(const json_t *value, char *to, size_t n)
{
    char *dumped = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)) : NULL;
    (void)snprintf(to, n, "%s", dumped ? dumped : "nothing");
    free(dumped);
    return to;
}

/* What decides whether rows can stand in one table. */
static const char *const decisive[][2] = {{"model", "fingerprint"}, {"machine", "cpu"},   {"machine", "level"},
                                          {"machine", "threads"},   {"options", "pp"},    {"options", "tg"},
                                          {"options", "repeat"},    {"options", "chunk"}, {"options", "text_hash"}};

static kvasir_status check_same(const json_t *saved, const json_t *present, const char *path)
{
    for (size_t i = 0; i < sizeof decisive / sizeof *decisive; i++) {
        const char *object = decisive[i][0], *key = decisive[i][1];
        const json_t *a = json_object_get(json_object_get(saved, object), key);
        const json_t *b = json_object_get(json_object_get(present, object), key);
        char was[128], is[128];
        if (!json_equal(a, b))
            return fail(KVASIR_E_ARGUMENT, "%s cannot be resumed: %s.%s was %s and is %s now", path, object, key,
                        value_text(a, was, sizeof was), value_text(b, is, sizeof is));
    }
    return KVASIR_OK;
}

kvasir_status sweep_take_rows(sweep *w)
{
    json_t *present = sweep_document(w);
    kvasir_status status = check_same(w->saved, present, w->args->resume);
    json_decref(present);
    TRY(status);
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(w->saved, "rows"), i, item)
    {
        sweep_row r;
        TRY(sweep_read_row(item, &r));
        for (int at = 0; at < sweep_n_rows(w) && r.state == SWEEP_DONE; at++) {
            sweep_row *mine = &w->rows[at];
            if (mine->depth == r.depth && strcmp(mine->kv_k, r.kv_k) == 0 && strcmp(mine->kv_v, r.kv_v) == 0) *mine = r;
        }
    }
    /* The floors of all rows are to come from one bandwidth. */
    const json_t *rate = json_object_get(json_object_get(w->saved, "machine"), "read_bytes_per_s");
    if (json_number_value(rate) > 0) w->read_bytes_per_s = json_number_value(rate);
    return KVASIR_OK;
}
