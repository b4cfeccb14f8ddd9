/* Operations that treat each row by itself. Rows, or parts of a few, are dealt out to the threads. */
#include "base/checked.h"
#include "ops/ops.h"

#include <string.h>

enum { NORM_ELEMENTS = 8192 }; /* normed before they are quantised */

/* One thread's share of the rows: whole rows in turn; or a part of one where there are fewer rows than threads, since
   the others would have to wait for it. Parts are whole blocks. */
typedef struct share {
    int row, step; /* first row, and how far the next one is */
    int first, n;  /* elements of each row */
    bool whole;
} share;

static share share_of(const op *t, int n_rows, int k)
{
    int parts = n_rows > 0 ? t->n_threads / n_rows : 0, blocks = (k + ACT_BLOCK - 1) / ACT_BLOCK;
    if (parts < 2) return (share){.row = t->tid, .step = t->n_threads, .n = k, .whole = true};
    int each = (blocks + parts - 1) / parts * ACT_BLOCK, first = min_int(t->tid % parts * each, k);
    return (share){.row = t->tid / parts, .step = n_rows, .first = first, .n = min_int(each, k - first)};
}

/* A thread's part of n of its rows from `row` on. */
static void quantise_part(const op *t, const acts *a, const share *s, int row, int n)
{
    const size_t ldq = a->ld / ACT_BLOCK, block = (size_t)row * ldq + (size_t)(s->first / ACT_BLOCK),
                 step = (size_t)s->step;
    if (a->q && s->n > 0)
        t->kernels->linear.quantise(a->x + (size_t)row * a->ld + s->first, a->ld * step, n, s->n, a->q + block,
                                    ldq * step);
}

/* A few rows are normed and then quantised together, while they are in the first-level cache. */
void op_norm(op *t, const float *x, size_t ld, const float *w, float eps, int n, acts *out)
{
    const share s = share_of(t, n, out->k);
    const int few = max_int(NORM_ELEMENTS / out->k, 1);
    for (int i = s.row; i < n;) {
        const int first = i;
        int rows = 0;
        for (; rows < few && i < n; rows++, i += s.step) {
            float *to = out->x + (size_t)i * out->ld, *row = s.whole ? to : (float *)(void *)t->scratch;
            t->kernels->vec.rmsnorm(x + (size_t)i * ld, w, eps, out->k, row);
            if (!s.whole) memcpy(to + s.first, row + s.first, (size_t)s.n * sizeof *to);
        }
        quantise_part(t, out, &s, first, rows);
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
    const share s = share_of(t, n, a->k);
    if (s.row < n) quantise_part(t, a, &s, s.row, (n - s.row + s.step - 1) / s.step);
    team_barrier(t->team);
}

void op_scale(op *t, float *x, size_t ld, float s, int k, int n)
{
    for (int i = t->tid; i < n; i += t->n_threads) t->kernels->vec.scale(x + (size_t)i * ld, s, k);
    team_barrier(t->team);
}

void op_softcap(op *t, float *x, size_t ld, float cap, int k, int n)
{
    for (int i = t->tid; i < n; i += t->n_threads) t->kernels->vec.softcap(x + (size_t)i * ld, cap, k);
    team_barrier(t->team);
}

void op_gather(op *t, const float *x, size_t ld, const int *index, int n, float *out)
{
    for (int i = t->tid; i < n; i += t->n_threads)
        memcpy(out + (size_t)i * ld, x + (size_t)index[i] * ld, ld * sizeof *x);
    team_barrier(t->team);
}
