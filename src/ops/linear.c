/* Matrix products. The unit of work is a tile: a few panels (16 weight rows each) times all activation rows. Every
   output is computed by one kernel call in one order of summation, so tiles and threads do not show in the result. */
#include "ops/linear.h"
#include "base/checked.h"
#include "ops/ops.h"

#include <string.h>

enum {
    MAX_TILE_PANELS = 8,    /* with many rows: a tile's weights stay in the second-level cache */
    MAX_STREAM_PANELS = 32, /* with few rows: longer runs of memory */
    STREAM_ROWS = 8,
    TILES_PER_THREAD = 6, /* with many rows */
    RUNS = 4,             /* of a thread's part with few rows: what another may take of it */
    CHUNK_ROWS = 258,     /* rows of a tile's products that wait in scratch */
    DIRECT_K = 1536,      /* longest rows of an ungated tile whose sums go straight to their place */
    FINISH_ROWS = 8,      /* of a product that are finished, then quantised */
    SCRATCH_ALIGN = 64
};

size_t linear_scratch_bytes(const op_limits *l)
{
    size_t product = sizeof(float) * CHUNK_ROWS * MAX_TILE_PANELS * PANEL_ROWS * 2;
    size_t decoded = l->raw ? sizeof(float) * PANEL_ROWS * (size_t)l->max_k * 2 : 0;
    return align_up(max_size(product, (size_t)l->max_k * sizeof(float)) + decoded, SCRATCH_ALIGN);
}

/* The product of `n_panels` panels with n rows; with `add` it is added to what is in out. Raw rows are first decoded to
   a float panel in the scratch. */
static void multiply(const op *t, const matrix *w, int panel, int n_panels, const acts *a, int row, int n, float *out,
                     size_t ld, bool add)
{
    const linear_kernels *kn = &t->kernels->linear;
    const float *x = a->x + (size_t)row * a->ld;
    if (w->kind >= 0) {
        const unsigned char *data = w->data + (size_t)panel * w->panel_bytes;
        bool floats = panel_kind_is_float((panel_kind)w->kind);
        size_t ldq = a->ld / ACT_BLOCK;
        if (floats)
            kn->gemm[w->kind](data, n_panels, w->k, x, a->ld, n, out, ld, add);
        else
            kn->gemm[w->kind](data, n_panels, w->k, a->q + (size_t)row * ldq, ldq, n, out, ld, add);
        return;
    }
    const quant_traits *traits = quant_traits_of(w->type);
    float *decoded =
        (float *)(void *)(t->scratch + linear_scratch_bytes(t->limits)) - 2 * PANEL_ROWS * (size_t)t->limits->max_k;
    float *floats = decoded + PANEL_ROWS * (size_t)t->limits->max_k;
    size_t row_bytes = w->panel_bytes / PANEL_ROWS, k = (size_t)w->k;
    for (int p = 0; p < n_panels; p++) {
        int rows = min_int(PANEL_ROWS, w->rows - (panel + p) * PANEL_ROWS);
        const unsigned char *raw = w->data + (size_t)(panel + p) * w->panel_bytes;
        for (int r = 0; r < rows; r++) {
            traits->decode(raw + (size_t)r * row_bytes, decoded + (size_t)r * k, k);
            if (w->factor) t->kernels->vec.scale(decoded + (size_t)r * k, *w->factor, w->k);
        }
        panel_pack_f32(decoded, k, rows, w->k, floats);
        kn->gemm[PANEL_F32](floats, 1, w->k, x, a->ld, n, out + PANEL_ROWS * p, ld, add);
    }
}

/* Whoever has computed a tile also quantises it, a few rows at a time while they are in the first cache. So nobody
   waits for one thread to do a whole row. */
static void leave_blocks(const op *t, const linear_job *j, int panel, int width, int row, int n)
{
    int first = panel * PANEL_ROWS, valid = min_int(width, j->w->rows - first);
    size_t at = (size_t)row * j->ld_out + (size_t)first;
    if (j->q)
        t->kernels->linear.quantise(j->out + at, j->ld_out, n, valid, j->q + at / ACT_BLOCK, j->ld_out / ACT_BLOCK);
}

static void copy_rows(float *to, size_t ld_to, const float *from, size_t ld_from, int n, int width)
{
    for (int i = 0; i < n; i++) memcpy(to + (size_t)i * ld_to, from + (size_t)i * ld_from, (size_t)width * sizeof *to);
}

/* Where rows lie far apart, sums that come and go for every part of k would push each other out of the caches. So the
   sums of many long rows are made in the scratch, where they lie close together. */
static void multiply_into(const op *t, const acts *a, int n, const linear_job *j, int panel, int n_panels)
{
    float *out = j->out + panel * PANEL_ROWS;
    if (n <= STREAM_ROWS || j->w->k <= DIRECT_K) {
        multiply(t, j->w, panel, n_panels, a, 0, n, out, j->ld_out, j->add);
        return;
    }
    const int width = n_panels * PANEL_ROWS;
    float *sums = (float *)(void *)t->scratch;
    for (int row = 0; row < n; row += CHUNK_ROWS, out += CHUNK_ROWS * j->ld_out) {
        int rows = min_int(CHUNK_ROWS, n - row);
        if (j->add) copy_rows(sums, (size_t)width, out, j->ld_out, rows, width);
        multiply(t, j->w, panel, n_panels, a, row, rows, sums, (size_t)width, j->add);
        copy_rows(out, j->ld_out, sums, (size_t)width, rows, width);
    }
}

static void plain_tile(const op *t, const acts *a, int n, const linear_job *j, int panel, int n_panels)
{
    const int first = panel * PANEL_ROWS, width = n_panels * PANEL_ROWS, valid = min_int(width, j->w->rows - first);
    multiply_into(t, a, n, j, panel, n_panels);
    for (int row = 0; row < n && (j->bias || j->q); row += FINISH_ROWS) {
        int end = min_int(row + FINISH_ROWS, n);
        for (int i = row; i < end && j->bias; i++)
            t->kernels->vec.add(j->out + (size_t)i * j->ld_out + first, j->bias + first, valid);
        leave_blocks(t, j, panel, width, row, end - row);
    }
}

/* Finishes rows from..to-1 (at most FINISH_ROWS) of a gated job, both of whose products are there. */
static void gate_rows(const op *t, const linear_job *j, int panel, int width, int from, int to, float *gate, float *up)
{
    const vec_kernels *v = &t->kernels->vec;
    const int first = panel * PANEL_ROWS, valid = min_int(width, j->w->rows - first);
    for (int i = from; i < to; i++, gate += width, up += width) {
        if (j->bias) v->add(gate, j->bias + first, valid);
        if (j->up_bias) v->add(up, j->up_bias + first, valid);
        (j->gelu ? v->gelu_mul : v->silu_mul)(gate, up, j->out + (size_t)i * j->ld_out + first, width);
    }
    leave_blocks(t, j, panel, width, from, to - from);
}

static void gated_tile(const op *t, const acts *a, int n, const linear_job *j, int panel, int n_panels)
{
    const int step = n <= STREAM_ROWS ? n : CHUNK_ROWS, width = n_panels * PANEL_ROWS;
    float *gate = (float *)(void *)t->scratch, *up = gate + step * width;
    for (int row = 0; row < n; row += step) {
        int rows = min_int(step, n - row);
        multiply(t, j->w, panel, n_panels, a, row, rows, gate, (size_t)width, false);
        multiply(t, j->up, panel, n_panels, a, row, rows, up, (size_t)width, false);
        for (int i = 0; i < rows; i += FINISH_ROWS)
            gate_rows(t, j, panel, width, row + i, row + min_int(i + FINISH_ROWS, rows), gate + i * width,
                      up + i * width);
    }
}

void linear_tile(const op *t, const acts *a, int n, const linear_job *j, int panel, int n_panels)
{
    (j->up ? gated_tile : plain_tile)(t, a, n, j, panel, n_panels);
}

int linear_tile_panels(int total, int n, int n_threads)
{
    int most = n <= STREAM_ROWS ? MAX_STREAM_PANELS : MAX_TILE_PANELS, size = total / (n_threads * TILES_PER_THREAD);
    return size < 2 ? 2 : min_int(size & ~1, most);
}

/* Panels from..to-1, counted over all jobs in a row. */
static void multiply_run(const op *t, const acts *a, int n, const linear_job *jobs, int from, int to)
{
    int base = 0;
    for (const linear_job *j = jobs; base < to; base += matrix_panels(j->w), j++) {
        int end = min_int(to - base, matrix_panels(j->w));
        for (int p = max_int(from - base, 0); p < end; p += MAX_STREAM_PANELS)
            linear_tile(t, a, n, j, p, min_int(MAX_STREAM_PANELS, end - p));
    }
}

/* n in `parts` parts of an even number. */
static int even_part(int n, int parts)
{
    return (n + 2 * parts - 1) / (2 * parts) * 2;
}

/* With few rows, only reading the weights counts. Memory is read fastest in long runs: tiles that alternate between the
   threads take twice the time in a small model, since each starts where nothing has been fetched. So each thread has a
   part of the panels to itself, and when it is done takes what is left of another's. */
static void stream(const op *t, const acts *a, int n, const linear_job *jobs, int total)
{
    const int part = even_part(total, t->n_threads), size = even_part(part, RUNS), tiles = (part + size - 1) / size;
    for (int i = 0, owner = t->tid; i < t->n_threads; i++, owner = owner + 1 < t->n_threads ? owner + 1 : 0) {
        for (int tile; (tile = team_take(t->team, owner, tiles)) >= 0;) {
            int from = owner * part + tile * size, end = min_int((owner + 1) * part, total);
            multiply_run(t, a, n, jobs, from, min_int(from + size, end));
        }
    }
}

void op_linear(op *t, const acts *a, int n, const linear_job *jobs, int n_jobs)
{
    int total = 0;
    for (int i = 0; i < n_jobs; i++) total += matrix_panels(jobs[i].w);
    if (n <= STREAM_ROWS) {
        stream(t, a, n, jobs, total);
    } else {
        const int size = linear_tile_panels(total, n, t->n_threads);
        for (int from; (from = team_next(t->team) * size) < total;)
            multiply_run(t, a, n, jobs, from, min_int(from + size, total));
    }
    team_barrier(t->team);
}
