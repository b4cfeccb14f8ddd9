/* kvasir_bench: options to a team and a level of kernels; ops/bench.c measures. */
#include "kvasir/kvasir.h"
#include "ops/bench.h"

kvasir_status kvasir_bench(const kvasir_engine_options *o, double seconds, kvasir_bench_fn on_row, void *user)
{
    const kvasir_engine_options none = {0};
    cpu_level level;
    team *all;
    if (!o) o = &none;
    if (!on_row || !(seconds > 0) || o->n_threads < 0)
        return fail(KVASIR_E_ARGUMENT, "seconds %g (more than 0), n_threads %d (not negative), on_row %s", seconds,
                    o->n_threads, on_row ? "given" : "missing");
    TRY(cpu_level_parse(o->cpu, &level));
    TRY(team_create(o->n_threads > 0 ? o->n_threads : cpu_count(), &all));
    kvasir_status status = bench_run(all, level, seconds, on_row, user);
    team_free(all);
    return status;
}
