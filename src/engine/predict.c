/* kvasir_predict: plan/speed.c over a model's header and a machine's profile, corrected by what was measured. */
#include "base/checked.h"
#include "base/mem.h"
#include "engine/model.h"
#include "plan/speed.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_BATCH = 512 };

/* What a prediction stands on, and half the width of its interval, as a factor on both sides: what bench/plan_error.py found
   to hold nine of ten. */
typedef struct basis {
    const char *name;
    double width;
} basis;
static const basis by_sweep = {"sweep", 1.12}, by_probe = {"probe", 1.25}, by_machine = {"machine", 1.60};

static kvasir_estimate around(double value, double width)
{
    return (kvasir_estimate){value, value / width, value * width};
}

static double apply(speed_parts p, speed_factors f)
{
    return p.flat * f.flat + p.deep * f.deep;
}

/* Samples of the setup's own KV types, or all where there are none of those. */
static bool same_types(const kvasir_speed_sample *s, const speed_setup *setup, speed_setup *of)
{
    *of = *setup;
    return kv_type_parse(s->kv, &of->k, &of->v) == KVASIR_OK && of->k == setup->k && of->v == setup->v;
}

typedef struct factors {
    speed_factors decode, prefill;
    bool measured;
} factors;

static kvasir_status learn(const speed_shape *m, const speed_setup *setup, const kvasir_predict_options *o,
                           factors *out)
{
    speed_setup of;
    bool own = false;
    int n_decode = 0, n_prefill = 0;
    *out = (factors){{1, 1}, {1, 1}, false};
    if (o->n_samples == 0) return KVASIR_OK;
    speed_sample *decode = mem_alloc((size_t)o->n_samples, sizeof *decode);
    speed_sample *prefill = mem_alloc((size_t)o->n_samples, sizeof *prefill);
    for (int i = 0; i < o->n_samples; i++) own |= same_types(&o->samples[i], setup, &of);
    for (int i = 0; decode && prefill && i < o->n_samples; i++) {
        const kvasir_speed_sample *s = &o->samples[i];
        if (same_types(s, setup, &of) != own) continue;
        if (s->decode_s > 0) decode[n_decode++] = (speed_sample){speed_decode(m, &of, s->depth), s->decode_s};
        if (s->prefill_s > 0 && s->n_prefill > 0)
            prefill[n_prefill++] = (speed_sample){speed_prefill(m, &of, s->depth, s->n_prefill), s->prefill_s};
    }
    out->decode = speed_fit(decode, n_decode);
    out->prefill = speed_fit(prefill, n_prefill);
    out->measured = n_decode > 0 && n_prefill > 0;
    kvasir_status status = decode && prefill ? KVASIR_OK : fail_memory((size_t)o->n_samples * sizeof *decode);
    mem_free(decode);
    mem_free(prefill);
    return status;
}

static kvasir_status check(const kvasir_model *m, const kvasir_machine *machine, const kvasir_predict_options *o,
                           int depth)
{
    if (!machine || depth < 0 || depth > KV_MAX_CONTEXT || o->n_threads < 0 || o->max_batch < 0 || o->n_samples < 0)
        return fail(KVASIR_E_ARGUMENT, "a machine, a depth of 0 to %d and options that are not negative are needed",
                    KV_MAX_CONTEXT);
    if (!m->has_hparams)
        return fail(KVASIR_E_UNSUPPORTED, "the speed of architecture %s is not known",
                    quoted(m->info.architecture, strlen(m->info.architecture)));
    return KVASIR_OK;
}

kvasir_status kvasir_predict(const kvasir_model *m, const kvasir_machine *machine, const kvasir_predict_options *o,
                             int depth, kvasir_speed *out)
{
    const kvasir_predict_options none = {0};
    const char *missing;
    speed_shape shape;
    factors f;
    kv_layout layout;
    if (!o) o = &none;
    TRY(check(m, machine, o, depth));
    speed_setup s = {.machine = machine,
                     .level = o->cpu,
                     .threads = o->n_threads,
                     .chunk = o->max_batch ? o->max_batch : DEFAULT_BATCH};
    TRY(kv_type_parse(o->kv ? o->kv : "f16", &s.k, &s.v));
    TRY(model_kv_layout(m, o->kv, &layout));
    if (!speed_known(&s, &missing)) {
        kv_layout_free(&layout);
        return fail(KVASIR_E_ARGUMENT, "the profile of %s has no %s%s%s: speed cannot be predicted",
                    quoted(machine->name, strlen(machine->name)), missing, s.level ? " for level " : "",
                    s.level ? s.level : "");
    }
    speed_shape_of(m->gguf, &m->hparams, &shape);
    kvasir_status status = learn(&shape, &s, o, &f);
    const basis *on = f.measured ? &by_sweep : speed_from_kernels(&s) ? &by_probe : &by_machine;
    *out = (kvasir_speed){.depth = depth,
                          .decode_s = around(apply(speed_decode(&shape, &s, depth), f.decode), on->width),
                          .prefill_s = around(apply(speed_prefill(&shape, &s, 0, depth), f.prefill), on->width),
                          .batch_s = around(apply(speed_prefill(&shape, &s, depth, s.chunk), f.prefill), on->width),
                          .floor_s = speed_floor(&shape, &s, &layout, depth),
                          .basis = on->name};
    kv_layout_free(&layout);
    return status;
}
