/* What tune knows, as the file that --config reads and that a stopped tune goes on from. */
#include "cli/tune/tune.h"
#include "cli/files/config_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* "q8:q4" or "q8" apart. */
static void split_type(const char *type, char k[8], char v[8])
{
    const char *colon = strchr(type, ':');
    (void)snprintf(k, 8, "%.*s", (int)strcspn(type, ":"), type);
    (void)snprintf(v, 8, "%s", colon ? colon + 1 : type);
}

json_t *tune_point_json(tune_point p)
{
    return json_pack("{s:s, s:i, s:i, s:s}", "kv", tune_types[p.type], "threads", p.threads, "chunk", p.chunk, "draft",
                     p.draft ? "lookup" : "none");
}

/* What decides whether the comparisons of a stopped run are this one's. */
static json_t *options_json(const tune *t)
{
    const tune_args *a = t->args;
    return json_pack("{s:i, s:i, s:o, s:o, s:i, s:i, s:i, s:s}", "ctx", a->engine.ctx, "want_ctx", a->want_ctx,
                     "budget_bytes", json_bytes(a->budget), "reserve_bytes", json_bytes(a->reserve), "depth", t->depth,
                     "repeat", t->repeat, "threads", t->cores, "text_hash", t->text_hash);
}

static json_t *model_json(const tune *t)
{
    const kvasir_model_info *i = t->s.info;
    struct stat st;
    /* Of a split set the first file: it is what the others look at without opening the model. */
    uint64_t bytes = stat(t->s.path, &st) == 0 ? (uint64_t)st.st_size : i->file_bytes;
    return json_pack("{s:o, s:o, s:o, s:s}", "path", json_text_or_null(t->s.path), "name", json_text_or_null(i->name),
                     "file_bytes", json_bytes(bytes), "fingerprint", t->fingerprint);
}

static json_t *machine_json(const tune *t)
{
    kvasir_engine_info info;
    kvasir_engine_get_info(t->s.engine, &info);
    return json_pack("{s:o, s:i, s:s}", "cpu", json_text_or_null(info.cpu_model), "cores", t->cores, "level",
                     info.cpu_level);
}

static json_t *memory_json(const tune *t)
{
    json_t *list = json_array();
    for (int i = 0; i < TUNE_TYPES; i++)
        (void)json_array_append_new(list, json_pack("{s:s, s:o, s:o, s:b, s:b}", "kv", tune_types[i], "total_bytes",
                                                    json_bytes(t->fit[i].total_bytes), "kv_bytes",
                                                    json_bytes(t->fit[i].kv_bytes), "fits", t->fit[i].fits,
                                                    "quality_fails", t->fit[i].fails));
    return list;
}

json_t *tune_document(const tune *t)
{
    char k[8], v[8], date[DATE_BYTES];
    date_text(date);
    split_type(tune_types[t->now.type], k, v);
    json_t *d = json_document("config");
    (void)json_object_update_new(d, json_pack("{s:s, s:s, s:b, s:o, s:o}", "version", kvasir_version(), "date", date,
                                              "complete", t->complete, "model", model_json(t), "machine",
                                              machine_json(t)));
    (void)json_object_update_new(
        d, json_pack("{s:i, s:s, s:s, s:i, s:i, s:s, s:o, s:o}", "ctx", t->ctx, "kv_k", k, "kv_v", v, "threads",
                     t->now.threads, "chunk", t->now.chunk, "draft", t->now.draft ? "lookup" : "none", "cpu",
                     json_text_or_null(t->args->engine.cpu), "kv_memory_bytes", json_bytes(t->kv_room)));
    (void)json_object_update_new(d, json_pack("{s:o, s:o, s:o, s:i, s:o, s:o, s:O}", "budget_bytes",
                                              json_bytes(t->budget), "reserve_bytes", json_bytes(t->reserve),
                                              "margin_bytes", json_bytes(t->margin), "depth", t->depth, "options",
                                              options_json(t), "memory", memory_json(t), "evidence", t->evidence));
    return d;
}

kvasir_status tune_save(const tune *t)
{
    json_t *d = tune_document(t);
    kvasir_status status = config_write(t->out, d);
    json_decref(d);
    return status;
}

/* ---- going on ----------------------------------------------------------------------------------------- */

static const char *difference(const json_t *saved, const json_t *present)
{
    static const char *const parts[] = {"machine", "options", "cpu", "version"};
    const json_t *a = json_object_get(json_object_get(saved, "model"), "fingerprint");
    const json_t *b = json_object_get(json_object_get(present, "model"), "fingerprint");
    if (!json_equal(a, b)) return "model";
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!json_equal(json_object_get(saved, parts[i]), json_object_get(present, parts[i]))) return parts[i];
    return NULL;
}

kvasir_status tune_take_saved(tune *t)
{
    struct stat st;
    json_t *d = NULL;
    if (stat(t->out, &st) != 0) return KVASIR_OK;
    TRY(config_read(t->out, &d)); /* what is no configuration is not written over */
    json_t *present = tune_document(t);
    const char *differs = difference(d, present);
    int complete = !json_is_false(json_object_get(d, "complete"));
    json_decref(present);
    if (complete || differs) {
        if (!complete) note("%s was begun with another %s: tuning from the start", t->out, differs);
        json_decref(d);
        return KVASIR_OK;
    }
    size_t n = json_array_size(json_object_get(d, "evidence"));
    note("%s is not complete: going on behind its %zu comparison%s", t->out, n, n == 1 ? "" : "s");
    t->saved = d;
    return KVASIR_OK;
}

static int is_point(const json_t *side, tune_point p)
{
    json_t *wanted = tune_point_json(p), *value;
    const char *key;
    int same = 1;
    json_object_foreach(wanted, key, value)
    {
        same = same && json_equal(value, json_object_get(side, key));
    }
    json_decref(wanted);
    return same;
}

const json_t *tune_saved_comparison(const tune *t, tune_step step, tune_point a, tune_point b)
{
    const json_t *e;
    size_t i;
    json_array_foreach(json_object_get(t->saved, "evidence"), i, e)
    {
        const char *name = json_string_value(json_object_get(e, "step"));
        if (name && strcmp(name, tune_step_names[step]) == 0 && is_point(json_object_get(e, "a"), a) &&
            is_point(json_object_get(e, "b"), b) && json_is_boolean(json_object_get(e, "taken")))
            return e;
    }
    return NULL;
}
