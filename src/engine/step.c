/* The step: tokens of many sequences become rows of one batch, in pieces of at most max_batch rows. */
#include "engine/engine.h"
#include "base/status.h"

#include "base/checked.h"
#include "base/mem.h"

#include <stdio.h>
#include <string.h>

static int32_t id_at(const kvasir_work *w, int pos)
{
    return pos < w->seq->n_ids ? w->seq->ids[pos] : w->ids[pos - w->seq->n_ids];
}

static bool wants_row(const kvasir_work *w, int pos)
{
    int i = pos - w->seq->n_ids;
    return (w->want == KVASIR_WANT_ALL && i >= 0) || (w->want == KVASIR_WANT_LAST && i == w->n - 1);
}

static int wanted(const kvasir_work *w)
{
    return w->want == KVASIR_WANT_ALL ? w->n : w->want == KVASIR_WANT_LAST ? 1 : 0;
}

static kvasir_status check_item(const kvasir_engine *e, const kvasir_work *w)
{
    const kvasir_seq *s = w->seq;
    if (!s || s->engine != e) return fail(KVASIR_E_ARGUMENT, "a sequence of another engine");
    if (w->n < 1 || !w->ids) return fail(KVASIR_E_ARGUMENT, "a work item without tokens");
    if (w->want < KVASIR_WANT_NONE || w->want > KVASIR_WANT_ALL)
        return fail(KVASIR_E_ARGUMENT, "want is %d, which is none of the kinds of rows", (int)w->want);
    if (w->n > s->n_ctx - s->n_ids)
        return fail(KVASIR_E_CONTEXT, "%d tokens after the %d of the sequence make %d; the context holds %d", w->n,
                    s->n_ids, s->n_ids + w->n, s->n_ctx);
    for (int i = 0; i < w->n; i++)
        if (w->ids[i] < 0 || w->ids[i] >= s->loaded->weights.h.n_vocab)
            return fail(KVASIR_E_ARGUMENT, "id %d at place %d is outside the vocabulary of %d", (int)w->ids[i], i,
                        s->loaded->weights.h.n_vocab);
    return KVASIR_OK;
}

static kvasir_status check_work(kvasir_engine *e, kvasir_work *work, int n_work)
{
    int rows = 0;
    kvasir_status status = KVASIR_OK;
    if (n_work < 1 || n_work > e->max_batch)
        return fail(KVASIR_E_ARGUMENT, "%d work items: 1 to %d are possible", n_work, e->max_batch);
    for (int i = 0; i < n_work && status == KVASIR_OK; i++) {
        status = check_item(e, &work[i]);
        if (status == KVASIR_OK && work[i].seq->in_step)
            status = fail(KVASIR_E_ARGUMENT, "a sequence appears twice in one step");
        if (status != KVASIR_OK)
            n_work = i;
        else
            work[i].seq->in_step = true;
        rows = status == KVASIR_OK ? min_int(rows + wanted(&work[i]), MODEL_MAX_VOCAB) : rows;
    }
    for (int i = 0; i < n_work; i++) work[i].seq->in_step = false;
    if (status == KVASIR_OK && rows > e->max_logits)
        return fail(KVASIR_E_ARGUMENT, "%d rows of logits: this engine keeps %d (max_logits)", rows, e->max_logits);
    return status;
}

typedef struct region_arg {
    kvasir_engine *e;
    loaded *l;
} region_arg;

static void run_thread(void *p, int tid)
{
    region_arg *a = p;
    loaded *l = a->l;
    op t = {.team = a->e->team,
            .kernels = &a->e->kernels,
            .tid = tid,
            .n_threads = team_size(a->e->team),
            .scratch = l->scratch + (size_t)tid * l->scratch_bytes,
            .limits = &l->limits};
    unsigned before = mem_forbidden();
    mem_forbid(true);
    model_run(&l->weights, &l->step, &t);
    mem_forbid(false);
    if (mem_forbidden() != before) __atomic_fetch_add(&a->e->allocations, mem_forbidden() - before, __ATOMIC_RELAXED);
}

static bool is_cancelled(void *engine)
{
    return atomic_load_explicit(&((kvasir_engine *)engine)->cancel, memory_order_relaxed);
}

static op_stream stream_of(const kv_stream *s)
{
    op_stream out;
    for (int f = 0; f < OP_FORMS; f++) {
        out.offset[f] = s->offset[f];
        out.page_bytes[f] = s->page_bytes[f];
        out.head_stride[f] = s->head_stride[f];
        out.format[f] = kv_attn_format(s->type, (kv_format)f);
    }
    return out;
}

/* One layer's pages of one sequence. */
static op_pages pages_of(const kvasir_seq *s, int il)
{
    kv_view v = kv_seq_view(s->kv, il);
    return (
        op_pages){.block = v.block, .closed = v.closed, .closing = v.closing, .k = stream_of(v.k), .v = stream_of(v.v)};
}

/* Below this many tokens a piece costs more than computing what a mark would have saved. */
enum { LEAST_PIECE = 16 };

/* Gives up marks, those of s before those of others; false: there are none. */
static bool drop_marks(kv_pool *p, kv_seq *s)
{
    if (kv_seq_n_snapshots(s) == 0) return kv_pool_drop_snapshots(p);
    (void)kv_seq_snapshot(s, 0);
    return true;
}

/* Reserves rows for *n tokens, or for fewer where the budget has no room for all of them at once. Sliding windows let
   go of old rows after every piece, so smaller pieces may fit. Where even small ones do not, marks are given up. */
static kvasir_status reserve(kv_pool *p, kv_seq *s, int *n)
{
    const int asked = *n;
    kvasir_status status = kv_seq_reserve(s, *n);
    while (status == KVASIR_E_MEMORY) {
        if (*n <= LEAST_PIECE && drop_marks(p, s))
            *n = asked;
        else if (*n > 1)
            *n /= 2;
        else
            break;
        status = kv_seq_reserve(s, *n);
    }
    return status;
}

/* Takes up to max_batch rows from the items in order, fewer when memory is short. *n_items becomes the number of
   items that take part; their rows are reserved. An item's last rows never come after a later item's: hand_out
   counts on that. */
static kvasir_status gather_piece(kvasir_engine *e, loaded *l, kvasir_work *work, int n_work, const pending *todo,
                                  int *taken, int *n_items)
{
    step *s = &l->step;
    int n = 0, open = 0;
    bool closed = false;
    s->n_rows = s->n_logits = 0;
    for (int i = 0; i < n_work; i++) {
        int most = min_int(todo[i].to - todo[i].from, e->max_batch - s->n_rows);
        taken[i] = 0;
        if (work[i].seq->loaded != l || most <= 0 || closed) continue;
        taken[i] = most;
        kvasir_status status = reserve(e->pool, work[i].seq->kv, &taken[i]);
        closed = taken[i] < most || status != KVASIR_OK;
        if (status == KVASIR_E_MEMORY && n > 0) { /* the items before it may make room */
            taken[i] = 0;
            continue;
        }
        TRY(status);
        for (int il = 0; il < l->weights.h.n_layer; il++)
            l->items[(size_t)il * (size_t)e->max_batch + (size_t)n] = (attn_item){.pages = pages_of(work[i].seq, il),
                                                                                  .row0 = s->n_rows,
                                                                                  .n = taken[i],
                                                                                  .pos0 = todo[i].from,
                                                                                  .open0 = open};
        open += taken[i] / KV_PAGE;
        for (int j = 0; j < taken[i]; j++, s->n_rows++) {
            int pos = todo[i].from + j;
            e->ids[s->n_rows] = id_at(&work[i], pos);
            e->pos[s->n_rows] = pos;
            if (wants_row(&work[i], pos)) e->logit_rows[s->n_logits++] = s->n_rows;
        }
        n++;
    }
    *n_items = n;
    return KVASIR_OK;
}

/* V beyond f16's range becomes infinite in the KV cache: said once for each model. */
static void say_overflows(kvasir_engine *e, loaded *l)
{
    char text[512];
    l->v_overflows += l->step.v_overflows;
    l->step.v_overflows = 0;
    if (l->v_overflows == 0 || l->said_overflows || !e->log) return;
    (void)snprintf(
        text, sizeof text,
        "%s: %ld values of V were beyond f16's range (65504) and are infinite in the KV cache; with --kv f32 "
        "they are kept",
        l->model->info.path, l->v_overflows);
    e->log(e->log_user, text);
    l->said_overflows = true;
}

/* The step's logits are not finite: computes it once more and looks where that begins. The rows of KV are written again as
   they were, since nothing has been committed. */
static kvasir_status explain(kvasir_engine *e, loaded *l)
{
    const int n_layer = l->weights.h.n_layer;
    step *s = &l->step;
    char where[96];
    s->trace = true;
    team_run(e->team, run_thread, &(region_arg){e, l});
    s->trace = false;
    s->v_overflows = 0;
    if (s->stop) return fail(KVASIR_E_CANCELLED, "the step was cancelled");
    int row = s->bad_layer < n_layer ? s->bad_row : s->logit_rows[0];
    if (s->bad_layer < 0)
        (void)snprintf(where, sizeof where, "in its embedding");
    else if (s->bad_layer < n_layer)
        (void)snprintf(where, sizeof where, "%s layer %d of %d", s->in_attention ? "in the attention of" : "behind",
                       s->bad_layer, n_layer);
    else
        (void)snprintf(where, sizeof where, "in the logits, behind all %d layers", n_layer);
    return fail(
        KVASIR_E_NOT_FINITE,
        "the numbers of token %d (id %d) are not finite %s: the file's weights are damaged, or beyond what can be "
        "computed%s",
        s->pos[row], (int)s->ids[row], where,
        l->v_overflows > 0 ? "; V was beyond f16's range, which --kv f32 holds" : "");
}

static kvasir_status run_piece(kvasir_engine *e, loaded *l, int n_items, int logits_done)
{
    step *s = &l->step;
    size_t ld = align_up((size_t)l->weights.h.n_vocab, PANEL_ROWS);
    /* Items were written with a stride of max_batch; the forward pass reads them packed. */
    for (int il = 1; il < l->weights.h.n_layer; il++)
        memmove(l->items + (size_t)il * (size_t)n_items, l->items + (size_t)il * (size_t)e->max_batch,
                (size_t)n_items * sizeof *l->items);
    s->n_items = n_items;
    s->ids = e->ids;
    s->pos = e->pos;
    s->logit_rows = e->logit_rows;
    s->logits = l->logits + (size_t)logits_done * ld;
    s->ld_logits = ld;
    s->cancelled = is_cancelled;
    s->engine = e;
    s->stop = false;
    s->trace = false;
    team_run(e->team, run_thread, &(region_arg){e, l});
    if (s->status != KVASIR_OK)
        return fail(s->status, "%s: reading token_embd.weight failed: the file has changed or cannot be read",
                    l->model->info.path);
    if (s->stop) return fail(KVASIR_E_CANCELLED, "the step was cancelled");
    say_overflows(e, l);
    return s->not_finite ? explain(e, l) : KVASIR_OK;
}

static kvasir_status run_model(kvasir_engine *e, loaded *l, kvasir_work *work, int n_work, pending *todo, int *taken)
{
    for (int logits_done = 0;;) {
        int n_items;
        TRY(gather_piece(e, l, work, n_work, todo, taken, &n_items));
        if (n_items == 0) return KVASIR_OK;
        TRY(run_piece(e, l, n_items, logits_done));
        logits_done += l->step.n_logits;
        for (int i = 0; i < n_work; i++) {
            if (taken[i] == 0) continue;
            TRY(kv_seq_commit(work[i].seq->kv, taken[i]));
            todo[i].from += taken[i];
        }
    }
}

/* Rows come out of the kernels with a stride of whole panels, but the public ones are n_vocab floats apart: moves them
   together. Then tells every item where its rows are. */
static void hand_out(loaded *l, kvasir_work *work, int n_work)
{
    size_t n_vocab = (size_t)l->weights.h.n_vocab, ld = align_up(n_vocab, PANEL_ROWS), row = 0;
    for (int i = 0; i < n_work; i++) {
        if (work[i].seq->loaded != l) continue;
        work[i].logits = wanted(&work[i]) ? l->logits + row * n_vocab : NULL;
        for (int j = 0; j < wanted(&work[i]); j++, row++)
            if (ld != n_vocab && row > 0)
                memmove(l->logits + row * n_vocab, l->logits + row * ld, n_vocab * sizeof(float));
    }
}

static kvasir_status step_all(kvasir_engine *e, kvasir_work *work, int n_work)
{
    for (loaded *l = e->models; l; l = l->next) {
        TRY(run_model(e, l, work, n_work, e->todo, e->taken));
        hand_out(l, work, n_work);
    }
    return KVASIR_OK;
}

kvasir_status kvasir_step(kvasir_engine *e, kvasir_work *work, int n_work)
{
    NEED(e);
    NEED(work);
    TRY(check_work(e, work, n_work));
    atomic_store(&e->cancel, false);
    for (int i = 0; i < n_work; i++)
        e->todo[i] = (pending){kv_seq_length(work[i].seq->kv), work[i].seq->n_ids + work[i].n};
    kvasir_status status = step_all(e, work, n_work);
    for (int i = 0; i < n_work; i++) {
        kvasir_seq *s = work[i].seq;
        if (status == KVASIR_OK) {
            memcpy(s->ids + s->n_ids, work[i].ids, (size_t)work[i].n * sizeof *s->ids);
            s->n_ids += work[i].n;
        } else {
            int kept;
            (void)kv_seq_commit(s->kv, 0); /* gives back what was reserved */
            if (kv_seq_length(s->kv) > s->n_ids) (void)kv_seq_truncate(s->kv, s->n_ids, &kept);
        }
    }
    return status;
}

void kvasir_cancel(kvasir_engine *e)
{
    NEED_OR(e, );
    atomic_store(&e->cancel, true);
}
