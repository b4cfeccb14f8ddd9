/* kvasir_bench, kvasir_read_bandwidth: options to a team and a level of kernels; ops/bench.c measures. */
#include "kvasir/kvasir.h"
#include "ops/bench.h"
#include "base/cores.h"

static kvasir_status check(const kvasir_engine_options *o, double seconds, int has_result, const char *result)
{
    if (seconds > 0 && o->n_threads >= 0 && has_result) return KVASIR_OK;
    return fail(KVASIR_E_ARGUMENT, "seconds %g (more than 0), n_threads %d (not negative), %s %s", seconds,
                o->n_threads, result, has_result ? "given" : "missing");
}

static kvasir_status prepare(const kvasir_engine_options *o, cpu_level *level, team **all)
{
    TRY(cpu_level_parse(o->cpu, level));
    return team_create(o->n_threads > 0 ? o->n_threads : cpu_count(), all);
}

kvasir_status kvasir_bench(const kvasir_engine_options *o, double seconds, kvasir_bench_fn on_row, void *user)
{
    const kvasir_engine_options none = {0};
    cpu_level level;
    team *all;
    if (!o) o = &none;
    TRY(check(o, seconds, on_row != NULL, "on_row"));
    TRY(prepare(o, &level, &all));
    kvasir_status status = bench_run(all, level, seconds, on_row, user);
    team_free(all);
    return status;
}

kvasir_status kvasir_read_bandwidth(const kvasir_engine_options *o, double seconds, double *bytes_per_s)
{
    const kvasir_engine_options none = {0};
    cpu_level level;
    team *all;
    if (!o) o = &none;
    TRY(check(o, seconds, bytes_per_s != NULL, "bytes_per_s"));
    TRY(prepare(o, &level, &all));
    kvasir_status status = bench_read(all, level, seconds, bytes_per_s);
    team_free(all);
    return status;
}
