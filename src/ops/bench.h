/* What the machine can do at best, and what the kernels make of it. */
#ifndef KVASIR_OPS_BENCH_H
#define KVASIR_OPS_BENCH_H

#include "base/cpu.h"
#include "base/team.h"
#include "kvasir/kvasir.h"

/* Measures for about `seconds` with one thread and with all of the team (the rows that say so), at one level
   of kernels. Every row goes to on_row as soon as it is known, the limits first. */
kvasir_status bench_run(team *all, cpu_level level, double seconds, kvasir_bench_fn on_row, void *user);

/* The best rate, in bytes per second, at which the team reads from memory, or one of its threads where that is faster
   because others use the machine, too. Measured for about `seconds`. */
kvasir_status bench_read(team *all, cpu_level level, double seconds, double *bytes_per_s);

#endif
