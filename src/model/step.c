/* The frame around every family's forward function: embeddings in, logits out. */
#include "base/finite.h"
#include "model/model.h"

enum { LOGIT_PARTS = 16 };

/* Reads the embedding rows of the step's tokens, and makes the rope tables. */
static void embed(const weights *w, step *s, op *t)
{
    const gguf_tensor *e = w->embedding;
    const quant_traits *traits = quant_traits_of((uint32_t)e->type);
    const hparams *h = &w->h;
    unsigned char *raw = s->raw_rows + (size_t)t->tid * s->raw_row_bytes;
    if (t->tid == 0) {
        s->status = KVASIR_OK;
        s->not_finite = false;
        s->bad_layer = h->n_layer;
        s->room.v_overflows = &s->v_overflows;
        s->room.not_finite = &s->not_finite;
        s->in_attention = false;
    }
    team_barrier(t->team);
    for (int i = t->tid; i < s->n_rows; i += t->n_threads) {
        kvasir_status status =
            file_read(e->file, e->offset + (uint64_t)s->ids[i] * e->row_bytes, raw, (size_t)e->row_bytes);
        if (status != KVASIR_OK) { /* the last failure is kept; any of them will do */
            __atomic_store_n(&s->status, status, __ATOMIC_RELAXED);
            continue;
        }
        traits->decode(raw, s->x + (size_t)i * s->ld_x, (size_t)h->n_embd);
        if (!is_finite(s->x + (size_t)i * s->ld_x, h->n_embd)) __atomic_store_n(&s->not_finite, true, __ATOMIC_RELAXED);
        rope_table(w->inv_freq, w->rope_magnitude, h->rope.n_rot, s->pos[i],
                   s->rope + (size_t)i * (size_t)h->rope.n_rot);
        if (h->rope_window.n_rot > 0)
            rope_table(w->inv_freq_window, w->rope_magnitude_window, h->rope_window.n_rot, s->pos[i],
                       s->rope_window + (size_t)i * (size_t)h->rope_window.n_rot);
    }
    team_barrier(t->team);
}

/* All threads look at a part each; what one finds all know after the barrier. */
static void check_logits(const weights *w, step *s, op *t)
{
    bool finite = true;
    for (int i = t->tid; i < s->n_logits * LOGIT_PARTS; i += t->n_threads) {
        int part = i % LOGIT_PARTS, from = (int)((int64_t)w->h.n_vocab * part / LOGIT_PARTS);
        int to = (int)((int64_t)w->h.n_vocab * (part + 1) / LOGIT_PARTS);
        finite = finite && is_finite(s->logits + (size_t)(i / LOGIT_PARTS) * s->ld_logits + from, to - from);
    }
    if (!finite) __atomic_store_n(&s->not_finite, true, __ATOMIC_RELAXED);
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
    check_logits(w, s, t);
}

static bool row_is_finite(const hparams *h, const step *s, int i)
{
    const size_t kv = (size_t)i * s->ld_kv;
    return is_finite(s->q + (size_t)i * s->ld_q, h->n_head * h->head_dim) &&
           is_finite(s->k + kv, h->n_head_kv * h->head_dim) && is_finite(s->v + kv, h->n_head_kv * h->head_dim);
}

void step_trace_attention(const weights *w, int il, step *s, op *t)
{
    if (!s->trace || t->tid != 0 || s->bad_layer < w->h.n_layer) return;
    for (int i = 0; i < s->n_rows; i++) {
        if (row_is_finite(&w->h, s, i)) continue;
        s->in_attention = true;
        s->bad_layer = il;
        s->bad_row = i;
        return;
    }
}

void step_trace(const weights *w, int il, step *s, op *t)
{
    if (!s->trace || t->tid != 0 || s->bad_layer < w->h.n_layer) return;
    for (int i = 0; i < s->n_rows; i++) {
        if (is_finite(s->x + (size_t)i * s->ld_x, w->h.n_embd)) continue;
        s->bad_layer = il - 1;
        s->bad_row = i;
        return;
    }
}

void model_run(const weights *w, step *s, op *t)
{
    embed(w, s, t);
    if (s->status != KVASIR_OK) return;
    w->h.arch->forward(w, s, t);
    step_trace(w, w->h.n_layer, s, t);
    if (!s->stop) head(w, s, t);
}
