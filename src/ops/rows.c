/* Operations that treat each row by itself: rows are dealt out to the threads in turn. */
#include "ops/ops.h"

#include <string.h>

static void quantise_row(const op *t, const acts *a, int row)
{
    if (a->q) t->kernels->linear.quantise(a->x + (size_t)row * a->ld, a->k, a->q + (size_t)row * (a->ld / ACT_BLOCK));
}

void op_norm(op *t, const float *x, size_t ld, const float *w, float eps, int n, acts *out)
{
    for (int i = t->tid; i < n; i += t->n_threads) {
        t->kernels->vec.rmsnorm(x + (size_t)i * ld, w, eps, out->k, out->x + (size_t)i * out->ld);
        quantise_row(t, out, i);
    }
    team_barrier(t->team);
}

void op_norm_add(op *t, float *x, const float *y, size_t ld, const float *w, float eps, int k, int n)
{
    float *row = (float *)(void *)t->scratch;
    for (int i = t->tid; i < n; i += t->n_threads) {
        t->kernels->vec.rmsnorm(y + (size_t)i * ld, w, eps, k, row);
        t->kernels->vec.add(x + (size_t)i * ld, row, k);
    }
    team_barrier(t->team);
}

void op_quantise(op *t, acts *a, int n)
{
    if (!a->q) return;
    for (int i = t->tid; i < n; i += t->n_threads) quantise_row(t, a, i);
    team_barrier(t->team);
}

void op_scale(op *t, float *x, size_t ld, float s, int k, int n)
{
    for (int i = t->tid; i < n; i += t->n_threads) t->kernels->vec.scale(x + (size_t)i * ld, s, k);
    team_barrier(t->team);
}

void op_gather(op *t, const float *x, size_t ld, const int *index, int n, float *out)
{
    for (int i = t->tid; i < n; i += t->n_threads)
        memcpy(out + (size_t)i * ld, x + (size_t)index[i] * ld, ld * sizeof *x);
    team_barrier(t->team);
}
