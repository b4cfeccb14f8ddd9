/* The frame around every family's forward function: embeddings in, logits out. */
#include "model/model.h"

/* Reads the rows of the embedding that the step's tokens name, and makes the rope tables. */
static void embed(const weights *w, step *s, op *t)
{
    const gguf_tensor *e = w->embedding;
    const quant_traits *traits = quant_traits_of((uint32_t)e->type);
    const hparams *h = &w->h;
    unsigned char *raw = s->raw_rows + (size_t)t->tid * s->raw_row_bytes;
    if (t->tid == 0) s->status = KVASIR_OK;
    team_barrier(t->team);
    for (int i = t->tid; i < s->n_rows; i += t->n_threads) {
        kvasir_status status =
            file_read(e->file, e->offset + (uint64_t)s->ids[i] * e->row_bytes, raw, (size_t)e->row_bytes);
        if (status != KVASIR_OK) { /* whichever thread comes last is heard; any of them is true */
            __atomic_store_n(&s->status, status, __ATOMIC_RELAXED);
            continue;
        }
        traits->decode(raw, s->x + (size_t)i * s->ld_x, (size_t)h->n_embd);
        rope_table(w->inv_freq, w->rope_magnitude, h->rope.n_rot, s->pos[i],
                   s->rope + (size_t)i * (size_t)h->rope.n_rot);
        if (h->rope_window.n_rot > 0)
            rope_table(w->inv_freq_window, w->rope_magnitude_window, h->rope_window.n_rot, s->pos[i],
                       s->rope_window + (size_t)i * (size_t)h->rope_window.n_rot);
    }
    team_barrier(t->team);
}

static void head(const weights *w, step *s, op *t)
{
    if (s->n_logits == 0) return;
    op_gather(t, s->x, s->ld_x, s->logit_rows, s->n_logits, s->y);
    op_norm(t, s->y, s->ld_x, w->output_norm, w->h.eps, s->n_logits, &s->h);
    const linear_job job = {.w = &w->output, .bias = w->output_bias, .out = s->logits, .ld_out = s->ld_logits};
    op_linear(t, &s->h, s->n_logits, &job, 1);
    if (w->h.final_softcap > 0) op_softcap(t, s->logits, s->ld_logits, w->h.final_softcap, w->h.n_vocab, s->n_logits);
}

void model_run(const weights *w, step *s, op *t)
{
    embed(w, s, t);
    if (s->status != KVASIR_OK) return;
    w->h.arch->forward(w, s, t);
    if (!s->stop) head(w, s, t);
}
