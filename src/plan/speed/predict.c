/* kvasir_predict: plan/speed.c over a model's header and a machine's profile, corrected by what was measured. */
#include "base/checked.h"
#include "base/status.h"
#include "base/mem.h"
#include "base/quantile.h"
#include "engine/model.h"
#include "plan/speed/speed.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_BATCH = 512 };
#define LEAST_RATE 1e6 /* bytes per second */
#define MOST_RATE  1e16

/* Half the width of an interval, as a factor on both sides, where nothing of the model was measured: what bench/plan_error.py
   found to hold nine of ten. */
#define WIDTH_PROBE   1.25
#define WIDTH_MACHINE 1.60
#define NINE_OF_TEN   1.645 /* standard deviations of a normal distribution on either side */

/* The square of a measurement's usual error over that of a prediction: from kernels that were measured, and from limits, which
   say no more than how the parts relate where a sweep does not tell them apart. */
static const speed_trust TRUST_PROBE = {0.5, 0.5}, TRUST_LIMITS = {0, 1e-8};

static kvasir_estimate around(speed_parts p, const speed_fit *f)
{
    double value = p.flat * f->flat + p.deep * f->deep, width = exp(NINE_OF_TEN * f->error);
    return (kvasir_estimate){value, value / width, value * width};
}

typedef struct factors {
    speed_fit decode, prefill;
    const char *basis; /* as in kvasir_speed */
} factors;

static factors unmeasured(bool probed)
{
    const speed_fit f = {1, 1, log(probed ? WIDTH_PROBE : WIDTH_MACHINE) / NINE_OF_TEN};
    return (factors){f, f, probed ? "probe" : "machine"};
}

/* How fast memory was when a sample was measured; 0: not known, or no such memory exists. */
static double memory_then(const kvasir_speed_sample *s)
{
    return s->read_bytes_per_s > LEAST_RATE && s->read_bytes_per_s < MOST_RATE ? s->read_bytes_per_s : 0;
}

/* Memory that several programs share is not equally fast in every minute (bench/plan_error.py met 36 and 57 GB/s in turns):
   what is predicted is for the middle one of the speeds that the profile and the samples have seen. *spread: the standard
   deviation of their logarithms. */
static kvasir_status usual_memory(const kvasir_predict_options *o, speed_setup *s, double *spread)
{
    int n = 0;
    double *seen = mem_alloc((size_t)o->n_samples + 1, sizeof *seen);
    if (!seen) return fail_memory(((size_t)o->n_samples + 1) * sizeof *seen);
    seen[n++] = speed_read_rate(s);
    for (int i = 0; i < o->n_samples; i++) {
        double then = memory_then(&o->samples[i]);
        if (then > 0) seen[n++] = then;
    }
    sort_ascending(seen, n);
    s->read_bytes_per_s = quantile(seen, n, 0.5);
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++) mean += log(seen[i]) / n;
    for (int i = 0; i < n; i++) squares += (log(seen[i]) - mean) * (log(seen[i]) - mean);
    *spread = sqrt(squares / max_int(n - 1, 1));
    mem_free(seen);
    return KVASIR_OK;
}

/* Which samples a measurement goes with (speed_sample), by the setup that it was made with; -1: of no known type. */
static int kind_of(const kvasir_speed_sample *s, const speed_setup *wanted, speed_setup *of)
{
    *of = *wanted;
    of->read_bytes_per_s = memory_then(s);
    if (!s->kv || kv_type_parse(s->kv, &of->k, &of->v) != KVASIR_OK) return -1;
    return of->k == wanted->k && of->v == wanted->v ? 0 : 1 + (int)of->k * KV_TYPES + (int)of->v;
}

static kvasir_status learn(const speed_shape *m, const speed_setup *wanted, const kvasir_predict_options *o,
                           factors *out)
{
    speed_setup of;
    bool own = false;
    int n_decode = 0, n_prefill = 0;
    const bool probed = speed_from_kernels(wanted);
    const speed_trust trust = probed ? TRUST_PROBE : TRUST_LIMITS;
    *out = unmeasured(probed);
    if (o->n_samples == 0) return KVASIR_OK;
    speed_sample *decode = mem_alloc((size_t)o->n_samples, sizeof *decode);
    speed_sample *prefill = mem_alloc((size_t)o->n_samples, sizeof *prefill);
    for (int i = 0; i < o->n_samples; i++) own |= kind_of(&o->samples[i], wanted, &of) == 0;
    for (int i = 0; decode && prefill && i < o->n_samples; i++) {
        const kvasir_speed_sample *s = &o->samples[i];
        int kind = kind_of(s, wanted, &of);
        if (kind < 0) continue;
        if (!own) kind = 0; /* the machine is the same whatever the type */
        if (s->decode_s > 0) decode[n_decode++] = (speed_sample){speed_decode(m, &of, s->depth), s->decode_s, kind};
        if (s->prefill_s > 0 && s->n_prefill > 0)
            prefill[n_prefill++] = (speed_sample){speed_prefill(m, &of, s->depth, s->n_prefill), s->prefill_s, kind};
    }
    const double error = out->decode.error;
    out->decode = speed_fit_samples(decode, n_decode, trust);
    out->prefill = speed_fit_samples(prefill, n_prefill, trust);
    if (n_decode > 0 && n_prefill > 0)
        out->basis = "sweep";
    else
        out->decode.error = out->prefill.error = error; /* one of them is not measured, and the basis is that of both */
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
    if (machine->n_teams < 0 || machine->n_teams > KVASIR_MACHINE_TEAMS || machine->n_kernels < 0 ||
        machine->n_kernels > KVASIR_MACHINE_KERNELS || machine->n_gpus < 0 || machine->n_gpus > KVASIR_MACHINE_GPUS)
        return fail(KVASIR_E_ARGUMENT, "n_teams %d (0 to %d), n_kernels %d (0 to %d), n_gpus %d (0 to %d)",
                    machine->n_teams, (int)KVASIR_MACHINE_TEAMS, machine->n_kernels, (int)KVASIR_MACHINE_KERNELS,
                    machine->n_gpus, (int)KVASIR_MACHINE_GPUS);
    if (o->n_samples < 0 || (o->n_samples > 0 && !o->samples))
        return fail(KVASIR_E_ARGUMENT, "n_samples is %d and samples is %s", o->n_samples,
                    o->samples ? "given" : "NULL");
    if (!m->has_hparams)
        return fail(KVASIR_E_UNSUPPORTED, "the speed of architecture %s is not known",
                    quoted(m->info.architecture, strlen(m->info.architecture)));
    return KVASIR_OK;
}

/* What a profile says of its own doubt, as the standard deviation of a logarithm: measurements that differed, and programs that
   took a share of the machine. */
static double doubt_of(const kvasir_machine *m)
{
    const double share = m->n_cores > 0 ? fmin(m->busy_cores / m->n_cores, 0.9) : 0;
    return hypot(log1p(fmin(m->spread, 10)), -log1p(-share));
}

kvasir_status kvasir_predict(const kvasir_model *m, const kvasir_machine *machine, const kvasir_predict_options *o,
                             int depth, kvasir_speed *out)
{
    NEED(m);
    NEED(machine);
    NEED(out);
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
    double spread = 0;
    kvasir_status status = usual_memory(o, &s, &spread);
    if (status == KVASIR_OK) status = learn(&shape, &s, o, &f);
    if (status == KVASIR_OK) {
        if (strcmp(f.basis, "sweep") != 0) {
            f.decode.error = hypot(f.decode.error, doubt_of(machine));
            f.prefill.error = hypot(f.prefill.error, doubt_of(machine));
        }
        f.decode.error = hypot(f.decode.error, spread); /* decoding is as fast as memory */
        *out = (kvasir_speed){.depth = depth,
                              .decode_s = around(speed_decode(&shape, &s, depth), &f.decode),
                              .prefill_s = around(speed_prefill(&shape, &s, 0, depth), &f.prefill),
                              .batch_s = around(speed_prefill(&shape, &s, depth, s.chunk), &f.prefill),
                              .floor_s = speed_floor(&shape, &s, &layout, depth),
                              .basis = f.basis};
    }
    kv_layout_free(&layout);
    return status;
}
