/* Shared between linear.c and moe.c. */
#ifndef KVASIR_OPS_LINEAR_H
#define KVASIR_OPS_LINEAR_H

#include "ops/ops.h"

/* Bytes of scratch that each thread needs for these limits. */
size_t linear_scratch_bytes(const op_limits *l);

/* One tile of a job: panels panel .. panel+n_panels-1 of its matrix times n rows. */
void linear_tile(const op *t, const acts *a, int n, const linear_job *j, int panel, int n_panels);

/* How many panels make a tile when `total` panels meet n rows: an even number, so that tiles are whole blocks of
   activations for the next product. */
int linear_tile_panels(int total, int n, int n_threads);

#endif
