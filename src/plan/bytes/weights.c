/* Weights by type. */
#include "plan/bytes/bytes.h"

#include "model/bind.h"

static plan_weights_row *row_of(plan_weights_row *rows, int *n, quant_type type, bool in_memory)
{
    int i = 0;
    while (i < *n && (rows[i].type != type || rows[i].in_memory != in_memory)) i++;
    if (i == PLAN_WEIGHTS_ROWS) return &rows[i - 1];
    if (i == *n) rows[(*n)++] = (plan_weights_row){.type = type, .in_memory = in_memory};
    return &rows[i];
}

static void count_tensor(plan_weights_row *row, const gguf_tensor *t, uint64_t bytes)
{
    row->n_tensors++;
    row->file_bytes += t->bytes;
    row->bytes += bytes;
}

/* Takes what is in memory off the row that counted all tensors of the type. */
static void separate(plan_weights_row *rows, int *n, const plan_weights_row *bound)
{
    plan_weights_row *all = row_of(rows, n, bound->type, false);
    all->n_tensors -= bound->n_tensors;
    all->file_bytes -= bound->file_bytes;
}

int plan_weights_by_type(const gguf *g, const weights *w, plan_weights_row *rows)
{
    int n = 0, kept = 0;
    for (int i = 0; w && i < w->n_bindings; i++) {
        const gguf_tensor *t = w->bindings[i].tensor;
        count_tensor(row_of(rows, &n, t->type, true), t, binding_bytes(&w->bindings[i]));
    }
    int n_bound = n;
    for (int i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        count_tensor(row_of(rows, &n, t->type, !w), t, w ? 0 : t->bytes);
    }
    for (int i = 0; i < n_bound; i++) separate(rows, &n, &rows[i]);
    for (int i = 0; i < n; i++)
        if (rows[i].n_tensors > 0) rows[kept++] = rows[i];
    return kept;
}
