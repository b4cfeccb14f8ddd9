/* What kvasir_probe measures of the processor: rates for a machine's profile. */
#ifndef KVASIR_OPS_PROBE_H
#define KVASIR_OPS_PROBE_H

#include "base/cpu.h"
#include "kvasir/kvasir.h"

/* Steps that probe_measure will tell of. */
int probe_steps(int n_threads, cpu_level level);

/* Fills out->team and out->kernel, for about `seconds`: teams of 1, 2, 4, ... n_threads threads at `level`, the peaks
   of 1 and n_threads threads at the other levels, and the level's kernels with n_threads (some with one, as in
   kvasir_bench). on_step may be NULL; it counts `done` on from first_step. */
kvasir_status probe_measure(int n_threads, cpu_level level, double seconds, kvasir_probe_fn on_step, void *user,
                            int first_step, int all_steps, kvasir_machine *out);

#endif
