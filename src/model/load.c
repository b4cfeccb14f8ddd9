/* Reads weights into their packed form. The unit of work is a piece: some panels of one matrix, about a quarter MiB of
   file. Each thread reads its piece into a buffer of its own and packs from there. So the memory needed is one copy of
   the weights and a buffer for each thread. */
#include "base/checked.h"
#include "base/clock.h"
#include "model/bind.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { PIECE_BYTES = 256 << 10, REPORT_EVERY = 16, WEIGHTS_ALIGN = 64 };

typedef struct loader {
    weights *w;
    team *team;
    unsigned char **buffer; /* per thread */
    size_t buffer_bytes;
    kvasir_progress_fn progress;
    void *user;
    _Atomic uint64_t done;
    uint64_t total;
    atomic_int status; /* the first failure */
    char message[512];
    atomic_flag message_taken;
} loader;

static void report_failure(loader *l, kvasir_status status)
{
    if (!atomic_flag_test_and_set(&l->message_taken)) {
        (void)snprintf(l->message, sizeof l->message, "%s", kvasir_message());
        atomic_store(&l->status, (int)status);
    }
}

static int pieces_of(const binding *b, int *panels_per_piece)
{
    size_t panel = PANEL_ROWS * b->tensor->row_bytes;
    int per = (int)max_size(1, PIECE_BYTES / panel);
    *panels_per_piece = per;
    return (matrix_panels(b->matrix) + per - 1) / per;
}

/* A damaged scale spoils all that follows, and where activations are rounded it would not be seen any more. */
static kvasir_status check_rows(const gguf_tensor *t, const void *raw, int64_t row, int n_rows)
{
    const size_t blocks = (size_t)t->shape[0] / (size_t)quant_traits_of((uint32_t)t->type)->block_elements;
    if (quant_is_finite(t->type, raw, blocks * (size_t)n_rows)) return KVASIR_OK;
    while (quant_is_finite(t->type, raw, blocks)) raw = (const char *)raw + t->row_bytes, row++;
    return fail(KVASIR_E_NOT_FINITE, "tensor %s: row %lld holds a number that is not finite: the file is damaged",
                quoted(t->name.s, t->name.n), (long long)row);
}

static kvasir_status load_piece(loader *l, int tid, const binding *b, int index, int piece, int per)
{
    matrix m = matrix_at(&(matrix_stack){*b->matrix, b->n}, index);
    int first = piece * per, last = min_int(first + per, matrix_panels(&m));
    int row0 = first * PANEL_ROWS, rows = min_int(last * PANEL_ROWS, m.rows) - row0;
    size_t row_bytes = b->tensor->row_bytes, bytes = (size_t)rows * row_bytes;
    uint64_t at = b->tensor->offset + ((uint64_t)index * (uint64_t)m.rows + (uint64_t)row0) * row_bytes;
    TRY(file_read(b->tensor->file, at, l->buffer[tid], bytes));
    TRY(check_rows(b->tensor, l->buffer[tid], (int64_t)index * m.rows + row0, rows));
    for (int p = first; p < last; p++)
        matrix_pack(&m, p, l->buffer[tid] + (size_t)(p - first) * PANEL_ROWS * row_bytes, row_bytes);
    atomic_fetch_add(&l->done, bytes);
    return KVASIR_OK;
}

static void load_matrices(void *arg, int tid)
{
    loader *l = arg;
    int base = 0, tile = team_next(l->team), count = 0;
    for (int i = 0; i < l->w->n_bindings; i++) {
        const binding *b = &l->w->bindings[i];
        if (!b->matrix) continue;
        int per, pieces = pieces_of(b, &per);
        for (; tile < base + pieces * b->n; tile = team_next(l->team)) {
            if (atomic_load(&l->status) != KVASIR_OK) continue;
            kvasir_status status = load_piece(l, tid, b, (tile - base) / pieces, (tile - base) % pieces, per);
            if (status != KVASIR_OK) report_failure(l, status);
            if (tid == 0 && l->progress && ++count % REPORT_EVERY == 0 &&
                l->progress(l->user, atomic_load(&l->done), l->total))
                report_failure(l, fail(KVASIR_E_CANCELLED, "loading was cancelled"));
        }
        base += pieces * b->n;
    }
}

static kvasir_status load_vector(const binding *b, unsigned char *to, unsigned char *buffer)
{
    const quant_traits *traits = quant_traits_of((uint32_t)b->tensor->type);
    TRY(file_read(b->tensor->file, b->tensor->offset, buffer, (size_t)b->tensor->bytes));
    TRY(check_rows(b->tensor, buffer, 0, 1));
    traits->decode(buffer, (float *)(void *)to, (size_t)b->tensor->shape[0]);
    *b->vector = (const float *)(const void *)to;
    return KVASIR_OK;
}

/* Gives every binding its place in the region. Vectors, which are small, are read at once. */
static kvasir_status place(weights *w, unsigned char *buffer)
{
    unsigned char *at = w->region;
    for (int i = 0; i < w->n_bindings; i++) {
        binding *b = &w->bindings[i];
        if (b->matrix)
            b->matrix->data = at;
        else
            TRY(load_vector(b, at, buffer));
        at += binding_bytes(b);
    }
    return KVASIR_OK;
}

static size_t largest_piece(const weights *w)
{
    size_t most = PIECE_BYTES;
    for (int i = 0; i < w->n_bindings; i++) {
        const binding *b = &w->bindings[i];
        most = max_size(most, b->matrix ? PANEL_ROWS * (size_t)b->tensor->row_bytes : (size_t)b->tensor->bytes);
    }
    return most;
}

static kvasir_status allocate(loader *l, weights *w, int n)
{
    l->buffer_bytes = largest_piece(w);
    l->buffer = mem_alloc((size_t)n, sizeof *l->buffer);
    for (int i = 0; l->buffer && i < n; i++)
        if (!(l->buffer[i] = mem_alloc(l->buffer_bytes, 1))) return fail_memory(l->buffer_bytes);
    w->region_bytes = weights_bytes(w);
    w->region = region_reserve(w->region_bytes, true);
    return l->buffer && w->region ? KVASIR_OK : fail_memory(w->region_bytes);
}

kvasir_status weights_load(weights *w, team *t, kvasir_progress_fn progress, void *user)
{
    loader l = {.w = w, .team = t, .progress = progress, .user = user, .message_taken = ATOMIC_FLAG_INIT};
    for (int i = 0; i < w->n_bindings; i++) l.total += w->bindings[i].tensor->bytes;
    kvasir_status status = allocate(&l, w, team_size(t));
    if (status == KVASIR_OK) status = place(w, l.buffer[0]);
    if (status == KVASIR_OK) {
        team_run(t, load_matrices, &l);
        status = (kvasir_status)atomic_load(&l.status);
        if (status != KVASIR_OK)
            (void)fail(status, "%s", l.message);
        else if (progress)
            (void)progress(user, l.total, l.total);
    }
    for (int i = 0; l.buffer && i < team_size(t); i++) mem_free(l.buffer[i]);
    mem_free(l.buffer);
    if (status != KVASIR_OK) return status;
    rope_frequencies(&w->h.rope, w->rope_freqs, w->inv_freq, &w->rope_magnitude);
    if (w->h.rope_window.n_rot > 0)
        rope_frequencies(&w->h.rope_window, NULL, w->inv_freq_window, &w->rope_magnitude_window);
    return KVASIR_OK;
}
