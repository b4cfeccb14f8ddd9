#include "cli/files/quality_file.h"
#include "base/file.h"
#include "base/hash.h"
#include "cli/files/embedded.h"
#include "cli/files/json_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const json_kind kind = {"kvasir.quality/1", "document of what kvasir verify measured"};
enum { PATH_BYTES = 1024 };

/* ---- which model -------------------------------------------------------------------------------------- */

/* What a header says of itself, so that a file may be renamed, moved, or still be elsewhere. */
static json_t *model_json(const kvasir_model_info *m)
{
    return json_pack("{s:o, s:o, s:o, s:o}", "name", json_text_or_null(m->name), "architecture",
                     json_text_or_null(m->architecture), "parameters", json_bytes(m->n_parameters), "tensor_bytes",
                     json_bytes(m->tensor_bytes));
}

static kvasir_status own_path(const kvasir_model_info *m, char *to, size_t n)
{
    char tail[64];
    uint64_t h = hash_text(hash_text(HASH_START, m->name), m->architecture);
    h = hash_bytes(h, &m->n_parameters, sizeof m->n_parameters);
    h = hash_bytes(h, &m->tensor_bytes, sizeof m->tensor_bytes);
    (void)snprintf(tail, sizeof tail, "kvasir/quality/%016llx.json", (unsigned long long)h);
    return user_path("XDG_CONFIG_HOME", ".config", tail, to, n);
}

/* ---- records ------------------------------------------------------------------------------------------ */

json_t *quality_record_json(const quality_record *r)
{
    return json_pack("{s:s, s:s, s:b, s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:o, s:o, s:i, s:i, s:i, s:i}", "kv",
                     r->kv, "date", r->date, "holds", r->holds, "depth", r->depth, "kld", json_number(r->kld),
                     "kld_median", json_number(r->kld_median), "kld_p999", json_number(r->kld_p999), "kld_floor",
                     json_number(r->kld_floor), "same_top", json_number(r->same_top), "ppl", json_number(r->ppl),
                     "ppl_ref", json_number(r->ppl_ref), "tokens", r->tokens, "forced_kld", json_number(r->forced_kld),
                     "forced_same_top", json_number(r->forced_same_top), "forced", r->forced, "needles", r->needles,
                     "needles_found", r->needles_found, "deepest", r->deepest);
}

static double number_of(const json_t *d, const char *name)
{
    const json_t *value = json_object_get(d, name);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int count_of(const json_t *d, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(d, name));
    return value < 0 || value > 1 << 30 ? 0 : (int)value;
}

/* 0 where it says nothing that can be used. */
static int read_record(const json_t *d, quality_record *r)
{
    const char *kv = json_string_value(json_object_get(d, "kv"));
    const char *date = json_string_value(json_object_get(d, "date"));
    const json_t *holds = json_object_get(d, "holds");
    if (!kv || strlen(kv) >= sizeof r->kv || strspn(kv, "fq0123468:") != strlen(kv) || !json_is_boolean(holds))
        return 0;
    *r = (quality_record){.kld = number_of(d, "kld"),
                          .kld_median = number_of(d, "kld_median"),
                          .kld_p999 = number_of(d, "kld_p999"),
                          .kld_floor = number_of(d, "kld_floor"),
                          .depth = count_of(d, "depth"),
                          .same_top = number_of(d, "same_top"),
                          .ppl = number_of(d, "ppl"),
                          .ppl_ref = number_of(d, "ppl_ref"),
                          .forced_kld = number_of(d, "forced_kld"),
                          .forced_same_top = number_of(d, "forced_same_top"),
                          .tokens = count_of(d, "tokens"),
                          .forced = count_of(d, "forced"),
                          .needles = count_of(d, "needles"),
                          .needles_found = count_of(d, "needles_found"),
                          .deepest = count_of(d, "deepest"),
                          .holds = json_is_true(holds)};
    /* What has no number where one must be is void: a file that says "holds" of it was written by another hand. */
    if (!isfinite(r->kld) || !isfinite(r->same_top) || !isfinite(r->ppl) || !isfinite(r->ppl_ref)) return 0;
    if (r->depth == 0) r->depth = 2048; /* before there were others */
    (void)snprintf(r->kv, sizeof r->kv, "%s", kv);
    (void)snprintf(r->date, sizeof r->date, "%.*s", (int)strspn(date ? date : "", "0123456789-T:Z"), date ? date : "");
    return 1;
}

static const quality_record *find_at(const quality *q, const char *kv, int depth)
{
    for (int i = 0; i < q->n; i++)
        if (strcmp(q->type[i].kv, kv) == 0 && q->type[i].depth == depth) return &q->type[i];
    return NULL;
}

/* Takes the records of types and depths that are not there yet. A document of another model has none. */
static void take_records(const json_t *d, const kvasir_model_info *m, int is_shipped, quality *out)
{
    const json_t *item;
    size_t i;
    json_t *model = model_json(m);
    int same = json_equal(model, json_object_get(d, "model"));
    json_decref(model);
    if (!same) return;
    json_array_foreach(json_object_get(d, "types"), i, item)
    {
        quality_record r;
        if (!read_record(item, &r)) {
            note("a record of what kvasir verify measured of the model's quality is not used: it lacks numbers (number "
                 "%zu)",
                 i + 1);
            continue;
        }
        if (out->n == QUALITY_MOST || find_at(out, r.kv, r.depth)) continue;
        r.shipped = is_shipped;
        out->type[out->n++] = r;
    }
}

/* ---- files -------------------------------------------------------------------------------------------- */

/* NULL without a file, or with one that cannot be used, which a note says. A new reference. */
static json_t *read_document(const char *path)
{
    json_t *d = NULL;
    if (access(path, F_OK) == 0 && json_read(path, &kind, &d) != KVASIR_OK)
        note("%s; what was measured of the model's quality is not used", kvasir_message());
    return d;
}

void quality_read(const kvasir_model_info *m, quality *out)
{
    char path[PATH_BYTES];
    out->n = 0;
    if (own_path(m, path, sizeof path) == KVASIR_OK) {
        json_t *d = read_document(path);
        take_records(d, m, 0, out);
        json_decref(d);
    }
    for (const embedded *e = embedded_quality; e->name; e++) {
        json_t *d;
        if (json_parse(e->text, e->bytes, e->name, &kind, &d) != KVASIR_OK) continue; /* a test reads them all */
        take_records(d, m, 1, out);
        json_decref(d);
    }
}

const quality_record *quality_find(const quality *q, const char *kv)
{
    const quality_record *found = NULL;
    for (int i = 0; i < q->n; i++)
        if (strcmp(q->type[i].kv, kv) == 0 && (!found || q->type[i].depth > found->depth)) found = &q->type[i];
    return found;
}

const char *quality_unusable(const quality *q, char to[QUALITY_LIST_BYTES])
{
    int used = 0;
    to[0] = '\0';
    for (int i = 0; i < q->n; i++)
        if (!q->type[i].holds && used < QUALITY_LIST_BYTES - QUALITY_TYPE_BYTES)
            used += snprintf(to + used, (size_t)(QUALITY_LIST_BYTES - used), "%s%s", used ? "," : "", q->type[i].kv);
    return to;
}

kvasir_status quality_check(const kvasir_model_info *m)
{
    char path[1024];
    TRY(own_path(m, path, sizeof path));
    TRY(file_make_folders(path));
    return output_check(path);
}

kvasir_status quality_store(const kvasir_model_info *m, const quality_record *r, char *path, size_t n)
{
    quality known = {.n = 0};
    json_t *types = json_array();
    TRY(own_path(m, path, n));
    json_t *d = read_document(path);
    take_records(d, m, 0, &known);
    json_decref(d);
    for (int i = 0; i < known.n; i++)
        if (strcmp(known.type[i].kv, r->kv) != 0 || known.type[i].depth != r->depth)
            (void)json_array_append_new(types, quality_record_json(&known.type[i]));
    (void)json_array_append_new(types, quality_record_json(r));
    d = json_document("quality");
    (void)json_object_update_new(d, json_pack("{s:s, s:o, s:o}", "version", kvasir_version(), "model", model_json(m),
                                              "types", types));
    (void)file_make_folders(path); /* what cannot be made shows when the file is written */
    kvasir_status status = json_write(d, path);
    json_decref(d);
    return status;
}
