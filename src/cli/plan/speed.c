/* The speed in a plan: a machine's profile, what a sweep has measured, and how both are shown. */
#include "base/checked.h"
#include "base/format.h"
#include "base/mem.h"
#include "cli/machine/machine.h"
#include "cli/plan/plan.h"
#include "cli/sweep/sweep.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const char *const shown_types[] = {"f16", "q8", "q4"};

/* ---- what it is predicted from ---- */

/* Seconds of a usual token. */
static double decode_seconds(const sweep_row *r)
{
    if (r->decode_ms_p50 > 0) return 1e-3 * r->decode_ms_p50;
    return r->decode_tps > 0 ? 1 / r->decode_tps : 0;
}

static kvasir_status take_row(plan_speed *s, const json_t *row, int pp)
{
    sweep_row r;
    TRY(sweep_read_row(row, &r));
    if (r.state != SWEEP_DONE) return KVASIR_OK;
    if (s->n_samples == PLAN_SAMPLES) return fail(KVASIR_E_ARGUMENT, "the sweep has more than %d rows", PLAN_SAMPLES);
    char *type = s->types[s->n_samples];
    sweep_type_text(r.kv_k, r.kv_v, type);
    s->samples[s->n_samples++] = (kvasir_speed_sample){.kv = type,
                                                       .depth = r.depth,
                                                       .n_prefill = pp,
                                                       .decode_s = decode_seconds(&r),
                                                       .prefill_s = r.prefill_tps > 0 ? pp / r.prefill_tps : 0,
                                                       .read_bytes_per_s = r.read_bytes_per_s};
    return KVASIR_OK;
}

static kvasir_status read_sweep(plan_speed *s, const char *path)
{
    json_t *d;
    TRY(sweep_read(path, &d));
    s->samples = mem_alloc(PLAN_SAMPLES, sizeof *s->samples);
    s->types = mem_alloc(PLAN_SAMPLES, sizeof *s->types);
    kvasir_status status = s->samples && s->types ? KVASIR_OK : fail_memory(PLAN_SAMPLES * sizeof *s->samples);
    const json_t *rows = json_object_get(d, "rows");
    json_int_t pp = json_integer_value(json_object_get(json_object_get(d, "options"), "pp"));
    if (status == KVASIR_OK && (pp < 1 || pp > SWEEP_MAX_PP))
        status = fail(KVASIR_E_ARGUMENT, "%s: options.pp is no number of tokens", path);
    for (size_t i = 0; status == KVASIR_OK && i < json_array_size(rows); i++)
        status = take_row(s, json_array_get(rows, i), (int)pp);
    json_decref(d);
    if (status == KVASIR_OK && s->n_samples == 0)
        status = fail(KVASIR_E_ARGUMENT, "%s has no row that was measured", path);
    return status;
}

static int read_depths(plan_speed *s, const char *list)
{
    char word[64];
    while (cli_next_item(&list, word, sizeof word)) {
        int64_t depth = 0;
        if (!*word) continue;
        kvasir_status status = cli_parse_count(word, &depth);
        if (status != KVASIR_OK || depth < 0 || depth > 1 << 27)
            return failed(cli_wrong_depth(status, word, 0, 1 << 27));
        if (s->n_depths == PLAN_DEPTHS) return usage_error("--depths: more than %d", PLAN_DEPTHS);
        s->depth[s->n_depths++] = (int)depth;
    }
    return EXIT_DONE;
}

int plan_speed_open(const plan_speed_args *a, const char *cpu, plan_speed *out)
{
    *out = (plan_speed){.min_tps = a->min_tps, .cpu = cpu};
    int code = a->depths ? read_depths(out, a->depths) : EXIT_DONE;
    if (code != EXIT_DONE) return code;
    out->machine = mem_alloc(1, sizeof *out->machine);
    if (!out->machine) return failed(fail_memory(sizeof *out->machine));
    kvasir_status status = machine_find(a->machine, out->machine);
    if (status != KVASIR_OK && (a->machine || a->sweep || a->min_tps > 0)) return failed(status);
    if (status != KVASIR_OK) {
        if (status != KVASIR_E_IO) note("%s", kvasir_message()); /* it is there, and no profile */
        mem_free(out->machine);
        out->machine = NULL;
        return EXIT_DONE;
    }
    status = a->sweep ? read_sweep(out, a->sweep) : KVASIR_OK;
    return status == KVASIR_OK ? EXIT_DONE : failed(status);
}

void plan_speed_close(plan_speed *s)
{
    mem_free(s->machine);
    mem_free(s->samples);
    mem_free(s->types);
    *s = (plan_speed){0};
}

/* ---- predictions ---- */

kvasir_status plan_speed_at(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m, const char *kv,
                            int depth, kvasir_speed *out)
{
    const kvasir_predict_options o = {.kv = kv,
                                      .cpu = s->cpu,
                                      .n_threads =
                                          min_int(p->n_threads, max_int(s->machine ? s->machine->n_cores : 0, 1)),
                                      .max_batch = p->max_batch,
                                      .samples = s->samples,
                                      .n_samples = s->n_samples};
    if (!s->machine) return fail(KVASIR_E_UNSUPPORTED, "there is no profile of this machine; kvasir probe makes one");
    if (!m->runs) return fail(KVASIR_E_UNSUPPORTED, "speed is predicted for models that run here");
    return kvasir_predict(m->model, s->machine, &o, depth, out);
}

void plan_chosen_type(const kvasir_plan_model *m, char to[PLAN_TYPE_BYTES])
{
    sweep_type_text(m->kv_k, m->kv_v, to);
}

int plan_speed_depths(const plan_speed *s, const kvasir_plan_model *m, int depths[PLAN_DEPTHS])
{
    int n = 0;
    if (s->n_depths > 0) {
        memcpy(depths, s->depth, sizeof s->depth);
        return s->n_depths;
    }
    depths[n++] = 0;
    for (int d = 4096; d < m->ctx && n < PLAN_DEPTHS - 1; d *= 4) depths[n++] = d;
    if (m->ctx > 1) depths[n++] = m->ctx - 1;
    return n;
}

int plan_speed_reach(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m)
{
    char kv[PLAN_TYPE_BYTES];
    kvasir_speed v;
    int low = -1, high = m->ctx; /* `low` is fast enough, `high` + 1 is not */
    plan_chosen_type(m, kv);
    if (plan_speed_at(s, p, m, kv, 0, &v) != KVASIR_OK || 1 / v.decode_s.value < s->min_tps) return -1;
    for (low = 0; low < high;) {
        int middle = low + (high - low + 1) / 2;
        if (plan_speed_at(s, p, m, kv, middle, &v) != KVASIR_OK) return -1;
        if (1 / v.decode_s.value >= s->min_tps)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

double plan_speed_spilled(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m, int *depth)
{
    char kv[PLAN_TYPE_BYTES];
    kvasir_speed v;
    kvasir_kv_info inside, beyond;
    if (!s->machine || s->machine->disk_bytes_per_s <= 0 || m->spill_depth <= 0 || !m->runs) return 0;
    plan_chosen_type(m, kv);
    *depth = m->spill_depth + m->spill_depth / 10;
    if (plan_speed_at(s, p, m, kv, *depth, &v) != KVASIR_OK ||
        kvasir_model_kv(m->model, kv, m->spill_depth, &inside) != KVASIR_OK ||
        kvasir_model_kv(m->model, kv, *depth, &beyond) != KVASIR_OK)
        return 0;
    double missing = (double)(beyond.bytes_at_ctx - inside.bytes_at_ctx) * p->users;
    return 1000 * (v.decode_s.value + missing / s->machine->disk_bytes_per_s);
}

/* ---- text and JSON ---- */

static const char *per_second(double seconds, char to[FORMAT_BYTES])
{
    (void)snprintf(to, FORMAT_BYTES, "%.1f", 1 / seconds);
    return to;
}

static void print_depth(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m, const char *kv,
                        int depth)
{
    kvasir_speed v;
    char value[FORMAT_BYTES], low[FORMAT_BYTES], high[FORMAT_BYTES], range[FORMAT_BYTES];
    if (plan_speed_at(s, p, m, kv, depth, &v) != KVASIR_OK) {
        (void)printf("  %s\n", kvasir_message());
        return;
    }
    (void)format_range(per_second(v.decode_s.value, value), per_second(v.decode_s.high, low),
                       per_second(v.decode_s.low, high), range);
    (void)printf("  %10s  %-24s  %11.0f", count_text((uint64_t)depth), range, p->max_batch / v.batch_s.value);
    (void)format_range(format_time(v.prefill_s.value + v.decode_s.value, value),
                       format_time(v.prefill_s.low + v.decode_s.low, low),
                       format_time(v.prefill_s.high + v.decode_s.high, high), range);
    (void)printf("  %s\n", range);
}

void plan_speed_print(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m)
{
    int depths[PLAN_DEPTHS], n = plan_speed_depths(s, m, depths), beyond = 0;
    char kv[PLAN_TYPE_BYTES];
    kvasir_speed v;
    if (!m->kv_known || (!s->machine && !m->runs)) return; /* a profile alone would not help */
    plan_chosen_type(m, kv);
    if (plan_speed_at(s, p, m, kv, 0, &v) != KVASIR_OK) {
        (void)printf("  %-26s  not predicted: %s\n", "speed", kvasir_message());
        return;
    }
    const bool swept = strcmp(v.basis, "sweep") == 0, probed = strcmp(v.basis, "probe") == 0;
    char when[64] = "", busy[256];
    if (!swept && s->machine->date[0])
        (void)snprintf(when, sizeof when, "%s on %.10s", probed ? "" : ", measured", s->machine->date);
    (void)printf("  speed with %s on %s, from %s%s; in brackets 90%% of measurements\n", kv, s->machine->name,
                 swept    ? "a sweep of this model"
                 : probed ? "the kernels that kvasir probe measured"
                          : "the machine's limits alone",
                 when);
    if (!swept && machine_was_busy(s->machine, busy, sizeof busy))
        (void)printf("    the ranges are wide, since the machine was busy when it was measured: %s\n", busy);
    (void)printf("  %10s  %-24s  %11s  %s\n", "depth", "decode t/s", "prefill t/s", "first token after");
    for (int i = 0; i < n; i++) print_depth(s, p, m, kv, depths[i]);
    double spilled = plan_speed_spilled(s, p, m, &beyond);
    char token[FORMAT_BYTES];
    if (spilled > 0)
        (void)printf("  at %s tokens, a tenth beyond what fits, a token would take about %s: what is too much "
                     "comes from the "
                     "disk\n",
                     count_text((uint64_t)beyond), format_time(spilled / 1000, token));
}

void plan_speed_note_unused(const plan_speed *s, const kvasir_plan *p)
{
    char kv[PLAN_TYPE_BYTES];
    kvasir_speed v;
    if (s->n_depths == 0) return;
    for (int i = 0; i < p->n_models; i++) {
        const kvasir_plan_model *m = &p->models[i];
        plan_chosen_type(m, kv);
        if (m->kv_known && plan_speed_at(s, p, m, kv, 0, &v) == KVASIR_OK) return;
    }
    note("--depths has no effect, since no speed is predicted: %s",
         !s->machine ? "there is no profile of this machine; kvasir probe makes one" : kvasir_message());
}

static json_t *estimate_json(double value, double low, double high, const char *basis)
{
    return json_pack("{s:o, s:o, s:o, s:s}", "est", json_number(value), "lo", json_number(low), "hi", json_number(high),
                     "basis", basis);
}

static void add_json(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m, const char *kv, int depth,
                     json_t *to)
{
    kvasir_speed v;
    if (plan_speed_at(s, p, m, kv, depth, &v) != KVASIR_OK) return;
    (void)json_array_append_new(
        to,
        json_pack("{s:i, s:s, s:o, s:o, s:o, s:o}", "depth", depth, "kv", kv, "decode_tps",
                  estimate_json(1 / v.decode_s.value, 1 / v.decode_s.high, 1 / v.decode_s.low, v.basis), "prefill_s",
                  estimate_json(v.prefill_s.value, v.prefill_s.low, v.prefill_s.high, v.basis), "batch_tps",
                  estimate_json(p->max_batch / v.batch_s.value, p->max_batch / v.batch_s.high,
                                p->max_batch / v.batch_s.low, v.basis),
                  "floor_ms", json_number(1000 * v.floor_s)));
}

json_t *plan_speed_json(const plan_speed *s, const kvasir_plan *p, const kvasir_plan_model *m)
{
    int depths[PLAN_DEPTHS], n = plan_speed_depths(s, m, depths);
    json_t *list = json_array();
    char kv[PLAN_TYPE_BYTES];
    if (!s->machine || !m->kv_known) return list;
    plan_chosen_type(m, kv);
    for (int i = 0; i < n; i++) {
        add_json(s, p, m, kv, depths[i], list);
        for (size_t t = 0; t < sizeof shown_types / sizeof *shown_types; t++)
            if (strcmp(shown_types[t], kv) != 0) add_json(s, p, m, shown_types[t], depths[i], list);
    }
    return list;
}
