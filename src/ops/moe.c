/* Routed experts: choose, group by expert, multiply, give back. */
#include "base/checked.h"
#include "ops/linear.h"
#include "ops/ops.h"

#include <string.h>

/* The n_used largest of p, largest first; equal ones in order of index. */
static void choose(const float *p, int n, int n_used, int *expert)
{
    for (int j = 0; j < n_used; j++) {
        int best = -1;
        for (int e = 0; e < n; e++) {
            bool taken = false;
            for (int i = 0; i < j; i++) taken |= expert[i] == e;
            if (!taken && (best < 0 || p[e] > p[best])) best = e;
        }
        expert[j] = best;
    }
}

static void route(op *t, int n, const moe_weights *w, const moe_room *r)
{
    size_t ld = align_up((size_t)w->n_expert, PANEL_ROWS);
    for (int i = t->tid; i < n; i += t->n_threads) {
        float *p = r->router + (size_t)i * ld, *weight = r->weight + (size_t)i * (size_t)w->n_used, sum = 0;
        int *expert = r->expert + (size_t)i * (size_t)w->n_used;
        t->kernels->vec.softmax(p, w->n_expert);
        choose(p, w->n_expert, w->n_used, expert);
        for (int j = 0; j < w->n_used; j++) sum += weight[j] = p[expert[j]];
        float scale = w->normalise ? w->scale / sum : w->scale;
        for (int j = 0; j < w->n_used; j++) weight[j] *= scale;
    }
    team_barrier(t->team);
}

/* Counting sort of (row, choice) by expert. Small, so one thread does it. */
static void group(op *t, int n, const moe_weights *w, const moe_room *r)
{
    if (t->tid == 0) {
        memset(r->first, 0, sizeof(int) * (size_t)(w->n_expert + 1));
        for (int i = 0; i < n * w->n_used; i++) r->first[r->expert[i] + 1]++;
        for (int e = 0; e < w->n_expert; e++) r->first[e + 1] += r->first[e];
        for (int i = 0; i < n * w->n_used; i++) {
            int at = r->first[r->expert[i]]++;
            r->slot[i] = at;
            r->row_of[at] = i / w->n_used;
        }
        for (int e = w->n_expert; e > 0; e--) r->first[e] = r->first[e - 1];
        r->first[0] = 0;
    }
    team_barrier(t->team);
}

static void gather(op *t, const acts *a, int n, const moe_room *r)
{
    size_t ldq = a->ld / ACT_BLOCK;
    for (int i = t->tid; i < n; i += t->n_threads) {
        memcpy(r->in.x + (size_t)i * a->ld, a->x + (size_t)r->row_of[i] * a->ld, a->ld * sizeof *a->x);
        if (a->q) memcpy(r->in.q + (size_t)i * ldq, a->q + (size_t)r->row_of[i] * ldq, ldq * sizeof *a->q);
    }
    team_barrier(t->team);
}

/* For every expert with rows: out = W rows, or with `up`: out = silu(W rows) * (up rows). Tiles are counted over the
   experts in order. */
static void multiply(op *t, const moe_weights *w, const int *first, const acts *a, const matrix_stack *stack,
                     const matrix_stack *up, float *out, act_block *q, size_t ld)
{
    int panels = matrix_panels(&stack->first), base = 0, tile = team_next(t->team);
    for (int e = 0; e < w->n_expert; e++) {
        int n = first[e + 1] - first[e], size = linear_tile_panels(panels, n, t->n_threads);
        int tiles = n ? (panels + size - 1) / size : 0;
        matrix m = matrix_at(stack, e), u = up ? matrix_at(up, e) : m;
        acts rows = *a;
        rows.x += (size_t)first[e] * a->ld;
        if (a->q) rows.q += (size_t)first[e] * (a->ld / ACT_BLOCK);
        linear_job j = {.w = &m, .up = up ? &u : NULL, .out = out + (size_t)first[e] * ld, .ld_out = ld};
        if (q) j.q = q + (size_t)first[e] * (ld / ACT_BLOCK);
        for (; tile < base + tiles; tile = team_next(t->team)) {
            int panel = (tile - base) * size;
            linear_tile(t, &rows, n, &j, panel, min_int(size, panels - panel));
        }
        base += tiles;
    }
    team_barrier(t->team);
}

void op_moe(op *t, const acts *a, int n, const moe_weights *w, const moe_room *r, float *x, size_t ld)
{
    size_t ld_router = align_up((size_t)w->n_expert, PANEL_ROWS);
    acts mid = r->mid;
    op_linear(t, a, n, &(linear_job){.w = &w->router, .out = r->router, .ld_out = ld_router}, 1);
    route(t, n, w, r);
    group(t, n, w, r);
    gather(t, a, n * w->n_used, r);
    multiply(t, w, r->first, &r->in, &w->gate, &w->up, mid.x, mid.q, mid.ld);
    multiply(t, w, r->first, &mid, &w->down, NULL, r->out, NULL, r->ld_out);
    for (int i = t->tid; i < n; i += t->n_threads)
        for (int j = 0; j < w->n_used; j++) {
            int at = i * w->n_used + j;
            t->kernels->vec.add_scaled(x + (size_t)i * ld, r->out + (size_t)r->slot[at] * r->ld_out, r->weight[at],
                                       w->down.first.rows);
        }
    team_barrier(t->team);
}
